"""The house style over HTTP: what the file says holds from the next answer on, and a request can add to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from correctly_tests.serving_fakes import Running, fake_engine, running_gateway

BEFORE, AFTER = "She like the color of teh book.", "She likes the color of the book."


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with fake_engine() as engine, running_gateway(tmp_path_factory.mktemp("style"), engine) as running:
        # The model is shown "teh" only where it is kept.
        engine.default = {BEFORE: AFTER, BEFORE.replace("teh", "the"): AFTER}
        running.serves(running.release("aaaaaaaaaaaa"))
        yield running


def after(gateway: Running, **body: Any) -> str:
    answer = gateway.post("/v1/corrections", {"text": BEFORE, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()["corrections"][0]["after"]


def test_the_file_holds_at_once_and_a_request_adds_to_it(gateway: Running) -> None:
    path = gateway.home / "house-style.yaml"
    assert after(gateway) == AFTER
    path.write_text("variety: en-GB\nkeep: [teh]\n")
    assert after(gateway) == "She likes the colour of teh book."
    assert after(gateway, style={"variety": "en-US"}) == "She likes the color of teh book."
    assert after(gateway, style={"leave": ["VERB:SVA"]}) == "She like the colour of teh book."
    chat = gateway.chat(BEFORE, model="correctly-text", style={"terms": {"color": "hue"}})
    assert chat.json()["choices"][0]["message"]["content"] == "She likes the hue of teh book."
    path.unlink()
    assert after(gateway) == AFTER
    assert after(gateway, style=None) == AFTER


@pytest.mark.parametrize("style", [{"variety": "en-XX"}, {"word": ["a"]}, {"leave": ["NONSENSE"]}])
def test_a_style_that_cannot_be_is_a_400_that_says_so(gateway: Running, style: dict[str, Any]) -> None:
    answer = gateway.post("/v1/corrections", {"text": BEFORE, "style": style})
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "bad_style"
