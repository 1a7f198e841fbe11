"""Restoring real files into an empty HOME, and what is refused."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from correctly_assets.artifacts.backups import FILES, MANIFEST
from correctly_assets.artifacts.examples_snapshot import write_examples_snapshot
from correctly_assets.artifacts.files import sha256_file
from correctly_assets.core.errors import PermanentError, UsageError
from correctly_assets.settings import Settings, get_settings
from correctly_assets.store import open_store
from correctly_assets.store.database import Database
from correctly_assets.store.migrations import migrate_down, read_migrations
from correctly_assets.workflows.back_up import back_up, files_of
from correctly_assets.workflows.restore_backup import restore_backup
from correctly_tests.commands import Run, landed

ADAPTER = "adapters/aaaaaaaaaaaa/adapter_model.safetensors"
GONE = "bus station"


@pytest.fixture
def backup(run: Run, tmp_path: Path, settings: Settings) -> Path:
    """A backup of a platform with four examples, a release, an adapter and a snapshot."""
    landed(run, tmp_path)
    weights = settings.platform.home / ADAPTER
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"w" * 1000)
    with open_store(settings.platform.store_url, settings.platform.sql_dir) as store:
        write_examples_snapshot(store, settings.platform.snapshots_dir)
        store.add_release(adapter="aaaaaaaaaaaa", base_model="gemma-3-270m", kind="promotion", why="It is better.")
    return back_up(settings.platform, tmp_path / "disk").path


@pytest.fixture
def fresh(backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of another machine: an empty HOME."""
    monkeypatch.setenv("CORRECTLY_HOME", str(tmp_path / "fresh"))
    return get_settings()


def content(home: Path) -> dict[str, str]:
    left_out = ("store.sqlite", "backup-places.json")
    return {name: sha256_file(home / name) for name in files_of(home) if name not in left_out}


def test_an_empty_home_becomes_the_same_platform(backup: Path, fresh: Settings, settings: Settings, run: Run):
    code, out, err = run("restore", str(backup), "--json")
    said = json.loads(out)
    assert code == 0, err
    assert content(fresh.platform.home) == content(settings.platform.home) != {}
    assert (said["release"], said["adapter"], said["forgotten"]) == ("r0001", "aaaaaaaaaaaa", [])
    with open_store(fresh.platform.store_url, fresh.platform.sql_dir) as store:
        champion = store.champion()
        assert champion is not None and champion.id == "r0001" and store.counts().landed == 4
    # Dagster's file is this machine's.
    assert str(fresh.platform.home) in (fresh.platform.dagster_home / "dagster.yaml").read_text()
    assert not list(fresh.platform.home.glob(".restoring-*"))


def test_a_home_that_was_only_prepared_is_empty(backup: Path, fresh: Settings):
    open_store(fresh.platform.store_url, fresh.platform.sql_dir).close()
    for folder in ("adapters", "snapshots", "inbox", "mlflow", "logs"):
        (fresh.platform.home / folder).mkdir()
    (fresh.platform.models_dir / "base").mkdir(parents=True)
    (fresh.platform.models_dir / "base" / "model.safetensors").write_text("kept")
    restore_backup(fresh, backup)
    assert (fresh.platform.models_dir / "base" / "model.safetensors").read_text() == "kept"
    assert (fresh.platform.home / ADAPTER).is_file()


def test_a_home_in_use_is_refused_with_the_remedy(backup: Path, run: Run, settings: Settings, tmp_path: Path):
    before = content(settings.platform.home)
    code, _, err = run("restore", str(backup))
    assert code == 2 and "is not empty, it holds store.sqlite" in err and ".old`" in err
    assert content(settings.platform.home) == before


def test_one_foreign_file_is_enough_to_refuse(backup: Path, fresh: Settings):
    (fresh.platform.home / "evaluation").mkdir(parents=True)
    (fresh.platform.home / "evaluation" / "mine.jsonl").write_text("{}")
    with pytest.raises(UsageError, match=r"mine\.jsonl"):
        restore_backup(fresh, backup)


