"""What starts by itself: the job, the sensors, the schedule.

Belongs here: thin shells that read facts, call a pure decision and enact it. Does not belong here: the decision
(core/retrain.py) or where the facts come from (workflows/retrain_state.py). Nothing here opens DuckDB or imports torch.
"""

from __future__ import annotations

import dagster as dg

from correctly_assets.core.errors import CorrectlyError, passes
from correctly_assets.core.retrain import FAILURE_TAG, PASSES, decide_retrain
from correctly_assets.defs.event_metadata import DATA_VERSION_TAG, refused
from correctly_assets.defs.feedback import read_feedback, tick_feedback
from correctly_assets.defs.given import tick_observe
from correctly_assets.resources.ledger import point_alias
from correctly_assets.resources.store_resource import StoreResource
from correctly_assets.settings import Settings
from correctly_assets.workflows import generate_examples
from correctly_assets.workflows.dead_runs import fail_dead_runs, note_interrupted_run
from correctly_assets.workflows.promote import serving_summary, unrecorded_release
from correctly_assets.workflows.retrain_state import policy, read_retrain_state, recipe_digest


@dg.failure_hook(name="mark_what_passes")
def mark_what_passes(context: dg.HookContext) -> None:
    """Mark a run that failed on something that may be back by itself: it uses up no attempt of the retrain sensor's."""
    if passes(context.op_exception):
        context.instance.add_run_tags(context.run_id, {FAILURE_TAG: PASSES})


retrain = dg.define_asset_job(
    "retrain",
    selection=dg.AssetSelection.assets("examples", "train_set", "lora_adapter", "eval_report", "served_model"),
    description="From what has landed to a served adapter, in one run.",
    hooks={mark_what_passes},
)


def tick_retrain(context: dg.SensorEvaluationContext, store: StoreResource, settings: dg.ResourceParam[Settings]):
    """Start a run when what has landed differs from the last decision, or say why not.

    A run whose worker is gone is ended first: under compose too, where no supervisor restarts the daemon.
    """
    fail_dead_runs(context.instance, daemon_runs=True)
    note_interrupted_run(context.instance)
    with store.open() as opened:
        state = read_retrain_state(opened, context.instance, settings)
        decision = decide_retrain(state, policy(settings.training))
        if decision.action == "give_up":
            opened.record_decision(
                fingerprint=state.want,
                adapter=None,
                verdict="failed",
                reasons=(decision.message,),
                run_id=None,
                attempt=state.attempts,
                rows_digest=opened.accepted_digest(),
                recipe_digest=recipe_digest(settings),
                accepted=state.accepted,
                train_set=None,
                # No run has judged them: they stay new, and count when the next example lands.
                example_ids=(),
            )
    if decision.action != "run":
        return dg.SkipReason(decision.message)
    return dg.RunRequest(run_key=decision.run_key, tags=dict(decision.tags))


def tick_serving(context: dg.SensorEvaluationContext, store: StoreResource, settings: dg.ResourceParam[Settings]):
    """Report what serves, and write a release made elsewhere into the record of `served_model`."""
    latest = context.instance.get_latest_materialization_event(dg.AssetKey("served_model"))
    recorded = latest.asset_materialization.metadata.get("release") if latest and latest.asset_materialization else None
    with store.open() as opened:
        release = unrecorded_release(opened.champion(), str(recorded.value) if recorded else None)
        message = serving_summary(opened, settings.platform)
    if release is None:
        return dg.SkipReason(message)
    point_alias(settings.platform.mlflow_url, "champion", release.adapter, context.log)
    event = dg.AssetMaterialization(
        "served_model",
        description=release.why,
        metadata={
            "release": release.id,
            "adapter": release.adapter,
            "previous": release.previous or "none",
            "why": release.why,
            "gateway": dg.MetadataValue.url(settings.platform.gateway_url),
        },
        tags={DATA_VERSION_TAG: release.adapter},
    )
    return dg.SensorResult(skip_reason=dg.SkipReason(message), asset_events=[event])


def make_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """The sensors. How often they tick is fixed when the definitions load; the ticks get settings as a resource."""
    seconds, running = settings.platform.sensor_seconds, dg.DefaultSensorStatus.RUNNING
    return [
        dg.sensor(
            job=retrain,
            name="retrain_sensor",
            minimum_interval_seconds=seconds,
            default_status=running,
            description="Compares what has landed with the last decision, and says in one sentence why it does or does not run.",
        )(tick_retrain),
        dg.sensor(
            job=read_feedback,
            name="feedback_sensor",
            # Signing in to the chat costs it a password hash: often enough is every quarter of a minute.
            minimum_interval_seconds=max(15, seconds),
            default_status=running,
            description="Asks whether there are new votes, ratings or edited answers, and starts `read_feedback` where there are.",
        )(tick_feedback),
        dg.sensor(
            name="observe_sensor",
            minimum_interval_seconds=max(60, seconds),
            default_status=running,
            target=None,
            description="Records a changed base model or evaluation set, so that what was made from the older one shows as stale, "
            "and warns where landed examples are in no decision for a day.",
        )(tick_observe),
        dg.sensor(
            name="serving_sensor",
            minimum_interval_seconds=max(10, seconds),
            default_status=running,
            target=None,
            description="Reports whether the gateway serves the newest release, and writes releases made elsewhere (a rollback, "
            "an override) into this asset's record. Rolling back and healing are the gateway's and the supervisor's: they wait "
            "for no sensor.",
        )(tick_serving),
    ]


@dg.op(description="Completes what waits for a correction, then lands new examples over the thinnest cells.")
def land_new_examples(
    context, store: StoreResource, settings: dg.ResourceParam[Settings]
) -> str:  # Dagster takes no context type that is text
    """Have the teacher complete what waits and land new examples; returns one sentence on what came of it.

    Raises:
        Failure: the teacher, the store or the disk, with the sentence that says so.
    """
    with store.open() as opened:
        try:
            message = generate_examples.write_new_examples(opened, settings)
        except CorrectlyError as error:
            raise refused(error) from error
    context.log.info(message)
    return message


# A run of its own: a teacher takes longer than a schedule's tick may.
@dg.job(description="The teacher lands new examples; the retrain sensor does the rest.")
def write_new_examples():
    """The job of one step behind the schedule `write_examples`."""
    land_new_examples()


@dg.schedule(
    cron_schedule="0 3 * * *",
    name="write_examples",
    job=write_new_examples,
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Has the teacher land new examples over the thinnest cells of the taxonomy; the retrain sensor does the rest.",
)
def write_examples(context: dg.ScheduleEvaluationContext):
    """Ask for one run a night; the schedule is stopped until somebody starts it."""
    return dg.RunRequest()
