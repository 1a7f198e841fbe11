"""`correctly restore`: a backup becomes the platform of this machine.

Belongs here: refusing while a platform runs, and Dagster's file, which names this machine's folders. Does not belong here:
bringing the rows and files back (workflows/restore_backup.py).
"""

from __future__ import annotations

from pathlib import Path

from correctly_assets.core.errors import UsageError
from correctly_assets.platform.dagster_instance import write_instance
from correctly_assets.platform.supervisor import running_supervisor
from correctly_assets.settings import Settings
from correctly_assets.workflows.restore_backup import Restored, restore_backup


def restore(settings: Settings, directory: Path) -> Restored:
    """Bring a backup back into an empty HOME.

    Raises:
        UsageError: a platform runs here, HOME is not empty, or the directory is no backup.
        CorrectlyError: as `restore_backup`.
    """
    if running_supervisor(settings.platform.home) is not None:
        raise UsageError(f"A platform runs in {settings.platform.home}: stop it with `correctly down` first.")
    done = restore_backup(settings, directory)
    write_instance(settings)
    return done
