"""A team's platform on a real PostgreSQL, backed up while it is written to and restored into another database."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from correctly_assets.artifacts.backups import POSTGRES_DUMP, backups_in
from correctly_assets.core.errors import PermanentError, UsageError
from correctly_assets.platform.dagster_instance import newest_beat
from correctly_assets.settings import Settings, get_settings
from correctly_assets.workflows.back_up import back_up
from correctly_assets.workflows.forget_example import forget_example
from correctly_assets.workflows.land_rows import land
from correctly_assets.workflows.other_tables import DAGSTER, MLFLOW, old_tables, put_back_tables
from correctly_assets.workflows.restore_backup import restore_backup
from correctly_assets.workflows.wiring import open_platform_store
from correctly_tests.commands import ROWS
from correctly_tests.fault_table import Row
from correctly_tests.integration.postgres import Postgres, running_postgres


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture
def team(server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A platform with four examples, a release, and a run in each of Dagster's and MLflow's schemas."""
    monkeypatch.setenv("CORRECTLY_DATABASE_URL", server.create_database(f"team_{uuid.uuid4().hex[:8]}"))
    settings = get_settings()
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert land(settings, file).landed == 4
    with open_platform_store(settings.platform) as store:
        store.add_release(adapter="aaaaaaaaaaaa", base_model="gemma-3-270m", kind="promotion", why="It is better.")
    execute(settings, "CREATE TABLE dagster.runs (id INT); INSERT INTO dagster.runs VALUES (1)")
    execute(settings, "CREATE TABLE mlflow.runs (id INT); INSERT INTO mlflow.runs VALUES (1), (2)")
    return settings


@pytest.fixture
def fresh(team: Settings, server: Postgres, tmp_path: Path) -> Settings:
    url = server.create_database(f"fresh_{uuid.uuid4().hex[:8]}")
    return team.changed(platform={"home": tmp_path / "fresh", "database_url": url})


def execute(settings: Settings, statement: str) -> list[tuple]:
    connection = psycopg2.connect(settings.platform.database_url or "")
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
        found = cursor.fetchall() if cursor.description else []
    connection.close()
    return found


def test_three_schemas_come_back_in_a_database_that_was_only_prepared(team: Settings, fresh: Settings, tmp_path: Path):
    made = back_up(team.platform, tmp_path / "disk")
    assert made.manifest.database == "postgresql" and made.manifest.release == "r0001"
    open_platform_store(fresh.platform).close()
    restore_backup(fresh, made.path)
    counts = [execute(fresh, f"SELECT count(*) FROM {name}.runs") for name in ("dagster", "mlflow")]
    assert counts == [[(1,)], [(2,)]]
    with open_platform_store(fresh.platform) as store:
        champion = store.champion()
        assert store.counts().landed == 4 and champion is not None and champion.id == "r0001"


def test_what_was_forgotten_since_does_not_come_back(team: Settings, fresh: Settings, tmp_path: Path):
    made = back_up(team.platform, tmp_path / "disk")
    with open_platform_store(team.platform) as store:
        ids = [row.id for row in store.accepted()]
        forget_example(team, store, ids[0])
    done = restore_backup(fresh, made.path)
    assert done.forgotten == (ids[0],)
    assert execute(fresh, "SELECT count(*) FROM correctly.correction_script WHERE before <> ''") == [(3,)]


def test_a_database_in_use_is_refused_and_stays_as_it_is(team: Settings, tmp_path: Path):
    made = back_up(team.platform, tmp_path / "disk")
    with pytest.raises(UsageError, match="name an empty database"):
        restore_backup(team.changed(platform={"home": tmp_path / "fresh"}), made.path)
    assert execute(team, "SELECT count(*) FROM mlflow.runs") == [(2,)]


@pytest.mark.fault(
    fault="the dump in a backup is damaged",
    stage="upkeep",
    expected="the restore refuses; the database stays empty",
    remedy="Restore an earlier backup.",
)
def test_a_damaged_dump_leaves_the_database_empty(team: Settings, fresh: Settings, tmp_path: Path, observed: Row):
    made = back_up(team.platform, tmp_path / "disk")
    (made.path / POSTGRES_DUMP).write_bytes(b"nothing")
    with pytest.raises(PermanentError, match="damaged") as refusal:
        restore_backup(fresh, made.path)
    ((tables,),) = execute(fresh, "SELECT count(*) FROM pg_tables WHERE schemaname IN ('correctly', 'mlflow')")
    observed(f"“{str(refusal.value)[:60]} …”; {tables} tables in the database")
    assert tables == 0


def test_a_missing_pg_dump_is_named_with_its_package(team: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PermanentError, match="apt-get install postgresql-client"):
        back_up(team.platform, tmp_path / "disk")


def test_an_upgrade_on_postgresql_begins_with_a_backup(team: Settings, fresh: Settings, tmp_path: Path):
    sql = tmp_path / "sql"
    shutil.copytree(team.platform.sql_dir, sql)
    for way, statement in (("up", "CREATE TABLE later (id TEXT)"), ("down", "DROP TABLE later")):
        (sql / "migrations" / f"9001_test.{way}.sql").write_text(statement)
    open_platform_store(team.changed(platform={"sql_dir": sql}).platform).close()
    assert execute(team, "SELECT count(*) FROM correctly.later") == [(0,)]
    ((path, manifest),) = backups_in(team.platform.backup_place).items()
    assert manifest.why == "before a migration: 9001"
    restore_backup(fresh, path)
    assert execute(fresh, "SELECT to_regclass('correctly.later')") == [(None,)]
    assert execute(fresh, "SELECT count(*) FROM correctly.correction_script") == [(4,)]


def test_dagsters_and_mlflows_tables_are_put_back_and_the_store_is_left(team: Settings):
    versions = "CREATE TABLE {0}.alembic_version (version_num TEXT); INSERT INTO {0}.alembic_version VALUES ('{1}')"
    execute(team, versions.format("mlflow", "451aebb31d03"))  # MLflow's first
    execute(team, versions.format("dagster", "of a later release"))
    assert old_tables(team.platform) == [MLFLOW]
    made = back_up(team.platform)
    execute(team, "DROP TABLE dagster.runs; DELETE FROM mlflow.runs; CREATE TABLE mlflow.half_done (id INT)")
    with open_platform_store(team.platform) as store:
        store.add_release(adapter="bbbbbbbbbbbb", base_model="gemma-3-270m", kind="promotion", why="It came after.")
    put_back_tables([DAGSTER, MLFLOW], team.platform, made.path)
    assert execute(team, "SELECT id FROM dagster.runs") == [(1,)]
    assert execute(team, "SELECT id FROM mlflow.runs ORDER BY id") == [(1,), (2,)]
    assert execute(team, "SELECT to_regclass('mlflow.half_done')") == [(None,)]
    with open_platform_store(team.platform) as store:
        champion = store.champion()
        assert champion is not None and champion.adapter == "bbbbbbbbbbbb" and store.counts().landed == 4


def test_the_newest_beat_of_dagsters_daemon_is_read(team: Settings):
    execute(team, "CREATE TABLE dagster.daemon_heartbeats (timestamp TIMESTAMP)")
    assert newest_beat(team) is None
    execute(team, "INSERT INTO dagster.daemon_heartbeats VALUES ('2026-03-01 10:00:30'), ('2026-03-01 10:00:00')")
    assert newest_beat(team) == "2026-03-01 10:00:30"
