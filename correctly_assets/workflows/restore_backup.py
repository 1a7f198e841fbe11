"""Bringing a backup back into an empty HOME.

Belongs here: refusing a HOME that is in use, checking and copying every file, bringing the tables up to date, and forgetting
again what was forgotten since. Does not belong here: making a backup (back_up.py) or starting anything.

Everything is put together in a hidden folder of HOME and moved to its place at the end, the store last: a restore that fails
or is killed leaves no platform behind that looks whole.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from correctly_assets.artifacts.backups import (
    ANSWER,
    FILES,
    POSTGRES_DUMP,
    BackupManifest,
    find_backup,
    forgotten_in,
    read_backup,
)
from correctly_assets.artifacts.files import fsync_directory, sha256_file
from correctly_assets.core.errors import PermanentError, RetryableError, UsageError
from correctly_assets.settings import PlatformSettings, Settings
from correctly_assets.store import Store, open_store
from correctly_assets.store.copies import drop_schemas, holds_rows, restore_postgres
from correctly_assets.store.database import Database
from correctly_assets.store.migrations import applied_migrations
from correctly_assets.store.schemas import ensure_schemas, postgres_url
from correctly_assets.training.models.base_model import base_name
from correctly_assets.workflows.back_up import backup_places, files_of, remember_place
from correctly_assets.workflows.forget_example import forget_example

_STORE = "store.sqlite"
_WORK = ".restoring-"


class PrintedRestore(TypedDict):
    """What ``restore --json`` prints."""

    path: str
    home: str
    at: str
    release: str | None
    adapter: str | None
    files: int
    forgotten: list[str]
    migrated: list[str]
    left: list[str]


@dataclass(frozen=True, slots=True)
class Restored:
    """A backup that was brought back.

    Attributes:
        forgotten: IDs of examples that the backup held and that were forgotten since; they were forgotten again.
        migrated: migrations of the store that were applied.
        left: what a person still has to do or know, a sentence each.
    """

    path: Path
    home: Path
    manifest: BackupManifest
    forgotten: tuple[str, ...]
    migrated: tuple[str, ...]
    left: tuple[str, ...]

    def to_json(self) -> PrintedRestore:
        """As ``restore --json`` prints it."""
        return {
            "path": str(self.path),
            "home": str(self.home),
            "at": self.manifest.at.isoformat(),
            "release": self.manifest.release,
            "adapter": self.manifest.adapter,
            "files": len(self.manifest.files),
            "forgotten": list(self.forgotten),
            "migrated": list(self.migrated),
            "left": list(self.left),
        }


def restore_backup(settings: Settings, directory: Path) -> Restored:
    """Bring a backup back.

    Args:
        directory: a backup, or the folder of backups, whose newest is taken.

    Raises:
        UsageError: the directory is no backup, HOME or the database is in use, or the backup is of the other kind of
            database.
        PermanentError: a file of the backup is damaged, it is of a later release, or HOME cannot be written.
        RetryableError: too little disk is free, or the database is away.
    """
    platform = settings.platform
    path = find_backup(directory.expanduser().absolute())
    manifest = read_backup(path)
    _require_fitting(platform, manifest, path)
    require_empty(platform)
    try:
        platform.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        for unfinished in platform.home.glob(f"{_WORK}*"):
            shutil.rmtree(unfinished)
        work = Path(tempfile.mkdtemp(prefix=_WORK, dir=platform.home))
        try:
            return _restore(settings, path, manifest, work)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise PermanentError(
            f"The restore into {platform.home} failed ({error.strerror or error}); check the folder, its rights and its disk."
        ) from error


def _restore(settings: Settings, path: Path, manifest: BackupManifest, work: Path) -> Restored:
    platform, url = settings.platform, postgres_url(settings.platform)
    _copy_checked(path, manifest, work)
    if url is not None:
        if sha256_file(path / POSTGRES_DUMP) != manifest.dump:
            raise PermanentError(f"{path / POSTGRES_DUMP} is damaged; use another backup.")
        drop_schemas(url)  # only prepared: `require_empty` has looked
        restore_postgres(url, path / POSTGRES_DUMP)
    try:
        # The same rooms as ever, over the work folder instead of HOME; the DVC remote learned of it in its time.
        inside = settings.changed(platform={"home": work}, curation={"dvc_remote": None})
        with open_store(inside.platform.store_url, inside.platform.sql_dir) as store:
            now = set(applied_migrations(store.database))
            places = {path.parent, *backup_places(platform)}
            forgotten, left = _forget_again(inside, store, set().union(*map(forgotten_in, places)))
        fsync_directory(work)
        _move(work, platform.home)
    except BaseException:
        if url is not None:
            drop_schemas(url)
            ensure_schemas(platform)
        raise
    remember_place(platform, path.parent)
    left += _to_know(settings, manifest)
    migrated = tuple(sorted(now - set(manifest.migrations)))
    return Restored(path, platform.home, manifest, tuple(forgotten), migrated, tuple(dict.fromkeys(left)))


def _require_fitting(platform: PlatformSettings, manifest: BackupManifest, path: Path) -> None:
    if manifest.database == "postgresql" and not platform.database_url:
        raise UsageError(f"{path} is of a platform on PostgreSQL: set CORRECTLY_DATABASE_URL to an empty database.")
    if manifest.database == "sqlite" and platform.database_url:
        raise UsageError(f"{path} is of a platform on SQLite: unset CORRECTLY_DATABASE_URL.")
    there = next(parent for parent in (platform.home, *platform.home.parents) if parent.is_dir())
    free = shutil.disk_usage(there).free
    if free < manifest.size * 1.1:
        raise RetryableError(
            f"The backup wants {manifest.size * 1.1 / 1e9:.1f} GB in {platform.home}, where {free / 1e9:.1f} are free: free "
            "some space, or name another folder by CORRECTLY_HOME."
        )


def require_empty(platform: PlatformSettings) -> None:
    """Refuse a HOME, or a database, that somebody uses. One that was only prepared is empty.

    Raises:
        UsageError: with what is there, and the remedy.
    """
    database = Database(platform.store_url) if platform.database_url or (platform.home / _STORE).is_file() else None
    try:
        used = database is not None and holds_rows(database)
    finally:
        if database is not None:
            database.close()
    if used and platform.database_url:
        raise UsageError(
            "The database of CORRECTLY_DATABASE_URL holds a platform already: name an empty database there, and restore again."
        )
    prepared = {_STORE, "backup-places.json", "gateway-keys.json"}
    files = [name for name in files_of(platform.home) if name not in prepared] if platform.home.is_dir() else []
    found = [_STORE] * used + files
    if found:
        more = f" and {len(found) - 3} files more" if len(found) > 3 else ""
        raise UsageError(
            f"{platform.home} is not empty, it holds {', '.join(found[:3])}{more}: move it away "
            f"(`mv {platform.home} {platform.home}.old`) or name an empty folder by CORRECTLY_HOME, and restore again."
        )


def _copy_checked(path: Path, manifest: BackupManifest, work: Path) -> None:
    for name, file in manifest.files.items():
        source, target = path / FILES / name, work / name
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise PermanentError(f"{path} names a file outside of it ({name}); it is not one of our backups.")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copy2(source, target)
        except FileNotFoundError as error:
            raise PermanentError(f"{source} is missing, so the backup is not whole; use another one.") from error
        if sha256_file(target) != file.sha256:
            raise PermanentError(f"{source} is damaged, its hash is not the manifest's; use another backup.")
    for folder in ("adapters", "snapshots"):
        # As they are written at first: an engine or a gateway may run as somebody else.
        for directory in (work / folder).glob("*/"):
            directory.chmod(0o755)


def _forget_again(settings: Settings, store: Store, ids: Collection[str]) -> tuple[list[str], list[str]]:
    """Forget what the backup brought back; what is to be said of it, a sentence each."""
    again: list[str] = []
    left: list[str] = []
    answers = {id.removeprefix(ANSWER) for id in ids if id.startswith(ANSWER)}
    if answers:
        store.erase_answers(answers)
    for id in sorted(id for id in ids if not id.startswith(ANSWER)):
        try:
            if store.get(id).status == "forgotten":
                continue
        except UsageError:
            continue  # it landed after this backup
        gone = forget_example(settings, store, id)
        again += [gone.example_id, *gone.derived]
        left += gone.left
    return again, left


def _move(work: Path, home: Path) -> None:
    """Put everything in its place, the store last; what a fresh `prepare` made gives way."""
    for side in ("-wal", "-shm"):
        (home / f"{_STORE}{side}").unlink(missing_ok=True)
    for entry in sorted(work.iterdir(), key=lambda entry: (entry.name == _STORE, entry.name)):
        target = home / entry.name
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        os.replace(entry, target)


def _to_know(settings: Settings, manifest: BackupManifest) -> list[str]:
    notes: list[str] = []
    own_base = base_name(settings.base_model_path)
    if manifest.base_model and manifest.base_model not in (own_base, Path(own_base).name):
        notes.append(
            f"The release was trained on {manifest.base_model} and this machine has {own_base}: set CORRECTLY_BASE_MODEL to the same "
            "model, or it is not served."
        )
    if manifest.adapter and not (settings.platform.adapters_dir / manifest.adapter).is_dir():
        notes.append(
            f"The backup does not hold adapter {manifest.adapter}, which it served; `correctly rollback` serves another."
        )
    return notes
