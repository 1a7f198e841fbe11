"""The relational store as a Dagster resource.

Belongs here: the store's address as configuration, and opening it. Does not belong here: tables and queries (store/).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from correctly_assets.store import open_store

if TYPE_CHECKING:
    from correctly_assets.store import Store


class StoreResource(dg.ConfigurableResource):
    """Opens the store (SQLite or PostgreSQL) for the length of one asset or tick.

    Attributes:
        url: SQLAlchemy URL; sql_dir: the folder of migrations and queries.
    """

    url: str
    sql_dir: str

    @contextmanager
    def open(self) -> Iterator[Store]:
        """The store, made where there is none; closed at the end. One of an earlier release is left as it is: it is upgraded
        where a backup is made first.

        Raises:
            RetryableError: the database is away or busy, or the store is of an earlier release.
        """
        store = open_store(self.url, Path(self.sql_dir), upgrade=False)
        try:
            yield store
        finally:
            store.close()
