"""The pairwise judge: which of two corrections reads better, asked in both orders, and how far to trust it.

Belongs here: asking a judge behind its Protocol, recording its verdicts, summing them up, measuring it against people.
Does not belong here: the gate, which does not need a judge; the prompt's wording (prompts/judge.txt).

A verdict counts only where both orders agree; otherwise the pair is a tie, because judges favour a position (Zheng et
al. 2023, arXiv:2306.05685).
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np

from correctly_assets.core.errors import PermanentError, UsageError
from correctly_assets.core.evaluation import Comparison, Judge, Verdict
from correctly_assets.core.hashing import sha256_of
from correctly_assets.core.prompts import fill
from correctly_assets.evaluation.judge.verdict_cache import KeptAnswer, keep, read_kept
from correctly_assets.evaluation.metrics.bootstrap import ROUNDS, interval
from correctly_assets.llm_api.judge_client import JudgeEndpoint

SWAPPED: dict[Verdict, Verdict] = {"first": "second", "second": "first", "tie": "tie"}
_LETTERS: dict[str, Verdict] = {"A": "first", "B": "second", "T": "tie"}


class EndpointJudge:
    """A judge behind an OpenAI-compatible endpoint.

    Args:
        prompt: the template with ``{source}``, ``{first}`` and ``{second}`` (prompts/judge.txt).
    """

    def __init__(self, endpoint: JudgeEndpoint, prompt: str) -> None:
        self.name = endpoint.name
        self._endpoint, self._prompt = endpoint, prompt

    async def prefer(self, source: str, first: str, second: str) -> Verdict | None:
        """One verdict in the order given; None where the answer holds none.

        Raises:
            RetryableError: the endpoint stays away or busy.
            PermanentError: it refuses the request, or its answer is none of the chat API.
        """
        return verdict_in(await self._endpoint.say(fill(self._prompt, source=source, first=first, second=second)))


def verdict_in(answer: str) -> Verdict | None:
    """The verdict in a judge's words: the first letter A, B or T that stands alone; None where there is none."""
    found = re.search(r"\b([ABT])\b", answer.strip())
    return None if found is None else _LETTERS[found.group(1)]


class KeptVerdict(KeptAnswer):
    """A judge's verdict on two corrections of one sentence."""

    verdict: Verdict | None


class RecordedJudge:
    """Verdicts from a file, and a live judge for what is not in it, whose verdicts are added, unreadable ones as such: the
    same question would be answered the same way again.

    Nothing is recorded under the name of a judge that was not asked: the file's lines (kept.py) carry the name of who
    gave them.

    Args:
        live: None to use what is recorded only.
    """

    def __init__(self, path: Path, name: str, live: Judge | None = None) -> None:
        if live is not None and live.name != name:
            raise PermanentError(f"Verdicts of {live.name} cannot be recorded under the name {name}.")
        self.name = name
        self._path, self._live = path, live
        self._known: dict[str, Verdict | None] = {
            key: row.verdict for key, row in read_kept(path, name, KeptVerdict).items()
        }

    async def prefer(self, source: str, first: str, second: str) -> Verdict | None:
        """
        Raises:
            PermanentError: the pair is not recorded and there is no live judge.
        """
        key = sha256_of([source, first, second])
        if key in self._known:
            return self._known[key]
        if self._live is None:
            raise PermanentError(
                f"The verdicts of {self.name} on these answers are not recorded; configure CORRECTLY_JUDGE_*."
            )
        verdict = await self._live.prefer(source, first, second)
        self._known[key] = verdict
        keep(self._path, KeptVerdict(judge=self.name, key=key, verdict=verdict))
        return verdict


async def both_orders(judge: Judge, source: str, first: str, second: str) -> Verdict | None:
    """The verdict that both orders agree on, else a tie; None where one of the two holds no verdict. Equal texts are a tie
    and nobody is asked."""
    if first.split() == second.split():
        return "tie"
    one, other = await asyncio.gather(judge.prefer(source, first, second), judge.prefer(source, second, first))
    if one is None or other is None:
        return None
    return one if one == SWAPPED[other] else "tie"


async def judge_all(
    judge: Judge,
    sources: Sequence[str],
    first_answers: Sequence[str],
    second_answers: Sequence[str],
    *,
    at_once: int = 8,
) -> list[int | None]:
    """One outcome a sentence: 1 where ours won, 0 for a tie, −1 where theirs won, None where it stayed unanswered.

    Raises:
        RetryableError, PermanentError: as the judge does; no outcome is made up.
    """
    limit = asyncio.Semaphore(at_once)

    async def one(source: str, our: str, their: str) -> int | None:
        async with limit:
            verdict = await both_orders(judge, source, our, their)
        return None if verdict is None else {"first": 1, "tie": 0, "second": -1}[verdict]

    tasks = [asyncio.ensure_future(one(*texts)) for texts in zip(sources, first_answers, second_answers, strict=True)]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


class VerdictFigures(TypedDict):
    """Verdicts against one rival; ``net`` is the interval of share won − share lost, in points."""

    n: int
    win: int
    tie: int
    loss: int
    net: dict[str, float]
    unanswered: int


