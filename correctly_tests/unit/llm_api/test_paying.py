"""What a prompted teacher pays for: little of what it asked before, and never more than its budget."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from correctly_assets.core.hashing import sha256_of
from correctly_assets.core.types import Example
from correctly_assets.llm_api.answer_journal import Journal
from correctly_assets.teachers.prompted.prompt_requests import Templates, ask_for_pairs
from correctly_tests.teaching_fakes import EXAMPLES, PROMPTS, ChatServer, answer, completion, teacher

pytestmark = pytest.mark.slow
MANY = [
    Example(hashlib.sha256(str(n).encode()).hexdigest()[:16], f"I am agree with {n} plans.", f"I agree with {n} plans.")
    for n in range(301)
]
# The last one lands last and is shown first, which moves all the others by one place.
MANY.sort(key=lambda example: sha256_of([1, example.id]), reverse=True)
BOUND = 0.03
"""The most of what is asked that an example more among 300 may change."""


@pytest.fixture
def server() -> Iterator[ChatServer]:
    made = ChatServer()
    made.otherwise = each_its_own
    yield made
    made.close()


def each_its_own(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    """Another pair for every prompt, which a second pass corrects alike, and 250 tokens for each answer."""
    prompt = body["messages"][0]["content"]
    edits = [{"was": "have", "now": "has", "reason": '"She" takes the singular verb "has".'}]
    if "The text:\n" in prompt:
        after = prompt.rsplit("The text:\n", 1)[1].replace("have lost", "has lost")
        content: dict[str, Any] = {"after": after, "edits": edits}
    else:
        word = "".join(chr(97 + int(digit, 16)) for digit in hashlib.sha256(prompt.encode()).hexdigest()[:12])
        texts = {name: f"She {verb} lost the {word} again." for name, verb in (("before", "have"), ("after", "has"))}
        content = {"pairs": [{**texts, "edits": edits}]}
    said = completion(json.dumps(content))
    said["usage"] = {"prompt_tokens": 100, "completion_tokens": 250, "total_tokens": 350}
    answer(handler, 200, said)


def test_one_more_example_among_300_asks_few_anew_and_pays_none_twice(server: ChatServer, tmp_path: Path) -> None:
    options: dict[str, Any] = {"round_trip": True, "batch": 6, "concurrency": 8, "timeout_seconds": 30}
    options["prices"] = {"toy": {"prompt": 0.0, "completion": 1000.0}}
    first = teacher(server, tmp_path, **options).write_pairs(MANY[:300], count=600, seed=1)
    asked = len(server.requests)
    assert first.requests == asked == 200 and len(first.pairs) == 100
    for more in (MANY, MANY[:299]):  # one more, and then one less
        before = len(server.requests)
        again = teacher(server, tmp_path, **options).write_pairs(more, count=600, seed=1)
        anew = len(server.requests) - before
        assert again.requests == anew <= BOUND * asked
        assert again.cost_usd == pytest.approx(anew * 0.25)
        kept = {one.pair.id for one in first.pairs} & {one.pair.id for one in again.pairs}
        assert len(kept) >= 100 * (1 - 2 * BOUND)
    counts = Journal(tmp_path / "journal").counts()
    assert counts["sent"] == counts["sends"] == counts["answered"] == len(server.requests)


@pytest.mark.parametrize("count", [500, 1800, 4001])
def test_one_more_example_changes_few_requests_though_examples_repeat(count: int) -> None:
    def keys(examples: list[Example]) -> set[str]:
        how: dict[str, Any] = {"model": "toy", "count": count, "batch": 6, "seed": 1, "language": "en"}
        return {one.request.key for one in ask_for_pairs(Templates.load(PROMPTS), examples, **how)}

    few = keys(MANY[:300])
    assert len(few) == -(-count // 6)
    assert all(len(keys(more) - few) <= BOUND * len(few) for more in (MANY, MANY[:299], MANY[1:300]))


def test_the_second_pass_and_the_first_share_one_budget(server: ChatServer, tmp_path: Path) -> None:
    prices = {"toy": {"prompt": 100.0, "completion": 1000.0}}  # 0.26 USD an answer, at most some 0.37
    options: dict[str, Any] = {
        "prices": prices,
        "budget_usd": 0.45,
        "round_trip": True,
        "concurrency": 1,
        "timeout_seconds": 30,
    }
    for _ in range(2):  # a run again has spent it already
        output = teacher(server, tmp_path, **options).write_pairs(EXAMPLES, count=3, seed=1)
        assert len(server.requests) == 1 and not output.pairs
        assert {refusal.rung for refusal in output.refused} == {"budget"}


def test_completing_and_writing_count_against_one_budget_each_request_once(server: ChatServer, tmp_path: Path) -> None:
    prices = {"toy": {"prompt": 100.0, "completion": 1000.0}}
    waiting = [Example("w1", "She have lost the key.", None)]
    made = teacher(server, tmp_path, prices=prices, budget_usd=0.95, concurrency=1, timeout_seconds=30)
    completions = made.complete_examples([*EXAMPLES, *waiting])
    assert completions.done["w1"].after == "She has lost the key." and len(server.requests) == 1
    assert len(made.write_pairs(EXAMPLES, count=9, seed=1).pairs) == 2 and len(server.requests) == 3
    # Asked again, the same requests are not counted again: 0.78 are spent as before, and a fourth might cost 0.37.
    made.complete_examples([*EXAMPLES, *waiting])
    assert len(made.write_pairs(EXAMPLES, count=9, seed=1).pairs) == 2 and len(server.requests) == 3
