"""The prompted teacher against a real HTTP server on loopback that misbehaves."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from correctly_assets.core.errors import PermanentError, RetryableError
from correctly_assets.core.types import Example, Reason
from correctly_assets.llm_api.answer_journal import Journal
from correctly_assets.llm_api.budget import Budget, Price
from correctly_assets.llm_api.endpoint import Endpoint, retry_after
from correctly_assets.llm_api.requests import ChatRequest
from correctly_assets.teachers.prompted.exemplars import Cell
from correctly_tests.fault_table import Row
from correctly_tests.teaching_fakes import (
    EXAMPLES,
    GOOD,
    PROMPTS,
    ChatServer,
    Reply,
    answer,
    broken,
    busy,
    completion,
    cut,
    good,
    hang,
    no_json,
    teacher,
    teacher_of,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def server() -> Iterator[ChatServer]:
    made = ChatServer()
    yield made
    made.close()


def test_a_pair_comes_back_with_edits_reasons_and_the_model_that_wrote_it(server: ChatServer, tmp_path: Path) -> None:
    output = teacher(server, tmp_path).write_pairs(EXAMPLES, count=1, seed=1)
    written = output.pairs[0]
    assert written.teacher == "toy" and written.pair.origin == "teacher"
    assert written.pair.example_id in {e.id for e in EXAMPLES}
    assert {e.now: e.reason for e in written.pair.edits}["goes"] == '"He" takes the singular verb "goes".'
    prompt = server.requests[0]["messages"][0]["content"]
    assert "Form of text: email" in prompt and "polite (respect)" in prompt and "I am agree" in prompt
    assert "{form_form}" not in prompt and "{example_example}" not in prompt
    assert server.requests[0]["response_format"]["type"] == "json_schema"


def test_a_request_turned_away_waits_as_long_as_the_server_asks(server: ChatServer, tmp_path: Path) -> None:
    server.script = [busy]
    output = teacher(server, tmp_path).write_pairs(EXAMPLES, count=1, seed=1)
    assert len(output.pairs) == 1
    assert server.times[1] - server.times[0] >= 0.3


@pytest.mark.parametrize("fault", [broken, hang, cut, no_json], ids=["500", "hang", "cut stream", "no JSON"])
def test_a_fault_is_tried_again_and_nothing_is_lost(server: ChatServer, tmp_path: Path, fault: Reply) -> None:
    server.script = [fault]
    output = teacher(server, tmp_path).write_pairs(EXAMPLES, count=1, seed=1)
    assert len(output.pairs) == 1 and len(server.requests) == 2


@pytest.mark.parametrize("fault", [busy, broken, hang, cut], ids=["429", "500", "hang", "cut stream"])
def test_a_server_that_never_answers_ends_in_one_retryable_sentence(
    server: ChatServer, tmp_path: Path, fault: Reply
) -> None:
    server.otherwise = fault
    with pytest.raises(RetryableError, match="did not answer in 3 attempts"):
        teacher(server, tmp_path).write_pairs(EXAMPLES, count=1, seed=1)
    assert len(server.requests) == 3


def test_a_wait_beyond_reason_is_said_and_not_sat_out(server: ChatServer, tmp_path: Path) -> None:
    server.otherwise = lambda handler, _: answer(handler, 429, {"error": {}}, {"Retry-After": "7200"})
    started = time.monotonic()
    with pytest.raises(RetryableError, match="asks to wait 7200 s"):
        teacher(server, tmp_path).write_pairs(EXAMPLES, count=1, seed=1)
    assert time.monotonic() - started < 5


def test_what_was_answered_is_kept_when_other_requests_fail(server: ChatServer, tmp_path: Path) -> None:
    server.script = [good]
    server.otherwise = broken
    output = teacher(server, tmp_path, concurrency=1).write_pairs(EXAMPLES, count=3, seed=1)
    assert len(output.pairs) == 1
    assert [r.rung for r in output.refused] == ["endpoint", "endpoint"]


def test_a_refused_key_stops_at_once_with_the_remedy(server: ChatServer, tmp_path: Path) -> None:
    server.otherwise = lambda handler, _: answer(handler, 401, {"error": {"message": "bad key"}})
    with pytest.raises(PermanentError, match="CORRECTLY_TEACHER_API_KEY"):
        teacher(server, tmp_path, concurrency=1).write_pairs(EXAMPLES, count=4, seed=1)
    assert len(server.requests) == 1


def test_a_server_without_structured_output_is_asked_differently(server: ChatServer, tmp_path: Path) -> None:
    def old(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        if "response_format" in body:
            answer(handler, 400, {"error": {"message": "response_format is not supported"}})
        else:
            answer(handler, 200, completion("Sure:\n```json\n" + json.dumps(GOOD) + "\n```"))

    server.otherwise = old
    output = teacher(server, tmp_path).write_pairs(EXAMPLES, count=1, seed=1)
    assert len(output.pairs) == 1
    kinds = [(r.get("response_format") or {}).get("type") for r in server.requests]
    assert kinds == ["json_schema", "json_object", None]


@pytest.mark.parametrize(
    ("content", "finish", "words"),
    [
        ("no json at all", "stop", "no JSON object"),
        ('{"pairs": [{"before": 1}]}', "stop", "lacks before or after"),
        ('{"pairs": {}}', "stop", "no list of pairs"),
        ('{"pairs": [{"before": "He go', "length", "cut at the token limit"),
    ],
)
def test_an_answer_of_the_wrong_shape_is_refused_and_not_paid_for_twice(
    server: ChatServer, tmp_path: Path, content: str, finish: str, words: str
) -> None:
    server.otherwise = lambda handler, _: answer(handler, 200, completion(content, finish=finish))
    for _ in range(2):
        output = teacher(server, tmp_path).write_pairs(EXAMPLES, count=1, seed=1)
        assert not output.pairs and output.refused[0].rung == "schema" and words in output.refused[0].reason
    assert len(server.requests) == 1


def test_a_correction_that_changes_the_meaning_falls_from_the_ladder(server: ChatServer, tmp_path: Path) -> None:
    changed = {"pairs": [{**GOOD["pairs"][0], "after": "He never goes to work by bus in the morning."}]}
    server.otherwise = lambda handler, _: answer(handler, 200, completion(json.dumps(changed)))
    output = teacher(server, tmp_path).write_pairs(EXAMPLES, count=1, seed=1)
    assert not output.pairs and output.refused[0].rung == "negation"


def test_the_same_call_again_sends_nothing_and_costs_nothing(server: ChatServer, tmp_path: Path) -> None:
    prices = {"toy": {"prompt": 1000.0, "completion": 1000.0}}
    first = teacher(server, tmp_path, prices=prices).write_pairs(EXAMPLES, count=3, seed=1)
    again = teacher(server, tmp_path, prices=prices).write_pairs(EXAMPLES, count=3, seed=1)
    assert len(server.requests) == 3 == first.requests
    assert first.cost_usd == pytest.approx(3 * 150 * 1000 / 1e6)
    assert again.requests == 0 and again.cost_usd == 0
    assert [w.pair.id for w in again.pairs] == [w.pair.id for w in first.pairs]


def test_the_budget_stops_before_it_is_exceeded_also_across_runs(server: ChatServer, tmp_path: Path) -> None:
    prices = {"toy": {"prompt": 100.0, "completion": 1000.0}}  # at most ~0.37 USD a request, 0.06 in truth
    for _ in range(2):
        made = teacher(server, tmp_path, prices=prices, budget_usd=0.5, concurrency=1)
        output = made.write_pairs(EXAMPLES, count=30, seed=1)
        assert output.refused[-1].rung == "budget" and "USD" in output.refused[-1].reason
        assert len(server.requests) == 3  # 0.18 USD spent; a fourth might cost 0.37 more


def test_a_budget_without_a_known_price_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="No price is known"):
        teacher_of("https://llm.example/v1", tmp_path, budget_usd=1.0)


def test_a_prompt_over_the_token_limit_is_not_sent(server: ChatServer, tmp_path: Path) -> None:
    long = Example("long", "word " * 900, "words " * 900, form="email", tone="polite")
    output = teacher(server, tmp_path, prompt_token_limit=900).write_pairs([long, EXAMPLES[0]], count=2, seed=1)
    assert len(server.requests) == 1
    assert [r.rung for r in output.refused] == ["prompt"] and "over the limit of 900" in output.refused[0].reason


def test_a_lost_request_counts_in_the_budget_and_a_refused_one_does_not(server: ChatServer, tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    price = Price(1000.0, 1000.0)
    request = ChatRequest("toy", (("user", "hello"),), 100)
    for fault, counts in ((broken, False), (cut, True)):
        server.otherwise = fault
        budget = Budget(None, price, "toy")
        endpoint = Endpoint(
            base_url=server.url, model="toy", api_key="k", journal=journal, budget=budget, attempts=1, timeout_seconds=1
        )

        async def go(endpoint: Endpoint = endpoint) -> None:
            with pytest.raises(RetryableError):
                await endpoint.send(request)
            await endpoint.close()

        asyncio.run(go())
        assert (budget.spent_usd > 0) is counts
        assert (journal.spent([request.key]) > 0) is counts


@pytest.mark.fault(
    fault="kill -9 while a paid teacher is asked",
    stage="teacher",
    expected="answers that came are kept; only the one under way is sent again",
)
def test_a_killed_run_resumes_without_paying_twice(server: ChatServer, tmp_path: Path, observed: Row) -> None:
    """kill -9 in mid-generation: the answers that had arrived are in the journal, the others are asked for again."""
    slow_after = 3

    def slow(handler: BaseHTTPRequestHandler, _: dict[str, Any]) -> None:
        if len(server.requests) > slow_after:
            time.sleep(30)
        answer(handler, 200, completion(json.dumps(GOOD)))

    server.otherwise = slow
    program = (
        "import sys, pathlib\n"
        "from correctly_assets.core.types import Example, Reason\n"
        "from correctly_tests.teaching_fakes import teacher_of\n"
        "examples = [Example(f'e{i}', f'I am agree with plan {w}.', f'I agree with plan {w}.', form='email', tone='polite',"
        " topic='plans') for i, w in enumerate(('one', 'two', 'three', 'four'))]\n"
        f"teacher = teacher_of({server.url!r}, pathlib.Path({str(tmp_path / 'journal')!r}), concurrency=1, timeout_seconds=60)\n"
        "teacher.write_pairs(examples, count=6, seed=1)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program], cwd=PROMPTS.parent)
    deadline = time.monotonic() + 60
    while len(server.requests) <= slow_after and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    server.otherwise = good
    plain = [Example(e.id, e.before, e.after, form=e.form, tone=e.tone, topic=e.topic) for e in EXAMPLES]
    output = teacher(server, tmp_path, concurrency=1).write_pairs(plain, count=6, seed=1)
    assert output.requests == 6 - slow_after
    prompts = [(r["messages"][0]["content"], r["seed"]) for r in server.requests]
    # Of the one that was under way no answer had come.
    answered = prompts[:slow_after]
    again = sum(prompts[slow_after:].count(one) for one in answered)
    observed(f"{slow_after} answers before the kill, {output.requests} requests after it", paid_twice=again)
    assert len(prompts) == 7 and len(set(prompts)) == 6  # only the one that was under way is sent again


def test_a_blind_second_pass_must_agree_with_the_pair(server: ChatServer, tmp_path: Path) -> None:
    def second(after: str) -> Reply:
        def reply(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
            blind = "The text:\n" in body["messages"][0]["content"]
            if blind:
                assert GOOD["pairs"][0]["after"] not in body["messages"][0]["content"]
            content = {"after": after, "edits": []} if blind else GOOD
            answer(handler, 200, completion(json.dumps(content)))

        return reply

    server.otherwise = second("He goes to work by bus every morning.")
    agreed = teacher(server, tmp_path / "a", round_trip=True).write_pairs(EXAMPLES, count=1, seed=1)
    assert len(agreed.pairs) == 1 and agreed.requests == 2
    server.otherwise = second("He went off to the office on foot.")
    other = teacher(server, tmp_path / "b", round_trip=True).write_pairs(EXAMPLES, count=1, seed=1)
    assert not other.pairs and other.refused[0].rung == "round trip" and "on foot" in other.refused[0].reason


def test_a_waiting_example_is_completed_and_a_changed_figure_is_refused(server: ChatServer, tmp_path: Path) -> None:
    def complete(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        text = body["messages"][0]["content"].rsplit("The text:\n", 1)[1]
        after = text.replace("I has", "I have").replace("25", "26")
        edits = [{"was": "has", "now": "have", "reason": '"I" takes "have".'}]
        answer(handler, 200, completion(json.dumps({"after": after, "edits": edits})))

    server.otherwise = complete
    waiting = [Example("w1", "I has a question.", None), Example("w2", "I has 25 questions for you.", None)]
    made = teacher(server, tmp_path).complete_examples([*EXAMPLES, *waiting])
    [(id, done)] = made.done.items()
    assert (id, done.after) == ("w1", "I have a question.")
    assert done.reasons == (Reason("has", "have", '"I" takes "have".'),)
    assert [(edit.was, edit.now, edit.reason) for edit in done.edits] == [("has", "have", '"I" takes "have".')]
    assert [r.rung for r in made.refused] == ["numbers"]


def test_a_completion_must_be_found_again_by_a_blind_second_pass(server: ChatServer, tmp_path: Path) -> None:
    def complete(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        prompt = body["messages"][0]["content"]
        second = "(none)" in prompt
        text = prompt.rsplit("The text:\n", 1)[1]
        after = (
            "We never met." if second and "meeted" in text else text.replace("I has", "I have").replace("meeted", "met")
        )
        edits = [{"was": "a", "now": "b", "reason": "It is the form."}]
        answer(handler, 200, completion(json.dumps({"after": after, "edits": edits})))

    server.otherwise = complete
    waiting = [Example("w1", "I has a question.", None), Example("w2", "We all meeted her there on Monday.", None)]
    made = teacher(server, tmp_path, round_trip=True).complete_examples([*EXAMPLES, *waiting])
    assert set(made.done) == {"w1"} and len(server.requests) == 4
    [fallen] = made.refused
    assert fallen.rung == "round trip" and "We never met." in fallen.reason


def test_new_examples_for_a_cell_pass_the_round_trip_as_well(server: ChatServer, tmp_path: Path) -> None:
    def other(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        blind = "The text:\n" in body["messages"][0]["content"]
        answer(handler, 200, completion(json.dumps({"after": "He walks.", "edits": []} if blind else GOOD)))

    server.otherwise = other
    cell = Cell("email", "polite", "work", "an email", "asks politely")
    made = teacher(server, tmp_path, round_trip=True).write_examples([cell], EXAMPLES, seed=1)
    assert not made.pairs and [r.rung for r in made.refused] == ["round trip"] and made.requests == 2


def test_the_second_pass_counts_in_the_budget_and_what_it_proved_is_kept(server: ChatServer, tmp_path: Path) -> None:
    asked = []

    def reply(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        prompt = body["messages"][0]["content"]
        if "The text:\n" in prompt:
            text = prompt.rsplit("The text:\n", 1)[1]
            content = {"after": text.replace("go to the work", "goes to work"), "edits": []}
        else:
            asked.append(prompt)
            before = f"He go to the work by bus number {len(asked)} every morning."
            edits = GOOD["pairs"][0]["edits"]
            after = before.replace("go to the work", "goes to work")
            content = {"pairs": [{"before": before, "after": after, "edits": edits}]}
        answer(handler, 200, completion(json.dumps(content)))

    server.otherwise = reply
    prices = {"toy": {"prompt": 1.0, "completion": 1.0}}  # an answer of the server costs 150 millionths of a dollar
    limited = teacher(
        server, tmp_path, round_trip=True, concurrency=1, budget_usd=0.004, prices=prices, prompt_token_limit=5000
    )
    made = limited.write_pairs(EXAMPLES, count=60, seed=1)
    assert made.pairs and made.cost_usd == pytest.approx(150e-6 * made.requests)
    assert made.cost_usd <= 0.004 and made.journalled_usd == pytest.approx(made.cost_usd)
    assert "budget" in {refusal.rung for refusal in made.refused} and len(made.pairs) < 60
    again = limited.write_pairs(EXAMPLES, count=60, seed=1)
    assert again.journalled_usd >= made.journalled_usd and again.journalled_usd <= 0.004 + 1e-9


def test_retry_after_is_read_as_seconds_or_as_a_date() -> None:
    assert retry_after({"retry-after": "2.5"}) == 2.5
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, now=1445412470.0) == pytest.approx(10)
    assert retry_after({"retry-after": "soon"}) is None and retry_after({}) is None
