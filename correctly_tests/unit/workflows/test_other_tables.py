"""Dagster's and MLflow's tables of an earlier release: brought up to date at the start, or left whole as they were."""

from __future__ import annotations

import hashlib
import io
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console

from correctly_assets.artifacts.backups import FILES, backups_in
from correctly_assets.core.errors import PermanentError
from correctly_assets.platform.dagster_instance import make_instance
from correctly_assets.platform.doctor_checks import check_migrations
from correctly_assets.platform.supervisor import write_record
from correctly_assets.platform.up import _upgrade_tables
from correctly_assets.settings import Settings
from correctly_assets.workflows.other_tables import DAGSTER, MLFLOW, OtherTables, old_tables
from correctly_assets.workflows.upgrade_store import upgrade_store
from correctly_assets.workflows.wiring import open_platform_store

# Run in a process of its own: MLflow's import takes seconds, and its migrations set up logging.
_MAKE_MLFLOW = """
import sys
import mlflow.store.db.utils as utils
from alembic import command
from mlflow.store.tracking.dbmodels.initial_models import Base
url = f"sqlite:///{sys.argv[1]}"
engine = utils.create_sqlalchemy_engine_with_retry(url)
Base.metadata.create_all(engine)
config = utils._get_alembic_config(url)
with engine.begin() as connection:
    config.attributes["connection"] = connection
    command.upgrade(config, "heads-2")
"""


def files_of(tables: OtherTables, settings: Settings) -> list[Path]:
    return [settings.platform.home / tables.folder / name for name in tables.telling]


def version(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]


@pytest.fixture(scope="module")
def mlflow_earlier(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """MLflow's database as its own migrations make it, two steps before the newest."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    done = subprocess.run([sys.executable, "-c", _MAKE_MLFLOW, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return path.read_bytes()


@pytest.fixture
def earlier(settings: Settings, mlflow_earlier: bytes) -> Settings:
    """A platform with a store, and with databases of Dagster and MLflow that two steps of Alembic are missing in."""
    from dagster._core.storage.runs.sqlite import sqlite_run_storage
    from dagster._core.storage.sql import create_engine, get_alembic_config, run_alembic_downgrade

    open_platform_store(settings.platform).close()
    make_instance(settings).dispose()
    for path in files_of(DAGSTER, settings):
        engine = create_engine(f"sqlite:///{path}")
        with engine.begin() as connection:
            run_alembic_downgrade(get_alembic_config(sqlite_run_storage.__file__), connection, "-2")
        engine.dispose()
    path = settings.platform.home / "mlflow" / "mlflow.db"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(mlflow_earlier)
    return settings


def test_tables_that_are_the_newest_are_told_without_importing_either(settings: Settings):
    open_platform_store(settings.platform).close()
    make_instance(settings).dispose()
    code = (
        "import sys; from correctly_assets.settings import get_settings; "
        "from correctly_assets.workflows.other_tables import old_tables; "
        "assert old_tables(get_settings().platform) == []; "
        "assert not {'dagster', 'mlflow', 'alembic'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert upgrade_store(settings.platform, others=True) is None
    assert backups_in(settings.platform.backup_place) == {}


@pytest.mark.slow
def test_older_tables_are_brought_up_to_date_after_a_backup(earlier: Settings):
    before = {path: version(path) for tables in (DAGSTER, MLFLOW) for path in files_of(tables, earlier)}
    assert old_tables(earlier.platform) == [DAGSTER, MLFLOW]
    console = Console(record=True, width=400, file=io.StringIO())
    _upgrade_tables(earlier, console)
    ((path, manifest),) = backups_in(earlier.platform.backup_place).items()
    assert str(path) in console.export_text()
    assert manifest.why == "before a migration: Dagster, MLflow"
    assert old_tables(earlier.platform) == []
    assert all(version(file) != before[file] for file in before)
    for file, old in before.items():
        assert version(path / FILES / file.relative_to(earlier.platform.home)) == old
    assert upgrade_store(earlier.platform, others=True) is None


@pytest.mark.slow
def test_an_upgrade_that_fails_leaves_both_databases_as_they_were(earlier: Settings):
    files = [path for tables in (DAGSTER, MLFLOW) for path in files_of(tables, earlier)]
    # MLflow's step looks for a table that somebody has taken away; Dagster's, which come first, succeed.
    with closing(sqlite3.connect(files[-1])) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            if name not in ("alembic_version", "experiments"):
                connection.execute(f"DROP TABLE {name}")
        connection.commit()
    before = {path: (version(path), _content(path)) for path in files}
    with pytest.raises(PermanentError, match=r"failed and was taken back \(MLflow's tables .*Everything is as it was"):
        upgrade_store(earlier.platform, others=True)
    assert {path: (version(path), _content(path)) for path in files} == before
    assert old_tables(earlier.platform) == [DAGSTER, MLFLOW]


def _content(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return hashlib.sha256("\n".join(connection.iterdump()).encode()).hexdigest()


@pytest.mark.slow
def test_tables_that_a_running_platform_uses_are_left_alone(earlier: Settings):
    write_record(earlier.platform.home)
    _upgrade_tables(earlier, Console(quiet=True))
    assert old_tables(earlier.platform) == [DAGSTER, MLFLOW]
    assert check_migrations(earlier).message == "The tables of Dagster and MLflow are of an earlier release."
    assert backups_in(earlier.platform.backup_place) == {}
