"""What reviewers thought of answers.

Belongs here: the table ``review``. Does not belong here: what the grades come to (core/review.py).
"""

from __future__ import annotations

from sqlalchemy import text

from correctly_assets.core.review import Review
from correctly_assets.store.subject import Subject

_COLUMNS = "reviewer, scenario, scenario_sha, system, release, adapter, naturalness, clarity, note, at"


class Reviews(Subject):
    """Grades by scenario and by who answered."""

    def add_review(self, review: Review) -> None:
        """Keep a review; one of the same person on the same scenario and adapter is replaced."""
        values = {name: getattr(review, name) for name in _COLUMNS.split(", ")}
        with self.database.write() as connection:
            connection.execute(
                text(
                    f"INSERT INTO review (id, {_COLUMNS}) VALUES (:id, :reviewer, :scenario, :scenario_sha, :system, "
                    ":release, :adapter, :naturalness, :clarity, :note, :at) ON CONFLICT (id) DO UPDATE SET "
                    "system = excluded.system, release = excluded.release, naturalness = excluded.naturalness, "
                    "clarity = excluded.clarity, note = excluded.note, at = excluded.at"
                ),
                values | {"id": review.id, "at": self.database.now()},
            )

    def reviews(self, *, reviewer: str | None = None) -> list[Review]:
        """All reviews, or one person's, in the order they were given."""
        where = "" if reviewer is None else "WHERE reviewer = :reviewer "
        with self.database.read() as connection:
            rows = connection.execute(
                text(f"SELECT {_COLUMNS} FROM review {where}ORDER BY at, id"),
                {} if reviewer is None else {"reviewer": reviewer},
            )
            return [Review(**row._mapping) for row in rows]
