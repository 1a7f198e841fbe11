"""How likely an edit is right: the base model's gains beside the adapter's own probability."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from pydantic import ValidationError

from correctly_assets.core.types import Edit
from correctly_assets.correction.bounds import Bounds, ModeBounds, read_bounds, write_bounds
from correctly_assets.correction.edit_judge import FEATURES, FIRST_FEATURES, MOST_GAIN, Judge, features, gains

TEXT = "He go to school yesterday."
GO = Edit(3, 5, "go", "went", "R:VERB:TENSE")
TO_THE = Edit(9, 9, "", "the ", "M:DET")
EDITS = [GO, TO_THE]


def weights(**named: float) -> Judge:
    return Judge(weights=[named.get(name, 0.0) for name in FEATURES])


def test_a_gain_is_taken_over_the_sentence_as_it_was_written() -> None:
    scores = {TEXT: -40.0, "He went to school yesterday.": -30.0, "He go to the school yesterday.": -41.0}
    asked: list[str] = []

    async def score(sentences: Sequence[str]) -> list[float]:
        asked.extend(sentences)
        return [scores[sentence] for sentence in sentences]

    assert asyncio.run(gains(score, TEXT, EDITS)) == [10.0, -1.0]
    assert sorted(asked) == sorted(scores)
    assert asyncio.run(gains(score, TEXT, [])) == [] and len(asked) == 3


def test_an_edit_that_the_base_model_likes_better_is_likelier_right() -> None:
    judge = weights(gain=1.0)
    liked, disliked = judge.probability(GO, 0.8, 6, 1), judge.probability(GO, 0.8, -6, 1)
    assert disliked < 0.05 < 0.95 < liked


def test_a_gain_beyond_the_most_says_no_more() -> None:
    judge = weights(gain=1.0)
    assert judge.probability(GO, 0.5, MOST_GAIN, 1) == judge.probability(GO, 0.5, 400, 1)
    assert judge.probability(GO, 0.5, MOST_GAIN - 1, 1) < judge.probability(GO, 0.5, MOST_GAIN, 1)


def test_the_only_edit_of_a_sentence_has_weights_of_its_own() -> None:
    judge = weights(lone_gain=1.0)
    assert judge.probability(GO, 0.5, 2, 1) > judge.probability(GO, 0.5, 2, 2) == 0.5


def test_a_judge_of_before_the_last_features_still_counts() -> None:
    older = Judge(weights=[1.0] * FIRST_FEATURES)
    newer = Judge(weights=[1.0] * FIRST_FEATURES + [0.0] * (len(FEATURES) - FIRST_FEATURES))
    assert older.probability(GO, 0.7, 2, 1) == newer.probability(GO, 0.7, 2, 1)


def test_an_edit_is_settled_where_no_gain_could_change_its_fate() -> None:
    judge = weights(confidence=1.0, gain=0.1)
    assert judge.settles(GO, 0.99, 1, 0.6) is True
    assert judge.settles(GO, 0.05, 1, 0.6) is False
    assert judge.settles(GO, 0.6, 1, 0.6) is None
    for confidence in (0.05, 0.6, 0.99):
        settled = judge.settles(GO, confidence, 1, 0.6)
        outcomes = {judge.probability(GO, confidence, gain, 1) >= 0.6 for gain in range(-30, 31)}
        assert outcomes == ({True, False} if settled is None else {settled})


def test_a_deletion_and_an_insertion_are_told_apart() -> None:
    named = dict(zip(FEATURES, features(TO_THE, 0.5, 0, 2), strict=True))
    assert (named["drops"], named["brings"]) == (0.0, 1.0)
    named = dict(zip(FEATURES, features(Edit(0, 3, "He ", "", "U:PRON"), 0.5, 0, 2), strict=True))
    assert (named["drops"], named["brings"]) == (1.0, 0.0)


def test_the_only_edit_of_a_sentence_is_held_to_its_own_bound() -> None:
    bounds = Bounds(edit=0.5, word=0.5, alone=0.8)
    assert (bounds.least(GO, 1), bounds.least(GO, 2)) == (0.8, 0.5)
    assert Bounds(edit=0.9, alone=0.8).least(GO, 1) == 0.9
    assert not Bounds(edit=0, word=0, alone=0.1).takes_all


def test_a_judge_travels_in_the_bounds_file(tmp_path) -> None:
    bounds = ModeBounds(careful=Bounds(edit=0.7, word=0.7), judge=weights(bias=1.5, gain=0.25))
    write_bounds(tmp_path, bounds)
    assert read_bounds(tmp_path) == bounds


def test_a_judge_with_another_number_of_weights_is_refused() -> None:
    with pytest.raises(ValidationError):
        Judge(weights=[1.0, 2.0])
