"""A LoRA adapter as it is trained, and the engine that gives its losses and gradients.

Belongs here: the float32 master weights beside the bf16 copies that compute, an adapter's tensors in its directory, the device,
and what an engine is. Does not belong here: loading a model and putting an adapter on it (load_model.py), optimisation
(trainer.py), the engines (engines/).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file

from correctly_assets.artifacts.manifests import AdapterManifest, ManifestMissing, read_manifest
from correctly_assets.core.errors import PermanentError
from correctly_assets.training.config import TrainConfig
from correctly_assets.training.models.base_model import base_model_revision, untrimmed
from correctly_assets.training.rendering import Turn


class Engine(Protocol):
    """Computes a batch's loss. Gradients are left at the adapter's masters or at their copies (`pull_gradients`)."""

    name: str

    def train(self, turns: Sequence[Turn]) -> float:
        """Forward and backward of the mean loss per learned token; returns that mean."""
        ...

    def losses(self, turns: Sequence[Turn]) -> list[torch.Tensor]:
        """Per turn the [learned] losses in nats, float32, without gradients."""
        ...


@dataclass
class Adapter:
    """A LoRA adapter: what is computed with and what is optimised.

    Attributes:
        model: the peft model around the base.
        names: the tensors' names as vLLM and peft read them from ``adapter_model.safetensors``.
        copies: compute copies in the base model's dtype; they carry the gradients.
        masters: float32 weights that the optimiser moves; same order.
    """

    model: Any
    names: list[str]
    copies: list[torch.nn.Parameter]
    masters: list[torch.nn.Parameter]

    def push(self) -> None:
        """Copy the masters into the compute copies."""
        with torch.no_grad():
            _copy_all([copy.data for copy in self.copies], self.masters)

    def pull_gradients(self) -> None:
        """Move gradients that stand at the copies to the masters, in float32."""
        there = [(m, c, c.grad) for m, c in zip(self.masters, self.copies, strict=True) if c.grad is not None]
        moved = [torch.empty_like(master) for master, _, _ in there]
        _copy_all(moved, [grad for _, _, grad in there])
        for (master, copy, _), grad in zip(there, moved, strict=True):
            master.grad, copy.grad = grad, None

    def tensors(self) -> dict[str, torch.Tensor]:
        """The masters by name, contiguous on the CPU."""
        return {n: m.detach().cpu().contiguous() for n, m in zip(self.names, self.masters, strict=True)}

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """Set the masters.

        Raises:
            PermanentError: names or shapes differ from this adapter's.
        """
        shapes = {name: master.shape for name, master in zip(self.names, self.masters, strict=True)}
        if {name: tensor.shape for name, tensor in tensors.items()} != shapes:
            raise PermanentError(
                "The adapter to start from does not fit: its rank, targets or base model differ from this run's. "
                "Start from the base model (CORRECTLY_TRAIN_START=base) or use the adapter's own settings."
            )
        with torch.no_grad():
            for name, master in zip(self.names, self.masters, strict=True):
                master.copy_(tensors[name])
        self.push()


def _copy_all(targets: Sequence[torch.Tensor], sources: Sequence[torch.Tensor]) -> None:
    """Copy some hundred small tensors, of another dtype or not; on a GPU in one kernel instead of one each."""
    if targets:
        torch._foreach_copy_(list(targets), list(sources))  # pyright: ignore[reportPrivateImportUsage]


def choose_device(wanted: str) -> torch.device:
    """The device to train on.

    Raises:
        PermanentError: CUDA is asked for and absent.
    """
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise PermanentError("device is cuda but PyTorch sees no GPU; use auto or cpu, or install the GPU extra.")
    return torch.device("cuda" if available and wanted != "cpu" else "cpu")


def read_start(directory: Path, config: TrainConfig) -> dict[str, torch.Tensor]:
    """The tensors of the adapter to start from, of the strength that it has: where its alpha is another than this run's, B
    is scaled. Its rank is the adapter's shape, which `Adapter.load` looks at.

    Raises:
        PermanentError: it was trained on another revision of the base model, or does not say on which.
    """
    settings = json.loads((directory / "adapter_config.json").read_text(encoding="utf-8"))
    try:
        of = read_manifest(directory, AdapterManifest).base_model.revision
    except ManifestMissing:
        of = ""
    if not of:
        raise PermanentError(
            f"The adapter {directory.name} to start from does not say which base model it is of: take it in with "
            "`correctly adopt`, or start from the base model (CORRECTLY_TRAIN_START=base)."
        )
    if untrimmed(of) != untrimmed(base_model_revision(config.base_model)):
        raise PermanentError(
            f"The adapter {directory.name} to start from was trained on another base model, or another revision of it, than "
            "this run's: start from the base model (CORRECTLY_TRAIN_START=base)."
        )
    strength = float(settings["lora_alpha"]) / config.lora.alpha
    return {n: t * strength if ".lora_B." in n else t for n, t in read_adapter(directory).items()}


def read_adapter(directory: Path) -> dict[str, torch.Tensor]:
    """An adapter's tensors, float32."""
    return {name: tensor.float() for name, tensor in load_file(directory / "adapter_model.safetensors").items()}
