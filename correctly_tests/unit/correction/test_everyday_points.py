"""Everyday edits: the point that a teacher would name, and sentences that do not say what the edit does not show."""

from __future__ import annotations

from functools import cache

import pytest

from correctly_assets.correction.annotate import ErrantAnnotator
from correctly_assets.correction.points.choose import explain
from correctly_assets.language.points import load_points


@cache
def annotator() -> ErrantAnnotator:
    return ErrantAnnotator(cache_size=256)


EVERYDAY = [
    ("It is getting more colder.", "It is getting colder.", "double_comparative"),
    ("This coat is more cheap.", "This coat is cheaper.", "comparative_er"),
    ("Despite of the rain, we went out.", "Despite the rain, we went out.", "despite_of"),
    ("I don't understand how does this work.", "I don't understand how this works.", "embedded_question_do"),
    ("I am agree with you.", "I agree with you.", "am_agree"),
    ("I have been to Paris last year.", "I went to Paris last year.", "perfect_finished"),
    ("We discussed about the problem.", "We discussed the problem.", "preposition_extra"),
    ("I like very much this song.", "I like this song very much.", "adverb_after_object"),
    ("If I will see him, I will tell him.", "If I see him, I will tell him.", "if_will"),
    ("I did a mistake.", "I made a mistake.", "make_do"),
    ("I want that you come.", "I want you to come.", "want_that"),
    ("She suggested me to go.", "She suggested that I go.", "suggest_object"),
    ("How do you think about it?", "What do you think about it?", "how_think"),
    ("How do you call this?", "What do you call this?", "how_call"),
    ("I know to swim.", "I know how to swim.", "know_how"),
    ("I know swim.", "I know how to swim.", "know_how"),
    ("We want to go to abroad.", "We want to go abroad.", "go_abroad"),
    ("I had no choice than to leave.", "I had no choice but to leave.", "no_choice_but"),
    ("I had no choice but leaving.", "I had no choice but to leave.", "no_choice_but"),
    ("Almost of the students passed.", "Almost all of the students passed.", "almost_all"),
    ("Almost people like him.", "Almost all people like him.", "almost_all"),
    ("He not only sings, also dances.", "He not only sings but also dances.", "not_only_but_also"),
    ("The reason is because I was ill.", "The reason is that I was ill.", "reason_is_that"),
    ("Every of the rooms is big.", "Each of the rooms is big.", "every_of"),
    ("I went to the the shop.", "I went to the shop.", "doubled_word"),
    ("We ate apples, pears and etc.", "We ate apples, pears, etc.", "and_etc"),
    ("I don't have no money.", "I don't have any money.", "double_negative"),
    ("I have any time today.", "I have no time today.", "any_no"),
    ("We met at five oclock.", "We met at five o'clock.", "o_clock"),
    ("We met at 5:30 o'clock.", "We met at 5:30.", "o_clock_full_hours"),
]


@pytest.mark.parametrize(("before", "after", "point"), EVERYDAY, ids=[row[0] for row in EVERYDAY])
def test_an_everyday_edit_is_told_the_point_a_teacher_names(before: str, after: str, point: str) -> None:
    edits = annotator().edits(before, after)
    [told] = explain(*annotator().docs(before, after), edits)
    assert told.point == point
    assert told.edit_indexes == tuple(range(len(edits)))


def test_a_double_comparative_is_told_that_the_comparative_is_there() -> None:
    before, after = "It is getting more colder.", "It is getting colder."
    [told] = explain(*annotator().docs(before, after), annotator().edits(before, after))
    assert told.reason == '"colder" is already a comparative, so it takes no "more".'


def test_want_is_told_of_in_a_whole_sentence_and_not_with_cut_words() -> None:
    assert "{now}" not in load_points()["want_that"].en.short + load_points()["want_that"].ko.short
