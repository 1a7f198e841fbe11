"""Processes that benchmarks of serving start, and the sentences they ask about.

Belongs here: starting and ending a child, waiting until it answers, data. Does not belong here: measuring.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.common import ROOT
from correctly_assets.settings import get_settings


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


async def ready(client: httpx.AsyncClient, gateway: str, release: str | None = None) -> bool:
    said = await client.get(f"{gateway}/readyz")
    return said.status_code == 200 and (release is None or said.json()["release"] == release)


def sentences(count: int) -> list[tuple[str, str]]:
    """(awkward sentence, a reference): JFLEG where CORRECTLY_BENCHMARK_DATA holds it, else the frozen set's."""
    data = os.environ.get("CORRECTLY_BENCHMARK_DATA")
    path = Path(data) / "jfleg_dev.jsonl" if data else get_settings().platform.evaluation_path
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [(row["source"], row["references"][0]) for row in rows if row["references"]][:count]


def champion_adapter() -> Path:
    """The directory of the adapter that serves."""
    from correctly_assets.store import open_store

    settings = get_settings()
    with open_store(settings.platform.store_url, settings.platform.sql_dir) as store:
        champion = store.champion()
    if champion is None:
        raise SystemExit("No adapter has been promoted yet: run `correctly up --once`, or give --adapter DIR.")
    return settings.platform.adapters_dir / champion.adapter
