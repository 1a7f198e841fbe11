"""What a judge is asked beside "which is better?": does it mean the same, and is this reason true?

Belongs here: which sentences and reasons are asked about, keeping the answers, and the shares with their intervals. Does
not belong here: the wording (prompts/judge_*.txt), preferences (judge.py), or the gate, which needs no judge.

An answer that is neither yes nor no is unanswered: it is counted, and left out of every share.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypedDict

import numpy as np

from correctly_assets.core.errors import PermanentError
from correctly_assets.core.hashing import sha256_of
from correctly_assets.core.prompts import fill
from correctly_assets.core.types import Correction
from correctly_assets.evaluation.judge.verdict_cache import KeptAnswer, keep, read_kept
from correctly_assets.evaluation.metrics.bootstrap import ROUNDS, interval

SAME_MEANING, REASON_TRUE = "same meaning", "reason true"
YesOrNo = bool | None


class ShareFigures(TypedDict):
    """Answers to a yes/no question: ``n`` of those asked were yes or no; ``share`` is the interval of yes, None where ``n`` is 0."""

    asked: int
    n: int
    yes: int
    unanswered: int
    share: dict[str, float] | None


"""Yes, no, or nothing that can be read as either."""


class Speaker(Protocol):
    """Answers one message in words (`asking.JudgeEndpoint`)."""

    name: str

    async def say(self, content: str) -> str:
        """
        Raises:
            RetryableError, PermanentError: it cannot be asked now, or as configured.
        """
        ...


def yes_or_no(answer: str) -> YesOrNo:
    """How an answer begins, or the one of both words that stands in it; None where neither or both do."""
    begins = re.match(r"\W*(yes|no)\b", answer, re.I)
    words = (
        {begins.group(1).lower()} if begins else {word.lower() for word in re.findall(r"\b(?:yes|no)\b", answer, re.I)}
    )
    return words == {"yes"} if len(words) == 1 else None


class KeptYesOrNo(KeptAnswer):
    """A judge's answer to a question about one sentence."""

    question: str
    yes: YesOrNo


class KeptQuestions:
    """Yes and no from a file, and from a live judge for what is not in it, whose answers are added.

    A line of the file (kept.py) is known by its judge, question and content. What could not be read is kept as such, for
    the same question would be answered the same way again.

    Args:
        prompts: the template of each question.
        live: None to use what is recorded only.
        at_once: questions in flight.
    """

    def __init__(
        self, path: Path, name: str, prompts: Mapping[str, str], live: Speaker | None = None, *, at_once: int = 8
    ) -> None:
        if live is not None and live.name != name:
            raise PermanentError(f"Answers of {live.name} cannot be recorded under the name {name}.")
        self.name = name
        self._path, self._prompts, self._live, self._at_once = path, prompts, live, at_once
        self._known: dict[str, YesOrNo] = {key: row.yes for key, row in read_kept(path, name, KeptYesOrNo).items()}

    async def ask_all(self, question: str, contents: Sequence[Mapping[str, str]]) -> list[YesOrNo]:
        """One answer for each content, in order; nothing is asked twice.

        Raises:
            RetryableError, PermanentError: as the judge does, or where an answer is not recorded and there is no judge.
        """
        asked = [fill(self._prompts[question], **content) for content in contents]
        keys = [sha256_of([question, text]) for text in asked]
        todo = {key: text for key, text in zip(keys, asked, strict=True) if key not in self._known}
        limit = asyncio.Semaphore(self._at_once)

        async def one(key: str, text: str) -> None:
            async with limit:
                self._keep(question, key, yes_or_no(await self._say(text)))

        tasks = [asyncio.ensure_future(one(key, text)) for key, text in todo.items()]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        return [self._known[key] for key in keys]

    async def _say(self, text: str) -> str:
        if self._live is None:
            raise PermanentError(
                f"The answers of {self.name} about these sentences are not recorded; set CORRECTLY_JUDGE_BASE_URL."
            )
        return await self._live.say(text)

    def _keep(self, question: str, key: str, answer: YesOrNo) -> None:
        self._known[key] = answer
        keep(self._path, KeptYesOrNo(judge=self.name, key=key, question=question, yes=answer))


async def same_meaning(judge: KeptQuestions, corrections: Sequence[Correction]) -> ShareFigures:
    """Of the sentences that were changed: the share that still means the same. See `share_of`."""
    changed = [c for c in corrections if c.before.split() != c.after.split()]
    answers = await judge.ask_all(SAME_MEANING, [{"before": c.before, "after": c.after} for c in changed])
    return share_of([[one] for one in answers])


async def reasons_true(judge: KeptQuestions, corrections: Sequence[Correction]) -> dict[str, ShareFigures]:
    """Of the edits with a reason: the share whose reason is true, by who wrote it (``model``, ``rule``)."""
    found: dict[str, ShareFigures] = {}
    for origin in ("model", "rule"):
        rows = [[edit for edit in c.edits if edit.reason and edit.reason_origin == origin] for c in corrections]
        contents = [
            {
                "before": correction.before,
                "after": correction.after,
                "was": edit.was.strip(),
                "now": edit.now.strip(),
                "reason": edit.reason or "",
            }
            for correction, edits in zip(corrections, rows, strict=True)
            for edit in edits
        ]
        answers = iter(await judge.ask_all(REASON_TRUE, contents))
        # By sentence, because the edits of one sentence stand or fall together.
        found[origin] = share_of([[next(answers) for _ in edits] for edits in rows if edits])
    return found


def share_of(rows: Sequence[Sequence[YesOrNo]], *, rounds: int = ROUNDS, seed: int = 20) -> ShareFigures:
    """The share of yes among what was answered, in %, with its 95 % bootstrap interval over sentences.

    Args:
        rows: the answers, a list a sentence.
    """
    yes = np.array([sum(one is True for one in row) for row in rows], np.float64)
    answered = np.array([sum(one is not None for one in row) for row in rows], np.float64)
    asked, n = sum(map(len, rows)), int(answered.sum())
    share = None
    if n:
        draws = np.random.default_rng(seed).integers(0, len(rows), (rounds, len(rows)))
        bottoms = answered[draws].sum(axis=1)
        # A draw of nothing but unanswered ones says nothing.
        values = 100 * yes[draws].sum(axis=1)[bottoms > 0] / bottoms[bottoms > 0]
        share = interval(100 * float(yes.sum()) / n, values).to_json()
    return {"asked": asked, "n": n, "yes": int(yes.sum()), "unanswered": asked - n, "share": share}
