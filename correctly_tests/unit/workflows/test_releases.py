"""Promotion and rollback where adapters are loaded beside each other: proved before the flip, or not flipped."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from correctly_assets.cli import app
from correctly_assets.core.errors import AdapterRefused, PermanentError, RetryableError
from correctly_assets.core.serving import EngineCorruptedError
from correctly_assets.engine.vllm_client import VllmClient
from correctly_assets.settings import Settings, get_settings
from correctly_assets.store import Store
from correctly_assets.workflows.make_corrector import DirectEngine
from correctly_assets.workflows.promote import Promotion, promote_candidate, roll_back
from correctly_assets.workflows.wiring import open_platform_store
from correctly_tests.serving_fakes import FakeEngine, fake_engine, free_port, running_gateway
from correctly_tests.tiny_adapter import put_adapter


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    with fake_engine() as running:
        yield running


@pytest.fixture
def settings(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    monkeypatch.setenv("CORRECTLY_VLLM_PORT", str(engine.port))
    monkeypatch.setenv("CORRECTLY_GATEWAY_PORT", str(free_port()))
    monkeypatch.setenv("CORRECTLY_BASE_MODEL", str(tmp_path / "base"))
    get_settings().platform.home.mkdir(parents=True)
    return get_settings()


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with open_platform_store(settings.platform) as opened:
        yield opened


def released(settings: Settings, store: Store, seed: int) -> str:
    adapter = put_adapter(settings, seed)
    store.add_release(adapter=adapter, base_model="tiny", kind="promotion", why="a test")
    return adapter


def promote(settings: Settings, store: Store, adapter: str) -> Promotion:
    engine = DirectEngine(settings.serving.vllm_url)
    why = "a person wants it"
    return asyncio.run(
        promote_candidate(settings, store, engine, adapter=adapter, run_id=None, log=lambda _: None, despite=why)
    )


def back(settings: Settings, store: Store) -> Promotion:
    return asyncio.run(roll_back(settings, store, DirectEngine(settings.serving.vllm_url), "a test"))


def test_a_promotion_is_proved_then_written_and_not_written_twice(
    engine: FakeEngine, settings: Settings, store: Store
) -> None:
    adapter = put_adapter(settings, 1)
    done = promote(settings, store, adapter)
    assert (done.release, done.adapter, done.gateway_serves) == ("r0001", adapter, None)
    assert done.from_base == pytest.approx(1.5) and done.from_training == pytest.approx(0.0)
    assert list(engine.registered) == [adapter]
    assert promote(settings, store, adapter).why == "It serves already."
    assert [release.kind for release in store.releases()] == ["override"]


def test_a_release_that_came_while_a_candidate_was_proved_stays(
    engine: FakeEngine, settings: Settings, store: Store
) -> None:
    first, other, candidate = (put_adapter(settings, seed) for seed in (1, 2, 3))
    promote(settings, store, first)

    class Meanwhile(DirectEngine):
        """An engine that is asked for a proof while somebody writes another release."""

        @asynccontextmanager
        async def client(self) -> AsyncIterator[VllmClient]:
            async with super().client() as client:
                yield client
            store.add_release(adapter=other, base_model="tiny", kind="rollback", why="turned back meanwhile")

    asked = promote_candidate(
        settings, store, Meanwhile(engine.url), adapter=candidate, run_id=None, log=lambda _: None, despite="a test"
    )
    with pytest.raises(RetryableError, match="was released meanwhile"):
        asyncio.run(asked)
    champion = store.champion()
    assert champion is not None and champion.adapter == other


@pytest.mark.parametrize("fault", ["like_base", "drifted", "nan"])
def test_a_promotion_that_is_not_proved_flips_nothing_and_unloads_again(
    engine: FakeEngine, settings: Settings, store: Store, fault: str
) -> None:
    old = put_adapter(settings, 1)
    promote(settings, store, old)
    new = put_adapter(settings, 2)
    setattr(engine, fault, {new})
    with pytest.raises(EngineCorruptedError if fault == "nan" else AdapterRefused):
        promote(settings, store, new)
    champion, decision = store.champion(), store.last_decision()
    assert champion is not None and champion.adapter == old and list(engine.registered) == [old]
    assert decision is not None and decision.adapter == old


def test_a_promotion_whose_files_break_a_rule_never_reaches_the_engine(
    engine: FakeEngine, settings: Settings, store: Store
) -> None:
    adapter = put_adapter(settings, 1)
    (settings.platform.adapters_dir / adapter / "adapter_model.safetensors").write_bytes(b"half a file")
    with pytest.raises(AdapterRefused):
        promote(settings, store, adapter)
    assert store.champion() is None and (engine.registered, engine.asked) == ({}, [])


def test_the_release_before_is_proved_written_and_served_in_two_seconds(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    with running_gateway(settings.platform.home, engine) as gateway:
        monkeypatch.setenv("CORRECTLY_GATEWAY_PORT", gateway.url.rsplit(":", 1)[1])
        old, _ = released(settings, gateway.store, 1), released(settings, gateway.store, 2)
        gateway.serves("r0002")
        started = time.monotonic()
        done = back(get_settings(), gateway.store)
        assert time.monotonic() - started < 2
        assert (done.release, done.adapter, done.previous, done.gateway_serves) == ("r0003", old, "r0002", True)
        assert done.why == "Rolled back from r0002: a test"
        assert done.from_base == pytest.approx(1.5) and done.from_training == pytest.approx(0.0)
        assert gateway.ready()["adapter"] == old


def test_without_an_engine_a_rollback_is_written_and_proved_by_the_gateway(
    engine: FakeEngine, settings: Settings, store: Store
) -> None:
    old = released(settings, store, 1)
    released(settings, store, 2)
    engine.away = True
    done = back(settings, store)
    assert (done.release, done.adapter, done.from_base) == ("r0003", old, None)
    assert "a test (not proved yet, for the engine is away: the gateway does" in done.why
    engine.away, engine.like_base = False, {old}
    with running_gateway(settings.platform.home, engine) as gateway:
        said = gateway.until(lambda said: "differs_from_base" in said["says"])
        assert said["release"] == "r0002"


def test_an_engine_that_has_computed_nan_does_not_block_the_way_back(
    engine: FakeEngine, settings: Settings, store: Store
) -> None:
    old = released(settings, store, 1)
    released(settings, store, 2)
    engine.poisoned, engine.corrupted = True, 3
    done = back(settings, store)
    assert (done.adapter, store.champion().adapter) == (old, old)  # pyright: ignore[reportOptionalMemberAccess]
    assert "not proved yet, for the engine computed NaN" in done.why


def test_a_previous_release_with_nan_or_a_broken_rule_is_not_returned_to(
    engine: FakeEngine, settings: Settings, store: Store
) -> None:
    with pytest.raises(PermanentError, match="no earlier release"):
        back(settings, store)
    old = released(settings, store, 1)
    released(settings, store, 2)
    engine.nan = {old}
    with pytest.raises(EngineCorruptedError):
        back(settings, store)
    engine.away = True
    (settings.platform.adapters_dir / old / "tokenizer.json").write_text("{}")
    with pytest.raises(AdapterRefused, match="no_tokenizer"):
        back(settings, store)
    assert len(store.releases()) == 2


def test_the_command_rolls_back_without_an_engine_and_lists_why(
    engine: FakeEngine, settings: Settings, store: Store
) -> None:
    old, new = released(settings, store, 1), released(settings, store, 2)
    engine.away = True
    done = CliRunner().invoke(app, ["rollback", "--why", "it reads oddly"])
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert f"r0003 will serve adapter {old}. Rolled back from r0002: it reads oddly (not proved yet" in said
    told = json.loads(CliRunner().invoke(app, ["releases", "--json"]).stdout)
    assert [(one["release"], one["adapter"], one["kind"]) for one in told] == [
        ("r0003", old, "rollback"), ("r0002", new, "promotion"), ("r0001", old, "promotion"),
    ]  # fmt: skip
    assert told[0]["why"].startswith("Rolled back from r0002: it reads oddly") and told[0]["at"]
    table = CliRunner().invoke(app, ["releases"], env={"COLUMNS": "200"}).stdout
    assert all(word in table for word in ("Release", "r0003", "rollback", "it reads oddly", "r0001", new))
