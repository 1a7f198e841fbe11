"""`served_model`: the third gate, the flip, and the record of the decision.

Belongs here: refusing an adapter whose own report does not pass against the champion of this moment, promoting one that
does. Does not belong here: judging (evaluation/, core/gate.py), loading (engine/).
"""

import asyncio
from datetime import timedelta
from typing import Any

import dagster as dg

from correctly_assets.core.errors import CorrectlyError
from correctly_assets.defs.event_metadata import LOOP, OWNERS, latest, refused, sources_version
from correctly_assets.resources.engine import EngineResource
from correctly_assets.resources.ledger import Ledger, NoLedger
from correctly_assets.resources.store_resource import StoreResource
from correctly_assets.settings import Settings
from correctly_assets.workflows.promote import promote_candidate


@dg.asset(
    deps=["eval_report"],
    group_name=LOOP,
    # Nothing new to learn from for a month is worth a look; what landed and waits is `nothing_waits_too_long`'s.
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(days=30), warn_window=timedelta(days=14)),
    kinds={"vllm"},
    owners=OWNERS,
    code_version=sources_version("engine", "core/gate.py", "workflows/promote.py"),
    check_specs=[
        dg.AssetCheckSpec(
            "the_champion_answers", asset="served_model", description="The gateway serves the newest release."
        )
    ],
)
def served_model(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    engine: EngineResource,
    mlflow: dg.ResourceParam[Any],
    settings: dg.ResourceParam[Settings],
):
    """The release that answers as `correctly`. A blocking check does not stop a later or manual run, so this asset holds
    the candidate's own report against the champion once more before it flips."""
    adapter = latest(context, "lora_adapter", "adapter")
    try:
        with store.open() as opened:
            promotion = asyncio.run(
                promote_candidate(
                    settings, opened, engine, adapter=adapter, run_id=context.run.run_id, log=context.log.info
                )
            )
    except CorrectlyError as error:
        raise refused(error) from error
    ledger: Ledger | NoLedger = mlflow
    ledger.tags({"verdict": "promoted", "release": promotion.release})
    ledger.alias("champion", promotion.adapter)
    yield dg.MaterializeResult(
        data_version=dg.DataVersion(promotion.adapter),
        metadata={
            "release": promotion.release,
            "adapter": promotion.adapter,
            "previous": promotion.previous or "none",
            "why": promotion.why,
            "proved_from_base_nats": promotion.from_base,
            "proved_from_training_nats": promotion.from_training,
            "gateway": dg.MetadataValue.url(settings.platform.gateway_url),
        },
    )
    served = promotion.gateway_serves
    yield dg.AssetCheckResult(
        passed=served is not False,
        severity=dg.AssetCheckSeverity.WARN,
        description={
            True: f"The gateway serves {promotion.release}.",
            False: "The gateway does not serve the release yet; see `correctly logs gateway`.",
            None: "No gateway runs here; the release is served as soon as one starts.",
        }[served],
    )
