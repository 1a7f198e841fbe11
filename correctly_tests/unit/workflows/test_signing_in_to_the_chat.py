"""Signing in to Open WebUI: once a process, and anew where the chat takes its word back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from correctly_assets.settings import get_settings
from correctly_assets.workflows.openwebui_account import signed_in
from correctly_tests.loopback import Loopback, answer


class Chat(Loopback):
    """A server on loopback that signs in, and takes the tokens that it gave until told otherwise."""

    def __init__(self) -> None:
        self.given, self.taken = 0, set[str]()
        super().__init__()

    def handle(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        if handler.path == "/api/v1/auths/signin":
            assert json.loads(body).keys() == {"email", "password"}
            self.given += 1
            self.taken.add(f"Bearer t{self.given}")
            return answer(handler, 200, {"token": f"t{self.given}"})
        return answer(handler, 200 if handler.headers.get("Authorization") in self.taken else 401, {})


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Iterator[Chat]:
    made = Chat()
    monkeypatch.setenv("CORRECTLY_WEBUI_PORT", str(made.port))
    yield made
    made.close()


def ask(chat: Chat) -> int:
    """How often it had been signed in to, once it has answered a question."""
    with signed_in(get_settings().platform) as client:
        assert client.get("/api/v1/chats/").status_code == 200
    return chat.given


def test_the_chat_is_signed_in_to_once_until_it_takes_the_token_no_more(chat: Chat):
    assert [ask(chat), ask(chat), ask(chat)] == [1, 1, 1]
    chat.taken.clear()
    assert [ask(chat), ask(chat)] == [2, 2]
