"""Landings: files on their way into the store, and the record of those that have landed.

Belongs here: every statement on ``landing`` and ``landing_under_way``. Does not belong here: the rows themselves (examples.py)
or whether a run waits for them (core/retrain.py).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from sqlalchemy import text

from correctly_assets.core.errors import PermanentError, UsageError
from correctly_assets.core.landing import LandCounts
from correctly_assets.store.records import Landing
from correctly_assets.store.subject import Subject

SILENT_SECONDS = 60.0
"""A landing says that it is there with every batch, about once a second. One that was silent for so long was killed."""


class Landings(Subject):
    """What lands now, and what has."""

    @contextmanager
    def landing(self, file: str) -> Iterator[Callable[[], None]]:
        """While this is open, a file (or several, as one) is on its way; call what it gives with every batch.

        One that fails for good is over: what has landed of it is all there will be. One that was cut short (a kill, a store
        that went away) stays ``unfinished`` until the same landing succeeds.
        """
        id, now = uuid.uuid4().hex, self.database.now()
        with self.database.write() as connection:
            connection.execute(
                text("INSERT INTO landing_under_way (id, file, began_at, seen_at) VALUES (:id, :file, :at, :at)"),
                {"id": id, "file": file, "at": now},
            )

        def seen() -> None:
            with self.database.write() as connection:
                connection.execute(
                    text("UPDATE landing_under_way SET seen_at = :at WHERE id = :id"),
                    {"id": id, "at": self.database.now()},
                )

        try:
            yield seen
        except (UsageError, PermanentError):
            self._ended(id, file, now)
            raise
        self._ended(id, file, now)

    def _ended(self, id: str, file: str, began_at: str) -> None:
        with self.database.write() as connection:
            # And those under this name that were silent all the while: they were killed, and their rows have landed now.
            connection.execute(
                text("DELETE FROM landing_under_way WHERE id = :id OR (file = :file AND seen_at < :began_at)"),
                {"id": id, "file": file, "began_at": began_at},
            )

    def landing_under_way(self) -> str | None:
        """The file that lands at this moment, the one that began first if there are several; None if there is none."""
        with self.database.read() as connection:
            return connection.execute(
                text(
                    "SELECT file FROM landing_under_way WHERE seen_at BETWEEN :silent AND :ahead ORDER BY began_at LIMIT 1"
                ),
                # What was seen well ahead of now was seen before the clock was set back.
                {"silent": self._from_now(-SILENT_SECONDS), "ahead": self._from_now(SILENT_SECONDS)},
            ).scalar_one_or_none()

    def landing_unfinished(self, file: str) -> bool:
        """Whether a landing under this name began and has not ended: it goes on, or it was cut short."""
        with self.database.read() as connection:
            found = connection.execute(
                text("SELECT count(*) FROM landing_under_way WHERE file = :file"), {"file": file}
            )
            return found.scalar_one() > 0

    def _from_now(self, seconds: float) -> str:
        now = datetime.fromisoformat(self.database.now())
        return (now + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")

    def record_landing(self, *, file: str, sha: str | None, counts: LandCounts, refused: int) -> None:
        """Write down that a whole file has landed."""
        with self.database.write() as connection:
            seq = connection.execute(text("SELECT coalesce(max(seq), 0) + 1 FROM landing")).scalar_one()
            connection.execute(
                text(
                    "INSERT INTO landing (id, seq, file, sha, landed, duplicates, waiting, quarantined, refused, at) "
                    "VALUES (:id, :seq, :file, :sha, :landed, :duplicates, :waiting, :quarantined, :refused, :at)"
                ),
                {
                    "id": uuid.uuid4().hex,
                    "seq": seq,
                    "file": file,
                    "sha": sha,
                    "landed": counts.landed,
                    "duplicates": counts.duplicates,
                    "waiting": counts.waiting,
                    "quarantined": counts.quarantined,
                    "refused": refused,
                    "at": self.database.now(),
                },
            )

    def landings(self, limit: int = 20) -> list[Landing]:
        """The files that landed last, newest first."""
        with self.database.read() as connection:
            rows = connection.execute(
                text(
                    "SELECT id, file, sha, landed, duplicates, waiting, quarantined, refused, at FROM landing "
                    "ORDER BY seq DESC LIMIT :limit"
                ),
                {"limit": limit},
            ).mappings()
            return [Landing(**row) for row in rows]