def test_what_was_forgotten_since_does_not_come_back(
    backup: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
):
    rows = {row["before"]: row["id"] for row in json.loads(run("examples", "--json")[1])}
    id = rows[f"He go to the {GONE}."]
    assert run("forget", id)[0] == 0
    monkeypatch.setenv("CORRECTLY_HOME", str(tmp_path / "fresh"))
    code, out, err = run("restore", str(backup), "--json")
    assert code == 0, err
    assert json.loads(out)["forgotten"] == [id]
    home = tmp_path / "fresh"
    assert len(json.loads(run("examples", "--json")[1])) == 3
    holds = [name for name in files_of(home) if GONE.encode() in (home / name).read_bytes()]
    assert holds == []
    import pyarrow.parquet as pq

    (snapshot,) = home.glob("snapshots/*/examples.parquet")
    assert not any(GONE in text for text in pq.read_table(snapshot)["before"].to_pylist())


def test_the_record_of_what_was_forgotten_must_be_readable(backup: Path, fresh: Settings):
    (backup.parent / "forgotten.json").write_text("[")
    with pytest.raises(PermanentError, match="record of forgotten examples"):
        restore_backup(fresh, backup)
    assert not (fresh.platform.home / "store.sqlite").exists()


def test_a_backup_of_an_earlier_release_is_brought_up_to_date(
    settings: Settings, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    landed(run, tmp_path)
    database = Database(settings.platform.store_url)
    migrate_down(database, settings.platform.sql_dir, to="0003")
    database.close()
    made = back_up(settings.platform, tmp_path / "disk")
    assert made.manifest.migrations == ["0001", "0002", "0003"]
    monkeypatch.setenv("CORRECTLY_HOME", str(tmp_path / "fresh"))
    done = restore_backup(get_settings(), tmp_path / "disk")
    newest = [migration.version for migration in read_migrations(settings.platform.sql_dir)]
    assert list(done.migrated) == newest[3:] and done.path == made.path


@pytest.mark.parametrize("harm", ["changed", "missing", "from later"])
def test_a_backup_that_is_not_whole_leaves_home_empty(backup: Path, fresh: Settings, harm: str):
    weights = backup / FILES / ADAPTER
    if harm == "changed":
        weights.write_bytes(b"v" * 1000)
    elif harm == "missing":
        weights.unlink()
    else:
        manifest = json.loads((backup / MANIFEST).read_text())
        (backup / MANIFEST).write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(PermanentError, match=r"another|later release"):
        restore_backup(fresh, backup)
    assert not fresh.platform.home.exists() or not list(fresh.platform.home.iterdir())


def test_a_store_of_a_later_release_is_refused_and_leaves_home_empty(backup: Path, fresh: Settings):
    store = backup / FILES / "store.sqlite"
    connection = sqlite3.connect(store)
    connection.execute("INSERT INTO correctly_schema_version VALUES ('9999', 'later', 'x', 'now')")
    connection.commit()
    connection.close()
    manifest = json.loads((backup / MANIFEST).read_text())
    manifest["files"]["store.sqlite"]["sha256"] = sha256_file(store)
    (backup / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(PermanentError, match="9999"):
        restore_backup(fresh, backup)
    assert list(fresh.platform.home.iterdir()) == []


def test_a_folder_without_backups_and_the_wrong_database_are_said(
    backup: Path, fresh: Settings, tmp_path: Path, run: Run
):
    assert run("restore", str(tmp_path))[0] == 2
    team = fresh.changed(platform={"database_url": "postgresql://nobody@127.0.0.1:1/none"})
    with pytest.raises(UsageError, match="unset CORRECTLY_DATABASE_URL"):
        restore_backup(team, backup)


def test_another_base_model_is_said(backup: Path, fresh: Settings, tmp_path: Path):
    done = restore_backup(fresh.changed(training={"base_model": str(tmp_path)}), backup)
    assert any("trained on gemma-3-270m" in sentence for sentence in done.left)
