"""Requests as OpenAI takes them: what clients send besides a text, and what is said of what cannot be done."""

from __future__ import annotations

import base64
import gzip
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from correctly_assets.gateway.access import new_key
from correctly_assets.gateway.options import Options
from correctly_assets.settings import InvalidSettingError, Settings
from correctly_tests.serving_fakes import Running, fake_engine, running_gateway

BEFORE, AFTER = "She go to school every day.", "She goes to school every day."
FINE = "This sentence is perfectly fine."
PAGE = "http://localhost:5173"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("requests")
    with (
        fake_engine() as engine,
        running_gateway(home, engine, cors_origins=f"{PAGE}, https://write.example") as running,
    ):
        engine.default = {BEFORE: AFTER}
        running.serves(running.release("a"))
        yield running


def said(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]["message"]["content"]


def ask(running: Running, method: str, path: str, **more: Any) -> httpx.Response:
    return httpx.request(method, f"{running.url}{path}", trust_env=False, timeout=60, **more)


def parts(*content: Any) -> dict[str, Any]:
    return {"model": "correctly", "messages": [{"role": "user", "content": list(content)}]}


def test_nulls_are_as_if_left_out(gateway: Running) -> None:
    names = ("stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "tools", "tool_choice", "mode")
    nulls = dict.fromkeys((*names, "response_format", "reason_language", "format", "logprobs", "user"))
    assert said(gateway.chat(BEFORE, **nulls)).startswith(AFTER)
    assert said(gateway.chat(BEFORE, stream_options={"include_usage": None})).startswith(AFTER)
    answer = gateway.post("/v1/corrections", {"text": BEFORE, "reasons": None, "model": None, "mode": None})
    assert answer.json()["corrections"][0]["after"] == AFTER


def test_limits_of_tokens_and_the_developers_role_change_nothing(gateway: Running) -> None:
    messages = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": BEFORE}]
    body = {"model": "correctly", "messages": messages, "max_completion_tokens": 1, "stop": ["goes"]}
    assert said(gateway.post("/v1/chat/completions", body)).startswith(AFTER)


@pytest.mark.parametrize(
    "content",
    [
        ({"type": "text", "text": BEFORE},),
        ({"type": "input_text", "text": BEFORE},),
        ({"text": BEFORE},),
        (BEFORE,),
        ({"type": "image_url", "image_url": {"url": "data:,"}}, {"type": "text", "text": BEFORE}, None),
        ({"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,{}"}},),
        ({"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,{}"},),
    ],
)
def test_text_parts_of_every_kind_are_read(gateway: Running, content: tuple[Any, ...]) -> None:
    coded = base64.b64encode(BEFORE.encode()).decode()
    filled = json.loads(json.dumps(content).replace("{}", coded))
    assert said(gateway.post("/v1/chat/completions", parts(*filled))).startswith(AFTER)


def test_a_file_that_holds_no_text_and_sound_are_refused_by_name(gateway: Running) -> None:
    for part in (
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "file", "file": {"file_data": "data:text/plain;base64,/w=="}},
        {"type": "input_audio", "input_audio": {}},
    ):
        error = gateway.post("/v1/chat/completions", parts(part)).json()["error"]
        assert (error["code"], error["param"]) == ("unsupported_parameter", "messages")


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"role": "user", "content": 5}, "`content`"),
        ({"role": "user", "content": {"type": "text", "text": BEFORE}}, "`content`"),
        ({"role": "human", "content": BEFORE}, "`role`"),
        ({"content": BEFORE}, "`role`"),
    ],
)
def test_a_message_that_cannot_be_read_is_refused_and_not_taken_for_empty(
    gateway: Running, message: dict[str, Any], words: str
) -> None:
    answer = gateway.post("/v1/chat/completions", {"messages": [message]})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["param"] == "messages" and words in error["message"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2),
        ("logprobs", True),
        ("response_format", {"type": "json_object"}),
        ("response_format", {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}),
        ("modalities", ["text", "audio"]),
        ("tool_choice", "required"),
        ("function_call", {"name": "f"}),
        ("web_search_options", {}),
    ],
)
def test_what_an_answer_cannot_keep_to_is_refused_by_name(gateway: Running, field: str, value: Any) -> None:
    answer = gateway.chat(BEFORE, **{field: value})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error" and error["param"] == field
    assert f"`{field}`" in error["message"] and error["code"] == "unsupported_parameter"


def test_errors_are_read_by_the_official_client_with_code_and_param(gateway: Running) -> None:
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0)
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="correctly", messages=[{"role": "user", "content": BEFORE}], n=2)
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "n")
    with pytest.raises(openai.NotFoundError, match="/v1/embeddings"):
        client.embeddings.create(model="correctly", input="x")


