"""Types for what may be any JSON, and for a row as a file holds it.

Belongs here: the types of values whose shape is somebody else's to choose. Does not belong here: a shape of ours, which is a record or
a TypedDict in the module that makes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from typing import TypeAlias

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | int | float | bool | None"
"""Any JSON value."""
Cell: TypeAlias = (
    "Mapping[str, Cell] | Sequence[Cell] | str | int | float | bool | date | time | timedelta | Decimal | bytes | None"
)
"""What stands in one field of a file's row; tables have kinds of values that JSON has not."""
Row: TypeAlias = Mapping[str, Cell]
"""A row as a file or a request holds it, before it is known to be one of ours."""
