"""`/v1/responses` through the official client, whole and streamed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from correctly_tests.serving_fakes import Running, fake_engine, running_gateway

BEFORE, AFTER = "She go to school every day.", "She goes to school every day."


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with fake_engine() as engine, running_gateway(tmp_path_factory.mktemp("responses"), engine) as running:
        engine.default = {BEFORE: AFTER}
        running.serves(running.release("aaaaaaaaaaaa"))
        yield running


@pytest.fixture
def client(gateway: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0)


def test_the_answer_is_the_one_that_a_chat_gives(client: openai.OpenAI, gateway: Running) -> None:
    done = client.responses.create(model="correctly", input=BEFORE)
    assert (done.status, done.error, done.model) == ("completed", None, "correctly")
    assert done.output_text == gateway.chat(BEFORE).json()["choices"][0]["message"]["content"]
    assert done.usage is not None and done.usage.output_tokens > 0
    assert done.usage.total_tokens == done.usage.input_tokens + done.usage.output_tokens
    assert done.to_dict()["correctly"]["adapter"] == "aaaaaaaaaaaa"  # pyright: ignore[reportIndexIssue]


def test_the_last_message_of_the_user_is_read_among_items_of_all_kinds(client: openai.OpenAI) -> None:
    items: Any = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "He like tea."},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "He likes tea."}]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"role": "user", "content": [{"type": "input_text", "text": BEFORE}]},
    ]
    assert client.responses.create(model="correctly-text", input=items, instructions="Correct it.").output_text == AFTER


def test_events_come_in_order_numbered_and_join_to_the_same_text(client: openai.OpenAI) -> None:
    whole = client.responses.create(model="correctly", input=BEFORE).output_text
    events = list(client.responses.create(model="correctly", input=BEFORE, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole
    last = events[-1]
    assert last.type == "response.completed" and last.response.output_text == whole
    assert last.response.usage is not None and last.response.usage.output_tokens > 0


def test_the_clients_own_stream_helper_reads_it(client: openai.OpenAI) -> None:
    with client.responses.stream(model="correctly-text", input=BEFORE) as stream:
        assert stream.get_final_response().output_text == AFTER


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("previous_response_id", "resp_1"),
        ("conversation", "conv_1"),
        ("background", True),
        ("text", {"format": {"type": "json_object"}}),
        ("tool_choice", "required"),
        ("include", ["message.output_text.logprobs"]),
        ("response_format", {"type": "json_object"}),
        ("n", 2),
        ("input", 5),
        ("input", [{"type": "input_text", "text": "a"}]),
        ("input", [{"role": "user", "content": [{"type": "input_audio"}]}]),
        ("input", [{"role": "user", "content": 5}]),
    ],
)
def test_what_an_answer_cannot_keep_to_is_refused_by_name(gateway: Running, field: str, value: Any) -> None:
    answer = gateway.post("/v1/responses", {"input": BEFORE, field: value})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] in (field, "text.format")


def test_nulls_pass_and_an_input_without_a_message_does_not(gateway: Running) -> None:
    nulls = dict.fromkeys(("instructions", "tools", "text", "stream", "metadata", "previous_response_id", "reasoning"))
    assert gateway.post("/v1/responses", {"input": BEFORE, **nulls}).status_code == 200
    common = {"include": ["reasoning.encrypted_content"], "text": {"verbosity": "low"}, "store": False}
    assert gateway.post("/v1/responses", {"input": BEFORE, **common}).status_code == 200
    for wrong in ({"input": []}, {"input": ["x"]}, {"input": 5}, {}):
        assert gateway.post("/v1/responses", wrong).status_code == 400, wrong


def test_a_failing_engine_is_a_status_before_the_stream_and_an_event_in_it(tmp_path: Path) -> None:
    with fake_engine() as engine, running_gateway(tmp_path, engine, model_reasons=True) as running:
        engine.default = {BEFORE: AFTER}
        running.serves(running.release("a"))
        engine.reasons_status = 503
        url = f"{running.url}/v1/responses"
        assert running.post("/v1/responses", {"input": BEFORE}).status_code == 503
        body = {"input": BEFORE, "stream": True}
        with httpx.stream("POST", url, json=body, trust_env=False, timeout=60) as answer:
            lines = [line[6:] for line in answer.iter_lines() if line.startswith("data: ")]
        events = [json.loads(line) for line in lines]
        assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
        assert events[-1]["response"]["error"]["message"] == events[-2]["message"]
        engine.away = True
        running.until(lambda said: not said["ready"])
        assert running.post("/v1/responses", body).status_code == 503