def test_a_body_that_is_not_called_json_is_told_its_header(gateway: Running) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": BEFORE}]})
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = ask(gateway, "POST", "/v1/chat/completions", content=body, headers=headers)
    assert answer.status_code == 400 and "Content-Type: application/json" in answer.json()["error"]["message"]


def test_each_chunk_has_usage_where_it_was_asked_for(gateway: Running) -> None:
    body = {"messages": [{"role": "user", "content": BEFORE}], "stream_options": {"include_usage": True}}
    with gateway.stream(body) as answer:
        chunks = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: {")]
    assert [chunk["usage"] is None for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    assert chunks[-1]["choices"] == []


@pytest.mark.parametrize("how", [{"model": "correctly-text"}, {"format": "text"}])
@pytest.mark.parametrize("stream", [False, True])
def test_the_text_alone_is_the_corrected_text_and_nothing_else(
    gateway: Running, how: dict[str, str], stream: bool
) -> None:
    foreign = "Bonjour, je voudrais réserver une table pour deux personnes."
    for text, right in ((BEFORE, AFTER), (FINE, FINE), (foreign, foreign), ("why?", "why?"), (" \n", " \n")):
        body = {"model": "correctly", "messages": [{"role": "user", "content": text}]} | how
        if not stream:
            assert said(gateway.post("/v1/chat/completions", body)) == right
            continue
        with gateway.stream(body) as answer:
            chunks = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: {")]
        assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks) == right


def test_the_other_layouts_are_marks_in_the_text_a_table_and_json(gateway: Running) -> None:
    assert said(gateway.chat(BEFORE, format="diff")) == "She ~~go~~ **goes** to school every day."
    assert said(gateway.chat(FINE, format="diff")) == FINE
    assert said(gateway.chat(BEFORE, format="table")).startswith(f"{AFTER}\n\n| Was | Now | Why |")
    found = json.loads(said(gateway.chat(BEFORE, format="json")))
    assert found["after"] == AFTER and found["edits"][0]["reason"]
    assert json.loads(said(gateway.chat(FINE, format="json")))["changed"] is False
    assert gateway.chat(BEFORE, format="xml").status_code == 400


def test_a_text_that_begins_as_a_task_does_is_read_like_any_other(gateway: Running) -> None:
    text = f"### Task:\n{BEFORE}\nWrite tags and a title."
    answer = said(gateway.chat(text))
    assert AFTER in answer and "{" not in answer


@pytest.mark.parametrize("own", ["{}", "<user_query>\n{}\n</user_query>"])
def test_behind_attached_files_the_users_own_text_is_corrected(gateway: Running, own: str) -> None:
    template = (
        "### Task:\nRespond to the user query using the provided context, incorporating inline citations.\n\n"
        "### Guidelines:\n- Do not use XML tags in your response.\n\n### Output:\nA clear response.\n\n"
        '<context>\n<source id="1">He have a title and tags.</source>\n</context>\n\n'
    )
    answer = said(gateway.chat(template + own.format(BEFORE)))
    assert answer.startswith(f"{AFTER}\n\n| Was |")
    assert answer.endswith("I did not read the attached files: paste the text that I should correct.")
    assert "He have" not in gateway.engine.asked[-1]["prompt"]
    assert said(gateway.chat(template)).startswith("I did not read the attached files")


@pytest.mark.parametrize("path", ["/healthz", "/v1/models", "/v1/models/correctly", "/docs", "/metrics"])
def test_head_answers_as_get_does_without_the_body(gateway: Running, path: str) -> None:
    answer = ask(gateway, "HEAD", path)
    assert answer.status_code == 200 and answer.content == b""
    assert answer.headers["content-type"] == ask(gateway, "GET", path).headers["content-type"]
    assert ask(gateway, "HEAD", "/v1/chat/completions").status_code == 405


def test_options_names_the_methods_of_a_path(gateway: Running) -> None:
    answer = ask(gateway, "OPTIONS", "/v1/chat/completions")
    assert (answer.status_code, answer.headers["allow"], answer.content) == (204, "OPTIONS, POST", b"")
    assert ask(gateway, "OPTIONS", "/v1/models").headers["allow"] == "GET, HEAD, OPTIONS"
    assert ask(gateway, "OPTIONS", "/v1/nothing").json()["error"]["code"] == "http_404"


def test_a_slash_at_the_end_changes_nothing(gateway: Running) -> None:
    body = {"messages": [{"role": "user", "content": BEFORE}]}
    assert said(ask(gateway, "POST", "/v1/chat/completions/", json=body)).startswith(AFTER)
    assert ask(gateway, "GET", "/v1/models//").status_code == 200


def test_an_address_and_a_path_may_both_bring_a_slash(gateway: Running) -> None:
    body = {"messages": [{"role": "user", "content": BEFORE}]}
    for path in ("/v1//chat/completions", "//v1/chat/completions"):
        assert said(ask(gateway, "POST", path, json=body)).startswith(AFTER)


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("/v1/embeddings", "/v1/chat/completions, /v1/responses"),
        ("/v1/assistants", "/v1/fine_tuning/jobs"),
        ("/chat/completions", "OpenAI's clients ask under /v1"),
        ("/v2/words", "/v2/check"),
    ],
)
def test_a_path_that_is_not_there_is_told_which_ones_are(gateway: Running, path: str, remedy: str) -> None:
    answer = ask(gateway, "POST", path, json={"model": "correctly", "input": "x"})
    assert answer.status_code == 404 and remedy in answer.json()["error"]["message"]


