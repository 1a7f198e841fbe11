"""The parts' log files: how large they may grow.

Belongs here: rotation. Does not belong here: reading them for a person (background.py), or removing old ones
(workflows/clean_up.py).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import IO

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
