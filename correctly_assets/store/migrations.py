"""Applies sql/migrations/NNNN_name.{up,down}.sql, each in one transaction.

Belongs here: which migrations a database has, and taking it up or down. Does not belong here: the schema itself (sql/).
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, text

from correctly_assets.core.errors import PermanentError
from correctly_assets.core.hashing import sha256_of
from correctly_assets.store.database import SCHEMA, Database

VERSION_TABLE = "correctly_schema_version"
_NAME = re.compile(r"(\d{4})_(\w+)\.(up|down)\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema; ``sha`` covers the statements, not the comments."""

    version: str
    name: str
    up: tuple[str, ...]
    down: tuple[str, ...]

    @property
    def sha(self) -> str:
        """Hash of the statements without their white space; a migration that was applied may not change any more."""
        return sha256_of([_bare(statement) for statement in self.up])


def split_statements(sql: str) -> list[str]:
    """The statements of a file. Quotes, comments and triggers are understood as SQLite understands them."""
    statements: list[str] = []
    rest = ""
    for piece in sql.split(";"):
        rest += piece + ";"
        if sqlite3.complete_statement(rest):
            if _bare(rest):
                statements.append(rest.strip().rstrip(";").strip())
            rest = ""
    if _bare(rest):
        statements.append(rest.strip().rstrip(";").strip())
    return statements


def _bare(statement: str) -> str:
    """The statement without the comments that stand on lines of their own."""
    without = re.sub(r"(?m)^\s*--.*$", "", statement)
    return without.strip().strip(";").strip()


def read_migrations(sql_dir: Path) -> list[Migration]:
    """The migrations of ``sql_dir/migrations`` in order.

    Raises:
        PermanentError: the folder is missing, a file has no counterpart, or two share a number.
    """
    folder = sql_dir / "migrations"
    found: dict[str, dict[str, Path]] = {}
    names: dict[str, str] = {}
    for path in sorted(folder.glob("*.sql")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise PermanentError(f"{path} is not named NNNN_name.up.sql or NNNN_name.down.sql; rename it.")
        version, name, way = match.groups()
        if names.setdefault(version, name) != name:
            raise PermanentError(f"Two migrations are numbered {version} ({names[version]}, {name}); renumber one.")
        found.setdefault(version, {})[way] = path
    if not found:
        raise PermanentError(f"There are no migrations in {folder}; the installation is not complete.")
    for version, ways in found.items():
        if set(ways) != {"up", "down"}:
            raise PermanentError(f"Migration {version}_{names[version]} needs both an up and a down file in {folder}.")
    return [
        Migration(
            version,
            names[version],
            tuple(split_statements(ways["up"].read_text(encoding="utf-8"))),
            tuple(split_statements(ways["down"].read_text(encoding="utf-8"))),
        )
        for version, ways in sorted(found.items())
    ]


def migrate_up(database: Database, sql_dir: Path) -> list[str]:
    """Apply what is missing; several processes may start at once.

    Returns:
        The versions applied by this call.

    Raises:
        PermanentError: the database is newer than these files, or an applied migration was edited afterwards.
    """
    migrations = read_migrations(sql_dir)
    with database.read() as connection:
        applied = _applied(connection, database) if _has_version_table(connection, database) else {}
    _check_history(migrations, applied, database)
    done: list[str] = []
    while len(applied) < len(migrations):
        with database.write() as connection:
            _create_version_table(connection, database)
            applied = _applied(connection, database)  # another starter may have been faster
            _check_history(migrations, applied, database)
            missing = [migration for migration in migrations if migration.version not in applied]
            if not missing:
                break
            step = missing[0]
            _execute(connection, step.up)
            connection.execute(
                text(
                    f"INSERT INTO {VERSION_TABLE} (version, name, sha, applied_at) VALUES (:version, :name, :sha, :at)"
                ),
                {"version": step.version, "name": step.name, "sha": step.sha, "at": database.now()},
            )
            applied[step.version] = step.sha
            done.append(step.version)
    return done


def applied_migrations(database: Database) -> list[str]:
    """The versions that a database has; none where it has none of our tables. Nothing is written."""
    with database.read() as connection:
        return sorted(_applied(connection, database)) if _has_version_table(connection, database) else []


def missing_migrations(database: Database, sql_dir: Path) -> list[str]:
    """The versions that ``migrate_up`` would apply; nothing is written.

    Raises:
        PermanentError: the database is newer than these files, or an applied migration was edited afterwards.
    """
    migrations = read_migrations(sql_dir)
    with database.read() as connection:
        applied = _applied(connection, database) if _has_version_table(connection, database) else {}
    _check_history(migrations, applied, database)
    return [migration.version for migration in migrations if migration.version not in applied]


def migrate_down(database: Database, sql_dir: Path, *, to: str = "0000") -> list[str]:
    """Take back every migration above version ``to``, newest first; ``0000`` removes all tables and their rows."""
    known = {migration.version: migration for migration in read_migrations(sql_dir)}
    done: list[str] = []
    while True:
        with database.write() as connection:
            if not _has_version_table(connection, database):
                return done
            above = sorted(version for version in _applied(connection, database) if version > to)
            if not above:
                if to == "0000":
                    connection.execute(text(f"DROP TABLE {VERSION_TABLE}"))
                return done
            version = above[-1]
            if version not in known:
                raise PermanentError(f"There is no down file for migration {version}; use the release that applied it.")
            _execute(connection, known[version].down)
            connection.execute(text(f"DELETE FROM {VERSION_TABLE} WHERE version = :version"), {"version": version})
            done.append(version)


def _execute(connection: Connection, statements: tuple[str, ...]) -> None:
    # Plain driver SQL: text() would read colons in literals as parameters, and psycopg2 percent signs.
    plain = connection.execution_options(no_parameters=True)
    for statement in statements:
        plain.exec_driver_sql(statement)


def _create_version_table(connection: Connection, database: Database) -> None:
    if not database.is_sqlite:
        # Asked first, because IF NOT EXISTS wants the right to create schemas even where there is nothing to create.
        there = connection.execute(text("SELECT count(*) FROM pg_namespace WHERE nspname = :name"), {"name": SCHEMA})
        if not there.scalar_one():
            connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
    connection.execute(
        text(
            f"CREATE TABLE IF NOT EXISTS {VERSION_TABLE} "
            "(version TEXT PRIMARY KEY, name TEXT NOT NULL, sha TEXT NOT NULL, applied_at TEXT NOT NULL)"
        )
    )


def _has_version_table(connection: Connection, database: Database) -> bool:
    query = (
        "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = :name"
        if database.is_sqlite
        else f"SELECT count(*) FROM pg_tables WHERE schemaname = '{SCHEMA}' AND tablename = :name"
    )
    return connection.execute(text(query), {"name": VERSION_TABLE}).scalar_one() > 0


def _applied(connection: Connection, database: Database) -> dict[str, str]:
    return {row.version: row.sha for row in connection.execute(text(f"SELECT version, sha FROM {VERSION_TABLE}"))}


def _check_history(migrations: list[Migration], applied: dict[str, str], database: Database) -> None:
    known = {migration.version: migration for migration in migrations}
    newer = sorted(set(applied) - set(known))
    if newer:
        raise PermanentError(
            f"The store has migration {newer[-1]}, which this release does not know; upgrade Correctly."
        )
    for version, sha in applied.items():
        if known[version].sha != sha:
            raise PermanentError(
                f"Migration {version}_{known[version].name} was edited after it was applied; put its file back and "
                "write the change as a new migration."
            )
