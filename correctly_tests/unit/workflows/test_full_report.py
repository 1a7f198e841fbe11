"""What stands in a full report whatever becomes of the models from outside."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
from rich.console import Console

from correctly_assets.evaluation.evaluation_set import read_evaluation_set
from correctly_assets.platform.engine_session import running_engine
from correctly_assets.settings import Settings, get_settings
from correctly_assets.workflows.full_report import full_report_here
from correctly_assets.workflows.judge_candidate import judge_candidate
from correctly_assets.workflows.make_corrector import DirectEngine
from correctly_assets.workflows.wiring import open_platform_store
from correctly_tests.serving_fakes import fake_engine
from correctly_tests.teaching_fakes import ChatServer, answer
from correctly_tests.tiny_adapter import put_adapter

pytestmark = pytest.mark.slow


@pytest.fixture
def outside() -> Iterator[ChatServer]:
    server = ChatServer()
    yield server
    server.close()


@pytest.fixture
def platform(outside: ChatServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A small part of the frozen set, an engine that knows its answers, and a comparator elsewhere."""
    with fake_engine() as engine:
        values = {
            "VLLM_PORT": engine.port,
            "EVALUATION_LIMIT": 8,
            "COMPARATOR_MODEL": "toy",
            "COMPARATOR_BASE_URL": outside.url,
        }
        for name, value in values.items():
            monkeypatch.setenv(f"CORRECTLY_{name}", str(value))
        settings = get_settings()
        rows = read_evaluation_set(settings.platform.evaluation_path).rows
        engine.default = {row.source: row.references[0] for row in rows}
        engine.reasons = "This is how it is said."
        yield settings


def test_a_comparator_that_refuses_is_a_sentence_and_others_are_measured(
    platform: Settings, outside: ChatServer
) -> None:
    outside.otherwise = lambda handler, body: answer(handler, 401, {"error": {"message": "no"}})
    adapter = put_adapter(platform, 1)
    with open_platform_store(platform.platform) as store:
        engine = DirectEngine(platform.serving.vllm_url)
        asyncio.run(judge_candidate(platform, store, engine, adapter=adapter, run_id=None, log=lambda _: None))
    written = full_report_here(platform, adapter, Console(stderr=True), running_engine)
    assert outside.requests
    (section,) = json.loads(written.json.read_text())["sets"]
    assert "comparator" not in section["systems"] and {"base", "candidate", "harper"} < set(section["systems"])
    assert "set CORRECTLY_COMPARATOR_API_KEY" in section["comparator"]
    assert "CORRECTLY_COMPARATOR_API_KEY" in written.html.read_text()
