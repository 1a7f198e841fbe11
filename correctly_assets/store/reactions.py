"""Reactions by who gave them and where they came from: what a reviewer reads, and what is taken back.

Belongs here: statements on ``feedback`` that go by giver or by source. Does not belong here: taking and settling one reaction
(corrections.py).
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import bindparam, text

from correctly_assets.core.text import slices
from correctly_assets.store.corrections import FEEDBACK_COLUMNS, feedback_from
from correctly_assets.store.records import Reaction
from correctly_assets.store.subject import Subject, like_prefix

_OF_KEYS = "(SELECT id FROM feedback WHERE source_key IN :keys)"


class Reactions(Subject):
    """Reactions, many at once."""

    def feedback_keys(self, prefix: str) -> set[str]:
        """The source keys that begin with ``prefix``: every reaction that came one way."""
        with self.database.read() as connection:
            query = text("SELECT source_key FROM feedback WHERE source_key LIKE :like ESCAPE '!'")
            return set(connection.execute(query, {"like": like_prefix(prefix)}).scalars())

    def withdraw_feedback(self, source_keys: Iterable[str]) -> int:
        """Remove reactions that were taken back, and what they confirmed; returns how many there were. An example that one had
        landed as stays: it is a row like any other, and `correctly forget` removes it."""
        gone = 0
        for keys in slices(source_keys, 500):
            with self.database.write() as connection:
                thumbs = text(f"DELETE FROM thumb WHERE feedback_id IN {_OF_KEYS}")
                connection.execute(thumbs.bindparams(bindparam("keys", expanding=True)), {"keys": keys})
                rows = text("DELETE FROM feedback WHERE source_key IN :keys")
                gone += connection.execute(rows.bindparams(bindparam("keys", expanding=True)), {"keys": keys}).rowcount
        return gone

    def landed_of(self, giver: str | None, since: str) -> int:
        """How many corrections of a giver have landed since a time (ISO 8601, UTC)."""
        with self.database.read() as connection:
            query = text(
                "SELECT count(*) FROM feedback WHERE coalesce(giver, '') = :giver AND state = 'landed' "
                "AND settled_at >= :since"
            )
            return int(connection.execute(query, {"giver": giver or "", "since": since}).scalar_one())

    def reactions(self, *, rating: int | None = None, limit: int = 20) -> list[Reaction]:
        """Reactions with the answers they speak of, newest first.

        Args:
            rating: 1 or -1 for those of one side alone.
        """
        columns = ", ".join(f"f.{name.strip()} AS {name.strip()}" for name in FEEDBACK_COLUMNS.split(","))
        only = "WHERE f.rating = :rating" if rating is not None else ""
        with self.database.read() as connection:
            rows = connection.execute(
                text(
                    f"SELECT {columns}, c.before AS told_before, c.after AS told_after, c.release AS told_release "
                    f"FROM feedback f LEFT JOIN correction_journal c ON c.id = f.correction_id {only} "
                    "ORDER BY f.at DESC, f.id LIMIT :limit"
                ),
                {"limit": limit} | ({"rating": rating} if rating is not None else {}),
            ).mappings()
            return [
                Reaction(
                    feedback_from({name: value for name, value in row.items() if not name.startswith("told_")}),
                    row["told_before"],
                    row["told_after"],
                    row["told_release"],
                )
                for row in rows
            ]
