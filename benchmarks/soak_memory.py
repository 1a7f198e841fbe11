"""What the engine's memory grows with: ``python -m benchmarks.bench_soak --memory --adapter DIR`` (five minutes).

Belongs here: equal requests, then requests of other sizes, then the equal ones again, and memory after each lot. Does not belong
here: mixed load over time (bench_soak.py).

A leak would show with equal requests too. What grows with new sizes only, and less with every lot of them, is what the engine
keeps for a size that it has met: oneDNN's primitives of every layer for every number of tokens in a batch.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from pathlib import Path
from typing import Any

import psutil

from benchmarks.soak_load import tree_mb
from benchmarks.soak_place import Place, adapters, place

SETTLE_SECONDS = 35.0  # one turn of what gives freed memory back (engine/vllm_plugin/memory.py)
CLIENTS = 4
LOTS = (("equal", 300, 4), ("mixed", 150, 4), ("equal", 300, 4))
"""Kind, requests a lot, lots."""

_WORDS = [
    "yesterday",
    "it",
    "rained",
    "so",
    "much",
    "that",
    "nobody",
    "in",
    "our",
    "street",
    "could",
    "find",
    "the",
    "way",
    "home",
    "without",
    "a",
    "lamp",
    "and",
    "a",
    "map",
]


async def memory(chosen: argparse.Namespace, home: Path) -> tuple[dict[str, float], dict[str, Any]]:
    """Memory of the engine's processes after every lot, in MB."""
    [adapter] = adapters(chosen, home, 1)
    lots: list[dict[str, Any]] = []
    async with place(home, fake=chosen.fake) as at:
        release = at.release(at.bring(adapter))
        async with at.engine(), at.gateway_process():
            await at.serves(release)
            root, chance = psutil.Process(at.engine_pid), random.Random(at.settings.training.seed)
            for stage, (kind, count, times) in enumerate(LOTS):
                for _ in range(times):
                    await _ask(at, adapter.name, [_request(kind, chance) for _ in range(count)])
                    lots.append({"stage": stage, "kind": kind, "requests": count, "mb": round(tree_mb(root), 1)})
                    print(f"{kind}: {lots[-1]['mb']:,.0f} MB after {count} more", file=sys.stderr, flush=True)
                if not chosen.fake:
                    await asyncio.sleep(SETTLE_SECONDS)
                lots.append({"stage": stage, "kind": kind, "requests": 0, "mb": round(tree_mb(root), 1)})
    return figures_of(lots), {"lots": lots}


def figures_of(lots: list[dict[str, Any]]) -> dict[str, float]:
    """MB per 1,000 equal requests, before and after the mixed ones and without a stage's first lot, in which it warms up; and
    MB that the mixed ones added."""
    stages = [[lot for lot in lots if lot["stage"] == stage] for stage in range(len(LOTS))]

    def slope(stage: list[dict[str, Any]]) -> float:
        return 1000 * (stage[-1]["mb"] - stage[0]["mb"]) / sum(lot["requests"] for lot in stage[1:])

    return {
        "equal_growth_before": slope(stages[0]),
        "equal_growth_after": slope(stages[2]),
        "mixed_added": stages[1][-1]["mb"] - stages[0][-1]["mb"],
    }


def _request(kind: str, chance: random.Random) -> tuple[str, int]:
    """(text, tokens of the answer)."""
    if kind == "equal":
        return " ".join(_WORDS[:12]), 8
    return " ".join(chance.choices(_WORDS, k=chance.randint(3, 200))), chance.randint(2, 30)


async def _ask(at: Place, model: str, requests: list[tuple[str, int]]) -> None:
    """Send them, a few at once, to the engine itself: the gateway's cache would answer what is equal."""
    rest = iter(requests)

    async def client() -> None:
        for text, tokens in rest:
            body = {
                "model": model, "prompt": text, "max_tokens": tokens, "temperature": 0, "logprobs": 0, "ignore_eos": True,
            }  # fmt: skip
            answer = await at.client.post(f"{at.settings.serving.vllm_url}/v1/completions", json=body)
            if answer.status_code != 200:
                raise SystemExit(f"The engine answered {answer.status_code}: {answer.text[:300]}")

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
