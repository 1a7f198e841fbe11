"""`make bench-serve`: what serving and the gateway cost, with floors and goals, as CONTRACTS has it.

The gateway's own part runs against an instant upstream and needs no model. The engine's part needs the base model and an
adapter: the champion of CORRECTLY_HOME, or ``--adapter DIR``. It starts an engine of its own on a free port.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.common import figure, quantile, write_results  # noqa: E402
from correctly_assets.settings import Settings, get_settings  # noqa: E402

# figure: (unit, floor, goal, better)
KNOWN: dict[str, tuple[str, float | None, float | None, str]] = {
    "gateway_overhead_p50": ("ms", 8, 4, "lower"),
    "gateway_overhead_p99": ("ms", None, 15, "lower"),
    "edit_extraction": ("ms", 40, 15, "lower"),
    "swap_requests_failed": ("requests", 0, 0, "lower"),
    "swap_answers_by_the_wrong_release": ("answers", 0, 0, "lower"),
    "swap_flip_slowest": ("s", 2, 2, "lower"),
    "sentence_p50": ("s", 0.5, 0.2, "lower"),
    "sentence_p95": ("s", 1.5, 0.7, "lower"),
    "sentence_with_reasons_p50": ("s", 3, 1.2, "lower"),
    "sentences_per_second_16_at_once": ("1/s", 6, 12, "higher"),
    "document_first_sentence": ("s", 2, 2, "lower"),
    "speculation_tokens_per_step": ("tokens", None, None, "higher"),
    "single_stream_tokens_per_second": ("tokens/s", None, None, "higher"),
    "proof": ("s", None, None, "lower"),
    "healed_after_kill": ("s", 150, 90, "lower"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--adapter", type=Path, help="an adapter's directory; the champion's when not given")
    parser.add_argument("--gateway-only", action="store_true", help="leave out what needs the engine")
    parser.add_argument("--sentences", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the overhead is measured")
    parser.add_argument("--serve-upstream", type=int, metavar="PORT", help=argparse.SUPPRESS)
    parser.add_argument("--serve-gateway", nargs=3, metavar=("HOME", "ENGINE", "PORT"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve_upstream:
        serve_upstream(chosen.serve_upstream)
        return
    if chosen.serve_gateway:
        serve_gateway(*chosen.serve_gateway)
        return
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as work:
        figures |= asyncio.run(measure_gateway(Path(work) / "gateway", chosen.seconds))
        figures["edit_extraction"] = measure_edits(chosen.sentences)
        if not chosen.gateway_only:
            adapter = chosen.adapter or champion_adapter()
            figures |= asyncio.run(measure_engine(Path(work) / "engine", adapter, chosen.sentences))
    report(figures, chosen.sentences)


# ---------------------------------------------------------------- processes of the benchmark


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

    from correctly_assets.serving.gateway.app import create_app
    from correctly_assets.serving.gateway.joins import build_parts
    from correctly_assets.serving.gateway.options import Options

    settings = Settings(home=Path(home), vllm_port=int(engine))  # pyright: ignore[reportCallIssue]

    def parts() -> Any:
        made = build_parts(settings, Options())
        made.check = None
        return made

    uvicorn.run(create_app(settings, Options(), parts), port=int(port), log_level="error", access_log=False)


@contextmanager
def running(argv: list[str], environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A child process in a group of its own, ended with the block."""
    log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the child
    child = subprocess.Popen(
        argv, cwd=ROOT, env={**os.environ, **(environment or {})}, stdout=log, stderr=log, start_new_session=True
    )
    try:
        yield child
    except SystemExit:
        log.seek(0)
        print(f"--- {' '.join(argv[:4])} (exit {child.poll()})\n{log.read()[-2000:].decode(errors='replace')}")
        raise
    finally:
        end(child, signal.SIGTERM)
        try:
            child.wait(40)
        except subprocess.TimeoutExpired:
            end(child, signal.SIGKILL)
            child.wait()


