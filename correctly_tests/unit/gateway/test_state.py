"""Following the newest release: flips, healing, draining, and what is said when nothing can answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from correctly_assets.core.errors import UnreachableError
from correctly_tests.serving_fakes import Running, fake_engine, running_gateway

BEFORE = "She go to school every day."


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Running]:
    with fake_engine() as engine, running_gateway(tmp_path / "home", engine) as running:
        yield running


def answered_by(running: Running) -> tuple[str, str]:
    answer = running.post("/v1/corrections", {"text": BEFORE, "reasons": False})
    assert answer.status_code == 200, answer.text
    [correction] = answer.json()["corrections"]
    return correction["release"], correction["adapter"]


def test_a_release_is_served_within_the_poll_once_it_is_written(gateway: Running) -> None:
    gateway.serves(gateway.release("a"))
    assert answered_by(gateway) == ("r0001", "a")
    second = gateway.release("b")
    gateway.serves(second)
    assert answered_by(gateway) == ("r0002", "b")


def test_champion_and_previous_stay_loaded_and_older_ones_go_when_drained(gateway: Running) -> None:
    gateway.app.state.service.releases._drain = 0.2
    for adapter in "abc":
        gateway.serves(gateway.release(adapter))
    deadline = time.monotonic() + 30
    while set(gateway.engine.registered) != {"b", "c"}:
        assert time.monotonic() < deadline, gateway.engine.registered
        time.sleep(0.02)


def test_an_adapter_that_still_answers_is_not_unloaded_beneath_its_answer(gateway: Running) -> None:
    gateway.app.state.service.releases._drain = 0.0
    gateway.serves(gateway.release("a"))
    gateway.engine.held = {"a"}
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(answered_by, gateway)
        while not gateway.engine.running["a"]:
            time.sleep(0.01)
        for adapter in "bcd":
            gateway.serves(gateway.release(adapter))
        time.sleep(0.3)
        assert "a" in gateway.engine.registered
        gateway.engine.held = set()
        assert slow.result() == ("r0001", "a")
    deadline = time.monotonic() + 30
    while "a" in gateway.engine.registered:
        assert time.monotonic() < deadline, "what nobody uses any more stays loaded"
        time.sleep(0.02)


@pytest.mark.slow
def test_every_answer_of_a_request_is_by_one_release_while_releases_change(gateway: Running) -> None:
    gateway.serves(gateway.release("a"))
    gateway.engine.hang = 0.02
    mixed: list[object] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            answer = gateway.post("/v1/corrections", {"text": [f"{BEFORE} {n}" for n in range(6)], "reasons": False})
            releases = {(c["release"], c["adapter"]) for c in answer.json().get("corrections", [])}
            if answer.status_code != 200 or len(releases) != 1:
                mixed.append(answer.json())

    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(ask)
        for adapter in "bcdef":
            gateway.serves(gateway.release(adapter))
            time.sleep(0.15)
        stop.set()
    assert mixed == []


def test_a_restarted_engine_gets_champion_and_previous_before_it_is_ready(gateway: Running) -> None:
    gateway.serves(gateway.release("a"))
    gateway.serves(gateway.release("b"))
    gateway.engine.stop()
    gateway.until(lambda said: not said["ready"])
    answer = gateway.chat(BEFORE)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    gateway.engine.registered.clear()
    gateway.engine.start()
    gateway.until(lambda said: said["ready"])
    assert set(gateway.engine.registered) == {"a", "b"}
    assert answered_by(gateway) == ("r0002", "b")


def test_an_engine_restarted_unseen_is_proved_before_it_is_ready(
    gateway: Running,
) -> None:
    gateway.serves(gateway.release("a"))
    gateway.engine.held = {"base"}  # the proof's first question waits
    gateway.engine.registered.clear()
    said = gateway.until(lambda said: not said["ready"])
    assert "loaded and proved again" in said["says"]
    gateway.engine.held = set()
    gateway.serves("r0001")


def test_an_adapter_forgotten_behind_our_back_is_loaded_and_asked_again(gateway: Running) -> None:
    gateway.serves(gateway.release("a"))
    state = gateway.app.state.service.releases
    state._poll = 60.0  # the loop does not look by itself
    time.sleep(0.2)
    gateway.engine.registered.clear()
    assert answered_by(gateway) == ("r0001", "a")


def test_a_release_that_cannot_be_proved_leaves_the_champion_and_says_why(gateway: Running) -> None:
    gateway.serves(gateway.release("a"))
    gateway.engine.like_base = {"b"}
    gateway.release("b")
    said = gateway.until(lambda said: "differs_from_base" in said["says"])
    assert said["release"] == "r0001"
    assert answered_by(gateway) == ("r0001", "a")


def test_a_gateway_with_a_broken_champion_serves_the_release_before(gateway: Running) -> None:
    gateway.engine.like_base = {"b"}
    gateway.engine.away = True
    gateway.until(lambda said: not said["engine"])
    gateway.release("a")
    gateway.release("b")
    gateway.engine.away = False
    said = gateway.until(lambda said: said["ready"] and "differs_from_base" in said["says"])
    assert said["release"] == "r0001"


def test_an_engine_that_went_away_to_restart_is_not_asked_to_restart_again(gateway: Running) -> None:
    """Else the supervisor ends the engine that is starting, and the next one, for ever."""
    gateway.release("aaa")
    gateway.serves("r0001")
    gateway.engine.corrupted = 1
    gateway.until(lambda said: said["restart_engine"])
    gateway.engine.away = True
    gateway.until(lambda said: not said["engine"] and not said["restart_engine"])
    gateway.engine.away, gateway.engine.corrupted = False, 0
    gateway.engine.registered.clear()
    gateway.serves("r0001")


def test_how_often_the_engine_went_away_is_counted_once_each_time(gateway: Running) -> None:
    gateway.serves(gateway.release("a"))
    for number in (1, 2):
        gateway.engine.away = True
        gateway.until(lambda said: not said["engine"])
        time.sleep(0.2)
        gateway.engine.away = False
        gateway.until(lambda said: said["engine"])
        page = httpx.get(f"{gateway.url}/metrics", trust_env=False, timeout=60).text
        assert f"correctly_engine_losses {number:.1f}" in page


def test_nan_stops_every_answer_and_asks_for_a_restart_of_the_engine(gateway: Running) -> None:
    gateway.serves(gateway.release("a"))
    gateway.engine.poisoned = True
    gateway.post("/v1/corrections", {"text": BEFORE})
    said = gateway.until(lambda said: said["restart_engine"])
    assert said["ready"] is False
    for model in ("correctly", "correctly-base"):
        answer = gateway.chat(BEFORE, model=model)
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "engine_corrupted"
    gateway.engine.restart()
    gateway.serves("r0001")
    assert answered_by(gateway) == ("r0001", "a")


def test_a_candidate_under_evaluation_can_be_asked_for_and_is_not_unloaded(gateway: Running, tmp_path: Path) -> None:
    gateway.serves(gateway.release("a"))
    gateway.engine.registered["candidate0001"] = str(tmp_path)
    deadline = time.monotonic() + 30
    while "correctly-candidate" not in gateway.app.state.service.releases.names():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    answer = gateway.post("/v1/corrections", {"text": BEFORE, "model": "correctly-candidate"})
    [correction] = answer.json()["corrections"]
    assert (correction["release"], correction["adapter"]) == (None, "candidate0001")
    gateway.serves(gateway.release("b"))
    assert "candidate0001" in gateway.engine.registered


def test_a_store_that_is_away_does_not_stop_the_answers(tmp_path: Path) -> None:
    class Book:
        def __init__(self, running: list[Running]) -> None:
            self.running = running
            self.away = False

        def releases(self, limit: int = 50) -> list[object]:
            if self.away:
                raise UnreachableError("The database is away.")
            return list(self.running[0].store.releases(limit)) if self.running else []

    holder: list[Running] = []
    book = Book(holder)
    with fake_engine() as engine, running_gateway(tmp_path, engine, book=book) as running:
        holder.append(running)
        running.serves(running.release("a"))
        book.away = True
        running.until(lambda said: "database is away" in said["says"])
        assert answered_by(running) == ("r0001", "a")
        book.away = False
        running.serves(running.release("b"))


def test_a_hanging_engine_is_503_and_not_a_hanging_request(tmp_path: Path) -> None:
    with fake_engine() as engine, running_gateway(tmp_path, engine, answer_seconds=1.5) as running:
        running.serves(running.release("a"))
        engine.hang = 300
        assert running.chat(BEFORE).status_code == 503
        engine.hang = 0.0
        running.serves("r0001")
        assert running.chat(BEFORE).status_code == 200
