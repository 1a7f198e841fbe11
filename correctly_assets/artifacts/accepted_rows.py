"""The accepted rows of the store as a snapshot takes them.

Belongs here: the columns, and what is needed of a store. Does not belong here: reading them from tables (store/), or writing
them to a file (examples_snapshot.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

ACCEPTED_COLUMNS = (
    "id", "content_sha", "before", "after", "reason", "reasons", "form", "tone", "topic", "language", "style",
    "key_expressions", "speaker", "source", "cefr", "licence", "verified", "weight",
)  # fmt: skip
STAMP_COLUMNS = ("id", "content_sha", "verified", "weight")
"""What tells whether an accepted row still stands as it did: its content's address and what may change beside it."""


class AcceptedRows(Protocol):
    """What a snapshot needs of the store: the accepted rows of one moment, column by column."""

    def accepted_columns(self, size: int) -> Iterator[list[list[Any]]]:
        """Pages of up to ``size`` accepted rows, each a list a column of `ACCEPTED_COLUMNS`, in the table's own order."""
        ...

    def accepted_columns_of(self, ids: Sequence[str]) -> Iterator[list[list[Any]]]:
        """The same for the accepted rows among ``ids``; an ID that is not accepted is left out."""
        ...

    def accepted_stamps(self, size: int) -> Iterator[list[list[Any]]]:
        """Pages of up to ``size`` accepted rows, each a list a column of `STAMP_COLUMNS`, by ID."""
        ...
