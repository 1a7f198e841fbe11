"""The comparator beside our own models: listed where it is configured, asked with its own prompt, and nothing kept of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest

from correctly_assets.gateway.live_comparator import LiveComparator, live_comparator
from correctly_assets.gateway.options import Options
from correctly_assets.settings import Settings
from correctly_assets.workflows.openwebui_rows import VoteRow
from correctly_assets.workflows.read_votes import parse_vote
from correctly_tests.serving_fakes import Running, errant_annotator, fake_engine, running_gateway
from correctly_tests.teaching_fakes import PROMPTS, ChatServer, answer, broken, completion

BEFORE, AFTER = "She go to school with Tom.", "She goes to school with Tom."
PROMPT = (PROMPTS / "comparator.txt").read_text().strip("\n")


@pytest.fixture(scope="module")
def server() -> Iterator[ChatServer]:
    made = ChatServer()
    yield made
    made.close()


@pytest.fixture(scope="module")
def gateway(server: ChatServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    made = LiveComparator(server.url, "toy", PROMPT, errant_annotator(), api_key="k", timeout_seconds=2)
    home = tmp_path_factory.mktemp("compared")
    options = Options(poll_seconds=0.05, stack="harper-then-model")
    with fake_engine() as engine, running_gateway(home, engine, options, comparator=made) as running:
        running.serves(running.release("a"))
        yield running


@pytest.fixture(autouse=True)
def says(server: ChatServer) -> list[str]:
    """What the comparator answers, in turn; then the corrected sentence."""
    said: list[str] = []

    def reply(handler: BaseHTTPRequestHandler, _: dict[str, Any]) -> None:
        answer(handler, 200, completion(said.pop(0) if said else AFTER))

    server.requests.clear()
    server.script.clear()
    server.otherwise = reply
    return said


def chat(running: Running, *messages: str, **body: Any) -> httpx.Response:
    return running.chat(*messages, model="correctly-comparator", **body)


def content(answered: httpx.Response) -> str:
    assert answered.status_code == 200, answered.text
    return answered.json()["choices"][0]["message"]["content"]


def test_it_is_listed_beside_our_own_and_answers_through_its_own_prompt(gateway: Running, server: ChatServer) -> None:
    listed = httpx.get(f"{gateway.url}/v1/models", trust_env=False).json()["data"]
    assert [card["id"] for card in listed] == [
        "correctly",
        "correctly-fluent",
        "correctly-text",
        "correctly-base",
        "correctly-comparator",
    ]
    assert httpx.get(f"{gateway.url}/v1/models/correctly-comparator", trust_env=False).json() == listed[4]
    # No rule checker of ours stands before it.
    assert [card["correctly"]["stack"] for card in listed] == ["harper-then-model"] * 4 + ["model"]
    said = content(chat(gateway, BEFORE))
    assert said.startswith(f"{AFTER}\n\n| Was | Now | Why |") and "| go | goes |  |" in said
    [asked] = server.requests
    assert asked["model"] == "toy"
    assert asked["messages"] == [{"role": "user", "content": PROMPT.replace("{text}", BEFORE)}]


def test_its_answers_stream_and_are_corrections_as_ours_are(gateway: Running) -> None:
    body = {"model": "correctly-comparator", "messages": [{"role": "user", "content": BEFORE}]}
    with gateway.stream(body) as streamed:
        lines = [json.loads(line[6:]) for line in streamed.iter_lines() if line.startswith("data: {")]
    text = "".join(choice["delta"].get("content", "") for line in lines for choice in line["choices"])
    assert text.startswith(AFTER) and lines[-1]["choices"][0]["finish_reason"] == "stop"
    answered = gateway.post("/v1/corrections", {"text": [BEFORE], "model": "correctly-comparator"})
    [correction] = answered.json()["corrections"]
    assert (correction["before"], correction["after"], correction["release"]) == (BEFORE, AFTER, None)
    [edit] = correction["edits"]
    assert (edit["was"], edit["now"], edit["reason"]) == ("go", "goes", None)


def test_an_unchanged_text_and_an_empty_answer_are_one_line_each(gateway: Running, says: list[str]) -> None:
    says[:] = [BEFORE, ""]
    assert "nothing to change" in content(chat(gateway, BEFORE))
    assert "stands as you wrote it" in content(chat(gateway, BEFORE))


def test_its_failures_are_one_plain_sentence_and_no_failure_of_ours(gateway: Running, server: ChatServer) -> None:
    def refuses(handler: BaseHTTPRequestHandler, _: dict[str, Any]) -> None:
        answer(handler, 401, {"error": {"message": "bad key"}})

    server.otherwise = refuses
    refused = chat(gateway, BEFORE)
    assert (refused.status_code, refused.json()["error"]["code"]) == (502, "comparator_refused")
    assert "set CORRECTLY_COMPARATOR_API_KEY" in refused.json()["error"]["message"]
    server.otherwise = broken
    away = chat(gateway, BEFORE, stream=True)
    assert (away.status_code, away.json()["error"]["code"]) == (503, "comparator_away")
    message = away.json()["error"]["message"]
    assert message.startswith("The comparator: ") and "\n" not in message and "Traceback" not in message
    assert gateway.chat(BEFORE).status_code == 200


def test_nothing_of_it_is_kept_and_a_text_asked_again_is_asked_again(gateway: Running, server: ChatServer) -> None:
    text = "A sentence that nobody else have written."
    chat(gateway, text)
    chat(gateway, text)
    assert len(server.requests) == 2
    gateway.chat(BEFORE)  # written down after the others would have been
    deadline = time.monotonic() + 30
    while gateway.ready()["journal_pending"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert text not in [entry.before for entry in gateway.store.corrections(limit=500)]
    assert not [path for path in gateway.home.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def test_why_gets_none_of_our_reasons_and_hidden_tasks_cost_nothing(gateway: Running, server: ChatServer) -> None:
    gateway.chat(BEFORE)
    assert "gives no reasons" in content(chat(gateway, BEFORE, AFTER, "why?"))
    chat(gateway, "### Task:\nGenerate a title.\n### Chat History:\n<chat_history>\nUSER: She go.\n</chat_history>")
    assert server.requests == []


def test_without_a_model_and_an_address_there_is_none(settings: Settings, tmp_path: Path) -> None:
    def made(**changed: str) -> LiveComparator | None:
        return live_comparator(settings.changed(comparator=changed), errant_annotator())

    assert made() is None and made(model="gpt-4o-mini") is None
    assert made(base_url="http://127.0.0.1:9/v1") is None
    both = made(model="toy", base_url="http://127.0.0.1:9/v1")
    assert both is not None and both.model == "toy"


def test_a_vote_on_the_comparators_answer_is_none_on_ours() -> None:
    row = {"id": "v", "data": {"rating": -1, "model_id": "correctly"}, "meta": {"chat_id": "c", "message_id": "m"}}
    assert parse_vote(VoteRow.model_validate(row)) is not None
    row["data"] = {"rating": -1, "model_id": "correctly-comparator"}
    assert parse_vote(VoteRow.model_validate(row)) is None
