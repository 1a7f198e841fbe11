"""The correction journal and what people said of its answers.

Belongs here: the tables ``correction_journal``, ``feedback`` and ``thumb``. Does not belong here: deciding what a piece
of feedback becomes, or replacing personal data, which is done before a text gets here.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from correctly_assets.core.errors import UsageError
from correctly_assets.core.rollback import Signals
from correctly_assets.core.text import text_sha
from correctly_assets.core.types import Correction
from correctly_assets.store.records import Feedback, FeedbackState, JournalEntry, JudgedEdit, Thumb, edits_from, to_json
from correctly_assets.store.subject import Subject, like_prefix

_JOURNAL = "id, at, release, adapter, before, after, edits, fallback, client, chat_id, seconds, tokens"
FEEDBACK_COLUMNS = (
    "id, source_key, correction_id, rating, better, edits, comment, state, says, example_id, at, giver, ticked"
)
_FEEDBACK_OF_KEY = text(f"SELECT {FEEDBACK_COLUMNS} FROM feedback WHERE source_key = :k")
_INSERT_FEEDBACK = text(
    "INSERT INTO feedback (id, source_key, correction_id, rating, better, edits, comment, state, at, giver, ticked) VALUES "
    "(:id, :source_key, :correction_id, :rating, :better, :edits, :comment, 'pending', :at, :giver, :ticked)"
)
_CHANGE_FEEDBACK = text(
    "UPDATE feedback SET correction_id = :correction_id, rating = :rating, better = :better, edits = :edits, "
    "comment = :comment, giver = :giver, ticked = :ticked, state = 'pending', says = NULL, at = :at, settled_at = NULL "
    "WHERE id = :id"
)
_CHANGE_META = text("UPDATE feedback SET giver = :giver, ticked = :ticked WHERE id = :id")
_THUMB = "id, feedback_id, before, after, at"


class Corrections(Subject):
    """Answers given, and feedback on them."""

    def journal_correction(
        self,
        correction: Correction,
        *,
        client: str | None = None,
        chat_id: str | None = None,
        seconds: float | None = None,
        tokens: int | None = None,
    ) -> None:
        """Write one answer down. Personal data must have been replaced already. The same id twice is written once."""
        with self.database.write(exclusive=False) as connection:
            connection.execute(
                text(
                    f"INSERT INTO correction_journal ({_JOURNAL}, before_sha) VALUES (:id, :at, :release, :adapter, "
                    ":before, :after, :edits, :fallback, :client, :chat_id, :seconds, :tokens, :before_sha) "
                    "ON CONFLICT (id) DO NOTHING"
                ),
                {
                    "id": correction.id,
                    "at": self.database.now(),
                    "release": correction.release,
                    "adapter": correction.adapter,
                    "before": correction.before,
                    "after": correction.after,
                    "edits": to_json([edit.to_json() for edit in correction.edits]),
                    "fallback": correction.fallback,
                    "client": client,
                    "chat_id": chat_id,
                    "seconds": seconds,
                    "tokens": tokens,
                    "before_sha": text_sha(correction.before),
                },
            )

    def correction(self, prefix: str) -> JournalEntry | None:
        """The journalled answer whose id begins with ``prefix``; None when there is none.

        Raises:
            UsageError: more than one answer begins so.
        """
        if not prefix:
            return None
        with self.database.read() as connection:
            rows = (
                connection.execute(
                    text(
                        f"SELECT {_JOURNAL} FROM correction_journal WHERE id LIKE :like ESCAPE '!' ORDER BY id LIMIT 2"
                    ),
                    {"like": like_prefix(prefix)},
                )
                .mappings()
                .all()
            )
        if len(rows) > 1 and rows[0]["id"] != prefix:
            raise UsageError(f"More than one correction begins with {prefix!r}; give more of the id.")
        return _entry(rows[0]) if rows else None

    def corrections(self, *, chat_id: str | None = None, limit: int = 100) -> list[JournalEntry]:
        """Journalled answers, newest first; of one chat when ``chat_id`` is given."""
        only = "WHERE chat_id = :chat_id" if chat_id is not None else ""
        with self.database.read() as connection:
            rows = connection.execute(
                text(f"SELECT {_JOURNAL} FROM correction_journal {only} ORDER BY at DESC, id LIMIT :limit"),
                {"limit": limit} | ({"chat_id": chat_id} if chat_id is not None else {}),
            ).mappings()
            return [_entry(row) for row in rows]

    def answers_since(self, since: str, limit: int = 5_000) -> list[JournalEntry]:
        """Answers of releases given since a time (ISO 8601, UTC) that still have their text, in the order of their ids: of more
        than ``limit`` that is a sample by chance."""
        with self.database.read() as connection:
            rows = connection.execute(
                text(
                    f"SELECT {_JOURNAL} FROM correction_journal WHERE at >= :since AND release IS NOT NULL "
                    "AND before <> '' ORDER BY id LIMIT :limit"
                ),
                {"since": since, "limit": limit},
            ).mappings()
            return [_entry(row) for row in rows]

    def prune_journal(self, before: str) -> int:
        """Delete answers journalled before a time (ISO 8601, UTC) that no pending feedback needs; returns how many."""
        with self.database.write() as connection:
            gone = connection.execute(
                text(
                    "DELETE FROM correction_journal WHERE at < :before AND id NOT IN "
                    "(SELECT correction_id FROM feedback WHERE state = 'pending')"
                ),
                {"before": before},
            ).rowcount
            # A challenger's answer goes with the one that it stands beside.
            connection.execute(
                text("DELETE FROM shadow_answer WHERE correction_id NOT IN (SELECT id FROM correction_journal)")
            )
            return gone

    def signals(self, release: str) -> Signals:
        """What was seen of a release: answers, answers that a guard replaced, and the people who voted on them.

        However often somebody votes on answers of one release, they count once: for the side that they took more often, and for
        neither where they took both as often. Votes of which nobody knows who gave them count as one person's.
        """
        with self.database.read() as connection:
            answers, failed = connection.execute(
                text("SELECT count(*), count(fallback) FROM correction_journal WHERE release = :release"),
                {"release": release},
            ).one()
            ups, downs = connection.execute(
                text(
                    "SELECT count(CASE WHEN side > 0 THEN 1 END), count(CASE WHEN side < 0 THEN 1 END) FROM "
                    "(SELECT sum(f.rating) AS side FROM feedback f JOIN correction_journal c ON c.id = f.correction_id "
                    "WHERE c.release = :release AND f.rating <> 0 GROUP BY coalesce(f.giver, '')) AS people"
                ),
                {"release": release},
            ).one()
        return Signals(int(answers), int(failed), int(ups), int(downs))

    def votes(self) -> dict[tuple[str, int], int]:
        """How many votes there are, wherever they came from, by (who answered, rating 1 or -1): a release, the adapter of a
        candidate, or ``base``. Votes on answers that are not, or no longer, journalled are not counted."""
        with self.database.read() as connection:
            rows = connection.execute(
                text(
                    "SELECT coalesce(c.release, c.adapter, 'base') AS who, f.rating AS rating, count(*) AS votes "
                    "FROM feedback f JOIN correction_journal c ON c.id = f.correction_id WHERE f.rating <> 0 "
                    "GROUP BY coalesce(c.release, c.adapter, 'base'), f.rating"
                )
            ).mappings()
            return {(row["who"], int(row["rating"])): int(row["votes"]) for row in rows}

    # -- feedback ------------------------------------------------------------------------------------------------

    def add_feedback(
        self,
        *,
        source_key: str,
        correction_id: str,
        rating: int,
        better: str | None = None,
        edits: Sequence[JudgedEdit] = (),
        comment: str | None = None,
        giver: str | None = None,
        ticked: Sequence[str] = (),
    ) -> Feedback:
        """Take one piece of feedback. The same ``source_key`` with the same words counts once; with other words it
        replaces what was said before and is pending again (a thumb that was turned round).

        Args:
            rating: 1, -1, or 0 when only edits or a better text were given.
            better: the person's own text, personal data already replaced or none.
            edits: which of the answer's edits were taken.
            giver: who gives it, as nothing that names a person; None where it is not known.
            ticked: reasons that a person chose from a list.
        """
        given = {
            "correction_id": correction_id,
            "rating": rating,
            "better": better,
            "edits": to_json(list(edits)),
            "comment": comment,
        }
        meta = {"giver": giver, "ticked": to_json(list(ticked))}
        with self.database.write() as connection:
            found = connection.execute(_FEEDBACK_OF_KEY, {"k": source_key}).mappings().first()
            if found is None:
                connection.execute(
                    _INSERT_FEEDBACK,
                    {
                        **given,
                        **meta,
                        "id": uuid.uuid4().hex[:16],
                        "source_key": source_key,
                        "at": self.database.now(),
                    },
                )
            elif any(found[name] != value for name, value in given.items()):
                connection.execute(text("DELETE FROM thumb WHERE feedback_id = :id"), {"id": found["id"]})
                connection.execute(_CHANGE_FEEDBACK, {**given, **meta, "id": found["id"], "at": self.database.now()})
            elif any(found[name] != value for name, value in meta.items()):
                connection.execute(_CHANGE_META, {**meta, "id": found["id"]})
            return feedback_from(connection.execute(_FEEDBACK_OF_KEY, {"k": source_key}).mappings().one())

    def pending_feedback(self, limit: int = 100) -> list[Feedback]:
        """Feedback that nothing was made of yet, oldest first."""
        return self.feedback("pending", limit, oldest_first=True)

    def feedback(self, state: FeedbackState, limit: int = 100, *, oldest_first: bool = False) -> list[Feedback]:
        """Feedback in one state, newest first unless asked otherwise."""
        order = "at, id" if oldest_first else "at DESC, id"
        with self.database.read() as connection:
            rows = connection.execute(
                text(f"SELECT {FEEDBACK_COLUMNS} FROM feedback WHERE state = :state ORDER BY {order} LIMIT :limit"),
                {"state": state, "limit": limit},
            ).mappings()
            return [feedback_from(row) for row in rows]

    def settle_feedback(
        self,
        id: str,
        state: FeedbackState,
        *,
        message: str,
        example_id: str | None = None,
        thumb: tuple[str, str] | None = None,
    ) -> bool:
        """Write down what became of a piece of feedback.

        Args:
            message: one sentence for whoever gave it.
            example_id: the example it landed as.
            thumb: the (before, after) it confirmed, when ``state`` is ``thumb``.

        Returns:
            False when it was not pending any more; nothing is changed then.
        """
        with self.database.write() as connection:
            now = self.database.now()
            done = connection.execute(
                text(
                    "UPDATE feedback SET state = :state, says = :message, example_id = :example_id, settled_at = :now "
                    "WHERE id = :id AND state = 'pending'"
                ),
                {"state": state, "message": message, "example_id": example_id, "now": now, "id": id},
            ).rowcount
            if done and thumb is not None:
                connection.execute(
                    text(
                        f"INSERT INTO thumb ({_THUMB}, before_sha) VALUES "
                        "(:id, :feedback_id, :before, :after, :at, :before_sha)"
                    ),
                    {
                        "id": uuid.uuid4().hex[:16],
                        "feedback_id": id,
                        "before": thumb[0],
                        "after": thumb[1],
                        "at": now,
                        "before_sha": text_sha(thumb[0]),
                    },
                )
            return bool(done)

    def thumbs(self) -> Iterator[Thumb]:
        """Confirmed answers, in the order of their ids."""
        with self.database.read() as connection:
            rows = connection.execute(text(f"SELECT {_THUMB} FROM thumb ORDER BY id")).mappings().all()
        yield from (Thumb(**row) for row in rows)


def erase_answers(connection: Connection, before_shas: Sequence[str], example_id: str) -> int:
    """Remove the text of journal, feedback and thumbs that show these sources, or that became this example."""
    counts = connection.execute(
        text("SELECT correction_id FROM feedback WHERE example_id = :id"), {"id": example_id}
    ).scalars()
    answers = set(counts)
    for sha in before_shas:
        answers.update(
            connection.execute(
                text("SELECT id FROM correction_journal WHERE before_sha = :sha"), {"sha": sha}
            ).scalars()
        )
        connection.execute(text("DELETE FROM thumb WHERE before_sha = :sha"), {"sha": sha})
    return blank_answers(connection, sorted(answers))


def blank_answers(connection: Connection, ids: Sequence[str]) -> int:
    """Remove the text of journalled answers and of what was said of them, inside an open transaction; returns how many."""
    for id in ids:
        connection.execute(
            text("DELETE FROM thumb WHERE feedback_id IN (SELECT id FROM feedback WHERE correction_id = :id)"),
            {"id": id},
        )
        connection.execute(
            text(
                "UPDATE feedback SET better = NULL, comment = NULL, edits = '[]', "
                "state = CASE state WHEN 'pending' THEN 'ignored' ELSE state END, "
                "says = CASE state WHEN 'pending' THEN 'The example was forgotten.' ELSE says END "
                "WHERE correction_id = :id"
            ),
            {"id": id},
        )
        connection.execute(text("DELETE FROM shadow_answer WHERE correction_id = :id"), {"id": id})
        connection.execute(
            text("UPDATE correction_journal SET before = '', after = '', edits = '[]', before_sha = '' WHERE id = :id"),
            {"id": id},
        )
    return len(ids)


def _entry(row: RowMapping) -> JournalEntry:
    return JournalEntry(**{**row, "edits": edits_from(row["edits"])})


def feedback_from(row: Mapping[Any, Any]) -> Feedback:
    """A piece of feedback from a row with ``FEEDBACK_COLUMNS``."""
    lists = {name: tuple(json.loads(row[name])) for name in ("edits", "ticked")}
    fields = {**row, **lists}
    return Feedback(message=fields.pop("says"), **fields)
