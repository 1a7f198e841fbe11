"""Choosing how sure an adapter must be of an edit, for both ways of answering, on pairs that it was not trained on.

Belongs here: asking for the proposals, and the choice. Does not belong here: the bounds as values (correction/bounds.py). The
frozen evaluation set takes no part: what it says of an adapter with its bounds stays unbiased.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from correctly_assets.core.ports import Annotator
from correctly_assets.core.taxonomy import family
from correctly_assets.core.types import Edit
from correctly_assets.correction.bounds import Bounds, ModeBounds
from correctly_assets.correction.confidence import is_word_choice

if TYPE_CHECKING:
    from correctly_assets.core.evaluation import EvaluationSet
    from correctly_assets.correction.path import Corrector

STEPS = (0.0, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 1.01)
"""Probabilities that a bound may take; above 1 no edit of the kind is taken over."""
LEAST_SEEN = 25
"""Proposals of a kind from which on it has a bound of its own."""
CAREFUL_CHANGED, FLUENT_CHANGED = 0.02, 0.06
"""Largest shares of correct sentences that bounds may change on the pairs they are chosen on."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """One edit that the model proposed.

    Attributes:
        kind: what its bound goes by: its ERRANT type, or ``word`` or ``edit`` where that type is rare.
        confidence: the model's probability of it, from 0 to 1.
        right: a reference has the same edit.
    """

    kind: str
    confidence: float
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

    async def one(
        source: str, references: Sequence[str]
    ) -> tuple[list[tuple[Edit, float]], int, set[tuple[int, int, str]]]:
        async with room:
            found = await corrector.proposals(source, model=model)
        made = {_place(edit) for edit, _ in found}
        golds = [{_place(edit) for edit in annotator.edits(source, reference)} for reference in references]
        best = max(golds, key=lambda gold: (len(gold & made), -len(gold)))
        return found, len(best), best

    rows = await asyncio.gather(*(one(row.source, row.references) for row in data.rows))
    seen: dict[str, int] = {}
    for found, _, _ in rows:
        for edit, _ in found:
            seen[family(edit.type)] = seen.get(family(edit.type), 0) + 1
    answered: list[Answered] = []
    for (found, wanted, gold), row in zip(rows, data.rows, strict=True):
        proposals = tuple(Proposal(_kind(edit, seen), sure, _place(edit) in gold) for edit, sure in found)
        answered.append(Answered(proposals, wanted, row.source in row.references))
    return answered


def choose_bounds(answered: Sequence[Answered]) -> ModeBounds:
    """Bounds for both ways of answering: `careful` for the best F0.5, `fluent` for the best F1, each within its share of
    changed correct sentences."""
    return ModeBounds(
        careful=_as_bounds(_climb(answered, beta=0.5, most_changed=CAREFUL_CHANGED)),
        fluent=_as_bounds(_climb(answered, beta=1.0, most_changed=FLUENT_CHANGED)),
    )


def _climb(answered: Sequence[Answered], *, beta: float, most_changed: float) -> dict[str, float]:
    """One kind's bound at a time, until none can be moved to a better score."""
    kinds = sorted({proposal.kind for row in answered for proposal in row.proposals} | {"edit", "word"})
    bounds = {kind: 0.9 if kind == "word" else 0.7 for kind in kinds}
    best = _score(answered, bounds, beta, most_changed)
    for _ in range(4):
        moved = False
        for kind in kinds:
            for step in STEPS:
                value = _score(answered, {**bounds, kind: step}, beta, most_changed)
                if value > best + 1e-6:
                    best, bounds, moved = value, {**bounds, kind: step}, True
        if not moved:
            break
    return bounds


def _score(answered: Iterable[Answered], bounds: Mapping[str, float], beta: float, most_changed: float) -> float:
    """F-beta of the edits that the bounds let through, less what is changed too much of what was right."""
    right = taken = wanted = correct = changed = 0
    for row in answered:
        kept = [proposal for proposal in row.proposals if proposal.confidence >= bounds[proposal.kind]]
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


def _as_bounds(chosen: Mapping[str, float]) -> Bounds:
    own = {kind: min(1.0, value) for kind, value in chosen.items() if kind not in ("edit", "word")}
    return Bounds(edit=min(1.0, chosen["edit"]), word=min(1.0, chosen["word"]), by_type=own)


def _kind(edit: Edit, seen: Mapping[str, int]) -> str:
    own = family(edit.type)
    return own if seen.get(own, 0) >= LEAST_SEEN else "word" if is_word_choice(edit) else "edit"


def _place(edit: Edit) -> tuple[int, int, str]:
    return edit.start, edit.end, edit.now
