"""Adapters that make the engine compute NaN: the one that does gives way, and nobody else is blamed for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from correctly_assets.gateway.options import Options
from correctly_tests.serving_fakes import Running, fake_engine, running_gateway

pytestmark = pytest.mark.slow  # it waits for clocks of the gateway's

BEFORE = "She go to school every day."


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Running]:
    options = Options(poll_seconds=0.05, watch_seconds=0.05)
    with fake_engine() as engine, running_gateway(tmp_path / "home", engine, options) as running:
        yield running


@pytest.fixture
def unwatched(tmp_path: Path) -> Iterator[Running]:
    """A gateway that follows releases and never writes one itself."""
    options = Options(poll_seconds=0.05, watch_seconds=600)
    with fake_engine() as engine, running_gateway(tmp_path / "home", engine, options) as running:
        yield running


def away(running: Running) -> None:
    """The engine is away, and will have forgotten every adapter."""
    running.engine.away = True
    running.until(lambda said: not said["engine"])
    running.engine.registered.clear()
    running.engine.poisoned, running.engine.corrupted = False, 0


def restart_dead(running: Running) -> None:
    """What the supervisor does when the gateway asks for it."""
    running.until(lambda said: said["restart_engine"])
    away(running)
    running.engine.away = False


def compute_nan(running: Running, adapter: str, *, asked: str = "correctly") -> None:
    """Have one answer of an adapter computed from NaN, as a text can that no canary is like."""
    running.engine.nan = {adapter}
    running.post("/v1/corrections", {"text": BEFORE, "reasons": False, "model": asked})
    running.until(lambda said: said["restart_engine"])
    running.engine.nan = set()


def serves_adapter(running: Running, adapter: str) -> dict[str, object]:
    return running.until(lambda said: said["ready"] and said["adapter"] == adapter, 20)


def asked_of(running: Running, model: str) -> int:
    return sum(body["model"] == model for body in running.engine.asked)


def test_a_champion_that_makes_nan_gives_way_after_one_restart_for_good(
    unwatched: Running,
) -> None:
    away(unwatched)
    unwatched.release("old")
    unwatched.release("new")
    unwatched.engine.nan = {"new"}
    unwatched.engine.away = False
    restart_dead(unwatched)
    said = serves_adapter(unwatched, "old")
    assert said["release"] == "r0001" and "r0002 was refused" in str(said["says"]) and "NaN" in str(said["says"])
    asked = asked_of(unwatched, "new")
    away(unwatched)
    unwatched.engine.away = False
    serves_adapter(unwatched, "old")
    assert asked_of(unwatched, "new") == asked


def test_nan_beside_others_blames_nobody_until_the_adapter_is_alone(unwatched: Running) -> None:
    unwatched.serves(unwatched.release("old"))
    unwatched.engine.nan = {"new"}
    unwatched.release("new")
    unwatched.until(lambda said: said["restart_engine"])
    unwatched.engine.nan = set()  # it was another one's
    restart_dead(unwatched)
    serves_adapter(unwatched, "new")


def test_a_previous_release_with_nan_takes_the_champion_down_just_once(unwatched: Running) -> None:
    away(unwatched)
    unwatched.release("old")
    second = unwatched.release("new")
    unwatched.engine.nan = {"old"}
    unwatched.engine.away = False
    restart_dead(unwatched)
    unwatched.serves(second)
    time.sleep(0.4)
    assert unwatched.ready()["ready"] and "old" not in unwatched.engine.registered
    assert unwatched.app.state.service.releases.harm(second).corrupted == 0


def test_a_champion_that_cannot_be_proved_without_nan_is_rolled_back(gateway: Running) -> None:
    away(gateway)
    gateway.release("old")
    second = gateway.release("new")
    gateway.engine.nan = {"new"}
    gateway.engine.away = False
    restart_dead(gateway)
    gateway.serves("r0003")
    champion = gateway.store.champion()
    assert champion is not None and (champion.kind, champion.adapter) == ("rollback", "old")
    assert f"Rolled back from {second}: automatically: The engine computes NaN as soon as" in champion.why


def test_a_release_with_nan_twice_is_rolled_back_on_the_corrupted_engine(
    gateway: Running,
) -> None:
    gateway.serves(gateway.release("old"))
    second = gateway.release("new")
    gateway.serves(second)
    compute_nan(gateway, "new")
    time.sleep(0.3)
    assert len(gateway.store.releases()) == 2
    restart_dead(gateway)
    gateway.serves(second)
    compute_nan(gateway, "new")
    gateway.until(lambda said: "r0003" in str(said["rollback"]))
    champion = gateway.store.champion()
    assert champion is not None and (champion.kind, champion.adapter) == ("rollback", "old")
    assert "computed NaN 2 times while it answered (0 before)" in champion.why
    assert "not proved yet, for the engine computed NaN" in champion.why
    restart_dead(gateway)
    gateway.serves("r0003")
    [answer] = gateway.post("/v1/corrections", {"text": BEFORE}).json()["corrections"]
    assert (answer["release"], answer["adapter"]) == ("r0003", "old")


def test_one_corrupted_engine_that_comes_and_goes_counts_once(gateway: Running) -> None:
    gateway.serves(gateway.release("old"))
    second = gateway.release("new")
    gateway.serves(second)
    compute_nan(gateway, "new")
    for _ in range(3):
        gateway.engine.away = True
        gateway.until(lambda said: not said["engine"])
        gateway.engine.away = False
        gateway.until(lambda said: said["restart_engine"])
    time.sleep(0.2)
    assert gateway.app.state.service.releases.harm(second).corrupted == 1
    assert len(gateway.store.releases()) == 2


def test_nan_beside_a_candidate_is_not_laid_at_the_champions_door(gateway: Running, tmp_path: Path) -> None:
    gateway.serves(gateway.release("old"))
    second = gateway.release("new")
    gateway.serves(second)
    releases = gateway.app.state.service.releases
    for _ in range(2):
        gateway.engine.registered["candidate0001"] = str(tmp_path)
        while "correctly-candidate" not in releases.names():
            time.sleep(0.02)
        compute_nan(gateway, "candidate0001", asked="correctly-candidate")
        restart_dead(gateway)
        gateway.serves(second)
    time.sleep(0.3)
    assert len(gateway.store.releases()) == 2
