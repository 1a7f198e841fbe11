"""How likely a proposed edit is right: the adapter's own probability of it, beside how much likelier the base model finds the
sentence with it.

Belongs here: the features of an edit, the weights that join them, asking for what the base model says. Does not belong here:
how likely an edit has to be (bounds.py), or fitting the weights for an adapter (workflows/choose_bounds.py).

An adapter that has learned to correct is sure of edits that it has seen often, right or not here. The base model has never seen
a correction and knows only which sentence people are likelier to write, so that the two are wrong in different places
(Yasunaga et al. 2021, doi:10.18653/v1/2021.emnlp-main.611, use a language model so).
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence

from pydantic import BaseModel, ConfigDict, Field

from correctly_assets.core.edits import apply_edits
from correctly_assets.core.types import Edit
from correctly_assets.correction.confidence import is_word_choice

FEATURES = (
    "bias", "confidence", "gain", "word", "word_confidence", "word_gain", "drops", "brings", "edits", "length",
    "lone", "lone_confidence", "lone_gain",
)  # fmt: skip
FIRST_FEATURES = 10
"""How many of them the first judges had."""
MOST_GAIN = 4.0
"""Nats beyond which a gain says no more: with a limit of 12 right and false edits were told apart no better (area under the curve
0.791 and 0.792 on the tuning pairs), and half as many edits were settled without asking."""

Score = Callable[[Sequence[str]], Awaitable[list[float]]]
"""Sentences → the log-probability of each by the base model, in nats."""


class Judge(BaseModel):
    """Weights of a logistic regression over `FEATURES`, fitted for one adapter."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: list[float] = Field(min_length=FIRST_FEATURES, max_length=len(FEATURES))
    """Fewer than there are features in a file that was written before the last ones were added: they weigh nothing there."""

    def settles(self, edit: Edit, confidence: float, among: int, least: float) -> bool | None:
        """Whether an edit reaches ``least`` whatever the base model says of it, or cannot; None where that decides."""
        ends = [self.probability(edit, confidence, gain, among) >= least for gain in (-MOST_GAIN, MOST_GAIN)]
        return ends[0] if ends[0] == ends[1] else None

    def probability(self, edit: Edit, confidence: float, gain: float, among: int) -> float:
        """How likely an edit is right, from 0 to 1.

        Args:
            confidence: the adapter's probability of it (confidence.py).
            gain: what it adds to the sentence's log-probability by the base model, in nats (`gains`).
            among: edits proposed for its sentence.
        """
        total = sum(w * x for w, x in zip(self.weights, features(edit, confidence, gain, among), strict=False))
        return 1 / (1 + math.exp(-max(-60.0, min(60.0, total))))


def features(edit: Edit, confidence: float, gain: float, among: int) -> list[float]:
    """The values of `FEATURES` for one edit."""
    sure = min(max(confidence, 1e-4), 1 - 1e-5)
    odds = math.log(sure / (1 - sure))
    gained = max(-MOST_GAIN, min(MOST_GAIN, gain))
    word, lone = float(is_word_choice(edit)), float(among == 1)
    return [
        1.0, odds, gained, word, word * odds, word * gained, float(not edit.now), float(not edit.was.strip()),
        math.log1p(among), abs(len(edit.now) - len(edit.was)) / 10,
        lone, lone * odds, lone * gained,
    ]  # fmt: skip


async def gains(score: Score, text: str, edits: Sequence[Edit]) -> list[float]:
    """What each edit alone adds to the log-probability of the sentence as it was written, in nats, in their order.

    All sentences are scored in one request. Scoring each edit beside the others too told right from false hardly better, at
    nearly twice the cost.

    Raises:
        UnreachableError, RefusedError: as ``score`` does.
    """
    if not edits:
        return []
    before, *after = await score([text, *(apply_edits(text, [edit]) for edit in edits)])
    return [value - before for value in after]
