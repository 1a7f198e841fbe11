"""The relational store (SQLite embedded, PostgreSQL in a team) and the content-addressed Parquet snapshots for DuckDB.

Belongs here: every SQL statement of ours, the migrations' runner, reading and writing snapshots and train sets. Does
not belong here: importing files, guards, teachers, decisions about what to train. Nothing here knows Dagster.
"""

from correctly_assets.store.database import Database
from correctly_assets.store.store import Store, open_store, open_store_to_read

__all__ = ["Database", "Store", "open_store", "open_store_to_read"]
