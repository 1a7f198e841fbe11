"""The annotator keeps the one law of every answer: its edits, applied to ``before``, yield ``after``."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from correctly_assets.core.edits import apply_edits
from correctly_assets.correction.alignment import AlignedEdit, character_edits, text_edits
from correctly_assets.correction.annotate import ErrantAnnotator
from correctly_assets.correction.errant_speed import fast_alignment

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def annotator() -> ErrantAnnotator:
    return ErrantAnnotator(cache_size=64)


WORDS = ["the", "a", "cat", "cats", "don't", "dont", "goes", "go", "U.S.", "3.5", ",", ".", "''", "e-mail", "I", "’s"]
ODD = ["😀", "👩‍👩‍👧", "안녕", "日本語", "é", "e\u0301", "\u200b", "ﬁ", "`x`", "$5", "#", "\u0301"]
BLANKS = [" ", "  ", "\n", "\n\n", "\t", "\u00a0", "\u3000", "", "\r\n", "\u2028", "\x1f"]
texts = st.lists(st.tuples(st.sampled_from(WORDS + ODD), st.sampled_from(BLANKS)), max_size=9).map(
    lambda pairs: "".join(word + blank for word, blank in pairs)
)


@settings(max_examples=400, deadline=None)
@given(before=texts, after=texts)
def test_applying_edits_yields_after_for_odd_words_and_blanks(annotator, before, after):
    edits = annotator.edits(before, after)
    assert apply_edits(before, edits) == after
    assert all(edit.was != edit.now and edit.type for edit in edits)
    assert (edits == ()) == (before == after)


@settings(max_examples=250, deadline=None)
@given(before=st.text(max_size=40), after=st.text(max_size=40))
def test_applying_the_edits_yields_after_for_any_two_texts(annotator, before, after):
    assert apply_edits(before, annotator.edits(before, after)) == after


@settings(max_examples=200, deadline=None)
@given(before=texts, after=texts)
def test_the_character_alignment_alone_keeps_the_law_too(before, after):
    assert apply_edits(before, character_edits(before, after)) == after


def test_edits_that_are_no_alignment_give_way_to_the_character_alignment():
    spans = [(0, 1), (2, 3)]
    wrong = [AlignedEdit(1, 2, 0, 0, "U:NOUN")]
    edits = text_edits("a b", "a c", spans, spans, wrong)
    assert apply_edits("a b", edits) == "a c"
    assert edits[0].type == "R:OTHER"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("I went in morning", "I went in the morning", [("", "the ", "M:DET")]),
        ("Hello John", "Hello, John", [("", ",", "M:PUNCT")]),
        ("We discussed about it", "We discussed it", [("about ", "", "U:PREP")]),
        ("i dont know", "I don't know", [("i", "I", "R:ORTH"), ("dont", "don't", "R:CONTR")]),
        ("Hello ,John", "Hello, John", [("Hello ,John", "Hello, John", "R:ORTH")]),
        ("alot of thing", "a lot of things", [("alot", "a lot", "R:ORTH"), ("thing", "things", "R:NOUN:NUM")]),
        ("I went", "I went home.", [("", " home.", None)]),
    ],
)
def test_edits_look_right_to_a_person(annotator, before, after, expected):
    found = annotator.edits(before, after)
    if expected[0][2] is None:
        assert "".join(edit.now for edit in found) == expected[0][1]
    else:
        assert [(edit.was, edit.now, edit.type) for edit in found] == expected


def test_token_edits_count_tokens_of_the_source_and_leave_blanks_out(annotator):
    (edit,) = annotator.token_edits("I went  in\nmorning", "I went in the morning")
    assert (edit.start, edit.end, edit.text, edit.type) == (3, 3, "the", "M:DET")
    assert annotator.token_edits("I  went", "I went ") == ()


def test_parsing_ahead_changes_no_answer_and_the_caches_stay_bounded(annotator):
    sentences = [f"He have {number} cats in house." for number in range(100)]
    annotator.prepare(sentences)
    fresh = annotator.edits(sentences[99], "He has 99 cats in the house.")
    assert [edit.now for edit in fresh] == ["has", "the "]
    assert len(annotator._docs) <= 64


@settings(max_examples=150, deadline=None)
@given(
    before=st.lists(
        st.sampled_from(["the", "The", "cat", "cats", "sat", "sits", "on", "mat", "mats", ".", "a"]), max_size=9
    ),
    after=st.lists(st.sampled_from(["the", "a", "cat", "cats", "sat", "on", "in", "mat", "tam", "."]), max_size=9),
)
def test_the_fast_alignment_finds_what_errants_own_finds(annotator, before, after):
    ours = annotator._nlp(" ".join(before))
    theirs = annotator._nlp(" ".join(after))
    fast = fast_alignment(ours, theirs)
    slow = annotator._errant.align(ours, theirs)
    assert (fast.cost_matrix, fast.op_matrix) == (slow.cost_matrix, slow.op_matrix)