class CalibrationFigures(TypedDict):
    """How far a judge agrees with people over ``n`` labelled pairs; agreement and flips in percent, kappa is Cohen's.

    The kept figures have what they hold for too: the prompt, the file of labels and the time.
    """

    judge: str
    n: int
    unanswered: int
    agreement: float
    kappa: float
    flips: float
    prompt_sha256: NotRequired[str]
    data: NotRequired[str]
    data_sha256: NotRequired[str]
    at: NotRequired[str]


class JudgeFigures(TypedDict):
    """The verdicts of a report's judge section, by rival."""

    name: str
    against: dict[str, VerdictFigures]
    calibration: CalibrationFigures | None


def summarise(
    name: str,
    outcomes: Mapping[str, Sequence[int | None]],
    calibration: CalibrationFigures | None = None,
    *,
    rounds: int = ROUNDS,
    seed: int = 20,
) -> JudgeFigures:
    """The report's judge section: win, tie, loss and net points (share won − share lost) with a 95 % interval.

    Args:
        outcomes: per rival, as `judge_all` returns them; what stayed unanswered is counted and in no share.
        calibration: `calibrate`'s figures, printed beside the verdicts.
    """
    against: dict[str, VerdictFigures] = {}
    for rival, all_values in outcomes.items():
        values = [value for value in all_values if value is not None]
        array = np.array(values, np.float64)
        counts = Counter(values)
        rows = np.random.default_rng(seed).integers(0, max(len(array), 1), (rounds, len(array)))
        point = 100 * float(array.mean()) if len(array) else 0.0
        net = interval(point, 100 * array[rows].mean(axis=1) if len(array) else np.zeros(rounds))
        against[rival] = {
            "n": len(array),
            "win": counts[1],
            "tie": counts[0],
            "loss": counts[-1],
            "net": net.to_json(),
            "unanswered": len(all_values) - len(values),
        }
    return {"name": name, "against": against, "calibration": calibration}


async def calibrate(judge: Judge, comparisons: Iterable[Comparison], *, at_once: int = 8) -> CalibrationFigures:
    """How far a judge agrees with people, over labelled pairs.

    Returns:
        ``n`` (pairs with a verdict), ``unanswered`` (pairs without), ``agreement`` (%), ``kappa`` (Cohen's), ``flips``: % of
        pairs whose verdict turned with the order.

    Raises:
        UsageError: no pair carries a label.
        PermanentError: no answer of the judge holds a verdict.
    """
    labelled = [pair for pair in comparisons if pair.label is not None]
    if not labelled:
        raise UsageError("There are no labelled pairs to measure the judge against; give a file with labels.")
    limit = asyncio.Semaphore(at_once)

    async def one(pair: Comparison) -> tuple[Verdict, Verdict, bool] | None:
        async with limit:
            first, second = await asyncio.gather(
                judge.prefer(pair.source, pair.first, pair.second), judge.prefer(pair.source, pair.second, pair.first)
            )
        if first is None or second is None:
            return None
        agreed = first == SWAPPED[second]
        return pair.label or "tie", (first if agreed else "tie"), not agreed

    answers = [found for found in await asyncio.gather(*(one(pair) for pair in labelled)) if found is not None]
    if not answers:
        raise PermanentError(f"The judge {judge.name} gave no verdict on any pair; choose another model.")
    labels = [label for label, _, _ in answers]
    verdicts = [verdict for _, verdict, _ in answers]
    return {
        "judge": judge.name,
        "n": len(labels),
        "unanswered": len(labelled) - len(labels),
        "agreement": 100 * sum(a == b for a, b in zip(labels, verdicts, strict=True)) / len(labels),
        "kappa": cohen_kappa(labels, verdicts),
        "flips": 100 * sum(flipped for _, _, flipped in answers) / len(labels),
    }


def cohen_kappa(first: Sequence[str], second: Sequence[str]) -> float:
    """Agreement beyond chance of two raters over the same items; 1 is perfect, 0 what chance gives."""
    total = len(first)
    seen = sum(a == b for a, b in zip(first, second, strict=True)) / total
    first_counts, second_counts = Counter(first), Counter(second)
    chance = sum(first_counts[label] * second_counts[label] for label in first_counts) / total**2
    return 1.0 if chance == 1 else (seen - chance) / (1 - chance)


def read_comparisons(path: Path) -> list[Comparison]:
    """Labelled pairs: JSONL of ``{"source", "first", "second", "label": "first|tie|second"}``.

    Raises:
        UsageError: the file cannot be read or a line is none of these; the message names it.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The labelled pairs {path} cannot be read: {error}.") from error
    pairs: list[Comparison] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            label = row.get("label")
            if label not in (None, *SWAPPED):
                raise ValueError(label)
            pairs.append(Comparison(str(row["source"]), str(row["first"]), str(row["second"]), label))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise UsageError(
                f'{path.name}, line {number} is no pair: expected "source", "first", "second", "label".'
            ) from error
    return pairs
