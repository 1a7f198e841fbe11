"""Reading Dagster's own tables, where a fact is wanted again and again: opening a Dagster instance for it takes a hundred times as long,
and writes.

Belongs here: where the tables are, in SQLite's files and in PostgreSQL. Does not belong here: what is asked of them, and any change.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from sqlalchemy import create_engine, text

from correctly_assets.settings import PlatformSettings
from correctly_assets.store.schemas import postgres_url, schema_url

RUNS = PurePosixPath("history/runs.db")
"""The file with the runs and the daemons' heartbeats."""


def events_of(run_id: str) -> PurePosixPath:
    """The file with one run's events."""
    return PurePosixPath("history/runs") / f"{run_id}.db"


def read_dagster(platform: PlatformSettings, file: PurePosixPath, query: str, **values: str) -> list[tuple[Any, ...]]:
    """The rows that a query finds.

    Args:
        file: where the table is with SQLite; PostgreSQL has all tables in one place.

    Raises:
        sqlalchemy.exc.DBAPIError: the database is away, or has no such table yet.
    """
    url = postgres_url(platform)
    path = (platform.dagster_home / "storage" / file).absolute()
    engine = create_engine(schema_url(url, "dagster") if url else f"sqlite:///{path.as_uri()}?mode=ro&uri=true")
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query), values)]
    finally:
        engine.dispose()
