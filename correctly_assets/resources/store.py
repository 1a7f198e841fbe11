"""The relational store as a Dagster resource."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

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
        """The migrated store; closed at the end.

        Raises:
            RetryableError: the database is away or busy.
        """
        from correctly_assets.store import open_store

        store = open_store(self.url, Path(self.sql_dir))
        try:
            yield store
        finally:
            store.close()
