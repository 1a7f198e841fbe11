"""Which texts our own code keeps from being corrected: a stand-in engine that always knows the right sentence.

Belongs here: the engine, and a report by kind: ``python -m correctly_tests.oracle FILE.jsonl``, one object a line with ``input``
and ``right``. Does not belong here: how well a real model corrects (correctly_assets/evaluation).

Whatever comes out wrong here is the fault of segmentation, protection, guards or vetoes, because the model's answer was right.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from correctly_assets.core.ports import Completion
from correctly_assets.core.prompts import load_prompts
from correctly_assets.core.types import Correction
from correctly_assets.correction.path import Corrector
from correctly_assets.correction.segment import segments
from correctly_tests.serving_fakes import errant_annotator

PROMPTS = load_prompts(Path(__file__).resolve().parents[1] / "prompts")
LONGEST_RUN = 4
"""Right sentences that may stand behind one sentence that was asked about."""


@dataclass(frozen=True)
class Case:
    """One text with its right correction; ``right`` is None where a case is described and not written out."""

    id: str
    kind: str
    input: str
    right: str | None


class Oracle:
    """A completer that answers each sentence with the part of the right text that is most like it."""

    def __init__(self, right: str) -> None:
        parts = [part.shown for part in segments(right) if part.prose]
        ranges = [(i, j) for i in range(len(parts)) for j in range(i + 1, min(len(parts), i + LONGEST_RUN) + 1)]
        self._runs = [" ".join(parts[i:j]) for i, j in ranges]
        self.asked: list[str] = []

    async def complete(self, prompt: str, **_: Any) -> Completion:
        if "Say in " in prompt:
            return Completion("", "stop")
        sentence = prompt.split("\n", 2)[2].split("<end_of_turn>")[0]
        self.asked.append(sentence)
        return Completion(self._answer(sentence), "stop")

    def _answer(self, sentence: str) -> str:
        answers = [_trimmed(sentence, run) for run in self._runs]
        answer = max(answers, key=lambda run: _likeness(sentence, run), default=sentence)
        if answer.isupper() and not sentence.isupper():
            answer = re.sub(r"\bi\b", "I", answer.lower())
        return answer if _likeness(sentence, answer) > 0.4 else sentence


def _trimmed(sentence: str, run: str) -> str:
    """A run of right sentences without the words before and behind those that answer to the sentence."""
    words = run.split()
    if len(sentence.split()) < 20:
        return run
    steps = SequenceMatcher(None, sentence.casefold().split(), run.casefold().split(), autojunk=False).get_opcodes()
    start = steps[0][4] if steps and steps[0][0] == "insert" else 0
    end = steps[-1][3] if steps and steps[-1][0] == "insert" else len(words)
    return " ".join(words[start:end] if start < end else words)


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one.casefold(), other.casefold(), autojunk=False).ratio()


def read_cases(path: Path) -> list[Case]:
    """The text cases of a file; requests and other set-ups are left out.

    ``right`` may be "unchanged", and may carry a remark in brackets at its end, as collected reports have it.
    """
    cases = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row.get("family", "a") != "a":
            continue
        text, right = row["input"], re.sub(r"\s+\([^()]*(?:\([^()]*\)[^()]*)*\)$", "", row["right"])
        if right.startswith("unchanged"):
            right = text
        written_out = _likeness(text, right) > 0.5
        cases.append(Case(row["id"], row.get("kind", row["id"].split("-")[0]), text, right if written_out else None))
    return cases


def correct(case: Case) -> tuple[Correction, list[str]]:
    """The answer over the oracle, and the sentences that it was asked."""
    oracle = Oracle(case.right or case.input)
    path = Corrector(oracle, errant_annotator(), PROMPTS)
    return asyncio.run(path.correct(case.input, model="m", release=None, adapter=None, reasons=False)), oracle.asked


def main(arguments: Sequence[str]) -> int:
    """Print each blocked case and a table by kind. Returns the number of blocked cases, at most 100."""
    totals: Counter[str] = Counter()
    passed: Counter[str] = Counter()
    for case in read_cases(Path(arguments[0])):
        if case.right is None:
            print(f"-- {case.id}: described, not written out: {correct(case)[0].after!r}")
            continue
        totals[case.kind] += 1
        answer, asked = correct(case)
        if answer.after == case.right:
            passed[case.kind] += 1
            continue
        print(f"** {case.id}\n   asked {asked}\n   right {case.right!r}\n   is    {answer.after!r} {answer.fallback}")
    for kind in sorted(totals):
        print(f"{kind:20} {passed[kind]:3} of {totals[kind]}")
    blocked = totals.total() - passed.total()
    print(f"{'all':20} {passed.total():3} of {totals.total()}")
    return min(blocked, 100)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
