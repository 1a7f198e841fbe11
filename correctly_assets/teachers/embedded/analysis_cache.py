"""What reading a text gave, kept by its content: working it out again costs milliseconds a text, looking it up microseconds.

Belongs here: the file and its keys. Does not belong here: what is worked out (embedded.py), or erasing one text from it (the
whole file goes when somebody is forgotten; what is still needed is worked out again).
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from correctly_assets.core.errors import PermanentError
from correctly_assets.core.hashing import sha256_of

KEPT = 20_000
"""A train set works on some thousands of texts."""
_ASKED_AT_ONCE = 500


class AnalysisCache:
    """Values by what they were worked out from.

    Safe for several processes at once. A damaged file, which holds nothing that cannot be made again, is begun anew.

    Args:
        path: an SQLite file, made when missing.
        by: hash of the code and the versions of the libraries that work the values out; under another one nothing is found.
        kept: most values that are remembered; those kept longest go first.

    Raises:
        PermanentError: the file cannot be read or written; so do its methods.
    """

    def __init__(self, path: Path, by: str, *, kept: int = KEPT) -> None:
        self._path, self._by, self._kept = path, by, kept
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._connect().close()
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                path.unlink()
                self._connect().close()
        except (OSError, sqlite3.Error) as error:
            raise self._cannot(error) from error

    def find(self, kind: str, sources: Iterable[Sequence[str]]) -> dict[tuple[str, ...], Any]:
        """What is known of these sources (a text, or a text and its correction), as JSON gives it back."""
        keys = {self._key(kind, source): tuple(source) for source in sources}
        found: dict[tuple[str, ...], Any] = {}
        names = list(keys)
        try:
            with closing(self._connect()) as connection:
                for place in range(0, len(names), _ASKED_AT_ONCE):
                    part = names[place : place + _ASKED_AT_ONCE]
                    query = f"SELECT key, value FROM worked_out WHERE key IN ({','.join('?' * len(part))})"
                    for key, value in connection.execute(query, part):
                        found[keys[key]] = json.loads(zlib.decompress(value))
        except sqlite3.Error as error:
            raise self._cannot(error) from error
        return found

    def keep(self, kind: str, values: Mapping[tuple[str, ...], Any]) -> None:
        """Keep values by their sources; the same source in another process writes the same."""
        rows = [
            (self._key(kind, source), zlib.compress(json.dumps(value, ensure_ascii=False).encode(), 1))
            for source, value in values.items()
        ]
        try:
            with closing(self._connect()) as connection, connection:
                connection.executemany("INSERT OR IGNORE INTO worked_out (key, value) VALUES (?, ?)", rows)
                connection.execute(
                    "DELETE FROM worked_out WHERE rowid <= (SELECT max(rowid) FROM worked_out) - ?", (self._kept,)
                )
        except sqlite3.Error as error:
            raise self._cannot(error) from error

    def _key(self, kind: str, source: Sequence[str]) -> str:
        return sha256_of([self._by, kind, *source])

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=30)
        # What is deleted is overwritten: the values hold words of people's texts.
        connection.execute("PRAGMA secure_delete = ON")
        # At every opening: the file goes when somebody is forgotten, whoever has it in use.
        connection.execute("CREATE TABLE IF NOT EXISTS worked_out (key TEXT PRIMARY KEY, value BLOB NOT NULL)")
        return connection

    def _cannot(self, error: Exception) -> PermanentError:
        return PermanentError(
            f"{self._path} cannot be used ({error}); make room on the disk, or remove the file: it holds nothing that "
            "cannot be made again."
        )
