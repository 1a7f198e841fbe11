"""Evaluate a system on a set, and compare systems for the gate.

Belongs here: putting answers, statistics and intervals together. Does not belong here: the gate's rules (core/gate.py),
pictures (report.py), choosing what to evaluate (runtime and defs).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NotRequired, TypedDict

import numpy as np

from correctly_assets.core.errors import PermanentError
from correctly_assets.core.evaluation import Answers, Costs, EvaluationSet
from correctly_assets.core.gate import Interval, Measured, TypeMeasured
from correctly_assets.core.ports import Annotator, SystemUnderTest
from correctly_assets.core.text import normalise, word_ngrams
from correctly_assets.evaluation.answer_cache import AnswerCache
from correctly_assets.evaluation.metrics.bootstrap import ROUNDS, Resampler, difference, interval
from correctly_assets.evaluation.metrics.counts import (
    SCORER,
    ExplanationFigures,
    Figures,
    Statistics,
    TypeRow,
    explanation_figures,
    figures,
    measure,
    type_rows,
)

METRICS = ("gleu", "errant_f05")


class CostFigures(TypedDict):
    """Speed and money; times in milliseconds under ``at_once`` texts in flight, money in US dollars. None where not known."""

    sentences_per_second: float | None
    p50_ms: float | None
    p95_ms: float | None
    at_once: int
    prompt_tokens: int
    completion_tokens: int
    usd_per_thousand: float | None


class Scores(Figures, CostFigures):
    """The flat object of CONTRACTS, and more figures.

    ``explanations`` stands where reasons were asked for, ``unchecked`` where the set could not be checked for leaks in full,
    ``weights_gb`` in the full report of a model that runs here.
    """

    system: str
    identity: str
    data: str
    data_sha256: str
    scorer: str
    cached: bool
    guarded: bool
    explanations: NotRequired[ExplanationFigures]
    unchecked: NotRequired[str | None]
    weights_gb: NotRequired[float | None]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One system's answers to one set, measured.

    Attributes:
        types: one row an ERRANT type.
    """

    system: str
    data: EvaluationSet
    answers: Answers
    statistics: Statistics
    scores: Scores
    types: list[TypeRow]


async def evaluate(
    system: SystemUnderTest,
    data: EvaluationSet,
    annotator: Annotator,
    *,
    reasons: bool = False,
    cache: AnswerCache | None = None,
) -> Evaluation:
    """Have a system answer a set, or take its kept answers, and measure them.

    Args:
        reasons: ask for explanations too, and count them.
        cache: where answers are kept; nothing is kept without it.

    Raises:
        UnreachableError, RefusedError, UsageError: as the system does.
        PermanentError: the system did not answer every row.
    """
    return score(await answer(system, data, reasons=reasons, cache=cache), data, annotator, reasons=reasons)


async def answer(
    system: SystemUnderTest, data: EvaluationSet, *, reasons: bool = False, cache: AnswerCache | None = None
) -> Answers:
    """A system's answers to a set, kept or new."""
    identity = system.identity()
    guarded: bool = getattr(system, "guarded", False)
    kept = None if cache is None else cache.get(system.name, identity, data.sha256, reasons=reasons)
    if kept is not None and [correction.before for correction in kept.corrections] == data.sources:
        return replace(kept, guarded=guarded)
    started = time.perf_counter()
    corrections = await system.correct_all(data.sources, reasons=reasons)
    if len(corrections) != len(data.rows):
        raise PermanentError(f"{system.name} answered {len(corrections)} of {len(data.rows)} rows; run it again.")
    costs: Costs = getattr(system, "costs", None) or Costs()
    costs.wall_seconds = costs.wall_seconds or time.perf_counter() - started
    answers = Answers(system.name, identity, data.sha256, tuple(corrections), costs, guarded=guarded)
    if cache is not None:
        cache.put(answers, reasons=reasons)
    return answers


def score(answers: Answers, data: EvaluationSet, annotator: Annotator, *, reasons: bool = False) -> Evaluation:
    """Measure answers that are there already."""
    statistics = measure(data, answers.corrections, annotator)
    scores: Scores = {
        "system": answers.system,
        "identity": answers.identity,
        "data": data.name,
        "data_sha256": data.sha256,
        "scorer": f"{SCORER}; {getattr(annotator, 'version', type(annotator).__name__)}",
        **figures(statistics, answers.corrections),
        **cost_figures(answers.costs, len(data.rows)),
        "cached": answers.cached,
        "guarded": answers.guarded,
    }
    if reasons:
        scores["explanations"] = explanation_figures(answers.corrections)
    return Evaluation(answers.system, data, answers, statistics, scores, type_rows(statistics))


def explained_rows(evaluation: Evaluation) -> ExplanationFigures:
    """The counts over an evaluation's explanations, with the number of rows that they were asked for."""
    counts = evaluation.scores.get("explanations") or explanation_figures(evaluation.answers.corrections)
    return {**counts, "rows": len(evaluation.data.rows)}


def cost_figures(costs: Costs, n: int) -> CostFigures:
    """Speed and money; latencies are those under ``at_once`` texts in flight."""
    milliseconds = 1000 * np.array(costs.seconds) if costs.seconds else None
    thousand = 1000 / n if n else 0.0
    return {
        "sentences_per_second": n / costs.wall_seconds if costs.wall_seconds > 0 else None,
        "p50_ms": float(np.percentile(milliseconds, 50)) if milliseconds is not None else None,
        "p95_ms": float(np.percentile(milliseconds, 95)) if milliseconds is not None else None,
        "at_once": costs.at_once,
        "prompt_tokens": costs.prompt_tokens,
        "completion_tokens": costs.completion_tokens,
        "usd_per_thousand": None if costs.usd is None else costs.usd * thousand,
    }


