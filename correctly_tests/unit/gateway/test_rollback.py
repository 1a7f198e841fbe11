"""The automatic rollback: the gateway fires it on live signals, and on nothing else, while no Dagster runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from correctly_assets.core.errors import RetryableError, UnreachableError
from correctly_assets.core.rollback import Signals, seen
from correctly_assets.core.types import Correction
from correctly_assets.gateway.options import Options
from correctly_tests.serving_fakes import Running, fake_engine, running_gateway

pytestmark = pytest.mark.slow  # it waits for clocks of the gateway's

TEXT = "She go to school every day."


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Running]:
    options = Options(poll_seconds=0.05, watch_seconds=0.05)
    with fake_engine() as engine, running_gateway(tmp_path / "home", engine, options) as running:
        yield running


def vote(running: Running, release: str, *, ups: int, downs: int, by: str | None = None) -> None:
    for number in range(ups + downs):
        id = f"c_{release}_{number}"
        answer = Correction(id, f"He go {number}.", f"He goes {number}.", (), release, "a", None)
        running.store.journal_correction(answer)
        rating = 1 if number < ups else -1
        running.store.add_feedback(source_key=id, correction_id=id, rating=rating, giver=by or id)


def released_by(running: Running) -> str:
    [correction] = running.post("/v1/corrections", {"text": TEXT, "reasons": False}).json()["corrections"]
    return correction["release"]


def kinds(running: Running) -> list[str]:
    return [release.kind for release in running.store.releases()]


def test_thumbs_down_return_to_the_release_before_and_it_stays_there(gateway: Running) -> None:
    first = gateway.release("old")
    vote(gateway, first, ups=18, downs=2)
    second = gateway.release("new")
    gateway.serves(second)
    vote(gateway, second, ups=3, downs=14)
    said = gateway.until(lambda said: said["rollback"] is not None and said["release"] == "r0003")
    assert f"Rolled back from {second} to adapter old (r0003)" in said["rollback"]
    assert "people who voted gave thumbs down (10 % before)" in said["rollback"] and said["adapter"] == "old"
    assert released_by(gateway) == "r0003"
    champion = gateway.store.champion()
    assert champion is not None and champion.kind == "rollback" and "automatically" in champion.why
    time.sleep(0.5)
    assert kinds(gateway) == ["rollback", "promotion", "promotion"]


def test_answers_of_this_process_count_before_they_are_written_down(tmp_path: Path) -> None:
    class Away:
        def journal_correction(self, correction: Correction, **_: object) -> None:
            raise UnreachableError("The database takes nothing now.")

    options = Options(poll_seconds=0.05, watch_seconds=0.05)
    with fake_engine() as engine, running_gateway(tmp_path / "home", engine, options, journal=Away()) as gateway:
        gateway.serves(gateway.release("old"))
        second = gateway.release("new")
        gateway.serves(second)
        texts = [f"She go to place {number}." for number in range(240)]
        engine.fixes["new"] = dict.fromkeys(texts[::3], "and so on and on " * 40)
        answer = gateway.post("/v1/corrections", {"text": texts, "reasons": False})
        assert sum(one["fallback"] is not None for one in answer.json()["corrections"]) == 80
        said = gateway.until(lambda said: bool(said["rollback"]) and said["adapter"] == "old")
        assert f"Rolled back from {second}" in said["rollback"] and "answers had to be replaced" in said["rollback"]
        assert gateway.store.signals(second) == Signals()


def test_few_votes_others_votes_and_a_release_by_hand_change_nothing(gateway: Running) -> None:
    first = gateway.release("old")
    vote(gateway, first, ups=0, downs=30)
    second = gateway.release("new")
    vote(gateway, second, ups=0, downs=9)
    gateway.serves(second)
    time.sleep(0.3)
    assert kinds(gateway) == ["promotion", "promotion"]
    vote(gateway, second, ups=40, downs=0)
    chosen = gateway.store.add_release(adapter="old", base_model="base", kind="override", why="a person's").id
    vote(gateway, chosen, ups=0, downs=30)
    gateway.serves(chosen)
    time.sleep(0.5)
    assert kinds(gateway) == ["override", "promotion", "promotion"]


def test_votes_of_one_person_alone_turn_nothing_back(gateway: Running) -> None:
    gateway.serves(gateway.release("old"))
    second = gateway.release("new")
    gateway.serves(second)
    vote(gateway, second, ups=0, downs=30, by="api:pupil")
    time.sleep(0.4)
    assert kinds(gateway) == ["promotion", "promotion"] and gateway.ready()["rollback"] is None


def test_a_first_release_has_nothing_to_return_to(gateway: Running) -> None:
    first = gateway.release("only")
    gateway.serves(first)
    vote(gateway, first, ups=0, downs=30)
    time.sleep(0.4)
    assert gateway.ready()["release"] == first and gateway.ready()["rollback"] is None


def test_a_rollback_that_cannot_be_proved_leaves_the_champion_and_says_why(gateway: Running) -> None:
    gateway.serves(gateway.release("old"))
    second = gateway.release("new")
    gateway.serves(second)
    gateway.engine.drifted = {"old"}
    vote(gateway, second, ups=0, downs=20)
    said = gateway.until(lambda said: said["rollback"] is not None)
    assert f"{second} should give way" in said["rollback"] and "agrees_with_training" in said["rollback"]
    assert released_by(gateway) == second
    assert kinds(gateway) == ["promotion", "promotion"]
    gateway.store.add_release(adapter="third", base_model="base", kind="override", why="a person's")
    gateway.until(lambda said: said["rollback"] is None)


def test_a_release_promoted_meanwhile_is_not_blamed_for_the_one_before(gateway: Running) -> None:
    first, second = gateway.release("old"), gateway.release("new")
    with pytest.raises(RetryableError, match=f"{second} was released meanwhile"):
        gateway.store.add_release(adapter="old", base_model="b", kind="rollback", why="", instead_of=first)
    assert kinds(gateway) == ["promotion", "promotion"]


def test_of_what_is_written_and_what_was_counted_the_fuller_one_is_taken() -> None:
    assert seen(Signals(500, 5, 3, 1), Signals(20, 20)) == Signals(500, 5, 3, 1)
    assert seen(Signals(0, 0, 3, 1), Signals(20, 4)) == Signals(20, 4, 3, 1)
