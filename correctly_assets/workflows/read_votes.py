"""Votes given in Open WebUI, joined to the answers they speak of.

Belongs here: what Open WebUI's votes mean, and finding each vote's answer in our journal. Does not belong here: what
becomes of a reaction (collect_feedback.py), or fetching votes (openwebui_rows.py).

Open WebUI forwards the chat's id with every request and no message's, so a vote is joined by chat and text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from correctly_assets.core.text import clean_line
from correctly_assets.correction.left_alone import without_notice
from correctly_assets.correction.segment import segments
from correctly_assets.settings import Settings
from correctly_assets.workflows.openwebui_account import signed_in
from correctly_assets.workflows.openwebui_rows import (
    Message,
    VoteData,
    VoteRow,
    export_votes,
    find_vote,
    list_votes,
)

if TYPE_CHECKING:
    import httpx

    from correctly_assets.store import Store
    from correctly_assets.store.records import JournalEntry

MAX_CHANGED = 0.5
"""Largest share of changed words at which a comment is taken for a better version rather than a note."""
SERVED, BASE, CANDIDATE = "correctly", "correctly-base", "correctly-candidate"
"""Who gives the answers that the gateway journals; whatever else a chat holds is somebody else's answer."""
_NAMES = {
    **{name: name for name in (SERVED, BASE, CANDIDATE)},
    **dict.fromkeys((f"{SERVED}-fluent", f"{SERVED}-text"), SERVED),
}
"""Every name under which the gateway lists them."""
KEY = "open-webui:"
"""What the source keys of these votes begin with."""
_ONE_BY_ONE = 100
"""New votes that are fetched each by itself; of more, all are fetched at once."""
TABLE = re.compile(r"\n+\s*\|\s*(?:Was|이전|전)\s*\|", re.I)


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's vote on one answer, in their own words.

    Attributes:
        id: Open WebUI's id of the vote; a vote that is changed keeps it.
        rating: 1 or -1.
        model: which of the gateway's models gave the answer; only a vote on `SERVED` says something of a release. None where
            an arena does not tell, and only the answer's own words do.
        asked, answered: the message voted on and the user's before it, as they stand in the chat now: an edited answer
            is the edited one. None where the chat no longer shows them.
        updated_at: when it was last changed, in seconds since 1970.
        giver: whose vote it is, as a hash of the account.
        ticked: the reason chosen from Open WebUI's list, and its grade from 1 to 10.
    """

    id: str
    rating: int
    chat_id: str
    asked: str | None
    answered: str | None
    comment: str | None
    updated_at: int = 0
    model: str | None = SERVED
    giver: str | None = None
    ticked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadVotes:
    """What was read of Open WebUI's votes.

    Attributes:
        states: every vote that it holds now, by id: when it was last changed, in seconds since 1970.
        votes: of those changed lately, the ones on our answers. others: ids of those that are no vote of ours (any more).
    """

    states: Mapping[str, int]
    votes: tuple[Vote, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def newest(self) -> int:
        """When the newest vote was last changed, in seconds since 1970; 0 without votes."""
        return max(self.states.values(), default=0)


def read_votes(settings: Settings, *, since: int = 0, timeout: float = 10.0) -> ReadVotes:
    """The votes that Open WebUI holds: of all, when they were last changed; in full, those changed at or after ``since``.

    Raises:
        UnreachableError: Open WebUI is away.
        PermanentError: it does not let us read its votes.
    """
    with signed_in(settings.platform, timeout=timeout) as client:
        states = _states(client)
        new = {id for id, at in states.items() if at >= since}
        if len(new) > _ONE_BY_ONE:
            rows = [row for row in export_votes(client) if row.id in new]
        else:
            rows = [row for id in sorted(new) if (row := find_vote(client, id)) is not None]
    votes = [vote for row in rows if (vote := parse_vote(row)) is not None]
    ours = {vote.id for vote in votes}
    return ReadVotes(states, tuple(votes), tuple(row.id for row in rows if row.id not in ours))


def votes_state(settings: Settings, *, timeout: float = 5.0) -> str:
    """``NEWEST:COUNT`` of Open WebUI's votes, which any vote that is given, changed or taken back changes; no chat is fetched.

    Raises:
        UnreachableError, PermanentError: as ``read_votes``.
    """
    with signed_in(settings.platform, timeout=timeout) as client:
        states = _states(client)
    return f"{ReadVotes(states).newest}:{len(states)}"


def _states(client: httpx.Client) -> dict[str, int]:
    return {row.id: int(row.updated_at) for row in list_votes(client)}


def parse_vote(row: VoteRow) -> Vote | None:
    """A vote of Open WebUI's with its chat; None for what is no thumb on an answer of ours in a chat."""
    try:
        rating = int(row.data.rating)
    except ValueError:
        return None
    if rating not in (1, -1) or not row.meta.chat_id:
        return None
    messages = row.snapshot.messages
    answer = messages.get(row.meta.message_id, Message())
    model = _model_voted_on(row, answer)
    if model is None and not row.meta.arena:
        return None  # it speaks of somebody else's answer, which may stand beside ours in the same chat
    question = messages.get(answer.parent_id, Message())
    return Vote(
        row.id,
        rating,
        row.meta.chat_id,
        _message_text(question.content),
        _message_text(answer.content),
        row.data.comment.strip() or None,
        int(row.updated_at),
        model,
        # So that people are told apart and none is named.
        KEY + hashlib.sha256(row.user_id.encode()).hexdigest()[:16] if row.user_id else None,
        _ticked(row.data),
    )


