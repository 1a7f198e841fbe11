"""Backups as directories: what each says of itself, which there are, and what was forgotten since.

Belongs here: a backup's manifest, the place that holds backups, and the record of forgotten examples beside them. Does not
belong here: making one (workflows/back_up.py) or bringing one back (workflows/restore_backup.py).
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from correctly_assets.artifacts.files import write_text_atomically
from correctly_assets.core.errors import PermanentError, RetryableError, UsageError

MANIFEST = "backup.json"
FILES = "home"
"""The folder of a backup that holds what HOME held."""
POSTGRES_DUMP = "postgres.dump"
FORMAT = 1
_FORGOTTEN = "forgotten.json"
ANSWER = "answer:"
"""What stands before the ID of a journalled answer in that record; an example's ID stands alone."""


class BackedUpFile(BaseModel):
    """One file of a backup. ``mtime_ns`` is that of the original: with ``bytes`` it tells whether it has changed since."""

    sha256: str
    bytes: int
    mtime_ns: int


class BackupManifest(BaseModel):
    """What a backup says of itself.

    Attributes:
        at: when it was begun, ISO 8601 in UTC; why: ``daily``, ``by hand``, ``before a migration: 0006``.
        versions: of Correctly, of Python and of the programs whose tables are in it.
        migrations: the store's migrations that had been applied.
        database: ``sqlite`` or ``postgresql``.
        files: by path below ``home/``; databases among them.
        dump: sha256 of the PostgreSQL dump, where there is one.
    """

    model_config = ConfigDict(extra="allow")

    format: int = FORMAT
    at: datetime
    why: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    migrations: list[str] = Field(default_factory=list)
    database: str = "sqlite"
    base_model: str = ""
    release: str | None = None
    adapter: str | None = None
    files: dict[str, BackedUpFile] = Field(default_factory=dict)
    dump: str | None = None

    @property
    def size(self) -> int:
        """Bytes of all files, shared ones too."""
        return sum(file.bytes for file in self.files.values())


def read_backup(directory: Path) -> BackupManifest:
    """A backup's manifest.

    Raises:
        UsageError: the directory is no backup.
        PermanentError: it was made by a later release, or its manifest is damaged.
    """
    try:
        value: Any = json.loads((directory / MANIFEST).read_bytes())
        found = BackupManifest.model_validate(value)
    except FileNotFoundError as error:
        raise UsageError(f"{directory} is no backup: `correctly backup` makes one, with a {MANIFEST} in it.") from error
    except (OSError, ValueError, ValidationError) as error:
        raise PermanentError(f"{directory / MANIFEST} is damaged; use another backup.") from error
    if found.format > FORMAT:
        raise PermanentError(f"{directory} was made by a later release of Correctly; upgrade Correctly first.")
    return found


def backups_in(place: Path) -> dict[Path, BackupManifest]:
    """The backups of a place, oldest first; those that are damaged or half-written are left out."""
    found: dict[Path, BackupManifest] = {}
    for path in sorted(place.glob(f"[!.]*/{MANIFEST}")):
        try:
            found[path.parent] = read_backup(path.parent)
        except PermanentError:
            continue
    return dict(sorted(found.items(), key=lambda item: (item[1].at, item[0].name)))


def find_backup(directory: Path) -> Path:
    """The backup that a person means: the directory itself, or the newest backup in it.

    Raises:
        UsageError: there is none.
    """
    if (directory / MANIFEST).is_file():
        return directory
    found = backups_in(directory)
    if not found:
        raise UsageError(f"{directory} is no backup and holds none: name the folder that `correctly backup` printed.")
    return list(found)[-1]


@contextmanager
def place_for_backups(place: Path, *, wait: bool = False) -> Iterator[None]:
    """Have a place, for its owner alone, to ourselves.

    Args:
        wait: until another backup there is done.

    Raises:
        RetryableError: another backup is being made there.
    """
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (place / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise RetryableError(f"A backup is being made in {place} now; try again when it is done.") from error
        yield


def forgotten_in(place: Path) -> set[str]:
    """IDs of the examples and, behind `ANSWER`, of the answers that were forgotten, as the record beside the backups has them."""
    try:
        return set(json.loads((place / _FORGOTTEN).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return set()
    except (OSError, ValueError, TypeError) as error:
        raise PermanentError(
            f"The record of forgotten examples {place / _FORGOTTEN} is damaged; repair it before anything is restored."
        ) from error


def note_forgotten(place: Path, ids: Iterable[str]) -> None:
    """Add to the record of forgotten examples beside the backups. It holds IDs alone, no text.

    Raises:
        OSError: the place cannot be written.
    """
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (place / ".forgotten.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = forgotten_in(place)
        if not known >= (wanted := set(ids)):
            write_text_atomically(place / _FORGOTTEN, json.dumps(sorted(known | wanted), indent=0) + "\n")
