"""Copies of whole databases while others write to them, and bringing a PostgreSQL back from one.

Belongs here: SQLite's online backup, `pg_dump` and `pg_restore`. Does not belong here: which databases there are, or when
they are copied (workflows/back_up.py).
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL

from correctly_assets.core.errors import PermanentError, RetryableError
from correctly_assets.store.database import BUSY_SECONDS, SCHEMA, Database
from correctly_assets.store.schemas import SCHEMAS

_HEADER = b"SQLite format 3\0"


def is_sqlite_file(path: Path) -> bool:
    """Whether a file is a SQLite database, by its first bytes."""
    try:
        with path.open("rb") as file:
            return file.read(len(_HEADER)) == _HEADER
    except OSError:
        return False


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a SQLite database as it is at one moment; others may read and write it meanwhile.

    Raises:
        PermanentError: the database is damaged.
        RetryableError: another program holds it for itself.
    """
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)) as origin,
            closing(sqlite3.connect(target)) as copy,
        ):
            origin.backup(copy)
            result = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        raise RetryableError(f"{source} cannot be copied now ({error}); try again in a moment.") from error
    except sqlite3.DatabaseError as error:
        result = str(error)
    if result != "ok":
        raise PermanentError(f"{source} is damaged ({result.splitlines()[0]}); restore it from an earlier backup.")


def dump_postgres(url: URL, target: Path) -> None:
    """Write our three schemas of a PostgreSQL database, as they are at one moment, into one file of pg_dump's.

    Raises:
        PermanentError: pg_dump is not installed, or it refused.
    """
    schemas = [f"--schema={schema}" for schema in SCHEMAS]
    _call("pg_dump", url, "--format=custom", "--no-owner", "--no-privileges", *schemas, f"--file={target}")


def restore_postgres(url: URL, dump: Path) -> None:
    """Bring a file of `dump_postgres` back into a database without our schemas, all of it or nothing.

    Raises:
        PermanentError: pg_restore is not installed, or it refused.
    """
    _call("pg_restore", url, "--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error", str(dump))


def put_back_schemas(url: URL, dump: Path, schemas: Sequence[str]) -> None:
    """Replace some of our schemas by what a file of `dump_postgres` holds of them.

    Raises:
        PermanentError: pg_restore is not installed, or it refused.
    """
    _recreate(url, schemas)
    words = [f"--schema={schema}" for schema in schemas]
    _call(
        "pg_restore", url, "--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error", *words, str(dump)
    )


_OURS = ("correction_script", "quarantine", "decision", "release", "correction_journal", "feedback")


def holds_rows(database: Database) -> bool:
    """Whether anything has landed, was decided, answered or run in a database; one that was only prepared holds nothing.

    Raises:
        CorrectlyError: the database is damaged or away.
    """
    with database.read() as connection:
        if database.is_sqlite:
            there = set(connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars())
            tables = [name for name in _OURS if name in there]
        else:
            wanted = [*(f"{SCHEMA}.{name}" for name in _OURS), "dagster.runs", "mlflow.runs"]
            found = text("SELECT to_regclass(:name) IS NOT NULL")
            tables = [name for name in wanted if connection.execute(found, {"name": name}).scalar_one()]
        return any(connection.execute(text(f"SELECT 1 FROM {name} LIMIT 1")).first() is not None for name in tables)


def _recreate(url: URL, schemas: Sequence[str]) -> None:
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            for schema in schemas:
                connection.execute(text(f"DROP SCHEMA IF EXISTS {schema} CASCADE"))
                connection.execute(text(f"CREATE SCHEMA {schema}"))
    finally:
        engine.dispose()


def drop_schemas(url: URL) -> None:
    """Remove our three schemas and all that is in them."""
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            for schema in SCHEMAS:
                connection.execute(text(f"DROP SCHEMA IF EXISTS {schema} CASCADE"))
    finally:
        engine.dispose()


def _call(program: str, url: URL, *words: str) -> None:
    found = shutil.which(program)
    if found is None:
        raise PermanentError(
            f"{program} is not installed, and a backup of PostgreSQL needs it: apt-get install postgresql-client."
        )
    # The password goes by the environment: every user of the machine can read a command line.
    shown = url.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
    secret = {"PGPASSWORD": str(url.password)} if url.password else {}
    done = subprocess.run(
        [found, f"--dbname={shown}", *words], capture_output=True, text=True, env={**os.environ, **secret}, check=False
    )
    if done.returncode:
        lines = [line for line in done.stderr.strip().splitlines() if "error" in line.lower()] or ["no reason given"]
        raise PermanentError(f"{program} failed: {lines[0].removeprefix(f'{program}: error: ')}")
