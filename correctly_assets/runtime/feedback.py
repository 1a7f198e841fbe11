"""Turning reactions into examples: joins the store's feedback with the guards.

Belongs here: what becomes of one piece of feedback. Does not belong here: receiving it (serving/gateway/) or the guards
(curation/).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from correctly_assets.core.edits import accept_edits
from correctly_assets.core.landing import LandRow, identified
from correctly_assets.core.text import clean_line
from correctly_assets.core.types import Example, Reason
from correctly_assets.settings import Settings

from .join import make_guards

if TYPE_CHECKING:
    from correctly_assets.store import Store
    from correctly_assets.store.records import Feedback, JournalEntry


def settle_feedback(store: Store, settings: Settings, *, limit: int = 100) -> str:
    """Settle what is pending; returns one sentence that says what became of it."""
    pending = store.pending_feedback(limit)
    if not pending:
        return "No reaction is waiting."
    landed = thumbs = ignored = 0
    guards = make_guards(settings)
    for feedback in pending:
        entry = store.correction(feedback.correction_id)
        if entry is None:
            store.settle_feedback(feedback.id, state="ignored", says="The answer it speaks of is not in the journal.")
            ignored += 1
            continue
        better = better_text(feedback, entry)
        if better is None:
            if feedback.rating > 0:
                store.settle_feedback(
                    feedback.id, state="thumb", says="It confirms the answer.", thumb=(entry.before, entry.after)
                )
                thumbs += 1
            else:
                store.settle_feedback(
                    feedback.id, state="ignored", says="It says no better version; it counts as a vote."
                )
                ignored += 1
            continue
        example = identified(
            Example(
                id="",
                before=clean_line(entry.before),
                after=clean_line(better),
                reasons=tuple(
                    Reason(e.was, e.now, e.reason or "") for e in entry.edits if feedback.rating > 0 and e.reason
                ),
                source="feedback",
                verified=True,
            )
        )
        [(guarded, held)] = guards.check([example])
        store.land([LandRow(identified(guarded), held=held)], file="feedback")
        store.settle_feedback(
            feedback.id,
            state="quarantined" if held else "landed",
            says=held.reason if held else "It landed as a verified example.",
            example_id=identified(guarded).id,
        )
        landed += 1
    return (
        f"{len(pending)} reactions settled: {landed} corrections landed, {thumbs} confirmations, {ignored} votes only."
    )


def better_text(feedback: Feedback, entry: JournalEntry) -> str | None:
    """The better version that a reaction carries, or None when it carries none.

    An explicit better text wins; else edits that were accepted and rejected one by one are applied.
    """
    if feedback.better and feedback.better.strip():
        return feedback.better.split("\n\n| Was |", 1)[0].strip()
    if feedback.edits and entry.edits:
        rejected = {int(item["index"]) for item in feedback.edits if not item["accepted"]}
        if rejected:
            kept = [index for index in range(len(entry.edits)) if index not in rejected]
            return accept_edits(entry.before, entry.edits, kept)
    return None
