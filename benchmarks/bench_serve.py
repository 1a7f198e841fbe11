"""`make bench-serve`: what serving and the gateway cost, with floors and goals, as CONTRACTS has it.

The gateway's own part runs against an instant upstream and needs no model. The engine's part needs the base model and an
adapter: the champion of CORRECTLY_HOME, or ``--adapter DIR``. It starts an engine of its own on a free port.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import httpx
import psutil

ROOT = Path(__file__).resolve().parent.parent
REST_SECONDS = 40.0
"""After the last answer, until memory at rest is read: the engine gives back what it has freed every thirty seconds."""
WORDS = 5000
"""Length of the document."""
sys.path.insert(0, str(ROOT))

from benchmarks.common import figure, quantile, write_results  # noqa: E402
from benchmarks.serve_gateway import measure_gateway  # noqa: E402
from benchmarks.serve_kill import kill, killed_under_load, supervised  # noqa: E402
from benchmarks.serve_parts import champion_adapter, ready, running, sentences, until  # noqa: E402
from correctly_assets.settings import get_settings  # noqa: E402

# figure: (unit, floor, goal, better)
KNOWN: dict[str, tuple[str, float | None, float | None, Literal["higher", "lower"]]] = {
    "gateway_overhead_p50": ("ms", 8, 4, "lower"),
    "gateway_overhead_p99": ("ms", None, 15, "lower"),
    "edit_extraction": ("ms", 40, 15, "lower"),
    "swap_requests_failed": ("requests", 0, 0, "lower"),
    "swap_answers_by_the_wrong_release": ("answers", 0, 0, "lower"),
    "swap_flip_slowest": ("s", 2, 2, "lower"),
    "sentence_p50": ("s", 0.28, 0.18, "lower"),
    "sentence_p95": ("s", 0.7, 0.5, "lower"),
    "sentence_with_reasons_p50": ("s", None, None, "lower"),
    "with_reasons_over_without": ("x", 1.3, 1.1, "lower"),
    "sentences_per_second_16_at_once": ("1/s", 12, 18, "higher"),
    "engine_memory": ("MiB", 3277, 2560, "lower"),
    "document_first_sentence": ("s", 2, 2, "lower"),
    "document_memory_growth": ("MiB", None, None, "lower"),
    "speculation_tokens_per_step": ("tokens", None, None, "higher"),
    "single_stream_tokens_per_second": ("tokens/s", None, None, "higher"),
    "proof": ("s", None, None, "lower"),
    "healed_after_kill": ("s", 150, 90, "lower"),
    "killed_other_answers": ("answers", 0, 0, "lower"),
    "killed_feedback_lost": ("reactions", 0, 0, "lower"),
    "base_tokens_per_second": ("tokens/s", None, None, "higher"),
    "llama_tokens_per_second": ("tokens/s", None, None, "higher"),
    "ratio_llama": ("x", 1, 2, "higher"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--adapter", type=Path, help="an adapter's directory; the champion's when not given")
    parser.add_argument("--gateway-only", action="store_true", help="leave out what needs the engine")
    parser.add_argument(
        "--llama",
        type=Path,
        metavar="PYTHON",
        help="the Python of an environment with llama-cpp-python[server], to be compared with",
    )
    parser.add_argument("--sentences", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the overhead is measured")
    chosen = parser.parse_args()
    figures: dict[str, float] = {}

    def keep(measured: dict[str, float]) -> None:
        # Written as soon as it is known: a later part that fails costs only its own figures.
        figures.update(measured)
        report(figures, chosen.sentences)

    with tempfile.TemporaryDirectory() as work:
        keep(asyncio.run(measure_gateway(Path(work) / "gateway", chosen.seconds)))
        keep({"edit_extraction": measure_edits(chosen.sentences)})
        if not chosen.gateway_only:
            adapter = chosen.adapter or champion_adapter()
            asyncio.run(measure_engine(Path(work) / "engine", adapter, chosen.sentences, keep))
            if chosen.llama:
                keep(asyncio.run(measure_llama(Path(work) / "llama", chosen.llama, chosen.sentences)))


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


async def measure_engine(home: Path, adapter: Path, count: int, keep: Callable[[dict[str, float]], None]) -> None:
    """The adapter behind gateway and engine: latency, throughput, a document, and kill -9 of the engine under load."""
    from correctly_assets.engine.vllm_client import VllmClient
    from correctly_assets.platform.processes import BY_NAME
    from correctly_assets.store import open_store
    from correctly_tests.serving_fakes import free_port

    given = get_settings()
    base, engine_port, port = given.base_model_path, free_port(), free_port()
    settings = given.changed(
        platform={"home": home, "gateway_port": port},
        serving={"vllm_port": engine_port},
        # The engine is started in HOME, as the platform does it.
        training={"base_model": str(Path(base).resolve()) if Path(base).is_dir() else base},
    )
    settings.platform.adapters_dir.mkdir(parents=True)
    (settings.platform.adapters_dir / adapter.name).symlink_to(adapter.resolve())
    store = open_store(settings.platform.store_url, settings.platform.sql_dir)
    release = store.add_release(adapter=adapter.name, base_model="base", kind="promotion", why="bench").id
    places = {
        "CORRECTLY_HOME": str(home),
        "CORRECTLY_BASE_MODEL": settings.training.base_model,
        "CORRECTLY_VLLM_PORT": str(engine_port),
        "CORRECTLY_GATEWAY_PORT": str(port),
    }
    gateway = f"http://127.0.0.1:{port}"
    texts = [before for before, _ in sentences(count)]
    async with httpx.AsyncClient(trust_env=False, timeout=300) as client:
        with running([sys.executable, "-m", "correctly_assets.gateway"], places) as serving:
            async with supervised(settings, BY_NAME["vllm"]) as supervisor:
                await until(lambda: ready(client, gateway, release), 400)
                async with VllmClient.of(settings) as vllm:
                    keep(await latencies(client, gateway, texts, vllm))
                await asyncio.sleep(REST_SECONDS)
                keep({"engine_memory": engine_memory()})
                keep(await document(client, gateway, texts, psutil.Process(serving.pid)))
                keep(await killed_under_load(client, gateway, texts, store, lambda: kill(supervisor, "vllm")))
    store.close()


def engine_memory() -> float:
    """MiB that vLLM's processes hold, what they share counted once."""
    tree = psutil.Process().children(recursive=True)
    ours = [process for process in tree if "vllm" in " ".join(process.cmdline()).lower()]
    return sum(process.memory_full_info().pss for process in ours) / 2**20


