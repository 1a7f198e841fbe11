"""What a finished run leaves behind: the adapter's directory with manifest, loss curve, canary and model card.

Belongs here: the files' contents. Does not belong here: the rules they must keep (adapter.py), the card's words (card.py),
atomic writing (core).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import save_file

from correctly_assets.artifacts.directory import write_artefact
from correctly_assets.artifacts.manifests import AdapterManifest, Figures, NamedBaseModel, TrainedWith
from correctly_assets.core.prompts import Prompts
from correctly_assets.core.training import Canary
from correctly_assets.training.adapter import CONTENT
from correctly_assets.training.card import CARD, model_card
from correctly_assets.training.config import TrainConfig
from correctly_assets.training.models.base_model import base_model_revision, base_name
from correctly_assets.training.models.lora_model import Adapter, Engine
from correctly_assets.training.rendering import Renderer
from correctly_assets.training.trainer import Trainer, log_probability

_CANARIES = (
    ("He go to school every day.", "He goes to school every day."),
    ("I am agree with you about this plan.", "I agree with you about this plan."),
    ("She suggested me to take the earlier train.", "She suggested that I take the earlier train."),
    ("We discussed about the informations yesterday.", "We discussed the information yesterday."),
    ("I look forward to hear from you soon.", "I look forward to hearing from you soon."),
    ("There is many people who wants to join us.", "There are many people who want to join us."),
    ("The meeting starts at nine.", "The meeting starts at nine."),
    ("If I would have time, I would help.", "If I had time, I would help."),
)


def measure_canaries(adapter: Adapter, engine: Engine, renderer: Renderer, *, keep: int = 4) -> list[Canary]:
    """Log-probabilities of fixed answers under base and adapter; those that differ most are kept.

    They prove to serving that vLLM applies this adapter, and not the base model, under the adapter's name.
    """
    canaries: list[Canary] = []
    for before, after in _CANARIES:
        prompt = renderer.prompts.correct_prompt(before)
        turn = renderer.turn(prompt, after, pair_id="canary", origin="canary", task="correct")
        with_adapter = log_probability(engine, turn)
        with base_only(adapter):
            without = log_probability(engine, turn)
        canaries.append(Canary(prompt, after, round(without, 4), round(with_adapter, 4), turn.learned - 1))
    canaries.sort(key=lambda c: -abs(c.adapter_logprob - c.base_logprob))
    return canaries[:keep]


class base_only:  # noqa: N801 - reads as a statement
    """While inside, the adapter's B matrices are zero: the base model answers."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter

    def __enter__(self) -> None:
        for name, copy in zip(self._adapter.names, self._adapter.copies, strict=True):
            if ".lora_B." in name:
                copy.data.zero_()

    def __exit__(self, *_: object) -> None:
        self._adapter.push()


def adapter_config(config: TrainConfig, adapter: Adapter) -> str:
    """peft's own configuration as JSON text, with the modules spelled out and sets sorted so that equal runs give equal bytes."""
    settings = adapter.model.peft_config["default"].to_dict()
    modules = sorted({name.split(".lora_")[0].rsplit(".", 1)[-1] for name in adapter.names})
    settings |= {
        "target_modules": modules,
        "base_model_name_or_path": base_name(config.base_model),
        "inference_mode": True,
        "revision": None,
    }
    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in settings.items()}
    return json.dumps({key: getattr(value, "value", value) for key, value in sorted(plain.items())}, indent=1) + "\n"


def write_adapter(
    config: TrainConfig,
    trainer: Trainer,
    prompts: Prompts,
    canaries: Sequence[Canary],
    figures: Figures,
    code_sha256: str | None = None,
) -> tuple[str, Path]:
    """Write ``adapters_dir/ID`` in one step.

    Returns:
        (ID, directory).
    """
    adapter, data = trainer.adapter, trainer.data
    manifest = AdapterManifest(
        kind="lora_adapter",
        base_model=NamedBaseModel(name=base_name(config.base_model), revision=base_model_revision(config.base_model)),
        data_sha256=data.sha256,
        prompt_sha256=prompts.sha256,
        chat_family=config.chat_family,
        code_version=config.code_version,
        code_sha256=code_sha256,
        seed=config.seed,
        config=TrainedWith.model_validate(config.model_dump(mode="json", include=_RECORDED)),
        figures=figures,
        canary=list(canaries),
        **config.extras.model_dump(exclude_unset=True),
    )

    def fill(directory: Path) -> None:
        # float32, as optimised: vLLM rounds to the model's bf16 when loading, which is what was computed with here.
        save_file(adapter.tensors(), directory / "adapter_model.safetensors", metadata={"format": "pt"})
        # safetensors writes for the owner alone; vLLM may run as somebody else.
        (directory / "adapter_model.safetensors").chmod(0o644)
        (directory / "adapter_config.json").write_text(adapter_config(config, adapter))
        curve = {"loss": trainer.progress.losses, "learning_rate": trainer.progress.rates}
        (directory / "loss.json").write_text(json.dumps(curve) + "\n")
        (directory / CARD).write_text(model_card(manifest), encoding="utf-8")

    return write_artefact(config.adapters_dir, fill, content=CONTENT, manifest=manifest, renew=True)


_RECORDED = {
    "stages", "lora", "batch_size", "token_budget", "max_length", "max_minutes", "max_steps", "schedule",
    "warmup_steps", "weight_decay", "clip_norm", "explain_share", "max_explain_per_pair", "engine",
}  # fmt: skip
