"""Every grammar point explains its own example, in words that a learner reads at a glance; near misses are not explained."""

from __future__ import annotations

import re
from functools import cache

import pytest

from correctly_assets.core.types import Edit
from correctly_assets.correction.annotate import ErrantAnnotator
from correctly_assets.correction.points.choose import Explanation, explain
from correctly_assets.language.points import MOST_WORDS, languages, load_points

POINTS = load_points()


@cache
def annotator() -> ErrantAnnotator:
    return ErrantAnnotator(cache_size=4096)


def explained(before: str, after: str, language: str = "en") -> tuple[tuple[Edit, ...], list[Explanation]]:
    edits = annotator().edits(before, after)
    return edits, explain(*annotator().docs(before, after), edits, language)


def test_the_catalogue_has_at_least_300_points() -> None:
    assert len(POINTS) >= 300


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(POINTS))
def test_a_point_explains_its_own_example_and_no_more_particular_one_does(name: str) -> None:
    example = POINTS[name].example
    _, told = explained(example.wrong, example.right)
    assert [each.point for each in told] == [name]


@pytest.mark.slow
@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize("name", sorted(POINTS))
def test_a_point_is_told_in_every_language_in_at_most_25_words(name: str, language: str) -> None:
    example = POINTS[name].example
    [told] = explained(example.wrong, example.right, language)[1]
    assert len(told.reason.split()) <= MOST_WORDS
    assert "{" not in told.reason
    assert told.reason.endswith(".")
    assert told.reason[0] == told.reason[0].upper() or language == "ko"
    assert bool(re.search("[가-힣]", told.reason)) == (language == "ko")


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize("name", sorted(POINTS))
def test_a_point_has_a_longer_text_in_every_language(name: str, language: str) -> None:
    told = POINTS[name].told(language)
    assert 6 <= len(told.long.split()) <= 70
    assert bool(re.search("[가-힣]", told.long)) == (language == "ko")


NEAR_MISSES = [
    ("Water is scared in this region.", "Water is scarce in this region.", {"adjective_from_verb", "adjective_ed"}),
    ("The children were exited about the trip.", "The children were excited about the trip.", {"adjective_from_verb"}),
    ("Push the left peddle with your foot.", "Push the left pedal with your foot.", {"noun_needed"}),
    ("We always buy bred there.", "We always buy bread there.", {"noun_needed"}),
    ("Unfortunatly we were late.", "Unfortunately we were late.", {"sentence_adverb"}),
    ("I have never been to such cold country.", "I have never been to such a cold country.", {"article_illness"}),
    ("Last night I heared a noise.", "Last night I heard a noise.", {"hear_listen"}),
    ("She got married with a doctor.", "She got married to a doctor.", {"preposition_to_place"}),
    ("It was repair last week.", "It was repaired last week.", {"past_marker"}),
    ("He is very responsability.", "He is very responsible.", {"misspelling"}),
    ("The beaches were more clean.", "The beaches were cleaner.", {"double_comparative"}),
    ("Hers are more bright than mine.", "Hers are brighter than mine.", {"double_comparative", "comparative_than"}),
    ("It was heavy wind and strong rain.", "It was strong wind and heavy rain.", {"order_moved"}),
    ("At home we cook.", "At home, we cook.", {"comma_phrase"}),
    ("If it rains. We stay.", "If it rains, we stay.", {"comma_splice"}),
    ("I kept them on a big box.", "I kept them in a big box.", {"confused_word"}),
    ("Come as soon as possibly.", "Come as soon as possible.", {"misspelling", "confused_word"}),
    ("One of them live in Spain.", "One of them lives in Spain.", {"plural_one_of"}),
]


@pytest.mark.parametrize(("before", "after", "false"), NEAR_MISSES, ids=[row[0] for row in NEAR_MISSES])
def test_an_edit_is_not_explained_by_a_point_that_is_false(before: str, after: str, false: set[str]) -> None:
    _, told = explained(before, after)
    assert told
    assert not false & {each.point for each in told}


def test_a_point_takes_no_unrelated_edit_beside_its_own_into_a_group() -> None:
    before = "Dear sir or madam, I write to you because of the broken heater."
    after = "Dear Sir or Madam, I am writing to you because of the broken heater."
    edits, told = explained(before, after)
    assert [each.edit_indexes for each in told] == [(index,) for index in range(len(edits))]


def test_edits_that_belong_together_are_one_group() -> None:
    _, told = explained("Tell me what did he say.", "Tell me what he said.")
    assert [each.point for each in told] == ["embedded_question_do"]
