"""What one client can make the gateway read, hold and wait for, asked over real sockets."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from correctly_assets.gateway.access import new_key
from correctly_assets.gateway.options import Options
from correctly_assets.gateway.server import make_server
from correctly_tests.serving_fakes import FakeEngine, Running, fake_engine, free_port, running_gateway

LIMITS = Options(poll_seconds=0.05, max_rows=50, max_items=500, parallel_of_client=3, body_seconds=1.0)


@pytest.fixture(scope="module")
def engine() -> Iterator[FakeEngine]:
    with fake_engine() as made:
        yield made


@pytest.fixture(scope="module")
def gateway(engine: FakeEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_gateway(tmp_path_factory.mktemp("limits"), engine, LIMITS) as running:
        running.serves(running.release("a"))
        yield running


def send(running: Running, path: str, body: bytes, **headers: str) -> httpx.Response:
    headers = {"Content-Type": "application/json", **headers}
    return httpx.post(f"{running.url}{path}", content=body, headers=headers, trust_env=False, timeout=60)


def code(answer: httpx.Response) -> tuple[int, str]:
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"].endswith(".")
    return answer.status_code, error["code"]


def test_rows_items_and_characters_are_counted(gateway: Running) -> None:
    rows = json.dumps([{"before": f"It are {n}."} for n in range(51)]).encode()
    assert code(send(gateway, "/v1/examples", rows)) == (413, "too_many_rows")
    assert code(send(gateway, "/v1/examples", b"[" + b",".join([b"{}"] * 600) + b"]")) == (413, "too_many_items")
    texts = json.dumps({"text": ["a" * 59_000] * 5}).encode()
    assert code(send(gateway, "/v1/corrections", texts)) == (413, "text_too_long")
    assert gateway.store.counts().landed == 0


def test_a_long_text_is_refused_before_anything_reads_it(gateway: Running) -> None:
    chat = {"messages": [{"role": "user", "content": "why" + "!" * 3_000_000 + "x"}]}
    started = time.monotonic()
    assert code(send(gateway, "/v1/chat/completions", json.dumps(chat).encode())) == (413, "text_too_long")
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", b'{"messages":[{"role":"user","content":"\\ud800 He go to home every day."}]}'),
        ("/v1/corrections", b'{"text":"\\udfff He go to home every day."}'),
        ("/v1/corrections", b'{"text":"\xed\xa0\x80 He go."}'),
        ("/v1/corrections", '{"text":"He go."}'.encode("utf-16")),
        ("/v1/examples", b'[{"\\ud800":1}]'),
        ("/v1/feedback", b'{"correction_id":"c","rating":1,"comment":"\\u0000"}'),
        ("/v1/examples", b"[" * 400),
        ("/v1/examples", b'[{"before":' + b"9" * 5_000 + b"}]"),
    ],
)
def test_what_is_no_text_or_no_json_is_the_clients_error(gateway: Running, path: str, body: bytes) -> None:
    assert code(send(gateway, path, body))[0] == 400


def test_whole_pairs_and_written_backslashes_are_texts(gateway: Running) -> None:
    for text in (r'{"text":"A \ud83d\ude00 face."}', r'{"text":"The path is C:\\u0000 or \\ud800."}'):
        assert send(gateway, "/v1/corrections", text.encode()).status_code == 200


def raw(running: Running, head: str) -> socket.socket:
    link = socket.create_connection(("127.0.0.1", int(running.url.rsplit(":", 1)[1])), timeout=20)
    link.sendall(head.replace("\n", "\r\n").encode())
    return link


def test_a_body_declared_too_large_is_refused_unread_and_a_stall_ends(gateway: Running) -> None:
    head = "POST /v1/corrections HTTP/1.1\nHost: 127.0.0.1\nContent-Type: application/json\nContent-Length: {}\n\n"
    with raw(gateway, head.format(5_000_000)) as link:
        assert b" 413 " in link.recv(200).split(b"\r\n", 1)[0]
    with raw(gateway, head.format(100)) as link:
        assert b" 408 " in link.recv(200).split(b"\r\n", 1)[0]


def test_a_client_with_too_many_requests_at_once_is_told_so(gateway: Running, engine: FakeEngine) -> None:
    engine.hang = 1.5
    try:
        with ThreadPoolExecutor(8) as pool:
            texts = [json.dumps({"text": f"It are number {n}."}).encode() for n in range(8)]
            answers = list(pool.map(lambda body: send(gateway, "/v1/corrections", body), texts))
    finally:
        engine.hang = 0.0
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) == 5 and all(answer.headers["retry-after"] for answer in refused)
    assert send(gateway, "/v1/corrections", b'{"text":"It are."}').status_code == 200


def test_an_answer_that_takes_too_long_ends(tmp_path: Any, engine: FakeEngine) -> None:
    engine.hang = 20
    try:
        with running_gateway(tmp_path, engine, Options(poll_seconds=0.05, request_seconds=1.0)) as running:
            running.release("a")
            running.until(lambda said: said["engine"])
            started = time.monotonic()
            answer = send(running, "/v1/corrections", b'{"text":"It are."}')
            assert answer.status_code == 503 and time.monotonic() - started < 10
    finally:
        engine.hang = 0.0


def test_without_a_key_no_page_answers_and_no_body_is_read(tmp_path: Any, engine: FakeEngine) -> None:
    keys = tmp_path / "keys.json"
    new_key(keys, "ann")
    options = Options(poll_seconds=0.05, keys_file=keys, wrong_keys_per_minute=90)
    with running_gateway(tmp_path / "home", engine, options) as running:
        for path in ("/metrics", "/docs", "/openapi.json", "/v1/models", "/nothing"):
            assert httpx.get(f"{running.url}{path}", trust_env=False).status_code == 401, path
        head = "POST /v1/corrections HTTP/1.1\nHost: 127.0.0.1\nContent-Length: 3900000\n\n"
        with raw(running, head) as link:
            assert b" 401 " in link.recv(200).split(b"\r\n", 1)[0]
        shown = [
            httpx.get(f"{running.url}/v1/models", headers={"Authorization": f"Bearer {n}"}, trust_env=False).status_code
            for n in range(30)
        ]
        assert shown[-1] == 429


def test_a_client_that_stops_reading_is_cut_off() -> None:
    ended = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(2_000):
            await send({"type": "http.response.body", "body": b"x" * 50_000, "more_body": True})
        ended.set()

    port = free_port()
    server = make_server(app, "127.0.0.1", port, patience=0.5, log_level="error", lifespan="off")
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        for said in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HT"):
            with socket.create_connection(("127.0.0.1", port), timeout=20) as link:
                link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                link.sendall(said)
                deadline = time.monotonic() + 10
                while not server.server_state.connections:
                    assert time.monotonic() < deadline
                    time.sleep(0.005)
                while server.server_state.connections:
                    assert time.monotonic() < deadline, "the connection is still held"
                    time.sleep(0.05)
        assert ended.wait(10)  # whoever made the answer was let go
    finally:
        server.should_exit = True
        thread.join(10)
