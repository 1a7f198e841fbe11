"""Several engines behind one client, against fake engines on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack

import pytest

from correctly_assets.core.errors import RefusedError, UnreachableError
from correctly_assets.core.ports import Ranker
from correctly_assets.core.serving import EngineCorruptedError, UnknownModelError
from correctly_assets.engine.replicas import Replicas
from correctly_assets.engine.vllm_client import VllmClient
from correctly_assets.settings import InvalidSettingError, Settings
from correctly_tests.serving_fakes import FakeEngine, fake_engine

PROMPT = "Correct this English:\nShe go.<end_of_turn>"


@pytest.fixture
def engines() -> Iterator[list[FakeEngine]]:
    with ExitStack() as stack:
        yield [stack.enter_context(fake_engine()) for _ in range(2)]


def run(engines: list[FakeEngine], ask: Callable[[Replicas], Awaitable[None]], *, timeout: float = 10.0) -> None:
    async def main() -> None:
        replicas = Replicas([VllmClient(engine.url, timeout=timeout) for engine in engines])
        try:
            await replicas.look(None)
            await ask(replicas)
        finally:
            await replicas.aclose()

    asyncio.run(main())


def asked(engines: list[FakeEngine]) -> list[int]:
    return [len(engine.asked) for engine in engines]


async def complete(replicas: Replicas, model: str = "base") -> str:
    return (await replicas.complete(PROMPT, model=model, max_tokens=9)).text


def test_it_completes_and_ranks() -> None:
    assert isinstance(Replicas([VllmClient("http://127.0.0.1:1")]), Ranker)


def test_requests_at_once_are_shared_between_the_engines(engines: list[FakeEngine]) -> None:
    for engine in engines:
        engine.hang = 0.1

    async def ask(replicas: Replicas) -> None:
        await asyncio.gather(*(complete(replicas) for _ in range(8)))

    run(engines, ask)
    assert asked(engines) == [4, 4]


@pytest.mark.parametrize("fails", ["gone", "busy", "hangs", "breaks"])
def test_what_one_engine_fails_the_other_answers(engines: list[FakeEngine], fails: str) -> None:
    async def ask(replicas: Replicas) -> None:
        if fails == "gone":
            engines[0].stop()
        elif fails == "hangs":
            engines[0].hang = 5.0
        elif fails == "breaks":
            engines[0].broken = True
        else:
            engines[0].away = True
        assert await complete(replicas) == "She go."
        assert await replicas.text_logprobs("base", ["She goes."]) == [-4.0]

    run(engines, ask, timeout=0.5)
    assert len(engines[1].asked) == 2


def test_an_engine_that_failed_is_asked_last_for_a_while(engines: list[FakeEngine]) -> None:
    async def ask(replicas: Replicas) -> None:
        engines[0].hang = 5.0
        await complete(replicas)
        engines[0].hang = 0.0
        await complete(replicas)
        await complete(replicas)

    run(engines, ask, timeout=0.3)
    assert asked(engines) == [1, 3]


def test_only_an_engine_that_has_the_adapter_is_asked_for_it(engines: list[FakeEngine]) -> None:
    engines[1].registered["a"] = "/adapters/a"
    engines[1].fixes = {"a": {"She go.": "She goes."}}

    async def ask(replicas: Replicas) -> None:
        engines[0].registered["a"] = "/adapters/a"  # loaded by somebody, and not proved yet
        assert [await complete(replicas, "a") for _ in range(3)] == ["She goes."] * 3

    run(engines, ask)
    assert asked(engines) == [0, 3]


def test_an_engine_that_forgot_the_adapter_is_passed_over(engines: list[FakeEngine]) -> None:
    for engine in engines:
        engine.registered["a"] = "/adapters/a"

    async def ask(replicas: Replicas) -> None:
        engines[0].registered.clear()
        assert await complete(replicas, "a") == "She go."
        engines[1].registered.clear()
        with pytest.raises(UnknownModelError):
            await complete(replicas, "a")

    run(engines, ask)


def test_an_engine_that_computed_nan_is_not_asked_again(engines: list[FakeEngine]) -> None:
    engines[0].poisoned, engines[0].corrupted = True, 1

    async def ask(replicas: Replicas) -> None:
        assert await complete(replicas) == "She go."
        engines[1].poisoned, engines[1].corrupted = True, 1
        await replicas.look(None)
        with pytest.raises(EngineCorruptedError, match="restarted"):
            await complete(replicas)

    run(engines, ask)
    assert engines[0].asked == []


def test_a_refusal_of_the_request_itself_is_not_asked_elsewhere(engines: list[FakeEngine]) -> None:
    async def ask(replicas: Replicas) -> None:
        for engine in engines:
            engine.context = 1
        with pytest.raises(RefusedError, match="max_model_len"):
            await complete(replicas)

    run(engines, ask)
    assert sum(asked(engines)) == 1


def test_with_every_engine_gone_the_error_is_that_of_one(engines: list[FakeEngine]) -> None:
    async def ask(replicas: Replicas) -> None:
        for engine in engines:
            engine.stop()
        with pytest.raises(UnreachableError, match="correctly up"):
            await complete(replicas)

    run(engines, ask)


def test_the_settings_name_each_engine_once_and_the_own_one_first() -> None:
    given = "http://10.0.0.6:8001, http://vllm-1.vllm:8001/,http://127.0.0.1:8001"
    settings = Settings().changed(serving={"vllm_replicas": given})
    expected = ("http://127.0.0.1:8001", "http://10.0.0.6:8001", "http://vllm-1.vllm:8001")
    assert settings.serving.vllm_urls == expected
    with pytest.raises(InvalidSettingError, match=r"CORRECTLY_VLLM_REPLICAS .* not '10.0.0.6:8001'"):
        Settings().changed(serving={"vllm_replicas": "10.0.0.6:8001"})
