"""The store: one object over the tables, put together from its subjects.

Belongs here: opening a store. Does not belong here: statements (each subject has its own module).
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from .corrections import Corrections
from .database import Clock, Database, utc_now
from .decisions import Decisions
from .derived import DerivedFrom
from .examples import Examples
from .forget import Forgetting
from .landings import Landings
from .migrations import migrate_up
from .quarantine import Quarantine
from .reviews import Reviews
from .search import Search
from .seen import Seen


class Store(Examples, Landings, Search, DerivedFrom, Seen, Quarantine, Decisions, Corrections, Reviews, Forgetting):
    """Everything that has landed, was decided, was answered and is served. Open one with ``open_store``.

    Safe to use from several threads and processes at once. Times are ISO 8601 text in UTC.
    """

    @property
    def is_embedded(self) -> bool:
        """Whether the store is a SQLite file of this machine."""
        return self.database.is_sqlite

    def close(self) -> None:
        """Give the connections back; the store can be used again all the same."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_store(url: str, sql_dir: Path, *, now: Clock = utc_now) -> Store:
    """Open the store and bring its schema up to date; any number of processes may do so at once.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql://user:password@host/db``.
        sql_dir: the folder that holds ``migrations/``.
        now: the clock.

    Raises:
        UsageError: the URL is none, or names another kind of database.
        UnreachableError: PostgreSQL does not answer.
        PermanentError: the database cannot be written, or is newer than this release.
    """
    database = Database(url, now)
    try:
        migrate_up(database, sql_dir)
    except BaseException:
        database.close()
        raise
    return Store(database)