def test_a_method_that_a_path_has_not_is_told_those_that_it_has(gateway: Running) -> None:
    answer = ask(gateway, "PUT", "/v1/files")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")
    assert answer.json()["error"]["message"] == "/v1/files is not asked with PUT, but with GET, HEAD, POST."


@pytest.mark.parametrize("body", ["{'model': 'correctly'}", '{"messages": [],}', ""])
def test_what_is_no_json_is_said_so_without_a_parameter(gateway: Running, body: str) -> None:
    headers = {"Content-Type": "application/json"}
    error = ask(gateway, "POST", "/v1/chat/completions", content=body, headers=headers).json()["error"]
    assert "JSON" in error["message"] and error["param"] is None
    assert error["code"] == "invalid_request"


def test_a_packed_body_is_refused_by_its_header(gateway: Running) -> None:
    packed = gzip.compress(json.dumps({"messages": [{"role": "user", "content": BEFORE}]}).encode())
    for coding, status in (("gzip", 415), ("br", 415), ("identity", 400)):
        headers = {"Content-Type": "application/json", "Content-Encoding": coding}
        answer = ask(gateway, "POST", "/v1/chat/completions", content=packed, headers=headers)
        assert answer.status_code == status
        assert ("Content-Encoding" in answer.json()["error"]["message"]) == (status == 415)


def test_a_request_without_a_host_is_told_to_name_one(gateway: Running) -> None:
    with socket.create_connection(("127.0.0.1", int(gateway.url.rpartition(":")[2])), timeout=10) as connection:
        connection.sendall(b"GET /v1/models HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b" 421 " in answer and b"send it with a Host header" in answer


def test_pages_of_named_origins_may_ask_and_read(gateway: Running) -> None:
    preflight = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type, x-stainless-os",
        "Sec-Fetch-Site": "cross-site",
    }
    answer = ask(gateway, "OPTIONS", "/v1/chat/completions", headers=preflight)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "x-stainless-os" in answer.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in answer.headers
    headers = {"Origin": PAGE, "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}
    body = {"messages": [{"role": "user", "content": BEFORE}]}
    answer = ask(gateway, "POST", "/v1/chat/completions", json=body, headers=headers)
    assert said(answer).startswith(AFTER) and answer.headers["access-control-allow-origin"] == PAGE


def test_other_pages_are_refused_although_some_are_named(gateway: Running) -> None:
    for headers in ({"Origin": "http://evil.example"}, {"Origin": f"{PAGE}0"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = ask(gateway, "POST", "/v1/corrections", json={"text": BEFORE}, headers=headers)
        assert answer.status_code == 403 and "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("value", ["*", "localhost:5173", "http://a/b", "http://a:5173/", "null"])
def test_only_whole_origins_can_be_named(value: str) -> None:
    with pytest.raises(InvalidSettingError, match="CORRECTLY_CORS_ORIGINS"):
        Settings().changed(platform={"cors_origins": value})


def test_a_key_is_taken_from_every_header_that_clients_put_it_in(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    key = new_key(keys, "ann")
    basic = base64.b64encode(f"any:{key}".encode()).decode()
    options = Options(poll_seconds=0.05, keys_file=keys)
    with fake_engine() as engine, running_gateway(tmp_path / "home", engine, options) as running:
        for headers in (
            {"Authorization": f"Bearer {key}"},
            {"Authorization": f"bearer  {key}"},
            {"Authorization": f"Basic {basic}"},
            {"api-key": key},
            {"x-api-key": key},
        ):
            assert ask(running, "GET", "/v1/models", headers=headers).status_code == 200, headers
        for headers in ({}, {"x-api-key": "no"}, {"Authorization": "Basic !"}, {"Authorization": key}):
            answer = ask(running, "GET", "/v1/models", headers=headers)
            assert answer.status_code == 401 and answer.json()["error"]["type"] == "authentication_error"
        assert ask(running, "OPTIONS", "/v1/models").status_code == 204
