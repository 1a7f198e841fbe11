"""The daily clean-up: a job and its schedule.

Belongs here: both. Does not belong here: what is removed, and how (workflows/clean_up.py).
"""

import dagster as dg

from correctly_assets.core.errors import CorrectlyError
from correctly_assets.defs.event_metadata import refused
from correctly_assets.resources.engine import EngineResource
from correctly_assets.resources.store_resource import StoreResource
from correctly_assets.settings import Settings
from correctly_assets.workflows.clean_up import clean_up as clean


@dg.op(
    description="Removes texts, files, chats and runs that are older than CORRECTLY_RETENTION_DAYS, and what no adapter needs."
)
def remove_what_is_old(
    context: dg.OpExecutionContext,
    store: StoreResource,
    engine: EngineResource,
    settings: dg.ResourceParam[Settings],
) -> str:
    """Clean up once. Returns what was removed, a sentence each.

    Raises:
        Failure: something could not be removed; what could be, is.
    """
    try:
        with store.open() as opened:
            done = clean(settings, opened, context.instance, engine)
    except CorrectlyError as error:
        raise refused(error) from error
    for sentence in done.messages:
        context.log.info(sentence)
    if done.failed:
        # What could be removed is; the run is red so that somebody sees what was not, and the next night tries again.
        raise dg.Failure(" ".join(done.failed), allow_retries=False)
    return " ".join(done.messages)


@dg.job(
    name="clean_up", description="What is older than CORRECTLY_RETENTION_DAYS goes, and what no adapter needs any more."
)
def clean_up_job():
    """One clean-up, as a job of its own."""
    remove_what_is_old()


# Half an hour before the backup, which then holds nothing that should have gone.
daily_clean_up = dg.ScheduleDefinition(
    name="daily_clean_up",
    job=clean_up_job,
    cron_schedule="0 2 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Removes what is older than CORRECTLY_RETENTION_DAYS: answers, reactions, quarantine, files, runs, logs, chats.",
)
