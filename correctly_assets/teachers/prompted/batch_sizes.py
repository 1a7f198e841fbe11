"""What became of requests that were sent together, and what a call's answers cost.

Belongs here: the records that a prompted teacher's work is told by. Does not belong here: asking (prompted.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from correctly_assets.core.errors import CorrectlyError
from correctly_assets.core.json_shapes import Row
from correctly_assets.core.ports import Refusal
from correctly_assets.core.taxonomy import Phrasing
from correctly_assets.core.types import Example, TrainPair
from correctly_assets.llm_api.budget import BudgetReachedError, PromptTooLongError
from correctly_assets.llm_api.requests import NOT_RECORDED, ChatAnswer

UNRECORDED = "recording"
"""The rung at which falls what a recording holds no answer to."""


@dataclass(slots=True)
class Wave:
    """What became of requests sent together, by their place: answers, failures, and the one for which no more are sent."""

    answers: dict[int, ChatAnswer] = field(default_factory=dict)
    failures: dict[int, Exception] = field(default_factory=dict)
    stopped_by: Exception | None = None


@dataclass(slots=True)
class Sums:
    """What all answers of a call cost, those from the journal apart."""

    answered: int = 0
    sent: int = 0
    paid_usd: float = 0.0
    journalled_usd: float = 0.0

    def add(self, answers: Iterable[ChatAnswer]) -> None:
        """Count answers, and what they cost: now, and in all with what earlier runs paid."""
        for answer in answers:
            self.answered += 1
            self.sent += not answer.paid_before
            self.paid_usd += 0.0 if answer.paid_before else answer.cost_usd
            self.journalled_usd += answer.cost_usd


def refusal_of(error: Exception, row: Row) -> Refusal:
    """The refusal of what could not be asked or was not answered."""
    if isinstance(error, CorrectlyError) and error.code == NOT_RECORDED:
        return Refusal(UNRECORDED, str(error), row)
    rungs = {BudgetReachedError: "budget", PromptTooLongError: "prompt"}
    return Refusal(rungs.get(type(error), "endpoint"), str(error), row)


def unseen(pair: TrainPair) -> Example:
    """The pair's text as an example that waits: what a second pass is shown."""
    return Example(pair.id, pair.before, None, form=pair.attributes.get("form"), tone=pair.attributes.get("tone"))


def no_phrasings() -> Sequence[Phrasing]:
    """For teachers that know no taxonomy tables."""
    return ()
