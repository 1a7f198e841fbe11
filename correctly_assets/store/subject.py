"""What every subject of the store shares: its database, and reading in slices.

Belongs here: the base class of the store's parts. Does not belong here: tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

from .database import Database

Item = TypeVar("Item")


class Subject:
    """A part of the store that answers for some of its tables."""

    def __init__(self, database: Database) -> None:
        self.database = database


def slices(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items in lists of at most ``size``."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def like_prefix(prefix: str) -> str:
    """A LIKE pattern for ids that begin with ``prefix``; its wildcards are taken literally (ESCAPE '!')."""
    return prefix.replace("!", "!!").replace("%", "!%").replace("_", "!_") + "%"
