"""Binary tables: a Parquet file, a folder of them as Hugging Face's datasets are kept, an Excel workbook.

Belongs here: reading them into raw rows, with bounds on what they unpack to. Does not belong here: text formats (readers.py).
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError
from zipfile import BadZipFile

from correctly_assets.core.errors import UsageError
from correctly_assets.core.json_shapes import Row
from correctly_assets.core.ports import Refusal
from correctly_assets.curation.columns import Columns, ColumnsUnclear
from correctly_assets.curation.raw_rows import RawRow, cell_text, damaged, refusal
from correctly_assets.curation.record_shapes import CHATS, rows_of

MAX_UNPACKED_BYTES = 2**30
"""What a workbook or Parquet file may unpack to: some five million rows. A few kilobytes can claim any size."""
_HEADER_ROWS = 10
_MAX_SHEET_ROWS = 2**20


def read_parquet(path: Path, columns: Columns) -> Iterator[RawRow]:
    """A Parquet file; ``reasons`` may be a list of structs or JSON text.

    Raises:
        UsageError: it is no Parquet file, unpacks to too much, has no column for `before`, or is damaged from some row on.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: a column's name that is no UTF-8
        raise UsageError(f"{path.name} is not a readable Parquet file; write it again.") from error
    with file:
        names = file.schema_arrow.names
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        _bounded(path, sum(group.total_byte_size for group in groups))
        if not set(CHATS) & set(names):
            try:
                columns.fields(tuple(names))
            except ColumnsUnclear as error:
                raise UsageError(f"{path.name} {error}") from error
        number = 0
        try:
            # A cell that many rows share is stored once and unpacked for each of them, so few are unpacked at a time.
            for batch in file.iter_batches(batch_size=32):
                for record in _plain_rows(batch):
                    number += 1
                    for row in [record] if isinstance(record, Refusal) else rows_of(record, columns):
                        yield number, row if isinstance(row, Refusal) else _without_empty(row)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise damaged(path, number) from error


def _plain_rows(batch: Any) -> Iterator[Row | Refusal]:
    try:
        rows = batch.to_pylist()
    except UnicodeDecodeError:
        # One cell of the batch is not UTF-8: take the rows one by one, so that the others are not lost.
        for index in range(batch.num_rows):
            try:
                rows = batch.slice(index, 1).to_pylist()
            except UnicodeDecodeError:
                yield refusal("The row is not valid UTF-8; write the file again from text that is.")
            else:
                yield from rows
        return
    yield from rows


def _without_empty(row: Row) -> Row:
    return {name: value for name, value in row.items() if value is not None}


# -- folders of Parquet files ----------------------------------------------------------------------------------------


def parquet_files(folder: Path) -> list[Path]:
    """The Parquet files of a folder and the folders in it, by name; none of what is hidden."""
    if not folder.is_dir():
        return []
    return sorted(
        file
        for file in folder.rglob("*.parquet")
        if file.is_file() and not any(part.startswith((".", "~$")) for part in file.relative_to(folder).parts)
    )


def train_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """(files to be read, files left out) of a folder of Parquet files.

    Where some are the split for training, by their name or their folder's (`train-00000-of-00004.parquet`), those of other
    splits are left out: they are what a model is measured on.
    """
    files = parquet_files(folder)
    train = [file for file in files if any(_is_train(part) for part in file.relative_to(folder).parts)]
    return (train, [file for file in files if file not in train]) if train else (files, [])


def _is_train(name: str) -> bool:
    return re.match(r"train(?![A-Za-z])", name) is not None


def read_parquet_folder(path: Path, columns: Columns) -> Iterator[RawRow]:
    """The rows of a folder's Parquet files, one file after another; rows are counted over all of them.

    Raises:
        UsageError: as ``read_parquet``, for the first file of which it is true.
    """
    before = 0
    for file in train_files(path)[0]:
        number = 0
        for number, row in read_parquet(file, columns):
            yield before + number, row
        before += number


# -- XLSX ------------------------------------------------------------------------------------------------------------


def read_xlsx(path: Path, columns: Columns) -> Iterator[RawRow]:
    """The first sheet of which one of the first rows names a column for `before`. Formulas arrive as such, and are refused later.

    Raises:
        UsageError: it is no workbook, unpacks to too much, or is damaged; rows before the damage were read.
    """
    from openpyxl import load_workbook

    unreadable = f"{path.name} is not a readable Excel workbook (.xlsx)"
    try:
        with zipfile.ZipFile(path) as archive:
            _bounded(path, sum(part.file_size for part in archive.infolist()))
            # The checksums first: a half-copied file must not land rows that its zeroed middle made up.
            broken = archive.testzip()
        if broken is not None:
            raise UsageError(f"{unreadable}: its part {broken} is damaged; copy the file again.")
        workbook = load_workbook(path, read_only=True, data_only=False)
    except _workbook_faults() as error:
        raise UsageError(f"{unreadable}; save it as .xlsx or .csv and add it again.") from error
    number, why = 0, ""
    try:
        for sheet in workbook.worksheets:
            sheet.reset_dimensions()  # what a file claims of its size is not counted on: each row is as long as it is
            rows = enumerate(sheet.iter_rows(values_only=True), 1)
            header, why = _header(rows, columns, why)
            if header is None:
                continue
            for number, cells in rows:
                if number > _MAX_SHEET_ROWS:
                    raise damaged(path, number)
                row = {
                    name: cell_text(cell)
                    for name, cell in zip(header, cells, strict=False)
                    if name and cell not in (None, "")
                }
                if row:
                    yield number, row
            return
        raise UsageError(
            f"No sheet of {path.name} can be read: the first row {why or 'is empty; put the columns there.'}"
        )
    except _workbook_faults() as error:
        raise damaged(path, number) from error
    finally:
        workbook.close()


def _header(rows: Iterator[tuple[int, Sequence[Any]]], columns: Columns, why: str) -> tuple[list[str] | None, str]:
    """(the fields of a sheet's columns, or None where none is `before`; why not, if no earlier sheet has said it)."""
    for number, cells in rows:
        names = [str(name).strip() if name is not None else "" for name in cells]
        if any(names):
            try:
                fields = columns.fields(tuple(names))
            except ColumnsUnclear as error:
                why = why or str(error)  # a title may stand above the header
            else:
                return [fields.get(name, name) for name in names], why
        if number >= _HEADER_ROWS:
            break
    return None, why


def _workbook_faults() -> tuple[type[Exception], ...]:
    """What zipfile and openpyxl raise on damaged or foreign content; they have no error of their own for it."""
    from openpyxl.utils.exceptions import InvalidFileException

    return (
        BadZipFile, InvalidFileException, ParseError, zlib.error, struct.error, EOFError, RuntimeError,
        LookupError, ValueError, TypeError, AttributeError, NotImplementedError,
    )  # fmt: skip


def _bounded(path: Path, size: int) -> None:
    if size > MAX_UNPACKED_BYTES:
        raise UsageError(
            f"{path.name} unpacks to {size / 2**30:.1f} GB and may have {MAX_UNPACKED_BYTES / 2**30:.0f} GB; "
            "split it into several files."
        )
