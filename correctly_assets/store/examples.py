"""Examples: landing, reading, completing, and which of them a decision has seen.

Belongs here: every statement on ``text_repository``, ``correction_script`` and ``accepted_state`` that does not forget.
Does not belong here: checking rows (curation/), the quarantine's own table (quarantine.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import RowMapping, bindparam, text

from correctly_assets.artifacts.accepted_rows import ACCEPTED_COLUMNS, STAMP_COLUMNS
from correctly_assets.core.errors import UsageError
from correctly_assets.core.landing import LandCounts, LandRow, content_sha
from correctly_assets.core.retrain import rows_digest
from correctly_assets.core.text import slices
from correctly_assets.core.types import Edit, Example, Reason
from correctly_assets.store.accepted_set import touch_accepted
from correctly_assets.store.quarantine import insert_quarantine
from correctly_assets.store.records import Counts, FormTone, StoredExample, example_from, stored_from, to_json
from correctly_assets.store.subject import Subject, like_prefix

EXAMPLE_COLUMNS = """
    c.id, c.before, c.after, c.reason, c.reasons, c.style, c.key_expressions, c.speaker, c.verified, c.weight, c.status,
    c.decided_in, c.edits, t.form, t.tone, t.topic, t.language, t.source, t.cefr, t.licence, t.landed_at, t.source_file,
    t.source_line, t.length_class
