"""What the platform writes while it runs: the logs of its parts, how large they may grow, and its own output.

Belongs here: rotation, a stream that may fail. Does not belong here: reading them for a person (background.py), or removing old ones
(workflows/clean_up.py).
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import IO, Any

LARGEST = 20_000_000
"""Bytes from which on a log is rotated: with the one before it, a part's logs take twice that at most."""


def open_log(path: Path) -> IO[bytes]:
    """A log to be appended to, for its owner alone."""
    return open(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600), "ab")


def rotate_logs(folder: Path, largest: int = LARGEST) -> list[str]:
    """Move what is in each log that has grown too large to ``NAME.log.1``. Returns the names of those logs.

    Whoever writes to a log goes on in the same file, which is emptied: it writes at the file's end, wherever that is. What is
    written between the copy and the emptying is lost, a line or two every twenty megabytes.
    """
    rotated: list[str] = []
    for path in sorted(folder.glob("*.log")):
        if path.stat().st_size <= largest:
            continue
        kept, work = path.with_suffix(".log.1"), path.with_suffix(".log.1.part")
        shutil.copyfile(path, work)
        os.truncate(path, 0)
        work.replace(kept)
        rotated.append(path.stem)
    return rotated


class LossyOutput:
    """A text stream for a process that must outlive it: what cannot be written now (the disk is full, the terminal is gone) is
    left out, and the process goes on."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write what can be written; returns the text's length either way."""
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Hand on what was written, where that is possible."""
        with contextlib.suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
