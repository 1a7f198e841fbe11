"""The journal of paid requests: written before a request is sent and when it is answered.

Belongs here: what was sent, answered and spent, on disk. Does not belong here: sending (endpoint.py).

One SQLite file in a directory, synced at every write, so that several processes may use it at once and a killed run
finds every answer that had arrived.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ..core.teaching import ChatAnswer, ChatRequest

_SCHEMA = """
CREATE TABLE IF NOT EXISTS request (
  key TEXT PRIMARY KEY, request TEXT NOT NULL, sent_at TEXT NOT NULL, sends INTEGER NOT NULL,
  at_risk_usd REAL NOT NULL, answered_at TEXT, answer TEXT
)
"""


class Journal:
    """Requests by the hash of their content."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / "journal.sqlite"
        with self._connection() as connection:
            connection.execute(_SCHEMA)

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

    def sending(self, request: ChatRequest, most_usd: float) -> None:
        """Write down that a request is about to be sent, with the most it may cost: that much may be gone now."""
        with self._connection() as connection:
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

    def spent(self, keys: Iterable[str]) -> float:
        """USD spent on these requests; a charge without an answer counts with the most it may be."""
        total = 0.0
        with self._connection() as connection:
            for key in keys:
                row = connection.execute("SELECT answer, at_risk_usd FROM request WHERE key = ?", (key,)).fetchone()
                if row is not None:
                    total += row[1] + (json.loads(row[0])["cost_usd"] if row[0] else 0.0)
        return total

    def counts(self) -> dict[str, int]:
        """``sent`` (requests ever sent), ``answered``, ``sends`` (attempts, repeats included)."""
        with self._connection() as connection:
            row = connection.execute("SELECT COUNT(*), COUNT(answer), COALESCE(SUM(sends), 0) FROM request").fetchone()
        return {"sent": row[0], "answered": row[1], "sends": row[2]}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
