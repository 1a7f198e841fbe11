"""Files to raw rows: CSV, JSONL and Parquet here, the rarer layouts in layouts.py.

Belongs here: getting at each row without losing the others, however broken one is. Does not belong here: what a row
must hold (rows.py).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from correctly_assets.core.errors import UsageError
from correctly_assets.core.ports import Refusal
from correctly_assets.curation.layouts import alone, is_part, read_m2, read_parallel, read_xlsx
from correctly_assets.curation.raw_rows import RawRow, damaged, refusal

MAX_LINE_BYTES = 64 * 2**20
_MAX_RECORD_LINES = 200


def read_rows(path: Path) -> Iterator[RawRow]:
    """The rows of a file, one at a time: (line or row number from 1, raw row or refusal).

    A row that cannot be read is a refusal in its place; the rows around it are not lost. CSV may be separated by
    commas, semicolons or tabs, in UTF-8 or UTF-16.

    Raises:
        UsageError: the file is missing, of an unknown kind, unreadable as a whole, or damaged from some row on.
    """
    if not path.exists():
        raise UsageError(f"{path} does not exist.")
    reader = reader_for(path)
    if reader is None and is_part(path):
        raise UsageError(alone(path))
    if reader is None:
        raise UsageError(f"{path.name} is none of {', '.join(kinds())}; convert it to one of them.")
    try:
        yield from reader(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror or error}).") from error


def reader_for(path: Path) -> Callable[[Path], Iterator[RawRow]] | None:
    """The reader for a file or folder, by its name."""
    from correctly_assets.core.layouts import is_parallel

    if is_parallel(path):
        return read_parallel
    if path.is_dir():
        return None
    return {
        ".csv": read_csv,
        ".tsv": read_csv,
        ".jsonl": read_jsonl,
        ".ndjson": read_jsonl,
        ".parquet": read_parquet,
        ".m2": read_m2,
        ".xlsx": read_xlsx,
    }.get(path.suffix.lower())


def kinds() -> tuple[str, ...]:
    """What can be read, for messages."""
    return ("CSV", "JSONL", "Parquet", "M2", "XLSX", "parallel text (NAME.src with NAME.ref0)")


def read_jsonl(path: Path) -> Iterator[RawRow]:
    """One JSON object a line."""
    with path.open("rb") as file:
        for number, data in _byte_lines(file):
            if data is None:
                yield number, refusal(f"The line is longer than {MAX_LINE_BYTES // 2**20} MB.")
                continue
            if number == 1:
                data = data.removeprefix(b"\xef\xbb\xbf")
            if not data.strip():
                continue
            try:
                text = data.decode("utf-8")
            except UnicodeDecodeError:
                wrong = data.decode("utf-8", "replace")
                yield number, refusal("The line is not valid UTF-8; save the file as UTF-8 and add it again.", wrong)
                continue
            try:
                value = json.loads(text)
            except (ValueError, RecursionError) as error:
                why = error.msg.lower() if isinstance(error, json.JSONDecodeError) else "nested too deeply"
                yield number, refusal(f"The line is not valid JSON ({why}).", text.strip())
                continue
            if isinstance(value, dict):
                yield number, value
            else:
                yield number, refusal("The line is not a JSON object.", text.strip())


def _byte_lines(file: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """Numbered lines; None for one that is too long to be held, which is skipped over."""
    number = 0
    while line := file.readline(MAX_LINE_BYTES):
        number += 1
        if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
            while rest := file.readline(MAX_LINE_BYTES):
                if rest.endswith(b"\n"):
                    break
            yield number, None
        else:
            yield number, line


# -- CSV -----------------------------------------------------------------------------------------------------------


class _Lines:
    """Physical lines for the csv module, remembering those of the record at hand so that they can be given back."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._back: list[str] = []
        self.number = 0
        self.taken: list[str] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if len(self.taken) >= _MAX_RECORD_LINES:
            raise csv.Error(f"more than {_MAX_RECORD_LINES} lines between two quotation marks")
        line = self._back.pop() if self._back else next(self._file)
        self.taken.append(line)
        self.number += 1
        return line

    def start_record(self) -> None:
        self.taken = []

    def keep_first(self) -> None:
        """Give back all lines of the record but its first."""
        self._back += reversed(self.taken[1:])
        self.number -= len(self.taken) - 1
        self.taken = self.taken[:1]