@dataclass(frozen=True, slots=True)
class Compared:
    """Two systems on the same draws: differences first − second, in points, with their 95 % intervals."""

    first: str
    second: str
    metrics: Mapping[str, Interval]
    types: Mapping[str, tuple[int, Interval]]


def resampler_for(evaluation: Evaluation, *, rounds: int = ROUNDS, seed: int = 20) -> Resampler:
    """The draws for one set; every system on it is compared on the same ones."""
    stats = evaluation.statistics
    return Resampler(stats.n, stats.references, rounds=rounds, seed=seed)


def intervals(evaluation: Evaluation, draws: Resampler) -> dict[str, Interval]:
    """Each main score of a system with its interval."""
    stats = evaluation.statistics
    return {
        "gleu": interval(*draws.gleu(stats)),
        "errant_f05": interval(*draws.f05(stats.errant)),
        "overcorrected": interval(*draws.share(stats.changed, stats.clean)),
    }


def compare_pair(first: Evaluation, second: Evaluation, draws: Resampler) -> Compared:
    """Compare two systems on one set.

    Raises:
        PermanentError: they were not measured on the same set.
    """
    if first.data.sha256 != second.data.sha256:
        raise PermanentError(
            f"{first.system} and {second.system} were measured on different sets; evaluate them again."
        )
    a, b = first.statistics, second.statistics
    metrics = {
        "gleu": difference(draws.gleu(a), draws.gleu(b)),
        "errant_f05": difference(draws.f05(a.errant), draws.f05(b.errant)),
        "overcorrected": difference(draws.share(a.changed, a.clean), draws.share(b.changed, b.clean)),
    }
    types: dict[str, tuple[int, Interval]] = {}
    nothing = np.zeros((a.n, 3), np.int64)
    for kind in sorted({*a.by_type, *b.by_type}):
        ours, theirs = a.by_type.get(kind, nothing), b.by_type.get(kind, nothing)
        wanted = max(int(ours[:, [0, 2]].sum()), int(theirs[:, [0, 2]].sum()))
        types[kind] = (wanted, difference(draws.f05(ours), draws.f05(theirs)))
    return Compared(first.system, second.system, metrics, types)


def compare(
    candidate: Evaluation,
    base: Evaluation,
    champion: Evaluation | None,
    *,
    names: tuple[str, str, str | None] | None = None,
    corrupted: int = 0,
    rounds: int = ROUNDS,
    seed: int = 20,
) -> Measured:
    """What the gate looks at (`core.gate.decide_promotion`).

    Args:
        names: what candidate, base and champion are called in the gate's sentences; their systems' names when None.
        corrupted: requests that the engine counted as corrupted while the candidate answered.
    """
    draws = resampler_for(candidate, rounds=rounds, seed=seed)
    to_base = compare_pair(candidate, base, draws)
    to_champion = compare_pair(candidate, champion, draws) if champion is not None else None
    explained = candidate.scores.get("explanations")
    called = names or (candidate.system, base.system, champion.system if champion is not None else None)
    return Measured(
        candidate=called[0],
        base=called[1],
        champion=called[2],
        n=candidate.statistics.n,
        versus_base={name: to_base.metrics[name] for name in METRICS},
        versus_champion=None if to_champion is None else {name: to_champion.metrics[name] for name in METRICS},
        overcorrected=candidate.scores["overcorrected"],
        run_on=candidate.scores["run_on_count"],
        type_differences=(
            {} if to_champion is None else {kind: TypeMeasured(*found) for kind, found in to_champion.types.items()}
        ),
        edits=explained["edits"] if explained else 0,
        model_reasons=explained["model_reasons"] if explained else 0,
        unexplained=explained["unexplained"] if explained else 0,
        stray_reasons=explained["stray_reasons"] if explained else 0,
        corrupted=corrupted,
    )


def leaked_rows(training: Sequence[str], data: EvaluationSet) -> tuple[int, list[int]]:
    """(how many training texts show some row of a set, every row that they show, numbered from 1).

    A text shows a row that is equal to it when both are normalised, or shares eight words in a row with it.
    """
    by_key: dict[str | tuple[str, ...], set[int]] = {}
    for number, row in enumerate(data.rows, 1):
        for text in (row.source, *row.references):
            for key in (normalise(text), *word_ngrams(text)):
                by_key.setdefault(key, set()).add(number)
    shown: set[int] = set()
    texts = 0
    for text in training:
        found = set[int]().union(*(by_key.get(key, ()) for key in (normalise(text), *word_ngrams(text))))
        texts += bool(found)
        shown |= found
    return texts, sorted(shown)


def refuse_leaks(training: Sequence[str], data: EvaluationSet) -> None:
    """Refuse to score on rows that were trained on (equal when normalised, or sharing eight words in a row).

    Raises:
        PermanentError: some training text shows an evaluation text; the message names the rows.
    """
    texts, rows = leaked_rows(training, data)
    if rows:
        remedy = "take them out of the examples or the set"
        raise PermanentError(f"{texts} training texts show rows {named_rows(rows)} of {data.name}; {remedy}.")


def named_rows(rows: Sequence[int]) -> str:
    """Numbers of rows for a sentence: the first ten, and that there are more."""
    return ", ".join(map(str, rows[:10])) + (" and more" if len(rows) > 10 else "")
