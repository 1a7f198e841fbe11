"""Files to raw rows: CSV, JSONL and JSON here, binary tables in tables.py, the rarer text layouts in file_layouts.py.

Belongs here: getting at each row without losing the others, however broken one is, with bounds on what is read at once. Does
not belong here: what a row must hold (rows.py), or which column is which field (columns.py).
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from correctly_assets.core.errors import UsageError
from correctly_assets.core.layouts import is_parallel
from correctly_assets.core.ports import Refusal
from correctly_assets.core.text import decoding_errors, unicode_form
from correctly_assets.curation.columns import Columns, ColumnsUnclear
from correctly_assets.curation.file_layouts import alone, is_part, read_m2, read_parallel
from correctly_assets.curation.raw_rows import RawRow, cell_text, refusal
from correctly_assets.curation.record_shapes import CHATS, rows_of
from correctly_assets.curation.tables import parquet_files, read_parquet, read_parquet_folder, read_xlsx

MAX_LINE_BYTES = 64 * 2**20
MAX_FILE_BYTES = 4 * 2**30
MAX_WHOLE_BYTES = 512 * 2**20
"""What is read at once and not row by row (JSON, XLSX, M2, parallel text) may have so much."""
_MAX_RECORD_LINES = 200
_HEADER_LINES = 10
_LOOKED_AT = 2**20
"""Bytes by which a CSV file's encoding is told."""
_UTF_8 = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}")
_NOT_WESTERN = re.compile("[^\x00-\x7f‘’‚“”„–—…€£«»¿¡™\u00a0]{3}")

Reader = Callable[[Path, Columns], Iterator[RawRow]]


def read_rows(path: Path, columns: Columns | None = None) -> Iterator[RawRow]:
    """The rows of a file, one at a time: (line or row number from 1, raw row or refusal).

    A row that cannot be read is a refusal in its place; the rows around it are not lost. Text is UTF-8, 16 or 32; CSV may be
    Windows-1252 too, and separated by commas, semicolons, tabs or bars.

    Args:
        columns: how columns are found; by their names when None.

    Raises:
        UsageError: the file is missing, too large, of an unknown kind, unreadable as a whole, or damaged from some row on.
    """
    if not path.exists():
        raise UsageError(f"{path} does not exist.")
    reader = reader_for(path)
    if reader is None and is_part(path):
        raise UsageError(alone(path))
    try:
        if path.is_file() and (packed := _packed(path, reader)) is not None:
            raise UsageError(f"{path.name} {packed}; unpack it, or save it as CSV or XLSX.")
        if reader is None and path.is_dir():
            wanted = "one NAME.src with its references, nor Parquet files"
            raise UsageError(f"The folder {path.name} holds neither {wanted}: add its files themselves.")
        if reader is None:
            raise UsageError(f"{path.name} is none of {', '.join(kinds())}; convert it to one of them.")
        if reader is read_csv and _first_sign(path) in ("{", "["):
            reader = read_jsonl
        _bounded(path, reader)
        yield from reader(path, columns or Columns())
    except OSError as error:
        remedy = "give yourself the right to read it" if isinstance(error, PermissionError) else "copy it again"
        raise UsageError(f"{path} cannot be read ({error.strerror or error}); {remedy}.") from error


def reader_for(path: Path) -> Reader | None:
    """The reader for a file or folder, by its name."""
    if is_parallel(path):
        return _read_parallel
    if path.is_dir():
        return read_parquet_folder if parquet_files(path) else None
    return {
        ".csv": read_csv,
        ".tsv": read_csv,
        ".tab": read_csv,
        ".txt": read_csv,  # what a spreadsheet calls Unicode text
        ".jsonl": read_jsonl,
        ".ndjson": read_jsonl,
        ".json": read_json,
        ".parquet": read_parquet,
        ".m2": _read_m2,
        ".xlsx": read_xlsx,
        ".xlsm": read_xlsx,
    }.get(path.suffix.lower())


def kinds() -> tuple[str, ...]:
    """What can be read, for messages."""
    return (
        "CSV", "JSONL", "JSON", "Parquet (a file, or a folder of them)", "M2", "XLSX",
        "parallel text (NAME.src with NAME.tgt or NAME.ref0)",
    )  # fmt: skip


