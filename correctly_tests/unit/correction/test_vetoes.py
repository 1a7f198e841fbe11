"""An edit may correct the words; what they say stays the writer's."""

from __future__ import annotations

import pytest

from correctly_assets.core.edits import apply_edits
from correctly_assets.correction.annotate import ErrantAnnotator
from correctly_assets.correction.segment import protected_spans
from correctly_assets.correction.vetoes import kept_edits, vetoed, whole


@pytest.fixture(scope="module")
def annotator() -> ErrantAnnotator:
    return ErrantAnnotator(cache_size=256)


def whys(annotator: ErrantAnnotator, before: str, after: str) -> set[str]:
    edits = annotator.edits(before, after)
    assert edits
    return {why for edit in edits if (why := vetoed(edit, before, after, protected_spans(before), annotator))}


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("See https://x.org/a-b now.", "See https://x.org/a-c now.", "protected"),
        ("It costs 20 euros in 2019.", "It costs 20 euros in 2018.", "number"),
        ("It costs 20 euros.", "It costs euros.", "number"),
        ("We arrived to Lisbon at midnight.", "We arrived at midnight.", "name"),
        ("He baked the Engadiner cake.", "He baked the English cake.", "name"),
        ("They do not like it.", "They like it.", "negation"),
        ("They like it.", "They don't like it.", "negation"),
        ("He wrote to the bank and moved on to lunch.", "He wrote to the bank.", "clause"),
        ("My goat is here.", "My gloat is heere.", "unknown word"),
        ("We saw the Achterberg's goat.", "We saw the Achberg's goat.", "unknown word"),
        ("He meets a SPECTRE agent.", "He meets an SPECTRE agent.", "article"),
        ("He is a user.", "He is an user.", "article"),
        ("It is a FREE event.", "It is a free event.", "capitals"),
        ("What it is is clear.", "What it is clear.", "twice"),
        ("He is now here.", "He is not here.", "negation"),
        ("iPhones show it twice.", "IPhones show it twice.", "capitals"),
        ("Ask d'Souza about it.", "Ask D'Souza about it.", "capitals"),
        ("Set api_timeout first.", "Set API_timeout first.", "capitals"),
    ],
)
def test_an_edit_that_changes_what_is_said_is_vetoed(annotator, before, after, why):
    assert why in whys(annotator, before, after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("I recieve it in Wensday.", "I receive it on Wednesday."),
        ("He go to school.", "He goes to school."),
        ("He wants presents.", "He wanted a present."),
        ("I don't know nothing.", "I don't know anything."),
        ("I have 3 cat.", "I have three cats."),
        ("It is in the year of 1990's.", "It is in the 1990s."),
        ("Because of the fact that it rained, we left.", "Because it rained, we left."),
        ("The colour of my color TV.", "The colour of my colour TV."),
        ("I dont like it.", "I don't like it."),
        ("We love the paris.", "We love Paris."),
        ("My brother he is tall.", "My brother is tall."),
        ("She has a M.A. and an user.", "She has an M.A. and a user."),
        ("I AM here.", "I am here."),
        ("I is is here.", "I am here."),
        ("I cna't do it.", "I can't do it."),
        ("I dn't know.", "I don't know."),
        ("There is know reason to go.", "There is no reason to go."),
        ("I wuld like to no why.", "I would like to know why."),
    ],
)
def test_an_edit_that_corrects_is_not(annotator, before, after):
    assert whys(annotator, before, after) == set()


def test_the_sound_edits_of_an_answer_are_taken_over_without_the_others(annotator):
    before = "He go to Lisbon by foot and he like it there."
    edits = annotator.edits(before, "He goes to London on foot and he likes it there.")
    assert (
        apply_edits(before, kept_edits(before, edits, (), annotator))
        == "He goes to Lisbon on foot and he likes it there."
    )


def test_an_answer_that_is_mostly_vetoed_is_a_rewriting_and_is_not_taken(annotator):
    before = "Then Siobhán met Ngozi and Hamza in Llanberis, and he like it."
    edits = annotator.edits(before, "Then Susan met Norman and Harry in London, and he likes it.")
    assert len(edits) == 5
    assert kept_edits(before, edits, (), annotator) == []


@pytest.mark.parametrize(
    ("before", "after", "dropped"),
    [
        ("I would like visiting to my grandmother.", "I would like to visit my grandmother.", "visiting"),
        ("He speaks very well English.", "He speaks English very well.", "English"),
        ("I like very much this song.", "I like this song very much.", "very"),
    ],
)
def test_half_of_a_change_is_not_taken_over_without_the_other_half(annotator, before, after, dropped):
    found = annotator.edits(before, after)
    assert whole(found, found) == list(found)
    halves = [edit for edit in found if dropped in edit.was + edit.now]
    assert halves
    kept = whole(found, [edit for edit in found if edit not in halves[:1]])
    left = apply_edits(before, kept)
    assert left.count(dropped[:5]) == 1 and before.count(dropped[:5]) == 1


def test_an_edit_that_is_no_half_stays_whatever_becomes_of_the_others(annotator):
    before, after = "She go to school and he have cat.", "She goes to school and he has a cat."
    found = annotator.edits(before, after)
    for one in found:
        assert whole(found, [one]) == [one]


@pytest.mark.parametrize(("before", "after"), [("I saw tHe dog.", "I saw the dog."), ("we met Ann.", "We met Ann.")])
def test_a_slip_of_the_shift_key_is_put_right(annotator, before, after):
    assert not whys(annotator, before, after)


def test_two_parts_of_one_word_change_together_or_not_at_all(annotator):
    before, after = "Gonna be late again.", "Going to be late again."
    found = annotator.edits(before, after)
    assert len(found) == 2
    assert whole(found, found) == list(found)
    assert [whole(found, [edit]) for edit in found] == [[], []]
