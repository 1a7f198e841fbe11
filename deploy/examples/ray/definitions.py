"""The code location with Ray: all that ships, but for the trainer, which runs on the workers of a Ray cluster.

Belongs here: the trainer as a resource, and the cluster that it uses. Does not belong here: what a worker does (ray_trainer.py).
Annotations are not postponed in this file: Dagster looks at them to find the resource inside a resource.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_ray import LocalRay, RayResource
from ray.train import TrainingFailedError

from correctly_assets.core.training import ADAPTER_CHECK, TrainResult
from correctly_assets.definitions import build_defs
from correctly_assets.resources.trainer_resource import TrainerResource
from correctly_assets.settings import Settings
from correctly_assets.training.config import read_config

sys.path.append(str(Path(__file__).parent))
from ray_trainer import train_on_workers

WORKERS = int(os.environ.get("RAY_TRAIN_WORKERS", "2"))


class RayTrainer(TrainerResource):
    """Trains on several workers.

    Attributes:
        ray: the cluster: LocalRay here, one of `dagster_ray.kuberay` in a cluster.
        workers: how many share each batch. gpu: whether each has a GPU.
    """

    ray: dg.ResourceDependency[RayResource]
    workers: int = WORKERS
    gpu: bool = False

    def run_child(
        self, context: dg.AssetExecutionContext, settings: Settings, config: Path
    ) -> tuple[int, Sequence[Any]]:
        """Train on the workers and wait for their end (see `TrainerResource.run_child`). There is no Pipes child here: what it would
        report is made of the result file."""
        try:
            train_on_workers(config, workers=self.workers, gpu=self.gpu, storage=settings.platform.home / "ray")
        except TrainingFailedError as error:
            context.log.warning(f"Training on {self.workers} workers failed: {error}")
        path = read_config(config).result_path
        outcome = json.loads(path.read_text()) if path is not None and path.exists() else {}
        code = int(outcome.get("exit_code", 1))
        if code:
            return code, ()
        result = TrainResult.from_json(outcome)
        shown = {**result.metadata(cores=os.cpu_count() or 1), "path": dg.MetadataValue.path(result.path)}
        made = dg.MaterializeResult(metadata=shown, data_version=dg.DataVersion(result.adapter))
        return 0, (made, dg.AssetCheckResult(passed=True, check_name=ADAPTER_CHECK))


defs = build_defs(overrides={"trainer": RayTrainer(ray=LocalRay())})
