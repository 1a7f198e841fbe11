"""A gateway before several engines: none of its requests fails while one engine is still there, and releases flip together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from correctly_assets.platform.doctor_checks import judge_engines
from correctly_assets.platform.status import read_engines
from correctly_assets.settings import Settings
from correctly_tests.serving_fakes import FakeEngine, Running, fake_engine, free_port, running_gateway

BEFORE, AFTER = "She go to school every day.", "She goes to school every day."


@pytest.fixture
def second() -> Iterator[FakeEngine]:
    with fake_engine() as engine:
        yield engine


@pytest.fixture
def gateway(tmp_path: Path, second: FakeEngine) -> Iterator[Running]:
    with fake_engine() as engine, running_gateway(tmp_path / "home", engine, replicas=[second]) as running:
        yield running


def answer(running: Running) -> dict[str, Any]:
    got = running.post("/v1/corrections", {"text": BEFORE, "reasons": False})
    assert got.status_code == 200, got.text
    [correction] = got.json()["corrections"]
    return correction


def until(wanted: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Load:
    """Threads that ask without a pause; what was not answered with the correction is kept."""

    def __init__(self, running: Running, threads: int = 6) -> None:
        self._running, self._stop = running, threading.Event()
        self.answered, self.failed = 0, list[str]()
        self._threads = [threading.Thread(target=self._ask) for _ in range(threads)]

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                got = self._running.post("/v1/corrections", {"text": BEFORE, "reasons": False})
                if got.status_code != 200 or got.json()["corrections"][0]["after"] != AFTER:
                    self.failed.append(got.text)
            except Exception as error:
                self.failed.append(repr(error))
            self.answered += 1

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def more(self, count: int) -> None:
        """Wait until so many more requests were answered."""
        until(lambda start=self.answered: self.answered >= start + count, 60)


def test_a_release_is_proved_on_every_engine_and_both_answer(gateway: Running, second: FakeEngine) -> None:
    gateway.serves(gateway.release("a"))
    assert "a" in gateway.engine.registered and "a" in second.registered
    both = (gateway.engine, second)
    for engine in both:
        engine.hang = 0.05
    with Load(gateway) as load:
        gateway.engine.default = second.default = {BEFORE: AFTER}
        load.more(12)
    assert all(any(body["model"] == "a" and "stop" in body for body in engine.asked) for engine in both)


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["own", "other"])
def test_no_request_fails_while_one_of_two_engines_is_killed(gateway: Running, second: FakeEngine, killed: str) -> None:
    for engine in (gateway.engine, second):
        engine.default, engine.hang = {BEFORE: AFTER}, 0.05
    gateway.serves(gateway.release("a"))
    victim = gateway.engine if killed == "own" else second
    with Load(gateway) as load:
        load.more(20)
        until(lambda: victim.running["a"] > 0)
        victim.stop()
        load.more(60)
        assert gateway.ready()["ready"]
        victim.registered.clear()
        victim.running.clear()
        victim.start()
        until(lambda: "a" in victim.registered)
        until(lambda: victim.running["a"] > 0)
        load.more(20)
    assert load.failed == []


def test_a_release_flips_once_the_slowest_engine_has_proved_it(gateway: Running, second: FakeEngine) -> None:
    gateway.serves(gateway.release("a"))
    second.held = {"b"}
    released = gateway.release("b")
    until(lambda: second.running["b"] > 0 and "b" in gateway.engine.registered)
    assert {answer(gateway)["adapter"] for _ in range(6)} == {"a"}
    second.held = set()
    gateway.serves(released)
    assert {answer(gateway)["adapter"] for _ in range(6)} == {"b"}


def test_each_engine_is_shown_singly_in_status_doctor_and_metrics(gateway: Running, second: FakeEngine) -> None:
    gateway.serves(gateway.release("a"))
    gateway.until(lambda said: all(one["adapters"] == ["a"] for one in said["engines"]))
    both = Settings().changed(
        platform={"gateway_port": httpx.URL(gateway.url).port},
        serving={"vllm_port": gateway.engine.port, "vllm_replicas": f"http://127.0.0.1:{second.port}"},
    )
    urls = [f"http://127.0.0.1:{engine.port}" for engine in (gateway.engine, second)]
    fine = {"up": True, "corrupted": False, "adapters": ["a"]}
    assert read_engines(both) == [{"url": url, **fine} for url in urls]
    assert judge_engines(read_engines(both), "a").status == "ok"
    assert "engine 1" in judge_engines(read_engines(both), "b").message
    second.stop()
    gateway.until(lambda said: not said["engines"][1]["up"])
    assert read_engines(both)[1] == {"url": urls[1], "up": False, "corrupted": False, "adapters": []}
    told = judge_engines(read_engines(both), "a").message
    assert f"engine 2 ({urls[1]}) does not answer" in told and urls[0] not in told
    metrics = httpx.get(f"{gateway.url}/metrics", trust_env=False).text
    for line in ('engine_up{engine="1"} 1.0', 'engine_up{engine="2"} 0.0', 'engine_adapters{engine="1"} 1.0'):
        assert f"correctly_{line}\n" in metrics
    nobody = both.changed(platform={"gateway_port": free_port()})
    assert [one["up"] for one in read_engines(nobody)] == [False, False]


def test_a_release_that_one_engine_refuses_is_not_served(gateway: Running, second: FakeEngine) -> None:
    gateway.serves(gateway.release("a"))
    second.drifted = {"b"}
    gateway.release("b")
    said = gateway.until(lambda said: "refused" in said["says"])
    assert said["release"] == "r0001" and "not the trained adapter's" in said["says"]
    assert answer(gateway)["adapter"] == "a"


def test_an_engine_that_comes_back_is_asked_once_it_has_proved_it(gateway: Running, second: FakeEngine) -> None:
    gateway.serves(gateway.release("a"))
    second.stop()
    gateway.until(lambda said: not said["engines"][1]["up"])
    second.registered.clear()
    second.asked.clear()
    second.held = {"a"}  # its proof waits
    second.start()
    until(lambda: second.running["a"] > 0)
    assert [answer(gateway)["adapter"] for _ in range(4)] == ["a"] * 4
    # Its proof asks for log-probabilities; no text was asked of it.
    assert all("prompt_logprobs" in body for body in second.asked)
    second.held = set()
    gateway.until(lambda said: "a" in said["engines"][1]["models"])


def test_an_engine_with_nan_is_left_out_and_the_other_answers(gateway: Running, second: FakeEngine) -> None:
    gateway.engine.default = second.default = {BEFORE: AFTER}
    gateway.serves(gateway.release("a"))
    second.poisoned, second.corrupted = True, 1
    said = gateway.until(lambda said: said["engines"][1]["corrupted"])
    assert said["ready"] and not said["restart_engine"]
    assert [answer(gateway)["after"] for _ in range(6)] == [AFTER] * 6
    gateway.engine.poisoned, gateway.engine.corrupted = True, 1
    assert gateway.until(lambda said: said["restart_engine"])["ready"] is False


def test_an_adapter_that_makes_nan_takes_one_engine_down_alone(gateway: Running, second: FakeEngine) -> None:
    gateway.serves(gateway.release("a"))
    gateway.engine.nan = second.nan = {"b"}
    gateway.release("b")
    gateway.until(lambda said: said["engines"][0]["corrupted"])
    time.sleep(0.5)
    assert not second.poisoned and "b" not in second.registered
    assert answer(gateway)["adapter"] == "a"
