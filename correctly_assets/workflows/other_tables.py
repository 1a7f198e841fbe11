"""The tables of Dagster and MLflow: whether they are of an earlier release of theirs, and each program's own upgrade of them.

Belongs here: reading their versions, upgrading them, and putting them back from a backup. Does not belong here: the store's tables
(store/migrations.py), or when an upgrade happens (upgrade_store.py).
"""

from __future__ import annotations

import ast
import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import create_engine, text

from correctly_assets.artifacts.backups import FILES, POSTGRES_DUMP
from correctly_assets.core.errors import PermanentError
from correctly_assets.core.telemetry import TELEMETRY_OFF
from correctly_assets.settings import PlatformSettings
from correctly_assets.store.copies import is_sqlite_file, put_back_schemas
from correctly_assets.store.schemas import DAGSTER_DATABASE, mlflow_backend, postgres_url, schema_url

_STEP = re.compile(r"^(revision|down_revision)\s*(?::[^=\n]+)?=\s*(.+)$", re.MULTILINE)
_MLFLOW_URL = "MLFLOW_BACKEND_STORE_URI"
# `mlflow db upgrade URL`, with the password in no command line, which every user of the machine can read.
_UPGRADE_MLFLOW = f"import os; from mlflow.db import commands; commands(['upgrade', os.environ['{_MLFLOW_URL}']])"


@dataclass(frozen=True, slots=True)
class OtherTables:
    """One program's tables.

    Attributes:
        name: of its package, and of the schema of its tables in a PostgreSQL.
        folder: of HOME, where all of its SQLite files lie.
        telling: those of them that tell their version; one that does not exist yet is made with the newest tables.
        steps: the folder in its package with the steps that Alembic takes.
        upgrade: what Python runs to upgrade them.
    """

    name: str
    title: str
    folder: str
    telling: tuple[str, ...]
    steps: str
    upgrade: tuple[str, ...]


DAGSTER = OtherTables(
    "dagster",
    "Dagster",
    "dagster/storage",
    ("history/runs.db", "history/runs/index.db", "schedules/schedules.db"),
    "_core/storage/alembic/versions",
    ("-m", "dagster", "instance", "migrate"),
)
MLFLOW = OtherTables(
    "mlflow", "MLflow", "mlflow", ("mlflow.db",), "store/db_migrations/versions", ("-c", _UPGRADE_MLFLOW)
)


def old_tables(platform: PlatformSettings) -> list[OtherTables]:
    """Whose tables are of an earlier release than the one that is installed. Nothing is written, and neither program is
    imported: the numbers in the databases are compared with those in the packages' files."""
    return [tables for tables in (DAGSTER, MLFLOW) if _is_old(tables, platform)]


def upgrade_tables(tables: OtherTables, platform: PlatformSettings) -> None:
    """Have a program upgrade its tables. It must not run meanwhile.

    Raises:
        PermanentError: it failed; what it had done until then stays.
    """
    env = {
        **os.environ,
        **TELEMETRY_OFF,
        "DAGSTER_HOME": str(platform.dagster_home),
        _MLFLOW_URL: mlflow_backend(platform),
    }
    if (url := postgres_url(platform)) is not None:
        env[DAGSTER_DATABASE] = schema_url(url, "dagster")
    done = subprocess.run([sys.executable, *tables.upgrade], capture_output=True, text=True, env=env, check=False)
    if done.returncode:
        # SQLAlchemy ends its messages with the statement and a link; the error stands before them.
        said = [line for line in done.stderr.splitlines() if re.match(r"[\w.]+(Error|Exception)\b", line)]
        why = said[-1] if said else f"it ended with code {done.returncode}"
        raise PermanentError(f"{tables.title}'s tables could not be upgraded: {why}")


def put_back_tables(tables: Iterable[OtherTables], platform: PlatformSettings, backup: Path) -> None:
    """Bring the tables of some programs back from a backup, while nobody uses them.

    Raises:
        PermanentError: pg_restore is not installed, or refused. OSError: a file cannot be written.
    """
    url, those = postgres_url(platform), list(tables)
    if url is not None:
        if those:
            put_back_schemas(url, backup / POSTGRES_DUMP, [one.name for one in those])
        return
    for one in those:
        for source in sorted((backup / FILES / one.folder).rglob("*")):
            if source.is_file() and is_sqlite_file(source):
                _put_back_file(source, platform.home / source.relative_to(backup / FILES))


def _put_back_file(source: Path, target: Path) -> None:
    fresh = target.with_name(f".{target.name}.back")
    shutil.copyfile(source, fresh)
    # A journal beside it speaks of the file that goes.
    for ending in ("-wal", "-shm", "-journal"):
        target.with_name(target.name + ending).unlink(missing_ok=True)
    fresh.chmod(0o600)
    os.replace(fresh, target)


def _is_old(tables: OtherTables, platform: PlatformSettings) -> bool:
    versions = _versions(tables, platform)
    if not versions:
        return False
    known, followed = _steps(tables)
    # A version that the package does not know is a later one's: the program itself says so.
    return any(version in known and version in followed for version in versions)


def _versions(tables: OtherTables, platform: PlatformSettings) -> set[str]:
    """The numbers that a program's databases say; none where there is none yet."""
    url = postgres_url(platform)
    if url is not None:
        engine = create_engine(schema_url(url, tables.name))
        try:
            with engine.connect() as connection:
                if connection.execute(text("SELECT to_regclass('alembic_version')")).scalar_one() is None:
                    return set()
                return set(connection.execute(text("SELECT version_num FROM alembic_version")).scalars())
        finally:
            engine.dispose()
    found: set[str] = set()
    for path in (platform.home / tables.folder / name for name in tables.telling):
        # One that is damaged tells nothing here; the backup, or the program, says so.
        with contextlib.suppress(sqlite3.DatabaseError):
            if path.is_file():
                found |= _version_of_file(path)
    return found


def _version_of_file(path: Path) -> set[str]:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone() is None:
            return set()
        return {row[0] for row in connection.execute("SELECT version_num FROM alembic_version")}


def _steps(tables: OtherTables) -> tuple[set[str], set[str]]:
    """The numbers of a package's steps, and of those that another step follows on."""
    spec = find_spec(tables.name)
    assert spec is not None and spec.submodule_search_locations
    known, followed = set[str](), set[str]()
    for path in (Path(spec.submodule_search_locations[0]) / tables.steps).glob("*.py"):
        step = {name: ast.literal_eval(value) for name, value in _STEP.findall(path.read_text(encoding="utf-8"))}
        if "revision" not in step:
            continue  # __init__.py
        known.add(step["revision"])
        before = step["down_revision"] or ()
        followed.update([before] if isinstance(before, str) else before)
    return known, followed
