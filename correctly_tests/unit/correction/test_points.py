"""Every grammar point explains its own example, in words that a learner reads at a glance; near misses are not explained."""

from __future__ import annotations

import re
from functools import cache

import pytest

from correctly_assets.core.types import Edit
from correctly_assets.correction.annotate import ErrantAnnotator
from correctly_assets.correction.points.choose import Explanation, explain
from correctly_assets.language.points import MOST_WORDS, areas, languages, load_points

POINTS = load_points()


@cache
def annotator() -> ErrantAnnotator:
    return ErrantAnnotator(cache_size=4096)


def explained(before: str, after: str, language: str = "en") -> tuple[tuple[Edit, ...], list[Explanation]]:
    edits = annotator().edits(before, after)
    return edits, explain(*annotator().docs(before, after), edits, language)


def test_the_catalogue_has_at_least_300_points_in_21_areas() -> None:
    assert len(POINTS) >= 300
    assert len(areas()) == 21
    assert sorted(point for ids in areas().values() for point in ids) == sorted(POINTS)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(POINTS))
def test_a_point_explains_its_own_example_and_no_more_particular_one_does(name: str) -> None:
    example = POINTS[name].example
    _, told = explained(example.wrong, example.right)
    assert [each.point for each in told] == [name], [(each.point, each.alternatives) for each in told]


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