def is_left_alone(name: str) -> bool:
    """Whether a file is none of a person's data by its name: hidden, another program's lock, or not written to its end."""
    return name.startswith((".", "~$")) or name.endswith("~") or name.lower().endswith(_NOT_DATA)


_NOT_DATA = (".part", ".tmp", ".crdownload", ".swp", "thumbs.db", "desktop.ini")


_PACKED = {
    b"PK\x03\x04": "is a ZIP archive, or a document that is one inside",
    b"\x1f\x8b": "is packed with gzip",
    b"\xd0\xcf\x11\xe0": "is an old Office document, or one with a password",
}
"""How files begin that hold no text, whatever they are called."""


def _packed(path: Path, reader: Reader | None) -> str | None:
    """What a file is that no text can be read from; None for any other, a workbook among them."""
    with path.open("rb") as file:
        start = file.read(4)
    found = next((what for sign, what in _PACKED.items() if start.startswith(sign)), None)
    return None if reader is read_xlsx and start.startswith(b"PK") else found


def _read_m2(path: Path, columns: Columns) -> Iterator[RawRow]:
    return read_m2(path)


def _read_parallel(path: Path, columns: Columns) -> Iterator[RawRow]:
    return read_parallel(path)


def _bounded(path: Path, reader: Reader) -> None:
    if path.is_dir():
        return
    size, limit = path.stat().st_size, MAX_FILE_BYTES
    if reader in (read_json, read_xlsx, _read_m2, _read_parallel):
        limit = MAX_WHOLE_BYTES
    if size > limit:
        raise UsageError(
            f"{path.name} has {size / 2**20:,.0f} MB and may have {limit / 2**20:,.0f} MB; split it into several files."
        )


# -- JSONL and JSON ------------------------------------------------------------------------------------------------


def read_jsonl(path: Path, columns: Columns) -> Iterator[RawRow]:
    """One JSON object a line, in UTF-8 or UTF-16; a file that is one JSON array is read as such."""
    if _first_sign(path) == "[" and path.stat().st_size <= MAX_WHOLE_BYTES:
        records = _whole_json(path)
        if records is not None:
            yield from _records(enumerate(records, 1), columns)
            return
    yield from _records(_json_lines(path), columns)


def read_json(path: Path, columns: Columns) -> Iterator[RawRow]:
    """A JSON array of objects, or an object that holds one (``{"data": [...]}``), or one object a line.

    Raises:
        UsageError: it is none of these.
    """
    records = _whole_json(path)
    if records is not None:
        yield from _records(enumerate(records, 1), columns)
        return
    if _first_sign(path) != "{":
        raise UsageError(
            f"{path.name} is not valid JSON{_where_broken(path)}; write an array of objects, or one object a line."
        )
    yield from _records(_json_lines(path), columns)


def _where_broken(path: Path) -> str:
    try:
        json.loads(path.read_bytes().decode(encoding_of(path)))
    except json.JSONDecodeError as error:
        return f" (line {error.lineno}, character {error.colno}: {error.msg.lower()})"
    except ValueError:
        return " in UTF-8"
    except RecursionError:
        return " (nested too deeply)"
    return " of such a shape"


def _records(numbered: Iterator[tuple[int, Any]] | enumerate[Any], columns: Columns) -> Iterator[RawRow]:
    for number, value in numbered:
        if isinstance(value, Refusal):
            yield number, value
        elif isinstance(value, dict):
            for row in rows_of(value, columns):
                yield number, row
        else:
            why = 'The row is not a JSON object; write {"before": …, "after": …}.'
            yield number, refusal(why, json.dumps(value, ensure_ascii=False))


def _whole_json(path: Path) -> list[Any] | None:
    """The records of a file that is one JSON value; None where it is not, or holds no list of them."""
    try:
        value = json.loads(path.read_bytes().decode(encoding_of(path)))
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict):
        if (records := _of_columns(value)) is not None:
            return records
        lists = [item for item in value.values() if isinstance(item, list) and item and isinstance(item[0], dict)]
        # An object with a chat in it is a record itself.
        known = {*CHATS, "before", "reasons"} & value.keys()
        if isinstance(value.get("train"), list):
            return value["train"]
        return lists[0] if len(lists) == 1 and not known else [value]
    return value if isinstance(value, list) else None


