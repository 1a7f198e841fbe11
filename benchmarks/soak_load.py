"""A mixed, bounded load on a gateway, what came of every request, and what memory it took meanwhile.

Belongs here: clients and counters. Does not belong here: starting a gateway or an engine, figures, files (bench_soak.py).
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import psutil

from benchmarks.common import quantile

SHARES = {
    "sentence": 30,
    "reasons": 20,
    "batch": 5,
    "chat": 12,
    "stream": 14,
    "feedback": 8,
    "base": 4,
    "document": 1,
    "malformed": 8,
    "cancelled": 3,
}
"""How often each kind of request comes, in shares."""

MALFORMED: tuple[tuple[str, Any], ...] = (
    ("/v1/corrections", b"{"),
    ("/v1/corrections", {}),
    ("/v1/corrections", {"text": 5}),
    ("/v1/corrections", {"text": "x" * 60_001}),
    ("/v1/corrections", {"text": ["a"] * 300}),
    ("/v1/corrections", {"text": "He go.", "reason_language": "fr"}),
    ("/v1/corrections", {"text": "He go.", "model": "nobody"}),
    ("/v1/chat/completions", {"model": "correctly", "messages": []}),
    ("/v1/chat/completions", {"model": "correctly", "messages": "He go."}),
    ("/v1/feedback", {"correction_id": "c_nobody", "rating": 1}),
    ("/v1/feedback", {"rating": 7}),
    ("/v1/examples", []),
    ("/v1/load_lora_adapter", {"lora_name": "x", "lora_path": "/"}),
)
"""What a client gets wrong; each must be answered by a status that says so (4xx)."""


@dataclass
class Tally:
    """Every answer, by kind and outcome.

    Attributes:
        outcomes: {(kind, status or name of the failure): count}. wrong: those that are not the client's, with the sentence.
        times: (when it ended, kind, seconds) of every right answer. feedback: how many reactions were acknowledged.
    """

    started: float = field(default_factory=time.monotonic)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: list[tuple[str, str]] = field(default_factory=list)
    times: list[tuple[float, str, float]] = field(default_factory=list)
    feedback: int = 0

    @property
    def done(self) -> int:
        return sum(self.outcomes.values())

    def right(self, kind: str, outcome: str, seconds: float) -> None:
        self.outcomes[kind, outcome] += 1
        self.times.append((time.monotonic() - self.started, kind, seconds))

    def failed(self, kind: str, outcome: str, says: str) -> None:
        self.outcomes[kind, outcome] += 1
        self.wrong.append((kind, f"{outcome}: {says[:200]}"))

    def over_time(self, slice_seconds: float) -> list[dict[str, Any]]:
        """p50 and p95 in ms of every kind in every slice of time."""
        groups: dict[tuple[int, str], list[float]] = {}
        for when, kind, seconds in self.times:
            groups.setdefault((int(when // slice_seconds), kind), []).append(1000 * seconds)
        return [
            {
                "minute": round(slot * slice_seconds / 60, 2),
                "kind": kind,
                "n": len(values),
                "p50": round(quantile(values, 50), 1),
                "p95": round(quantile(values, 95), 1),
            }
            for (slot, kind), values in sorted(groups.items())
        ]


class Mix:
    """Clients in a closed loop: as many requests as clients are under way, never more.

    Args:
        texts: awkward sentences, from which everything that is sent is made.
        document_words: length of a long document.
    """

    def __init__(self, gateway: str, texts: Sequence[str], *, seed: int, document_words: int = 800) -> None:
        self.tally = Tally()
        self._gateway, self._texts, self._words = gateway, list(texts), document_words
        self._random = random.Random(seed)
        self._known: list[str] = []
        """Corrections that nobody has reacted to yet."""

    async def run(self, seconds: float, clients: int) -> Tally:
        """Send for so long, with so many clients."""
        until = time.monotonic() + seconds
        limits = httpx.Limits(max_connections=2 * clients, max_keepalive_connections=2 * clients)
        async with httpx.AsyncClient(base_url=self._gateway, trust_env=False, timeout=300, limits=limits) as client:

            async def one() -> None:
                while time.monotonic() < until:
                    await self._send(client)

            await asyncio.gather(*(one() for _ in range(clients)))
        return self.tally

    async def _send(self, client: httpx.AsyncClient) -> None:
        kind = self._random.choices(list(SHARES), list(SHARES.values()))[0]
        if kind == "feedback" and not self._known:
            kind = "sentence"
        send: Callable[[httpx.AsyncClient], Awaitable[tuple[str, str | None]]] = getattr(self, f"_{kind}")
        started = time.perf_counter()
        try:
            outcome, wrong = await send(client)
        except httpx.HTTPError as error:
            self.tally.failed(kind, type(error).__name__, str(error))
            return
        except (ValueError, KeyError, IndexError, TypeError) as error:
            self.tally.failed(kind, "unreadable", repr(error))
            return
        if wrong is None:
            self.tally.right(kind, outcome, time.perf_counter() - started)
        else:
            self.tally.failed(kind, outcome, wrong)

    def _text(self) -> str:
        return self._random.choice(self._texts)

    async def _correct(self, client: httpx.AsyncClient, text: str | list[str], **more: Any) -> tuple[str, str | None]:
        answer = await client.post("/v1/corrections", json={"text": text, **more})
        if answer.status_code != 200:
            return str(answer.status_code), answer.text
        done = answer.json()["corrections"]
        asked = [text] if isinstance(text, str) else text
        if [item["before"] for item in done] != asked:
            return "200", "another text came back"
        self._known += [item["id"] for item in done]
        del self._known[:-200]
        return "200", None

    async def _sentence(self, client: httpx.AsyncClient) -> tuple[str, str | None]:
        return await self._correct(client, self._text(), reasons=False)

    async def _reasons(self, client: httpx.AsyncClient) -> tuple[str, str | None]:
        language = self._random.choice(("en", "en", "ko"))
        return await self._correct(client, self._text(), reason_language=language)

    async def _batch(self, client: httpx.AsyncClient) -> tuple[str, str | None]:
        return await self._correct(client, [self._text() for _ in range(8)], reasons=False)

    async def _base(self, client: httpx.AsyncClient) -> tuple[str, str | None]:
        return await self._correct(client, self._text(), reasons=False, model="correctly-base")

    async def _chat(self, client: httpx.AsyncClient) -> tuple[str, str | None]:
        body = {"model": "correctly", "messages": [{"role": "user", "content": self._text()}]}
        answer = await client.post("/v1/chat/completions", json=body)
        said = answer.status_code == 200 and answer.json()["choices"][0]["message"]["content"].strip()
        return str(answer.status_code), None if said else answer.text or "an empty answer"

    async def _stream(self, client: httpx.AsyncClient) -> tuple[str, str | None]:
        return await self._streamed(client, self._text())

    async def _document(self, client: httpx.AsyncClient) -> tuple[str, str | None]:
        words: list[str] = []
        while len(words) < self._words:
            words += self._text().split()
        return await self._streamed(client, " ".join(words[: self._words]))

    async def _cancelled(self, client: httpx.AsyncClient) -> tuple[str, str | None]:
        # Nobody reads on after the first piece: the gateway must let go of the rest.
        return await self._streamed(client, f"{self._text()} {self._text()} {self._text()}", leave=True)

    async def _streamed(self, client: httpx.AsyncClient, text: str, *, leave: bool = False) -> tuple[str, str | None]:
        body = {"model": "correctly", "stream": True, "messages": [{"role": "user", "content": text}]}
        content, last = "", ""
        async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            if answer.status_code != 200:
                return str(answer.status_code), (await answer.aread()).decode(errors="replace")
            async for line in answer.aiter_lines():
                if not line.startswith("data: "):
                    continue
                last = line[6:]
                if last == "[DONE]":
                    break
                value = json.loads(last)
                if "error" in value:
                    return "broken off", value["error"]["message"]
                content += value["choices"][0]["delta"].get("content") or ""
                if leave and content:
                    return "left", None
        if leave:
            return "200", None if content.strip() else "an empty answer"
        whole = last == "[DONE]" and content.strip()
        return "200", None if whole else "the stream ended before its end"

    async def _feedback(self, client: httpx.AsyncClient) -> tuple[str, str | None]:
        body: dict[str, Any] = {"correction_id": self._known.pop(), "rating": self._random.choice((1, -1))}
        if body["rating"] < 0:
            body["better"] = self._text()
        answer = await client.post("/v1/feedback", json=body)
        self.tally.feedback += answer.status_code == 202
        return str(answer.status_code), None if answer.status_code == 202 else answer.text

    async def _malformed(self, client: httpx.AsyncClient) -> tuple[str, str | None]:
        path, body = self._random.choice(MALFORMED)
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = await client.post(path, content=content, headers={"content-type": "application/json"})
        said = 400 <= answer.status_code < 500 and answer.json()["error"]["message"]
        return str(answer.status_code), None if said else f"{path} was answered {answer.status_code}"


class Memory(threading.Thread):
    """Samples the memory of process trees, as proportional set sizes, so that shared pages count once.

    Attributes:
        samples: {"seconds", "requests", NAME: MB …} of every look.
    """

    def __init__(self, roots: dict[str, int], requests: Callable[[], int], every: float = 10.0) -> None:
        super().__init__(daemon=True)
        self._roots = {name: psutil.Process(pid) for name, pid in roots.items()}
        self._requests, self._every = requests, every
        self._stopped = threading.Event()
        self._since = time.monotonic()
        self.samples: list[dict[str, float]] = []

    def run(self) -> None:
        while not self._stopped.wait(self._every):
            sample = {"seconds": round(time.monotonic() - self._since, 1), "requests": self._requests()}
            self.samples.append(sample | {name: round(tree_mb(root), 2) for name, root in self._roots.items()})

    def stop(self) -> list[dict[str, float]]:
        self._stopped.set()
        self.join()
        return self.samples


def tree_mb(root: psutil.Process) -> float:
    """Proportional set size of a process and its children, in MB."""
    total = 0
    for process in [root, *root.children(recursive=True)]:
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue  # a child that ended between the listing and the look
    return total / 1e6


def growth(samples: Sequence[dict[str, float]], name: str, *, after_seconds: float) -> tuple[float, float] | None:
    """Memory growth in MB per 1,000 requests after warm-up, by least squares, and its standard error.

    Neighbouring samples resemble each other, so that the true error is larger than the one given.

    Returns:
        None with fewer than four samples, or where no request was counted between them.
    """
    kept = [(sample["requests"] / 1000, sample[name]) for sample in samples if sample["seconds"] >= after_seconds]
    if len(kept) < 4 or kept[0][0] == kept[-1][0]:
        return None
    xs, ys = [x for x, _ in kept], [y for _, y in kept]
    slope, intercept = statistics.linear_regression(xs, ys)
    middle = statistics.fmean(xs)
    rest = sum((y - intercept - slope * x) ** 2 for x, y in kept)
    return slope, (rest / (len(kept) - 2) / sum((x - middle) ** 2 for x in xs)) ** 0.5
