"""What would land of a file, with nothing written.

Belongs here: a sink that counts and shows instead of keeping. Does not belong here: reading and checking, which are those of a
landing (land_file.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from correctly_assets.core.landing import ExampleGuard, LandCounts, LandOutcome, LandRow, RefusedRow, content_sha
from correctly_assets.core.text import slices
from correctly_assets.core.types import Example
from correctly_assets.curation.columns import Columns
from correctly_assets.curation.land_file import RefusedRows, land_file

SHOWN_ROWS = 20


class ShownRow(TypedDict):
    """A row as it would land; ``held`` is why it would wait in quarantine."""

    line: int | None
    before: str
    after: str | None
    held: str | None


@dataclass(frozen=True, slots=True)
class Preview:
    """What would become of a file.

    Attributes:
        outcome: what landing it would count.
        rows: the first rows as they would land.
        refused: the first refused rows.
    """

    outcome: LandOutcome
    rows: tuple[ShownRow, ...]
    refused: tuple[RefusedRow, ...]


class _Counting:
    """A sink that keeps nothing but the first rows and the contents it has seen."""

    def __init__(self, languages: frozenset[str], known: Callable[[Iterable[str]], set[str]]) -> None:
        self._languages, self._known = languages, known
        self._seen: set[str] = set()
        self.rows: list[ShownRow] = []

    def land(self, rows: Iterable[Example | LandRow], *, file: str | None = None, batch_rows: int = 2000) -> LandCounts:
        total = LandCounts()
        for chunk in slices(rows, batch_rows):
            by_sha = [(content_sha(row.example), row) for row in map(_as_row, chunk)]
            self._seen |= self._known([sha for sha, _ in by_sha])
            for sha, row in by_sha:
                total += self._count(sha, row)
        return total

    def _count(self, sha: str, row: LandRow) -> LandCounts:
        if sha in self._seen:
            return LandCounts(duplicates=1)
        self._seen.add(sha)
        if len(self.rows) < SHOWN_ROWS:
            held = row.held.reason if row.held else None
            example = row.example
            self.rows.append({"line": row.line, "before": example.before, "after": example.after, "held": held})
        return LandCounts(1, 0, int(row.held is None and row.example.after is None), int(row.held is not None))

    @contextmanager
    def landing(self, file: str) -> Iterator[Callable[[], None]]:
        yield lambda: None

    def record_landing(self, *, file: str, sha: str | None, counts: LandCounts, refused: int) -> None:
        pass

    def languages(self) -> frozenset[str]:
        return self._languages


def _as_row(row: Example | LandRow) -> LandRow:
    return row if isinstance(row, LandRow) else LandRow(row)


def preview_file(
    path: Path,
    guards: ExampleGuard,
    *,
    languages: frozenset[str],
    known: Callable[[Iterable[str]], set[str]] = lambda shas: set(),
    columns: Columns | None = None,
) -> Preview:
    """What landing a file would do; nothing is written, neither to the store nor beside the file.

    Args:
        languages: codes that rows may have.
        known: which of some contents (`content_sha`) have landed already.
        columns: how columns are found; by their names when None.

    Raises:
        UsageError: the file cannot be read, as for ``land_file``.
    """
    sink, refused = _Counting(languages, known), RefusedRows(None, keep=SHOWN_ROWS)
    outcome = land_file(path, sink, guards, refused=refused, columns=columns)
    return Preview(outcome, tuple(sink.rows), tuple(refused.kept))
