"""Shadow traffic through a real gateway: nobody waits for the challenger, and nothing of it reaches anybody."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from correctly_assets.core.shadow_count import count_shadows
from correctly_assets.gateway.options import Options
from correctly_assets.settings import InvalidSettingError, get_settings
from correctly_tests.serving_fakes import Running, fake_engine, running_gateway, write_adapter

BEFORE, AFTER, OTHER = "She go to school every day.", "She goes to school every day.", "She goes to school daily."
SHARED = Options(poll_seconds=0.05, metrics_seconds=0.0, shadow_share=1.0, shadow_look_seconds=0.05)


@contextmanager
def shadowed(tmp_path: Path, options: Options = SHARED, *, loaded: bool = True) -> Iterator[Running]:
    """A gateway that serves adapter ``a``, with ``ch`` as the challenger for as long as it is fit and never released."""
    served: list[Running] = []

    def find(without: Collection[str]) -> str | None:
        releases = served[0].store.releases() if served else []
        taken = {*without, *(release.adapter for release in releases)}
        return next((name for name in ("ch", "second") if name not in taken), None)

    home = tmp_path / "home"
    with fake_engine() as engine, running_gateway(home, engine, options, find_challenger=find) as running:
        served.append(running)
        engine.default = {BEFORE: AFTER}
        engine.fixes["ch"] = {BEFORE: OTHER}
        for name in ("ch", "second"):
            write_adapter(running.adapters, name)
        running.serves(running.release("a"))
        if loaded:
            until(lambda: challenger(running) == "ch")
        yield running


def until(said: Callable[[], Any], seconds: float = 90.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := said()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)
    return found


def challenger(running: Running) -> str | None:
    shadow = running.app.state.service.shadow
    return shadow and shadow.adapter


def correct(running: Running, **body: Any) -> dict[str, Any]:
    answer = running.post("/v1/corrections", {"text": BEFORE, "reasons": False} | body)
    assert answer.status_code == 200, answer.text
    return answer.json()["corrections"][0]


def shared(running: Running, outcome: str) -> float:
    """How many requests came to this."""
    text = httpx.get(f"{running.url}/metrics", trust_env=False, timeout=60).text
    found = re.search(rf'^correctly_shadow_requests_total{{outcome="{outcome}"}} (\S+)', text, re.M)
    return float(found.group(1)) if found else 0.0


def test_the_clients_answer_comes_before_the_challengers_and_both_join(tmp_path: Path) -> None:
    with shadowed(tmp_path) as running:
        running.engine.held.add("ch")
        answer = correct(running)
        assert (answer["after"], answer["adapter"]) == (AFTER, "a")
        until(lambda: running.engine.running["ch"])
        assert running.store.shadow_pairs() == []
        # Nor does the next one wait, which is a chat.
        assert running.chat(BEFORE).json()["choices"][0]["message"]["content"].startswith(AFTER)
        running.engine.held.clear()
        until(lambda: len(running.store.shadow_pairs()) == 2)
        with running.store.database.read() as connection:
            rows = connection.exec_driver_sql(
                "SELECT c.id, c.after, s.after, s.adapter FROM shadow_answer s JOIN correction_journal c ON c.id = s.correction_id"
            ).all()
        assert (answer["id"], AFTER, OTHER, "ch") in [tuple(row) for row in rows]


def test_the_base_model_decides_until_a_person_votes_and_the_page_says_it(tmp_path: Path) -> None:
    with shadowed(tmp_path) as running:
        answer = correct(running)
        (pair,) = until(running.store.shadow_pairs)
        # The fake engine finds each word as unlikely: a word less is a gain of two nats.
        assert pair.gain == 2.0 and count_shadows([pair])[0].by_base_model == 1
        page = httpx.get(f"{running.url}/dashboard", trust_env=False, timeout=60).text
        assert "Challenger ch answered 1 real request beside" in page and "It won 1 and lost 0" in page
        running.post("/v1/feedback", {"correction_id": answer["id"], "rating": 1})
        (count,) = count_shadows(running.store.shadow_pairs())
        assert (count.wins, count.losses, count.by_vote) == (0, 1, 1)


def test_what_comes_while_others_are_under_way_is_dropped(tmp_path: Path) -> None:
    with shadowed(tmp_path) as running:
        running.engine.held.add("ch")
        for _ in range(5):
            assert correct(running)["after"] == AFTER
        until(lambda: running.engine.running["ch"] == 2)
        assert shared(running, "dropped") == 3
        running.engine.held.clear()
        until(lambda: len(running.store.shadow_pairs()) == 2)
        time.sleep(0.2)
        assert len(running.store.shadow_pairs()) == 2 and shared(running, "answered") == 2


def test_a_busy_gateway_shares_nothing(tmp_path: Path) -> None:
    busy = Options(poll_seconds=0.05, metrics_seconds=0.0, shadow_share=1.0, shadow_look_seconds=0.05, shadow_quiet=0)
    with shadowed(tmp_path, busy) as running:
        correct(running)
        assert shared(running, "dropped") == 1 and running.engine.running["ch"] == 0


def test_a_challenger_that_the_engine_forgot_changes_nothing(tmp_path: Path) -> None:
    with shadowed(tmp_path, replace(SHARED, shadow_look_seconds=2.0)) as running:
        del running.engine.registered["ch"]
        assert correct(running)["after"] == AFTER
        until(lambda: shared(running, "failed") == 1)
        until(lambda: "ch" in running.engine.registered and challenger(running) == "ch")
        assert running.ready()["ready"] and running.ready()["release"] == "r0001"
        correct(running)
        assert len(until(running.store.shadow_pairs)) == 1


def heal(running: Running) -> None:
    """What the supervisor does when the gateway asks for it."""
    running.until(lambda said: said["restart_engine"])
    running.engine.away = True
    running.until(lambda said: not said["engine"])
    running.engine.registered.clear()
    running.engine.poisoned, running.engine.corrupted = False, 0
    running.engine.away = False


def test_one_that_computes_nan_never_returns_and_nobody_else_is_blamed(tmp_path: Path) -> None:
    # Looks without a pause between them: one of them falls between the NaN and what is concluded from it.
    with shadowed(tmp_path, replace(SHARED, shadow_look_seconds=0.0)) as running:
        releases = running.app.state.service.releases
        running.engine.nan = {"ch"}
        assert correct(running)["after"] == AFTER
        heal(running)
        running.engine.nan = set()
        running.serves("r0001")
        time.sleep(0.3)
        # Whose NaN it was is not sure: nobody stands beside this release any more.
        assert set(running.engine.registered) == {"a"} and releases.harm("r0001").corrupted == 0
        assert running.store.shadow_pairs(adapter="ch") == []
        running.serves(running.release("b"))
        until(lambda: challenger(running) == "second")
        assert "ch" not in running.engine.registered


def test_a_champion_that_computes_nan_is_found_out_when_it_is_alone(tmp_path: Path) -> None:
    with shadowed(tmp_path) as running:
        releases = running.app.state.service.releases
        for counted in (0, 1):
            running.engine.nan = {"a"}
            running.post("/v1/corrections", {"text": BEFORE, "reasons": False})
            running.until(lambda said: said["restart_engine"])
            running.engine.nan = set()
            heal(running)
            running.serves("r0001")
            assert releases.harm("r0001").corrupted == counted


def test_one_whose_proof_fails_gives_its_place_to_the_next(tmp_path: Path) -> None:
    with shadowed(tmp_path, loaded=False) as running:
        until(lambda: challenger(running) is not None)
        running.engine.drifted = {"ch"}
        running.engine.registered.pop("ch", None)
        until(lambda: challenger(running) == "second")
        assert "ch" not in running.engine.registered


def test_a_challenger_is_no_candidate_and_ends_when_it_is_promoted(tmp_path: Path) -> None:
    with shadowed(tmp_path) as running:
        names = [
            model["id"] for model in httpx.get(f"{running.url}/v1/models", trust_env=False, timeout=60).json()["data"]
        ]
        assert "correctly-candidate" not in names
        running.serves(running.release("ch", write=False))
        until(lambda: challenger(running) == "second")
        assert {"ch", "a", "second"} <= set(running.engine.registered)
        assert correct(running)["after"] == OTHER
        assert [pair.adapter for pair in until(running.store.shadow_pairs)] == ["second"]


def test_answers_of_others_than_the_champion_are_not_shared(tmp_path: Path) -> None:
    with shadowed(tmp_path) as running:
        correct(running, model="correctly-base")
        time.sleep(0.2)
        assert shared(running, "answered") == shared(running, "dropped") == 0


def test_personal_data_in_a_challengers_answer_is_replaced(tmp_path: Path) -> None:
    with shadowed(tmp_path) as running:
        text = "Please writes to ann@example.com today."
        running.engine.default[text] = running.engine.fixes["ch"][text] = "Please write to ann@example.com today."
        correct(running, text=text)
        (pair,) = until(running.store.shadow_pairs)
        assert "ann@" not in pair.challenger and pair.challenger == pair.champion


def test_without_the_setting_nothing_is_loaded(tmp_path: Path) -> None:
    with shadowed(tmp_path, replace(SHARED, shadow_share=0.0), loaded=False) as running:
        assert running.app.state.service.shadow is None
        correct(running)
        assert set(running.engine.registered) == {"a"} and running.store.shadow_pairs() == []


@pytest.mark.parametrize("share", ["1.5", "-0.1", "half"])
def test_a_share_is_from_nought_to_one(share: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORRECTLY_SHADOW_SHARE", share)
    with pytest.raises(InvalidSettingError, match="CORRECTLY_SHADOW_SHARE"):
        get_settings()