def engine_on(port: int) -> tuple[list[str], dict[str, str]]:
    """(command, environment) of vLLM as the platform starts it, on another port."""
    from correctly_assets.engine.launch import vllm_command

    given = get_settings()
    return vllm_command(
        given.base_model_path,
        port=port,
        chat_template=given.platform.prompts_dir / "chat" / "gemma3.jinja",
        max_model_len=given.serving.vllm_max_model_len,
        kvcache_gb=given.serving.vllm_kvcache_gb,
        max_lora_rank=given.training.lora_rank,
    )


async def measure_llama(work: Path, python: Path, count: int) -> dict[str, float]:
    """The base model behind vLLM and behind llama.cpp's server, one after the other."""
    from benchmarks import serve_llama
    from correctly_tests.serving_fakes import free_port

    settings = get_settings()
    prompts = serve_llama.prompts_of(settings, [before for before, _ in sentences(count)])
    ends = serve_llama.end_tokens(Path(settings.base_model_path))
    model = serve_llama.packaged_model(work)
    port = free_port()
    engine = f"http://127.0.0.1:{port}"

    async with httpx.AsyncClient(trust_env=False, timeout=300) as client:

        async def listens() -> bool:
            return (await client.get(f"{engine}/v1/models")).status_code == 200

        argv, environment = engine_on(port)
        with running(argv, environment):
            await until(listens, 400)
            ours = await serve_llama.ours(client, engine, prompts)
        with running(serve_llama.llama_command(python, model, port, os.cpu_count() or 1)):
            await until(listens, 120)
            theirs = await serve_llama.llama(client, engine, prompts, ends)
    return {
        "base_tokens_per_second": statistics.median(ours),
        "llama_tokens_per_second": statistics.median(theirs),
        "ratio_llama": statistics.median(ours) / statistics.median(theirs),
    }


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
    explained = [await one(text, True) for text in texts]
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
        "with_reasons_over_without": statistics.median(w / o for w, o in zip(explained, alone, strict=True)),
        "sentences_per_second_16_at_once": 2 * len(texts) / together,
        "single_stream_tokens_per_second": made / sum(alone),
        "speculation_tokens_per_step": (steps + kept) / steps if steps else 1.0,
    }


async def document(
    client: httpx.AsyncClient, gateway: str, texts: list[str], process: psutil.Process
) -> dict[str, float]:
    """A streamed 5,000-word document, read to its end: seconds until its first text, and by how many MiB the gateway's
    memory grew at most meanwhile.

    Args:
        process: the gateway, warm already, so that what it loads at its first answer is no growth.
    """
    words: list[str] = []
    while len(words) < WORDS:
        for text in texts:
            words += text.split()
    body = {"model": "correctly", "stream": True, "messages": [{"role": "user", "content": " ".join(words[:WORDS])}]}
    first: float | None = None
    ended = False
    before = highest = process.memory_info().rss

    async def watch() -> None:
        nonlocal highest
        while True:
            highest = max(highest, process.memory_info().rss)
            await asyncio.sleep(0.05)

    watching = asyncio.create_task(watch(), name="memory")
    try:
        started = time.perf_counter()
        # The reasons of a whole document come after its text: minutes may pass without a byte.
        async with client.stream("POST", f"{gateway}/v1/chat/completions", json=body, timeout=1800) as answer:
            answer.raise_for_status()
            async for line in answer.aiter_lines():
                ended = ended or line == "data: [DONE]"
                if not line.startswith("data: {"):
                    continue
                event = json.loads(line[6:])
                if "error" in event:
                    raise SystemExit(f"The document's stream broke off: {event['error']['message']}")
                if first is None and event["choices"] and event["choices"][0]["delta"].get("content"):
                    first = time.perf_counter() - started
    finally:
        watching.cancel()
        await asyncio.wait({watching})
    if first is None or not ended:
        raise SystemExit("The document's stream held no text, or no end.")
    highest = max(highest, process.memory_info().rss)
    return {"document_first_sentence": first, "document_memory_growth": (highest - before) / 2**20}


# ---------------------------------------------------------------- results


def report(figures: dict[str, float], rounds: int) -> None:
    """Write the results and print a line each."""
    shown: dict[str, dict[str, Any]] = {}
    for key, value in figures.items():
        unit, floor, goal, better = KNOWN[key]
        shown[key] = figure(value, unit, floor=floor, goal=goal, better=better)
    write_results("serve", shown, rounds=rounds)


if __name__ == "__main__":
    main()
