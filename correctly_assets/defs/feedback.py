"""From reactions to examples: the sensor that asks whether there are any, and the job that reads them.

Belongs here: the sensor's tick and the job. Does not belong here: what becomes of a reaction (workflows/collect_feedback.py).
The work is no part of the tick: it loads the guards for personal data and may take longer than a tick's minute.
"""

import time

import dagster as dg

from correctly_assets.core.errors import CorrectlyError
from correctly_assets.defs.event_metadata import refused
from correctly_assets.resources.store_resource import StoreResource
from correctly_assets.settings import Settings
from correctly_assets.workflows.collect_feedback import ask_for_feedback, collect_feedback

VOTES_TAG = "correctly/votes"
"""The state of the chat's votes that a run reads; the newest run that succeeded is what the sensor compares with."""
NO_VOTES = "0:0"
_TRY_AGAIN = 300.0


class FeedbackConfig(dg.Config):
    """Which votes to read: those changed at or after ``since``; a run that sees none as new as ``until`` fails, and is
    repeated. Both in seconds since 1970. By hand, everything is read: what was settled already changes nothing."""

    since: int = 0
    until: int = 0


@dg.op(description="Takes the chat's votes, settles every pending reaction, and lands what is a correction.")
def settle_feedback(
    context: dg.OpExecutionContext, config: FeedbackConfig, store: StoreResource, settings: dg.ResourceParam[Settings]
) -> str:
    """Land what people rated and edited until nothing is pending; returns one sentence on what came of it.

    Raises:
        Failure: the chat or the store cannot be read, with the sentence that says so.
    """
    try:
        with store.open() as opened:
            message, read_until = collect_feedback(opened, settings, since=config.since)
            while opened.pending_feedback(1):
                context.log.info(message)
                message, _ = collect_feedback(opened, settings, since=read_until)
    except CorrectlyError as error:
        raise refused(error) from error
    if read_until < config.until:
        raise dg.Failure(f"The votes that were seen could not be read; they are read again. {message}")
    context.log.info(message)
    return message


@dg.job(description="Votes, ratings and edited answers become examples, after the guards and the checks of a pair.")
def read_feedback():
    """The job of one step that `feedback_sensor` asks for."""
    settle_feedback()


def tick_feedback(context: dg.SensorEvaluationContext, store: StoreResource, settings: dg.ResourceParam[Settings]):
    """Ask whether there are new reactions, and request a run of `read_feedback` where there are."""
    newest = context.instance.get_run_records(dg.RunsFilter(job_name=read_feedback.name), limit=1)
    for record in newest:
        run = record.dagster_run
        if not run.is_finished:
            return dg.SkipReason(f"Run {run.run_id[:8]} reads the reactions.")
        left = _TRY_AGAIN - (time.time() - (record.end_time or 0))
        if run.is_failure and left > 0:
            return dg.SkipReason(f"Run {run.run_id[:8]} failed; the reactions are read again in {left:.0f} s.")
    read = dg.RunsFilter(job_name=read_feedback.name, statuses=[dg.DagsterRunStatus.SUCCESS])
    known = next(
        (run.tags[VOTES_TAG] for run in context.instance.get_runs(read, limit=1) if VOTES_TAG in run.tags), NO_VOTES
    )
    with store.open() as opened:
        waiting = ask_for_feedback(opened, settings, known)
    if waiting.votes == known and not waiting.pending:
        return dg.SkipReason(waiting.message)
    since, until = (int(state.split(":")[0]) for state in (known, waiting.votes))
    return dg.RunRequest(
        # Of the two the older: a vote that was taken back makes the newest one older than it was.
        run_config=dg.RunConfig({settle_feedback.name: FeedbackConfig(since=min(since, until), until=until)}),
        tags={VOTES_TAG: waiting.votes, "correctly/why": waiting.message},
    )
