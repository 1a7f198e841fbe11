"""What the gateway counts per release, and the language and form of what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from correctly_tests.serving_fakes import Running, fake_engine, running_gateway

BEFORE, AFTER = "She go to school with Tom.", "She goes to school with Tom."
RUN_ON = "He like tea."


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with fake_engine() as engine, running_gateway(tmp_path_factory.mktemp("figures") / "home", engine) as running:
        engine.default = {BEFORE: AFTER, RUN_ON: "He likes tea. " * 30}
        engine.reasons = "<ins>goes</ins> because | of <b>she</b>."
        running.serves(running.release("a"))
        yield running


def figure(running: Running, name: str, *labels: str) -> float:
    """A metric's value, by parts of its labels; 0 where it was not counted yet."""
    for line in httpx.get(f"{running.url}/metrics", trust_env=False).text.splitlines():
        if re.match(rf"{name}\{{", line) and all(label in line for label in labels):
            return float(line.rsplit(" ", 1)[1])
    return 0.0


def test_latency_tokens_edits_fallbacks_and_votes_are_counted_by_release(gateway: Running) -> None:
    release = 'release="r0001"'
    changed = gateway.post("/v1/corrections", {"text": BEFORE}).json()["corrections"][0]
    gateway.post("/v1/corrections", {"text": "It is fine."})
    refused = gateway.post("/v1/corrections", {"text": RUN_ON}).json()["corrections"][0]
    assert refused["fallback"] in ("loop", "length") and refused["after"] == RUN_ON
    gateway.post("/v1/feedback", {"correction_id": changed["id"], "rating": -1})
    gateway.chat(BEFORE)
    gateway.until(lambda said: not said["journal_pending"])
    assert figure(gateway, "correctly_answers_total", release, 'changed="true"') == 2
    assert figure(gateway, "correctly_answers_total", release, 'changed="false"') == 2
    assert figure(gateway, "correctly_answer_seconds_count", release) == 4
    assert figure(gateway, "correctly_first_piece_seconds_count", release) == 1
    assert figure(gateway, "correctly_tokens_total", release, 'kind="prompt"') > 0
    assert figure(gateway, "correctly_edits_total", release, "reason=") >= 1
    assert figure(gateway, "correctly_fallbacks_total", release, f'kind="{refused["fallback"]}"') == 1
    assert figure(gateway, "correctly_votes_total", release, 'rating="-1"') == 1


def test_a_header_sets_the_language_of_reasons_and_a_request_overrides_it(gateway: Running) -> None:
    korean = {"X-Correctly-Reason-Language": "ko"}
    assert "없습니다" in gateway.chat("It is fine.", headers=korean).text
    assert "nothing to change" in gateway.chat("It is fine.", headers=korean, reason_language="en").text


def test_no_markup_but_markdown_is_in_an_answer_whatever_the_model_says(gateway: Running) -> None:
    content = gateway.chat(BEFORE).json()["choices"][0]["message"]["content"]
    assert not re.search(r"<(ins|del|details|b)\b", content)
    assert all(line.replace("\\|", "").count("|") == 4 for line in content.splitlines() if line.startswith("|"))


def test_a_chat_that_is_too_long_is_refused_in_a_sentence_streamed_or_not(gateway: Running) -> None:
    for stream in (False, True):
        answer = gateway.chat("He go. " * 10_000, stream=stream)
        assert answer.status_code == 413 and answer.json()["error"]["message"].endswith("at once.")
