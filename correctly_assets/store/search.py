"""Looking through the examples: filters, words, and how full each cell of the taxonomy is.

Belongs here: the SELECTs behind `correctly examples` and behind the choice of what to write next. Does not belong here:
likeness of meaning (curation/vector_search.py), landing or changing rows (examples.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import text

from correctly_assets.store.examples import EXAMPLE_COLUMNS
from correctly_assets.store.records import Status, StoredExample, stored_from
from correctly_assets.store.subject import Subject

_PAGE = 5000
_EXACT = {
    "form": "t.form",
    "tone": "t.tone",
    "language": "t.language",
    "level": "t.cefr",
    "length": "t.length_class",
    "source": "t.source",
    "status": "c.status",
}


@dataclass(frozen=True, slots=True)
class ExampleFilter:
    """What to look for; None lets everything through.

    Attributes:
        topic: a part of the topic, in any case.
        level: CEFR level, e.g. ``B1``.
        length: ``short`` (up to 10 words), ``medium`` (up to 25) or ``long``.
        status: one status; None for all but the forgotten, whose text is gone.
        words: each of them must stand in the text or its correction, in any case.
    """

    form: str | None = None
    tone: str | None = None
    topic: str | None = None
    language: str | None = None
    level: str | None = None
    source: str | None = None
    status: Status | None = None
    words: Sequence[str] = ()
    length: str | None = None


@dataclass(frozen=True, slots=True)
class CellCount:
    """How many living examples (accepted or waiting) one cell of the taxonomy holds."""

    form: str | None
    tone: str | None
    topic: str | None
    examples: int


class Search(Subject):
    """The searching part of the store."""

    def find(self, wanted: ExampleFilter, limit: int | None = None) -> Iterator[StoredExample]:
        """Examples that pass a filter, in the order of their ids, read a page at a time.

        Args:
            limit: at most this many.
        """
        where, values = _where(wanted)
        after, left = "", limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            with self.database.read() as connection:
                page = (
                    connection.execute(
                        text(
                            f"SELECT {EXAMPLE_COLUMNS} FROM correction_script c JOIN text_repository t ON t.id = c.text_id "
                            f"WHERE c.id > :after AND {where} ORDER BY c.id LIMIT :limit"
                        ),
                        {**values, "after": after, "limit": size},
                    )
                    .mappings()
                    .all()
                )
            yield from (stored_from(row) for row in page)
            if len(page) < size:
                return
            after = page[-1]["id"]
            left = None if left is None else left - size

    def count_cells(self, language: str = "en") -> list[CellCount]:
        """Living examples by form, tone and topic, in a fixed order; cells without any are not listed."""
        with self.database.read() as connection:
            rows = connection.execute(
                text(
                    "SELECT t.form, t.tone, t.topic, count(*) AS examples FROM correction_script c "
                    "JOIN text_repository t ON t.id = c.text_id "
                    "WHERE c.status IN ('accepted', 'waiting') AND t.language = :language "
                    "GROUP BY t.form, t.tone, t.topic ORDER BY t.form, t.tone, t.topic"
                ),
                {"language": language},
            )
            return [CellCount(row.form, row.tone, row.topic, row.examples) for row in rows]


def _where(wanted: ExampleFilter) -> tuple[str, dict[str, str]]:
    """The condition of a filter in SQL that SQLite and PostgreSQL both read, and its parameters."""
    clauses: list[str] = []
    values: dict[str, str] = {}
    for name, column in _EXACT.items():
        value = getattr(wanted, name)
        if value is not None:
            clauses.append(f"lower({column}) = :{name}")
            values[name] = value.lower()
    if wanted.status is None:
        clauses.append("c.status <> 'forgotten'")
    if wanted.topic is not None:
        clauses.append("lower(t.topic) LIKE :topic ESCAPE '!'")
        values["topic"] = _holding(wanted.topic)
    for number, word in enumerate(wanted.words):
        # One parameter for both columns: a word may have been corrected away.
        clauses.append(
            f"(lower(c.before) LIKE :word{number} ESCAPE '!' OR lower(c.after) LIKE :word{number} ESCAPE '!')"
        )
        values[f"word{number}"] = _holding(word)
    return " AND ".join(clauses) or "1 = 1", values


def _holding(part: str) -> str:
    """A LIKE pattern for texts that hold ``part``; its wildcards are taken literally (ESCAPE '!')."""
    return "%" + part.lower().replace("!", "!!").replace("%", "!%").replace("_", "!_") + "%"
