"""What stands between a file and the store: importers, guards, near-duplicates.

Belongs here: reading rows, judging them, saying in words why one is refused or held. Does not belong here: SQL
(store/), or any sibling room: examples leave through the Protocols of core/landing.py.
"""
