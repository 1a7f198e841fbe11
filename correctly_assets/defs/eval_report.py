"""`eval_report`: the candidate against the champion, the base model and the untouched text, and the gate's check.

Belongs here: the asset, the blocking check, the record of a refusal. Does not belong here: measuring (evaluation/) or the
gate's rules (core/gate.py).
"""

import asyncio
from typing import Any

import dagster as dg

from correctly_assets.core.errors import CorrectlyError
from correctly_assets.defs.event_metadata import LOOP, OWNERS, latest, refused, sources_version
from correctly_assets.resources.engine import EngineResource
from correctly_assets.resources.ledger import Ledger, NoLedger
from correctly_assets.resources.store_resource import StoreResource
from correctly_assets.settings import Settings


@dg.asset(
    deps=["lora_adapter", "evaluation_set"],
    group_name=LOOP,
    kinds={"vllm", "python"},
    owners=OWNERS,
    code_version=sources_version("evaluation", "correction", "core/gate.py", "workflows/judge_candidate.py"),
    check_specs=[
        dg.AssetCheckSpec(
            "the_gate",
            asset="eval_report",
            blocking=True,
            description="Above the base model, no worse than the champion, sparing with correct sentences. A refusal is a decision.",
        )
    ],
)
def eval_report(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    engine: EngineResource,
    mlflow: dg.ResourceParam[Any],
    settings: dg.ResourceParam[Settings],
):
    """The candidate's report on the frozen set, through vLLM and the same path as the chat: verdict first."""
    from correctly_assets.workflows.judge_candidate import judge_candidate

    adapter = latest(context, "lora_adapter", "adapter")
    try:
        with store.open() as opened:
            judged = asyncio.run(
                judge_candidate(
                    settings, opened, engine, adapter=adapter, run_id=context.run.run_id, log=context.log.info
                )
            )
    except CorrectlyError as error:
        raise refused(error) from error
    ledger: Ledger | NoLedger = mlflow
    ledger.metrics({f"evaluation.{name}": value for name, value in judged.figures.items()})
    reasons = {f"reason_{number}": reason for number, reason in enumerate(judged.decision.reasons, 1)}
    verdict = "passed" if judged.decision.promote else "refused"
    ledger.tags({"verdict": verdict, "adapter": adapter, **reasons})
    ledger.alias("challenger", adapter)
    if judged.html is not None:
        ledger.artifact(judged.html)
    metadata: dict[str, dg.MetadataValue | str | float | int] = {
        "report": dg.MetadataValue.md(judged.markdown),
        "adapter": adapter,
        "verdict": "promote" if judged.decision.promote else "refuse",
        **{name: float(value) for name, value in judged.figures.items()},
    }
    if judged.html is not None:
        metadata["html"] = dg.MetadataValue.path(str(judged.html))
    link = ledger.url()
    if link:
        metadata["mlflow"] = dg.MetadataValue.url(link)
    yield dg.MaterializeResult(data_version=dg.DataVersion(judged.sha256), metadata=metadata)
    yield dg.AssetCheckResult(
        passed=judged.decision.promote,
        severity=dg.AssetCheckSeverity.ERROR,
        description=" ".join(judged.decision.reasons),
        metadata=dict(reasons),
    )
