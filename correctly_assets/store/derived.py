"""Which example a teacher's example was prompted from or derived from.

Belongs here: the table ``derived``. Does not belong here: writing such examples (teachers/, workflows/generate_examples.py) or
forgetting them (forget.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, text

from correctly_assets.core.text import slices
from correctly_assets.store.subject import Subject


@dataclass(frozen=True, slots=True)
class Derived:
    """One link: the example that a teacher wrote, the landed example it comes from, and who wrote it."""

    example_id: str
    source_id: str
    teacher: str


class DerivedFrom(Subject):
    """The links between examples."""

    def link_derived(self, links: Sequence[Derived]) -> int:
        """Write links down, to be called before the examples land: a call killed in between loses no link.

        A row that has landed already is somebody's own and gets no link: forgetting must not take it along.

        Returns:
            How many links are new.
        """
        with self.database.write() as connection:
            now = self.database.now()
            statement = text(
                "INSERT INTO derived (example_id, source_id, teacher, at) "
                "SELECT :example_id, :source_id, :teacher, :at "
                "WHERE NOT EXISTS (SELECT 1 FROM correction_script WHERE id = :example_id) "
                "ON CONFLICT (example_id) DO NOTHING"
            )
            return sum(
                connection.execute(
                    statement,
                    {"example_id": link.example_id, "source_id": link.source_id, "teacher": link.teacher, "at": now},
                ).rowcount
                for link in links
            )

    def derived_from(self, id: str) -> list[str]:
        """Ids of the examples not yet forgotten that come from this one, directly or through others."""
        found: dict[str, str] = {}
        statement = text(
            "SELECT d.example_id, c.status FROM derived d JOIN correction_script c ON c.id = d.example_id "
            "WHERE d.source_id = :id ORDER BY d.example_id"
        )
        with self.database.read() as connection:
            open_ids = [id]
            while open_ids:
                for row in connection.execute(statement, {"id": open_ids.pop()}):
                    if row.example_id != id and row.example_id not in found:
                        found[row.example_id] = row.status
                        open_ids.append(row.example_id)
        return [child for child, status in found.items() if status != "forgotten"]

    def sources_of(self, ids: Sequence[str]) -> dict[str, Derived]:
        """For each of these examples that a teacher wrote: the link to where it comes from."""
        found: dict[str, Derived] = {}
        statement = text("SELECT example_id, source_id, teacher FROM derived WHERE example_id IN :ids").bindparams(
            bindparam("ids", expanding=True)
        )
        with self.database.read() as connection:
            for chunk in slices(ids, 1000):
                for row in connection.execute(statement, {"ids": chunk}):
                    found[row.example_id] = Derived(row.example_id, row.source_id, row.teacher)
        return found

    def count_derived(self) -> int:
        """Links written so far, forgotten examples' included: each run of a teacher starts where the last one ended."""
        with self.database.read() as connection:
            return connection.execute(text("SELECT count(*) FROM derived")).scalar_one()
