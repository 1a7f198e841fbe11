"""The drill, over the fake engine: a broken copy is refused and leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from correctly_assets.core.errors import PermanentError
from correctly_assets.settings import Settings
from correctly_assets.store import Store, open_store
from correctly_assets.workflows.drill import run_drill
from correctly_assets.workflows.make_corrector import DirectEngine
from correctly_tests.serving_fakes import FakeEngine, fake_engine
from correctly_tests.tiny_adapter import put_adapter


class AllBut(set[str]):
    """Every name but these."""

    def __contains__(self, name: object) -> bool:
        return not super().__contains__(name)


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    with fake_engine() as made:
        yield made


@pytest.fixture
def settings(tmp_path: Path, engine: FakeEngine) -> Settings:
    home = tmp_path / "home"
    home.mkdir()
    return Settings().changed(platform={"home": home}, serving={"vllm_port": engine.port})


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with open_store(settings.platform.store_url, settings.platform.sql_dir) as opened:
        yield opened


def test_a_broken_copy_is_refused_and_the_champion_answers_again(
    settings: Settings, store: Store, engine: FakeEngine
) -> None:
    champion = put_adapter(settings, seed=1)
    store.add_release(adapter=champion, base_model="tiny", kind="promotion", why="better")
    # As vLLM answers under weights that pull the other way.
    engine.drifted = AllBut({champion})
    done = asyncio.run(run_drill(settings, store, DirectEngine(engine.url)))
    assert (done.adapter, done.rule) == (champion, "agrees_with_training")
    assert done.detected_seconds > 0 and done.recovered_seconds > 0
    assert set(engine.registered) == {champion} and len(store.releases()) == 1
    assert not (settings.platform.home / "run" / "drill").exists()


def test_a_copy_that_passes_for_a_good_one_fails_the_drill_and_is_unloaded(
    settings: Settings, store: Store, engine: FakeEngine
) -> None:
    store.add_release(adapter=put_adapter(settings, seed=1), base_model="tiny", kind="promotion", why="better")
    with pytest.raises(PermanentError, match="taken for a good one"):
        asyncio.run(run_drill(settings, store, DirectEngine(engine.url)))
    assert not engine.registered and not (settings.platform.home / "run" / "drill").exists()


def test_without_a_champion_there_is_nothing_to_break(settings: Settings, store: Store, engine: FakeEngine) -> None:
    with pytest.raises(PermanentError, match="No adapter has been promoted"):
        asyncio.run(run_drill(settings, store, DirectEngine(engine.url)))
