"""A better version of one sentence, given on an answer of several."""

from __future__ import annotations

import pytest

from correctly_assets.core.types import Correction
from correctly_assets.settings import Settings
from correctly_assets.workflows.collect_feedback import settle_feedback
from correctly_assets.workflows.openwebui_rows import VoteRow
from correctly_assets.workflows.read_votes import one_sentence_better, parse_vote, take_votes
from correctly_assets.workflows.wiring import open_platform_store
from correctly_tests.unit.workflows.test_feedback import row

pytestmark = pytest.mark.slow

BEFORE = "Yesterday I have met Dr. Lee in the lift. He work on the third floor. Please login to the portal before noon."
AFTER = "Yesterday I met Dr. Lee in the lift. He works on the third floor. Please login to the portal before noon."


def test_a_comment_that_rewrites_one_sentence_corrects_that_one_alone() -> None:
    assert one_sentence_better("Please log in to the portal before noon.", AFTER) == AFTER.replace(
        "login to", "log in to"
    )


@pytest.mark.parametrize(
    "comment",
    ["This is not what I meant at all", "wrong", "", "Please please please explain what changed in here and why."],
)
def test_a_remark_on_a_paragraph_stays_a_note(comment: str) -> None:
    assert one_sentence_better(comment, AFTER) is None


def test_a_comment_that_fits_two_sentences_alike_is_a_note() -> None:
    assert one_sentence_better("He came in late.", "He came home late. He came back late.") is None


def test_the_vote_on_a_paragraph_lands_as_the_whole_paragraph(settings: Settings) -> None:
    settings.platform.home.mkdir(parents=True)
    with open_platform_store(settings.platform) as store:
        store.journal_correction(Correction("c_1", BEFORE, AFTER, (), "r0001", "abc"), client="webui", chat_id="chat-1")
        vote = parse_vote(
            VoteRow.model_validate(
                row(-1, comment="Please log in to the portal before noon.", asked=BEFORE, answered=AFTER)
            )
        )
        assert vote is not None
        assert take_votes(store, [vote], lambda text: text) == 1
        settle_feedback(store, settings)
        [example] = store.accepted()
        assert (example.before, example.after) == (BEFORE, AFTER.replace("login to", "log in to"))