"""
_TEXT_COLUMNS = frozenset(("form", "tone", "topic", "language", "source", "cefr", "licence"))
_FROM = "FROM correction_script c JOIN text_repository t ON t.id = c.text_id"
_PAGE = 5000

_INSERT_TEXT = text(
    """
    INSERT INTO text_repository (id, form, tone, length_class, topic, language, cefr, source, licence, landed_at,
                                 source_file, source_line)
    VALUES (:id, :form, :tone, :length_class, :topic, :language, :cefr, :source, :licence, :landed_at,
            :source_file, :source_line)
    """
)
_INSERT_SCRIPT = text(
    """
    INSERT INTO correction_script (id, text_id, task, style, key_expressions, speaker, before, after, reason, reasons,
                                   status, content_sha, verified, accepted_at)
    VALUES (:id, :id, :task, :style, :key_expressions, :speaker, :before, :after, :reason, :reasons,
            :status, :content_sha, :verified, :accepted_at)
    """
)
_KNOWN = text("SELECT content_sha FROM correction_script WHERE content_sha IN :shas").bindparams(
    bindparam("shas", expanding=True)
)
_VERIFY = text(
    "UPDATE correction_script SET verified = 1 WHERE content_sha IN :shas AND verified = 0 AND status <> 'forgotten'"
).bindparams(bindparam("shas", expanding=True))


def length_class(words: int) -> str:
    """``short`` up to 10 words, ``medium`` up to 25, ``long`` beyond."""
    return "short" if words <= 10 else "medium" if words <= 25 else "long"


class Examples(Subject):
    """The examples of the store."""

    # -- landing -------------------------------------------------------------------------------------------------

    def land(
        self,
        rows: Iterable[Example | LandRow],
        *,
        file: str | None = None,
        batch_rows: int = 2000,
        task: str = "correct",
    ) -> LandCounts:
        """Land rows, ``batch_rows`` a transaction; the iterable is read as it lands, so it may be longer than memory.

        A row is known by its content (core/landing.py): one that is there already, in whatever state, is a duplicate,
        so landing the same rows again after a crash changes nothing. A row without ``after`` waits; a held row lands in
        quarantine; any other is accepted.

        Raises:
            RetryableError: the store is busy or away. Batches landed before stay landed.
        """
        total = LandCounts()
        for chunk in slices(rows, batch_rows):
            unique: dict[str, LandRow] = {}
            for row in chunk:
                land_row = row if isinstance(row, LandRow) else LandRow(row)
                unique.setdefault(content_sha(land_row.example, task), land_row)
            counts = self._land_batch(unique, file, task)
            total += replace(counts, duplicates=counts.duplicates + len(chunk) - len(unique))
        return total

    def known_contents(self, shas: Iterable[str]) -> set[str]:
        """Which of these contents (core/landing.py: `content_sha`) are in the store already, in whatever state."""
        found: set[str] = set()
        with self.database.read() as connection:
            for some in slices(shas, 500):
                found.update(connection.execute(_KNOWN, {"shas": some}).scalars())
        return found

    def _land_batch(self, rows: dict[str, LandRow], file: str | None, task: str) -> LandCounts:
        with self.database.write() as connection:
            known = set(connection.execute(_KNOWN, {"shas": list(rows)}).scalars())
            fresh = {sha: row for sha, row in rows.items() if sha not in known}
            # What a person vouches for now may have landed unseen before.
            vouched = [sha for sha in known if rows[sha].example.verified]
            if vouched:
                connection.execute(_VERIFY, {"shas": vouched})
            if not fresh:
                return LandCounts(duplicates=len(rows))
            now = self.database.now()
            texts: list[dict[str, str | int | None]] = []
            scripts: list[dict[str, str | int | None]] = []
            held: list[tuple[str, LandRow]] = []
            for sha, row in fresh.items():
                example = row.example
                status = "quarantined" if row.held else "waiting" if example.after is None else "accepted"
                texts.append(
                    {
                        "id": sha[:16],
                        "form": example.form,
                        "tone": example.tone,
                        "length_class": length_class(example.before.count(" ") + 1),
                        "topic": example.topic,
                        "language": example.language,
                        "cefr": example.cefr,
                        "source": example.source,
                        "licence": example.licence,
                        "landed_at": now,
                        "source_file": file,
                        "source_line": row.line,
                    }
                )
                scripts.append(
                    {
                        "id": sha[:16],
                        "task": task,
                        "style": example.style,
                        "key_expressions": to_json(example.key_expressions),
                        "speaker": example.speaker,
                        "before": example.before,
                        "after": example.after,
                        "reason": example.reason,
                        "reasons": to_json([reason.to_json() for reason in example.reasons]),
                        "status": status,
                        "content_sha": sha,
                        "verified": int(example.verified),
                        "accepted_at": now if status == "accepted" else None,
                    }
                )
                if row.held:
                    held.append((sha[:16], row))
            connection.execute(_INSERT_TEXT, texts)
            connection.execute(_INSERT_SCRIPT, scripts)
            insert_quarantine(connection, [(id, row.held) for id, row in held if row.held], now)
            touch_accepted(connection, now)
            waiting = sum(script["status"] == "waiting" for script in scripts)
            return LandCounts(len(fresh), len(rows) - len(fresh), waiting, len(held))

    # -- reading -------------------------------------------------------------------------------------------------

    def accepted(self, limit: int | None = None, after: str = "") -> Iterator[Example]:
        """Accepted examples in the order of their ids, read a page at a time.

        Args:
            limit: at most this many.
            after: only ids that come after this one; the last id seen continues a reading.
        """
        return self._paged("accepted", limit, after)

    def waiting(self, limit: int | None = None, after: str = "") -> Iterator[Example]:
        """Examples without ``after``, which wait for a teacher, in the order of their ids."""
        return self._paged("waiting", limit, after)

    def _paged(self, status: str, limit: int | None, after: str) -> Iterator[Example]:
        left = limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            page = self._page(size, after, status)
            yield from (example_from(row) for row in page)
            if len(page) < size:
                return
            after = page[-1]["id"]
            left = None if left is None else left - size

    def _page(self, limit: int, after: str, status: str) -> Sequence[RowMapping]:
        with self.database.read() as connection:
            return (
                connection.execute(
                    text(
                        f"SELECT {EXAMPLE_COLUMNS} {_FROM} WHERE c.status = :status AND c.id > :after "
                        "ORDER BY c.id LIMIT :limit"
                    ),
                    {"status": status, "after": after, "limit": limit},
                )
                .mappings()
                .all()
            )

    def accepted_columns(self, size: int) -> Iterator[list[list[Any]]]:
        """The accepted rows of one moment, ``size`` at a time in no order: a list of values for each of
        ``ACCEPTED_COLUMNS``, JSON still as text. What snapshots are written from."""
        names = ", ".join(("t." if name in _TEXT_COLUMNS else "c.") + name for name in ACCEPTED_COLUMNS)
        with self.database.read() as connection:
            streamed = connection.execution_options(stream_results=True, max_row_buffer=size)
            # The comparison of an expression keeps the planner off the index, whose order scatters the reads.
            rows = streamed.execute(text(f"SELECT {names} {_FROM} WHERE c.status || '' = 'accepted'"))
            for part in rows.partitions(size):
                yield [list(column) for column in zip(*part, strict=True)]

    def accepted_stamps(self, size: int) -> Iterator[list[list[Any]]]:
        """``STAMP_COLUMNS`` of the accepted rows of one moment, column by column, ``size`` rows at a time in no order."""
        with self.database.read() as connection:
            streamed = connection.execution_options(stream_results=True, max_row_buffer=size)
            rows = streamed.execute(
                text(f"SELECT {', '.join(STAMP_COLUMNS)} FROM correction_script WHERE status || '' = 'accepted'")
            )
            for part in rows.partitions(size):
                yield [list(column) for column in zip(*part, strict=True)]

    def accepted_columns_of(self, ids: Sequence[str]) -> Iterator[list[list[Any]]]:
        """``ACCEPTED_COLUMNS`` of these rows, as ``accepted_columns`` gives them; a row no longer accepted is left out."""
        names = ", ".join(("t." if name in _TEXT_COLUMNS else "c.") + name for name in ACCEPTED_COLUMNS)
        statement = text(f"SELECT {names} {_FROM} WHERE c.status = 'accepted' AND c.id IN :ids").bindparams(
            bindparam("ids", expanding=True)
        )
        for chunk in slices(ids, 1000):
            with self.database.read() as connection:
                rows = connection.execute(statement, {"ids": chunk}).all()
            if rows:
                yield [list(column) for column in zip(*rows, strict=True)]

    def accepted_hashes(self) -> Iterator[str]:
        """Content hashes of the accepted examples, in the order of their ids: the rows of the fingerprint."""
        after = ""
        while True:
            with self.database.read() as connection:
                page = connection.execute(
                    text(
                        "SELECT id, content_sha FROM correction_script WHERE status = 'accepted' AND id > :after "
                        "ORDER BY id LIMIT 50000"
                    ),
                    {"after": after},
                ).all()
            yield from (row.content_sha for row in page)
            if len(page) < 50000:
                return
            after = page[-1].id

    def accepted_digest(self) -> str:
        """One hash of the accepted rows (``core.retrain.rows_digest``), computed once per change of the set.

        A sensor may ask at every tick: without a change it costs one small row.
        """
        with self.database.read() as connection:
            state = connection.execute(text("SELECT revision, digest, digest_revision FROM accepted_state")).one()
            if state.digest is not None and state.digest_revision == state.revision:
                return state.digest
            shas = connection.execute(
                text("SELECT content_sha FROM correction_script WHERE status = 'accepted'")
            ).scalars()
            digest = rows_digest(shas)
        with self.database.write() as connection:
            # Only if nothing has changed since the set was read; otherwise the next caller computes it again.
            connection.execute(
                text(
                    "UPDATE accepted_state SET digest = :digest, digest_revision = :revision WHERE revision = :revision"
                ),
                {"digest": digest, "revision": state.revision},
            )
        return digest

    def get(self, prefix: str) -> StoredExample:
        """The example whose id begins with ``prefix``.

        Raises:
            UsageError: no example, or more than one, has such an id.
        """
        with self.database.read() as connection:
            rows = (
                connection.execute(
                    text(f"SELECT {EXAMPLE_COLUMNS} {_FROM} WHERE c.id LIKE :like ESCAPE '!' ORDER BY c.id LIMIT 3"),
                    {"like": like_prefix(prefix)},
                )
                .mappings()
                .all()
            )
        if not rows or not prefix:
            raise UsageError(f"No example has an id that begins with {prefix!r}; `correctly examples` lists them.")
        if len(rows) > 1 and rows[0]["id"] != prefix:
            ids = ", ".join(row["id"] for row in rows)
            raise UsageError(f"More than one example begins with {prefix!r} ({ids} …); give more of the id.")
        return stored_from(rows[0])

    def counts(self) -> Counts:
        """Rows by status."""
        with self.database.read() as connection:
            rows = connection.execute(text("SELECT status, count(*) FROM correction_script GROUP BY status")).all()
            by = {str(row.status): int(row[1]) for row in rows}
        forgotten = by.pop("forgotten", 0)
        return Counts(
            sum(by.values()), by.get("accepted", 0), by.get("waiting", 0), by.get("quarantined", 0), forgotten
        )

    def last_landed_at(self) -> str | None:
        """When a row landed, was completed or came back last; None before the first."""
        with self.database.read() as connection:
            return connection.execute(text("SELECT last_landed_at FROM accepted_state")).scalar_one()

    def languages(self) -> frozenset[str]:
        """Codes of the languages that rows may have."""
        with self.database.read() as connection:
            return frozenset(connection.execute(text("SELECT code FROM language")).scalars())

    def forms_and_tones(self, language: str = "en") -> list[FormTone]:
        """The taxonomy that prompts draw on, in a fixed order."""
        with self.database.read() as connection:
            rows = connection.execute(
                text(
                    "SELECT m.emotion, m.form, f.form_form, m.tone, t.name AS tone_name, m.wording "
                    "FROM mapping_emotion_form_tone m JOIN form f ON f.code = m.form JOIN tone t ON t.code = m.tone "
                    "ORDER BY m.emotion, m.form, m.tone"
                )
            ).mappings()
            return [FormTone(**row) for row in rows]

    # -- changing ------------------------------------------------------------------------------------------------

    def complete_waiting(
        self,
        id: str,
        after: str,
        reasons: Sequence[Reason] = (),
        reason: str | None = None,
        edits: Sequence[Edit] = (),
    ) -> bool:
        """Give a waiting example its ``after``; it is accepted from then on.

        Args:
            edits: ERRANT's, between ``before`` and ``after``.

        Returns:
            False when it does not wait any more (completed by somebody else, or forgotten); nothing is changed then.
        """
        with self.database.write() as connection:
            now = self.database.now()
            done = connection.execute(
                text(
                    "UPDATE correction_script SET after = :after, reasons = :reasons, edits = :edits, "
                    "reason = coalesce(:reason, reason), status = 'accepted', accepted_at = :now "
                    "WHERE id = :id AND status = 'waiting'"
                ),
                {
                    "id": id,
                    "after": after,
                    "reasons": to_json([item.to_json() for item in reasons]),
                    "edits": to_json([edit.to_json() for edit in edits]),
                    "reason": reason,
                    "now": now,
                },
            ).rowcount
            if done:
                touch_accepted(connection, now)
            return bool(done)

    def keep_edits(self, edits: Iterable[tuple[str, Sequence[Edit]]]) -> int:
        """Write down the edits of landed corrections, as they were found when the rows entered a train set.

        Args:
            edits: (example id, ERRANT's edits of its ``before`` and ``after``).

        Returns:
            How many rows have them now that had none; a forgotten row keeps none.
        """
        changed = 0
        statement = text(
            "UPDATE correction_script SET edits = :edits WHERE id = :id AND edits IS NULL AND status = 'accepted'"
        )
        for chunk in slices(edits, 1000):
            rows = [{"id": id, "edits": to_json([edit.to_json() for edit in found])} for id, found in chunk]
            with self.database.write() as connection:
                changed += sum(connection.execute(statement, row).rowcount for row in rows)
        return changed
