"""The vocabulary and the decisions, pure.

Belongs here: the types every room speaks in, the decisions (retrain, promote, split), the Protocols through which rooms
meet, and content addressing. Does not belong here: Dagster, torch, the network, or a clock of its own.
"""
