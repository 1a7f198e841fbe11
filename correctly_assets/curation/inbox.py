"""The inbox: files renamed into it land by themselves and move on.

Belongs here: which files are ready, and where each goes afterwards. Does not belong here: landing (files.py) or
when to look (defs/automation.py).
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from correctly_assets.artifacts.files import fsync_entries, write_text_atomically
from correctly_assets.core.errors import PermanentError, UsageError
from correctly_assets.core.landing import ExampleGuard, LandOutcome, Sink
from correctly_assets.curation.files import land_file
from correctly_assets.curation.layouts import is_part, parts_of, source_of

PARTS_SECONDS = 30.0
"""How long one file of parallel text waits in the inbox for the others of its name."""


class InboxFile(NamedTuple):
    """What became of one file of the inbox: its name, and the outcome. A file that could not be read at all counts as
    one refusal, whose words are the outcome's only reason."""

    name: str
    outcome: LandOutcome


def scan_inbox(
    inbox: Path,
    sink: Sink,
    guards: ExampleGuard,
    *,
    quiet_seconds: float = 2.0,
    now: Callable[[], float] = time.time,
    limit: int | None = None,
) -> list[InboxFile]:
    """Land the files that are ready, oldest first, and move each to ``done/`` or ``refused/``.

    A file is ready when its name does not begin with a dot and nothing was written to it for ``quiet_seconds``. A
    file of which some rows landed goes to ``done/``, its refused rows to ``refused/NAME.refused.jsonl``; one that
    could not be read, or of which no row was taken, goes to ``refused/``. A scan that is killed at any moment loses
    nothing: the file is landed again, and rows that were there already are duplicates. Only one scan is at work at a
    time; another returns at once.

    Raises:
        RetryableError: the store is busy or away; the files stay for the next scan.
    """
    done, refused = inbox / "done", inbox / "refused"
    try:
        for folder in (done, refused):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PermanentError(f"The inbox {inbox} cannot be written; check the folder and its rights.") from error
    with _alone(inbox) as alone:
        if not alone:
            return []
        ready = ready_files(inbox, quiet_seconds=quiet_seconds, now=now)[:limit]
        return [_land(path, sink, guards, done, refused) for path in ready]


def ready_files(inbox: Path, *, quiet_seconds: float = 2.0, now: Callable[[], float] = time.time) -> list[Path]:
    """The files that a scan would take, oldest first. Costs one directory listing: a sensor may ask at every tick."""
    found: list[tuple[float, Path]] = []
    try:
        with os.scandir(inbox) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name.endswith((".part", ".tmp", ".crdownload")):
                    continue
                try:
                    if entry.is_file(follow_symlinks=False):
                        found.append((entry.stat().st_mtime, Path(entry.path)))
                except FileNotFoundError:  # moved on between the listing and here
                    continue
    except FileNotFoundError:
        return []
    # A clock that was set back must not leave a file lying for ever: only the distance counts.
    quiet = {path for mtime, path in found if abs(now() - mtime) >= quiet_seconds}
    there = {path for _, path in found}
    return [path for _, path in sorted(found) if path in quiet and _whole(path, quiet, there, now)]


def _whole(path: Path, quiet: set[Path], there: set[Path], now: Callable[[], float]) -> bool:
    """Whether a file can be landed as it lies: parallel text once all its files are quiet, or when they do not come."""
    if not is_part(path):
        return True
    if (source := source_of(path)) is not None and source in there:
        return False  # it lands with its source
    parts = parts_of(path)
    if parts:
        return all(part in quiet for part in parts)
    try:
        # Not when it was written: a file that is moved in keeps that time, and another may be moved in behind it.
        return abs(now() - path.stat().st_ctime) >= PARTS_SECONDS
    except FileNotFoundError:
        return False


def _land(path: Path, sink: Sink, guards: ExampleGuard, done: Path, refused: Path) -> InboxFile:
    target = _free_name(path.name, done, refused)
    report = refused / f"{target}.refused.jsonl"
    try:
        before = _signature(path)
        outcome = land_file(path, sink, guards, refused_path=report, source="inbox")
    except UsageError as error:
        if not path.exists():  # taken away again before it could be read
            return InboxFile(path.name, LandOutcome())
        record = {"line": None, "reason": str(error), "row": {}}
        write_text_atomically(report, json.dumps(record, ensure_ascii=False) + "\n")
        _move(path, refused / target)
        return InboxFile(path.name, LandOutcome(refused=1, refused_file=str(report), reasons=((str(error), 1),)))
    if _signature(path) == before:  # else it was still being written, and is landed again at the next scan
        taken = outcome.landed + outcome.duplicates
        to = done if taken or not outcome.refused else refused
        for part in parts_of(path):
            _move(part, to / _free_name(part.name, done, refused))
        _move(path, to / target)
    return InboxFile(path.name, outcome)


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def _move(path: Path, target: Path) -> None:
    path.replace(target)
    for folder in {path.parent, target.parent}:
        fsync_entries(folder)


def _free_name(name: str, *folders: Path) -> str:
    """A name that none of the folders has: an earlier file of that name is not overwritten."""
    stem, suffix = Path(name).stem, Path(name).suffix
    candidate, number = name, 1
    while any((folder / candidate).exists() for folder in folders):
        number += 1
        candidate = f"{stem}-{number}{suffix}"
    return candidate


@contextmanager
def _alone(inbox: Path) -> Iterator[bool]:
    with (inbox / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
