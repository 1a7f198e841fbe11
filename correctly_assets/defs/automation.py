"""What starts by itself: the job, the sensors, the schedule.

Belongs here: thin shells that read facts, call a pure decision and enact it. Does not belong here: the decision
(core/retrain.py) or where the facts come from (workflows/retrain_state.py). Nothing here opens DuckDB or imports torch.
"""

from __future__ import annotations

import dagster as dg

from correctly_assets.core.retrain import decide_retrain
from correctly_assets.defs.common import refused
from correctly_assets.resources.ledger import point_alias
from correctly_assets.resources.store import StoreResource
from correctly_assets.settings import Settings
from correctly_assets.workflows.retrain_state import policy, read_retrain_state, recipe_digest

DATA_VERSION_TAG = "dagster/data_version"
"""What `MaterializeResult(data_version=…)` becomes; a sensor's event can only be given the tag."""

retrain = dg.define_asset_job(
    "retrain",
    selection=dg.AssetSelection.assets("examples", "train_set", "lora_adapter", "eval_report", "served_model"),
    description="From what has landed to a served adapter, in one run.",
)


def tick_retrain(context: dg.SensorEvaluationContext, store: StoreResource, settings: dg.ResourceParam[Settings]):
    """Start a run when what has landed differs from the last decision, or say why not."""
    with store.open() as opened:
        state = read_retrain_state(opened, context.instance, settings)
        decision = decide_retrain(state, policy(settings.training))
        if decision.action == "give_up":
            opened.record_decision(
                fingerprint=state.want,
                adapter=None,
                verdict="failed",
                reasons=(decision.says,),
                run_id=None,
                attempt=state.attempts,
                rows_digest=opened.accepted_digest(),
                recipe_digest=recipe_digest(settings),
                accepted=state.accepted,
                train_set=None,
                example_ids=None,
            )
    if decision.action != "run":
        return dg.SkipReason(decision.says)
    return dg.RunRequest(run_key=decision.run_key, tags=dict(decision.tags))


def tick_feedback(context: dg.SensorEvaluationContext, store: StoreResource, settings: dg.ResourceParam[Settings]):
    """Turn new votes into examples, and say how many."""
    from correctly_assets.workflows.collect_feedback import collect_feedback

    # The cursor only saves work: a wiped one reads every vote again, and each counts once.
    since = int(context.cursor) if context.cursor and context.cursor.isdigit() else 0
    with store.open() as opened:
        says, since = collect_feedback(opened, settings, since=since)
    return dg.SensorResult(skip_reason=dg.SkipReason(says), cursor=str(since))


def tick_serving(context: dg.SensorEvaluationContext, store: StoreResource, settings: dg.ResourceParam[Settings]):
    """Report what serves, and write a release made elsewhere into the record of `served_model`."""
    from correctly_assets.workflows.promote import serving_says, untold_release

    known = context.instance.get_latest_materialization_event(dg.AssetKey("served_model"))
    told = known.asset_materialization.metadata.get("release") if known and known.asset_materialization else None
    with store.open() as opened:
        release = untold_release(opened.champion(), str(told.value) if told else None)
        says = serving_says(opened, settings.platform)
    if release is None:
        return dg.SkipReason(says)
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
    return dg.SensorResult(skip_reason=dg.SkipReason(says), asset_events=[event])


def make_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """The three sensors. How often they tick is fixed when the definitions load; the ticks get settings as a resource."""
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
            name="feedback_sensor",
            # Signing in to the chat costs it a password hash: often enough is every quarter of a minute.
            minimum_interval_seconds=max(15, seconds),
            default_status=running,
            target=None,
            description="Turns votes, ratings and edited answers into examples, after the guards and the ladder.",
        )(tick_feedback),
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
    from correctly_assets.core.errors import CorrectlyError
    from correctly_assets.workflows.generate_examples import write_new_examples as write

    with store.open() as opened:
        try:
            says = write(opened, settings)
        except CorrectlyError as error:
            raise refused(error) from error
    context.log.info(says)
    return says


# A run of its own: a teacher takes longer than a schedule's tick may.
@dg.job(description="The teacher lands new examples; the retrain sensor does the rest.")
def write_new_examples():
    land_new_examples()


@dg.schedule(
    cron_schedule="0 3 * * *",
    name="write_examples",
    job=write_new_examples,
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Has the teacher land new examples over the thinnest cells of the taxonomy; the retrain sensor does the rest.",
)
def write_examples(context: dg.ScheduleEvaluationContext):
    return dg.RunRequest()
