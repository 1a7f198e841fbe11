"""Every grammar point explains its own example, in words that a learner reads at a glance; near misses are not explained."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from correctly_assets.core.types import Edit
from correctly_assets.correction.annotate import ErrantAnnotator
from correctly_assets.correction.points.choose import Explanation, explain
from correctly_assets.language.points import (
    GENERAL_FILE,
    GRAMMAR_DIR,
    MOST_WORDS,
    languages,
    load_points,
    read_words,
)

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
    told = POINTS[name].wording(language)
    assert 6 <= len(told.long.split()) <= 70
    assert bool(re.search("[가-힣]", told.long)) == (language == "ko")


@pytest.mark.parametrize("name", sorted(POINTS))
def test_korean_is_told_in_the_formal_style_throughout(name: str) -> None:
    told = POINTS[name].ko
    endings = re.findall(r"\S+(?=[.?!](?:\s|$))", f"{told.short} {told.long}")
    assert not [ending for ending in endings if ending.endswith("요")]
    assert told.short.endswith("니다.") and told.long.endswith("니다.")


NEAR_MISSES: dict[str, list[tuple[str, str, list[str]]]] = read_words(
    Path(__file__).parents[2] / "cases" / "near_misses.yaml"
)


@pytest.mark.parametrize("area", sorted({path.stem for path in GRAMMAR_DIR.glob("*.yaml")} - {Path(GENERAL_FILE).stem}))
def test_every_area_has_at_least_5_near_misses_of_its_points(area: str) -> None:
    own = {row["id"] for row in read_words(GRAMMAR_DIR / f"{area}.yaml")}
    rows = NEAR_MISSES[area]
    assert len(rows) >= 5
    assert all(own & set(false) and set(false) <= POINTS.keys() for *_, false in rows)


@pytest.mark.parametrize(
    ("before", "after", "false"),
    [row for rows in NEAR_MISSES.values() for row in rows],
    ids=[before for rows in NEAR_MISSES.values() for before, *_ in rows],
)
def test_an_edit_is_not_explained_by_a_point_that_is_false(before: str, after: str, false: list[str]) -> None:
    _, told = explained(before, after)
    assert told
    assert not set(false) & {each.point for each in told}


def test_a_point_takes_no_unrelated_edit_beside_its_own_into_a_group() -> None:
    before = "Dear sir or madam, I write to you because of the broken heater."
    after = "Dear Sir or Madam, I am writing to you because of the broken heater."
    edits, told = explained(before, after)
    assert [each.edit_indexes for each in told] == [(index,) for index in range(len(edits))]


def test_as_soon_as_is_quoted_in_full() -> None:
    _, [told] = explained("I will call you as soon as I will arrive.", "I will call you as soon as I arrive.")
    assert told.point == "if_will" and '"as soon as"' in told.reason


def test_edits_that_belong_together_are_one_group() -> None:
    _, told = explained("Tell me what did he say.", "Tell me what he said.")
    assert [each.point for each in told] == ["embedded_question_do"]
