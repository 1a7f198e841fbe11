"""The quarantine: rows kept out of training, each with a reason and a way back.

Belongs here: the table ``quarantine``. Does not belong here: the guards that hold rows (curation/guards.py).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, RowMapping, text

from correctly_assets.core.errors import UsageError
from correctly_assets.core.ports import Refusal
from correctly_assets.store.accepted_set import erase_example, touch_accepted
from correctly_assets.store.records import Quarantined, to_json
from correctly_assets.store.subject import Subject, like_prefix

_COLUMNS = "id, example_id, row_json, reason, rung, at, state"


def insert_quarantine(connection: Connection, held: Sequence[tuple[str | None, Refusal]], now: str) -> list[str]:
    """Put rows into quarantine inside an open transaction; returns their quarantine ids, in order."""
    ids = [uuid.uuid4().hex[:16] for _ in held]
    if held:
        connection.execute(
            text(
                "INSERT INTO quarantine (id, example_id, row_json, reason, rung, at, state) "
                "VALUES (:id, :example_id, :row_json, :reason, :rung, :at, 'open')"
            ),
            [
                {
                    "id": id,
                    "example_id": example_id,
                    "row_json": to_json(dict(refusal.row)),
                    "reason": refusal.reason,
                    "rung": refusal.rung,
                    "at": now,
                }
                for id, (example_id, refusal) in zip(ids, held, strict=True)
            ],
        )
    return ids


class Quarantine(Subject):
    """The quarantine of the store."""

    def quarantine(self, refusals: Iterable[Refusal]) -> list[str]:
        """Keep rows or pairs that are not examples of the store (a straddling pair, a leak); returns their ids."""
        with self.database.write() as connection:
            return insert_quarantine(connection, [(None, refusal) for refusal in refusals], self.database.now())

    def quarantine_example(self, id: str, refusal: Refusal) -> bool:
        """Take a landed example out of training; False when it is not accepted or waiting."""
        with self.database.write() as connection:
            done = connection.execute(
                text(
                    "UPDATE correction_script SET status = 'quarantined', accepted_at = NULL "
                    "WHERE id = :id AND status IN ('accepted', 'waiting')"
                ),
                {"id": id},
            ).rowcount
            if done:
                insert_quarantine(connection, [(id, refusal)], self.database.now())
                touch_accepted(connection)
            return bool(done)

    def quarantined(self, state: str = "open", limit: int = 100) -> list[Quarantined]:
        """What is in quarantine (``open``), was ``released`` or ``dropped``; newest first."""
        with self.database.read() as connection:
            rows = connection.execute(
                text(f"SELECT {_COLUMNS} FROM quarantine WHERE state = :state ORDER BY at DESC, id LIMIT :limit"),
                {"state": state, "limit": limit},
            ).mappings()
            return [_from(row) for row in rows]

    def released_examples(self, rung: str) -> set[str]:
        """Ids of the examples that a rung held and a person let back."""
        with self.database.read() as connection:
            rows = connection.execute(
                text(
                    "SELECT DISTINCT example_id FROM quarantine "
                    "WHERE state = 'released' AND rung = :rung AND example_id IS NOT NULL"
                ),
                {"rung": rung},
            )
            return {str(row.example_id) for row in rows}

    def quarantine_reasons(self) -> dict[str, int]:
        """How many open rows each reason holds, most first."""
        with self.database.read() as connection:
            rows = connection.execute(
                text(
                    "SELECT reason, count(*) AS n FROM quarantine WHERE state = 'open' "
                    "GROUP BY reason ORDER BY n DESC, reason"
                )
            )
            return {row.reason: row.n for row in rows}

    def release_quarantined(self, prefix: str) -> Quarantined:
        """Let a row back: its example is accepted, or waits when it has no ``after``.

        Args:
            prefix: the beginning of the quarantine id or of the example's id.

        Raises:
            UsageError: no open row, or more than one, has such an id.
        """
        with self.database.write() as connection:
            item = _find_open(connection, prefix)
            now = self.database.now()
            _settle(connection, item, "released", now)
            if item.example_id:
                connection.execute(
                    text(
                        "UPDATE correction_script SET "
                        "status = CASE WHEN after IS NULL THEN 'waiting' ELSE 'accepted' END, "
                        "accepted_at = CASE WHEN after IS NULL THEN NULL ELSE :now END, "
                        # A removal that a decision has seen makes the row new again; one nobody saw never happened.
                        "decided_in = CASE WHEN removal_decided_in IS NULL THEN decided_in ELSE NULL END, "
                        "removal_decided_in = NULL WHERE id = :id AND status = 'quarantined'"
                    ),
                    {"id": item.example_id, "now": now},
                )
                touch_accepted(connection, now)
            return item

    def drop_quarantined(self, prefix: str) -> Quarantined:
        """Give a row up for good: its text is removed, and the same row is not taken again.

        Raises:
            UsageError: no open row, or more than one, has such an id.
        """
        with self.database.write() as connection:
            item = _find_open(connection, prefix)
            now = self.database.now()
            _settle(connection, item, "dropped", now)
            connection.execute(text("UPDATE quarantine SET row_json = '{}' WHERE id = :id"), {"id": item.id})
            if item.example_id:
                erase_example(connection, item.example_id, now)
            return item


def _settle(connection: Connection, item: Quarantined, state: str, now: str) -> None:
    connection.execute(
        text("UPDATE quarantine SET state = :state, settled_at = :now WHERE id = :id"),
        {"state": state, "now": now, "id": item.id},
    )


def _find_open(connection: Connection, prefix: str) -> Quarantined:
    rows = (
        connection.execute(
            text(
                f"SELECT {_COLUMNS} FROM quarantine WHERE state = 'open' "
                "AND (id LIKE :like ESCAPE '!' OR example_id LIKE :like ESCAPE '!') ORDER BY id LIMIT 2"
            ),
            {"like": like_prefix(prefix)},
        )
        .mappings()
        .all()
    )
    if not rows or not prefix:
        raise UsageError(
            f"Nothing in quarantine begins with {prefix!r}; `correctly quarantine list` shows what is there."
        )
    if len(rows) > 1:
        raise UsageError(f"More than one row in quarantine begins with {prefix!r}; give more of the id.")
    return _from(rows[0])


def _from(row: RowMapping) -> Quarantined:
    return Quarantined(
        row["id"], row["example_id"], json.loads(row["row_json"]), row["reason"], row["rung"], row["at"], row["state"]
    )
