"""Backups of real SQLite files and real directories, while others write to them."""

from __future__ import annotations

import json
import multiprocessing
import sqlite3
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from correctly_assets.artifacts.backups import FILES, backups_in, forgotten_in, place_for_backups, read_backup
from correctly_assets.artifacts.files import sha256_file
from correctly_assets.core.errors import PermanentError, RetryableError, UnreachableError
from correctly_assets.settings import Settings
from correctly_assets.store import Store
from correctly_assets.workflows.back_up import back_up, newest_backup
from correctly_tests.commands import Run, landed

NOW = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)


def put(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def database(path: Path, rows: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE run (id INTEGER)")
    connection.executemany("INSERT INTO run VALUES (?)", [(n,) for n in range(rows)])
    connection.commit()
    connection.close()
    return path


def rows_in(path: Path, table: str = "run") -> int:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    finally:
        connection.close()


@pytest.fixture
def home(settings: Settings, store: Store) -> Path:
    """A HOME with one of everything."""
    home = settings.platform.home
    database(home / "dagster" / "storage" / "runs.db")
    database(home / "mlflow" / "mlflow.db", 4)
    database(home / "webui" / "webui.db", 5)
    put(home / "adapters" / "aaaaaaaaaaaa" / "adapter_model.safetensors", "w" * 10_000)
    put(home / "snapshots" / "bbbbbbbbbbbb" / "train.parquet", "rows")
    put(home / "gateway-keys.json", "{}")
    put(home / "webui" / "secret-key", "secret")
    for left_out in ("models/base/model.safetensors", "logs/gateway.log", "near/index", "adapters/.new-1/weights"):
        put(home / left_out)
    return home


def test_a_backup_holds_every_database_and_file_with_its_hash(home: Path, settings: Settings):
    made = back_up(settings.platform, now=NOW)
    manifest = read_backup(made.path)
    files = made.path / FILES
    assert made.path == home / "backups" / "20260301T023000Z"
    assert set(manifest.files) == {
        "adapters/aaaaaaaaaaaa/adapter_model.safetensors",
        "dagster/storage/runs.db",
        "gateway-keys.json",
        "mlflow/mlflow.db",
        "snapshots/bbbbbbbbbbbb/train.parquet",
        "store.sqlite",
        "webui/secret-key",
        "webui/webui.db",
    }
    assert all(sha256_file(files / name) == file.sha256 for name, file in manifest.files.items())
    assert [rows_in(files / name) for name in ("dagster/storage/runs.db", "mlflow/mlflow.db", "webui/webui.db")] == [
        3,
        4,
        5,
    ]
    assert manifest.migrations[0] == "0001" and {"correctly", "dagster", "mlflow"} <= set(manifest.versions)
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o700


def test_what_is_not_yet_checkpointed_is_in_the_backup(home: Path, settings: Settings):
    writer = sqlite3.connect(home / "mlflow" / "mlflow.db")
    writer.execute("PRAGMA wal_autocheckpoint = 0")
    writer.execute("INSERT INTO run VALUES (99)")
    writer.commit()
    writer.execute("INSERT INTO run VALUES (100)")  # not committed
    made = back_up(settings.platform, now=NOW)
    writer.close()
    assert rows_in(made.path / FILES / "mlflow" / "mlflow.db") == 5


def _write_pairs(path: str, stop: multiprocessing.synchronize.Event) -> None:  # pyright: ignore[reportAttributeAccessIssue]
    connection = sqlite3.connect(path, timeout=30)
    number = 0
    while not stop.is_set():
        with connection:
            connection.execute("INSERT INTO a VALUES (?)", (number,))
            connection.execute("INSERT INTO b VALUES (?)", (number,))
        number += 1


def test_a_backup_beside_a_writer_is_one_moment_of_the_database(home: Path, settings: Settings):
    path = home / "dagster" / "busy.db"
    connection = sqlite3.connect(path)
    connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE a (n INTEGER); CREATE TABLE b (n INTEGER);")
    connection.close()
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    writer = context.Process(target=_write_pairs, args=(str(path), stop))
    writer.start()
    try:
        while not rows_in(path, "a"):
            pass
        copies = [
            back_up(settings.platform, now=NOW + timedelta(seconds=n)).path / FILES / "dagster" / "busy.db"
            for n in range(5)
        ]
    finally:
        stop.set()
        writer.join()
    counts = [(rows_in(copy, "a"), rows_in(copy, "b")) for copy in copies]
    assert all(a == b > 0 for a, b in counts), counts


def test_unchanged_files_are_links_to_the_backup_before_never_to_home(home: Path, settings: Settings):
    weights = "adapters/aaaaaaaaaaaa/adapter_model.safetensors"
    first, changed = (
        back_up(settings.platform, now=NOW),
        put(home / "snapshots" / "bbbbbbbbbbbb" / "train.parquet", "other rows"),
    )
    second = back_up(settings.platform, now=NOW + timedelta(hours=1))
    inodes = [(root / weights).stat().st_ino for root in (home, first.path / FILES, second.path / FILES)]
    assert inodes[1] == inodes[2] != inodes[0]
    assert (second.path / FILES / "snapshots" / "bbbbbbbbbbbb" / "train.parquet").read_text() == changed.read_text()
    assert (first.path / FILES / "snapshots" / "bbbbbbbbbbbb" / "train.parquet").read_text() == "rows"
    assert second.new_bytes < first.new_bytes - 9_000


def test_a_damaged_database_ends_the_backup_and_leaves_nothing_half_made(home: Path, settings: Settings):
    path = database(home / "webui" / "webui.db2", 5000)
    content = bytearray(path.read_bytes())
    content[4096 : 4096 * 3] = b"\xff" * 4096 * 2
    path.write_bytes(content)
    with pytest.raises(PermanentError, match=r"webui\.db2 is damaged"):
        back_up(settings.platform, now=NOW)
    assert [path.name for path in (home / "backups").iterdir() if path.is_dir()] == []


def test_a_killed_backup_is_cleared_and_is_no_backup(home: Path, settings: Settings):
    put(home / "backups" / ".new-killed" / "home" / "store.sqlite")
    made = back_up(settings.platform, now=NOW)
    assert list(backups_in(home / "backups")) == [made.path]
    assert not (home / "backups" / ".new-killed").exists()


def test_two_backups_at_once_do_not_mix(home: Path, settings: Settings):
    with place_for_backups(home / "backups"), pytest.raises(RetryableError, match="being made"):
        back_up(settings.platform, now=NOW)


def test_old_backups_are_removed_and_others_folders_are_not(home: Path, settings: Settings):
    keep = put(home / "backups" / "mine" / "notes.txt")
    made = [back_up(settings.platform, now=NOW + timedelta(days=day)) for day in range(40)]
    there = list(backups_in(home / "backups"))
    assert len(there) <= 11 and there[-7:] == [backup.path for backup in made[-7:]]
    assert made[-1].kept == len(there) and keep.is_file()
    assert not list((home / "backups").glob(".new-*"))


def test_the_newest_is_found_wherever_it_was_made(home: Path, settings: Settings, tmp_path: Path):
    assert newest_backup(settings.platform) is None
    back_up(settings.platform, now=NOW)
    there = back_up(settings.platform, tmp_path / "disk", now=NOW + timedelta(hours=1))
    found = newest_backup(settings.platform)
    assert found is not None and found[0] == there.path


def test_without_a_platform_there_is_nothing_to_back_up(settings: Settings):
    with pytest.raises(UnreachableError, match="correctly up"):
        back_up(settings.platform)
    assert not settings.platform.home.exists()


def test_the_command_prints_where_it_is_and_json(run: Run, tmp_path: Path):
    landed(run, tmp_path)
    code, out, _ = run("backup", "--to", str(tmp_path / "disk"), "--json")
    said = json.loads(out)
    assert code == 0 and said["kept"] == 1 and said["files"] >= 1 and said["removed"] == []
    assert Path(said["path"]).parent == tmp_path / "disk" and (Path(said["path"]) / "backup.json").is_file()
    assert run("backup")[0] == 0


def test_forgetting_is_noted_beside_every_place_of_backups(run: Run, tmp_path: Path, settings: Settings):
    ids = landed(run, tmp_path)
    id = ids["He go to the bus station."]
    run("backup")
    run("backup", "--to", str(tmp_path / "disk"))
    said = json.loads(run("forget", id, "--json")[1])
    assert forgotten_in(tmp_path / "disk") == forgotten_in(settings.platform.backup_place) == {id}
    assert sum("a restore leaves it out" in sentence for sentence in said["left"]) == 2
    # A place that was away learns of it with the next backup.
    run("backup", "--to", str(tmp_path / "late"))
    assert forgotten_in(tmp_path / "late") == {id}
    assert "bus station" not in (tmp_path / "late" / "forgotten.json").read_text()
