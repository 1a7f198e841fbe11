"""`model_health`: what people send beside what was trained on, and the champion's scores now, each day beside the loop.

Belongs here: the asset, its checks, its job and its schedule. Does not belong here: counting and scoring
(workflows/model_health.py), the decisions (core/drift.py). It stops nothing: both checks warn.
"""

import asyncio
from typing import TYPE_CHECKING

import dagster as dg

from correctly_assets.core.errors import CorrectlyError
from correctly_assets.defs.event_metadata import LOOP, OWNERS, refused, sources_version, table
from correctly_assets.resources.engine import EngineResource
from correctly_assets.resources.store_resource import StoreResource
from correctly_assets.settings import Settings

if TYPE_CHECKING:
    from correctly_assets.artifacts.health_record import HealthRecord

DRIFT, SCORES = "live_sentences_are_like_the_train_set", "the_champion_scores_as_when_promoted"


@dg.asset(
    deps=["served_model", "evaluation_set"],
    group_name=LOOP,
    kinds={"python", "vllm"},
    owners=OWNERS,
    code_version=sources_version("core/drift.py", "core/shares.py", "workflows/model_health.py"),
    check_specs=[
        dg.AssetCheckSpec(
            DRIFT, asset="model_health", description="Says what drifted, by how much, and what to land next. It warns."
        ),
        dg.AssetCheckSpec(
            SCORES, asset="model_health", description="The champion on the frozen set, as well as ever. It warns."
        ),
    ],
)
def model_health(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    engine: EngineResource,
    settings: dg.ResourceParam[Settings],
):
    """The last week's live sentences beside the champion's train set (length, error types, unchanged share, languages), and the
    champion's scores on the frozen set beside those it was promoted with."""
    from correctly_assets.workflows.model_health import check_health

    try:
        with store.open() as opened:
            found = asyncio.run(check_health(settings, opened, engine, log=context.log.info))
    except CorrectlyError as error:
        raise refused(error) from error
    yield dg.MaterializeResult(metadata=_metadata(found))
    for name, passed, message in (
        (DRIFT, not found.drifted, found.message),
        (SCORES, not found.fell, found.scores_message),
    ):
        yield dg.AssetCheckResult(
            check_name=name, passed=passed, severity=dg.AssetCheckSeverity.WARN, description=message
        )


def _metadata(found: "HealthRecord") -> dict[str, dg.MetadataValue | str | int | float]:
    rows = [
        [
            "unchanged" if one.measure == "unchanged" else f"{one.measure.replace('_', ' ')}: {one.value}",
            f"{one.live.point:.1f} %",
            f"{one.trained.point:.1f} %",
            f"{one.difference.point:+.1f} ({one.difference.low:+.1f} to {one.difference.high:+.1f})",
            "drifted" if one.drifted else "",
        ]
        for one in found.shares
    ]
    scores = {f"{name}_now": value for name, value in found.scores.items()}
    scores |= {f"{name}_when_promoted": value for name, value in found.promoted_scores.items()}
    words = {"live_median_words": found.median_words, "trained_median_words": found.trained_median_words}
    return {
        "message": found.message,
        "scores_message": found.scores_message,
        "release": found.release or "none",
        "train_set": found.train_set or "none",
        "days": found.days,
        "live_sentences": found.sentences,
        "trained_sentences": found.trained,
        **{name: value for name, value in words.items() if value is not None},
        **scores,
        # All intervals together hold with 95 %.
        "beside_the_train_set": table(["Share of sentences", "Live", "Train set", "Difference, points", ""], rows),
    }


# The asset's op has the asset's name, which a job must not share.
check_model_health = dg.define_asset_job(
    "check_model_health",
    selection=dg.AssetSelection.assets("model_health"),
    description="Live sentences beside the train set, and the champion's scores now; beside the loop.",
)

daily_model_health = dg.ScheduleDefinition(
    name="daily_model_health",
    job=check_model_health,
    cron_schedule="0 4 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Looks each night at what people sent in the last week, and at the champion's scores.",
)
