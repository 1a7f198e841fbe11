"""The loop's use cases, one module a verb: land, write, build, train, judge, promote, collect, forget.

Belongs here: joining the rooms into the steps that Dagster, the command line and the gateway call. Does not belong here: a
room's own work, processes (platform/), or anything that prints.
"""
