"""The database behind the store: one engine, its transactions, and its failures in plain sentences.

Belongs here: connecting to SQLite or PostgreSQL so that writers wait for each other and readers never do. Does not
belong here: tables and what is in them.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from correctly_assets.core.errors import CorrectlyError, PermanentError, RetryableError, UnreachableError, UsageError

SCHEMA = "correctly"
BUSY_SECONDS = 30
# One key for all of our writers on a server; any constant does, as long as it never changes.
_ADVISORY_LOCK = 0x0C022EC7

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The present time, aware of its time zone: every column of time is UTC."""
    return datetime.now(UTC)


class Database:
    """Transactions on one database.

    SQLite runs in WAL mode: readers see a snapshot and never wait; writers begin with ``BEGIN IMMEDIATE`` and wait up
    to 30 s for each other. On PostgreSQL our tables stand in the schema ``correctly``.
    """

    def __init__(self, url: str, now: Clock = utc_now, busy_seconds: float = BUSY_SECONDS) -> None:
        self._now = now
        self.url = _sqlalchemy_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _sqlite_engine(self.url, busy_seconds) if self.is_sqlite else _postgres_engine(self.url)

    def now(self) -> str:
        """The clock's time as ISO 8601 text in UTC, to the millisecond: text order is time order."""
        return self._now().astimezone(UTC).isoformat(timespec="milliseconds")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads, and sees one state of the database throughout."""
        with self._explained(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self, *, exclusive: bool = True) -> Iterator[Connection]:
        """A transaction that writes: all of it or nothing.

        Args:
            exclusive: wait until no other exclusive writer is at work. On SQLite every writer is exclusive.

        Raises:
            RetryableError: another writer held the database for 30 s.
            UnreachableError: PostgreSQL does not answer.
            PermanentError: the disk is full or the file cannot be written.
        """
        with self._explained(), self.engine.connect() as connection:
            connection = connection.execution_options(correctly_write=True)
            with connection.begin():
                if exclusive and not self.is_sqlite:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
                yield connection

    def empty_log(self) -> bool:
        """Move what stands in SQLite's write-ahead log into the file and empty the log, so that what was erased is in neither.

        Returns:
            False where a reader held the log for as long as a writer waits; it is emptied when the last of them is done. True on PostgreSQL.
        """
        if not self.is_sqlite:
            return True
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            return not connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar()

    def close(self) -> None:
        """Close every connection of the pool."""
        self.engine.dispose()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise explain(error, self.url) or error from error


def explain(error: DBAPIError, url: URL) -> CorrectlyError | None:
    """The database's failure as one sentence with its remedy; None when it is a mistake in our own statements."""
    words = str(error.orig).lower()
    if url.get_backend_name() == "sqlite":
        where = url.database or ":memory:"
        if "locked" in words or "busy" in words:
            return RetryableError(f"The store {where} is busy with another writer; try again in a moment.")
        if "full" in words or "disk i/o" in words:
            return RetryableError(f"The disk that holds {where} is full or failing; free some space and try again.")
        if "unable to open" in words or "readonly" in words:
            return PermanentError(f"The store {where} cannot be opened for writing; check the folder and its rights.")
        if "not a database" in words or "malformed" in words:
            return PermanentError(f"{where} is not a sound SQLite database; restore it from a backup or move it away.")
        return None
    shown = url.set(drivername="postgresql").render_as_string(hide_password=True)
    code = str(getattr(error.orig, "pgcode", None) or "")
    if code in ("28000", "28P01", "3D000", "42501"):
        return PermanentError(f"PostgreSQL refused {shown}: {_first_line(error)}; correct CORRECTLY_DATABASE_URL.")
    if code in ("40001", "40P01", "55P03", "57014"):
        return RetryableError(f"PostgreSQL at {shown} was busy ({_first_line(error)}); try again in a moment.")
    if code == "53100":
        return RetryableError(f"The disk of PostgreSQL at {shown} is full; free some space and try again.")
    if not code or code[:2] in ("08", "57", "53"):
        if any(sign in words for sign in ("password authentication", "does not exist", "no pg_hba.conf entry")):
            return PermanentError(f"PostgreSQL refused {shown}: {_first_line(error)}; correct CORRECTLY_DATABASE_URL.")
        return UnreachableError(f"PostgreSQL at {shown} does not answer; start it or correct CORRECTLY_DATABASE_URL.")
    return None


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).strip().splitlines()[0].rstrip(".")


def _sqlalchemy_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise UsageError(
            "CORRECTLY_DATABASE_URL is not a database URL; write postgresql://user:password@host/db."
        ) from error
    if parsed.drivername in ("postgres", "postgresql"):
        # SQLAlchemy's own default driver changed between releases; we install psycopg2 for Dagster as well.
        return parsed.set(drivername="postgresql+psycopg2")
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise UsageError(
            f"The store runs on SQLite or PostgreSQL, not on {parsed.drivername}; correct CORRECTLY_DATABASE_URL."
        )
    return parsed


def _sqlite_engine(url: URL, busy_seconds: float) -> Engine:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": busy_seconds})

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
        # Transactions are ours (see _begin): the driver's own BEGIN would come too late to be immediate.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {int(busy_seconds * 1000)}")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA secure_delete = ON")  # a forgotten text must not live on in free pages
        cursor.execute("PRAGMA cache_size = -65536")
        _write_ahead(cursor, busy_seconds)
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("correctly_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _write_ahead(cursor: sqlite3.Cursor, busy_seconds: float) -> None:
    """Turn WAL mode on. The switch does not wait for other connections by itself, so it is tried for a while."""
    deadline = time.monotonic() + busy_seconds
    while cursor.execute("PRAGMA journal_mode").fetchone()[0] not in ("wal", "memory"):
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _postgres_engine(url: URL) -> Engine:
    try:
        engine = create_engine(
            url, pool_pre_ping=True, executemany_mode="values_plus_batch", connect_args={"connect_timeout": 10}
        )
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise PermanentError("The PostgreSQL driver is missing: pip install psycopg2-binary.") from error

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET search_path TO {SCHEMA}")
            cursor.execute("SET timezone TO 'UTC'")
        connection.commit()

    return engine
