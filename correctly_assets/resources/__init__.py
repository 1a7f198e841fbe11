"""Thin ConfigurableResource classes, one per outside system.

Belongs here: what Dagster needs to hand a system to an asset. Does not belong here: what the system does (the rooms) or
which one is used (defs/resources.py).
"""
