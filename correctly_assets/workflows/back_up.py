"""A backup of the whole platform, while everything runs.

Belongs here: what of HOME is copied and how, and putting a backup together so that it is there whole or not at all. Does not
belong here: bringing one back (restore_backup.py), or which backups are kept (core/backup_retention.py).

The databases come first: whatever a row of theirs names was written before the row. Files that have not changed since the
last backup of the place are hard links to its copies, never to HOME's own files, so that nothing that happens in HOME reaches
a backup.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform as machine
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypedDict

from correctly_assets import __version__
from correctly_assets.artifacts.backups import (
    FILES,
    MANIFEST,
    POSTGRES_DUMP,
    BackedUpFile,
    BackupManifest,
    backups_in,
    note_forgotten,
    place_for_backups,
)
from correctly_assets.artifacts.files import fsync_directory, fsync_entries, sha256_file, write_text_atomically
from correctly_assets.core.backup_retention import BackupAge, backups_to_remove
from correctly_assets.core.errors import PermanentError, RetryableError, UnreachableError
from correctly_assets.settings import PlatformSettings
from correctly_assets.store.copies import copy_sqlite, dump_postgres, is_sqlite_file
from correctly_assets.store.database import Database
from correctly_assets.store.migrations import applied_migrations
from correctly_assets.store.schemas import postgres_url
from correctly_assets.store.store import Store

NOT_BACKED_UP = frozenset(
    {
        "answers",
        "backups",
        "checkpoints",
        "dagster/dagster.yaml",
        "dagster/workspace.yaml",
        "dagster/logs",
        "exports",
        "logs",
        "models",
        "near",
        "run/engine-key",
        "run/progress.json",
        "run/supervisor.json",
        "teacher/worked-out.sqlite",
        "vectors.sqlite",
        "webui/cache",
    }
)
"""What of HOME is made again by itself; everything else is copied, so that what is added to HOME later is not left out."""
_SIDE_FILES = ("-wal", "-shm", "-journal")
_SPARE = 500_000_000
"""Bytes that stay free beside a backup."""


class PrintedBackup(TypedDict):
    """What ``backup --json`` prints; sizes in bytes."""

    path: str
    at: str
    why: str
    release: str | None
    files: int
    bytes: int
    new_bytes: int
    removed: list[str]
    kept: int


@dataclass(frozen=True, slots=True)
class MadeBackup:
    """A backup that was made.

    Attributes:
        new_bytes: what it takes on the disk beside the backups before it.
        removed: names of older backups that were no longer needed.
        kept: how many backups the place holds now.
    """

    path: Path
    manifest: BackupManifest
    new_bytes: int
    removed: tuple[str, ...]
    kept: int

    def to_json(self) -> PrintedBackup:
        """As ``backup --json`` prints it."""
        return {
            "path": str(self.path),
            "at": self.manifest.at.isoformat(),
            "why": self.manifest.why,
            "release": self.manifest.release,
            "files": len(self.manifest.files),
            "bytes": self.manifest.size,
            "new_bytes": self.new_bytes,
            "removed": list(self.removed),
            "kept": self.kept,
        }


@dataclass(slots=True)
class _Copied:
    """What has been copied so far."""

    files: dict[str, BackedUpFile] = field(default_factory=dict)
    new_bytes: int = 0


def back_up(
    platform: PlatformSettings,
    place: Path | None = None,
    *,
    why: str = "by hand",
    now: datetime | None = None,
    wait: bool = False,
) -> MadeBackup:
    """Back up the platform: the store, Dagster's, MLflow's and the chat's databases, adapters, snapshots, keys, and whatever
    else HOME holds that is not made again by itself.

    Args:
        place: the folder of backups; CORRECTLY_BACKUP_DIR when None.
        why: for the manifest.
        now: the time it is named by.
        wait: until another backup there is done.

    Raises:
        UnreachableError: there is no platform here yet.
        RetryableError: another backup is being made there, or too little disk is free.
        PermanentError: a database is damaged, pg_dump is not installed, or the place cannot be written.
    """
    place = (place or platform.backup_place).expanduser().absolute()
    at = (now or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0)
    if not platform.home.is_dir() or not (platform.database_url or (platform.home / "store.sqlite").is_file()):
        raise UnreachableError(
            "There is no platform here yet, so there is nothing to back up: `correctly up` makes one."
        )
    try:
        with place_for_backups(place, wait=wait):
            return _back_up(platform, place, why, at)
    except OSError as error:
        raise PermanentError(
            f"The backup in {place} failed ({error.strerror or error}); check the folder, its rights and its disk."
        ) from error


def _back_up(platform: PlatformSettings, place: Path, why: str, at: datetime) -> MadeBackup:
    for unfinished in place.glob(".new-*"):  # what a killed backup left; we hold the place's lock
        shutil.rmtree(unfinished, ignore_errors=True)
    earlier = list(backups_in(place).items())
    before = earlier[-1] if earlier else None
    _require_space(platform, place, before[1] if before else None)
    work = Path(tempfile.mkdtemp(prefix=".new-", dir=place))
    try:
        manifest, new_bytes = _fill(platform, work, place, before, why, at)
        target = _free_name(place, at)
        fsync_directory(work)
        os.replace(work, target)
        fsync_entries(place)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    remember_place(platform, place)
    removed = _remove_old(place, at)
    return MadeBackup(target, manifest, new_bytes, removed, len(backups_in(place)))


def _fill(
    platform: PlatformSettings,
    work: Path,
    place: Path,
    before: tuple[Path, BackupManifest] | None,
    why: str,
    at: datetime,
) -> tuple[BackupManifest, int]:
    copied, files = _Copied(), work / FILES
    files.mkdir()
    url = postgres_url(platform)
    dump = None
    if url is not None:
        dump_postgres(url, work / POSTGRES_DUMP)
        dump = sha256_file(work / POSTGRES_DUMP)
        copied.new_bytes += (work / POSTGRES_DUMP).stat().st_size
    paths = list(files_of(platform.home, without=place))
    databases = [name for name in paths if is_sqlite_file(platform.home / name)]
    for name in databases:
        _copy_database(platform.home / name, files / name, name, copied)
    for name in sorted(set(paths) - set(databases)):
        with contextlib.suppress(FileNotFoundError):  # taken away meanwhile, by `gc` say
            _copy_file(platform.home / name, files / name, name, before, copied)
    store = Store(Database(platform.store_url if url is not None else f"sqlite:///{files / 'store.sqlite'}"))
    try:
        migrations = applied_migrations(store.database)
        # A store of the very first days has no such table; it is copied all the same.
        champion = store.champion() if migrations else None
        note_forgotten(place, store.forgotten_ids() if migrations else ())
    finally:
        store.close()
    if url is None:
        _again(files / "store.sqlite", copied)
    manifest = BackupManifest(
        at=at,
        why=why,
        versions=versions(),
        migrations=migrations,
        database="sqlite" if url is None else "postgresql",
        base_model=champion.base_model if champion else "",
        release=champion.id if champion else None,
        adapter=champion.adapter if champion else None,
        files=dict(sorted(copied.files.items())),
        dump=dump,
    )
    write_text_atomically(work / MANIFEST, manifest.model_dump_json(indent=1) + "\n")
    return manifest, copied.new_bytes


def _copy_database(source: Path, target: Path, name: str, copied: _Copied) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    copy_sqlite(source, target)
    copied.files[name] = BackedUpFile(sha256=sha256_file(target), bytes=target.stat().st_size, mtime_ns=0)
    copied.new_bytes += target.stat().st_size


def _again(target: Path, copied: _Copied) -> None:
    """Hash the store's copy anew: looking into it may have written its header."""
    copied.files[target.name] = BackedUpFile(sha256=sha256_file(target), bytes=target.stat().st_size, mtime_ns=0)


