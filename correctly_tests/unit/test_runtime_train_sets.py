"""A train set as the platform makes it: the teacher's pairs less what leaks or straddles, and why, beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from correctly_assets.core.landing import identified
from correctly_assets.core.text import split_of
from correctly_assets.core.types import Example
from correctly_assets.runtime.join import make_train_set, open_platform_store
from correctly_assets.settings import Settings, get_settings
from correctly_assets.store.rejected import read_rejected
from correctly_assets.store.snapshots import write_examples_snapshot

pytestmark = pytest.mark.slow


def build(settings: Settings, *examples: Example):
    settings.home.mkdir(parents=True, exist_ok=True)
    with open_platform_store(settings) as store:
        store.land([identified(example) for example in examples])
        snapshot = write_examples_snapshot(store, settings.snapshots_dir)
    return make_train_set(settings, examples_snapshot=snapshot.id, log=lambda _: None)


def correct(text: str) -> Example:
    return Example(id="", before=text, after=text)


def wanted(split: str, text: str) -> str:
    """The text with a number in it that makes its own hash choose a split."""
    return next(made for n in range(2, 900) if split_of(made := text.format(n)) == split)


def test_a_sentence_of_the_evaluation_set_is_left_out_and_said_to_be(monkeypatch, settings: Settings):
    monkeypatch.setenv("CORRECTLY_TRAIN_PAIRS", "12")
    get_settings.cache_clear()
    settings = get_settings()
    shown = json.loads(settings.evaluation_path.read_text().splitlines()[0])["references"][0]
    made = build(settings, correct(shown), correct("The ferry to the island leaves from the old stone pier at noon."))
    assert made.pairs and all(shown not in (pair.before, pair.after) for pair in made.pairs)
    assert "decontamination" in {refusal.rung for refusal in read_rejected(made.snapshot.path)}
    assert "decontamination" in {refusal.rung for refusal in made.refused}


def test_a_near_duplicate_goes_where_the_earlier_one_went(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("CORRECTLY_TRAIN_PAIRS", "30")
    get_settings.cache_clear()
    text = "The committee that met in the town hall on Thursday evening wants {} more benches along the river walk."
    held, trained = correct(wanted("held_out", text)), correct(wanted("train", text))
    first = build(
        get_settings(), held, correct("Nobody told the new tenants about the leaking roof above the kitchen.")
    )
    assert {pair.split for pair in first.pairs if "committee" in pair.after} == {"held_out"}
    second = build(get_settings(), trained)
    splits = {pair.split for pair in second.pairs if "committee" in pair.after}
    assert splits == {"held_out"}
