"""Checkpoints: the one file from which a stopped run goes on to the same result.

Belongs here: writing and reading that file atomically. Does not belong here: when to write it (trainer.py), or
what moves it on.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from correctly_assets.artifacts.files import fsync_entries
from correctly_assets.training.schedule import Schedule

NAME = "checkpoint.safetensors"


@dataclass
class Progress:
    """What a run has done so far; all of it goes into the checkpoint.

    Attributes:
        before: held-out losses before the first step, by slice.
    """

    step: int = 0
    plan: list[int] = field(default_factory=list)
    schedule: Schedule | None = None
    losses: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    seconds: float = 0.0
    tokens: int = 0
    spent: float = 0.0
    before: dict[str, dict[str, float]] = field(default_factory=dict)


_PROGRESS = TypeAdapter(Progress)


@dataclass
class Checkpoint:
    """State between two steps.

    Attributes:
        fingerprint: of the config and data that it belongs to (`TrainConfig.fingerprint`).
        weights: the adapter's float32 masters by name.
        first, second: AdamW's moments by name; empty before the first step.
        rng: torch's random state.
        progress: the rest: steps done, the plan as cut, schedule anchor, losses, seconds.
        gpu_rng: the GPU's random state, where one trains.
    """

    fingerprint: str
    weights: dict[str, torch.Tensor]
    first: dict[str, torch.Tensor]
    second: dict[str, torch.Tensor]
    rng: torch.Tensor
    progress: Progress
    gpu_rng: torch.Tensor | None = None


def save_checkpoint(directory: Path, checkpoint: Checkpoint) -> None:
    """Write by temporary name, fsync and rename: a kill at any instant leaves the old file or the new one."""
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {f"w/{k}": v for k, v in checkpoint.weights.items()}
    tensors |= {f"m/{k}": v for k, v in checkpoint.first.items()} | {f"v/{k}": v for k, v in checkpoint.second.items()}
    tensors["rng"] = checkpoint.rng
    if checkpoint.gpu_rng is not None:
        tensors["gpu_rng"] = checkpoint.gpu_rng
    handle, name = tempfile.mkstemp(prefix=f".{NAME}-", dir=directory)
    os.close(handle)
    try:
        # Tensors and JSON, no pickle: a checkpoint from elsewhere cannot run code.
        state = json.dumps(asdict(checkpoint.progress))
        save_file(tensors, name, metadata={"fingerprint": checkpoint.fingerprint, "state": state})
        with Path(name).open("rb") as file:
            os.fsync(file.fileno())
        Path(name).replace(directory / NAME)
        fsync_entries(directory)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_checkpoint(directory: Path, fingerprint: str) -> Checkpoint | None:
    """The checkpoint of exactly this run, else None (absent, of another run, or unreadable)."""
    path = directory / NAME
    for leftover in directory.glob(f".{NAME}-*"):
        leftover.unlink(missing_ok=True)
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            meta = file.metadata() or {}
            if meta.get("fingerprint") != fingerprint:
                return None
            groups: dict[str, dict[str, torch.Tensor]] = {"w": {}, "m": {}, "v": {}}
            for key in file.keys():  # noqa: SIM118 - safe_open is no mapping
                if key not in ("rng", "gpu_rng"):
                    groups[key[0]][key[2:]] = file.get_tensor(key)
            gpu_rng = file.get_tensor("gpu_rng") if "gpu_rng" in file.keys() else None  # noqa: SIM118
            return Checkpoint(
                fingerprint,
                groups["w"],
                groups["m"],
                groups["v"],
                file.get_tensor("rng"),
                _PROGRESS.validate_python(json.loads(meta["state"])),
                gpu_rng,
            )
    except (SafetensorError, OSError, KeyError, ValueError):
        return None


def drop_checkpoint(directory: Path) -> None:
    """Remove the checkpoint of a run that has ended well."""
    (directory / NAME).unlink(missing_ok=True)
