"""Starting this room as a process of its own, in one way for Dagster and for the command line.

Belongs here: the child's command, environment, niceness and end, its config file and its result. Does not belong here:
training itself (run.py), or what Dagster is told (resources/trainer_resource.py).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from correctly_assets.core.hashing import sha256_of
from correctly_assets.core.telemetry import TELEMETRY_OFF
from correctly_assets.core.training import TrainResult, failure_of
from correctly_assets.settings import PROJECT_ROOT
from correctly_assets.training.config import Mlflow, TrainConfig, TrainSpec, read_config

NICE = 10
"""How far a child steps back for the chat; 0 to 19."""

STOP_SECONDS = 18.0
"""How long an interrupted child gets to write its checkpoint before it is killed."""


def training_key(spec: TrainSpec) -> str:
    """What tells one training from another: everything that reaches the trainer, and of the provenance only what the
    adapter's bytes depend on. Two snapshots of examples, or two recipes, that come to the same train set are one training."""
    made_from = spec.extras
    base = made_from.recipe.base_model if made_from.recipe else None
    made_of = {"train_set": made_from.train_set, "prompts": made_from.prompts, "base": base}
    shaping = spec.model_dump(mode="json", exclude_unset=True, exclude={"extras"})
    # A whole number, as it stood in every key so far, though the trainer reckons with fractions.
    if "alpha" in shaping.get("lora", {}) and spec.lora.alpha.is_integer():
        shaping["lora"]["alpha"] = int(spec.lora.alpha)
    return sha256_of({**shaping, "extras": made_of})


def write_config(
    spec: TrainSpec, work: Path, *, progress_path: Path | None = None, mlflow: Mlflow | None = None
) -> Path:
    """Write a run's config file into its own directory, from which a stopped run resumes.

    Args:
        spec: what is trained.
        work: the run's own directory, in which checkpoint and result stand too.
        progress_path, mlflow: as in `TrainConfig`.

    Returns:
        The file that the child is started with. The result of an earlier run of the same training stays beside it, so
        that the child takes it as it is; an error that an earlier child left is removed.
    """
    work.mkdir(parents=True, exist_ok=True)
    result_path = work / "result.json"
    if "error" in (_read(result_path) or {}):
        result_path.unlink()
    config = TrainConfig(
        **dict(spec),
        checkpoint_dir=work / "checkpoint",
        result_path=result_path,
        progress_path=progress_path,
        mlflow=mlflow,
    )
    config.extras = spec.extras.model_copy(update={"training_key": training_key(spec)})
    path = work / "config.json"
    path.write_text(config.model_dump_json(indent=1, exclude_unset=True))
    return path


def start_child(
    module: Sequence[str],
    *,
    home: Path,
    nice: int = NICE,
    env: Mapping[str, str] | None = None,
    stdout: IO[Any] | None = None,
    of_the_platform: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a Python module as a child that steps back for the chat.

    Args:
        module: the module's name and its arguments.
        home: CORRECTLY_HOME, the same for the child.
        env: added to this process's environment.
        stdout: where its standard output goes; None is where this process's own goes.
        of_the_platform: keep the supervisor's mark, by which `correctly down` and the next `up` find what a killed
            platform left. A person's own training does not carry it: stopping the platform leaves it alone.
    """
    environment = {**os.environ, **TELEMETRY_OFF, "CORRECTLY_HOME": str(home), **(env or {})}
    if not of_the_platform:
        environment.pop("CORRECTLY_SUPERVISED", None)
    child = subprocess.Popen([sys.executable, "-m", *module], cwd=PROJECT_ROOT, env=environment, stdout=stdout)
    # Set before the child starts a thread, so that each of its threads has it. It never steps forward of this process.
    os.setpriority(os.PRIO_PROCESS, child.pid, max(nice, os.getpriority(os.PRIO_PROCESS, 0)))
    return child


def wait_for_child(child: subprocess.Popen[bytes], *, stop_seconds: float = STOP_SECONDS) -> int:
    """Wait for a child's end and return its exit code (negative: killed by that signal).

    An interruption of this process ends the child too: it gets ``stop_seconds`` to write its checkpoint, then it is
    killed. The interruption is raised again once the child is gone.
    """
    try:
        return child.wait()
    except BaseException:
        child.terminate()
        try:
            child.wait(stop_seconds)
        except BaseException:  # it took too long, or this process was interrupted again
            child.kill()
            child.wait()
        raise


def read_result(config_path: Path, code: int) -> TrainResult:
    """The result of a training child that ended with an exit code.

    Raises:
        CorrectlyError: it failed, as `failure_of` reads its end.
    """
    config = read_config(config_path)
    outcome = _read(config.result_path) if config.result_path is not None else None
    failure = failure_of(code, outcome, batch_size=config.batch_size)
    if failure is not None:
        raise failure
    return TrainResult.from_json(outcome or {})


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
