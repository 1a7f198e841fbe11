"""The trainer on several Ray workers: each takes a share of every batch, and the gradients are added up.

The step is that of one worker: the same turns, the same mean over their learned tokens, the same optimiser on equal weights; only
the order of additions differs.

Belongs here: the shares, and what a worker does around the product's own recipe. Does not belong here: the recipe
(correctly_assets/training/), the definitions (definitions.py).
"""

# Ray is no part of the environment that types are checked in.
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray.train
import torch
import torch.distributed as dist
from ray import cloudpickle
from ray.train import ScalingConfig
from ray.train.torch import TorchTrainer

from correctly_assets.artifacts.files import write_text_atomically
from correctly_assets.core.errors import PermanentError
from correctly_assets.training.config import TrainConfig, read_config
from correctly_assets.training.models.lora_model import Adapter, Engine
from correctly_assets.training.rendering import Turn
from correctly_assets.training.reporter import Reporter
from correctly_assets.training.run import RunError, outcome_of, result_text

# Workers are sent this file's code: it is part of no package that they could import.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


class SharedEngine:
    """One worker's engine as part of several (``training.models.lora_model.Engine``).

    Args:
        rank, workers: which share of a batch is this worker's: every ``workers``-th turn from its ``rank`` on.
    """

    def __init__(self, adapter: Adapter, inner: Engine, rank: int, workers: int) -> None:
        self.name = inner.name
        self._adapter, self._inner, self._rank, self._workers = adapter, inner, rank, workers

    def train(self, turns: Sequence[Turn]) -> float:
        """Forward and backward of this worker's share; gradients and loss are those of the whole batch on every worker."""
        mine = list(turns)[self._rank :: self._workers]
        share = sum(turn.learned for turn in mine) / sum(turn.learned for turn in turns)
        loss = self._inner.train(mine) if mine else 0.0
        self._adapter.pull_gradients()
        masters = self._adapter.masters
        parts = [torch.zeros_like(m) if m.grad is None else m.grad for m in masters]
        # One message: some hundred small ones would each wait for the slowest worker.
        flat = (
            torch.cat([*(part.reshape(-1) for part in parts), torch.tensor([loss], device=masters[0].device)]) * share
        )
        dist.all_reduce(flat)
        place = 0
        for master in masters:
            master.grad = flat[place : place + master.numel()].view_as(master).clone()
            place += master.numel()
        return float(flat[-1])

    def losses(self, turns: Sequence[Turn]) -> list[torch.Tensor]:
        """As the inner engine says; each worker computes all of them."""
        return self._inner.losses(turns)


def work(given: dict[str, Any]) -> None:
    """What each worker runs: the product's recipe, with the shared engine. The first one writes adapter and result.

    Raises:
        RuntimeError: the training failed, so that Ray ends the other workers; the result file says why.
    """
    context = ray.train.get_context()
    rank, workers = context.get_world_rank(), context.get_world_size()
    config = read_config(Path(given["config"]))
    # Minutes are read off each worker's own clock, and workers that disagree on a step would wait for each other for ever.
    config = config.model_copy(update={"max_minutes": None, "checkpoint_seconds": 1e9})
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        config = config.model_copy(update={"checkpoint_dir": place / "checkpoint"})
        if rank:
            config = config.model_copy(update={"adapters_dir": place, "progress_path": None, "mlflow": None})

        def share(adapter: Adapter, engine: Engine) -> Engine:
            return SharedEngine(adapter, engine, rank, workers)

        reporter = Reporter(config, None)
        outcome, code = outcome_of(config, lambda: False, reporter, wrap=share if workers > 1 else None)
        if rank == 0 and config.result_path is not None:
            write_text_atomically(config.result_path, result_text(config, outcome, code))
    if isinstance(outcome, RunError):
        raise RuntimeError(outcome.message)


def train_on_workers(config: Path, *, workers: int, gpu: bool = False, storage: Path) -> TrainConfig:
    """Train on the cluster that Ray is connected to, and wait for the end. The result stands where the config says.

    Args:
        config: the run's config file, which every worker sees under this path; so do train set, base model and adapters.
        storage: a folder that every worker sees, where Ray keeps its own notes.

    Raises:
        ray.train.TrainingFailedError: a worker failed.
        PermanentError: there are fewer turns in a batch than workers.
    """
    settings = read_config(config)
    if settings.batch_size < workers:
        raise PermanentError(
            f"{workers} workers cannot share batches of {settings.batch_size}: raise CORRECTLY_TRAIN_BATCH_SIZE."
        )
    TorchTrainer(
        work,
        train_loop_config={"config": str(config)},
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=gpu),
        run_config=ray.train.RunConfig(
            name=f"{config.parent.name}-{int(time.time())}-{os.getpid()}", storage_path=str(storage)
        ),
    ).fit()
    return settings
