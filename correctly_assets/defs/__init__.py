"""The Dagster definitions: one file per asset with its checks beside it, in the order of the lineage.

Belongs here: shells that fetch, call a decision and record what happened. Does not belong here: domain code. These modules
do without postponed annotations: Dagster reads the types of resource parameters while it decorates.
"""
