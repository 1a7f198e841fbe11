"""Votes in a chat where the base model or a candidate answers beside the release: each speaks of its own answer alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from correctly_assets.core.rollback import Signals, decide_rollback
from correctly_assets.core.types import Correction
from correctly_assets.settings import Settings
from correctly_assets.store import Store
from correctly_assets.workflows.collect_feedback import settle_feedback
from correctly_assets.workflows.openwebui_rows import VoteRow
from correctly_assets.workflows.read_votes import parse_vote, take_votes
from correctly_assets.workflows.wiring import open_platform_store
from correctly_tests.unit.workflows.test_feedback import row

pytestmark = pytest.mark.slow

BEFORE, SERVED = "She go to the office every days.", "She goes to the office every days."
OTHERS = {"correctly-base": BEFORE, "correctly-candidate": "She went to the office every days."}
BETTER = "She goes to the office every day."


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """A chat in which all three have answered the same sentence; the release first, so that it is the oldest."""
    settings.platform.home.mkdir(parents=True)
    with open_platform_store(settings.platform) as opened:
        for id, after, release, adapter in (
            ("c_served", SERVED, "r0001", "abc"),
            ("c_candidate", OTHERS["correctly-candidate"], None, "new"),
            ("c_base", OTHERS["correctly-base"], None, None),
        ):
            opened.journal_correction(Correction(id, BEFORE, after, (), release, adapter), chat_id="chat-1")
        yield opened


def on(model: str | None, rating: int, answered: str, comment: str = "", id: str = "v1") -> dict[str, Any]:
    found = row(rating, comment=comment, asked=BEFORE, answered=answered, id=id)
    found["data"]["model_id"] = model
    return found


def take(store: Store, *rows: dict[str, Any]) -> int:
    return take_votes(
        store, [vote for each in rows if (vote := parse_vote(VoteRow.model_validate(each))) is not None], str
    )


@pytest.mark.parametrize("model", OTHERS)
def test_thumbs_down_on_the_model_beside_never_roll_the_release_back(store: Store, model: str) -> None:
    assert take(store, *(on(model, -1, OTHERS[model], id=f"v{number}") for number in range(20))) == 20
    assert store.signals("r0001") == Signals(answers=1)
    assert decide_rollback(store.signals("r0001"), Signals(20, 0, 20, 0)) is None
    take(store, on("correctly", -1, SERVED, id="its own"))
    assert store.signals("r0001") == Signals(answers=1, downs=1)


@pytest.mark.parametrize("model", OTHERS)
@pytest.mark.parametrize("rating", [1, -1])
def test_a_plain_thumb_on_the_model_beside_confirms_nothing(
    store: Store, settings: Settings, model: str, rating: int
) -> None:
    take(store, on(model, rating, OTHERS[model]))
    assert "0 confirmations, 1 votes only" in settle_feedback(store, settings)
    assert not list(store.thumbs()) and not list(store.accepted())


@pytest.mark.parametrize("model", OTHERS)
@pytest.mark.parametrize("comment", ["", BETTER])
def test_a_better_sentence_is_worth_having_whoever_answered(
    store: Store, settings: Settings, model: str, comment: str
) -> None:
    take(store, on(model, -1, OTHERS[model] if comment else BETTER, comment))
    settle_feedback(store, settings)
    assert [(one.before, one.after, one.verified) for one in store.accepted()] == [(BEFORE, BETTER, True)]
    assert store.signals("r0001") == Signals(answers=1)


def test_a_vote_on_the_release_joins_its_answer_though_others_came_later(store: Store) -> None:
    take(store, on("correctly", 1, SERVED))
    [kept] = store.pending_feedback()
    assert (kept.correction_id, kept.better) == ("c_served", None)


def test_a_vote_on_a_model_that_is_none_of_ours_is_not_taken(store: Store) -> None:
    assert take(store, on("gpt-x", -1, "Anything at all."), on("correctly-comparator", 1, "Anything at all.")) == 0
    assert not store.pending_feedback()


def test_a_reaction_over_http_to_the_base_models_answer_confirms_nothing(store: Store, settings: Settings) -> None:
    store.add_feedback(source_key="api:me:c_base", correction_id="c_base", rating=1)
    assert "0 confirmations" in settle_feedback(store, settings)
    assert not list(store.thumbs())
