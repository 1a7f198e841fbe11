"""A training run as data: the JSON that ``python -m correctly_assets.training CONFIG`` is given.

Belongs here: every knob of one run, its type, default and check. Does not belong here: reading the environment
(settings/) or deciding what to train on (curation/).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from correctly_assets.artifacts.manifests import Provenance
from correctly_assets.core.errors import UsageError
from correctly_assets.core.hashing import sha256_of

ALLOWED_RANKS = (1, 8, 16, 32, 64, 128, 256)
"""Ranks that vLLM's LoRA kernels are built for (vllm.config.lora.MaxLoRARanks)."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Stage(_Strict):
    """One stage of the curriculum.

    Attributes:
        mix: per pair origin a multiplier of the pair's weight; 0 leaves the origin out, absent origins use ``"*"``
            or 1. Fractions take a fixed, hash-chosen part of the pairs.
        passes: how often the stage's items are seen; fractions take a part of the last pass.
        learning_rate: the stage's peak rate; the schedule scales it.
    """

    name: str = "all"
    mix: dict[str, float] = Field(default_factory=dict)
    passes: float = Field(default=1.0, gt=0)
    learning_rate: float = Field(default=4e-4, gt=0, lt=1)


class Lora(_Strict):
    rank: int = 16
    alpha: float = Field(default=32.0, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: str | list[str] = "all-linear"


class Replay(_Strict):
    """What is shown again of the pairs that the adapter to start from has seen.

    Attributes:
        seen: the train set it was trained on, as ``train_set``.
        share: the part of these pairs that stays, chosen by hash; pairs it has not seen all stay.
    """

    seen: Path
    share: float = Field(ge=0, le=1)


class Mlflow(_Strict):
    """Where the run is written down. ``run_id`` continues a run that somebody else (dagster-mlflow) starts and ends."""

    tracking_uri: str
    experiment: str = "correctly"
    run_name: str | None = None
    run_id: str | None = None
    registered_model: str | None = "correctly"
    tags: dict[str, str] = Field(default_factory=dict)


class TrainSpec(_Strict):
    """What is trained and how: a run's config less the places that it works in.

    Attributes:
        train_set: a directory with ``pairs.parquet``, or a Parquet file.
        explain_share: explain turns as a share of correct turns, at most; they come from edits that carry a reason.
        token_budget: when set, batches are filled to so many tokens instead of ``batch_size`` turns.
        max_minutes: wall-clock budget of the whole process; plan and schedule are cut only if it bites.
        warm_start: an adapter directory with its manifest to start from; None starts a fresh adapter.
        replay: with ``warm_start``, how much of what that adapter has seen is shown again; None shows all.
        extras: provenance that the adapter's manifest keeps as it is.
        compile: have torch compile the plain engine's layers; ``auto`` does so on a GPU where Triton is installed.
        pack: lay several turns in a row of the plain engine; ``auto`` does so on a GPU where padding would cost more than
            attention's mask. The fast engine has its own way and does not look at it.
        graphs: record the plain engine's passes as CUDA graphs; ``auto`` does so on a GPU.
        engine: ``fast`` is the hand-written path (Gemma 3 on CPU), ``plain`` transformers' own forward; ``auto`` takes
            the fast one where it applies.
    """

    train_set: Path
    base_model: str
    adapters_dir: Path
    prompts_dir: Path
    chat_family: str = "gemma3"
    stages: list[Stage] = Field(default_factory=lambda: [Stage()], min_length=1)
    lora: Lora = Field(default_factory=Lora)
    batch_size: int = Field(default=16, ge=1)
    token_budget: int | None = Field(default=None, ge=64)
    max_length: int = Field(default=512, ge=32)
    max_minutes: float | None = Field(default=None, gt=0)
    max_steps: int | None = Field(default=None, ge=1)
    schedule: Literal["linear", "cosine", "constant"] = "cosine"
    warmup_steps: int = Field(default=20, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    clip_norm: float = Field(default=1.0, gt=0)
    seed: int = 20
    explain_share: float = Field(default=0.5, ge=0)
    max_explain_per_pair: int = Field(default=2, ge=0)
    held_out_limit: int = Field(default=256, ge=0)
    warm_start: Path | None = None
    replay: Replay | None = None
    code_version: str = "1"
    extras: Provenance = Field(default_factory=Provenance)
    threads: int | None = Field(default=None, ge=1)
    engine: Literal["auto", "fast", "plain"] = "auto"
    compile: Literal["auto", True, False] = "auto"
    pack: Literal["auto", True, False] = "auto"
    graphs: Literal["auto", True, False] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    checkpoint_seconds: float = Field(default=30.0, gt=0)


class TrainConfig(TrainSpec):
    """One training run: what the child is started with.

    Attributes:
        checkpoint_dir: where a stopped run leaves what the next one resumes from.
        result_path: where the result or the error is written; standard output when None.
        progress_path: where it is written how far the run is.
        mlflow: the ledger; None writes none.
    """

    checkpoint_dir: Path
    result_path: Path | None = None
    progress_path: Path | None = None
    mlflow: Mlflow | None = None

    def fingerprint(self, data_sha: str, *, prompts: str, base_revision: str) -> str:
        """What a checkpoint must agree with: all that shapes the weights, nothing about where or how fast.

        Args:
            data_sha, prompts: hashes of the pairs and of the prompt files, which may change behind their paths.
            base_revision: what stands in ``base_model``, for the same reason.
        """
        shaping = self.model_dump(
            mode="json",
            include={
                "base_model", "chat_family", "stages", "lora", "batch_size", "token_budget", "max_length", "max_steps",
                "schedule", "warmup_steps", "weight_decay", "clip_norm", "seed", "explain_share",
                "max_explain_per_pair", "warm_start", "code_version", "engine", "compile", "pack", "graphs",
            },
        )  # fmt: skip
        return sha256_of({**shaping, "data": data_sha, "prompts": prompts, "base_revision": base_revision})


def read_config(path: Path) -> TrainConfig:
    """Read and check a config file.

    Raises:
        UsageError: the file is unreadable, not JSON, or names a field or value that does not exist.
    """
    try:
        return TrainConfig.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"The training config {path} cannot be read: {error.strerror}.") from error
    except json.JSONDecodeError as error:
        raise UsageError(f"The training config {path} is not JSON: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"The training config {path} is off at {where or 'its top'}: {first['msg']}.") from error
