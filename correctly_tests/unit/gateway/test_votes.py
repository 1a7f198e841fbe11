"""Votes at the gateway's /metrics: by release, whether they came over HTTP or were given in the chat."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from correctly_assets.core.errors import UnreachableError
from correctly_assets.core.types import Correction
from correctly_assets.settings import Settings
from correctly_assets.store import Store, open_store
from correctly_assets.workflows.openwebui_rows import VoteRow
from correctly_assets.workflows.read_votes import parse_vote, take_votes
from correctly_tests.serving_fakes import Running, fake_engine, running_gateway
from correctly_tests.unit.gateway.test_figures import figure
from correctly_tests.unit.workflows.test_feedback import row

BEFORE, AFTER = "She go to school with Tom.", "She goes to school with Tom."
CHAT = {"X-OpenWebUI-Chat-Id": "chat-1"}


class Slow:
    """The real store, behind a door: answers are journalled, and votes read, only while it stands open."""

    def __init__(self, store: Store) -> None:
        self.store, self.open, self.away = store, threading.Event(), False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def journal_correction(self, correction: Correction, **more: Any) -> None:
        assert self.open.wait(30)
        self.store.journal_correction(correction, **more)

    def votes(self) -> dict[tuple[str, int], int]:
        if self.away:
            raise UnreachableError("The database takes nothing now.")
        return self.store.votes()


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Slow]:
    settings = Settings().changed(platform={"home": tmp_path / "home"})
    settings.platform.home.mkdir()
    with open_store(settings.platform.store_url, settings.platform.sql_dir) as store:
        made = Slow(store)
        yield made
        made.open.set()


@pytest.fixture
def gateway(door: Slow, tmp_path: Path) -> Iterator[Running]:
    with fake_engine() as engine, running_gateway(tmp_path / "home", engine, journal=door, watched=door) as running:
        engine.default = {BEFORE: AFTER}
        running.serves(running.release("a"))
        yield running


def votes(running: Running, release: str) -> tuple[float, float]:
    """(ups, downs) of a release at /metrics."""
    name, of = "correctly_votes_total", f'release="{release}"'
    return figure(running, name, of, 'rating="1"'), figure(running, name, of, 'rating="-1"')


def written(running: Running) -> None:
    running.until(lambda said: not said["journal_pending"])


def voted_in_the_chat(running: Running, model: str, rating: int) -> None:
    """A chat answer, and a vote on it as Open WebUI's export has it, taken as the sensor takes it."""
    running.chat(BEFORE, headers=CHAT, model=model)
    written(running)
    given = row(rating, asked=BEFORE, answered="", id=f"{model}{rating}{running.ready()['release']}")
    given["data"]["model_id"] = model
    vote = parse_vote(VoteRow.model_validate(given))
    assert vote is not None and take_votes(running.store, [vote], str) == 1


def test_votes_of_both_kinds_are_shown_under_the_release_that_answered(gateway: Running, door: Slow) -> None:
    door.open.set()
    first = gateway.post("/v1/corrections", {"text": BEFORE}).json()["corrections"][0]
    voted_in_the_chat(gateway, "correctly", 1)
    gateway.serves(gateway.release("b"))
    voted_in_the_chat(gateway, "correctly", -1)
    voted_in_the_chat(gateway, "correctly-base", -1)
    gateway.post("/v1/feedback", {"correction_id": first["id"], "rating": -1})
    assert (votes(gateway, "r0001"), votes(gateway, "r0002"), votes(gateway, "base")) == ((1, 1), (0, 1), (0, 1))
    # Turned round, it is one vote still.
    gateway.post("/v1/feedback", {"correction_id": first["id"], "rating": 1})
    assert votes(gateway, "r0001") == (2, 0)


def test_a_vote_on_an_answer_not_yet_written_is_its_releases_once_it_is(gateway: Running, door: Slow) -> None:
    answer = gateway.post("/v1/corrections", {"text": BEFORE}).json()["corrections"][0]
    assert gateway.post("/v1/feedback", {"correction_id": answer["id"], "rating": -1}).status_code == 202
    assert gateway.ready()["journal_pending"] == 1
    assert votes(gateway, "unknown") == votes(gateway, "r0001") == (0, 0)
    door.open.set()
    written(gateway)
    assert (votes(gateway, "unknown"), votes(gateway, "r0001")) == ((0, 0), (0, 1))


def test_a_store_that_is_away_leaves_the_votes_as_they_were_last_seen(gateway: Running, door: Slow) -> None:
    door.open.set()
    voted_in_the_chat(gateway, "correctly", 1)
    assert votes(gateway, "r0001") == (1, 0)
    door.away = True
    assert votes(gateway, "r0001") == (1, 0)