def _model_voted_on(row: VoteRow, answer: Message) -> str | None:
    """Which of our models was voted on, by the first name that is one of ours: the model that an arena chose, the one named in
    the vote, or what a workspace model of that name is made of."""
    named = [answer.selected_model, row.data.model_id, answer.model if row.meta.arena else ""]
    if not any(named):
        return SERVED
    for name in [*named, *(row.meta.base_models.get(name) for name in named)]:
        # A connection's prefix stands before a model's name, with a dot; our names have none.
        if name and (ours := _NAMES.get(name.rsplit(".", 1)[-1])):
            return ours
    return None


def _ticked(data: VoteData) -> tuple[str, ...]:
    """What a person ticked beside the thumb: a reason of Open WebUI's list, and its grade."""
    grade = data.details.get("rating") if isinstance(data.details, Mapping) else None
    found = [data.reason.replace("_", " ")[:60]] if data.reason else []
    return (*found, f"{grade} of 10") if isinstance(grade, int) else tuple(found)


def take_votes(store: Store, votes: Sequence[Vote], scrub: Callable[[str], str]) -> int:
    """Write votes down as feedback on the answers they speak of; returns how many had an answer in the journal.

    A vote that was taken already changes nothing; one that was turned round or edited is pending again. Raw chat text is
    not kept: personal data is replaced first.
    """
    taken = 0
    for vote in votes:
        entry = _answer_of(vote, store.corrections(chat_id=vote.chat_id, limit=500), scrub)
        if entry is None:
            continue
        taken += 1
        better, note = better_version(vote, entry, scrub)
        store.add_feedback(
            source_key=KEY + vote.id,
            correction_id=entry.id,
            rating=vote.rating,
            better=better,
            comment=note,
            giver=vote.giver,
            ticked=vote.ticked,
        )
    return taken


def follow_withdrawn(store: Store, read: ReadVotes) -> int:
    """Remove the votes that Open WebUI holds no more, or that are no thumb any more; returns how many there were."""
    there = {KEY + id for id in read.states} - {KEY + id for id in read.others}
    return store.withdraw_feedback(sorted(store.feedback_keys(KEY) - there))


def better_version(vote: Vote, entry: JournalEntry, scrub: Callable[[str], str]) -> tuple[str | None, str | None]:
    """(better version, note) that a vote carries.

    An answer that the person edited is a better version, their own sentence put back too. A comment is one when it aligns
    with the sentence with at most half of its words changed; any other comment is a note.
    """
    edited = clean_line(scrub(corrected_part(vote.answered))) if vote.answered is not None else ""
    # Whoever pastes one of our notices along with a text gets it back, and has edited nothing.
    if edited not in ("", clean_line(entry.after), clean_line(corrected_part(entry.after))):
        return edited, scrub(vote.comment) if vote.comment else None
    if vote.comment is None:
        return None, None
    comment = scrub(vote.comment)
    if vote.rating < 0:
        if is_version_of(comment, entry.before):
            return clean_line(comment), None
        whole = one_sentence_better(comment, entry.after)
        if whole is not None:
            return whole, None
    return None, comment


def one_sentence_better(comment: str, text: str) -> str | None:
    """A text of several sentences with the one that a comment writes otherwise put right; None where it is no version of
    one, or as much of two."""
    text = clean_line(text)
    parts = list(segments(text))
    close = [(_kept(comment, part.text), n) for n, part in enumerate(parts) if part.prose]
    close = sorted((item for item in close if 1 - item[0] <= MAX_CHANGED), reverse=True)
    if len(close) == 0 or len([part for part in parts if part.prose]) < 2:
        return None
    if len(close) > 1 and close[0][0] == close[1][0]:
        return None
    chosen = close[0][1]
    return "".join(clean_line(comment) if n == chosen else part.text for n, part in enumerate(parts))


def is_version_of(comment: str, sentence: str) -> bool:
    """Whether a comment is the sentence written otherwise rather than a remark about it."""
    return bool(comment.strip()) and 1 - _kept(comment, sentence) <= MAX_CHANGED


def _kept(comment: str, sentence: str) -> float:
    """The share of words that both have in the same order, from 0 to 1."""
    was, now = clean_line(sentence).casefold().split(), clean_line(comment).casefold().split()
    kept = sum(block.size for block in SequenceMatcher(None, was, now, autojunk=False).get_matching_blocks())
    return kept / max(len(was), len(now), 1)


def corrected_part(answer: str) -> str:
    """The corrected text of a chat answer: what stands before its table of changes, or before the notice that a text was
    left alone; empty where the notice is all there is."""
    return without_notice(TABLE.split(answer, maxsplit=1)[0])


def _answer_of(vote: Vote, entries: list[JournalEntry], scrub: Callable[[str], str]) -> JournalEntry | None:
    """The newest answer of the vote's chat, by the model voted on, to the text that was asked; that model's only answer
    where its text is not shown. Where the model is not known, the answer must be the one voted on word for word."""
    if vote.model is None:
        answered = clean_line(scrub(corrected_part(vote.answered or "")))
        entries = [entry for entry in entries if answered and clean_line(entry.after) == answered]
    else:
        entries = [entry for entry in entries if _model_of(entry) == vote.model]
    if vote.asked is None:
        return entries[0] if len(entries) == 1 else None
    asked = clean_line(scrub(vote.asked))
    return next((entry for entry in entries if clean_line(entry.before) == asked), None)


def _model_of(entry: JournalEntry) -> str:
    """Which of the gateway's models answered: base model and candidate answer beside a release, and belong to none."""
    if entry.release is not None:
        return SERVED
    return BASE if entry.adapter is None else CANDIDATE


def _message_text(content: object) -> str | None:
    """A message's text: a string, or the text parts of a list."""
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping)) or None
    return str(content) if content else None
