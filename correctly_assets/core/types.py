"""The nouns: example, reason, edit, correction, train pair.

Belongs here: frozen records and their JSON shapes (CONTRACTS.md). Does not belong here: how they are stored or made.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, TypedDict

Task = Literal["correct", "explain"]
ReasonOrigin = Literal["model", "chosen", "rule"]
Fallback = Literal["loop", "length", "format", "profanity", "empty"]
Origin = Literal["human", "example", "injected", "bait", "teacher", "thumb"]
EditKey = tuple[int, int, str]
"""(token start, token end, replacement): what ERRANT's span-based correction compares."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why one thing changed: ``was`` became ``now`` because of ``reason`` (one sentence)."""

    was: str
    now: str
    reason: str

    def to_json(self) -> dict[str, str]:
        """``{"was", "now", "reason"}``, as in a landed row."""
        return {"was": self.was, "now": self.now, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Example:
    """A landed before/after/reasons with its attributes. ``after`` is None while it waits for a teacher.

    ``verified`` marks a human correction that passed the ladder; such rows weigh ``HUMAN_WEIGHT`` in a train set.
    """

    id: str
    before: str
    after: str | None
    reasons: tuple[Reason, ...] = ()
    reason: str | None = None
    form: str | None = None
    tone: str | None = None
    topic: str | None = None
    language: str = "en"
    style: str | None = None
    key_expressions: tuple[str, ...] = ()
    speaker: str | None = None
    source: str = "file"
    cefr: str | None = None
    licence: str | None = None
    verified: bool = False


class EditJson(TypedDict):
    """An item of ``edits`` of a correction."""

    start: int
    end: int
    was: str
    now: str
    type: str
    reason: str | None
    reason_origin: ReasonOrigin | None
    point: str | None


class SkippedJson(TypedDict):
    """An item of ``skipped`` of a correction."""

    start: int
    end: int
    why: str


class CorrectionJson(TypedDict):
    """A correction as `/v1/corrections` and ``correct --json`` give it."""

    id: str
    before: str
    after: str
    changed: bool
    release: str | None
    adapter: str | None
    edits: list[EditJson]
    fallback: Fallback | None
    skipped: list[SkippedJson]


@dataclass(frozen=True, slots=True)
class Edit:
    """One aligned change. ``start``/``end`` are code points into ``before``, half-open; ``type`` is ERRANT's (``R:PREP``).

    ``point`` is the ID of the grammar point that the reason tells of; None where the reason is a general one of the type.
    """

    start: int
    end: int
    was: str
    now: str
    type: str
    reason: str | None = None
    reason_origin: ReasonOrigin | None = None
    point: str | None = None

    def explained(self, reason: str, origin: ReasonOrigin, point: str | None = None) -> Edit:
        """The same edit with a reason.

        Args:
            origin: who gave it: ``model``, ``chosen`` or ``rule``.
            point: ID of the grammar point that it was made from; None where it comes from none.
        """
        return replace(self, reason=reason, reason_origin=origin, point=point)

    def to_json(self) -> EditJson:
        """An item of ``edits`` of a correction; ``start`` and ``end`` are code points into ``before``, half-open."""
        return {
            "start": self.start,
            "end": self.end,
            "was": self.was,
            "now": self.now,
            "type": self.type,
            "reason": self.reason,
            "reason_origin": self.reason_origin,
            "point": self.point,
        }


@dataclass(frozen=True, slots=True)
class TokenEdit:
    """One ERRANT edit over token positions of the source, as scorers compare it."""

    start: int
    end: int
    text: str
    type: str

    @property
    def key(self) -> EditKey:
        """What makes two edits the same one to a scorer: position and replacement, whatever the type."""
        return (self.start, self.end, self.text)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A stretch of ``before`` that was not looked at or stands as it was for want of a safe correction: half-open code points, and
    what it is."""

    start: int
    end: int
    why: str

    def to_json(self) -> SkippedJson:
        """An item of ``skipped`` of a correction: ``{"start", "end", "why"}``."""
        return {"start": self.start, "end": self.end, "why": self.why}


@dataclass(frozen=True, slots=True)
class Correction:
    """One answer of the correction path; ``release`` and ``adapter`` say which model wrote it."""

    id: str
    before: str
    after: str
    edits: tuple[Edit, ...] = ()
    release: str | None = None
    adapter: str | None = None
    fallback: Fallback | None = None
    skipped: tuple[Skipped, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether the answer differs from what was asked."""
        return self.before != self.after

    def to_json(self) -> CorrectionJson:
        """As `/v1/corrections` and ``correct --json`` give it."""
        return {
            "id": self.id,
            "before": self.before,
            "after": self.after,
            "changed": self.changed,
            "release": self.release,
            "adapter": self.adapter,
            "edits": [edit.to_json() for edit in self.edits],
            "fallback": self.fallback,
            "skipped": [one.to_json() for one in self.skipped],
        }


@dataclass(frozen=True, slots=True)
class TrainPair:
    """What the model is trained on: one before/after with the edits it should be able to explain.

    Attributes:
        example_id: the example it was derived or prompted from; `forget` and lineage follow it.
        origin: ``human`` verified correction, ``example`` a landed pair as it is, ``injected`` typed errors put into a
            clean sentence, ``bait`` left untouched, ``teacher`` written by a model, ``thumb`` a confirmed answer.
        weight: how often the pair is seen in one pass, at least 1.
    """

    id: str
    example_id: str
    origin: Origin
    before: str
    after: str
    edits: tuple[Edit, ...] = ()
    weight: int = 1
    split: Literal["train", "held_out"] = "train"
    language: str = "en"
    attributes: dict[str, str] = field(default_factory=dict)
