"""The judge is asked in both orders, believed only where they agree, and measured against people."""

from __future__ import annotations

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from correctly_assets.artifacts.reports import JudgeSection
from correctly_assets.core.errors import PermanentError, RetryableError, UsageError
from correctly_assets.core.evaluation import Comparison
from correctly_assets.evaluation.judge.pairwise import (
    EndpointJudge,
    RecordedJudge,
    both_orders,
    calibrate,
    cohen_kappa,
    judge_all,
    read_comparisons,
    summarise,
    verdict_in,
)
from correctly_assets.evaluation.report.judge_section import about_the_judge
from correctly_assets.llm_api.judge_client import JudgeEndpoint

PROMPT = (Path(__file__).resolve().parents[3] / "prompts" / "judge.txt").read_text(encoding="utf-8")


class Longer:
    """Prefers the longer text; ``biased`` always takes the first."""

    def __init__(self, biased: bool = False) -> None:
        self.name = "longer"
        self.biased = biased
        self.asked = 0

    async def prefer(self, source, first, second):
        self.asked += 1
        if self.biased:
            return "first"
        return "tie" if len(first) == len(second) else "first" if len(first) > len(second) else "second"


def run(coroutine):
    return asyncio.run(coroutine)


def test_outcomes_are_ours_theirs_or_tied_and_equal_texts_are_not_asked():
    judge = Longer()
    found = run(
        judge_all(judge, ["s"] * 4, ["longer text", "x", "ab", "same  text"], ["short", "longer", "cd", "same text"])
    )
    assert found == [1, -1, 0, 0]
    assert judge.asked == 6


def test_a_judge_that_favours_a_position_only_ties():
    assert run(both_orders(Longer(biased=True), "s", "a", "b")) == "tie"


def test_the_summary_has_counts_and_an_interval_around_the_net():
    found = summarise("j", {"champion": [1] * 60 + [0] * 20 + [-1] * 20, "untouched": []})
    champion = found["against"]["champion"]
    assert (champion["win"], champion["tie"], champion["loss"]) == (60, 20, 20)
    assert champion["net"]["point"] == pytest.approx(40)
    assert 20 < champion["net"]["low"] < 40 < champion["net"]["high"] < 60
    assert found["against"]["untouched"]["net"]["point"] == 0


def test_kappa_is_known_for_known_tables():
    assert cohen_kappa(["a", "b"] * 5, ["a", "b"] * 5) == 1
    assert cohen_kappa(["a"] * 5 + ["b"] * 5, ["a", "b"] * 5) == pytest.approx(0, abs=0.25)
    table = ["y"] * 25 + ["n"] * 25, ["y"] * 20 + ["n"] * 5 + ["y"] * 10 + ["n"] * 15
    assert cohen_kappa(*table) == pytest.approx(0.4)


def test_calibration_tells_agreement_and_how_often_the_order_decides():
    pairs = [
        Comparison("s", "longer", "x", "first"),
        Comparison("s", "x", "longer", "first"),
        Comparison("s", "a", "b", None),
    ]
    found = run(calibrate(Longer(), pairs))
    assert (found["n"], found["agreement"], found["flips"]) == (2, 50, 0)
    assert run(calibrate(Longer(biased=True), pairs))["flips"] == 100
    with pytest.raises(UsageError, match="no labelled pairs"):
        run(calibrate(Longer(), pairs[2:]))


def test_verdicts_are_recorded_once_and_serve_without_the_judge(tmp_path):
    file = tmp_path / "verdicts.jsonl"
    live = Longer()
    first = RecordedJudge(file, "longer", live)
    assert run(first.prefer("s", "long", "x")) == "first"
    assert run(first.prefer("s", "long", "x")) == "first"
    assert live.asked == 1
    file.write_text(file.read_text() + '{"judge": "lon')  # torn by a crash
    alone = RecordedJudge(file, "longer")
    assert run(alone.prefer("s", "long", "x")) == "first"
    with pytest.raises(PermanentError, match="not recorded"):
        run(alone.prefer("s", "y", "x"))
    with pytest.raises(PermanentError, match="not recorded"):
        run(RecordedJudge(file, "another").prefer("s", "long", "x"))
    with pytest.raises(PermanentError, match="under the name"):
        RecordedJudge(file, "gpt", live)


