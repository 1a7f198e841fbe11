"""A table of reasons names the point where that helps, quotes the words, and explains the same error once."""

from __future__ import annotations

import re

import pytest

from correctly_assets.core.correction import quoted_phrases
from correctly_assets.core.types import Correction, Edit
from correctly_assets.correction.reason_rows import OF_WORDS, named, reason_rows, same_error
from correctly_assets.correction.render import changes_table
from correctly_assets.language.points import MOST_WORDS, areas, load_points, point_told

POINTS = load_points()


def edit(was: str, now: str, point: str | None, reason: str | None = None, **slots: str) -> Edit:
    """An edit explained by a point whose slots are filled with the words given."""
    made = reason or POINTS[point or ""].reason({"was": was, "now": now, **slots})
    return Edit(0, 0, was, now, "R:OTHER", made, "rule", point)


SINCE = edit("works", "has worked", "perfect_since", word="since")
AN = edit("a", "an", "article_form", 'Before a vowel sound it is "an".')


def test_the_name_of_the_point_stands_before_a_reason_that_does_not_say_it() -> None:
    assert named(SINCE) == f"Present perfect with since and for: {SINCE.reason}"


def test_a_korean_reason_has_the_korean_name_of_its_point() -> None:
    korean = POINTS["perfect_since"].reason({"word": "since", "now": "has worked"}, "ko")
    # "since, for와 현재완료" says nothing that the sentence does not.
    assert named(edit("works", "has worked", "perfect_since", korean), "ko") == korean
    article = POINTS["article_missing_job"]
    korean = article.reason(dict.fromkeys(article.slots, "teacher"), "ko")
    assert named(edit("", "a", "article_missing_job", korean), "ko").startswith(f"{article.ko.name}")


def test_a_korean_name_of_words_that_the_reason_quotes_is_left_out() -> None:
    live = POINTS["live_leave"]
    for was, now, shown in (("leave", "live", False), ("left", "was", True)):
        reason = f'"{was}"가 아니라 "{now}"를 씁니다.'
        assert named(edit(was, now, live.id, reason), "ko").startswith(live.ko.name or "") is shown


def test_a_collocation_is_not_named_after_an_example_with_other_words() -> None:
    keep = POINTS["keep_promise"]
    told = edit("hold", "keep", "keep_promise", keep.reason(dict.fromkeys(keep.slots, "secret")))
    assert not named(told).startswith(keep.name)


def test_no_two_points_have_the_same_name() -> None:
    for language in ("en", "ko"):
        names = [point.title(language) for point in POINTS.values()]
        assert len(set(names)) == len(names)


def test_a_name_that_the_reason_says_already_is_left_out() -> None:
    also = edit("also", "even", "also_even")
    assert named(also).endswith(also.reason or "") and not named(also).startswith(POINTS["also_even"].name)


def test_a_reason_without_a_point_or_without_words_stands_as_it_is() -> None:
    assert named(edit("go", "goes", None, "The verb agrees.")) == "The verb agrees."
    assert named(Edit(0, 0, "go", "goes", "R:VERB:SVA")) == ""
    assert named(edit("go", "goes", "no_such_point", "The verb agrees.")) == "The verb agrees."


def test_a_reason_that_quotes_nothing_is_given_the_changed_words() -> None:
    start = edit("the", "The", "capital_start")
    assert '"The"' in named(start) and named(start).endswith(start.reason or "")


def test_a_reason_that_quotes_other_words_is_given_none() -> None:
    about = edit("about ", "", "preposition_extra", '"discussed" takes its object directly.')
    assert named(about) == 'Verbs that take their object directly: "discussed" takes its object directly.'


