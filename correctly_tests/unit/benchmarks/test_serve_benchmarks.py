"""What `make bench-serve` measures with the real engine, on an engine that answers at once: the measuring is sound."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from benchmarks import bench_serve
from benchmarks.serve_gateway import ME
from benchmarks.serve_kill import feedback_lost, kill, killed_under_load, supervised
from correctly_assets.platform.processes import Process
from correctly_assets.settings import PROJECT_ROOT, Settings
from correctly_assets.workflows.wiring import open_platform_store
from correctly_tests.serving_fakes import FakeEngine, Running, fake_engine, running_gateway

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


# ---------------------------------------------------------------- kill -9 under load

INSTANT = Process(
    "vllm",
    "An engine that answers at once",
    lambda settings: ([*ME, "upstream", str(settings.serving.vllm_port)], {"PYTHONPATH": str(PROJECT_ROOT)}),
    lambda settings: settings.serving.vllm_port,
    "/health",
)


def test_a_killed_engine_is_healed_and_nobody_sees_more_than_be_patient(tmp_path: Path) -> None:
    engine = FakeEngine()  # only its port: the one that runs is the supervisor's child
    settings = Settings().changed(platform={"home": tmp_path / "home"}, serving={"vllm_port": engine.port})

    async def measure(running: Running) -> dict[str, float]:
        async with (
            httpx.AsyncClient(trust_env=False, timeout=60) as client,
            supervised(settings, INSTANT) as supervisor,
        ):
            await asyncio.to_thread(running.serves, running.release("swap01"))
            first = supervisor.children["vllm"].popen.pid
            figures = await killed_under_load(
                client, running.url, TEXTS, running.store, lambda: kill(supervisor, "vllm"), answers=20, later=1
            )
            assert supervisor.children["vllm"].popen.pid != first  # the supervisor's work, nobody else's
            return figures

    with running_gateway(settings.platform.home, engine) as running:
        figures = asyncio.run(measure(running))
        assert running.store.pending_feedback()
    assert (figures["killed_other_answers"], figures["killed_feedback_lost"]) == (0, 0)
    assert 0.5 < figures["healed_after_kill"] < 150
    assert set(figures) <= set(bench_serve.KNOWN)


def test_a_reaction_accepted_and_not_in_the_store_counts_as_lost(settings: Settings) -> None:
    settings.platform.home.mkdir(parents=True)
    with open_platform_store(settings.platform) as store:
        store.add_feedback(source_key="api:me:c_1", correction_id="c_1", rating=1)
        assert feedback_lost(store, {"c_1"}) == 0
        assert feedback_lost(store, {"c_1", "c_2"}) == 1
