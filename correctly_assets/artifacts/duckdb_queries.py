"""DuckDB as a calculator: in memory, over Parquet files, with the queries of sql/queries/.

Belongs here: opening it so that it fetches nothing, shares nothing and stays within its memory. Does not belong here:
the queries, or any table that lasts. Sensors never come here.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import gettempdir
from typing import Any

import duckdb
from duckdb import DuckDBPyConnection

from correctly_assets.core.errors import PermanentError


def open_duckdb(scratch: Path | None = None) -> DuckDBPyConnection:
    """An in-memory DuckDB that loads no extension from the network; what does not fit goes to ``scratch``."""
    return duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "temp_directory": str(scratch or gettempdir()),
            "memory_limit": "2GB",
            "threads": 2,
        },
    )


def read_query(sql_dir: Path, name: str) -> str:
    """The text of ``sql/queries/NAME.sql``."""
    path = sql_dir / "queries" / f"{name}.sql"
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise PermanentError(f"{path} is missing; the installation is not complete.") from error


def fetch_rows(query: str, file: Path) -> list[tuple[Any, ...]]:
    """The rows of a query whose one parameter is ``$path``."""
    with open_duckdb() as connection:
        return connection.execute(query, {"path": str(file)}).fetchall()


def quoted(path: Path) -> str:
    """A path inside an SQL literal."""
    return str(path).replace("'", "''")


def is_disk_error(error: Exception) -> bool:
    """Whether DuckDB failed because the disk is full or failing."""
    words = str(error).lower()
    return any(sign in words for sign in ("no space", "disk", "could not write", "file too large"))
