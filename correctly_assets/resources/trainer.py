"""The trainer as a Dagster resource: a Pipes child process.

Belongs here: the child's command and config file, cancel forwarding, and turning its exit into a result or an error.
Does not belong here: training, or what may be served.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import psutil

from correctly_assets.artifacts.directory import renew_manifest
from correctly_assets.core.errors import CorrectlyError
from correctly_assets.core.hashing import sha256_of
from correctly_assets.core.training import TrainResult, failure_of
from correctly_assets.settings import Settings


class TrainerResource(dg.ConfigurableResource):
    """Starts `python -m correctly_assets.training CONFIG` and waits for it.

    Attributes:
        nice: how far the child steps back for the chat; 0 to 19.
        termination_seconds: how long a cancelled child gets to write its checkpoint; then it is killed.
    """

    nice: int = 10
    termination_seconds: float = 18

    def train(
        self, context: dg.AssetExecutionContext, settings: Settings, *, train_set: str, mlflow: dict | None = None
    ) -> tuple[TrainResult, str | None]:
        """Train on a train set's snapshot.

        Returns:
            (result, loss curve as base64 PNG). An adapter that was trained from the same config already is returned as
            it is: a run that failed after training does not train again.

        Raises:
            UsageError: the base model's files are not there.
            PermanentError, RetryableError: as `failure_of` reads the child's end.
            DagsterExecutionInterruptedError: the run was canceled or stopped; no child is left.
        """
        from correctly_assets.workflows.build_train_set import train_config
        from correctly_assets.workflows.train_adapter import local_base

        local_base(settings)  # before anything is asked of the trainer: without its files nothing can be trained
        config = train_config(settings, train_set=train_set)
        key = training_key(config)
        work = settings.platform.checkpoints_dir / key[:16]
        result_path, config_path = work / "result.json", work / "config.json"
        known = _already_trained(result_path)
        if known is not None:
            context.log.info(f"Adapter {known.adapter} was trained from this very config; it is taken as it is.")
            # The same training may stand for other rows now: one that landed and gave no pair, or one that was held.
            renew_manifest(Path(known.path), config["extras"])
            return known, _curve(Path(known.path))
        work.mkdir(parents=True, exist_ok=True)
        result_path.unlink(missing_ok=True)
        config |= {
            "checkpoint_dir": str(work / "checkpoint"),
            "result_path": str(result_path),
            "progress_path": str(settings.platform.progress_path),
            "extras": {**config["extras"], "training_key": key, "dagster_run": context.run_id},
            "mlflow": mlflow,
        }
        config_path.write_text(json.dumps(config, indent=1))
        client = dg.PipesSubprocessClient(termination_timeout_seconds=self.termination_seconds)
        command = ["nice", "-n", str(self.nice), sys.executable, "-m", "correctly_assets.training", str(config_path)]
        code = 0
        try:
            client.run(command=command, context=context, env={"CORRECTLY_HOME": str(settings.platform.home)})
        except subprocess.TimeoutExpired as error:
            # Asked to stop, it did not in time: its last checkpoint stands, and the run is as canceled as it was meant to be.
            _kill_child(config_path)
            raise dg.DagsterExecutionInterruptedError from error
        except Exception as error:
            if not type(error).__name__.startswith("DagsterPipesExecutionError"):
                raise
            code = _exit_code(str(error))
        outcome = json.loads(result_path.read_text()) if result_path.exists() else None
        failure: CorrectlyError | None = failure_of(code, outcome, batch_size=settings.training.batch_size)
        if failure is not None:
            raise failure
        result = TrainResult.from_json(outcome or {})
        return result, _curve(Path(result.path))


def _kill_child(config_path: Path) -> None:
    """Kill this process's own child that was started with the config, and wait until it is gone."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if str(config_path) in child.cmdline():
                child.kill()
                child.wait(10)


def training_key(config: Mapping[str, Any]) -> str:
    """What tells one training from another: everything that reaches the trainer, and of the provenance only what the
    adapter's bytes depend on. Two snapshots of examples, or two recipes, that come to the same train set are one training."""
    extras = config["extras"]
    made_of = {"train_set": extras["train_set"], "prompts": extras["prompts"], "base": extras["recipe"]["base_model"]}
    return sha256_of({**config, "extras": made_of})


def _exit_code(message: str) -> int:
    # "External execution process failed with code N"
    tail = message.rsplit(" ", 1)[-1].strip(".")
    return int(tail) if tail.lstrip("-").isdigit() else 1


def _already_trained(result_path: Path) -> TrainResult | None:
    """The result of an earlier run of the very same config, if its adapter still stands."""
    try:
        outcome = json.loads(result_path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    if "error" in outcome or not (Path(outcome.get("path", "")) / "manifest.json").is_file():
        return None
    return TrainResult.from_json(outcome)


def _curve(adapter: Path) -> str | None:
    """The loss curve as a picture (base64 PNG); None when none was kept."""
    try:
        losses = json.loads((adapter / "loss.json").read_text())["loss"]
    except (FileNotFoundError, KeyError, ValueError):
        return None
    if not losses:
        return None
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    window = max(1, len(losses) // 20)
    smooth = [
        sum(losses[max(0, i - window) : i + 1]) / len(losses[max(0, i - window) : i + 1]) for i in range(len(losses))
    ]
    figure, axes = plt.subplots(figsize=(6.4, 2.8), dpi=110)
    axes.plot(losses, color="#b0b7c3", linewidth=0.8, label="each step")
    axes.plot(smooth, color="#1f4e79", linewidth=2, label=f"mean of {window + 1}")
    axes.set(xlabel="step", ylabel="loss (nats a token)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.tight_layout()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    return base64.b64encode(buffer.getvalue()).decode()