def end(child: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """Signal a child's whole group; one that has ended already is left alone."""
    try:
        os.killpg(child.pid, how)
    except ProcessLookupError:
        return


async def until(ask: Callable[[], Any], seconds: float) -> float:
    """Wait until ``await ask()`` is true; the seconds it took."""
    started = time.perf_counter()
    while True:
        try:
            if await ask():
                return time.perf_counter() - started
        except httpx.HTTPError:
            pass  # not listening yet
        if time.perf_counter() - started > seconds:
            raise SystemExit("A part of the benchmark did not become ready in time.")
        await asyncio.sleep(0.05)


# ---------------------------------------------------------------- the gateway alone

SWAPPED = "She go to school with her friend."
WORDS = ("goes", "went", "walks", "walked", "runs", "ran", "drives", "drove", "cycles", "comes", "came")
UNCHANGED = "The meeting starts at nine in the large room."


def swapped(adapter: str) -> str:
    """The sentence as an adapter of the instant upstream corrects it, each with a word of its own that no veto minds."""
    number = int("".join(filter(str.isdigit, adapter))[:2])
    return SWAPPED.replace(" go ", f" {WORDS[number % len(WORDS)]} ")


async def measure_gateway(home: Path, seconds: float) -> dict[str, float]:
    """What the gateway adds to an unchanged sentence at 50 requests a second, and ten swaps under 16 clients."""
    from correctly_assets.store import open_store
    from correctly_tests.serving_fakes import free_port, write_adapter

    home.mkdir(parents=True)
    settings = Settings(home=home)  # pyright: ignore[reportCallIssue]
    store = open_store(settings.store_url, settings.sql_dir)

    def promote(adapter: str) -> str:
        write_adapter(settings.adapters_dir, adapter)
        return store.add_release(adapter=adapter, base_model="base", kind="promotion", why="bench").id

    promote("swap00")
    upstream, port = free_port(), free_port()
    me = [sys.executable, str(Path(__file__))]
    with (
        running([*me, "--serve-upstream", str(upstream)]),
        running([*me, "--serve-gateway", str(home), str(upstream), str(port)]),
    ):
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
        async with httpx.AsyncClient(trust_env=False, timeout=30, limits=limits) as client:
            gateway, engine = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{upstream}"
            await until(lambda: _ready(client, gateway), 120)
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


async def _ready(client: httpx.AsyncClient, gateway: str, release: str | None = None) -> bool:
    said = await client.get(f"{gateway}/readyz")
    return said.status_code == 200 and (release is None or said.json()["release"] == release)


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
            flips.append(await until(lambda release=release: _ready(client, gateway, release), 30))

    await asyncio.gather(change(), *(ask() for _ in range(16)))
    return {
        "swap_requests_failed": failed,
        "swap_answers_by_the_wrong_release": wrong,
        "swap_flip_slowest": max(flips),
    }


def measure_edits(count: int) -> float:
    """Milliseconds to extract the edits of one changed sentence, parsing included."""
    from correctly_assets.correction.annotate import ErrantAnnotator

    annotator = ErrantAnnotator()
    annotator.edits("He go.", "He goes.")
    pairs = [(before, after) for before, after in sentences(count) if after and before != after]
    started = time.perf_counter()
    for before, after in pairs:
        annotator.edits(before, after)
    return 1000 * (time.perf_counter() - started) / len(pairs)


# ---------------------------------------------------------------- with the engine


async def measure_engine(home: Path, adapter: Path, count: int) -> dict[str, float]:
    """The adapter behind gateway and engine: latency, throughput, a document, and healing after kill -9."""
    from correctly_assets.serving.launch import vllm_command
    from correctly_assets.serving.vllm import VllmClient
    from correctly_assets.store import open_store
    from correctly_tests.serving_fakes import free_port

    given = get_settings()
    settings = given.model_copy(update={"home": home})
    settings.adapters_dir.mkdir(parents=True)
    (settings.adapters_dir / adapter.name).symlink_to(adapter.resolve())
    store = open_store(settings.store_url, settings.sql_dir)
    release = store.add_release(adapter=adapter.name, base_model="base", kind="promotion", why="bench").id
    store.close()
    engine_port, port = free_port(), free_port()
    argv, environment = vllm_command(
        given.base_model_path,
        port=engine_port,
        chat_template=given.prompts_dir / "chat" / "gemma3.jinja",
        max_model_len=given.vllm_max_model_len,
        kvcache_gb=given.vllm_kvcache_gb,
        max_lora_rank=given.lora_rank,
    )
    places = {
        "CORRECTLY_HOME": str(home),
        "CORRECTLY_BASE_MODEL": given.base_model_path,
        "CORRECTLY_VLLM_PORT": str(engine_port),
        "CORRECTLY_GATEWAY_PORT": str(port),
    }
    gateway = f"http://127.0.0.1:{port}"
    figures: dict[str, float] = {}
    texts = [before for before, _ in sentences(count)]
    async with httpx.AsyncClient(trust_env=False, timeout=300) as client:
        with running([sys.executable, "-m", "correctly_assets.serving.gateway"], places):
            with running(argv, environment) as engine:
                await until(lambda: _ready(client, gateway, release), 400)
                async with VllmClient(f"http://127.0.0.1:{engine_port}") as vllm:
                    figures |= await latencies(client, gateway, texts, vllm)
                end(engine, signal.SIGKILL)
            with running(argv, environment):
                figures["healed_after_kill"] = await until(lambda: _ready(client, gateway, release), 400)
    return figures


async def latencies(client: httpx.AsyncClient, gateway: str, texts: list[str], vllm: Any) -> dict[str, float]:
    async def one(text: str, reasons: bool) -> float:
        started = time.perf_counter()
        answer = await client.post(f"{gateway}/v1/corrections", json={"text": text, "reasons": reasons})
        answer.raise_for_status()
        return time.perf_counter() - started

    for text in texts[:4]:
        await one(text, True)
    drafts = await vllm.metric("vllm:spec_decode_num_drafts_total")
    accepted = await vllm.metric("vllm:spec_decode_num_accepted_tokens_total")
    tokens = await vllm.metric("vllm:generation_tokens_total")
    alone = [await one(text, False) for text in texts]
    steps = await vllm.metric("vllm:spec_decode_num_drafts_total") - drafts
    kept = await vllm.metric("vllm:spec_decode_num_accepted_tokens_total") - accepted
    made = await vllm.metric("vllm:generation_tokens_total") - tokens
    explained = [await one(text, True) for text in texts[: max(10, len(texts) // 3)]]
    room = asyncio.Semaphore(16)

    async def crowded(text: str) -> None:
        async with room:
            await one(text, False)

    started = time.perf_counter()
    await asyncio.gather(*(crowded(text) for text in texts * 2))
    together = time.perf_counter() - started
    return {
        "sentence_p50": quantile(alone, 50),
        "sentence_p95": quantile(alone, 95),
        "sentence_with_reasons_p50": quantile(explained, 50),
        "sentences_per_second_16_at_once": 2 * len(texts) / together,
        "single_stream_tokens_per_second": made / sum(alone),
        "speculation_tokens_per_step": (steps + kept) / steps if steps else 1.0,
        "document_first_sentence": await first_sentence(client, gateway, texts),
    }


async def first_sentence(client: httpx.AsyncClient, gateway: str, texts: list[str]) -> float:
    """Seconds until the first text of a streamed 5,000-word document; the rest is not waited for."""
    words: list[str] = []
    while len(words) < 5000:
        for text in texts:
            words += text.split()
    body = {"model": "correctly", "stream": True, "messages": [{"role": "user", "content": " ".join(words[:5000])}]}
    started = time.perf_counter()
    async with client.stream("POST", f"{gateway}/v1/chat/completions", json=body) as answer:
        answer.raise_for_status()
        async for line in answer.aiter_lines():
            if line.startswith("data: {") and (json.loads(line[6:])["choices"][0]["delta"].get("content")):
                return time.perf_counter() - started
    raise SystemExit("The document's stream held no text.")


# ---------------------------------------------------------------- data and results


def sentences(count: int) -> list[tuple[str, str]]:
    """(awkward sentence, a reference): JFLEG where CORRECTLY_BENCHMARK_DATA holds it, else the frozen set's."""
    data = os.environ.get("CORRECTLY_BENCHMARK_DATA")
    path = Path(data) / "jfleg_dev.jsonl" if data else get_settings().evaluation_path
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [(row["source"], row["references"][0]) for row in rows if row["references"]][:count]


def champion_adapter() -> Path:
    """The directory of the adapter that serves."""
    from correctly_assets.store import open_store

    settings = get_settings()
    with open_store(settings.store_url, settings.sql_dir) as store:
        champion = store.champion()
    if champion is None:
        raise SystemExit("No adapter has been promoted yet: run `correctly up --once`, or give --adapter DIR.")
    return settings.adapters_dir / champion.adapter


def report(figures: dict[str, float], rounds: int) -> None:
    """Write the results and print a line each."""
    shown: dict[str, dict[str, Any]] = {}
    for key, value in figures.items():
        unit, floor, goal, better = KNOWN[key]
        shown[key] = figure(value, unit, floor=floor, goal=goal, better=better)
    write_results("serve", shown, rounds=rounds)


if __name__ == "__main__":
    main()