def test_no_row_has_more_than_25_words_with_its_name() -> None:
    long = edit("works", "has worked", "perfect_since", " ".join(["word"] * 24) + ".")
    assert named(long) == long.reason
    for point in POINTS.values():
        slots = dict.fromkeys(point.slots, "word")
        made = Edit(0, 0, "one two", "three four", "R:OTHER", point.reason(slots), "rule", point.id)
        if len((made.reason or "").split()) <= MOST_WORDS:
            assert len(named(made).split()) <= MOST_WORDS, point.id


def test_the_same_error_twice_is_explained_once_and_referred_to() -> None:
    again = edit("lives", "has lived", "perfect_since", word="for")
    assert reason_rows([SINCE, AN, again])[2] == "3. As in 1."
    assert reason_rows([SINCE, AN, again], "ko")[2] == "3. 1번과 같습니다."
    assert same_error([SINCE, AN, again, again]) == [None, None, 0, 0]


def test_a_point_of_single_words_is_explained_again_for_other_words() -> None:
    point = next(name for name in areas()["confused_words"] if "was" in POINTS[name].slots)
    first, second = (edit(was, now, point, f'It is "{now}", not "{was}".') for was, now in (("a", "b"), ("c", "d")))
    assert POINTS[point].area in OF_WORDS
    assert same_error([first, second]) == [None, None]
    assert same_error([first, edit("A", "B", point, "Another sentence.")]) == [None, 0]


def test_a_reason_told_word_for_word_before_is_referred_to_without_a_point() -> None:
    one = edit("", ",", None, "A comma is needed here.")
    assert reason_rows([one, one]) == ["1. A comma is needed here.", "2. As in 1."]


def test_rows_without_reasons_stay_empty_and_one_row_has_no_number() -> None:
    bare = Edit(0, 0, "go", "goes", "R:VERB:SVA")
    assert reason_rows([bare, bare]) == ["", ""]
    assert not reason_rows([SINCE])[0].startswith("1")


def test_the_table_refers_in_the_language_that_is_asked_for() -> None:
    text = "She works here and works there."
    edits = tuple(Edit(at, at + 5, "works", "has worked", *_like_since()) for at in (4, 19))
    correction = Correction("c", text, "She has worked here and has worked there.", edits)
    assert changes_table(correction).splitlines()[-1] == "| works | has worked | 2. As in 1. |"
    assert changes_table(correction, "ko").splitlines()[-1] == "| works | has worked | 2. 1번과 같습니다. |"


def _like_since() -> tuple[str, str | None, str, str | None]:
    return SINCE.type, SINCE.reason, "rule", SINCE.point


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_sentence_names_its_point_again_and_never_another(language: str) -> None:
    found = 0
    for point in POINTS.values():
        told = point.reason(dict.fromkeys(point.slots, "word"), language)
        known = point_told(told)
        assert known in (None, point), point.id
        found += known is point
    assert found > 0.6 * len(POINTS)


def test_a_reason_with_its_name_and_words_names_its_point_again() -> None:
    start = edit("the", "The", "capital_start")
    for each in (SINCE, start):
        assert getattr(point_told(named(each)), "id", None) == each.point


def test_a_sentence_is_retold_in_the_other_language_with_the_same_words() -> None:
    point = POINTS["perfect_since"]
    korean = point.reason({"word": "since", "now": "has worked"}, "ko")
    assert point.translated(SINCE.reason or "", "ko") == korean
    assert point.translated(korean, "en") == SINCE.reason
    assert point.translated("Another sentence.", "ko") is None


def test_what_is_retold_quotes_the_same_words_and_leaves_no_slot_open() -> None:
    told = 0
    for point in POINTS.values():
        slots = {name: f"word{number}" for number, name in enumerate(sorted(point.slots))}
        english = point.reason(slots)
        korean = point.translated(english, "ko")
        if korean is not None:
            told += 1
            assert "{" not in korean and re.search("[가-힣]", korean)
            made = {word for word in quoted_phrases(korean) if word.startswith("word")}
            assert made <= set(quoted_phrases(english)), point.id
    assert told > 0.5 * len(POINTS)
