"""Commands that only read write nothing: not a file, not a table, and no file anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from correctly_assets.core.landing import identified
from correctly_assets.core.types import Example
from correctly_assets.platform.dagster_instance import make_instance, open_instance
from correctly_assets.settings import Settings
from correctly_assets.workflows.wiring import open_platform_store
from correctly_tests.commands import Run

READERS = [
    ("status",),
    ("status", "--json"),
    ("examples",),
    ("rejected",),
    ("quarantine", "list"),
    ("releases",),
    ("leaderboard",),
]


def state(home: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file and folder below HOME: when it was changed, its inode, and what is in it."""
    return {
        str(path.relative_to(home)): (
            path.stat().st_mtime_ns if path.is_file() else 0,
            path.stat().st_ino,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in home.rglob("*")
    }


@pytest.fixture
def platform(settings: Settings) -> Settings:
    """A HOME that a platform has run in."""
    open_platform_store(settings.platform).close()
    make_instance(settings).dispose()
    return settings


@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_a_command_that_reads_writes_nothing(run: Run, platform: Settings, words: tuple[str, ...]) -> None:
    before = state(platform.platform.home)
    code, _, said = run(*words)
    assert code == 0, said
    assert state(platform.platform.home) == before


@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_where_nothing_is_a_reader_says_so_and_makes_nothing(
    run: Run, settings: Settings, words: tuple[str, ...]
) -> None:
    code, out, said = run(*words)
    assert code == 4 and "There is no platform here yet: `correctly up` makes one" in said + out
    assert not settings.platform.home.exists()


def test_status_before_the_first_start_counts_and_says_so(run: Run, settings: Settings) -> None:
    with open_platform_store(settings.platform) as store:
        store.land([identified(Example(id="", before="He go.", after="He goes."))])
    before = state(settings.platform.home)
    value = json.loads(run("status", "--json")[1])
    assert value["landed"] == 1 and value["sensors"] == []
    assert "no platform has run here; `correctly up` starts one" in run("status")[1]
    assert open_instance(settings.platform) is None and state(settings.platform.home) == before


def test_a_store_of_an_earlier_release_is_told_of_and_left_alone(run: Run, settings: Settings) -> None:
    from correctly_assets.store.database import Database
    from correctly_assets.store.migrations import migrate_down, read_migrations

    open_platform_store(settings.platform).close()
    database = Database(settings.platform.store_url)
    migrate_down(database, settings.platform.sql_dir, to=read_migrations(settings.platform.sql_dir)[-2].version)
    database.close()
    before = state(settings.platform.home)
    code, _, said = run("status")
    assert code == 4 and "The store is of an earlier release: `correctly prepare` brings it up to date." in said
    assert state(settings.platform.home) == before
