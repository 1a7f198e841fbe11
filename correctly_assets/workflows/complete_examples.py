"""Rows that landed without a correction: having the teacher complete them, and saying what they wait for.

Belongs here: joining store and teacher for what waits. Does not belong here: how a correction is asked for and proved
(teachers/prompted/prompted_teacher.py), or writing new examples (generate.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypedDict

from correctly_assets.core.errors import PermanentError
from correctly_assets.core.ports import Refusal, Teacher
from correctly_assets.core.types import Example
from correctly_assets.llm_api.budget import PromptTooLongError, RequestRefusedError
from correctly_assets.llm_api.requests import NOT_RECORDED, record_command
from correctly_assets.settings import Settings
from correctly_assets.teachers.prompted.batch_sizes import UNRECORDED
from correctly_assets.workflows.make_teacher import make_platform_teacher
from correctly_assets.workflows.waiting_rows import waits_for

if TYPE_CHECKING:
    from correctly_assets.store import Store

MAX_COMPLETED = 500
"""Waiting rows that one call asks about; the next call goes on."""
_MAX_SHOTS = 2000


class PrintedWaiting(TypedDict):
    """What ``generate --json`` prints of the rows that waited; money in US dollars."""

    completed: int
    left: int
    refused_by_rung: dict[str, int]
    cost_usd: float
    says: str | None


@dataclass(frozen=True, slots=True)
class CompletedWaiting:
    """What became of the rows that waited.

    Attributes:
        completed, left: rows; ``left`` wait still.
        skipped: why none was asked for, in a sentence.
        unrecorded: that a recording holds no answer for some of them, in a sentence.
    """

    completed: int = 0
    left: int = 0
    refused: tuple[Refusal, ...] = ()
    cost_usd: float = 0.0
    skipped: str | None = None
    unrecorded: str | None = None

    @property
    def message(self) -> str | None:
        """One sentence for whoever asked; None when nothing waited."""
        if self.skipped is not None or not (self.completed or self.left):
            return self.skipped
        paid = f" for {self.cost_usd:.4f} USD" if self.cost_usd else ""
        left = f"; {self.left} wait still" if self.left else ""
        message = (
            f"The teacher completed {self.completed} waiting examples{paid}; {len(self.refused)} were refused{left}."
        )
        return f"{message} {self.unrecorded}" if self.unrecorded else message

    def to_json(self) -> PrintedWaiting:
        """As it stands under ``waiting`` in ``generate --json``."""
        return {
            "completed": self.completed,
            "left": self.left,
            "refused_by_rung": dict(Counter(refusal.rung for refusal in self.refused)),
            "cost_usd": self.cost_usd,
            "says": self.message,
        }


def complete_waiting(
    store: Store, settings: Settings, *, count: int = MAX_COMPLETED, teacher: Teacher | None = None
) -> CompletedWaiting:
    """Have the teacher correct up to ``count`` rows that wait. A row whose correction the ladder refuses waits on.

    The embedded teacher has no corrections to give, and rows wait on. The recorded one gives those that its recording holds.

    Args:
        teacher: who corrects; the configured one when None.

    Raises:
        RetryableError, PermanentError: the endpoint, as the teacher says.
    """
    waiting = list(store.waiting(limit=count))
    if not waiting:
        return CompletedWaiting()
    if settings.teacher.kind == "embedded":
        left = store.counts().waiting
        return CompletedWaiting(left=left, skipped=f"{left} examples have no correction. {waits_for(settings.teacher)}")
    shots = _changed(store.accepted(limit=_MAX_SHOTS))
    try:
        answered = (teacher or make_platform_teacher(settings)).complete_examples([*waiting, *shots])
    except PermanentError as error:
        if error.code != NOT_RECORDED:
            raise
        left = store.counts().waiting
        return CompletedWaiting(left=left, skipped=f"{left} examples wait still: {error}")
    completed = sum(
        store.complete_waiting(id, made.after, made.reasons, edits=made.edits) for id, made in answered.done.items()
    )
    missing = sum(refusal.rung == UNRECORDED for refusal in answered.refused)
    command = record_command(settings.teacher.model, "teacher")
    unrecorded = f"The recording has no answer for {missing} of them: run {command}." if missing else None
    return CompletedWaiting(
        completed, store.counts().waiting, answered.refused, answered.cost_usd, unrecorded=unrecorded
    )


def rehearse_waiting(store: Store, teacher: Teacher, *, count: int = MAX_COMPLETED) -> list[Example]:
    """What waits as the teacher corrects it, asked for as `complete_waiting` asks; the store stays as it is.

    Each call's prompts may show what the calls before it completed. It ends when every row was asked for, or when a call
    completes none.

    Args:
        count: rows that one call of `complete_waiting` asks about.

    Raises:
        RetryableError, PermanentError: the endpoint, as the teacher says.
    """
    waiting = list(store.waiting())
    accepted = list(store.accepted(limit=_MAX_SHOTS)) if waiting else []
    asked: set[str] = set()
    done: dict[str, Example] = {}
    while True:
        batch = [example for example in waiting if example.id not in done][:count]
        if asked.issuperset(example.id for example in batch):
            return list(done.values())
        asked.update(example.id for example in batch)
        shots = sorted([*accepted, *done.values()], key=lambda example: example.id)[:_MAX_SHOTS]
        try:
            made = teacher.complete_examples([*batch, *_changed(shots)]).done
        except (PromptTooLongError, RequestRefusedError):
            made = {}  # none of these is ever answered, which is no reason not to record the rest
        if not made:
            return list(done.values())
        for example in batch:
            if (found := made.get(example.id)) is not None:
                done[example.id] = replace(example, after=found.after, reasons=found.reasons)


def _changed(examples: Iterable[Example]) -> list[Example]:
    return [example for example in examples if example.after != example.before]
