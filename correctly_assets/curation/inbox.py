"""The inbox: files renamed into it land by themselves and move on.

Belongs here: which files are ready, and where each goes afterwards. Does not belong here: landing (land_file.py) or
when to look (defs/automation.py).
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from correctly_assets.artifacts.files import fsync_entries, write_text_atomically
from correctly_assets.core.errors import CorrectlyError, PermanentError, UsageError
from correctly_assets.core.landing import ExampleGuard, LandOutcome, Sink
from correctly_assets.curation.file_layouts import is_part, parts_of, source_of
from correctly_assets.curation.land_file import land_file, shown_name, with_ending
from correctly_assets.curation.readers import is_left_alone

log = logging.getLogger(__name__)

PARTS_SECONDS = 30.0
"""How long one file of parallel text waits in the inbox for the others of its name, and a folder for what is copied into it."""
_OWN_FOLDERS = ("done", "refused")
_MOST_ENTRIES = 10_000
"""Entries of a folder that are looked at to see whether it still grows."""


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
    """Land the files and folders that are ready, oldest first, and move each to ``done/`` or ``refused/``.

    A file is ready when its name is none that is left alone (hidden, a lock, a part) and nothing was written to it for
    ``quiet_seconds``; a folder when nothing in it changed for half a minute. One of which some rows landed goes to ``done/``,
    its refused rows to ``refused/NAME.refused.jsonl``; one that could not be read, or of which no row was taken, goes to
    ``refused/``. A scan that is killed at any moment loses nothing: the file is landed again, and rows that were there already
    are duplicates. Only one scan is at work at a time; another returns at once.

    Raises:
        RetryableError: the store is busy or away; the files stay for the next scan.
        PermanentError: the inbox cannot be written.
    """
    done, refused = (inbox / name for name in _OWN_FOLDERS)
    if (trouble := inbox_trouble(inbox)) is not None:
        raise PermanentError(trouble)
    try:
        for folder in (done, refused):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PermanentError(_cannot_write(inbox)) from error
    with _alone(inbox) as alone:
        if not alone:
            return []
        ready = ready_files(inbox, quiet_seconds=quiet_seconds, now=now)[:limit]
        return [_land(path, sink, guards, done, refused) for path in ready]


def inbox_trouble(inbox: Path) -> str | None:
    """Why nothing can land from the inbox, in one sentence with the remedy; None where nothing stands in the way."""
    if inbox.exists() and not _may(inbox, os.R_OK | os.X_OK):
        return f"The inbox {inbox} cannot be read: give yourself the right to read it and to write in it."
    for folder in (inbox, inbox / "done", inbox / "refused"):
        if folder.exists() and not _may(folder, os.W_OK | os.X_OK):
            return _cannot_write(folder)
    return None


def _may(path: Path, what: int) -> bool:
    """Whether this process, as the user that it runs as, has these rights (`os.R_OK` and the like)."""
    return os.access(path, what, effective_ids=os.access in os.supports_effective_ids)


def _cannot_write(folder: Path) -> str:
    return (
        f"Nothing lands from the inbox, since {folder} cannot be written and files could not move on: give yourself the right "
        "to write there, or land files with `correctly add`."
    )


def ready_files(inbox: Path, *, quiet_seconds: float = 2.0, now: Callable[[], float] = time.time) -> list[Path]:
    """What a scan would take, oldest first. Costs one directory listing: a sensor may ask at every tick.

    Raises:
        PermanentError: the inbox cannot be read.
    """
    found: list[tuple[float, Path]] = []
    folders: list[tuple[float, Path]] = []
    try:
        with os.scandir(inbox) as entries:
            for entry in entries:
                if is_left_alone(entry.name):
                    continue
                try:
                    if entry.is_file(follow_symlinks=False):
                        found.append((entry.stat().st_mtime, Path(entry.path)))
                    elif entry.is_dir(follow_symlinks=False) and entry.name not in _OWN_FOLDERS:
                        folders.append((entry.stat().st_mtime, Path(entry.path)))
                except FileNotFoundError:  # moved on between the listing and here
                    continue
    except FileNotFoundError:
        return []
    except PermissionError as error:
        raise PermanentError(inbox_trouble(inbox) or f"The inbox {inbox} cannot be read.") from error
    # A clock that was set back must not leave a file lying for ever: only the distance counts.
    quiet = {path for mtime, path in found if abs(now() - mtime) >= quiet_seconds}
    there = {path for _, path in found}
    ready = [(mtime, path) for mtime, path in found if path in quiet and _whole(path, quiet, there, now)]
    ready += [(mtime, path) for mtime, path in folders if _still(path, now)]
    return [path for _, path in sorted(ready)]


def _still(folder: Path, now: Callable[[], float]) -> bool:
    """Whether a folder holds files, can be moved, and nothing in it changed for a while. What is copied keeps its times of
    writing, so the times at which entries were made count as well."""
    entries = _entries(folder)
    if not any(path.is_file() for path in entries) or not _may(folder, os.W_OK):
        return False
    try:
        newest = max(stat.st_ctime for stat in (path.lstat() for path in (folder, *entries)))
    except FileNotFoundError:
        return False
    return abs(now() - newest) >= PARTS_SECONDS


def _entries(folder: Path) -> list[Path]:
    return list(islice(folder.rglob("*"), _MOST_ENTRIES))


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
    report = with_ending(refused / target, ".refused.jsonl")
    name = shown_name(path.name)
    before = _signature(path)
    try:
        outcome = land_file(path, sink, guards, refused_path=report, source="inbox")
    except UsageError as error:
        return _refuse(path, name, str(error), refused / target, report)
    except (CorrectlyError, OSError):
        raise  # the store or the disk: no fault of the file's, which stays
    except Exception as error:
        # Whatever a file makes a reader do, those behind it in the inbox are not held up.
        log.exception("%s could not be read", name)
        message = (
            f"{name} could not be read ({type(error).__name__}: {str(error)[:200]}); save it again, or as another kind."
        )
        return _refuse(path, name, message, refused / target, report)
    if _signature(path) == before:  # else it was still being written, and is landed again at the next scan
        taken = outcome.landed + outcome.duplicates
        to = done if taken or not outcome.refused else refused
        for part in parts_of(path):
            _move(part, to / _free_name(part.name, done, refused))
        _move(path, to / target)
    return InboxFile(name, outcome)


def _refuse(path: Path, name: str, message: str, target: Path, report: Path) -> InboxFile:
    if not path.exists():  # taken away again before it could be read
        return InboxFile(name, LandOutcome())
    record = {"line": None, "reason": message, "row": {}}
    text = json.dumps(record, ensure_ascii=False).encode("utf-8", "replace").decode()
    write_text_atomically(report, text + "\n")
    _move(path, target)
    return InboxFile(name, LandOutcome(refused=1, refused_file=str(report), reasons=((message, 1),)))


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        if path.is_dir():
            stats = [entry.lstat() for entry in _entries(path)]
            return sum(stat.st_size for stat in stats), max(stat.st_mtime_ns for stat in stats), len(stats)
        stat = path.stat()
    except (FileNotFoundError, ValueError):
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
        candidate = with_ending(Path(stem), f"-{number}{suffix}").name
    return candidate


@contextmanager
def _alone(inbox: Path) -> Iterator[bool]:
    try:
        lock = (inbox / ".lock").open("w")
    except OSError as error:
        raise PermanentError(_cannot_write(inbox)) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
