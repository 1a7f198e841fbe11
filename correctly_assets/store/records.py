"""What the store hands out: small frozen records, one per table that others read.

Belongs here: the records and how a row becomes one. Does not belong here: SQL.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from correctly_assets.core.json_shapes import Json, Row
from correctly_assets.core.types import Edit, Example, Reason

Status = Literal["waiting", "accepted", "quarantined", "forgotten"]
Verdict = Literal["promoted", "refused", "failed"]
ReleaseKind = Literal["promotion", "rollback", "override"]
FeedbackState = Literal["pending", "landed", "thumb", "quarantined", "ignored"]


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows by status. ``landed`` is all of them but the forgotten."""

    landed: int
    accepted: int
    waiting: int
    quarantined: int
    forgotten: int = 0


@dataclass(frozen=True, slots=True)
class StoredExample:
    """An example with what the store knows of it.

    Attributes:
        length: ``short``, ``medium`` or ``long`` (store/examples.py).
        edits: ERRANT's, from when it entered a train set or was completed; None before that.
    """

    example: Example
    status: Status
    weight: int
    landed_at: str
    decided_in: str | None
    source_file: str | None
    source_line: int | None
    length: str
    edits: tuple[Edit, ...] | None


@dataclass(frozen=True, slots=True)
class Landing:
    """One file that landed."""

    id: str
    file: str
    sha: str | None
    landed: int
    duplicates: int
    waiting: int
    quarantined: int
    refused: int
    at: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of one fingerprint; sensor, status and report read this and nothing else."""

    id: str
    fingerprint: str
    adapter: str | None
    verdict: Verdict
    reasons: tuple[str, ...]
    run_id: str | None
    attempt: int
    rows_digest: str
    recipe_digest: str
    accepted: int
    train_set: str | None
    at: str


@dataclass(frozen=True, slots=True)
class Release:
    """A champion at a time; the newest release is served. ``scores`` is as `artifacts.reports.ReleaseScores` reads it."""

    id: str
    adapter: str
    base_model: str
    train_set: str | None
    scores: Mapping[str, Json]
    kind: ReleaseKind
    why: str
    previous: str | None
    at: str


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One answer given, as it was journalled: personal data are placeholders."""

    id: str
    at: str
    release: str | None
    adapter: str | None
    before: str
    after: str
    edits: tuple[Edit, ...]
    fallback: str | None
    client: str | None
    chat_id: str | None
    seconds: float | None
    tokens: int | None


class JudgedEdit(TypedDict):
    """Whether somebody took an edit of an answer, by its place among them."""

    index: int
    accepted: bool


@dataclass(frozen=True, slots=True)
class Feedback:
    """What somebody said of one answer. ``rating`` is 1, -1, or 0 when only edits or a better text were given; ``giver`` tells
    people apart and names nobody; ``ticked`` are reasons chosen from a list."""

    id: str
    source_key: str
    correction_id: str
    rating: int
    better: str | None
    edits: tuple[JudgedEdit, ...]
    comment: str | None
    state: FeedbackState
    message: str | None
    example_id: str | None
    at: str
    giver: str | None = None
    ticked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reaction:
    """A piece of feedback beside the answer it speaks of, as a reviewer reads them. The answer's fields are None where it is not,
    or no longer, journalled."""

    feedback: Feedback
    before: str | None
    after: str | None
    release: str | None


@dataclass(frozen=True, slots=True)
class Thumb:
    """A confirmed answer."""

    id: str
    feedback_id: str
    before: str
    after: str
    at: str


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A row kept out of training, with its way back."""

    id: str
    example_id: str | None
    row: Row
    reason: str
    rung: str
    at: str
    state: Literal["open", "released", "dropped"]


@dataclass(frozen=True, slots=True)
class FormTone:
    """One row of the taxonomy: how somebody who feels ``emotion`` sounds in ``form``."""

    emotion: str
    form: str
    form_form: str
    tone: str
    tone_name: str
    wording: str

    @property
    def feeling(self) -> str:
        """What prompts put in place of {mapping_emotion_form_tone}."""
        return f"{self.emotion}: {self.wording} ({self.tone_name})"


def to_json(value: Any) -> str:
    """Compact JSON as it stands in the database."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def example_from(row: Mapping[Any, Any]) -> Example:
    """An example from a row of ``correction_script`` joined with ``text_repository``."""
    reasons = row["reasons"]
    expressions = row["key_expressions"]
    return Example(
        id=row["id"],
        before=row["before"],
        after=row["after"],
        reasons=tuple(Reason(**reason) for reason in json.loads(reasons)) if reasons != "[]" else (),
        reason=row["reason"],
        form=row["form"],
        tone=row["tone"],
        topic=row["topic"],
        language=row["language"],
        style=row["style"],
        key_expressions=tuple(json.loads(expressions)) if expressions != "[]" else (),
        speaker=row["speaker"],
        source=row["source"],
        cefr=row["cefr"],
        licence=row["licence"],
        verified=bool(row["verified"]),
    )


def stored_from(row: Mapping[Any, Any]) -> StoredExample:
    """An example with what the store knows of it, from a row with every column of ``EXAMPLE_COLUMNS``."""
    return StoredExample(
        example_from(row),
        row["status"],
        row["weight"],
        row["landed_at"],
        row["decided_in"],
        row["source_file"],
        row["source_line"],
        row["length_class"],
        None if row["edits"] is None else edits_from(row["edits"]),
    )


def edits_from(text: str) -> tuple[Edit, ...]:
    """The edits of a column, which holds them as JSON.

    Raises:
        ValueError, TypeError: the text is no list of edits.
    """
    return tuple(Edit(**edit) for edit in json.loads(text))