def _of_columns(value: dict[str, Any]) -> list[Any] | None:
    """The records of an object that holds a table by its columns, as pandas writes it: lists of one length, or objects with the same
    keys. None for any other."""
    columns = list(value.values())
    if columns and all(isinstance(column, dict) and column.keys() == columns[0].keys() for column in columns):
        columns = [list(column.values()) for column in columns]
    if not columns or not all(isinstance(column, list) and len(column) == len(columns[0]) for column in columns):
        return None
    if any(isinstance(cell, dict) for column in columns for cell in column):
        return None
    return [dict(zip(value, cells, strict=True)) for cells in zip(*columns, strict=True)]


def _json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    encoding = encoding_of(path)
    if encoding != "utf-8-sig":
        with path.open("r", encoding=encoding, errors="replace") as file:
            for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES), ""), 1):
                if line.strip("\ufeff \t\r\n"):
                    yield number, _json_line(line.lstrip("\ufeff"))
        return
    with path.open("rb") as file:
        for number, data in _byte_lines(file):
            if data is None:
                why = f"The line is longer than {MAX_LINE_BYTES // 2**20} MB; write one row a line."
                yield number, refusal(why)
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
            yield number, _json_line(text)


def _json_line(text: str) -> Any:
    try:
        return json.loads(text.strip().removesuffix(","))  # a line of an array, without its brackets
    except (ValueError, RecursionError) as error:
        why = error.msg.lower() if isinstance(error, json.JSONDecodeError) else "nested too deeply"
        return refusal(f"The line is not valid JSON ({why}); write one object a line.", text.strip())


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


def table_encoding(path: Path) -> str:
    """The encoding of a CSV file: as `encoding_of`, or cp1252, in which spreadsheets save CSV on Windows where nobody asks for another.

    What holds one character in UTF-8 is UTF-8 with broken rows. Several letters beyond ASCII side by side are no Western word, but
    another encoding read wrong.
    """
    encoding = encoding_of(path)
    if encoding != "utf-8-sig":
        return encoding
    with path.open("rb") as file:
        start = file.read(_LOOKED_AT)
    if len(start) == _LOOKED_AT:
        start = start.rpartition(b"\n")[0]
    try:
        start.decode("utf-8")
    except UnicodeDecodeError:
        try:
            text = start.decode("cp1252")
        except UnicodeDecodeError:
            return encoding
        return encoding if _UTF_8.search(start) or _NOT_WESTERN.search(text) else "cp1252"
    return encoding


def read_as(path: Path) -> str | None:
    """The encoding that a file was taken to be in, where it does not say so itself; None where there is nothing to say."""
    is_table = reader_for(path) is read_csv and path.is_file()
    return "Windows-1252" if is_table and table_encoding(path) == "cp1252" else None


def encoding_of(path: Path) -> str:
    """The form of Unicode that a file is in; utf-8-sig where it does not say so (`unicode_form`)."""
    with path.open("rb") as file:
        return unicode_form(file.read(64))


def _first_sign(path: Path) -> str:
    """The first character of a file that is no blank."""
    encoding = encoding_of(path)
    with path.open("r", encoding=encoding, errors="replace") as file:
        return file.read(4096).lstrip("\ufeff \t\r\n")[:1]


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
        line = self._back.pop() if self._back else self._file.readline(MAX_LINE_BYTES)
        if not line:
            raise StopIteration
        self.taken.append(line)
        self.number += 1
        if len(line) == MAX_LINE_BYTES and not line.endswith(("\n", "\r")):
            while (rest := self._file.readline(MAX_LINE_BYTES)) and not rest.endswith(("\n", "\r")):
                pass
            raise csv.Error(f"the line is longer than {MAX_LINE_BYTES // 2**20} MB")
        return line

    def start_record(self) -> None:
        self.taken = []

    def keep_first(self) -> None:
        """Give back all lines of the record but its first."""
        self._back += reversed(self.taken[1:])
        self.number -= len(self.taken) - 1
        self.taken = self.taken[:1]


