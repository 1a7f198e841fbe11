"""The journal of paid requests: written before a request is sent and when it is answered.

Belongs here: what was sent, answered and spent, on disk. Does not belong here: sending (endpoint.py).

One SQLite file in a directory, synced at every write, so that several processes may use it at once and a killed run
finds every answer that had arrived.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import sqlite3
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from correctly_assets.llm_api.requests import ChatAnswer, ChatRequest, RequestRecord

_SCHEMA = """
CREATE TABLE IF NOT EXISTS request (
  key TEXT PRIMARY KEY, request TEXT NOT NULL, sent_at TEXT NOT NULL, sends INTEGER NOT NULL,
  at_risk_usd REAL NOT NULL, answered_at TEXT, answer TEXT
);
-- Requests sent together. The texts stand in `request` alone, so that what is erased there is erased.
CREATE TABLE IF NOT EXISTS batch (
  job TEXT PRIMARY KEY, base_url TEXT NOT NULL, made_at TEXT NOT NULL, batch_id TEXT, ended_at TEXT
);
CREATE TABLE IF NOT EXISTS batch_request (
  job TEXT NOT NULL, key TEXT NOT NULL, at_risk_usd REAL NOT NULL, PRIMARY KEY (job, key)
)
"""


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """Requests that were sent together and whose end is not known yet.

    Attributes:
        job: our name for it, which the endpoint is told as well.
        batch_id: the endpoint's name for it; None when a run was killed before it heard one.
        at_risk_usd: {request key: the most that it may cost}.
    """

    job: str
    batch_id: str | None
    made_at: datetime
    at_risk_usd: Mapping[str, float]


class Journal:
    """Requests by the hash of their content."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / "journal.sqlite"
        self._lock = directory / "batch.lock"
        with self._connection() as connection:
            connection.executescript(_SCHEMA)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        # A connection for every use: coroutines of several threads may share one journal.
        with closing(sqlite3.connect(self._path, timeout=30)) as connection:
            connection.execute("PRAGMA synchronous=FULL")
            with connection:
                yield connection

    def answer(self, request: ChatRequest) -> ChatAnswer | None:
        """The answer that was paid for already, if there is one."""
        with self._connection() as connection:
            row = connection.execute("SELECT answer FROM request WHERE key = ?", (request.key,)).fetchone()
        return ChatAnswer.from_json(json.loads(row[0]), paid_before=True) if row and row[0] else None

    def answered_among(self, keys: Iterable[str]) -> set[str]:
        """Which of these requests have an answer."""
        with self._connection() as connection:
            answered = {row[0] for row in connection.execute("SELECT key FROM request WHERE answer IS NOT NULL")}
        return answered.intersection(keys)

    def sending(self, request: ChatRequest, most_usd: float) -> None:
        """Write down that a request is about to be sent, with the most it may cost: that much may be gone now."""
        with self._connection() as connection:
            self._sending(connection, request, most_usd)

    @staticmethod
    def _sending(connection: sqlite3.Connection, request: ChatRequest, most_usd: float) -> None:
        connection.execute(
            "INSERT INTO request (key, request, sent_at, sends, at_risk_usd) VALUES (?, ?, ?, 1, ?) "
            "ON CONFLICT (key) DO UPDATE SET sends = sends + 1, sent_at = excluded.sent_at, "
            "at_risk_usd = at_risk_usd + excluded.at_risk_usd",
            (request.key, json.dumps(request.to_json(), ensure_ascii=False), _now(), most_usd),
        )

    def refused(self, request: ChatRequest, most_usd: float) -> None:
        """Write down that the endpoint turned the request away, which costs nothing."""
        with self._connection() as connection:
            connection.execute(
                "UPDATE request SET at_risk_usd = MAX(0, at_risk_usd - ?) WHERE key = ?", (most_usd, request.key)
            )

    def answered(self, request: ChatRequest, answer: ChatAnswer, most_usd: float) -> None:
        """Write down an answer, whose cost is known; it is synced when this returns."""
        with self._connection() as connection:
            connection.execute(
                "UPDATE request SET answer = ?, answered_at = ?, at_risk_usd = MAX(0, at_risk_usd - ?) WHERE key = ?",
                (json.dumps(answer.to_json(), ensure_ascii=False), _now(), most_usd, request.key),
            )

    @asynccontextmanager
    async def one_at_a_time(self) -> AsyncIterator[None]:
        """Held while batches are looked up and made: two runs at once must not make the same one twice."""
        with self._lock.open("w") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    await asyncio.sleep(0.1)
            yield  # closing the file lets go of it, as does the end of a killed process

    def open_batches(self, base_url: str, keys: Iterable[str]) -> list[OpenBatch]:
        """Batches at an address that hold one of these requests and have not ended, oldest first."""
        wanted = set(keys)
        with self._connection() as connection:
            jobs = connection.execute(
                "SELECT job, batch_id, made_at FROM batch WHERE base_url = ? AND ended_at IS NULL ORDER BY made_at, job",
                (base_url,),
            ).fetchall()
            found = [
                OpenBatch(
                    job, batch_id, datetime.fromisoformat(made_at),
                    dict(connection.execute("SELECT key, at_risk_usd FROM batch_request WHERE job = ?", (job,))),
                )
                for job, batch_id, made_at in jobs
            ]  # fmt: skip
        return [batch for batch in found if not wanted.isdisjoint(batch.at_risk_usd)]

    def requests_of(self, batch: OpenBatch) -> list[RequestRecord]:
        """A batch's requests as `ChatRequest.to_json` wrote them; less what was erased since."""
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT r.request FROM batch_request b JOIN request r ON r.key = b.key WHERE b.job = ? ORDER BY b.key",
                (batch.job,),
            ).fetchall()
        return [json.loads(row[0]) for row in rows]

    def batching(self, job: str, base_url: str, requests: Sequence[tuple[ChatRequest, float]]) -> OpenBatch:
        """Write down that requests are about to be sent together, each with the most it may cost."""
        made = datetime.now(UTC)
        with self._connection() as connection:
            connection.execute(
                "INSERT INTO batch (job, base_url, made_at) VALUES (?, ?, ?)", (job, base_url, made.isoformat())
            )
            for request, most_usd in requests:
                connection.execute("INSERT INTO batch_request VALUES (?, ?, ?)", (job, request.key, most_usd))
                self._sending(connection, request, most_usd)
        return OpenBatch(job, None, made, {request.key: most for request, most in requests})

    def batch_named(self, job: str, batch_id: str) -> None:
        """Write down the name under which the endpoint keeps a batch."""
        with self._connection() as connection:
            connection.execute("UPDATE batch SET batch_id = ? WHERE job = ?", (batch_id, job))

    def batch_ended(self, batch: OpenBatch, answers: Mapping[str, ChatAnswer], free: Iterable[str]) -> None:
        """Write down all that a batch brought, at once.

        Args:
            free: requests without an answer that cost nothing; any other without one counts with the most it may cost.
        """
        with self._connection() as connection:
            for key, answer in answers.items():
                connection.execute(
                    "UPDATE request SET answer = ?, answered_at = ?, at_risk_usd = MAX(0, at_risk_usd - ?) WHERE key = ?",
                    (json.dumps(answer.to_json(), ensure_ascii=False), _now(), batch.at_risk_usd[key], key),
                )
            for key in free:
                connection.execute(
                    "UPDATE request SET at_risk_usd = MAX(0, at_risk_usd - ?) WHERE key = ?",
                    (batch.at_risk_usd[key], key),
                )
            connection.execute("UPDATE batch SET ended_at = ? WHERE job = ?", (_now(), batch.job))

    def spent(self, keys: Iterable[str]) -> float:
        """USD spent on these requests; a charge without an answer counts with the most it may be."""
        total = 0.0
        with self._connection() as connection:
            for key in keys:
                row = connection.execute("SELECT answer, at_risk_usd FROM request WHERE key = ?", (key,)).fetchone()
                if row is not None:
                    total += row[1] + (json.loads(row[0])["cost_usd"] if row[0] else 0.0)
        return total

    def spent_in_all(self, since: datetime | None = None) -> float:
        """USD spent on all requests ever sent; a charge without an answer counts with the most it may be.

        Args:
            since: only requests that were last sent at this moment or later.
        """
        with self._connection() as connection:
            return connection.execute(
                "SELECT coalesce(sum(at_risk_usd + coalesce(json_extract(answer, '$.cost_usd'), 0)), 0.0) FROM request "
                "WHERE sent_at >= ?",
                (since.astimezone(UTC).isoformat(timespec="seconds") if since else "",),
            ).fetchone()[0]

    def counts(self) -> dict[str, int]:
        """``sent`` (requests ever sent), ``answered``, ``sends`` (attempts, repeats included)."""
        with self._connection() as connection:
            row = connection.execute("SELECT COUNT(*), COUNT(answer), COALESCE(SUM(sends), 0) FROM request").fetchone()
        return {"sent": row[0], "answered": row[1], "sends": row[2]}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def erase_from_journal(journal_dir: Path, texts: Sequence[str]) -> int:
    """Remove the requests that show one of these texts, with their answers; returns how many.

    A request that is asked for again is paid for again: that is the price of forgetting.

    Args:
        journal_dir: the openai teacher's journal; nothing is done where there is none.
    """
    path = journal_dir / "journal.sqlite"
    if not path.is_file():
        return 0
    forms: set[str] = set()
    for text in texts:
        # A prompt shows a text plain or inside a JSON object, and the journal keeps the prompt as JSON.
        once = json.dumps(text, ensure_ascii=False)[1:-1]
        forms |= {once, json.dumps(once, ensure_ascii=False)[1:-1]}
    with closing(sqlite3.connect(path, timeout=30)) as connection, connection:
        connection.execute("PRAGMA secure_delete = ON")
        return sum(
            connection.execute(
                "DELETE FROM request WHERE instr(request, ?) > 0 OR instr(coalesce(answer, ''), ?) > 0", (form, form)
            ).rowcount
            for form in sorted(forms)
        )
