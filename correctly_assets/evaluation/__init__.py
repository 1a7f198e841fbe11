"""Metrics, intervals, systems under test, the report and its plots.

Belongs here: measuring answers against references and saying how sure that is. Does not belong here: correcting
(correction/, handed in through a Protocol), the gate's rules (core/gate.py), recording (store/).
"""
