"""Forgetting: removing one example's text from the database, the snapshots and the train sets.

Belongs here: everything that erases. Does not belong here: retraining the adapters that saw the row (defs/), which
follows by itself because the set of accepted rows has changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from correctly_assets.artifacts.rejected_pairs import remove_from_rejected
from correctly_assets.artifacts.snapshots import adapters_trained_on, remove_example
from correctly_assets.store.accepted_set import erase_example
from correctly_assets.store.derived import DerivedFrom
from correctly_assets.store.examples import Examples
from correctly_assets.store.subject import Subject


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What forgetting one example removed, and who had seen it.

    Attributes:
        answers: journalled corrections whose text was removed.
        snapshots: snapshots and train sets on disk that held the row; they hold it no more.
        adapters: adapters that were trained on one of those train sets.
        derived: examples that a teacher had written from this one; they were forgotten with it.
    """

    example_id: str
    answers: int
    snapshots: tuple[str, ...]
    adapters: tuple[str, ...]
    derived: tuple[str, ...] = ()


class Forgetting(Subject):
    """The erasing part of the store."""

    def forget(self, prefix: str, *, snapshots_dir: Path | None = None, adapters_dir: Path | None = None) -> Forgotten:
        """Remove an example, and what a teacher wrote from it, everywhere. The hashes of their contents stay, so that
        the same rows do not land again.

        Args:
            prefix: the beginning of the example's id.
            snapshots_dir: where snapshots and train sets stand; those that hold the row are rewritten without it.
            adapters_dir: where adapters stand; those trained on such a train set are named.

        Raises:
            UsageError: no example, or more than one, has such an id.
        """
        example = Examples(self.database).get(prefix).example
        derived = DerivedFrom(self.database).derived_from(example.id)
        answers = 0
        touched: set[str] = set()
        adapters: set[str] = set()
        # The example itself last: a call that is killed in between finds it again, and what comes from it.
        for id in (*derived, example.id):
            more, snapshots, named = self._forget(id, snapshots_dir, adapters_dir)
            answers += more
            touched.update(snapshots)
            adapters.update(named)
        self.database.empty_log()
        return Forgotten(example.id, answers, tuple(sorted(touched)), tuple(sorted(adapters)), tuple(derived))

    def forgotten_ids(self) -> list[str]:
        """IDs of the examples that were forgotten; of their text nothing is left."""
        with self.database.read() as connection:
            query = text("SELECT id FROM correction_script WHERE status = 'forgotten' ORDER BY id")
            return list(connection.execute(query).scalars())

    def _forget(
        self, id: str, snapshots_dir: Path | None, adapters_dir: Path | None
    ) -> tuple[int, list[str], set[str]]:
        """One example's part: journalled answers that went, snapshots rewritten, adapters that saw it."""
        # The files first: a call that is killed in between finds the row again and goes on.
        touched = remove_example(snapshots_dir, id) if snapshots_dir else []
        if snapshots_dir:
            remove_from_rejected(snapshots_dir, id)
        adapters = set(adapters_trained_on(adapters_dir, touched)) if adapters_dir else set()
        with self.database.write() as connection:
            for train_set in touched:
                for table in ("decision", "release"):
                    adapters.update(
                        connection.execute(
                            text(f"SELECT adapter FROM {table} WHERE train_set = :id AND adapter IS NOT NULL"),
                            {"id": train_set},
                        ).scalars()
                    )
            return erase_example(connection, id, self.database.now()), touched, adapters
