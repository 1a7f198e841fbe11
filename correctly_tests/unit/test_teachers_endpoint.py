"""The prompted teacher against a real HTTP server on loopback that misbehaves."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from correctly_assets.core.errors import PermanentError, RefusedError, RetryableError, UsageError
from correctly_assets.core.teaching import ChatRequest, Recording
from correctly_assets.core.types import Example, Reason
from correctly_assets.teachers.budget import Budget, Price
from correctly_assets.teachers.endpoint import Endpoint, retry_after
from correctly_assets.teachers.factory import make_teacher
from correctly_assets.teachers.journal import Journal
from correctly_assets.teachers.recorded import record, recording_path

PROMPTS = Path(__file__).resolve().parents[2] / "prompts"
GOOD = {
    "pairs": [
        {
            "before": "He go to the work by bus every morning.",
            "after": "He goes to work by bus every morning.",
            "edits": [
                {"was": "go", "now": "goes", "reason": '"He" takes the singular verb "goes".'},
                {"was": "the", "now": "", "reason": '"Work" takes no article here.'},
            ],
        }
    ]
}
EXAMPLES = [
    Example(
        f"e{i}",
        f"I am agree with plan {word}.",
        f"I agree with plan {word}.",
        (Reason("am", "", '"Agree" is a verb.'),),
        form="email",
        tone="polite",
        topic="plans",
    )
    for i, word in enumerate(("one", "two", "three", "four"))
]

Reply = Callable[[BaseHTTPRequestHandler, dict[str, Any]], None]


def completion(content: str, model: str = "toy", finish: str = "stop") -> dict[str, Any]:
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content}}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150},
    }


def answer(handler: BaseHTTPRequestHandler, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(data)))
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(data)


def good(handler: BaseHTTPRequestHandler, _: dict[str, Any]) -> None:
    answer(handler, 200, completion(json.dumps(GOOD)))


def busy(handler: BaseHTTPRequestHandler, _: dict[str, Any]) -> None:
    answer(handler, 429, {"error": {"message": "slow down"}}, {"Retry-After": "0.3"})


def broken(handler: BaseHTTPRequestHandler, _: dict[str, Any]) -> None:
    answer(handler, 500, {"error": {"message": "oops"}})


def hang(handler: BaseHTTPRequestHandler, _: dict[str, Any]) -> None:
    time.sleep(1.5)
    handler.close_connection = True


def cut(handler: BaseHTTPRequestHandler, _: dict[str, Any]) -> None:
    data = json.dumps(completion(json.dumps(GOOD))).encode()
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data[:40])
    handler.wfile.flush()
    handler.close_connection = True


def no_json(handler: BaseHTTPRequestHandler, _: dict[str, Any]) -> None:
    answer(handler, 200, b'{"choices": [')


class Server:
    """Answers with ``script`` in turn, then with ``otherwise``; keeps what it was sent."""

    def __init__(self) -> None:
        self.script: list[Reply] = []
        self.otherwise: Reply = good
        self.requests: list[dict[str, Any]] = []
        self.times: list[float] = []
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer._lock:
                    outer.requests.append(body)
                    outer.times.append(time.monotonic())
                    reply = outer.script.pop(0) if outer.script else outer.otherwise
                try:
                    reply(self, body)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                return

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def teacher(server: Server, tmp_path: Path, **more: Any):
    options: dict[str, Any] = {
        "batch": 1,
        "concurrency": 2,
        "attempts": 3,
        "backoff_seconds": 0.02,
        "timeout_seconds": 0.6,
    }
    return make_teacher(
        "openai",
        prompts_dir=PROMPTS,
        model="toy",
        base_url=server.url,
        api_key="k",
        journal_dir=tmp_path / "journal",
        **{**options, **more},
    )


def test_a_pair_comes_back_with_its_edits_reasons_and_the_model_that_wrote_it(server: Server, tmp_path: Path) -> None:
    output = teacher(server, tmp_path).write_pairs(EXAMPLES, count=1, seed=1)
    written = output.pairs[0]
    assert written.teacher == "toy" and written.pair.origin == "teacher"
    assert written.pair.example_id in {e.id for e in EXAMPLES}
    assert {e.now: e.reason for e in written.pair.edits}["goes"] == '"He" takes the singular verb "goes".'
    prompt = server.requests[0]["messages"][0]["content"]
    assert "Form of text: email" in prompt and "polite (respect)" in prompt and "I am agree" in prompt
    assert "{form_form}" not in prompt and "{example_example}" not in prompt
    assert server.requests[0]["response_format"]["type"] == "json_schema"


def test_a_request_turned_away_waits_as_long_as_the_server_asks(server: Server, tmp_path: Path) -> None:
    server.script = [busy]
    output = teacher(server, tmp_path).write_pairs(EXAMPLES, count=1, seed=1)
    assert len(output.pairs) == 1
    assert server.times[1] - server.times[0] >= 0.3


@pytest.mark.parametrize("fault", [broken, hang, cut, no_json], ids=["500", "hang", "cut stream", "no JSON"])
def test_a_fault_is_tried_again_and_nothing_is_lost(server: Server, tmp_path: Path, fault: Reply) -> None:
    server.script = [fault]
    output = teacher(server, tmp_path).write_pairs(EXAMPLES, count=1, seed=1)
    assert len(output.pairs) == 1 and len(server.requests) == 2


@pytest.mark.parametrize("fault", [busy, broken, hang, cut], ids=["429", "500", "hang", "cut stream"])
def test_a_server_that_never_answers_ends_in_one_retryable_sentence(
    server: Server, tmp_path: Path, fault: Reply
) -> None:
    server.otherwise = fault
    with pytest.raises(RetryableError, match="did not answer in 3 attempts"):
        teacher(server, tmp_path).write_pairs(EXAMPLES, count=1, seed=1)
    assert len(server.requests) == 3


def test_a_wait_beyond_reason_is_said_and_not_sat_out(server: Server, tmp_path: Path) -> None:
    server.otherwise = lambda handler, _: answer(handler, 429, {"error": {}}, {"Retry-After": "7200"})
    started = time.monotonic()
    with pytest.raises(RetryableError, match="asks to wait 7200 s"):
        teacher(server, tmp_path).write_pairs(EXAMPLES, count=1, seed=1)
    assert time.monotonic() - started < 5


def test_what_was_answered_is_kept_when_other_requests_fail(server: Server, tmp_path: Path) -> None:
    server.script = [good]
    server.otherwise = broken
    output = teacher(server, tmp_path, concurrency=1).write_pairs(EXAMPLES, count=3, seed=1)
    assert len(output.pairs) == 1
    assert [r.rung for r in output.refused] == ["endpoint", "endpoint"]


def test_a_refused_key_stops_at_once_with_the_remedy(server: Server, tmp_path: Path) -> None:
    server.otherwise = lambda handler, _: answer(handler, 401, {"error": {"message": "bad key"}})
    with pytest.raises(PermanentError, match="CORRECTLY_TEACHER_API_KEY"):
        teacher(server, tmp_path, concurrency=1).write_pairs(EXAMPLES, count=4, seed=1)
    assert len(server.requests) == 1


def test_a_server_without_structured_output_is_asked_differently(server: Server, tmp_path: Path) -> None:
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
def test_an_answer_of_the_wrong_shape_is_refused_with_words_and_not_paid_for_twice(
    server: Server, tmp_path: Path, content: str, finish: str, words: str
) -> None:
    server.otherwise = lambda handler, _: answer(handler, 200, completion(content, finish=finish))
    for _ in range(2):
        output = teacher(server, tmp_path).write_pairs(EXAMPLES, count=1, seed=1)
        assert not output.pairs and output.refused[0].rung == "schema" and words in output.refused[0].reason
    assert len(server.requests) == 1


def test_a_correction_that_changes_the_meaning_falls_from_the_ladder(server: Server, tmp_path: Path) -> None:
    changed = {"pairs": [{**GOOD["pairs"][0], "after": "He never goes to work by bus in the morning."}]}
    server.otherwise = lambda handler, _: answer(handler, 200, completion(json.dumps(changed)))
    output = teacher(server, tmp_path).write_pairs(EXAMPLES, count=1, seed=1)
    assert not output.pairs and output.refused[0].rung == "negation"


def test_the_same_call_again_sends_nothing_and_costs_nothing(server: Server, tmp_path: Path) -> None:
    prices = {"toy": {"prompt": 1000.0, "completion": 1000.0}}
    first = teacher(server, tmp_path, prices=prices).write_pairs(EXAMPLES, count=3, seed=1)
    again = teacher(server, tmp_path, prices=prices).write_pairs(EXAMPLES, count=3, seed=1)
    assert len(server.requests) == 3 == first.requests
    assert first.cost_usd == pytest.approx(3 * 150 * 1000 / 1e6)
    assert again.requests == 0 and again.cost_usd == 0
    assert [w.pair.id for w in again.pairs] == [w.pair.id for w in first.pairs]


def test_the_budget_stops_before_it_is_exceeded_also_across_runs(server: Server, tmp_path: Path) -> None:
    prices = {"toy": {"prompt": 100.0, "completion": 1000.0}}  # at most ~0.4 USD a request, 0.06 in truth
    for _ in range(2):
        output = teacher(server, tmp_path, prices=prices, budget_usd=0.55, concurrency=1).write_pairs(
            EXAMPLES, count=30, seed=1
        )
        assert output.refused[-1].rung == "budget" and "USD" in output.refused[-1].reason
    spent = 0.06 * len(server.requests)
    assert len(server.requests) >= 1 and spent <= 0.55


def test_a_budget_without_a_known_price_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="No price is known"):
        make_teacher(
            "openai",
            prompts_dir=PROMPTS,
            model="mystery",
            base_url="https://llm.example/v1",
            journal_dir=tmp_path,
            budget_usd=1.0,
        )


def test_a_prompt_over_the_token_limit_is_not_sent(server: Server, tmp_path: Path) -> None:
    long = Example("long", "word " * 900, "words " * 900, form="email", tone="polite")
    output = teacher(server, tmp_path, prompt_token_limit=900).write_pairs([long, EXAMPLES[0]], count=2, seed=1)
    assert len(server.requests) == 1
    assert [r.rung for r in output.refused] == ["prompt"] and "over the limit of 900" in output.refused[0].reason


def test_a_request_lost_on_the_way_counts_against_the_budget_and_a_refused_one_does_not(
    server: Server, tmp_path: Path
) -> None:
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


def test_a_killed_run_resumes_without_paying_twice(server: Server, tmp_path: Path) -> None:
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
        "from correctly_assets.teachers.factory import make_teacher\n"
        "examples = [Example(f'e{i}', f'I am agree with plan {w}.', f'I agree with plan {w}.', form='email', tone='polite',"
        " topic='plans') for i, w in enumerate(('one', 'two', 'three', 'four'))]\n"
        f"teacher = make_teacher('openai', prompts_dir=pathlib.Path({str(PROMPTS)!r}), model='toy', base_url={server.url!r},"
        f" api_key='k', journal_dir=pathlib.Path({str(tmp_path / 'journal')!r}), batch=1, concurrency=1)\n"
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
    assert len(prompts) == 7 and len(set(prompts)) == 6  # only the one that was under way is sent again


def test_an_example_that_waits_is_completed_and_a_changed_figure_is_refused(server: Server, tmp_path: Path) -> None:
    def complete(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        text = body["messages"][0]["content"].rsplit("The text:\n", 1)[1]
        after = text.replace("I has", "I have").replace("25", "26")
        edits = [{"was": "has", "now": "have", "reason": '"I" takes "have".'}]
        answer(handler, 200, completion(json.dumps({"after": after, "edits": edits})))

    server.otherwise = complete
    waiting = [Example("w1", "I has a question.", None), Example("w2", "I has 25 questions for you.", None)]
    done, refused = teacher(server, tmp_path).complete_examples([*EXAMPLES, *waiting])
    assert done == {"w1": ("I have a question.", ('"I" takes "have".',))}
    assert [r.rung for r in refused] == ["numbers"]


def test_retry_after_is_read_as_seconds_or_as_a_date() -> None:
    assert retry_after({"retry-after": "2.5"}) == 2.5
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, now=1445412470.0) == pytest.approx(10)
    assert retry_after({"retry-after": "soon"}) is None and retry_after({}) is None


def test_a_recording_replays_without_a_server_and_names_the_model_that_answered(server: Server, tmp_path: Path) -> None:
    live = teacher(server, tmp_path)
    expected = live.write_pairs(EXAMPLES, count=3, seed=1)
    from correctly_assets.teachers.asking import Templates, ask_for_pairs

    asked = ask_for_pairs(Templates.load(PROMPTS), EXAMPLES, model="toy", count=3, batch=1, seed=1, language="en")
    endpoint = Endpoint(
        base_url=server.url,
        model="toy",
        api_key="k",
        journal=Journal(tmp_path / "journal"),
        budget=Budget(None, Price(1.0, 1.0), "toy"),
    )
    path = recording_path(tmp_path, "toy")
    made = asyncio.run(record(endpoint, [a.request for a in asked], path, kind="teacher"))
    assert made.model == "toy" and made.header["entries"] == 3 and made.header["recorded_at"]
    server.close()
    replay = make_teacher("recorded", prompts_dir=PROMPTS, model="toy", recordings_dir=tmp_path, batch=1)
    output = replay.write_pairs(EXAMPLES, count=3, seed=1)
    assert [w.pair.id for w in output.pairs] == [w.pair.id for w in expected.pairs] and output.cost_usd == 0
    with pytest.raises(PermanentError, match="is not recorded; run `correctly record --model toy"):
        replay.write_pairs(EXAMPLES, count=3, seed=2)


def test_nothing_is_recorded_under_a_name_that_the_endpoint_did_not_report(server: Server, tmp_path: Path) -> None:
    endpoint = Endpoint(
        base_url=server.url,
        model="gpt-4o-mini",
        api_key="k",
        journal=Journal(tmp_path / "journal"),
        budget=Budget(None, Price(1.0, 1.0), "gpt-4o-mini"),
    )
    path = recording_path(tmp_path, "gpt-4o-mini")
    with pytest.raises(RefusedError, match="answered as 'toy', not as 'gpt-4o-mini'"):
        asyncio.run(record(endpoint, [ChatRequest("gpt-4o-mini", (("user", "hi"),), 5)], path, kind="comparator"))
    assert not path.exists()


def test_a_recording_that_was_changed_or_is_missing_is_refused(server: Server, tmp_path: Path) -> None:
    endpoint = Endpoint(
        base_url=server.url,
        model="toy",
        api_key="k",
        journal=Journal(tmp_path / "journal"),
        budget=Budget(None, None, "toy"),
    )
    path = recording_path(tmp_path, "toy")
    asyncio.run(record(endpoint, [ChatRequest("toy", (("user", "hi"),), 5)], path, kind="comparator"))
    assert Recording.load(path).sha256
    path.write_text(path.read_text().replace("He go to", "He went to"))
    with pytest.raises(PermanentError, match="was changed after it was made"):
        Recording.load(path)
    with pytest.raises(PermanentError, match="gpt-4o-mini is not recorded; run `correctly record"):
        make_teacher("recorded", prompts_dir=PROMPTS, model="gpt-4o-mini", recordings_dir=tmp_path)


def test_an_unknown_teacher_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="choose embedded, openai or recorded"):
        make_teacher("oracle", prompts_dir=PROMPTS)
