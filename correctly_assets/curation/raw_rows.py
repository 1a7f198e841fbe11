"""What every reader gives: a row as it stands in a file, or why there is none in its place.

Belongs here: the shape of a raw row, and how one that cannot be read is said. Does not belong here: the formats (readers.py,
layouts.py), or what a row must hold (files.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from correctly_assets.core.errors import UsageError
from correctly_assets.core.ports import Refusal

RawRow = tuple[int, "dict[str, Any] | Refusal"]
"""(line or row number from 1, the row's fields or why it is refused)."""
_SHOWN = 200


def refusal(reason: str, shown: str = "") -> Refusal:
    """A refusal of a row that never became one; ``shown`` is cut short."""
    return Refusal("format", reason, {"text": shown[:_SHOWN]} if shown else {})


def damaged(path: Path, number: int) -> UsageError:
    """The error of a file that breaks off at a row; whoever lands it has landed the rows before."""
    return UsageError(
        f"{path.name} is damaged after row {number:,}: the rows before it have landed; mend the file and add it again."
    )


# -- JSONL ---------------------------------------------------------------------------------------------------------
