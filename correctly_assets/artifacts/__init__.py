"""Content-addressed directories and files on disk: snapshots, train sets, adapters, and how anything is written.

Belongs here: writing so that a killed process leaves nothing half-written, naming a directory by its content, reading and
checking what lies in one. Does not belong here: the relational store (store/), or what is done with an artifact
(training/, workflows/).
"""