def _copy_file(
    source: Path, target: Path, name: str, before: tuple[Path, BackupManifest] | None, copied: _Copied
) -> None:
    stat = source.stat()
    target.parent.mkdir(parents=True, exist_ok=True)
    known = before[1].files.get(name) if before else None
    if before and known and (known.bytes, known.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
        try:
            os.link(before[0] / FILES / name, target)
            copied.files[name] = known
            return
        except OSError:
            pass  # a file system without hard links, or a backup that somebody touched: a copy then
    shutil.copy2(source, target)
    copied.files[name] = BackedUpFile(
        sha256=sha256_file(target), bytes=target.stat().st_size, mtime_ns=stat.st_mtime_ns
    )
    copied.new_bytes += target.stat().st_size


def files_of(home: Path, *, without: Path | None = None) -> Iterator[str]:
    """The paths, relative to HOME, of the files that a backup holds.

    Left out are what is made again by itself, hidden names (work that is under way), SQLite's side files, and folders that
    hold backups. Folders that are links are followed, once.

    Args:
        without: a folder that is left out too.
    """
    seen: set[str] = set()
    for root, folders, names in os.walk(home, followlinks=True):
        directory = Path(root)
        if (real := os.path.realpath(root)) in seen:
            folders.clear()
            continue
        seen.add(real)
        relative = directory.relative_to(home)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and (relative / name).as_posix() not in NOT_BACKED_UP
            and directory / name != without
            and not any((directory / name).glob(f"*/{MANIFEST}"))
        )
        for name in sorted(names):
            path = (relative / name).as_posix()
            hidden = name.startswith(".") or name.endswith((*_SIDE_FILES, ".lock"))
            if not hidden and path not in NOT_BACKED_UP and (directory / name).is_file():
                yield path


