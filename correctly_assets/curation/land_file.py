"""Landing a file: read, check, guard, land, and write down every row that was not taken.

Belongs here: the path of a file's rows into the sink. Does not belong here: the inbox's comings and goings (inbox.py).
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import IO

from correctly_assets.core.errors import PermanentError, UsageError
from correctly_assets.core.json_shapes import Row
from correctly_assets.core.landing import ExampleGuard, LandCounts, LandOutcome, LandRow, RefusedRow, Sink
from correctly_assets.core.ports import Refusal
from correctly_assets.core.types import Example
from correctly_assets.curation.columns import Columns
from correctly_assets.curation.raw_rows import RawRow
from correctly_assets.curation.readers import read_as, read_rows
from correctly_assets.curation.rows import ROW_COLUMNS, parse_row

BATCH_ROWS = 2000
_FIRST_ROWS = 100
_BATCH_SECONDS = 1.0
"""How long one batch should take: nobody else who writes waits longer for the store, and progress is seen."""
_SHOWN_CELL = 1000
_SHOWN_LINES = 20
_MAX_NAME_BYTES = 240
"""255 are the limit, less what a file that is being written has around its name."""

Progress = Callable[[int], None]


def land_file(
    path: Path,
    sink: Sink,
    guards: ExampleGuard,
    *,
    refused_path: Path | None = None,
    refused: RefusedRows | None = None,
    source: str = "file",
    verified: bool = False,
    name: str | None = None,
    progress: Progress | None = None,
    columns: Columns | None = None,
) -> LandOutcome:
    """Land every good row of a file; the others go, each with its line and reason, to ``FILE.refused.jsonl``.

    Landing is idempotent: after a crash, or by mistake, the same file can be landed again and changes nothing.

    Args:
        refused_path: where refused rows are written; beside the file when None.
        refused: takes them instead.
        source: what rows are marked with that do not say where they are from.
        verified: whether a person vouches for the corrections; a row that is there already becomes verified too.
        name: the file's name as it is recorded; its own when None.
        progress: called with the number of rows done so far, once a batch.
        columns: how columns are found; by their names when None.

    Raises:
        UsageError: the file is missing, of an unknown kind or unreadable as a whole, and nothing has landed; or it is
            damaged from some row on, and the good rows before that have.
        RetryableError: the store is busy or away; land the file again later.
        PermanentError: refused rows cannot be written down, or the store cannot be written.
    """
    refused = refused or RefusedRows(refused_path or with_ending(path, ".refused.jsonl"))
    landing = _Landing(sink, guards, refused, name or shown_name(path.name), source, verified, progress)
    try:
        with sink.landing(landing.name) as seen:
            landing.take(read_rows(path, columns), seen)
        sink.record_landing(file=landing.name, sha=_sha(path), counts=landing.counts, refused=refused.count)
        written = refused.finish()
    finally:
        refused.close()
    return replace(landing.outcome(str(written) if written else None), read_as=read_as(path))


def shown_name(name: str) -> str:
    """A file's name as it can be stored and printed: bytes that are no UTF-8 and control characters are replaced."""
    printable = name.encode("utf-8", "replace").decode("utf-8")
    return "".join(sign if sign.isprintable() else "?" for sign in printable)


def with_ending(path: Path, ending: str) -> Path:
    """A name for what is written about a file, beside it; cut where it would be longer than file systems take."""
    name = os.fsencode(path.name)[: _MAX_NAME_BYTES - len(ending)]
    return path.with_name(name.decode("utf-8", "ignore") + ending)


def land_rows(
    rows: Iterable[Row],
    sink: Sink,
    guards: ExampleGuard,
    *,
    source: str = "api",
    name: str = "rows",
) -> tuple[LandOutcome, list[RefusedRow]]:
    """Land rows that come from no file, such as ``POST /v1/examples``.

    Returns:
        The outcome, and the refused rows as ``{"line", "reason", "row"}`` with their place from 1.
    """
    refused = RefusedRows(None)
    landing = _Landing(sink, guards, refused, name, source, False, None)
    with sink.landing(name) as seen:
        landing.take(((number, dict(row)) for number, row in enumerate(rows, 1)), seen)
    return landing.outcome(None), refused.kept


class RefusedRows:
    """Refused rows as ``{"line", "reason", "row"}``: written to a file that appears when all are there, or kept.

    Args:
        path: the file; None keeps the rows in ``kept``.
        keep: how many are kept at most; all when None.
    """

    def __init__(self, path: Path | None, *, keep: int | None = None) -> None:
        self._keep = keep
        self._path = path
        self._work = path.with_name(f".{path.name}.part") if path else None  # see _MAX_NAME_BYTES
        self._file: IO[str] | None = None
        self.kept: list[RefusedRow] = []
        self.count = 0

    def add(self, line: int | None, refusal: Refusal) -> None:
        """Record one refused row.

        Args:
            line: the row's line in its file, from 1; None where it has none.

        Raises:
            PermanentError: the file cannot be written.
        """
        record: RefusedRow = {"line": line, "reason": refusal.reason, "row": _short(refusal.row)}
        self.count += 1
        if self._work is None:
            if self._keep is None or len(self.kept) < self._keep:
                self.kept.append(record)
            return
        try:
            if self._file is None:
                self._work.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._work.open("w", encoding="utf-8", errors="backslashreplace")
            self._file.write(json.dumps(record, ensure_ascii=False, default=str) + "\n")
        except OSError as error:
            raise self._cannot(error) from error

    def finish(self) -> Path | None:
        """Put the file in place; an older report of the same file goes when there is nothing to report any more."""
        if self._path is None or self._work is None:
            return None
        try:
            if self._file is None:
                self._path.unlink(missing_ok=True)
                return None
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._work.replace(self._path)
        except OSError as error:
            raise self._cannot(error) from error
        return self._path

    def close(self) -> None:
        """Drop what was not finished."""
        if self._file is not None and self._work is not None:
            self._file.close()
            self._work.unlink(missing_ok=True)

    def _cannot(self, error: OSError) -> PermanentError:
        return PermanentError(
            f"Refused rows cannot be written to {self._path} ({error.strerror or error}); give another place for them."
        )


