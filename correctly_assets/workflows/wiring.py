"""The store as the settings name it, and the evaluation sets that are registered.

Belongs here: opening what the command line, the assets and the small processes share. Does not belong here: landing rows
(land_rows.py), the corrector (make_corrector.py), the teacher (make_teacher.py), or work of any room.
"""

from __future__ import annotations

from pathlib import Path

from correctly_assets.core.layouts import is_parallel
from correctly_assets.evaluation.evaluation_set import read_evaluation_set
from correctly_assets.settings import PlatformSettings
from correctly_assets.store import Store, open_store, open_store_to_read
from correctly_assets.store.schemas import ensure_schemas
from correctly_assets.workflows.upgrade_store import upgrade_store


def open_platform_store(platform: PlatformSettings) -> Store:
    """The platform's store, migrated; a backup is made before an existing store's tables change.

    Raises:
        RetryableError: the database is away, or that backup found too little disk.
        PermanentError: that backup, or the migration, failed; the store is as it was.
    """
    platform.home.mkdir(parents=True, exist_ok=True)
    ensure_schemas(platform)
    upgrade_store(platform)
    return open_store(platform.store_url, platform.sql_dir)


def read_platform_store(platform: PlatformSettings) -> Store:
    """The platform's store for a command that only reads; nothing is written.

    Raises:
        UnreachableError: there is no store yet, or it is of an earlier release.
        RetryableError: the database is away.
    """
    return open_store_to_read(platform.store_url, platform.sql_dir)


def read_evaluation_texts(platform: PlatformSettings) -> list[str]:
    """Every text of the frozen evaluation set and of those in ``HOME/evaluation``, sources and references: what must never
    be trained on.

    Raises:
        UsageError: a file is no evaluation set.
    """
    files = [platform.evaluation_path, *registered_files(platform)]
    rows = [row for path in files for row in read_evaluation_set(path).rows]
    return [text for row in rows for text in (row.source, *row.references)]


def registered_files(platform: PlatformSettings) -> list[Path]:
    """The user's own evaluation sets: every JSONL and M2 file and parallel text (NAME.src, or its folder) in
    ``HOME/evaluation``, by name."""
    found = (platform.home / "evaluation").glob("*")
    return sorted(path for path in found if path.suffix in (".jsonl", ".m2", ".src") or is_parallel(path))
