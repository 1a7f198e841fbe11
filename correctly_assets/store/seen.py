"""Which examples a decision has seen: what is new since the last one, and what was taken away.

Belongs here: the columns ``decided_in`` and ``removal_decided_in``. Does not belong here: decisions themselves
(decisions.py).
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, bindparam, text

from correctly_assets.core.text import slices
from correctly_assets.store.subject import Subject


class Seen(Subject):
    """What decisions have seen of the examples."""

    def new_since_decision(self) -> int:
        """Accepted examples that no decision has seen."""
        with self.database.read() as connection:
            return connection.execute(
                text("SELECT count(*) FROM correction_script WHERE status = 'accepted' AND decided_in IS NULL")
            ).scalar_one()

    def new_reactions(self) -> int:
        """How many of the accepted examples that no decision has seen came as a reaction to an answer."""
        sql = (
            "SELECT count(*) FROM correction_script c JOIN text_repository t ON t.id = c.text_id "
            "WHERE c.status = 'accepted' AND c.decided_in IS NULL AND t.source = 'feedback'"
        )
        with self.database.read() as connection:
            return connection.execute(text(sql)).scalar_one()

    def undecided_ids(self) -> list[str]:
        """Ids of the accepted examples that no decision has seen, in order."""
        with self.database.read() as connection:
            return list(
                connection.execute(
                    text(
                        "SELECT id FROM correction_script WHERE status = 'accepted' AND decided_in IS NULL ORDER BY id"
                    )
                ).scalars()
            )

    def decided_with(self, adapter: str) -> list[str]:
        """Ids of the accepted examples that the decision to promote an adapter has seen, in order."""
        with self.database.read() as connection:
            return list(
                connection.execute(
                    text(
                        "SELECT id FROM correction_script WHERE status = 'accepted' AND decided_in IN "
                        "(SELECT id FROM decision WHERE adapter = :adapter AND verdict = 'promoted') ORDER BY id"
                    ),
                    {"adapter": adapter},
                ).scalars()
            )

    def undecided_since(self) -> str | None:
        """When the oldest example that no decision has seen was accepted (ISO 8601, UTC); None where there is none."""
        with self.database.read() as connection:
            return connection.execute(
                text("SELECT min(accepted_at) FROM correction_script WHERE status = 'accepted' AND decided_in IS NULL")
            ).scalar()

    def removed_since_decision(self) -> int:
        """Examples that a decision has seen and that were taken away (forgotten, quarantined) since the last one."""
        with self.database.read() as connection:
            return connection.execute(
                text(
                    "SELECT count(*) FROM correction_script WHERE status IN ('forgotten', 'quarantined', 'waiting') "
                    "AND decided_in IS NOT NULL AND removal_decided_in IS NULL"
                )
            ).scalar_one()

    def mark_decided(self, fingerprint: str, example_ids: Iterable[str] | None = None) -> None:
        """Say which examples the snapshot of a decision held.

        Args:
            example_ids: the snapshot's rows. None: everything accepted now, for a decision taken without a snapshot.
        """
        with self.database.write() as connection:
            mark_decided(connection, fingerprint, example_ids)


def mark_decided(connection: Connection, fingerprint: str, example_ids: Iterable[str] | None) -> None:
    """``Examples.mark_decided`` inside a transaction that is open already."""
    if example_ids is None:
        connection.execute(
            text("UPDATE correction_script SET decided_in = :f WHERE status = 'accepted' AND decided_in IS NULL"),
            {"f": fingerprint},
        )
        seen: set[str] = set()
    else:
        seen = set(example_ids)
        undecided = connection.execute(
            text("SELECT id FROM correction_script WHERE decided_in IS NULL AND status <> 'waiting'")
        ).scalars()
        statement = text("UPDATE correction_script SET decided_in = :f WHERE id IN :ids").bindparams(
            bindparam("ids", expanding=True)
        )
        for chunk in slices(sorted(seen.intersection(undecided)), 1000):
            connection.execute(statement, {"f": fingerprint, "ids": chunk})
    gone = connection.execute(
        text(
            "SELECT id FROM correction_script WHERE status IN ('forgotten', 'quarantined', 'waiting') "
            "AND decided_in IS NOT NULL AND removal_decided_in IS NULL"
        )
    ).scalars()
    # A row that was taken away after the snapshot was written was still trained on: its removal is not decided yet.
    for id in [id for id in gone if id not in seen]:
        connection.execute(
            text("UPDATE correction_script SET removal_decided_in = :f WHERE id = :id"), {"f": fingerprint, "id": id}
        )
