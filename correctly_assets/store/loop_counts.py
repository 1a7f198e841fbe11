"""What the loop has done so far, as counts and times: the figures behind metrics, alerts and the dashboard.

Belongs here: reading aggregates over several tables, each in one statement. Does not belong here: what a figure is called or
when it is a cause for alarm (workflows/loop_metrics.py, core/alerts.py).
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field

from sqlalchemy import text

from correctly_assets.store.subject import Subject


@dataclass(slots=True)
class AnswersSeen:
    """Answers of one release: how many, how many without an edit, tokens asked, seconds of each, edits by type."""

    answers: int = 0
    unchanged: int = 0
    tokens: int = 0
    seconds: list[float] = field(default_factory=list)
    types: Counter[str] = field(default_factory=Counter)


class LoopCounts(Subject):
    """Counts and times of the loop. Every method reads only."""

    def _pairs(self, sql: str) -> dict[str, str]:
        with self.database.read() as connection:
            return {str(key): value for key, value in connection.execute(text(sql))}

    def decisions_by_verdict(self) -> dict[str, int]:
        """How many decisions there are of each verdict."""
        found = self._pairs("SELECT verdict, count(*) FROM decision GROUP BY verdict")
        return {verdict: int(count) for verdict, count in found.items()}

    def last_decisions_at(self) -> dict[str, str]:
        """When the last decision of each verdict was taken, ISO 8601 in UTC."""
        return self._pairs("SELECT verdict, max(at) FROM decision GROUP BY verdict")

    def rollback_sentences(self) -> list[str]:
        """Why each rollback was made, oldest first."""
        with self.database.read() as connection:
            return list(
                connection.execute(text("SELECT why FROM release WHERE kind = 'rollback' ORDER BY seq")).scalars()
            )

    def first_release_at(self) -> str | None:
        """When the first release was made, ISO 8601 in UTC; None before that."""
        with self.database.read() as connection:
            return connection.execute(text("SELECT min(at) FROM release")).scalar()

    def landed_rows(self) -> dict[str, int]:
        """Rows of all landings by what became of them: landed, duplicates, waiting, quarantined, refused."""
        names = ("landed", "duplicates", "waiting", "quarantined", "refused")
        sums = ", ".join(f"coalesce(sum({name}), 0) AS {name}" for name in names)
        with self.database.read() as connection:
            row = connection.execute(text(f"SELECT {sums} FROM landing")).mappings().one()
            return {name: int(row[name]) for name in names}

    def feedback_by_state(self) -> dict[str, int]:
        """Pieces of feedback by what became of them; ``pending`` ones wait."""
        found = self._pairs("SELECT state, count(*) FROM feedback GROUP BY state")
        return {state: int(count) for state, count in found.items()}

    def training_of_landings(self, limit: int = 20) -> list[dict[str, str | int | None]]:
        """What landed last, by day and file, and the decision that saw it.

        Returns:
            ``{"day", "file", "rows", "decided_at", "verdict", "adapter"}``, newest day first; ``decided_at`` is None while no
            decision has seen the rows. ``file`` is None for rows that came without one.
        """
        # An adapter's rows carry the fingerprint of their decision; a fingerprint is decided more than once after failures.
        sql = (
            "SELECT substr(t.landed_at, 1, 10) AS day, t.source_file AS file, count(*) AS n, "
            "max(d.at) AS decided_at, max(d.verdict) AS verdict, max(d.adapter) AS adapter "
            "FROM correction_script c JOIN text_repository t ON t.id = c.text_id "
            "LEFT JOIN decision d ON d.seq = (SELECT max(e.seq) FROM decision e WHERE e.fingerprint = c.decided_in) "
            "WHERE c.status = 'accepted' "
            "GROUP BY substr(t.landed_at, 1, 10), t.source_file, c.decided_in "
            "ORDER BY 1 DESC, 2, 4 LIMIT :limit"
        )
        with self.database.read() as connection:
            rows = connection.execute(text(sql), {"limit": limit}).mappings()
            return [
                {
                    "day": row["day"],
                    "file": row["file"],
                    "rows": int(row["n"]),
                    "decided_at": row["decided_at"],
                    "verdict": row["verdict"],
                    "adapter": row["adapter"],
                }
                for row in rows
            ]

    def answers_by_release(self, limit: int = 5_000) -> dict[str, AnswersSeen]:
        """The last answers by the release that gave them, ``base`` for the base model.

        Args:
            limit: how many answers are read, newest first; their texts are not.
        """
        found: dict[str, AnswersSeen] = {}
        with self.database.read() as connection:
            rows = connection.execute(
                text(
                    "SELECT coalesce(release, adapter, 'base'), edits, seconds, coalesce(tokens, 0) "
                    "FROM correction_journal ORDER BY at DESC LIMIT :limit"
                ),
                {"limit": limit},
            )
            for who, edits, seconds, tokens in rows:
                of = found.setdefault(who, AnswersSeen())
                of.answers += 1
                of.tokens += int(tokens)
                of.unchanged += edits == "[]"
                if seconds is not None:
                    of.seconds.append(float(seconds))
                of.types.update(edit.get("type") or "OTHER" for edit in json.loads(edits))
        return found
