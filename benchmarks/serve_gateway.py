"""The gateway alone: what it adds to an unchanged sentence, and ten swaps under load, on an engine that answers at once.

Belongs here: the instant upstream, the gateway on it, and what is measured of them. Does not belong here: the real engine
(bench_serve.py). Run as ``python -m benchmarks.serve_gateway upstream PORT`` or ``… gateway HOME ENGINE PORT``, it is one of
the two processes.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from benchmarks.common import quantile
from benchmarks.serve_parts import ready, running, until
from correctly_assets.settings import Settings

ME = [sys.executable, "-m", "benchmarks.serve_gateway"]
SWAPPED = "She go to school with her friend."
WORDS = ("goes", "went", "walks", "walked", "runs", "ran", "drives", "drove", "cycles", "comes", "came")
UNCHANGED = "The meeting starts at nine in the large room."


def serve_upstream(port: int) -> None:
    """An engine that answers at once, in a process of its own so that it costs the gateway nothing."""
    from correctly_tests.serving_fakes import FakeEngine

    engine = FakeEngine()
    engine.port = port

    class Marks(dict[str, dict[str, str]]):
        """Every adapter corrects the one known sentence in its own way, so that an answer shows who gave it."""

        def get(self, adapter: str, default: Any = None) -> dict[str, str]:
            return {SWAPPED: swapped(adapter)}

    engine.fixes = Marks()
    engine.start()
    signal.pause()


def serve_gateway(home: str, engine: str, port: str) -> None:
    """The real gateway on the fake engine's adapters, which have no weights to check."""
    import uvicorn

    from correctly_assets.gateway.app import create_app
    from correctly_assets.gateway.build_parts import build_parts
    from correctly_assets.gateway.options import Options

    settings = Settings().changed(platform={"home": Path(home)}, serving={"vllm_port": int(engine)})

    def parts() -> Any:
        made = build_parts(settings, Options())
        made.check = None
        return made

    uvicorn.run(create_app(settings, Options(), parts), port=int(port), log_level="error", access_log=False)


def swapped(adapter: str) -> str:
    """The sentence as an adapter of the instant upstream corrects it, each with a word of its own that no veto minds."""
    number = int("".join(filter(str.isdigit, adapter))[:2])
    return SWAPPED.replace(" go ", f" {WORDS[number % len(WORDS)]} ")


async def measure_gateway(home: Path, seconds: float) -> dict[str, float]:
    """What the gateway adds to an unchanged sentence at 50 requests a second, and ten swaps under 16 clients."""
    from correctly_assets.store import open_store
    from correctly_tests.serving_fakes import free_port, write_adapter

    home.mkdir(parents=True)
    settings = Settings().changed(platform={"home": home})
    store = open_store(settings.platform.store_url, settings.platform.sql_dir)

    def promote(adapter: str) -> str:
        write_adapter(settings.platform.adapters_dir, adapter)
        return store.add_release(adapter=adapter, base_model="base", kind="promotion", why="bench").id

    promote("swap00")
    upstream, port = free_port(), free_port()
    with (
        running([*ME, "upstream", str(upstream)]),
        running([*ME, "gateway", str(home), str(upstream), str(port)]),
    ):
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
        async with httpx.AsyncClient(trust_env=False, timeout=30, limits=limits) as client:
            gateway, engine = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{upstream}"
            await until(lambda: ready(client, gateway), 120)
            whole = {"text": UNCHANGED}
            direct = {"model": "swap00", "prompt": f"Correct this English:\n{UNCHANGED}<end_of_turn>", "max_tokens": 20}
            await paced(client, f"{gateway}/v1/corrections", whole, 2)
            below = await paced(client, f"{engine}/v1/completions", direct, seconds / 2)
            above = await paced(client, f"{gateway}/v1/corrections", whole, seconds)
            figures = {
                "gateway_overhead_p50": 1000 * (quantile(above, 50) - quantile(below, 50)),
                "gateway_overhead_p99": 1000 * (quantile(above, 99) - quantile(below, 99)),
            }
            figures |= await swap(client, gateway, promote)
    store.close()
    return figures


async def paced(client: httpx.AsyncClient, url: str, body: Any, seconds: float, rate: int = 50) -> list[float]:
    """Latencies of requests sent at a fixed rate, whether or not earlier ones are answered."""

    async def one() -> float:
        started = time.perf_counter()
        (await client.post(url, json=body)).raise_for_status()
        return time.perf_counter() - started

    tasks = []
    started = time.perf_counter()
    for n in range(int(seconds * rate)):
        await asyncio.sleep(max(0.0, started + n / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(one()))
    return list(await asyncio.gather(*tasks))


async def swap(client: httpx.AsyncClient, gateway: str, promote: Callable[[str], str]) -> dict[str, float]:
    """Ten swaps while 16 clients send 2,000 requests."""
    failed = wrong = done = 0
    flips: list[float] = []

    async def ask() -> None:
        nonlocal failed, wrong, done
        while done < 2000:
            done += 1
            try:
                answer = await client.post(f"{gateway}/v1/corrections", json={"text": SWAPPED, "reasons": False})
            except httpx.HTTPError:
                failed += 1
                continue
            if answer.status_code != 200:
                failed += 1
                continue
            [correction] = answer.json()["corrections"]
            wrong += correction["after"] != swapped(correction["adapter"])

    async def change() -> None:
        for n in range(1, 11):
            while done < n * 180:
                await asyncio.sleep(0.02)
            release = await asyncio.to_thread(promote, f"swap{n:02}")
            flips.append(await until(lambda release=release: ready(client, gateway, release), 30))

    await asyncio.gather(change(), *(ask() for _ in range(16)))
    return {
        "swap_requests_failed": failed,
        "swap_answers_by_the_wrong_release": wrong,
        "swap_flip_slowest": max(flips),
    }


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["upstream", port]:
            serve_upstream(int(port))
        case ["gateway", home, engine, port]:
            serve_gateway(home, engine, port)
        case _:
            raise SystemExit(__doc__)
