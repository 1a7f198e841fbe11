"""The code location on Kubernetes: all that ships, but for the trainer, which runs in a pod of its own on a node with a GPU.

Belongs here: that trainer, and the definitions with it. Does not belong here: the pod's shape (trainer-pod.yaml), or anything that
holds on one machine too (correctly_assets/).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster_k8s import PipesK8sClient
from dagster_k8s.client import DagsterK8sError

from correctly_assets.definitions import build_defs
from correctly_assets.resources.trainer_resource import TrainerResource
from correctly_assets.settings import Settings
from correctly_assets.training.config import read_config

POD = Path(__file__).with_name("trainer-pod.yaml")
UNKNOWN = 1
"""The exit code where the pod ended without a word: it was evicted, or ran out of memory."""


class PodTrainer(TrainerResource):
    """Trains in a pod: the same command on the same config file, which both sides see under HOME.

    Attributes:
        kubeconfig: a file that names the cluster; None within it.
        poll_seconds: seconds between two looks at the pod.
    """

    kubeconfig: str | None = None
    poll_seconds: float = 5.0

    def run_child(
        self, context: dg.AssetExecutionContext, settings: Settings, config: Path
    ) -> tuple[int, Sequence[Any]]:
        """Start the pod and wait for its end (see `TrainerResource.run_child`). A canceled run deletes the pod, whose trainer then
        writes its checkpoint. Of a pod that fails the reports are lost, and the result file says why it failed."""
        pod = yaml.safe_load(POD.read_text(encoding="utf-8"))
        client = PipesK8sClient(kubeconfig_file=self.kubeconfig, poll_interval=self.poll_seconds)
        try:
            done = client.run(
                context=context,
                command=["python", "-m", "correctly_assets.training", str(config)],
                namespace=pod["metadata"]["namespace"],
                base_pod_meta={"labels": pod["metadata"]["labels"]},
                base_pod_spec=pod["spec"],
            )
        except DagsterK8sError as error:
            context.log.warning(f"The trainer's pod failed: {error}")
            return _exit_code(config), ()
        return 0, done.get_results(implicit_materializations=False)


def _exit_code(config: Path) -> int:
    """What the trainer itself says it ended with; Kubernetes deletes the pod that knows."""
    result = read_config(config).result_path
    try:
        return int(json.loads(result.read_text())["exit_code"]) if result is not None else UNKNOWN
    except (FileNotFoundError, ValueError, KeyError):
        return UNKNOWN


defs = build_defs(overrides={"trainer": PodTrainer()})
