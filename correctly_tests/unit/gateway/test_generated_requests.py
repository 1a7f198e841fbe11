"""Requests made from the page of the API, fitting and unfitting it: what a client sends wrong is never the gateway's failure.

Schemathesis makes them: examples, boundaries of every field, chance, and chains such as upload, read, delete.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from correctly_assets.gateway.options import Options
from correctly_tests.dagster_fakes import FakeDagster
from correctly_tests.serving_fakes import Running, fake_engine, running_gateway

PAIR = b'{"messages":[{"role":"user","content":"He have."},{"role":"assistant","content":"He has."}]}'


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    dagster, home = FakeDagster(), tmp_path_factory.mktemp("generated")
    try:
        with (
            fake_engine() as engine,
            running_gateway(home, engine, Options(poll_seconds=0.05), dagster=dagster.address) as running,
        ):
            running.serves(running.release("a"))
            yield running
    finally:
        dagster.close()


def schemathesis(gateway: Running, folder: Path, *words: str) -> tuple[int, str]:
    """Runs `st run`, in a folder of its own, against a gateway: (exit code, what it printed)."""
    argv = [sys.executable, "-m", "schemathesis.cli", "run", f"{gateway.url}/openapi.json", "--no-color"]
    argv += ["--checks", "not_a_server_error", "--continue-on-failure", "--warnings", "off"]
    argv += ["--request-timeout", "60", *words]
    env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_no_generated_request_is_answered_by_a_server_error(gateway: Running, tmp_path: Path) -> None:
    words = ("--max-examples", "8", "--generation-deterministic", "--phases", "coverage,fuzzing")
    code, said = schemathesis(gateway, tmp_path, *words)
    assert code == 0 and "23 passed" in said, said


@pytest.mark.full
def test_no_request_of_thousands_is_answered_by_a_server_error(gateway: Running, tmp_path: Path) -> None:
    code, said = schemathesis(gateway, tmp_path, "--max-examples", "300", "--generation-database", "none")
    assert code == 0, said


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/responses", b'{"input":"He go.","metadata":{"a":NaN}}'),
        ("/v1/responses", b'{"input":"He go.","instructions":[1e999]}'),
        ("/v1/responses", b'{"input":"He go.","instructions":' + b"9" * 310 + b".0}"),
        ("/v1/chat/completions", b'{"messages":[{"role":"user","content":"He go."}],"temperature":-Infinity}'),
    ],
)
def test_a_number_that_json_cannot_say_is_refused_and_not_sent_back(gateway: Running, path: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = httpx.post(f"{gateway.url}{path}", content=body, headers=headers, trust_env=False, timeout=60)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_number")


def test_a_text_that_speaks_of_infinity_is_read_like_any_other(gateway: Running) -> None:
    assert gateway.chat("To Infinity and beyond: 1e999 is NaN, or so he say.").status_code == 200
    assert gateway.post("/v1/responses", {"input": "He go.", "metadata": {"a": 1e300}}).status_code == 200


@pytest.mark.parametrize("depth", [100, 300, 967, 5000])
def test_what_is_nested_too_deep_is_refused_and_not_sent_back(gateway: Running, depth: int) -> None:
    body = b'{"input":"He go.","instructions":' + b"[" * depth + b"]" * depth + b"}"
    headers = {"Content-Type": "application/json"}
    answer = httpx.post(f"{gateway.url}/v1/responses", content=body, headers=headers, trust_env=False, timeout=60)
    assert answer.status_code == (200 if depth == 100 else 400)


def test_parts_of_a_message_whose_type_is_none_are_left_out(gateway: Running) -> None:
    parts = [{"type": {}, "text": "a"}, {"type": [], "text": "b"}, {"type": "text", "text": "He go home."}]
    chat = {"messages": [{"role": "user", "content": parts}], "format": "text"}
    answer = gateway.post("/v1/chat/completions", chat)
    assert answer.status_code == 200 and answer.json()["choices"][0]["message"]["content"] == "He go home."


@pytest.mark.parametrize("supervised", ["abc", [1], {"hyperparameters": [1]}, {"hyperparameters": "n_epochs"}])
def test_a_training_method_of_another_shape_is_the_clients_error(gateway: Running, supervised: Any) -> None:
    url = f"{gateway.url}/v1/files"
    sent = httpx.post(url, files={"file": ("a.jsonl", PAIR)}, data={"purpose": "fine-tune"}, trust_env=False)
    job = {"model": "correctly", "training_file": sent.json()["id"], "method": {"supervised": supervised}}
    answer = gateway.post("/v1/fine_tuning/jobs", job)
    assert answer.status_code == 400 and answer.json()["error"]["param"].startswith("method.supervised")


@pytest.mark.parametrize("charset", ["raw_unicode_escape", "punycode", "undefined"])
def test_a_form_in_an_encoding_that_writes_no_text_is_refused(gateway: Running, charset: str) -> None:
    def field(name: str, value: bytes) -> bytes:
        return f'--x\r\nContent-Disposition: form-data; name="{name}"'.encode() + value + b"\r\n"

    check = field("language", b"\r\n\r\nauto") + field("text", b"\r\n\r\n" + rb"\ud800 He go.")
    upload = field("purpose", b"\r\n\r\nfine-tune") + field("file", rb'; filename="\ud800.jsonl"' + b"\r\n\r\n" + PAIR)
    headers = {"Content-Type": f"multipart/form-data; boundary=x; charset={charset}"}
    for path, form in (("/v2/check", check), ("/v1/files", upload)):
        answer = httpx.post(f"{gateway.url}{path}", content=form + b"--x--\r\n", headers=headers, trust_env=False)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_text")