class _Landing:
    """The rows of one file on their way, a batch at a time."""

    def __init__(
        self, sink: Sink, guards: ExampleGuard, refused: RefusedRows, name: str, source: str, verified: bool,
        progress: Progress | None,
    ) -> None:  # fmt: skip
        self._sink = sink
        self._guards = guards
        self._refused = refused
        self._source = source
        self._verified = verified
        self._progress = progress
        self._languages = sink.languages()
        self._reasons: Counter[str] = Counter()
        self._lines: dict[str, list[int]] = {}
        self._ignored: Counter[str] = Counter()
        self._batch: list[tuple[int, Example]] = []
        self._batch_rows = _FIRST_ROWS
        self._rows = 0
        self._seen: Callable[[], None] = lambda: None
        self.name = name
        self.counts = LandCounts()

    def take(self, rows: Iterable[RawRow], seen: Callable[[], None]) -> None:
        """Land the rows; ``seen`` is called after each batch."""
        self._seen = seen
        try:
            for line, raw in rows:
                self._take(line, raw)
        except UsageError:
            if self._batch:  # the file is damaged from here on, which takes nothing from the rows before
                self._flush()
            raise
        self._flush()

    def _take(self, line: int, raw: Row | Refusal) -> None:
        self._rows += 1
        row = raw if isinstance(raw, Refusal) else self._parsed(raw)
        if isinstance(row, Refusal):
            reason = _general(row.reason)
            self._reasons[reason] += 1
            if (reason in self._lines or len(self._lines) < 1000) and (
                len(lines := self._lines.setdefault(reason, [])) < _SHOWN_LINES
            ):
                lines.append(line)
            self._refused.add(line, row)
            return
        self._batch.append((line, row))
        if len(self._batch) >= self._batch_rows:
            self._flush()

    def _parsed(self, raw: Row) -> Example | Refusal:
        if not raw.keys() <= ROW_COLUMNS:
            self._ignored.update(str(name)[:60] for name in raw if name not in ROW_COLUMNS)
        return parse_row(raw, languages=self._languages, source=self._source, verified=self._verified)

    def _flush(self) -> None:
        began = time.monotonic()
        checked = self._guards.check([example for _, example in self._batch])
        held = Counter(refusal.reason for _, refusal in checked if refusal)
        counts = self._sink.land(
            (LandRow(example, line, why) for (line, _), (example, why) in zip(self._batch, checked, strict=True)),
            file=self.name,
            batch_rows=BATCH_ROWS,
        )
        self.counts += counts
        if counts.quarantined:
            self._reasons += held
        self._batch_rows = batch_rows(len(self._batch), time.monotonic() - began)
        self._batch = []
        self._seen()
        if self._progress:
            self._progress(self._rows)

    def outcome(self, refused_file: str | None) -> LandOutcome:
        reasons = tuple(self._reasons.most_common(20))
        return LandOutcome(
            landed=self.counts.landed,
            duplicates=self.counts.duplicates,
            refused=self._refused.count,
            waiting=self.counts.waiting,
            quarantined=self.counts.quarantined,
            refused_file=refused_file,
            reasons=reasons,
            lines=tuple((reason, tuple(self._lines[reason])) for reason, _ in reasons if reason in self._lines),
            ignored_columns=tuple(self._ignored.most_common(20)),
        )


def batch_rows(rows: int, seconds: float) -> int:
    """How many rows the next batch holds, from how long the last one took."""
    return max(_FIRST_ROWS // 4, min(BATCH_ROWS, int(rows * _BATCH_SECONDS / max(seconds, 1e-3)), 4 * max(rows, 25)))


def _general(reason: str) -> str:
    """A refusal's words without what is particular to its row, so that equal causes count together."""
    head, _, tail = reason.partition(" speaks of ")
    return f"A reason speaks of words that {tail.rsplit(', which ', 1)[-1]}" if tail and head else reason[:300]


def _short(row: Row) -> Row:
    """The row with cells cut to a length that people can look at; the file itself still has all of it."""
    return {
        str(name)[:60]: value[:_SHOWN_CELL] + "…" if isinstance(value, str) and len(value) > _SHOWN_CELL else value
        for name, value in list(row.items())[:50]
    }


def _sha(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
