"""How rows land: the content address of an example, and the Protocols between curation/, store/ and correction/.

Belongs here: what makes two landed rows the same row, the records that cross from curation to the store, and the
guards' interfaces. Does not belong here: reading files, looking for personal data, SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Protocol, TypedDict

from correctly_assets.core.hashing import sha256_of
from correctly_assets.core.json_shapes import Row
from correctly_assets.core.ports import Refusal
from correctly_assets.core.types import Example


def content_sha(example: Example, task: str = "correct") -> str:
    """sha256 (hex) of what makes a landed row itself: task, language, texts and reasons. Attributes such as form or
    topic are not part of it, so the same pair under another label is a duplicate."""
    return sha256_of(
        [
            task,
            example.language,
            example.before,
            example.after,
            [reason.to_json() for reason in example.reasons],
            example.reason,
        ]
    )


def identified(example: Example, task: str = "correct") -> Example:
    """The example under its own id: the first 16 hex digits of its content's sha256."""
    return replace(example, id=content_sha(example, task)[:16])


@dataclass(frozen=True, slots=True)
class LandRow:
    """One example on its way into the store.

    Attributes:
        line: where it stood in its file, from 1.
        held: why a guard keeps it out of training; it lands in quarantine.
    """

    example: Example
    line: int | None = None
    held: Refusal | None = None


@dataclass(frozen=True, slots=True)
class LandCounts:
    """What became of rows that were landed. ``waiting`` and ``quarantined`` are parts of ``landed``."""

    landed: int = 0
    duplicates: int = 0
    waiting: int = 0
    quarantined: int = 0

    def __add__(self, other: LandCounts) -> LandCounts:
        return LandCounts(
            self.landed + other.landed,
            self.duplicates + other.duplicates,
            self.waiting + other.waiting,
            self.quarantined + other.quarantined,
        )


class RefusedRow(TypedDict):
    """A row that was not taken, as ``FILE.refused.jsonl`` and ``POST /v1/examples`` tell of it (CONTRACTS)."""

    line: int | None
    reason: str
    row: Row


class LandOutcomeJson(TypedDict):
    """What ``add --json`` and ``POST /v1/examples`` answer (CONTRACTS)."""

    landed: int
    duplicates: int
    refused: int
    waiting: int
    quarantined: int
    refused_file: str | None
    reasons: dict[str, int]
    lines: dict[str, list[int]]
    ignored_columns: dict[str, int]


@dataclass(frozen=True, slots=True)
class LandOutcome:
    """What became of one file: every row of it is landed, a duplicate or refused.

    Attributes:
        quarantined: rows that landed but are kept out of training until somebody releases them.
        refused_file: where refused rows were written with their reasons; None when none was refused.
        reasons: the refusals' and quarantines' words with their counts, most frequent first.
        lines: by those words, the lines of the first rows that were refused for it.
        ignored_columns: columns that mean nothing to a row, with the number of rows that had them.
        read_as: the encoding that the file was taken to be in, where it does not say so itself.
    """

    landed: int = 0
    duplicates: int = 0
    refused: int = 0
    waiting: int = 0
    quarantined: int = 0
    refused_file: str | None = None
    reasons: tuple[tuple[str, int], ...] = ()
    ignored_columns: tuple[tuple[str, int], ...] = field(default=())
    lines: tuple[tuple[str, tuple[int, ...]], ...] = ()
    read_as: str | None = None

    @property
    def message(self) -> str:
        """One line for whoever landed the file."""
        parts = [f"{self.landed:,} landed", f"{self.duplicates:,} duplicates", f"{self.refused:,} refused"]
        parts += [f"{self.waiting:,} waiting for a teacher"] if self.waiting else []
        parts += [f"{self.quarantined:,} in quarantine"] if self.quarantined else []
        return ", ".join(parts) + "." + (f" Read as {self.read_as}." if self.read_as else "")

    def to_json(self) -> LandOutcomeJson:
        """The shape of ``add --json`` (CONTRACTS)."""
        return {
            "landed": self.landed,
            "duplicates": self.duplicates,
            "refused": self.refused,
            "waiting": self.waiting,
            "quarantined": self.quarantined,
            "refused_file": self.refused_file,
            "reasons": dict(self.reasons),
            "lines": {reason: list(lines) for reason, lines in self.lines},
            "ignored_columns": dict(self.ignored_columns),
        }


class Sink(Protocol):
    """Where examples land; the store satisfies it."""

    def land(self, rows: Iterable[Example | LandRow], *, file: str | None = None, batch_rows: int = 2000) -> LandCounts:
        """Land rows in transactions of ``batch_rows``; a row that is there already is counted as a duplicate.

        Raises:
            RetryableError: the store is busy or away; landing the same rows again is safe.
        """
        ...

    def landing(self, file: str) -> AbstractContextManager[Callable[[], None]]:
        """While this is open, a file is on its way, and no run starts over a part of it; call what it gives with every
        batch."""
        ...

    def record_landing(self, *, file: str, sha: str | None, counts: LandCounts, refused: int) -> None:
        """Write down that a whole file has landed."""
        ...

    def languages(self) -> frozenset[str]:
        """Codes of the languages that rows may have."""
        ...


class ExampleGuard(Protocol):
    """Looks at examples before they land (curation/guards.py)."""

    def check(self, examples: Sequence[Example]) -> list[tuple[Example, Refusal | None]]:
        """For each example, in order: the example (personal data replaced when set so) and why it is held, if it is."""
        ...
