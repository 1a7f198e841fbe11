"""A chat endpoint on loopback that misbehaves as it is told, and the examples that teachers' tests prompt from."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from correctly_assets.core.types import Example, Reason
from correctly_assets.llm_api.answer_journal import Journal
from correctly_assets.llm_api.batches import Batched
from correctly_assets.llm_api.budget import Budget, price_of
from correctly_assets.llm_api.endpoint import Endpoint
from correctly_assets.llm_api.recordings import Replay, recording_path
from correctly_assets.llm_api.requests import ChatTransport, Recording
from correctly_assets.teachers.pair_checks import Ladder
from correctly_assets.teachers.prompted.prompted_teacher import PromptedTeacher
from correctly_tests.loopback import Loopback, answer

PROMPTS = Path(__file__).resolve().parents[1] / "prompts"
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


def is_second_pass(request: dict[str, Any]) -> bool:
    """Whether the text of the good pair is to be corrected, its correction unseen."""
    return request["messages"][0]["content"].endswith(f"The text:\n{GOOD['pairs'][0]['before']}")


def good(handler: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
    pair = GOOD["pairs"][0]
    found = {"after": pair["after"], "edits": pair["edits"]} if is_second_pass(request) else GOOD
    answer(handler, 200, completion(json.dumps(found)))


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


class ChatServer(Loopback):
    """Answers with ``script`` in turn, then with ``otherwise``; keeps what it was sent."""

    def __init__(self) -> None:
        self.script: list[Reply] = []
        self.otherwise: Reply = good
        self.requests: list[dict[str, Any]] = []
        self.times: list[float] = []
        self._lock = threading.Lock()
        super().__init__()

    def handle(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        request = json.loads(body)
        with self._lock:
            self.requests.append(request)
            self.times.append(time.monotonic())
            reply = self.script.pop(0) if self.script else self.otherwise
        reply(handler, request)


def teacher(server: ChatServer, tmp_path: Path, **more: Any) -> PromptedTeacher:
    """An openai teacher that asks ``server``, as `workflows/make_teacher.py` builds it, but impatient."""
    return teacher_of(server.url, tmp_path / "journal", **more)


def teacher_of(
    url: str,
    journal_dir: Path,
    *,
    prices: dict[str, Any] | None = None,
    budget_usd: float | None = None,
    batch_at: int | None = None,
    batch_price_share: float = 1.0,
    batch_poll_seconds: float = 30.0,
    attempts: int = 3,
    backoff_seconds: float = 0.02,
    timeout_seconds: float = 0.6,
    prompt_token_limit: int = 6000,
    batch: int = 1,
    concurrency: int = 2,
    evaluation: Iterable[str] = (),
    progress: Callable[[int, int], None] | None = None,
    **more: Any,
) -> PromptedTeacher:
    """An openai teacher for an address; ``more`` goes to `PromptedTeacher`."""
    journal = Journal(journal_dir)
    budget = Budget(budget_usd, price_of("toy", url, prices), "toy")

    def connect() -> ChatTransport:
        direct = Endpoint(
            base_url=url,
            model="toy",
            api_key="k",
            journal=journal,
            budget=budget,
            timeout_seconds=timeout_seconds,
            attempts=attempts,
            backoff_seconds=backoff_seconds,
            prompt_token_limit=prompt_token_limit,
        )
        return Batched(
            direct,
            journal,
            budget,
            at=batch_at,
            price_share=batch_price_share,
            poll_seconds=batch_poll_seconds,
            attempts=attempts,
            backoff_seconds=backoff_seconds,
            progress=progress,
        )

    return PromptedTeacher(
        "openai",
        connect,
        model="toy",
        prompts_dir=PROMPTS,
        ladder=Ladder(evaluation),
        batch=batch,
        concurrency=concurrency,
        wave=4 * concurrency if batch_at is None else None,
        progress=progress,
        **more,
    )


def replaying_teacher(recordings: Path, model: str, **more: Any) -> PromptedTeacher:
    """A recorded teacher, as `workflows/make_teacher.py` builds it."""
    recording = Recording.load(recording_path(recordings, model), requested=model, kind="teacher")
    source = recording.sha256
    return PromptedTeacher(
        "recorded", lambda: Replay(recording), model=model, prompts_dir=PROMPTS, source=source, **more
    )
