"""The automatic rollback, on a real store and the fake engine: it fires on live signals, and on nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from correctly_assets.core.types import Correction
from correctly_assets.runtime.join import DirectEngine, open_platform_store
from correctly_assets.runtime.promotion import watch_release
from correctly_assets.settings import Settings, get_settings
from correctly_assets.store import Store
from correctly_tests.serving_fakes import FakeEngine, fake_engine
from correctly_tests.tiny_adapter import put_adapter


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    with fake_engine() as made:
        yield made


@pytest.fixture
def store(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("CORRECTLY_VLLM_PORT", str(engine.port))
    monkeypatch.setenv("CORRECTLY_GATEWAY_PORT", "9")
    get_settings.cache_clear()
    get_settings().home.mkdir(parents=True)
    with open_platform_store(get_settings()) as opened:
        yield opened


def vote(store: Store, release: str, *, ups: int, downs: int) -> None:
    for number in range(ups + downs):
        id = f"c_{release}_{number}"
        store.journal_correction(Correction(id, f"He go {number}.", f"He goes {number}.", (), release, "a", None))
        store.add_feedback(source_key=id, correction_id=id, rating=1 if number < ups else -1)


def watch(store: Store, settings: Settings) -> str | None:
    return watch_release(settings, store, DirectEngine(settings.vllm_url))


def test_thumbs_down_return_to_the_release_before_and_it_stays_there(store: Store):
    settings = get_settings()
    old, new = put_adapter(settings, 1), put_adapter(settings, 2)
    first = store.add_release(adapter=old, base_model="tiny", kind="promotion", why="a test").id
    vote(store, first, ups=18, downs=2)
    second = store.add_release(adapter=new, base_model="tiny", kind="promotion", why="a test").id
    assert watch(store, settings) is None
    vote(store, second, ups=3, downs=14)
    says = watch(store, settings)
    assert says is not None and f"Rolled back from {second} to adapter {old}" in says and "14 of 17 votes" in says
    champion = store.champion()
    assert champion is not None and champion.adapter == old and champion.kind == "rollback"
    assert "automatically" in champion.why
    assert watch(store, settings) is None


def test_answers_that_guards_replaced_count_and_votes_on_other_releases_do_not(store: Store):
    settings = get_settings()
    old, new = put_adapter(settings, 1), put_adapter(settings, 2)
    first = store.add_release(adapter=old, base_model="tiny", kind="promotion", why="a test").id
    vote(store, first, ups=0, downs=30)
    second = store.add_release(adapter=new, base_model="tiny", kind="promotion", why="a test").id
    assert watch(store, settings) is None
    for number in range(240):
        fallback = "loop" if number % 3 == 0 else None
        store.journal_correction(Correction(f"c_{number}", "He go.", "He go.", (), second, new, fallback))
    assert "33 % of 240 answers" in (watch(store, settings) or "")


def test_a_first_release_has_nothing_to_return_to(store: Store):
    first = store.add_release(adapter="x", base_model="tiny", kind="promotion", why="a test").id
    vote(store, first, ups=0, downs=30)
    assert watch(store, get_settings()) is None
