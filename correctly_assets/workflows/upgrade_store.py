"""Bringing existing tables up to date, with a backup before: the store's, and where nothing runs, Dagster's and MLflow's too.

Belongs here: the order of backup, migrations and what happens when one fails. Does not belong here: applying a migration
(store/migrations.py), the tables of others (other_tables.py), or what a backup holds (back_up.py).
"""

from __future__ import annotations

import fcntl

from correctly_assets.core.backup_retention import BEFORE_MIGRATION
from correctly_assets.core.errors import CorrectlyError, PermanentError
from correctly_assets.settings import PlatformSettings
from correctly_assets.store.database import Database
from correctly_assets.store.migrations import applied_migrations, migrate_down, migrate_up, missing_migrations
from correctly_assets.workflows.back_up import MadeBackup, back_up
from correctly_assets.workflows.other_tables import OtherTables, old_tables, put_back_tables, upgrade_tables


def upgrade_store(platform: PlatformSettings, *, others: bool = False) -> MadeBackup | None:
    """Apply what an existing store lacks, after a backup. Of several processes that begin at once one does it.

    Args:
        others: upgrade the tables of Dagster and MLflow with them. Neither may run meanwhile.

    Returns:
        The backup; None where nothing was missing, or where there are no tables yet.

    Raises:
        RetryableError: the database is away, or too little disk is free for the backup.
        PermanentError: the backup failed, and nothing was changed; or a migration failed, and all of this call's are taken
            back.
    """
    database = Database(platform.store_url)
    try:
        if not applied_migrations(database):
            return None
        if not missing_migrations(database, platform.sql_dir) and not (others and old_tables(platform)):
            return None
        lock = platform.home / "run" / "upgrade.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("w") as alone:
            fcntl.flock(alone, fcntl.LOCK_EX)
            missing = missing_migrations(database, platform.sql_dir)
            old = old_tables(platform) if others else []
            return _upgrade(platform, database, missing, old) if missing or old else None
    finally:
        database.close()


def _upgrade(platform: PlatformSettings, database: Database, missing: list[str], old: list[OtherTables]) -> MadeBackup:
    whose = "The store's tables" if missing else f"The tables of {' and '.join(one.title for one in old)}"
    why = f"{BEFORE_MIGRATION}: {', '.join([*missing, *(one.title for one in old)])}"
    try:
        made = back_up(platform, why=why, wait=True)
    except CorrectlyError as error:
        raise type(error)(f"{whose} were not upgraded, for the backup before it failed: {error}") from error
    before = applied_migrations(database)[-1]
    try:
        migrate_up(database, platform.sql_dir)
        for one in old:
            upgrade_tables(one, platform)
    except Exception as error:
        put_back_tables(old, platform, made.path)
        migrate_down(database, platform.sql_dir, to=before)
        raise PermanentError(
            f"The upgrade of the platform's tables failed and was taken back ({str(error).splitlines()[0]}). Everything is as it was, and a "
            f"backup of it is {made.path}; use the earlier release until this is repaired."
        ) from error
    return made
