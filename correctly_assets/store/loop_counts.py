"""What the loop has done so far, as counts and times: the figures behind metrics and alerts.

Belongs here: reading aggregates over several tables, each in one statement. Does not belong here: what a figure is called or
when it is a cause for alarm (workflows/loop_metrics.py, core/alerts.py).
"""

from __future__ import annotations

from sqlalchemy import text

from correctly_assets.store.subject import Subject


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
