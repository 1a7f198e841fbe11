"""Every grammar point explains its own example, in words that a learner reads at a glance; near misses are not explained."""

from __future__ import annotations

import re
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import cast

import pytest

from correctly_assets.core.correction import ReasonLanguage
from correctly_assets.core.types import Edit
from correctly_assets.correction.annotate import ErrantAnnotator
from correctly_assets.correction.points.choose_point import Explanation, explain
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
    return edits, explain(*annotator().docs(before, after), edits, cast(ReasonLanguage, language))


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


def told_apart(when: object) -> list[dict[str, list[str]]]:
    """The tables of a condition in which words stand with their meaning in English and in Korean."""
    if isinstance(when, list):
        return [each for part in when for each in told_apart(part)]
    if not isinstance(when, dict):
        return []
    own = [when["told_apart"]] if "told_apart" in when else []
    return own + [each for key, part in when.items() if key != "told_apart" for each in told_apart(part)]


@pytest.mark.parametrize("name", sorted(name for name, point in POINTS.items() if told_apart(point.when)))
def test_words_told_apart_by_meaning_are_told_in_25_words(name: str) -> None:
    for table in told_apart(POINTS[name].when):
        for (was, (wrong, kwrong)), (now, (gloss, kgloss)) in permutations(table.items(), 2):
            glosses = {"gloss": gloss, "wrong_gloss": wrong, "kgloss": kgloss, "wrong_kgloss": kwrong}
            for language in ("en", "ko"):
                told = POINTS[name].reason({"was": was, "now": now, **glosses}, language)
                assert len(told.split()) <= MOST_WORDS, told


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


@pytest.mark.parametrize(
    ("before", "after", "point", "english", "korean"),
    [
        ("He waited for a hour.", "He waited for an hour.", "article_form", "is a vowel,", "모음이므로"),
        ("She lives in an yard.", "She lives in a yard.", "article_form", "is a consonant,", "자음이므로"),
        ("I dont eat meat.", "I don't eat meat.", "apostrophe", '"don\'t"', '"don\'t"'),
        ("They didnt know.", "They didn't know.", "apostrophe", '"didn\'t"', '"didn\'t"'),
        ("Horses are fun to drive.", "Horses are fun to ride.", "ride_bike", 'such as "Horses"', '"Horses"'),
        ("My brother is very high.", "My brother is very tall.", "high_tall", "People, trees", "사람, 나무"),
        ("Sit down; I must help you.", "Sit down; I can help you.", "modal_should", "can or may do", "능력이나 허락"),
        ("We looked a match.", "We watched a match.", "look_see_watch", "moves or goes on", "지켜보다"),
        ("The plane raised fast.", "The plane rose fast.", "rise_raise", "has no object", "목적어가 없으므로"),
    ],
)
def test_a_sentence_says_what_is_particular_here(
    before: str, after: str, point: str, english: str, korean: str
) -> None:
    for language, part in (("en", english), ("ko", korean)):
        _, [told] = explained(before, after, language)
        assert told.point == point and part in told.reason


@pytest.mark.parametrize(
    ("before", "after", "points"),
    [
        (
            "I can't hardly see you, can you sit more close?",
            "I can hardly see you. Can you sit closer?",
            ["negative_double", "comma_splice", "comparative_er"],
        ),
        (
            "Dad read while my aunt was helping me painting the fence.",
            "Dad read while my aunt helped me paint the fence.",
            ["progressive_to_simple", None],
        ),
        (
            "They are planning opening a bakery since last spring.",
            "They have been planning to open a bakery since last spring.",
            ["perfect_since", "infinitive"],
        ),
        (
            "The road was closed, so we must walk to home.",
            "The road was closed, so we had to walk home.",
            ["modal_have_to"],
        ),
        (
            "If the butter will melt, the cook use oil.",
            "If the butter melts, the cook will use oil.",
            ["if_will", "will_promise"],
        ),
        ("We have known each other from the nursery school.", "We have known each other since nursery school.", [None]),
    ],
)
def test_edits_are_told_together_only_where_one_point_is_true_of_all(
    before: str, after: str, points: list[str | None]
) -> None:
    _, told = explained(before, after)
    assert [each.point for each in told] == points


def test_a_general_sentence_of_words_that_went_does_not_name_what_stayed() -> None:
    _, [told] = explained("By eastwards we sailed.", "Eastwards we sailed.")
    assert (told.point, told.reason) == (None, '"by" is not needed here.')


def test_a_small_word_that_went_is_not_said_to_have_moved_to_another_place() -> None:
    _, told = explained("Add 50 gram flour and a little of oil.", "Add 50 grams of flour and a little oil.")
    assert not any("natural place" in each.reason for each in told)


def test_edits_beside_a_perfect_are_explained_on_their_own() -> None:
    before = "I am owning this old car since six years but I never washed it."
    after = "I have owned this old car for six years, but I have never washed it."
    _, told = explained(before, after)
    assert [each.point for each in told] == ["stative", "since_for", "comma_but", "perfect_until_now"]


def test_how_long_goes_with_the_present_perfect() -> None:
    _, [told] = explained("How long are you in Leeds?", "How long have you been in Leeds?")
    assert told.point == "perfect_since" and '"how long"' in told.reason


def test_a_number_makes_the_noun_plural_also_before_an_adjective() -> None:
    _, [told] = explained("She ordered two different soup.", "She ordered two different soups.")
    assert told.point == "plural_number" and '"two"' in told.reason


def test_as_soon_as_is_quoted_in_full() -> None:
    _, [told] = explained("I will call you as soon as I will arrive.", "I will call you as soon as I arrive.")
    assert told.point == "if_will" and '"as soon as"' in told.reason


def test_edits_that_belong_together_are_one_group() -> None:
    _, told = explained("Tell me what did he say.", "Tell me what he said.")
    assert [each.point for each in told] == ["embedded_question_do"]
