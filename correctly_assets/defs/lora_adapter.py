"""`lora_adapter`: the trainer, run as a Pipes child process, and the rules its adapter must keep.

Belongs here: starting the child, turning its end into a result or a plain failure. Does not belong here: training.
"""

import os
from pathlib import Path
from typing import Any

import dagster as dg

from correctly_assets.core.retrain import WHY_TAG
from correctly_assets.core.training import got_worse
from correctly_assets.defs.common import OWNERS, latest, refused
from correctly_assets.resources.ledger import EXPERIMENT, Ledger, NoLedger
from correctly_assets.resources.store import StoreResource
from correctly_assets.resources.trainer import TrainerResource
from correctly_assets.settings import Settings


@dg.asset(
    deps=["train_set", "base_model"],
    group_name="model",
    kinds={"pytorch", "huggingface"},
    owners=OWNERS,
    code_version="1",
    check_specs=[
        dg.AssetCheckSpec(
            "the_adapter_can_be_served",
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
    from correctly_assets.core.errors import AdapterRefused, CorrectlyError, PermanentError
    from correctly_assets.training.adapter import check_adapter
    from correctly_assets.workflows.build_train_set import train_config
    from correctly_assets.workflows.promote import record

    ledger: Ledger | NoLedger = mlflow
    # The child writes its curves into the run that dagster-mlflow started and will end.
    child_ledger = None
    if ledger.run_id:
        child_ledger = {"tracking_uri": settings.platform.mlflow_url, "experiment": EXPERIMENT, "run_id": ledger.run_id}
        ledger.tags(
            {
                "dagster_run": context.run_id,
                "dagster_url": f"{settings.platform.dagster_url}/runs/{context.run_id}",
                "why": context.run.tags.get(WHY_TAG, "Started by a person."),
            }
        )
    head = latest(context, "train_set")
    try:
        provenance = train_config(settings, train_set=head["snapshot"])["extras"]
    except CorrectlyError as error:
        raise refused(error) from error
    try:
        result, curve = trainer.train(context, settings, train_set=head["snapshot"], mlflow=child_ledger)
    except PermanentError as error:
        # Memory that ran out or a loss that is no number comes again unchanged: decided, so that the sensor does not try.
        reasons = (
            str(error),
            "It is tried again when an example or a setting changes, or when `retrain` is launched in Dagster.",
        )
        with store.open() as opened:
            record(
                settings,
                opened,
                {**provenance, "id": None},
                verdict="failed",
                reasons=reasons,
                run_id=context.run.run_id,
            )
        raise refused(error) from error
    except CorrectlyError as error:
        raise refused(error) from error
    metadata: dict[str, dg.MetadataValue | str | int | float] = {
        "adapter": result.adapter,
        "path": dg.MetadataValue.path(result.path),
        "train_set": head["snapshot"],
        "loss_first": result.loss_first,
        "loss_last": result.loss_last,
        "pairs": result.pairs,
        "steps": result.steps,
        "tokens": result.tokens,
        "seconds": result.seconds,
        "engine": f"{result.engine} on {result.device}",
        "tokens_per_second": result.tokens_per_second,
        "peak_memory_mb": result.peak_rss_mb,
        "resumed": str(result.resumed),
    }
    if result.device == "cuda":
        metadata["gpu_minutes"] = result.seconds / 60
        metadata["peak_gpu_memory_mb"] = result.peak_gpu_mb or 0.0
    else:
        metadata["core_minutes"] = result.seconds / 60 * (os.cpu_count() or 1)
    if result.plan:
        promised, took = result.plan["promised"], result.plan["took"]
        metadata["promised_minutes"], metadata["took_minutes"] = promised["minutes"], took["minutes"]
        metadata["promised_gigabytes"], metadata["took_gigabytes"] = promised["gigabytes"], took["gigabytes"]
    worse = got_worse(result.forgetting)
    metadata["got_worse"] = ", ".join(f"{name} by {by:.0f} %" for name, by in worse) or "no held-out slice"
    if result.held_out_loss is not None:
        metadata["held_out_loss"] = result.held_out_loss
    if curve:
        metadata["loss_curve"] = dg.MetadataValue.md(f"![loss](data:image/png;base64,{curve})")
    link = result.mlflow_url or ledger.url()
    if link:
        metadata["mlflow"] = dg.MetadataValue.url(link)
    for index, warning in enumerate(result.warnings):
        metadata[f"warning_{index + 1}"] = warning
    yield dg.MaterializeResult(data_version=dg.DataVersion(result.adapter), metadata=metadata)
    try:
        check_adapter(Path(result.path), Path(settings.base_model_path))
        yield dg.AssetCheckResult(passed=True, description="Every rule holds.")
    except AdapterRefused as error:
        yield dg.AssetCheckResult(passed=False, description=str(error), metadata={"rule": error.rule})
