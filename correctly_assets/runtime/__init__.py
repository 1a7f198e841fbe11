"""The runtime room: the one table of processes, their supervision, and what is rendered from the table.

Belongs here: starting, watching and stopping the platform's parts on one machine; rendering docker-compose.yml and the
Dagster instance's file; joining rooms into the objects that the command line and the resources share. Does not belong
here: what any part computes.
"""
