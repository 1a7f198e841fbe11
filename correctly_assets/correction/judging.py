"""How likely a proposed edit is right: the adapter's own probability of it, beside how much likelier the base model finds the
sentence with it.

Belongs here: the features of an edit, the weights that join them, asking for what the base model says. Does not belong here:
how likely an edit has to be (bounds.py), or fitting the weights for an adapter (workflows/choose_bounds.py).

An adapter that has learned to correct is sure of edits that it has seen often, right or not here. The base model has never seen
a correction and knows only which sentence people are likelier to write, so that the two are wrong in different places
(Yasunaga et al. 2021, doi:10.18653/v1/2021.emnlp-main.611, use a language model so).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from correctly_assets.core.edits import apply_edits
from correctly_assets.core.types import Edit
from correctly_assets.correction.confidence import is_word_choice

FEATURES = (
    "bias", "confidence", "alone", "together", "word", "word_confidence", "word_together", "drops", "brings", "edits",
    "length",
)  # fmt: skip
MOST_GAIN = 12.0
"""Nats beyond which a gain says no more."""

Score = Callable[[str], Awaitable[float]]
"""A sentence → its log-probability by the base model, in nats."""


@dataclass(frozen=True, slots=True)
class Gain:
    """What an edit adds to the sentence's log-probability by the base model, in nats.

    Attributes:
        alone: put into the sentence as it was written.
        together: put into the sentence that has all the other edits.
    """

    alone: float
    together: float


class Judge(BaseModel):
    """Weights of a logistic regression over `FEATURES`, fitted for one adapter."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: list[float] = Field(min_length=len(FEATURES), max_length=len(FEATURES))

    def probability(self, edit: Edit, confidence: float, gain: Gain, among: int) -> float:
        """How likely an edit is right, from 0 to 1.

        Args:
            confidence: the adapter's probability of it (confidence.py).
            among: edits proposed for its sentence.
        """
        total = sum(w * x for w, x in zip(self.weights, features(edit, confidence, gain, among), strict=True))
        return 1 / (1 + math.exp(-max(-60.0, min(60.0, total))))


def features(edit: Edit, confidence: float, gain: Gain, among: int) -> list[float]:
    """The values of `FEATURES` for one edit."""
    sure = min(max(confidence, 1e-4), 1 - 1e-5)
    odds = math.log(sure / (1 - sure))
    alone, together = (max(-MOST_GAIN, min(MOST_GAIN, value)) for value in (gain.alone, gain.together))
    word = float(is_word_choice(edit))
    return [
        1.0, odds, alone, together, word, word * odds, word * together, float(not edit.now), float(not edit.was.strip()),
        math.log1p(among), abs(len(edit.now) - len(edit.was)) / 10,
    ]  # fmt: skip


async def gains(score: Score, text: str, edits: Sequence[Edit]) -> list[Gain]:
    """What each edit adds, in their order; every sentence is scored once, all at one time.

    Raises:
        UnreachableError, RefusedError: as ``score`` does.
    """
    whole = apply_edits(text, edits)
    one = [apply_edits(text, [edit]) for edit in edits]
    others = [apply_edits(text, [*edits[:i], *edits[i + 1 :]]) for i in range(len(edits))]
    wanted = list(dict.fromkeys((text, whole, *one, *others)))
    found = dict(zip(wanted, await asyncio.gather(*(score(sentence) for sentence in wanted)), strict=True))
    return [
        Gain(found[with_it] - found[text], found[whole] - found[without])
        for with_it, without in zip(one, others, strict=True)
    ]
