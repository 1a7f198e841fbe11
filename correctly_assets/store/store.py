"""The store: one object over the tables, put together from its subjects.

Belongs here: opening a store. Does not belong here: statements (each subject has its own module).
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from correctly_assets.core.errors import UnreachableError
from correctly_assets.store.corrections import Corrections
from correctly_assets.store.database import Clock, Database, utc_now
from correctly_assets.store.decisions import Decisions
from correctly_assets.store.derived import DerivedFrom
from correctly_assets.store.examples import Examples
from correctly_assets.store.forget import Forgetting
from correctly_assets.store.landings import Landings
from correctly_assets.store.loop_counts import LoopCounts
from correctly_assets.store.migrations import applied_migrations, migrate_up, missing_migrations, read_migrations
from correctly_assets.store.quarantine import Quarantine
from correctly_assets.store.reactions import Reactions
from correctly_assets.store.retention import Retention
from correctly_assets.store.reviews import Reviews
from correctly_assets.store.search import Search
from correctly_assets.store.seen import Seen
from correctly_assets.store.shadows import Shadows

_EARLIER = "The store is of an earlier release: `correctly prepare` brings it up to date."


class Store(
    Examples,
    Landings,
    Search,
    DerivedFrom,
    Seen,
    Quarantine,
    Decisions,
    Corrections,
    Reactions,
    Reviews,
    Shadows,
    Forgetting,
    LoopCounts,
    Retention,
):
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


def open_store(url: str, sql_dir: Path, *, now: Clock = utc_now, upgrade: bool = True) -> Store:
    """Open the store and bring its schema up to date; any number of processes may do so at once.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql://user:password@host/db``.
        sql_dir: the folder that holds ``migrations/``.
        now: the clock.
        upgrade: False makes the tables of a new store and leaves those of an earlier release as they are.

    Raises:
        UsageError: the URL is none, or names another kind of database.
        UnreachableError: PostgreSQL does not answer, or the store is of an earlier release and ``upgrade`` is False.
        PermanentError: the database cannot be written, or is newer than this release.
    """
    database = Database(url, now)
    try:
        if not upgrade and applied_migrations(database) and missing_migrations(database, sql_dir):
            raise UnreachableError(_EARLIER)
        migrate_up(database, sql_dir)
    except BaseException:
        database.close()
        raise
    return Store(database)


def open_store_to_read(url: str, sql_dir: Path) -> Store:
    """Open a store for a command that only reads: nothing is made and no schema is brought up to date.

    Args:
        url, sql_dir: as for ``open_store``.

    Raises:
        UsageError, PermanentError: as ``open_store``.
        UnreachableError: there is no store yet, it is of an earlier release, or PostgreSQL does not answer.
    """
    none = "There is no platform here yet: `correctly up` makes one, or CORRECTLY_HOME names the folder of another."
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).is_file():
        raise UnreachableError(none)
    database = Database(url)
    try:
        missing = missing_migrations(database, sql_dir)
        if missing == [migration.version for migration in read_migrations(sql_dir)]:
            raise UnreachableError(none)
        if missing:
            raise UnreachableError(_EARLIER)
    except BaseException:
        database.close()
        raise
    return Store(database)
