"""What every reader gives: a row as it stands in a file, or why there is none in its place.

Belongs here: the shape of a raw row, how one that cannot be read is said, and a spreadsheet's cell as text. Does not belong
here: the formats (readers.py, tables.py, file_layouts.py), or what a row must hold (rows.py).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeAlias

from correctly_assets.core.errors import UsageError
from correctly_assets.core.json_shapes import Cell, Row
from correctly_assets.core.ports import Refusal

RawRow: TypeAlias = tuple[int, Row | Refusal]
"""(line or row number from 1, the row's fields or why it is refused)."""
_SHOWN = 200
_XML_CHARACTER = re.compile(r"_x([0-9A-Fa-f]{4})_")
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"))
"""Soft hyphens, zero-width spaces and byte-order marks, which word processors leave in what is copied from them."""


def refusal(reason: str, shown: str = "") -> Refusal:
    """A refusal of a row that never became one; ``shown`` is cut short."""
    return Refusal("format", reason, {"text": shown[:_SHOWN]} if shown else {})


def damaged(path: Path, number: int) -> UsageError:
    """The error of a file that breaks off at a row; whoever lands it has landed the rows before."""
    return UsageError(
        f"{path.name} is damaged after row {number:,}: the rows before it have landed; mend the file and add it again."
    )


def cell_text(cell: Any) -> Cell:
    """A spreadsheet's cell as the text that a person sees in it; what is no text is handed on as it is.

    Excel writes characters that XML does not allow as ``_x000D_``; an apostrophe before ``=``, ``+``, ``-`` or ``@`` says that
    the cell is text and no formula, and is no part of it.
    """
    if not isinstance(cell, str):
        return cell
    if "_x" in cell:
        cell = _XML_CHARACTER.sub(lambda match: chr(int(match[1], 16)), cell)
    if cell[:1] == "'" and cell[1:2] in tuple("=+-@"):
        cell = cell[1:]
    return cell if cell.isprintable() else cell.translate(_INVISIBLE)