def versions() -> dict[str, str]:
    """Versions of what writes the tables and files of a backup."""
    found = {"correctly": __version__, "python": machine.python_version()}
    for package in ("dagster", "mlflow", "peft", "transformers"):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _require_space(platform: PlatformSettings, place: Path, before: BackupManifest | None) -> None:
    """Refuse to begin what the disk cannot hold. What has not changed since the backup before costs nothing."""
    known = before.files if before else {}
    wanted = _SPARE
    for name in files_of(platform.home, without=place):
        with contextlib.suppress(FileNotFoundError):
            stat = (platform.home / name).stat()
            same = known.get(name)
            if same is None or (same.bytes, same.mtime_ns) != (stat.st_size, stat.st_mtime_ns):
                wanted += stat.st_size
    free = shutil.disk_usage(place).free
    if free < wanted:
        raise RetryableError(
            f"A backup wants {wanted / 1e9:.1f} GB under {place}, where {free / 1e9:.1f} are free: free some space, or name "
            "another disk by CORRECTLY_BACKUP_DIR."
        )


def _free_name(place: Path, at: datetime) -> Path:
    name = at.strftime("%Y%m%dT%H%M%SZ")
    candidates = (place / (name if n == 0 else f"{name}-{n}") for n in range(1000))
    return next(path for path in candidates if not path.exists())


def _remove_old(place: Path, now: datetime) -> tuple[str, ...]:
    there = backups_in(place)
    ages = [BackupAge(path.name, manifest.at, manifest.why) for path, manifest in there.items()]
    going = backups_to_remove(ages, now)
    for name in going:
        # Renamed first: what is half removed must not look like a backup.
        gone = place / f".new-going-{name}"
        os.replace(place / name, gone)
        shutil.rmtree(gone)
    return tuple(going)


# ------------------------------------------------------------------ where backups stand


def _places_path(platform: PlatformSettings) -> Path:
    return platform.home / "backup-places.json"


def backup_places(platform: PlatformSettings) -> list[Path]:
    """The folders that backups of this HOME were made in, and the configured one."""
    try:
        known = [Path(place) for place in json.loads(_places_path(platform).read_text(encoding="utf-8"))]
    except (OSError, ValueError):
        known = []
    return list(dict.fromkeys([platform.backup_place, *known]))


def remember_place(platform: PlatformSettings, place: Path) -> None:
    """Note where a backup stands, so that what is forgotten later is noted there too."""
    places = backup_places(platform)
    if place not in places or not _places_path(platform).is_file():
        write_text_atomically(
            _places_path(platform), json.dumps([str(p) for p in dict.fromkeys([*places, place])]) + "\n"
        )


def newest_backup(platform: PlatformSettings) -> tuple[Path, BackupManifest] | None:
    """The newest backup of all places of this HOME; None where there is none."""
    found = [item for place in backup_places(platform) for item in backups_in(place).items()]
    return max(found, key=lambda item: item[1].at) if found else None