def read_csv(path: Path, columns: Columns) -> Iterator[RawRow]:
    """A CSV file with a header, as spreadsheets save it: a line ``sep=;`` before the header, separators at the ends of rows
    and apostrophes before text that looks like a formula are taken for what they are.

    A row whose quotation marks are off is refused alone: reading goes on behind it.
    """
    # A cell of many megabytes must arrive here to be refused in words; the module's own limit would end the file.
    csv.field_size_limit(MAX_LINE_BYTES)
    encoding = table_encoding(path)
    with path.open("r", encoding=encoding, errors=decoding_errors(encoding), newline="") as file:
        lines = _Lines(file)
        delimiter, header, spaced = _header(lines, path, columns)
        reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=spaced)
        while True:
            lines.start_record()
            number = lines.number + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                lines.keep_first()
                # Tab-separated files are often written without quoting, and a sentence may begin with a mark.
                cells = lines.taken[0].rstrip("\r\n").split("\t") if delimiter == "\t" else []
                if len(cells) == len(header):
                    yield number, dict(zip(header, cells, strict=True))
                    continue
                why = f"The row's quotation marks are off ({error}); write a mark within a cell twice."
                yield number, refusal(why, lines.taken[0].strip())
                continue
            if not any(cells):
                continue
            while len(cells) > len(header) and not cells[-1].strip():
                cells.pop()
            if len(header) == 1 and len(lines.taken) == 1 and '"' not in lines.taken[0]:
                cells = [lines.taken[0].rstrip("\r\n")]  # of one column alone, a comma parts nothing
            if len(cells) > len(header):
                why = f"The row has {len(cells)} cells, the header {len(header)}: quote cells that hold the separator."
                yield number, refusal(why, delimiter.join(cells))
                continue
            named = zip(header, cells, strict=False)
            yield number, {name: cell_text(cell) for name, cell in named if cell or name == "before"}


def _header(lines: _Lines, path: Path, columns: Columns) -> tuple[str, list[str], bool]:
    """(the separator, the fields of the columns, whether blanks follow the separator) by a file's first lines."""
    delimiters = (",", ";", "\t", "|")
    try:
        line = next(lines, "")
        if declared := re.fullmatch(r'"?sep=(.)"?\s*', line.lstrip("\ufeff"), re.IGNORECASE):
            delimiters, line = (declared[1],), next(lines, "")
        return _first_header(lines, line, delimiters, path, columns)
    except csv.Error as error:
        raise UsageError(f"The first line of {path.name} cannot be read: {error}.") from error


def _first_header(
    lines: _Lines, line: str, delimiters: tuple[str, ...], path: Path, columns: Columns
) -> tuple[str, list[str], bool]:
    """What `_header` says, by the first line that names `before`: a title may stand above it. None that does is told by the first."""
    unclear: UsageError | None = None
    while line and lines.number <= _HEADER_LINES:
        if line.strip("\ufeff \t\r\n,;"):
            if "\ufffd" in line:
                raise UsageError(f"{path.name} is neither UTF-8 nor UTF-16; save it as UTF-8.")
            try:
                return _split_header(line.removeprefix("\ufeff"), delimiters, path, columns)
            except UsageError as error:
                unclear = unclear or error
        line = next(lines, "")
    raise unclear or UsageError(f"{path.name} is empty; put a header and rows there.")


def _split_header(line: str, delimiters: tuple[str, ...], path: Path, columns: Columns) -> tuple[str, list[str], bool]:
    unclear: list[tuple[int, str]] = []
    for delimiter in delimiters:
        try:
            names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))]
        except csv.Error as error:
            raise UsageError(
                f"The header of {path.name} cannot be read ({error}); put the names of the columns there."
            ) from error
        try:
            fields = columns.fields(tuple(names))
        except ColumnsUnclear as error:
            unclear.append((len(names), str(error)))
            continue
        return delimiter, [fields.get(name, name) for name in names], f"{delimiter} " in line
    why = max(unclear, key=lambda item: item[0])[1]
    if "no column `before`;" in why:
        why = why.replace("`before`;", "`before` in its first line;")
        why = f"{why} If its first line is a row already, put a line `before,after` above it."
    raise UsageError(f"{path.name} {why}")