def read_csv(path: Path) -> Iterator[RawRow]:
    """A CSV file with a header. A row whose quotation marks are off is refused alone: reading goes on behind it."""
    # A cell of many megabytes must arrive here to be refused in words; the module's own limit would end the file.
    csv.field_size_limit(MAX_LINE_BYTES)
    encoding = _encoding(path)
    # Half a UTF-16 character has no surrogate to escape into; its mark costs the one row that holds it (rows.py).
    errors = "replace" if encoding == "utf-16" else "surrogateescape"
    with path.open("r", encoding=encoding, errors=errors, newline="") as file:
        lines = _Lines(file)
        try:
            first = next(lines)
        except StopIteration:
            raise UsageError(f"{path.name} is empty.") from None
        if "\ufffd" in first:
            raise UsageError(f"{path.name} is neither UTF-8 nor UTF-16; save it as UTF-8.")
        delimiter, header = _header(first, path)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        while True:
            lines.start_record()
            number = lines.number + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                lines.keep_first()
                yield number, refusal(f"The row's quotation marks are off ({error}).", lines.taken[0].strip())
                continue
            if not any(cells):
                continue
            if len(cells) > len(header):
                why = f"The row has {len(cells)} cells, the header {len(header)}: quote cells that hold the separator."
                yield number, refusal(why, delimiter.join(cells))
                continue
            yield number, {name: cell for name, cell in zip(header, cells, strict=False) if cell or name == "before"}


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(4)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    return "utf-8-sig"


def _header(line: str, path: Path) -> tuple[str, list[str]]:
    best: list[str] = []
    for delimiter in (",", ";", "\t"):
        try:
            names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter))]
        except csv.Error as error:
            raise UsageError(f"The header of {path.name} cannot be read ({error}).") from error
        if "before" in names:
            twice = sorted({name for name in names if name and names.count(name) > 1})
            if twice:
                raise UsageError(f"{path.name} has the column `{twice[0]}` twice; rename one of them.")
            return delimiter, names
        best = max(best, names, key=len)
    columns = ", ".join(name[:40] for name in best[:12] if name) or "none"
    raise UsageError(f"{path.name} has no column `before` in its first line; its columns are: {columns}.")


# -- Parquet -------------------------------------------------------------------------------------------------------


def read_parquet(path: Path) -> Iterator[RawRow]:
    """A Parquet file; ``reasons`` may be a list of structs or JSON text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: a column's name that is no UTF-8
        raise UsageError(f"{path.name} is not a readable Parquet file.") from error
    with file:
        names = file.schema_arrow.names
        if "before" not in names:
            raise UsageError(f"{path.name} has no column `before`; its columns are: {', '.join(names[:12]) or 'none'}.")
        number = 0
        try:
            for batch in file.iter_batches(batch_size=5000):
                for row in _plain_rows(batch):
                    number += 1
                    yield number, row
        except (pa.ArrowException, OSError, ValueError) as error:
            raise damaged(path, number) from error


def _plain_rows(batch: Any) -> Iterator[dict[str, Any] | Refusal]:
    try:
        rows = batch.to_pylist()
    except UnicodeDecodeError:
        # One cell of the batch is not UTF-8: take the rows one by one, so that the others are not lost.
        for index in range(batch.num_rows):
            try:
                rows = batch.slice(index, 1).to_pylist()
            except UnicodeDecodeError:
                yield refusal("The row is not valid UTF-8.")
            else:
                yield from _without_empty(rows)
        return
    yield from _without_empty(rows)


def _without_empty(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield {name: value for name, value in row.items() if value is not None}
