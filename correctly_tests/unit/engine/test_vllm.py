"""The engine's client, against a fake engine on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from correctly_assets.core.errors import RefusedError, UnreachableError
from correctly_assets.core.ports import Completer
from correctly_assets.core.serving import EngineCorruptedError, UnknownModelError
from correctly_assets.engine.vllm_client import VllmClient
from correctly_tests.serving_fakes import BASE_LOGPROB, FakeEngine, fake_engine, free_port, write_adapter

PROMPT = "Correct this English:\nShe go.<end_of_turn>"


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    with fake_engine() as running:
        yield running


def test_it_is_a_completer() -> None:
    assert isinstance(VllmClient("http://127.0.0.1:1"), Completer)


def test_a_completion_is_greedy_and_carries_its_stop_and_priority(engine: FakeEngine) -> None:
    async def main() -> None:
        async with VllmClient(engine.url) as client:
            done = await client.complete(PROMPT, model="base", max_tokens=9, stop=["<eos>"], priority=10)
        assert (done.text, done.finish_reason, done.completion_tokens) == ("She go.", "stop", 2)

    asyncio.run(main())
    asked = engine.asked[-1]
    assert (asked["temperature"], asked["stop"], asked["priority"], asked["max_tokens"]) == (0.0, ["<eos>"], 10, 9)
    assert asked["skip_special_tokens"] is False


def test_an_engine_that_is_not_there_is_unreachable() -> None:
    async def main() -> None:
        async with VllmClient(f"http://127.0.0.1:{free_port()}") as client:
            assert await client.is_ready() is False
            await client.complete(PROMPT, model="base", max_tokens=1)

    with pytest.raises(UnreachableError, match="correctly up"):
        asyncio.run(main())


def test_a_busy_engine_is_unreachable(engine: FakeEngine) -> None:
    engine.away = True

    async def main() -> None:
        async with VllmClient(engine.url) as client:
            await client.complete(PROMPT, model="base", max_tokens=1)

    with pytest.raises(UnreachableError, match="busy"):
        asyncio.run(main())


def test_a_hanging_engine_is_unreachable_after_the_timeout(engine: FakeEngine) -> None:
    engine.hang = 5

    async def main() -> None:
        async with VllmClient(engine.url, timeout=0.3) as client:
            await client.complete(PROMPT, model="base", max_tokens=1)

    with pytest.raises(UnreachableError, match=r"did not answer within 0\.3 s") as slow:
        asyncio.run(main())
    assert "not reachable" not in str(slow.value)


def test_a_forgotten_adapter_is_an_error_of_its_own(engine: FakeEngine, tmp_path: Path) -> None:
    async def main() -> None:
        async with VllmClient(engine.url) as client:
            await client.load_adapter("a", write_adapter(tmp_path, "a"))
            await client.complete(PROMPT, model="a", max_tokens=1)
            await client.unload_adapter("a")
            await client.unload_adapter("a")  # forgotten already: nothing to do
            with pytest.raises(UnknownModelError):
                await client.complete(PROMPT, model="a", max_tokens=1)

    asyncio.run(main())


def test_loading_again_from_the_same_directory_is_no_error_and_another_is(engine: FakeEngine, tmp_path: Path) -> None:
    first, other = write_adapter(tmp_path / "1", "a"), write_adapter(tmp_path / "2", "a")

    async def main() -> None:
        async with VllmClient(engine.url) as client:
            await client.load_adapter("a", first)
            await client.load_adapter("a", first)
            assert await client.models() == {"base": "/models/base", "a": str(first)}
            with pytest.raises(RefusedError, match="unload it first"):
                await client.load_adapter("a", other)
            with pytest.raises(RefusedError, match="No adapter found"):
                await client.load_adapter("b", tmp_path / "nowhere")

    asyncio.run(main())


def test_a_prompts_log_probability_counts_the_completions_tokens_only(engine: FakeEngine) -> None:
    async def main() -> float:
        async with VllmClient(engine.url) as client:
            return await client.prompt_logprob("base", "a long prompt", "four")

    assert asyncio.run(main()) == pytest.approx(4 * BASE_LOGPROB)


def test_texts_are_scored_in_one_request_and_keep_their_order(engine: FakeEngine) -> None:
    async def main() -> list[float]:
        async with VllmClient(engine.url) as client:
            return await client.text_logprobs("base", ["one two three", "one"])

    assert asyncio.run(main()) == pytest.approx([3 * BASE_LOGPROB, BASE_LOGPROB])
    assert len(engine.asked) == 1


def test_nan_log_probabilities_are_a_corrupted_engine(engine: FakeEngine) -> None:
    engine.nan = {"base"}

    async def main() -> None:
        async with VllmClient(engine.url) as client:
            assert await client.corrupted_requests() == 0
            with pytest.raises(EngineCorruptedError):
                await client.prompt_logprob("base", "p", "c")
            with pytest.raises(EngineCorruptedError):
                await client.text_logprobs("base", ["p"])
            assert await client.corrupted_requests() == 2

    asyncio.run(main())


def test_a_refusal_of_the_request_is_told_from_an_engine_that_fails_at_it(engine: FakeEngine) -> None:
    async def code(prompt: str, max_tokens: int) -> str:
        async with VllmClient(engine.url) as client:
            with pytest.raises(RefusedError) as refused:
                await client.complete(prompt, model="base", max_tokens=max_tokens)
        return refused.value.code

    assert asyncio.run(code(PROMPT, 9_999)) == "engine_refused"
    engine.reasons_status = 500
    assert asyncio.run(code("Say in English why.", 9)) == "engine_failed"


def test_a_connection_closed_without_an_answer_is_retried_for_a_question() -> None:
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(head.split()[1])
        if len(asked) % 2 == 0:
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"tokens": [7]}')
            await writer.drain()
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server, VllmClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as client:
            assert await client.tokenize("base", "word", special=True) == [7]
            with pytest.raises(UnreachableError):
                await client.load_adapter("a", Path("/nowhere"))

    asyncio.run(run())
    assert asked[:2] == ["/tokenize", "/tokenize"] and len(asked) == 3
