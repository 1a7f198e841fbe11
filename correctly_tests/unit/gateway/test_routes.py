"""Corrections, feedback, examples, keys, limits, and what can be seen of the gateway."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from correctly_assets.core.errors import RetryableError, UnreachableError
from correctly_assets.core.host_check import is_loopback
from correctly_assets.gateway.access import RateLimit, TooManyRequestsError, new_key
from correctly_assets.gateway.metrics import JsonLines
from correctly_assets.gateway.options import Options
from correctly_assets.settings import Settings
from correctly_tests.serving_fakes import Running, fake_engine, running_gateway

BEFORE, AFTER = "She go to school with Tom.", "She goes to school with Tom."


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with fake_engine() as engine, running_gateway(tmp_path_factory.mktemp("routes"), engine) as running:
        engine.default = {
            BEFORE: AFTER,
            "Write me at jo.doe@example.com if you has time.": "Write me at jo.doe@example.com if you have time.",
        }
        engine.reasons = "The subject she needs goes."
        running.serves(running.release("a"))
        yield running


def get(running: Running, path: str) -> httpx.Response:
    return httpx.get(f"{running.url}{path}", trust_env=False)


def corrected(running: Running, text: str = BEFORE, **body: Any) -> dict[str, Any]:
    answer = running.post("/v1/corrections", {"text": text} | body)
    assert answer.status_code == 200, answer.text
    return answer.json()["corrections"][0]


def journalled(running: Running, correction_id: str) -> Any:
    deadline = time.monotonic() + 30
    while (entry := running.store.correction(correction_id)) is None:
        assert time.monotonic() < deadline, "the answer was not journalled"
        time.sleep(0.02)
    return entry


def test_a_correction_has_the_contracts_shape_and_edits_yield_its_after(gateway: Running) -> None:
    done = corrected(gateway)
    assert set(done) >= {"id", "before", "after", "changed", "release", "adapter", "edits", "fallback"}
    assert (done["before"], done["after"], done["changed"], done["release"]) == (BEFORE, AFTER, True, "r0001")
    [edit] = done["edits"]
    assert set(edit) >= {"start", "end", "was", "now", "type", "reason", "reason_origin"}
    assert BEFORE[: edit["start"]] + edit["now"] + BEFORE[edit["end"] :] == AFTER
    assert edit["reason_origin"] in ("model", "rule")


def test_many_texts_come_back_in_order_and_reasons_can_be_left_out(gateway: Running) -> None:
    texts = [f"It is number {n}." for n in range(40)]
    answer = gateway.post("/v1/corrections", {"text": texts, "reasons": False})
    assert [c["before"] for c in answer.json()["corrections"]] == texts
    assert corrected(gateway, reasons=False)["edits"][0]["reason"] is None


def test_reasons_come_in_the_language_of_the_request(gateway: Running) -> None:
    edit = corrected(gateway, reason_language="ko")["edits"][0]
    assert any("가" <= c <= "힣" for c in edit["reason"])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"text": 5}, 400),
        ({"text": "a", "reason_language": "fr"}, 400),
        ({"text": "x" * 60_001}, 413),
        ({"text": ["a"] * 257}, 413),
    ],
)
def test_input_that_cannot_be_corrected_is_one_sentence(gateway: Running, body: dict[str, Any], status: int) -> None:
    answer = gateway.post("/v1/corrections", body)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"].endswith(".")


def test_a_body_that_is_no_json_or_too_large_is_refused(gateway: Running) -> None:
    headers = {"content-type": "application/json"}
    bad = httpx.post(f"{gateway.url}/v1/corrections", content=b"{", headers=headers, trust_env=False)
    assert bad.status_code == 400
    large = json.dumps({"text": "x" * 5_000_000})
    answer = httpx.post(f"{gateway.url}/v1/corrections", content=large, headers=headers, trust_env=False)
    assert answer.status_code == 413


def test_a_sentence_of_too_many_numbers_for_the_engine_falls_back_alone(gateway: Running) -> None:
    numbers = " ".join(f"{number}" for number in range(100_123, 100_123 + 137 * 150, 137))
    text = f"They has measured {numbers} at the end."
    assert len(text) < 1200
    for texts in ([text, BEFORE], [f"{text} {BEFORE}"]):
        answer = gateway.post("/v1/corrections", {"text": texts})
        assert answer.status_code == 200, answer.text
        found = answer.json()["corrections"]
        assert found[0]["fallback"] == "length" and text in found[0]["after"]
        assert found[-1]["after"].endswith(AFTER)
    with gateway.stream({"model": "correctly", "messages": [{"role": "user", "content": f"{text} {BEFORE}"}]}) as said:
        assert not any('"error"' in line for line in said.iter_lines())


def test_every_answer_is_journalled_scrubbed_with_its_release_and_edits(gateway: Running) -> None:
    done = corrected(gateway, "Write me at jo.doe@example.com if you has time.")
    entry = journalled(gateway, done["id"])
    assert "jo.doe@example.com" in done["after"]
    assert "example.com" not in entry.before + entry.after
    assert (entry.release, entry.adapter) == ("r0001", "a")
    assert [(e.was, e.now) for e in entry.edits] == [("has", "have")]
    assert entry.before[entry.edits[0].start : entry.edits[0].end] == "has"
    assert entry.seconds > 0
    assert entry.tokens > 0


def test_feedback_is_on_disk_at_202_and_a_second_vote_replaces_the_first(gateway: Running) -> None:
    done = corrected(gateway)
    body = {"correction_id": done["id"], "rating": -1, "better": "She goes to Tom's school.", "comment": "mail a@b.com"}
    answer = gateway.post("/v1/feedback", body)
    assert answer.status_code == 202
    [kept] = [f for f in gateway.store.pending_feedback() if f.correction_id == done["id"]]
    assert answer.json() == {"feedback_id": kept.id}
    assert (kept.rating, kept.better) == (-1, "She goes to Tom's school.")
    assert "a@b.com" not in (kept.comment or "")
    again = gateway.post(
        "/v1/feedback", {"correction_id": done["id"], "rating": 1, "edits": [{"index": 0, "accepted": True}]}
    )
    assert again.json()["feedback_id"] == kept.id
    [kept] = [f for f in gateway.store.pending_feedback() if f.correction_id == done["id"]]
    assert (kept.rating, [dict(e) for e in kept.edits]) == (1, [{"index": 0, "accepted": True}])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"correction_id": "c_nobody", "rating": 1}, 404),
        ({"correction_id": "c_nobody", "rating": 0}, 400),
        ({"rating": 1}, 400),
    ],
)
def test_feedback_on_nothing_is_refused(gateway: Running, body: dict[str, Any], status: int) -> None:
    assert gateway.post("/v1/feedback", body).status_code == status


def test_feedback_that_the_store_cannot_take_is_not_acknowledged(tmp_path: Path) -> None:
    class Away:
        def correction(self, prefix: str) -> None:
            raise UnreachableError("The database is away.")

        def journal_correction(self, *_: Any, **__: Any) -> None:
            raise UnreachableError("The database is away.")

    with fake_engine() as engine, running_gateway(tmp_path, engine, journal=Away()) as running:
        answer = running.post("/v1/feedback", {"correction_id": "x", "rating": 1})
        assert answer.status_code == 503
        assert answer.headers["retry-after"]


def test_examples_land_through_the_guards_with_the_counts_of_add(gateway: Running) -> None:
    rows = [
        {"before": "He have two cat.", "after": "He has two cats."},
        {"before": "He have two cat.", "after": "He has two cats."},
        {"before": "They is late again."},
        {"after": "no before"},
    ]
    answer = gateway.post("/v1/examples", rows)
    assert answer.status_code == 200
    counts = answer.json()
    assert {k: counts[k] for k in ("landed", "duplicates", "refused", "waiting")} == {
        "landed": 2, "duplicates": 1, "refused": 1, "waiting": 1,
    }  # fmt: skip
    assert gateway.store.counts().landed == 2
    assert gateway.post("/v1/examples", rows[0]).json()["duplicates"] == 1
    assert gateway.post("/v1/examples", {"rows": []}).status_code == 400


def test_health_metrics_and_the_openapi_page_are_there_without_a_network(gateway: Running) -> None:
    corrected(gateway)
    assert get(gateway, "/healthz").status_code == 200
    metrics = get(gateway, "/metrics").text
    assert 'correctly_answers_total{changed="true",release="r0001"}' in metrics
    assert 'correctly_tokens_total{kind="completion",release="r0001"}' in metrics
    assert 'correctly_release{adapter="a",release="r0001"} 1.0' in metrics
    page = get(gateway, "/docs").text
    assert "http://" not in page
    assert "https://" not in page
    assert "/v1/feedback" in get(gateway, "/openapi.json").json()["paths"]


def test_the_engines_own_routes_cannot_be_reached_through_the_gateway(gateway: Running) -> None:
    for path in ("/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/v1/completions", "/invocations", "/adapters"):
        answer = gateway.post(path, {})
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "http_404"


def test_a_request_id_is_answered_and_a_clients_own_is_kept(gateway: Running) -> None:
    assert len(get(gateway, "/healthz").headers["x-request-id"]) == 32
    shown = httpx.get(f"{gateway.url}/healthz", headers={"x-request-id": "abc-1"}, trust_env=False)
    assert shown.headers["x-request-id"] == "abc-1"


def test_no_log_line_holds_anybodys_text(gateway: Running, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="correctly_assets"):
        gateway.chat("A very secret sentence about Zanzibar.")
        gateway.post("/v1/corrections", {"text": ["Zanzibar again."]})
        gateway.post("/v1/feedback", {"correction_id": "Zanzibar", "rating": 1})
        gateway.post("/v1/corrections", {"text": {"Zanzibar": 1}})
    lines = [JsonLines().format(record) for record in caplog.records]
    assert any('"event": "request"' in line for line in lines)
    assert not any("Zanzibar" in line for line in lines)


def test_keys_are_asked_for_once_there_are_any_and_only_hashes_are_kept(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    with (
        fake_engine() as engine,
        running_gateway(tmp_path / "home", engine, Options(poll_seconds=0.05, keys_file=keys)) as running,
    ):
        running.serves(running.release("a"))
        assert running.chat(BEFORE).status_code == 200
        key = new_key(keys, "webui", "ko")
        assert key not in keys.read_text()
        assert running.chat(BEFORE).status_code == 401
        assert running.chat(BEFORE, headers={"Authorization": "Bearer wrong"}).status_code == 401
        answer = running.chat("It is fine.", headers={"Authorization": f"Bearer {key}"})
        assert "없습니다" in answer.text  # the client's language
        assert get(running, "/healthz").status_code == 200
        new_key(keys, "webui")
        assert running.chat(BEFORE, headers={"Authorization": f"Bearer {key}"}).status_code == 401


def test_a_client_beyond_its_rate_waits_and_others_do_not(tmp_path: Path) -> None:
    limit = RateLimit(60)
    for _ in range(10):
        limit.take("a", now=0.0)
    with pytest.raises(TooManyRequestsError) as refused:
        limit.take("a", now=0.0)
    assert refused.value.retry_after == 1
    limit.take("b", now=0.0)
    limit.take("a", now=1.1)
    with fake_engine() as engine, running_gateway(tmp_path, engine, Options(rate_per_minute=6)) as running:
        answers = [running.post("/v1/corrections", {"text": "a"}).status_code for _ in range(3)]
        assert answers[-1] == 429
        last = running.post("/v1/corrections", {"text": "a"})
        assert last.json()["error"]["code"] == "rate_limit_exceeded"
        assert int(last.headers["retry-after"]) >= 1


def test_a_limit_stands_by_default_beyond_loopback_only() -> None:
    assert Options.of(Settings().changed(platform={"host": "127.0.0.1"})).rate_per_minute == 0
    assert Options.of(Settings().changed(platform={"host": "0.0.0.0"})).rate_per_minute > 0
    assert is_loopback("localhost")
    assert not is_loopback("gateway")


def test_a_gateway_that_cannot_open_its_rooms_listens_and_says_why(tmp_path: Path) -> None:
    from fastapi.testclient import TestClient

    from correctly_assets.gateway.app import create_app

    def parts() -> Any:
        raise RetryableError("The database is away.")

    with TestClient(
        create_app(Settings().changed(platform={"home": tmp_path}), parts=parts), base_url="http://localhost"
    ) as client:
        deadline = time.monotonic() + 30
        while "database" not in client.get("/readyz").json()["says"]:
            assert time.monotonic() < deadline
        assert client.get("/healthz").status_code == 200
        assert client.post("/v1/corrections", json={"text": "a"}).status_code == 503
