"""Texts that people reported elsewhere as badly treated: what must hold holds whatever the model says, and the rest reaches it.

``needs_model`` in the file says that the right value is the model's to find; it is listed there with its right value, and here the
right answer must come through, and nothing may be called natural that was skipped.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from correctly_assets.core.edits import apply_edits
from correctly_assets.core.ports import Completion
from correctly_assets.core.types import Correction
from correctly_assets.correction.path import Corrector
from correctly_assets.correction.render import chat_answer
from correctly_tests.oracle import PROMPTS, Case, correct
from correctly_tests.serving_fakes import errant_annotator

FILE = Path(__file__).resolve().parents[2] / "cases" / "reported.jsonl"
CASES = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
SURE = [case for case in CASES if not case["needs_model"]]
SAME = [case for case in CASES if case["input"] == case["right"]]


def ids(cases: list[dict[str, Any]]) -> list[str]:
    return [case["id"] for case in cases]


class Says:
    """A model that answers every sentence by one function."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def complete(self, prompt: str, **_: Any) -> Completion:
        return Completion(self._answer(prompt.split("\n", 2)[2].split("<end_of_turn>")[0]), "stop")


def over(answer: Any, text: str) -> Correction:
    path = Corrector(Says(answer), errant_annotator(), PROMPTS)
    return asyncio.run(path.correct(text, model="m", release=None, adapter=None, reasons=False))


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_the_right_answer_of_a_model_comes_through(case: dict[str, Any]) -> None:
    answer, _ = correct(Case(case["id"], "", case["input"], case["right"]))
    assert answer.after == case["right"]
    assert apply_edits(case["input"], answer.edits) == answer.after


@pytest.mark.parametrize("case", SURE, ids=ids(SURE))
def test_what_needs_no_model_is_right_without_one(case: dict[str, Any]) -> None:
    assert over(lambda sentence: sentence, case["input"]).after == case["right"]
    assert over(lambda sentence: sentence, case["input"].upper()).after == case["right"].upper()


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_what_no_model_answered_is_never_called_natural(case: dict[str, Any]) -> None:
    answer = over(lambda sentence: "", case["input"])
    assert answer.skipped or answer.after == case["right"]
    assert "nothing to change" not in chat_answer(answer)


QUOTES = str.maketrans({"’": "'", "“": '"', "”": '"', "—": "-"})


def closed(text: str) -> str:
    """With a capital letter and a full stop, as a model that has seen whole sentences writes everything."""
    text = text[:1].upper() + text[1:]
    return text if text[-1:] in ".?!”" else text + "."


@pytest.mark.parametrize("case", SAME, ids=ids(SAME))
@pytest.mark.parametrize(
    "habit",
    [
        lambda text: text.translate(QUOTES).replace("e\u0301", "é"),
        lambda text: text.replace("a SPECTRE", "an SPECTRE").replace("a UPS", "an UPS").replace("a USB", "an USB"),
        lambda text: text.replace("SPECTRE", "Spectre").replace("FREE", "free").replace("OOP", "oop"),
        lambda text: text.replace("is is", "is"),
        closed,
    ],
    ids=["plain marks", "an before capitals", "small letters", "one of two words", "capital and full stop"],
)
def test_habits_of_a_small_model_leave_right_text_as_it_is(case: dict[str, Any], habit: Any) -> None:
    answer = over(habit, case["input"])
    assert answer.after == case["input"]
    assert "could not find" not in chat_answer(answer)
