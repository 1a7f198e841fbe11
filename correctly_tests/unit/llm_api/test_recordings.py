"""Recordings: made from a real endpoint on loopback, replayed without one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from correctly_assets.core.errors import PermanentError, RefusedError
from correctly_assets.llm_api.answer_journal import Journal
from correctly_assets.llm_api.budget import Budget, Price
from correctly_assets.llm_api.endpoint import Endpoint
from correctly_assets.llm_api.recordings import record, recording_path
from correctly_assets.llm_api.requests import ChatAnswer, ChatRequest, Recorder, Recording
from correctly_assets.teachers.prompted.prompt_requests import Templates, ask_for_pairs
from correctly_tests.teaching_fakes import EXAMPLES, PROMPTS, ChatServer, replaying_teacher, teacher


@pytest.fixture
def server() -> Iterator[ChatServer]:
    made = ChatServer()
    yield made
    made.close()


def test_a_recording_replays_without_a_server_and_names_its_model(server: ChatServer, tmp_path: Path) -> None:
    live = teacher(server, tmp_path)
    expected = live.write_pairs(EXAMPLES, count=3, seed=1)
    asked = ask_for_pairs(Templates.load(PROMPTS), EXAMPLES, model="toy", count=3, batch=1, seed=1, language="en")
    endpoint = Endpoint(
        base_url=server.url,
        model="toy",
        api_key="k",
        journal=Journal(tmp_path / "journal"),
        budget=Budget(None, Price(1.0, 1.0), "toy"),
    )
    path = recording_path(tmp_path, "toy")
    made = asyncio.run(record(endpoint, [a.request for a in asked], path, kind="teacher"))
    assert made.model == "toy" and made.header["entries"] == 3 and made.header["recorded_at"]
    server.close()
    replay = replaying_teacher(tmp_path, "toy", batch=1)
    output = replay.write_pairs(EXAMPLES, count=3, seed=1)
    assert [w.pair.id for w in output.pairs] == [w.pair.id for w in expected.pairs] and output.cost_usd == 0
    with pytest.raises(PermanentError, match="is not recorded; run `correctly record --kind teacher --model toy`"):
        replay.write_pairs(EXAMPLES, count=3, seed=2)


def test_nothing_is_recorded_under_a_name_that_the_endpoint_did_not_report(server: ChatServer, tmp_path: Path) -> None:
    endpoint = Endpoint(
        base_url=server.url,
        model="gpt-4o-mini",
        api_key="k",
        journal=Journal(tmp_path / "journal"),
        budget=Budget(None, Price(1.0, 1.0), "gpt-4o-mini"),
    )
    path = recording_path(tmp_path, "gpt-4o-mini")
    with pytest.raises(RefusedError, match="answered as 'toy', not as 'gpt-4o-mini'"):
        asyncio.run(record(endpoint, [ChatRequest("gpt-4o-mini", (("user", "hi"),), 5)], path, kind="comparator"))
    assert not path.exists()


def test_a_recording_that_was_changed_or_is_missing_is_refused(server: ChatServer, tmp_path: Path) -> None:
    endpoint = Endpoint(
        base_url=server.url,
        model="toy",
        api_key="k",
        journal=Journal(tmp_path / "journal"),
        budget=Budget(None, None, "toy"),
    )
    path = recording_path(tmp_path, "toy")
    asyncio.run(record(endpoint, [ChatRequest("toy", (("user", "hi"),), 5)], path, kind="comparator"))
    assert Recording.load(path).sha256
    path.write_text(path.read_text().replace("He go to", "He went to"))
    with pytest.raises(PermanentError, match="was changed after it was made"):
        Recording.load(path)
    with pytest.raises(PermanentError, match="gpt-4o-mini is not recorded; run `correctly record --kind teacher"):
        replaying_teacher(tmp_path, "gpt-4o-mini")


@pytest.mark.parametrize("reported", ["gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-0613"])
def test_a_dated_version_of_a_model_is_that_model(reported: str, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "r.jsonl", requested="gpt-4o", kind="comparator", now=lambda: "2026-11-22T10:00:00")
    recorder.add(ChatRequest("gpt-4o", (("user", "hi"),), 5), ChatAnswer("Hi.", reported))
    made = recorder.write()
    assert (made.model, made.requested) == (reported, "gpt-4o")


@pytest.mark.parametrize("reported", ["gpt-4o-mini", "gpt-4o-mini-2024-07-18", "gpt-4", "gpt-4o2024", ""])
def test_a_model_whose_name_only_begins_alike_is_another_one(reported: str, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "r.jsonl", requested="gpt-4o", kind="comparator", now=lambda: "2026-11-22T10:00:00")
    with pytest.raises(RefusedError, match="not as 'gpt-4o'"):
        recorder.add(ChatRequest("gpt-4o", (("user", "hi"),), 5), ChatAnswer("Hi.", reported))


def test_a_recording_under_another_models_name_is_refused(tmp_path: Path) -> None:
    recorder = Recorder(recording_path(tmp_path, "toy"), requested="toy", kind="teacher", now=lambda: "2026-11-22")
    recorder.add(ChatRequest("toy", (("user", "hi"),), 5), ChatAnswer("Hi.", "toy"))
    recorder.write()
    recording_path(tmp_path, "toy").rename(recording_path(tmp_path, "lab/dear"))
    with pytest.raises(PermanentError, match="is a recording of toy, not of lab/dear"):
        replaying_teacher(tmp_path, "lab/dear")
    with pytest.raises(
        PermanentError, match=r"^lab/cheap is not recorded; run `correctly record --kind teacher --model lab/cheap`"
    ):
        replaying_teacher(tmp_path, "lab/cheap")
