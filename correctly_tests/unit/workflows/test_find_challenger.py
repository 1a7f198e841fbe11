"""Which adapter is the challenger: the last one that was judged whole and never served."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict

import pytest

from correctly_assets.core.gate import Measured
from correctly_assets.core.types import Correction
from correctly_assets.settings import Settings
from correctly_assets.store import Store, open_store
from correctly_assets.workflows.find_challenger import find_challenger, shadow_message


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with open_store(settings.platform.store_url, settings.platform.sql_dir) as opened:
        yield opened


MEASURED = asdict(Measured("c", "b", None, 400, {}, None, overcorrected=4.0, run_on=0))


def judged(settings: Settings, adapter: str, at: int, **measured: object) -> None:
    directory = settings.platform.adapters_dir / adapter
    directory.mkdir(parents=True)
    report = {"adapter": adapter, "verdict": "refuse", "measured": MEASURED | {"candidate": adapter} | measured}
    path = directory / "report.json"
    path.write_text(json.dumps(report))
    os.utime(path, (at, at))


def test_the_last_judged_that_never_served_is_chosen(settings: Settings, store: Store) -> None:
    assert find_challenger(settings.platform, store) is None
    for at, adapter in enumerate(("older", "refused", "champion")):
        judged(settings, adapter, 1000 + at)
    (settings.platform.adapters_dir / "unjudged").mkdir()
    store.add_release(adapter="champion", base_model="b", kind="promotion", why="a test")
    assert find_challenger(settings.platform, store) == "refused"
    assert find_challenger(settings.platform, store, {"refused"}) == "older"
    assert find_challenger(settings.platform, store, {"refused", "older"}) is None


def test_one_that_corrupted_the_engine_is_never_loaded_beside_the_champion(settings: Settings, store: Store) -> None:
    judged(settings, "poison", 2000, corrupted=3)
    broken = settings.platform.adapters_dir / "broken"
    broken.mkdir()
    (broken / "report.json").write_text("{")
    assert find_challenger(settings.platform, store) is None


def test_an_adapters_answers_are_told_in_words_where_it_gave_some(settings: Settings, store: Store) -> None:
    store.journal_correction(Correction("c1", "He go.", "He goes.", (), "r0001", "a"))
    store.journal_shadow("c1", Correction("x", "He go.", "He goes.", (), None, "ch"))
    assert shadow_message(store, "other") is None
    assert "Challenger ch answered 1 real request beside" in str(shadow_message(store, "ch"))
