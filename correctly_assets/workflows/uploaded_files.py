"""Files that clients have uploaded to be trained on, kept in HOME/files until they are deleted.

Belongs here: keeping, listing and deleting them, each with what is known of it. Does not belong here: HTTP, landing their rows
(fine_tune.py).
"""

from __future__ import annotations

import re
import secrets
import time
from pathlib import Path

from pydantic import BaseModel

from correctly_assets.artifacts.files import write_bytes_atomically, write_text_atomically
from correctly_assets.core.errors import UsageError
from correctly_assets.core.ports import Refusal
from correctly_assets.curation.readers import read_rows

_ID = re.compile(r"file-[0-9a-f]{24}")
_LEAST_BYTES = 4096
"""What a file counts for at least, so that many small ones come to an end too."""


class UploadedFile(BaseModel):
    """What is known of one file. ``owner`` is the client that sent it, ``created_at`` seconds since 1970."""

    id: str
    filename: str
    bytes: int
    created_at: int
    owner: str


class UploadedFiles:
    """The folder of uploaded files.

    Args:
        most_bytes: what all of them may take together.
    """

    def __init__(self, directory: Path, most_bytes: int) -> None:
        self._directory, self._most_bytes = directory, most_bytes

    def add(self, filename: str, data: bytes, owner: str) -> UploadedFile:
        """Keep a file of one JSON object a line, in any of the shapes that `correctly add` reads.

        Raises:
            UsageError: it is none, or the folder is full.
        """
        taken = sum(max(_LEAST_BYTES, known.bytes) for known in self.all())
        if taken + max(_LEAST_BYTES, len(data)) > self._most_bytes:
            raise UsageError(
                f"Uploaded files may take {self._most_bytes:,} bytes together: delete some first.", code="files_full"
            )
        known = UploadedFile(
            id=f"file-{secrets.token_hex(12)}",
            filename=Path(filename).name[:200] or "file.jsonl",
            bytes=len(data),
            created_at=int(time.time()),
            owner=owner,
        )
        path = self.path(known.id)
        write_bytes_atomically(path, data)
        try:
            _check(path)
        except UsageError:
            path.unlink()
            raise
        write_text_atomically(self._about(known.id), known.model_dump_json() + "\n")
        return known

    def all(self) -> list[UploadedFile]:
        """Every file, the newest first."""
        found = [UploadedFile.model_validate_json(path.read_bytes()) for path in self._directory.glob("file-*.json")]
        return sorted(found, key=lambda known: (known.created_at, known.id), reverse=True)

    def get(self, id: str) -> UploadedFile | None:
        """What is known of a file; None where there is none of this id."""
        about = self._about(id) if _ID.fullmatch(id) else None
        return UploadedFile.model_validate_json(about.read_bytes()) if about is not None and about.is_file() else None

    def path(self, id: str) -> Path:
        """Where the file of a known id lies."""
        return self._directory / f"{id}.jsonl"

    def delete(self, id: str) -> None:
        """Remove the file of a known id. What has landed of it stays landed."""
        self._about(id).unlink(missing_ok=True)
        self.path(id).unlink(missing_ok=True)

    def _about(self, id: str) -> Path:
        return self._directory / f"{id}.json"


def _check(path: Path) -> None:
    """See that a file holds a row that can be read; each row is looked at when a job lands it.

    Raises:
        UsageError: it holds none.
    """
    why = "it is empty."
    try:
        for number, row in read_rows(path):
            if not isinstance(row, Refusal):
                return
            if number == 1:
                why = row.reason
    except UsageError:
        why = "it is something else."
    raise UsageError(
        'The file is not one JSON object a line, such as {"messages": [{"role": "user", "content": "I has it."}, '
        f'{{"role": "assistant", "content": "I have it."}}]}}: {why}',
        code="invalid_file",
    )
