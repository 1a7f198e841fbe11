"""The trainer as a Dagster resource: a Pipes child process.

Belongs here: opening the Pipes session around the child, and handing over what the child reported. Does not belong here:
how a child is started and ended (training/child.py), training, or what may be served.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from correctly_assets.core.errors import CorrectlyError
from correctly_assets.core.training import TrainResult
from correctly_assets.settings import Settings
from correctly_assets.training.child import (
    NICE,
    STOP_SECONDS,
    read_result,
    start_child,
    training_key,
    wait_for_child,
    write_config,
)
from correctly_assets.training.config import Mlflow


@dataclass(frozen=True, slots=True)
class Trained:
    """How a training child ended.

    Attributes:
        outcome: what it reports of a finished run, or why there is no result.
        reported: the materialization and the checks that the child sent to Dagster.
    """

    outcome: TrainResult | CorrectlyError
    reported: Sequence[Any] = ()


class TrainerResource(dg.ConfigurableResource):
    """Starts `python -m correctly_assets.training CONFIG` in a Pipes session and waits for it.

    Attributes:
        nice: how far the child steps back for the chat; 0 to 19.
        termination_seconds: how long a cancelled child gets to write its checkpoint; then it is killed.
    """

    nice: int = NICE
    termination_seconds: float = STOP_SECONDS

    def train(
        self, context: dg.AssetExecutionContext, settings: Settings, *, train_set: str, mlflow: Mlflow | None = None
    ) -> Trained:
        """Train on a train set's snapshot. A stopped run of the same training is resumed, a finished one taken as it is.

        Raises:
            UsageError: the base model's files are not there.
            DagsterExecutionInterruptedError: the run was canceled or stopped; no child is left.
        """
        from correctly_assets.workflows.build_train_set import train_config
        from correctly_assets.workflows.train_adapter import local_base

        local_base(settings)  # before anything is asked of the trainer: without its files nothing can be trained
        spec = train_config(settings, train_set=train_set)
        spec.extras.dagster_run = context.run.run_id
        work = settings.platform.checkpoints_dir / training_key(spec)[:16]
        path = write_config(spec, work, progress_path=settings.platform.progress_path, mlflow=mlflow)
        code, reported = self.run_child(context, settings, path)
        try:
            return Trained(read_result(path, code), reported)
        except CorrectlyError as error:
            return Trained(error, reported)

    def run_child(
        self, context: dg.AssetExecutionContext, settings: Settings, config: Path
    ) -> tuple[int, Sequence[Any]]:
        """Start the trainer on its config file and wait for its end. A trainer that runs elsewhere overrides this alone
        (deploy/examples/).

        Returns:
            Its exit code, and the materialization and the checks that it sent to Dagster.

        Raises:
            DagsterExecutionInterruptedError: the run was canceled or stopped; no child is left.
        """
        with dg.open_pipes_session(
            context=context,
            context_injector=dg.PipesTempFileContextInjector(),
            message_reader=dg.PipesTempFileMessageReader(),
        ) as session:
            child = start_child(
                ["correctly_assets.training", str(config)],
                home=settings.platform.home,
                nice=self.nice,
                env=session.get_bootstrap_env_vars(),
                of_the_platform=True,
            )
            code = wait_for_child(child, stop_seconds=self.termination_seconds)
        return code, session.get_results(implicit_materializations=False)
