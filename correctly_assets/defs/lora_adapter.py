"""`lora_adapter`: the trainer, run as a Pipes child process, and the rules its adapter must keep.

Belongs here: starting the child, turning its end into a result or a plain failure. Does not belong here: training.
"""

from __future__ import annotations

import dagster as dg

from correctly_assets.resources.trainer import TrainerResource
from correctly_assets.settings import get_settings

from .common import OWNERS, latest, refused


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
def lora_adapter(context: dg.AssetExecutionContext, trainer: TrainerResource):
    """A LoRA adapter of the base model, trained on completion tokens only. Its ID is its content's hash."""
    from correctly_assets.core.errors import AdapterRefused, CorrectlyError
    from correctly_assets.training.adapter import check_adapter

    settings = get_settings()
    head = latest(context, "train_set")
    try:
        result, curve = trainer.train(context, settings, train_set=head["snapshot"])
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
        "core_minutes": result.seconds / 60 * settings_cores(),
        "tokens_per_second": result.tokens_per_second,
        "peak_memory_mb": result.peak_rss_mb,
        "resumed": str(result.resumed),
    }
    if result.held_out_loss is not None:
        metadata["held_out_loss"] = result.held_out_loss
    if curve:
        metadata["loss_curve"] = dg.MetadataValue.md(f"![loss](data:image/png;base64,{curve})")
    if result.mlflow_url:
        metadata["mlflow"] = dg.MetadataValue.url(result.mlflow_url)
    for index, warning in enumerate(result.warnings):
        metadata[f"warning_{index + 1}"] = warning
    yield dg.MaterializeResult(data_version=dg.DataVersion(result.adapter), metadata=metadata)
    try:
        check_adapter(dg_path(result.path), settings.base_model_path)
        yield dg.AssetCheckResult(passed=True, description="Every rule holds.")
    except AdapterRefused as error:
        yield dg.AssetCheckResult(passed=False, description=str(error), metadata={"rule": error.rule})


def settings_cores() -> int:
    import os

    return os.cpu_count() or 1


def dg_path(path: str):
    from pathlib import Path

    return Path(path)
