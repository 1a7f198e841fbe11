"""The daily backup: a job and its schedule.

Belongs here: both. Does not belong here: making a backup (workflows/back_up.py).
"""

import dagster as dg

from correctly_assets.core.errors import CorrectlyError
from correctly_assets.defs.event_metadata import refused
from correctly_assets.settings import Settings
from correctly_assets.workflows.back_up import back_up as write_backup


@dg.op(
    description="Backs up the store, Dagster, MLflow, the chat, adapters and snapshots; removes backups too old to keep."
)
def make_backup(context: dg.OpExecutionContext, settings: dg.ResourceParam[Settings]) -> str:
    """Back HOME up and remove old backups; returns one sentence with the path and the sizes.

    Raises:
        Failure: the disk or the database, with the sentence that says so.
    """
    try:
        made = write_backup(settings.platform, why="daily")
    except CorrectlyError as error:
        raise refused(error) from error
    message = f"{made.path}: {made.manifest.size / 1e6:.1f} MB, of which {made.new_bytes / 1e6:.1f} MB are new; {made.kept} kept."
    context.log.info(message)
    return message


@dg.job(description="A backup of the whole platform, while it runs; seven daily and four weekly ones are kept.")
def back_up():
    """The job of one step behind the daily backup."""
    make_backup()


def make_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """The schedule, running from the start where CORRECTLY_BACKUP_DAILY says so."""
    running, stopped = dg.DefaultScheduleStatus.RUNNING, dg.DefaultScheduleStatus.STOPPED
    return dg.ScheduleDefinition(
        name="daily_backup",
        job=back_up,
        cron_schedule="30 2 * * *",
        default_status=running if settings.platform.backup_daily else stopped,
        description="Backs the platform up each night; CORRECTLY_BACKUP_DAILY=false has it stopped from the start.",
    )
