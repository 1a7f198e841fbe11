"""Upgrades of a real store: a backup first, and nothing half done."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from correctly_assets.artifacts.backups import backups_in
from correctly_assets.core.errors import PermanentError, UnreachableError
from correctly_assets.resources.store_resource import StoreResource
from correctly_assets.settings import Settings
from correctly_assets.store.database import Database
from correctly_assets.store.migrations import applied_migrations
from correctly_assets.workflows.restore_backup import restore_backup
from correctly_assets.workflows.upgrade_store import upgrade_store
from correctly_assets.workflows.wiring import open_platform_store
from correctly_tests.commands import Run, landed


@pytest.fixture
def next_release(settings: Settings, run: Run, tmp_path: Path) -> Settings:
    """A store of this release, and the settings of one that has two migrations more."""
    landed(run, tmp_path)
    sql = tmp_path / "sql"
    shutil.copytree(settings.platform.sql_dir, sql)
    add(sql, "9001", "CREATE TABLE later (id TEXT)", "DROP TABLE later")
    add(sql, "9002", "CREATE TABLE latest (id TEXT)", "DROP TABLE latest")
    return settings.changed(platform={"sql_dir": sql})


def add(sql: Path, version: str, up: str, down: str) -> None:
    for way, statement in (("up", up), ("down", down)):
        (sql / "migrations" / f"{version}_test.{way}.sql").write_text(statement)


def versions(settings: Settings) -> list[str]:
    database = Database(settings.platform.store_url)
    try:
        return applied_migrations(database)
    finally:
        database.close()


def test_a_new_store_and_one_that_is_up_to_date_need_no_backup(settings: Settings):
    open_platform_store(settings.platform).close()
    open_platform_store(settings.platform).close()
    assert backups_in(settings.platform.backup_place) == {}


def test_an_upgrade_begins_with_a_backup_that_can_be_restored(
    next_release: Settings, settings: Settings, tmp_path: Path
):
    before = versions(settings)
    open_platform_store(next_release.platform).close()
    assert versions(settings) == [*before, "9001", "9002"]
    ((path, manifest),) = backups_in(settings.platform.backup_place).items()
    assert manifest.why == "before a migration: 9001, 9002" and manifest.migrations == before
    # The way back: the earlier release on the backup.
    back = settings.changed(platform={"home": tmp_path / "back"})
    restore_backup(back, path)
    with open_platform_store(back.platform) as store:
        assert store.counts().landed == 4 and versions(back) == before


def test_of_several_that_start_at_once_one_backs_up(next_release: Settings):
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: upgrade_store(next_release.platform), range(4)))
    assert sum(backup is not None for backup in made) == 1
    assert len(backups_in(next_release.platform.backup_place)) == 1


def test_a_migration_that_fails_takes_the_whole_upgrade_back(next_release: Settings, settings: Settings):
    before = versions(settings)
    add(next_release.platform.sql_dir, "9003", "INSERT INTO nowhere VALUES (1)", "SELECT 1")
    with pytest.raises(PermanentError, match=r"taken back.*earlier release"):
        open_platform_store(next_release.platform)
    assert versions(settings) == before
    with open_platform_store(settings.platform) as store:
        assert store.counts().landed == 4


def test_without_a_backup_there_is_no_upgrade(next_release: Settings, settings: Settings):
    before = versions(settings)
    settings.platform.backup_place.write_text("a file where the folder should be")
    with pytest.raises(PermanentError, match="not upgraded, for the backup before it failed"):
        open_platform_store(next_release.platform)
    assert versions(settings) == before


def test_dagster_leaves_a_store_of_an_earlier_release_as_it_is(next_release: Settings, settings: Settings):
    before, platform = versions(settings), next_release.platform
    resource = StoreResource(url=platform.store_url, sql_dir=str(platform.sql_dir))
    with pytest.raises(UnreachableError, match="correctly prepare"), resource.open():
        pass
    assert versions(settings) == before
