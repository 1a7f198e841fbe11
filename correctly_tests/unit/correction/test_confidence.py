"""How sure the model was of each edit, from its tokens."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from correctly_assets.core.edits import apply_edits
from correctly_assets.core.ports import Completion
from correctly_assets.core.prompts import load_prompts
from correctly_assets.core.types import Edit
from correctly_assets.correction.annotate import ErrantAnnotator
from correctly_assets.correction.bounds import Bounds, ModeBounds
from correctly_assets.correction.confidence import edit_confidences, is_word_choice
from correctly_assets.correction.path import Corrector
from correctly_assets.settings import PROJECT_ROOT


def said(*tokens: tuple[str, float], end: float = 1.0) -> Completion:
    """A completion of (token, probability), ended by a token that its text does not show."""
    text = "".join(token for token, _ in tokens)
    return Completion(text, "stop", 5, 5, tokens=tuple((t, math.log(p)) for t, p in (*tokens, ("<eos>", end))))


def confidences(before: str, completion: Completion, *edits: Edit, answer: str | None = None) -> list[float]:
    answer = answer if answer is not None else completion.text
    assert apply_edits(before, edits) == answer
    return [round(value, 6) for value in edit_confidences(answer, edits, completion)]


def test_an_edit_is_as_sure_as_its_least_sure_token():
    completion = said(("He", 0.99), (" w", 0.9), ("ent", 0.6), (" home", 0.97), (".", 0.99))
    assert confidences("He go home.", completion, Edit(3, 5, "go", "went", "VERB:TENSE")) == [0.6]


def test_a_deletion_is_as_sure_as_the_token_that_follows_it():
    completion = said(("He", 0.99), (" likes", 0.98), (" music", 0.7), (".", 0.99))
    assert confidences("He likes the music.", completion, Edit(9, 13, "the ", "", "DET")) == [0.7]


def test_a_word_ended_early_is_as_sure_as_what_follows_it():
    completion = said(("One", 0.99), (" book", 0.98), (".", 0.55))
    assert confidences("One books.", completion, Edit(4, 9, "books", "book", "NOUN:NUM")) == [0.55]


def test_a_deletion_at_the_end_is_as_sure_as_the_end_of_the_answer():
    completion = said(("I", 0.99), (" agree", 0.98), end=0.4)
    assert confidences("I agree too", completion, Edit(7, 11, " too", "", "ADV")) == [0.4]


def test_each_of_several_edits_is_judged_by_itself():
    completion = said(("She", 0.99), (" goes", 0.95), (" to", 0.9), (" the", 0.5), (" sea", 0.99), (".", 0.99))
    edits = (Edit(4, 6, "go", "goes", "VERB:SVA"), Edit(10, 10, "", "the ", "DET"))
    assert confidences("She go to sea.", completion, *edits) == [0.9, 0.5]


def test_white_space_and_an_end_that_were_settled_afterwards_move_nothing():
    completion = said(("She", 0.99), ("  goes", 0.8), ("\u00a0home", 0.97))
    edits = (Edit(4, 6, "go", "goes", "VERB:SVA"),)
    assert confidences("She go home.", completion, *edits, answer="She goes home.") == [0.8]


def test_a_character_of_several_tokens_counts_with_the_token_that_shows_it():
    tokens = (("A", -0.1), ("", -0.2), ("\ufffd", -0.3), (" naïve", -0.9), (" idea", -0.1), ("<eos>", 0.0))
    completion = Completion("A naïve idea", "stop", tokens=tokens)
    edits = (Edit(2, 7, "naive", "naïve", "SPELL"),)
    assert edit_confidences("A naïve idea", edits, completion) == [pytest.approx(math.exp(-0.9))]


def test_without_tokens_nothing_is_doubted():
    assert confidences("He go.", Completion("He goes.", "stop"), Edit(3, 5, "go", "goes", "VERB:SVA")) == [1.0]


class Doubter:
    """A completer that is sure of "goes" and not of "rapidly"."""

    def __init__(self) -> None:
        self.logprobs: list[bool] = []

    async def complete(self, prompt: str, *, logprobs: bool = False, **_: Any) -> Completion:
        self.logprobs.append(logprobs)
        completion = said(("He", 0.99), (" goes", 0.95), (" home", 0.95), (" rapidly", 0.4), (".", 0.99))
        return completion if logprobs else Completion(completion.text, "stop")


@pytest.mark.parametrize(
    ("least", "words", "after"),
    [
        (0.7, 0.7, "He goes home quickly."),
        (0.3, 0.7, "He goes home quickly."),
        (0.3, 0.3, "He goes home rapidly."),
        (0.0, 0.0, "He goes home rapidly."),
    ],
)
def test_a_doubtful_edit_is_left_out_and_the_sure_one_beside_it_stands(least: float, words: float, after: str):
    engine = Doubter()
    corrector = Corrector(
        engine,
        ErrantAnnotator(cache_size=64),
        load_prompts(PROJECT_ROOT / "prompts"),
        bounds=lambda _: ModeBounds(careful=Bounds(edit=least, word=words)),
    )
    answer = asyncio.run(corrector.correct("He go home quickly.", model="m", release=None, adapter=None, reasons=False))
    assert answer.after == after
    assert engine.logprobs == [least > 0]


def test_content_words_are_a_choice_and_form_spelling_or_particles_not():
    for edit in (
        Edit(0, 6, "mended", "repaired", "R:VERB"),
        Edit(0, 7, "need be", "necessary", "R:OTHER"),
        Edit(0, 0, "", "are ", "M:VERB"),
        Edit(0, 0, "", "were ", "M:VERB:TENSE"),
        Edit(0, 11, " these days", "", "U:OTHER"),
        Edit(0, 3, "it ", "", "U:PRON"),
    ):
        assert is_word_choice(edit)
    for edit in (
        Edit(0, 2, "go", "goes", "R:VERB:SVA"),
        Edit(0, 7, "recieve", "receive", "R:SPELL"),
        Edit(0, 0, "", "the ", "M:DET"),
        Edit(0, 0, "", "to ", "M:PREP"),
        Edit(0, 5, "have ", "", "U:VERB:TENSE"),
        Edit(0, 2, "in", "on", "R:PREP"),
        Edit(0, 2, "he", "him", "R:PRON"),
    ):
        assert not is_word_choice(edit)
