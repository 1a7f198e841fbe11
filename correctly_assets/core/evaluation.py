"""What evaluation shares with those who call it: sets, answers with their cost, and the judge's Protocol.

Belongs here: records that cross between evaluation and runtime, and Protocols for what evaluation is handed. Does not
belong here: metrics (evaluation/) or the gate (gate.py).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from correctly_assets.core.hashing import sha256_of
from correctly_assets.core.types import Correction

FULL = "report.full"
"""Name of the full report's files beside the adapter's own."""

SMALL_SET = 300
"""Below this many rows a set is called small wherever its scores are shown."""


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """One text and the corrections people accept for it; ``kind`` as the set names it (``awkward``, ``correct``)."""

    source: str
    references: tuple[str, ...]
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Rows with the hash of what they were read from.

    Attributes:
        sha256: of the file's bytes; of each file's for parallel text; of that and the limit, or the rows left out, for a part
            of a set.
    """

    name: str
    rows: tuple[EvaluationRow, ...]
    sha256: str

    @property
    def sources(self) -> list[str]:
        """The texts to correct, in the order of the rows."""
        return [row.source for row in self.rows]

    def without(self, numbers: Collection[int]) -> EvaluationSet:
        """The set without some rows, numbered from 1; its hash says that it is another set."""
        rows = tuple(row for number, row in enumerate(self.rows, 1) if number not in numbers)
        return EvaluationSet(self.name, rows, sha256_of([self.sha256, "without", sorted(numbers)]))

    @property
    def small(self) -> bool:
        """Whether the set has fewer than `SMALL_SET` rows, so that only large differences show."""
        return len(self.rows) < SMALL_SET


@dataclass(slots=True)
class Costs:
    """What one system's answers to a set took.

    Attributes:
        seconds: per text, from asking to answer, with ``at_once`` texts in flight.
        wall_seconds: for the whole set.
        usd: money, where the system is paid for.
    """

    seconds: list[float] = field(default_factory=list)
    wall_seconds: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    at_once: int = 1
    usd: float | None = None


@dataclass(frozen=True, slots=True)
class Answers:
    """A system's answers to a set, in its order, and what they took when they were made.

    Attributes:
        guarded: a guard stood behind the answers, so that none of them refused is a figure and no gap.
    """

    system: str
    identity: str
    data_sha256: str
    corrections: tuple[Correction, ...]
    costs: Costs
    cached: bool = False
    guarded: bool = False


Verdict = Literal["first", "tie", "second"]


class Judge(Protocol):
    """Says which of two corrections of one sentence reads better."""

    name: str

    async def prefer(self, source: str, first: str, second: str) -> Verdict | None:
        """One verdict in the order given, None where none can be read in the answer; the caller asks both orders.

        Raises:
            RetryableError, PermanentError: the judge cannot be asked now, or as configured.
        """
        ...


@dataclass(frozen=True, slots=True)
class Comparison:
    """One pair for a judge, or for a person whose label calibrates it."""

    source: str
    first: str
    second: str
    label: Verdict | None = None


def answers_in_order(answers: Answers) -> Sequence[str]:
    """The corrected texts alone."""
    return [correction.after for correction in answers.corrections]
