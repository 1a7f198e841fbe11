"""The Batch API against a real HTTP server on loopback: what is sent, what a kill leaves, what is asked again."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from correctly_assets.core.errors import PermanentError, RetryableError
from correctly_assets.core.types import Example
from correctly_assets.llm_api import batches
from correctly_tests.batch_fakes import BatchServer, answered, expired, status
from correctly_tests.fault_table import Row
from correctly_tests.loopback import answer
from correctly_tests.teaching_fakes import EXAMPLES, PROMPTS, teacher

pytestmark = pytest.mark.slow
PRICES = {"toy": {"prompt": 1000.0, "completion": 1000.0}}
PLAIN = [Example(e.id, e.before, e.after, form=e.form, tone=e.tone, topic=e.topic) for e in EXAMPLES]


@pytest.fixture
def server() -> Iterator[BatchServer]:
    made = BatchServer()
    yield made
    made.close()


def write(server: BatchServer, tmp_path: Path, count: int = 6, **more: Any):
    options = {"batch_at": 4, "batch_poll_seconds": 0.02, "prices": PRICES, **more}
    return teacher(server, tmp_path, **options).write_pairs(PLAIN, count=count, seed=1)  # pyright: ignore[reportArgumentType]


def asked_in(server: BatchServer, number: int) -> set[str]:
    return {line["custom_id"] for line in server.sent(number)}


def asked_twice(server: BatchServer) -> int:
    """How many requests stand in more than one batch, or were sent in a batch and directly."""
    bodies = [
        json.dumps(line["body"], sort_keys=True)
        for number in range(len(server.batches))
        for line in server.sent(number)
    ]
    bodies += [json.dumps(body, sort_keys=True) for body in server.direct]
    return len(bodies) - len(set(bodies))


def turned(code: int, headers: dict[str, str] | None = None):
    def reply(handler: BaseHTTPRequestHandler) -> None:
        answer(handler, code, {"error": {"message": "not now"}}, headers)

    return reply


def cut(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "500")
    handler.end_headers()
    handler.wfile.write(b'{"id"')
    handler.wfile.flush()
    handler.close_connection = True


def test_a_large_job_is_one_batch_keyed_by_content_at_the_batch_price(server: BatchServer, tmp_path: Path) -> None:
    server.looks = 3
    output = write(server, tmp_path, batch_price_share=0.5)
    assert len(server.batches) == 1 and not server.direct
    lines = server.sent(0)
    assert len(lines) == 6 == output.requests
    assert {(line["method"], line["url"]) for line in lines} == {("POST", "/v1/chat/completions")}
    assert all(line["body"]["response_format"]["type"] == "json_schema" for line in lines)
    assert output.cost_usd == pytest.approx(0.5 * 6 * 150 * 1000 / 1e6)
    assert output.pairs[0].teacher == "toy"
    with closing(sqlite3.connect(tmp_path / "journal" / "journal.sqlite")) as journal:
        keys = {row[0] for row in journal.execute("SELECT key FROM request WHERE answer IS NOT NULL")}
    assert keys == asked_in(server, 0)
    again = write(server, tmp_path)
    assert again.requests == 0 and again.cost_usd == 0 and len(server.batches) == 1


def test_a_small_job_goes_directly(server: BatchServer, tmp_path: Path) -> None:
    output = write(server, tmp_path, count=3)
    assert len(server.direct) == 3 == output.requests and not server.batches


def child(server: BatchServer, tmp_path: Path, seen: str) -> None:
    """A run in a process of its own, killed as soon as the server has been asked for ``seen``."""
    program = (
        "import sys, pathlib\n"
        "from correctly_assets.core.types import Example\n"
        "from correctly_tests.teaching_fakes import teacher_of\n"
        "examples = [Example(f'e{i}', f'I am agree with plan {w}.', f'I agree with plan {w}.', form='email', tone='polite',"
        " topic='plans') for i, w in enumerate(('one', 'two', 'three', 'four'))]\n"
        f"teacher = teacher_of({server.url!r}, pathlib.Path({str(tmp_path / 'journal')!r}), batch_at=4,"
        f" batch_poll_seconds=0.05, prices={PRICES!r}, timeout_seconds=60)\n"
        "teacher.write_pairs(examples, count=6, seed=1)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=PROMPTS.parent)
    deadline = time.monotonic() + 60
    while seen not in server.calls and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert seen in server.calls


@pytest.mark.fault(
    fault="kill -9 while a batch of paid requests is waited for",
    stage="teacher",
    expected="the next run goes on with the same batch",
)
def test_a_run_killed_while_it_waits_goes_on_with_the_same_batch(
    server: BatchServer, tmp_path: Path, observed: Row
) -> None:
    server.looks = 10**9
    child(server, tmp_path, "GET /batches/ID")
    server.looks = 1
    # Also when the setting was taken away meanwhile.
    output = write(server, tmp_path, count=7, batch_at=None, budget_usd=5.0)
    paid = asked_twice(server)
    observed(f"{len(server.batches)} batch was made, {len(server.direct)} new request was sent", paid_twice=paid)
    # The batch's six were reserved at 4.48 USD; what they did cost leaves room for the seventh.
    assert len(server.batches) == 1 and len(server.direct) == 1
    assert output.requests == 7 and output.cost_usd == pytest.approx(7 * 150 * 1000 / 1e6)


@pytest.mark.fault(
    fault="kill -9 after a batch was made, before its number came",
    stage="teacher",
    expected="the next run finds that batch by its name",
)
def test_a_run_killed_before_it_heard_of_its_batch_finds_it_by_our_name(
    server: BatchServer, tmp_path: Path, observed: Row
) -> None:
    made: list[str] = []

    def make_and_hang(handler: BaseHTTPRequestHandler) -> None:
        made.append("batch")
        server.make(
            {
                "endpoint": "/v1/chat/completions", "completion_window": "24h", "input_file_id": "file-1",
                "metadata": {"correctly_job": journal_job(tmp_path)},
            }
        )  # fmt: skip
        time.sleep(30)

    server.faults["POST /batches"] = [make_and_hang]
    child(server, tmp_path, "POST /batches")
    deadline = time.monotonic() + 10
    while not server.batches and time.monotonic() < deadline:
        time.sleep(0.02)
    output = write(server, tmp_path)
    observed(f"{len(server.batches)} batch was made, for {output.requests} requests", paid_twice=asked_twice(server))
    assert made == ["batch"] and len(server.batches) == 1 and not server.direct and output.requests == 6


def journal_job(tmp_path: Path) -> str:
    with closing(sqlite3.connect(tmp_path / "journal" / "journal.sqlite")) as journal:
        return journal.execute("SELECT job FROM batch").fetchone()[0]


def test_one_request_that_fails_inside_the_batch_is_asked_again_alone(server: BatchServer, tmp_path: Path) -> None:
    server.each = {2: status(500, "oops")}
    output = write(server, tmp_path)
    assert len(server.batches) == 1 and len(server.direct) == 1
    assert output.requests == 6 and not [r for r in output.refused if r.rung == "endpoint"]
    assert output.cost_usd == pytest.approx(6 * 150 * 1000 / 1e6)


def test_one_request_refused_for_good_costs_nothing_and_stops_no_other(server: BatchServer, tmp_path: Path) -> None:
    server.each = {0: status(400, "this content is not allowed")}
    output = write(server, tmp_path)
    assert len(server.batches) == 1 and not server.direct and output.requests == 5
    endpoint = [r.reason for r in output.refused if r.rung == "endpoint"]
    assert len(endpoint) == 1 and "this content is not allowed" in endpoint[0]
    assert output.cost_usd == pytest.approx(5 * 150 * 1000 / 1e6)


def test_what_an_expired_batch_left_is_sent_again_and_only_that(server: BatchServer, tmp_path: Path) -> None:
    server.ends = ["expired"]
    server.each = dict.fromkeys(range(1, 6), expired)
    output = write(server, tmp_path)
    assert len(server.batches) == 2 and not server.direct and output.requests == 6
    assert asked_in(server, 1) < asked_in(server, 0) and len(asked_in(server, 1)) == 5


def test_batches_that_answer_nothing_are_given_up_request_by_request(server: BatchServer, tmp_path: Path) -> None:
    server.each, server.otherwise = {0: answered}, status(500, "oops")
    output = write(server, tmp_path)
    assert output.requests == 1 and len(server.batches) == 4 and not server.direct
    [reason] = {r.reason for r in output.refused if r.rung == "endpoint"}
    assert "left 5 requests unanswered in 3 rounds" in reason


def test_a_job_over_the_most_that_a_batch_takes_goes_as_several(
    server: BatchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "MOST_REQUESTS", 4)
    assert write(server, tmp_path / "count").requests == 6
    assert [len(server.sent(number)) for number in range(2)] == [4, 2] and not server.direct
    monkeypatch.setattr(batches, "MOST_BYTES", 1)
    assert write(server, tmp_path / "size").requests == 6
    assert [len(server.sent(number)) for number in range(2, 8)] == [1] * 6 and len(server.batches) == 8


def test_a_cancelled_batch_is_not_made_again_unasked(server: BatchServer, tmp_path: Path) -> None:
    server.ends = ["cancelled"]
    server.each = dict.fromkeys(range(2, 6), expired)
    output = write(server, tmp_path)
    assert len(server.batches) == 1 and not server.direct and output.requests == 2
    left = [r.reason for r in output.refused if r.rung == "endpoint"]
    assert len(left) == 4 and "was cancelled at the endpoint; run again" in left[0]
    assert write(server, tmp_path).requests == 4
    assert asked_in(server, 1) < asked_in(server, 0)


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        ("token_limit_exceeded", RetryableError, "no room for the batch now"),
        ("invalid_json_line", PermanentError, "refuses the batch: line 3"),
    ],
)
def test_a_file_that_is_refused_as_a_whole_says_so_and_costs_nothing(
    server: BatchServer, tmp_path: Path, code: str, error: type[Exception], words: str
) -> None:
    server.ends, server.whole_errors = ["failed"], [{"code": code, "message": "line 3"}]
    with pytest.raises(error, match=words):
        write(server, tmp_path)
    assert write(server, tmp_path, budget_usd=5.0).requests == 6


def test_a_batch_waits_as_long_as_the_server_asks(server: BatchServer, tmp_path: Path) -> None:
    server.faults = {"POST /files": [turned(429, {"Retry-After": "0.4"})], "GET /batches/ID": [turned(500)]}
    assert write(server, tmp_path).requests == 6
    first, second = (server.times[n] for n, call in enumerate(server.calls) if call == "POST /files")
    assert second - first >= 0.4 and len(server.batches) == 1


def test_results_cut_on_the_way_are_fetched_again_and_not_paid_again(server: BatchServer, tmp_path: Path) -> None:
    server.faults = {"GET /files/ID/content": [cut]}
    assert write(server, tmp_path).requests == 6
    assert len(server.batches) == 1 and not server.direct


def test_a_refused_key_stops_the_batch_with_the_remedy_and_nothing_counts(server: BatchServer, tmp_path: Path) -> None:
    server.faults = {"POST /files": [turned(401)]}
    with pytest.raises(PermanentError, match="CORRECTLY_TEACHER_API_KEY"):
        write(server, tmp_path)
    assert write(server, tmp_path, budget_usd=5.0).requests == 6


def test_an_endpoint_without_a_batch_api_says_which_setting_to_take_back(server: BatchServer, tmp_path: Path) -> None:
    server.faults = {"GET /batches": [turned(404)]}
    with pytest.raises(PermanentError, match="unset CORRECTLY_TEACHER_BATCH_AT"):
        write(server, tmp_path)


def test_the_budget_is_kept_at_the_batch_price_and_used_to_its_end(server: BatchServer, tmp_path: Path) -> None:
    # At most 0.75 USD a request directly and half of it in a batch; 0.15 and 0.075 in truth.
    output = write(server, tmp_path / "half", count=12, batch_price_share=0.5, budget_usd=2.5)
    assert len(asked_in(server, 0)) == 6
    # What the first batch left of the budget pays for more, again in a batch, and then directly.
    assert len(asked_in(server, 1)) == 5 and len(server.direct) == 1 and output.requests == 12
    assert output.cost_usd == pytest.approx(11 * 0.075 + 0.15)
    full = write(server, tmp_path / "full", count=12, budget_usd=2.5)
    assert len(server.batches) == 2 and full.refused[-1].rung == "budget" and full.cost_usd <= 2.5
    with pytest.raises(PermanentError, match=r"The budget of 0\.10 USD is reached"):
        write(server, tmp_path / "tight", count=12, batch_price_share=0.5, budget_usd=0.1)


def test_settings_of_money_and_batches_reach_teacher_and_run_limit(
    server: BatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    import yaml

    from correctly_assets.platform.dagster_instance import write_instance
    from correctly_assets.settings import get_settings
    from correctly_assets.workflows.make_teacher import make_platform_teacher

    for name, value in {
        "TEACHER": "openai",
        "TEACHER_MODEL": "toy",
        "TEACHER_BASE_URL": server.url,
        "TEACHER_PRICES": '{"toy": {"prompt": 1000, "completion": 1000}}',
        "TEACHER_BUDGET_USD": "3",
        "TEACHER_BATCH_AT": "2",
        "TEACHER_BATCH_PRICE_SHARE": "0.5",
        "TEACHER_BATCH_POLL_SECONDS": "0.02",
    }.items():
        monkeypatch.setenv(f"CORRECTLY_{name}", value)
    settings = get_settings()
    settings.platform.home.mkdir(parents=True)
    output = make_platform_teacher(settings).write_pairs(PLAIN, count=12, seed=1)
    # The second pass of its one pair is no job of two, and costs the direct price.
    assert len(server.batches) == 1 and output.cost_usd == pytest.approx(2 * 0.075 + 0.15)
    config = yaml.safe_load((write_instance(settings) / "dagster.yaml").read_text())
    assert config["run_monitoring"]["max_runtime_seconds"] > 24 * 3600
