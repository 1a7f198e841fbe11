"""Votes on an answer that left the text alone, and says so: the notice is the gateway's, never the person's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from correctly_assets.core.types import Correction
from correctly_assets.correction.left_alone import NOT_CHANGED, NOTHING_TO_CHANGE
from correctly_assets.correction.render import chat_answer
from correctly_assets.settings import Settings
from correctly_assets.store import Store
from correctly_assets.workflows.collect_feedback import settle_feedback
from correctly_assets.workflows.openwebui_rows import VoteRow
from correctly_assets.workflows.read_votes import better_version, corrected_part, parse_vote, take_votes
from correctly_assets.workflows.wiring import open_platform_store
from correctly_tests.unit.workflows.test_feedback import row

pytestmark = pytest.mark.slow

TEXT, BETTER = "She go to the office every days.", "She goes to the office every day."
LONG = " ".join([TEXT, "I do not know why.", *["The room was large, and there were many chairs in it."] * 8])
NOTICES = [*NOTHING_TO_CHANGE.values(), *NOT_CHANGED.values()]
NOTE = "You missed one here, and I wonder why"


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    settings.platform.home.mkdir(parents=True)
    with open_platform_store(settings.platform) as opened:
        yield opened


def heard(
    store: Store, text: str, answered: str, rating: int, comment: str = "", *, after: str | None = None
) -> tuple[str | None, str | None]:
    """(better version, note) of one vote on the answer to a text, which stood as it was unless ``after`` is given."""
    store.journal_correction(
        Correction("c_1", text, after or text, (), "r0001", "abc"), client="webui", chat_id="chat-1"
    )
    vote = parse_vote(VoteRow.model_validate(row(rating, comment=comment, asked=text, answered=answered)))
    assert vote is not None and take_votes(store, [vote], str) == 1
    [kept] = store.pending_feedback()
    return kept.better, kept.comment


@pytest.mark.parametrize("notice", NOTICES)
@pytest.mark.parametrize("text", [TEXT, LONG])
@pytest.mark.parametrize("rating", [1, -1])
def test_a_vote_on_a_notice_carries_the_persons_words_and_none_of_ours(
    store: Store, notice: str, text: str, rating: int
) -> None:
    better = text.replace(TEXT, BETTER)
    # A stream that had begun ends in the notice; a short answer is the notice alone.
    for answered in (notice, f"{text}\n\n{notice}"):
        assert heard(store, text, answered, rating) == (None, None)
        assert heard(store, text, answered, rating, NOTE) == (None, NOTE)
        # A comment is a better version where something was wrong, and a remark beside a thumb up.
        assert heard(store, text, answered, rating, BETTER) == ((better, None) if rating < 0 else (None, BETTER))
    for answered in (better, f"{better}\n\n{notice}"):
        assert heard(store, text, answered, rating) == (better, None)
        assert heard(store, text, answered, rating, NOTE) == (better, NOTE)


def test_you_missed_one_lands_as_a_verified_correction(store: Store, settings: Settings) -> None:
    heard(store, TEXT, NOTICES[0], -1, BETTER)
    assert "1 corrections landed" in settle_feedback(store, settings)
    assert [(one.before, one.after, one.verified) for one in store.accepted()] == [(TEXT, BETTER, True)]


def test_a_thumb_up_on_a_long_unchanged_text_confirms_it_and_lands_nothing(store: Store, settings: Settings) -> None:
    assert len(LONG) > 400 and " not " in LONG
    heard(store, LONG, f"{LONG}\n\n{NOTICES[0]}", 1)
    assert "1 confirmations" in settle_feedback(store, settings)
    assert not list(store.accepted())
    assert [(thumb.before, thumb.after) for thumb in store.thumbs()] == [(LONG, LONG)]


@pytest.mark.parametrize("rating", [1, -1])
def test_an_answer_edited_back_to_ones_own_sentence_is_a_better_version(store: Store, rating: int) -> None:
    own, ours = "Whilst it rained, we read.", "While it rained, we read."
    assert heard(store, own, f"{own}\n\n| Was | Now | Why |\n| --- | --- | --- |", rating, after=ours) == (own, None)
    assert heard(store, own, f"{ours}\n\n| Was | Now | Why |\n| --- | --- | --- |", rating, after=ours) == (None, None)


def test_the_notice_is_what_the_gateway_writes(store: Store) -> None:
    for fallback in (None, "loop"):
        for language in ("en", "ko"):
            correction = Correction("c_1", TEXT, TEXT, (), "r0001", "abc", fallback)
            assert corrected_part(chat_answer(correction, language)) == ""


def test_a_text_that_itself_ends_in_our_notice_was_not_edited_by_the_vote(store: Store) -> None:
    text = f"{TEXT} {NOTICES[0]}"
    store.journal_correction(Correction("c_1", text, f"{BETTER} {NOTICES[0]}", (), "r0001", "abc"), chat_id="chat-1")
    [entry] = store.corrections(chat_id="chat-1")
    vote = parse_vote(
        VoteRow.model_validate(
            row(1, asked=text, answered=f"{entry.after}\n\n| Was | Now | Why |\n| --- | --- | --- |")
        )
    )
    assert vote is not None and better_version(vote, entry, str) == (None, None)
