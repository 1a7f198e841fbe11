"""`lora_adapter`: the trainer, run as a Pipes child process, and the rules its adapter must keep.

Belongs here: starting the child, turning its end into a result or a plain failure. Does not belong here: training.

There is no `dg.Config` on purpose: what a person could set in the Launchpad is the recipe, and the recipe is part of the
fingerprint of what should be trained. Settings change it; a run does not.
"""

import json
from pathlib import Path
from typing import Any

import dagster as dg

from correctly_assets.artifacts.manifests import Provenance
from correctly_assets.core.errors import CorrectlyError, PermanentError
from correctly_assets.core.retrain import WHY_TAG
from correctly_assets.core.training import ADAPTER_CHECK
from correctly_assets.defs.event_metadata import LOOP, OWNERS, latest, refused, sources_version
from correctly_assets.evaluation.report.plots import loss_curve
from correctly_assets.resources.ledger import EXPERIMENT, Ledger, NoLedger
from correctly_assets.resources.store_resource import StoreResource
from correctly_assets.resources.trainer_resource import Trained, TrainerResource
from correctly_assets.settings import Settings
from correctly_assets.training.config import Mlflow
from correctly_assets.workflows.promote import record


@dg.asset(
    deps=["train_set", "base_model"],
    group_name=LOOP,
    kinds={"pytorch", "huggingface"},
    owners=OWNERS,
    code_version=sources_version("training"),
    check_specs=[
        dg.AssetCheckSpec(
            ADAPTER_CHECK,
            asset="lora_adapter",
            blocking=True,
            description="Finite tensors, a non-zero B, a rank vLLM knows, keys that match the model, no tokenizer: before vLLM sees it.",
        )
    ],
)
def lora_adapter(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    trainer: TrainerResource,
    mlflow: dg.ResourceParam[Any],
    settings: dg.ResourceParam[Settings],
):
    """A LoRA adapter of the base model, trained on completion tokens only. Its ID is its content's hash."""
    from correctly_assets.workflows.build_train_set import train_config

    ledger: Ledger | NoLedger = mlflow
    train_set = latest(context, "train_set", "snapshot")
    try:
        provenance = train_config(settings, train_set=train_set).extras
    except CorrectlyError as error:
        raise refused(error) from error
    try:
        trained = trainer.train(context, settings, train_set=train_set, mlflow=_child_ledger(context, settings, ledger))
    except CorrectlyError as error:
        trained = Trained(error)
    outcome = trained.outcome
    if isinstance(outcome, CorrectlyError):
        if isinstance(outcome, PermanentError):
            _decide_failed(context, store, settings, provenance, outcome)
        yield from (check for check in trained.reported if isinstance(check, dg.AssetCheckResult))
        raise refused(outcome) from outcome
    shown: dict[str, str | dg.MetadataValue] = {"train_set": train_set}
    if curve := _loss_curve(Path(outcome.path)):
        shown["loss_curve"] = dg.MetadataValue.md(f"![loss](data:image/png;base64,{curve})")
    if ledger.run_id and (link := ledger.url()):
        shown["mlflow"] = dg.MetadataValue.url(link)
    for event in trained.reported:
        if isinstance(event, dg.MaterializeResult):
            event = dg.MaterializeResult(metadata={**shown, **(event.metadata or {})}, data_version=event.data_version)
        yield event


def _child_ledger(context: dg.AssetExecutionContext, settings: Settings, ledger: Ledger | NoLedger) -> Mlflow | None:
    """Where the child writes its curves: the MLflow run that dagster-mlflow started and will end; None without one."""
    if not ledger.run_id:
        return None
    ledger.tags(
        {
            "dagster_run": context.run_id,
            "dagster_url": f"{settings.platform.dagster_url}/runs/{context.run_id}",
            "why": context.run.tags.get(WHY_TAG, "Started by a person."),
        }
    )
    return Mlflow(tracking_uri=settings.platform.mlflow_url, experiment=EXPERIMENT, run_id=ledger.run_id)


def _decide_failed(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    settings: Settings,
    provenance: Provenance,
    error: Exception,
) -> None:
    """Write down that this training cannot succeed unchanged, so that the sensor does not try again: memory that ran out
    or a loss that is no number comes again."""
    reasons = (
        str(error),
        "It is tried again when an example or a setting changes, or when `retrain` is launched in Dagster.",
    )
    with store.open() as opened:
        record(
            settings.platform,
            opened,
            provenance,
            adapter=None,
            verdict="failed",
            reasons=reasons,
            run_id=context.run.run_id,
        )


def _loss_curve(adapter: Path) -> str | None:
    try:
        losses = json.loads((adapter / "loss.json").read_text())["loss"]
    except (FileNotFoundError, KeyError, ValueError):
        return None
    return loss_curve(losses) if losses else None
