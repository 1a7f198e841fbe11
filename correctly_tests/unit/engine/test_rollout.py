"""Proving an adapter, against a fake engine that misbehaves as vLLM 0.32 was seen to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from correctly_assets.core.errors import AdapterRefused, UnreachableError
from correctly_assets.core.serving import EngineCorruptedError
from correctly_assets.engine.load_adapter import Proof, load_proven, retire
from correctly_assets.engine.vllm_client import VllmClient
from correctly_tests.serving_fakes import FakeEngine, fake_engine, write_adapter


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    with fake_engine() as running:
        yield running


def prove(engine: FakeEngine, directory: Path, check: Callable[[Path], object] | None = None) -> Proof:
    async def main() -> Proof:
        async with VllmClient(engine.url) as client:
            return await load_proven(client, directory, check)

    return asyncio.run(main())


def test_a_good_adapter_loads_under_its_id_and_its_distance_is_measured(engine: FakeEngine, tmp_path: Path) -> None:
    directory = write_adapter(tmp_path, "0123456789ab")
    proof = prove(engine, directory)
    assert engine.registered == {"0123456789ab": str(directory)}
    assert proof.from_base == pytest.approx(1.5)
    assert proof.from_training == pytest.approx(0.0)


def test_a_broken_static_rule_refuses_before_the_engine_hears_of_it(engine: FakeEngine, tmp_path: Path) -> None:
    def refuse(directory: Path) -> object:
        raise AdapterRefused("finite", "it holds NaN")

    with pytest.raises(AdapterRefused) as refused:
        prove(engine, write_adapter(tmp_path, "a"), refuse)
    assert refused.value.rule == "finite"
    assert (engine.registered, engine.asked) == ({}, [])


def test_base_text_under_an_adapters_name_is_refused_and_unloaded(engine: FakeEngine, tmp_path: Path) -> None:
    engine.like_base = {"a"}
    with pytest.raises(AdapterRefused) as refused:
        prove(engine, write_adapter(tmp_path, "a"))
    assert refused.value.rule == "differs_from_base"
    assert engine.registered == {}


def test_another_adapter_under_the_name_is_refused_and_unloaded(engine: FakeEngine, tmp_path: Path) -> None:
    engine.drifted = {"a"}
    with pytest.raises(AdapterRefused) as refused:
        prove(engine, write_adapter(tmp_path, "a"))
    assert refused.value.rule == "agrees_with_training"
    assert engine.registered == {}


def test_another_base_model_in_the_engine_is_named_as_the_cause(engine: FakeEngine, tmp_path: Path) -> None:
    engine.base_drift = -1.0
    with pytest.raises(AdapterRefused) as refused:
        prove(engine, write_adapter(tmp_path, "a"))
    assert refused.value.rule == "base_model"


def test_nan_asks_for_a_restart_of_the_engine_and_not_for_another_adapter(engine: FakeEngine, tmp_path: Path) -> None:
    engine.nan = {"a"}
    with pytest.raises(EngineCorruptedError, match="restart"):
        prove(engine, write_adapter(tmp_path, "a"))
    assert engine.registered == {}
    with pytest.raises(EngineCorruptedError, match="restart"):  # and nothing else is proved on that engine
        prove(engine, write_adapter(tmp_path, "b"))
    assert engine.registered == {}


def test_an_adapter_without_a_canary_is_refused(engine: FakeEngine, tmp_path: Path) -> None:
    directory = write_adapter(tmp_path, "a")
    for manifest in ({}, {"canary": []}, {"canary": [{"prompt": "p"}]}):
        (directory / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(AdapterRefused) as refused:
            prove(engine, directory)
        assert refused.value.rule == "canary_missing"


def test_an_engine_that_dies_while_proving_says_nothing_about_a_champion(engine: FakeEngine, tmp_path: Path) -> None:
    directory = write_adapter(tmp_path, "a")
    prove(engine, directory)

    async def main() -> None:
        async with VllmClient(engine.url, timeout=0.4) as client:
            engine.hang = 3
            with pytest.raises(UnreachableError):
                await load_proven(client, directory, None)

    asyncio.run(main())
    assert "a" in engine.registered


def test_an_engine_on_its_way_down_does_not_condemn_the_adapter(engine: FakeEngine, tmp_path: Path) -> None:
    engine.dying = True
    with pytest.raises(UnreachableError, match="stopping"):
        prove(engine, write_adapter(tmp_path, "a"))


def test_only_older_releases_that_answer_nobody_are_unloaded(engine: FakeEngine, tmp_path: Path) -> None:
    async def main() -> list[list[str]]:
        async with VllmClient(engine.url) as client:
            for name in ("a", "b", "c", "d", "candidate"):
                await client.load_adapter(name, write_adapter(tmp_path, name))
            served = ["d", "c", "d", "b", "a"]  # d came back by a rollback: it counts once
            return [await retire(client, served, {"a"}), await retire(client, served, set())]

    assert asyncio.run(main()) == [["b"], ["a"]]
    assert set(engine.registered) == {"c", "d", "candidate"}
