"""What `make bench-serve` measures with the real engine, on an engine that answers at once: the measuring is sound."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from benchmarks import bench_serve
from correctly_tests.serving_fakes import Running, fake_engine, running_gateway

pytestmark = pytest.mark.slow

TEXTS = [f"The meeting of group {number} starts at nine in the large room." for number in range(100)]


def measured(running: Running) -> dict[str, float]:
    async def measure() -> dict[str, float]:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            return await bench_serve.document(client, running.url, TEXTS, psutil.Process())

    return asyncio.run(measure())


def test_a_document_is_read_to_its_end_and_the_memory_it_took_is_known(tmp_path: Path) -> None:
    with fake_engine() as engine, running_gateway(tmp_path, engine) as running:
        running.serves(running.release("a"))
        figures = measured(running)
        running.until(lambda said: not said["journal_pending"])
        [kept] = running.store.corrections()  # written down when the answer was whole, and not before
        assert len(kept.before.split()) == bench_serve.WORDS
        assert 0 < figures["document_first_sentence"] < (kept.seconds or 0)
        assert 0 <= figures["document_memory_growth"] < 500
        assert set(figures) <= set(bench_serve.KNOWN)


def test_a_document_whose_stream_breaks_off_is_no_figure(tmp_path: Path) -> None:
    class FailsLate(dict[str, str]):
        def get(self, text: str, otherwise: Any = None) -> Any:
            if "group 99 " in text:
                raise RuntimeError("the engine fails this answer")
            return text

    with fake_engine() as engine, running_gateway(tmp_path, engine) as running:
        running.serves(running.release("a"))
        engine.fixes["a"] = FailsLate()
        with pytest.raises(SystemExit, match="broke off"):
            measured(running)
