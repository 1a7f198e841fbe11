"""What every subject of the store shares: its database.

Belongs here: the base class of the store's parts. Does not belong here: tables.
"""

from __future__ import annotations

from correctly_assets.store.database import Database


class Subject:
    """A part of the store that answers for some of its tables."""

    def __init__(self, database: Database) -> None:
        self.database = database


def like_prefix(prefix: str) -> str:
    """A LIKE pattern for ids that begin with ``prefix``; its wildcards are taken literally (ESCAPE '!')."""
    return prefix.replace("!", "!!").replace("%", "!%").replace("_", "!_") + "%"
