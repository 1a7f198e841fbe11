"""Bringing an existing store's tables up to date, with a backup before.

Belongs here: the order of backup, migrations and what happens when one fails. Does not belong here: applying a migration
(store/migrations.py) or what a backup holds (back_up.py).
"""

from __future__ import annotations

import fcntl

from correctly_assets.core.backups import BEFORE_MIGRATION
from correctly_assets.core.errors import CorrectlyError, PermanentError
from correctly_assets.settings import PlatformSettings
from correctly_assets.store.database import Database
from correctly_assets.store.migrations import applied_migrations, migrate_down, migrate_up, missing_migrations
from correctly_assets.workflows.back_up import MadeBackup, back_up


def upgrade_store(platform: PlatformSettings) -> MadeBackup | None:
    """Apply what an existing store lacks, after a backup. Of several processes that begin at once one does it.

    Returns:
        The backup; None where nothing was missing, or where there are no tables yet.

    Raises:
        RetryableError: the database is away, or too little disk is free for the backup.
        PermanentError: the backup failed, and nothing was changed; or a migration failed, and all of this call's are taken
            back.
    """
    database = Database(platform.store_url)
    try:
        if not applied_migrations(database) or not missing_migrations(database, platform.sql_dir):
            return None
        lock = platform.home / "run" / "upgrade.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("w") as alone:
            fcntl.flock(alone, fcntl.LOCK_EX)
            missing = missing_migrations(database, platform.sql_dir)
            return _upgrade(platform, database, missing) if missing else None
    finally:
        database.close()


def _upgrade(platform: PlatformSettings, database: Database, missing: list[str]) -> MadeBackup:
    why = f"{BEFORE_MIGRATION}: {', '.join(missing)}"
    try:
        made = back_up(platform, why=why, wait=True)
    except CorrectlyError as error:
        raise type(error)(f"The store's tables were not upgraded, for the backup before it failed: {error}") from error
    before = applied_migrations(database)[-1]
    try:
        migrate_up(database, platform.sql_dir)
    except Exception as error:
        migrate_down(database, platform.sql_dir, to=before)
        raise PermanentError(
            f"The upgrade of the store's tables failed and was taken back ({str(error).splitlines()[0]}). The store is as it was, and a backup of it "
            f"is {made.path}; use the earlier release until this is repaired."
        ) from error
    return made
