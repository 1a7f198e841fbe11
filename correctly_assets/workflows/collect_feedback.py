"""Turning reactions into examples: joins the store's feedback with the guards and the ladder.

Belongs here: what becomes of one piece of feedback. Does not belong here: receiving it (gateway/, votes.py), the
guards (curation/) or the ladder's rungs (teachers/).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING

from correctly_assets.core.edits import accept_edits
from correctly_assets.core.errors import CorrectlyError
from correctly_assets.core.landing import ExampleGuard, LandRow, identified
from correctly_assets.core.ports import Refusal
from correctly_assets.core.text import clean_line
from correctly_assets.core.types import Example, Reason, TrainPair
from correctly_assets.curation.guards import row_of
from correctly_assets.curation.pii import PersonalData
from correctly_assets.settings import Settings
from correctly_assets.teachers.landed_edits import explained_edits
from correctly_assets.teachers.pair_checks import Ladder
from correctly_assets.workflows.land_rows import make_guards
from correctly_assets.workflows.read_votes import follow_withdrawn, read_votes, take_votes, votes_state
from correctly_assets.workflows.wiring import read_evaluation_texts

if TYPE_CHECKING:
    from correctly_assets.store import Store
    from correctly_assets.store.records import Feedback, FeedbackState, JournalEntry


LATE_SECONDS = 3600
"""How far before the last vote that was read votes are taken again: the answer that one speaks of may have come into the
journal after it, when the store had been busy."""


@dataclass(frozen=True, slots=True)
class FeedbackWaiting:
    """What has not been read and settled yet.

    Attributes:
        votes: the state of the chat's votes, ``NEWEST:COUNT``; any vote that is given, changed or taken back changes it.
        pending: reactions stand in the store that nobody settled.
        message: one sentence.
    """

    votes: str
    pending: bool
    message: str


def ask_for_feedback(store: Store, settings: Settings, known: str) -> FeedbackWaiting:
    """Whether there is anything to read: one short question to the chat, one to the store, nothing written.

    Args:
        known: the state of the votes that were read last; it is handed back where the chat does not answer.
    """
    votes, notes = known, ""
    try:
        votes = votes_state(settings)
    except CorrectlyError as error:
        # The chat is one of several ways in; what came another way is settled all the same.
        notes = f" {error}"
    pending = bool(store.pending_feedback(1))
    waits = [name for name, there in (("votes in the chat", votes != known), ("reactions", pending)) if there]
    return FeedbackWaiting(
        votes, pending, (f"New: {' and '.join(waits)}." if waits else "No reaction is waiting.") + notes
    )


def collect_feedback(store: Store, settings: Settings, *, since: int = 0) -> tuple[str, int]:
    """Take the votes given in the chat, where it runs, remove those taken back, and settle everything that is pending.

    Args:
        since: votes changed before this second (since 1970) were taken already and are not fetched.

    Returns:
        One sentence, and the ``since`` of the next time.
    """
    notes = ""
    try:
        read = read_votes(settings, since=since - LATE_SECONDS)
        if read.votes:
            taken = take_votes(store, read.votes, _scrubber(settings.privacy.pii_names).scrub)
            if lost := len(read.votes) - taken:
                notes += f" {lost} votes speak of no answer in the journal and do not count."
        if gone := follow_withdrawn(store, read):
            notes += f" {gone} votes were taken back."
        if read.others:
            notes += f" {len(read.others)} votes speak of no answer of ours."
        since = read.newest
    except CorrectlyError as error:
        # The chat is one of several ways in; what came another way is settled all the same.
        notes += f" {error}"
    return settle_feedback(store, settings) + notes, since


@cache
def _scrubber(names: bool) -> PersonalData:
    return PersonalData(names=names)


def settle_feedback(store: Store, settings: Settings, *, limit: int = 100) -> str:
    """Settle what is pending; returns one sentence that says what became of it."""
    pending = store.pending_feedback(limit)
    if not pending:
        return "No reaction is waiting."

    guards, ladder = make_guards(settings.privacy), Ladder(read_evaluation_texts(settings.platform))
    settled = Counter(_settle(store, settings, feedback, guards, ladder) for feedback in pending)
    return (
        f"{len(pending)} reactions settled: {settled['landed']} corrections landed, {settled['quarantined']} held in "
        f"quarantine, {settled['thumb']} confirmations, {settled['ignored']} votes only."
    )


def _settle(
    store: Store, settings: Settings, feedback: Feedback, guards: ExampleGuard, ladder: Ladder
) -> FeedbackState:
    """Write down what becomes of one piece of feedback: a landed correction, one in quarantine, a confirmation, or a vote."""

    def ignore(message: str) -> FeedbackState:
        store.settle_feedback(feedback.id, state="ignored", message=message)
        return "ignored"

    entry = store.correction(feedback.correction_id)
    if entry is None:
        return ignore("The answer it speaks of is not in the journal.")
    better = better_text(feedback, entry)
    if better is not None:
        return _land(store, settings, feedback, entry, better, guards, ladder)
    if entry.release is None:
        # The base model's or a candidate's answer, read beside ours: nothing that was released is confirmed by it.
        return ignore("The answer it speaks of is no release's, and it says no better version.")
    if feedback.rating <= 0:
        return ignore("It says no better version; it counts as a vote.")
    confirmed = (entry.before, entry.after)
    store.settle_feedback(feedback.id, state="thumb", message="It confirms the answer.", thumb=confirmed)
    return "thumb"


def _land(
    store: Store,
    settings: Settings,
    feedback: Feedback,
    entry: JournalEntry,
    better: str,
    guards: ExampleGuard,
    ladder: Ladder,
) -> FeedbackState:
    """Land the better version as a verified example, or hold it in quarantine with the reason why."""
    kept = [edit for edit in entry.edits if feedback.rating > 0 and edit.reason]
    example = identified(
        Example(
            id="",
            before=clean_line(entry.before),
            after=clean_line(better),
            reasons=tuple(Reason(edit.was, edit.now, edit.reason or "") for edit in kept),
            source="feedback",
            verified=True,
        )
    )
    [(guarded, held)] = guards.check([example])
    held = held or on_the_ladder(guarded, ladder) or _too_many(store, feedback, guarded, settings)
    store.land([LandRow(identified(guarded), held=held)], file="feedback")
    state: FeedbackState = "quarantined" if held else "landed"
    message = held.reason if held else "It landed as a verified example."
    store.settle_feedback(feedback.id, state=state, message=message, example_id=identified(guarded).id)
    return state


def _too_many(store: Store, feedback: Feedback, example: Example, settings: Settings) -> Refusal | None:
    """Why a correction waits for a reviewer whose giver has had many land today: what one person sends weighs much in training,
    and nobody should teach the next adapter alone."""
    day = (datetime.now(UTC) - timedelta(days=1)).isoformat(timespec="milliseconds")
    limit = settings.curation.feedback_per_day
    if store.landed_of(feedback.giver, day) < limit:
        return None
    why = f"{limit} corrections of the same person have landed within a day; a reviewer lets the others in."
    return Refusal("giver", why, row_of(example))


def on_the_ladder(example: Example, ladder: Ladder) -> Refusal | None:
    """The refusal of the first rung that a person's correction does not pass: it is held, and can be released.

    "Leave it as it was" is a correction too: then nothing may differ.
    """
    after = example.after or ""
    pair = TrainPair(
        id=example.id,
        example_id=example.id,
        origin="bait" if example.before == after else "human",
        before=example.before,
        after=after,
        edits=explained_edits(example.before, after, example.reasons, None),
    )
    return ladder.check(pair)


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
