"""Rows that landed without a correction: having the teacher complete them, and saying what they wait for.

Belongs here: joining store and teacher for what waits. Does not belong here: how a correction is asked for and proved
(teachers/prompted.py), or writing new examples (generate.py).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from correctly_assets.core.errors import PermanentError
from correctly_assets.core.ports import Refusal, Teacher
from correctly_assets.core.teaching import NOT_RECORDED
from correctly_assets.settings import Settings

if TYPE_CHECKING:
    from correctly_assets.store import Store

MOST = 500
"""Waiting rows that one call asks about; the next call goes on."""
_SHOTS = 2000


@dataclass(frozen=True, slots=True)
class CompletedWaiting:
    """What became of the rows that waited.

    Attributes:
        completed, left: rows; ``left`` wait still.
        skipped: why none was asked for, in a sentence.
    """

    completed: int = 0
    left: int = 0
    refused: tuple[Refusal, ...] = ()
    cost_usd: float = 0.0
    skipped: str | None = None

    @property
    def says(self) -> str | None:
        """One sentence for whoever asked; None when nothing waited."""
        if self.skipped is not None or not (self.completed or self.left):
            return self.skipped
        paid = f" for {self.cost_usd:.4f} USD" if self.cost_usd else ""
        left = f"; {self.left} wait still" if self.left else ""
        return f"The teacher completed {self.completed} waiting examples{paid}; {len(self.refused)} were refused{left}."

    def to_json(self) -> dict[str, Any]:
        return {
            "completed": self.completed,
            "left": self.left,
            "refused_by_rung": dict(Counter(refusal.rung for refusal in self.refused)),
            "cost_usd": self.cost_usd,
            "says": self.says,
        }


def waits_for(settings: Settings) -> str:
    """What a row without a correction waits for, in a sentence."""
    if settings.teacher == "embedded":
        return "They wait until CORRECTLY_TEACHER=openai names a teacher that corrects: the embedded one only puts errors in."
    return f"The {settings.teacher} teacher corrects them before the next train set, or now with `correctly generate`."


def complete_waiting(
    store: Store, settings: Settings, *, count: int = MOST, teacher: Teacher | None = None
) -> CompletedWaiting:
    """Have the teacher correct up to ``count`` rows that wait. A row whose correction the ladder refuses waits on.

    The embedded teacher has no corrections to give, and rows wait on. The recorded one gives those that its recording holds.

    Args:
        teacher: who corrects; the configured one when None.

    Raises:
        RetryableError, PermanentError: the endpoint, as the teacher says.
    """
    from .join import make_platform_teacher

    waiting = list(store.waiting(limit=count))
    if not waiting:
        return CompletedWaiting()
    if settings.teacher == "embedded":
        left = store.counts().waiting
        return CompletedWaiting(left=left, skipped=f"{left} examples have no correction. {waits_for(settings)}")
    shots = [example for example in store.accepted(limit=_SHOTS) if example.after != example.before]
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
    return CompletedWaiting(completed, store.counts().waiting, answered.refused, answered.cost_usd)
