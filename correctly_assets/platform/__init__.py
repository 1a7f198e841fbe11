"""The platform as processes on a machine: starting, supervising, stopping and describing them.

Belongs here: the table of processes, the supervisor, Dagster's instance, Open WebUI's settings, the compose file. Does not
belong here: the loop's work (workflows/) or what people see (gateway/, commands/).
"""