def test_labelled_pairs_are_read_or_refused_by_line(tmp_path):
    path = tmp_path / "labels.jsonl"
    path.write_text('{"source": "s", "first": "a", "second": "b", "label": "tie"}\n\n')
    assert read_comparisons(path) == [Comparison("s", "a", "b", "tie")]
    path.write_text('{"source": "s", "first": "a", "second": "b", "label": "maybe"}\n')
    with pytest.raises(UsageError, match="line 1"):
        read_comparisons(path)


@pytest.mark.parametrize(
    ("said", "verdict"), [("A", "first"), (" B.", "second"), ("**T**", "tie"), ("Answer: B", "second")]
)
def test_a_letter_is_found_in_what_a_judge_says(said, verdict):
    assert verdict_in(said) == verdict


class Undecided(Longer):
    """Says nothing that can be read where the source asks for it."""

    async def prefer(self, source, first, second):
        verdict = await super().prefer(source, first, second)
        return None if "hard" in source and first == "a" else verdict


def test_words_without_a_verdict_are_unanswered_and_no_tie():
    assert verdict_in("Both are lovely") is None
    outcomes = run(judge_all(Undecided(), ["s", "hard", "s"], ["long", "a", "x"], ["x", "b", "long"]))
    assert outcomes == [1, None, -1]
    found = summarise("j", {"base": outcomes})["against"]["base"]
    assert (found["n"], found["win"], found["tie"], found["loss"], found["unanswered"]) == (2, 1, 0, 1, 1)
    section = JudgeSection.model_validate({"name": "j", "against": {"base": found}, "calibration": None})
    assert "against base, 2 sentences: 1 won, 0 tied, 1 lost" in about_the_judge(section)
    assert "(1 more got no verdict that could be read)" in about_the_judge(section)


def test_a_judge_is_measured_by_its_readable_verdicts_or_refused():
    pairs = [Comparison("s", "longer", "x", "first"), Comparison("hard", "a", "b", "tie")]
    found = run(calibrate(Undecided(), pairs))
    assert (found["n"], found["unanswered"], found["agreement"]) == (1, 1, 100)
    with pytest.raises(PermanentError, match="no verdict on any pair"):
        run(calibrate(Undecided(), pairs[1:]))


def test_a_verdict_that_cannot_be_read_is_kept_and_not_asked_for_again(tmp_path):
    file = tmp_path / "verdicts.jsonl"
    live = Undecided()
    live.name = "longer"
    assert run(RecordedJudge(file, "longer", live).prefer("hard", "a", "b")) is None
    assert run(RecordedJudge(file, "longer", live).prefer("hard", "a", "b")) is None
    assert live.asked == 1
    assert run(RecordedJudge(file, "longer").prefer("hard", "a", "b")) is None


class Handler(BaseHTTPRequestHandler):
    replies: ClassVar[list[tuple[int, object]]] = []
    seen: ClassVar[list[dict]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append({"path": self.path, "key": self.headers.get("Authorization"), **body})
        status, value = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint():
    Handler.seen = []
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def says(content: str) -> dict:
    return {"choices": [{"message": {"content": content}}]}


def test_an_endpoint_is_asked_with_the_prompt_and_again_while_it_is_busy(endpoint):
    Handler.replies = [(503, {}), (429, {}), (200, says("B"))]
    judge = EndpointJudge(JudgeEndpoint(endpoint, "m1", api_key="k", patience=0.01), PROMPT)
    assert run(judge.prefer("He go {first}.", "He goes.", "He went.")) == "second"
    asked = Handler.seen[-1]
    assert (asked["path"], asked["key"], asked["model"], asked["temperature"]) == (
        "/v1/chat/completions",
        "Bearer k",
        "m1",
        0,
    )
    text = asked["messages"][0]["content"]
    assert "Sentence: He go {first}.\nA: He goes.\nB: He went." in text


def test_an_endpoint_that_is_away_is_tried_later_and_one_that_refuses_not(endpoint):
    Handler.replies = [(500, {})]
    with pytest.raises(RetryableError, match="status 500"):
        run(EndpointJudge(JudgeEndpoint(endpoint, "m1", attempts=2, patience=0.01), PROMPT).prefer("s", "a", "b"))
    Handler.replies = [(401, {})]
    with pytest.raises(PermanentError, match="401"):
        run(EndpointJudge(JudgeEndpoint(endpoint, "m1", patience=0.01), PROMPT).prefer("s", "a", "b"))
    Handler.replies = [(200, {"odd": 1})]
    with pytest.raises(PermanentError, match="no shape"):
        run(EndpointJudge(JudgeEndpoint(endpoint, "m1"), PROMPT).prefer("s", "a", "b"))
