"""One training run as a process: memory, threads, signals, progress, result.

Belongs here: everything around the trainer that makes it a well-behaved child. Does not belong here: training itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from correctly_assets.artifacts.files import write_text_atomically
from correctly_assets.artifacts.manifests import has_manifest, renew_manifest
from correctly_assets.core.errors import CorrectlyError, RetryableError
from correctly_assets.core.training import ADAPTER_CHECK, EXIT_INTERRUPTED, EXIT_PERMANENT, TrainResult
from correctly_assets.training.adapter import check_adapter
from correctly_assets.training.config import TrainConfig
from correctly_assets.training.reporter import Reporter
from correctly_assets.training.run_ends import Interrupted, out_of_memory

if TYPE_CHECKING:
    from correctly_assets.training.produce_adapter import WrapEngine

log = logging.getLogger("correctly.training")


class StopFlag:
    """Set by SIGINT or SIGTERM; the trainer looks at it between steps."""

    def __init__(self) -> None:
        self._set = False

    def install(self) -> None:
        """Handle SIGINT and SIGTERM of this process from now on; call it from the main thread."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def _handle(self, number: int, _frame: object) -> None:
        log.warning("%s: stopping after this step, with a checkpoint.", signal.Signals(number).name)
        self._set = True

    def __call__(self) -> bool:
        return self._set


def keep_freed_memory() -> None:
    """Tell glibc to keep freed blocks, which by default are mapped, zeroed and faulted in anew for each large tensor.

    Elsewhere than on glibc nothing happens.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return
    m_trim_threshold, m_mmap_max, m_arena_max = -1, -4, -8
    libc.mallopt(m_mmap_max, 0)
    libc.mallopt(m_trim_threshold, 2**31 - 1)
    libc.mallopt(m_arena_max, 1)


@contextlib.contextmanager
def pipes() -> Iterator[Any]:
    """The Dagster Pipes context when a Dagster run has started this process, else None."""
    try:
        import dagster_pipes
    except ImportError:
        yield None
        return
    if dagster_pipes.DAGSTER_PIPES_CONTEXT_ENV_VAR not in os.environ:
        yield None
        return
    with dagster_pipes.open_dagster_pipes() as context:
        yield context


def run(
    config: TrainConfig, stop: Callable[[], bool], reporter: Reporter, wrap: WrapEngine | None = None
) -> TrainResult:
    """Train as configured.

    Args:
        wrap: as in `produce_adapter`.

    Raises:
        Interrupted: a signal arrived; a checkpoint is left if a step was made.
        CorrectlyError: as `core.errors` says, with the setting to change.
    """
    started = time.monotonic()
    reporter.stage("load")
    keep_freed_memory()
    if config.threads:
        os.environ["OMP_NUM_THREADS"] = str(config.threads)
    # No telemetry; and a base model in a directory is all there, so that no hub is asked for anything.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if Path(config.base_model).is_dir():
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    # Only now: torch and transformers read the environment when they are imported.
    from correctly_assets.training.produce_adapter import produce_adapter

    return produce_adapter(config, stop, reporter, started=started, wrap=wrap)


def main(config: TrainConfig) -> int:
    """Run, write ``result_path``, and return the exit code: 0, 75 (resumable), 2, 5 or 70 (permanent), 1 (others)."""
    stop = StopFlag()
    stop.install()
    with pipes() as context:
        reporter = Reporter(config, context)
        outcome, code = outcome_of(config, stop, reporter)
        text = result_text(config, outcome, code)
        if config.result_path is not None:
            write_text_atomically(config.result_path, text)
        else:
            print(text, end="", flush=True)
        if isinstance(outcome, RunError):
            reporter.say(outcome.message)
        if context is not None:
            _tell_dagster(context, outcome)
    return code


@dataclass(frozen=True, slots=True)
class RunError:
    """Why a run ended without an adapter: the sentence, and the kind and code of the error."""

    message: str
    type: str
    code: str

    @classmethod
    def of(cls, error: CorrectlyError) -> RunError:
        """A room's error."""
        return cls(str(error), type(error).__name__, error.code)


def result_text(config: TrainConfig, outcome: TrainResult | RunError, code: int) -> str:
    """What stands at ``result_path``. The exit code too: where a pod is deleted at its end, nobody else knows it."""
    body = {"error": asdict(outcome)} if isinstance(outcome, RunError) else outcome.to_json()
    return json.dumps({**body, "exit_code": code, "training_key": config.extras.training_key}, indent=1) + "\n"


def _trained_before(config: TrainConfig, reporter: Reporter) -> TrainResult | None:
    """The result that an earlier run of the very same training left, if its adapter still stands: a run that failed
    after training does not train again.

    Raises:
        AdapterRefused: the adapter breaks a rule by now.
    """
    key = config.extras.training_key
    if config.result_path is None or key is None:
        return None
    try:
        outcome = json.loads(config.result_path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    adapter = Path(outcome.get("path", ""))
    if "error" in outcome or outcome.get("training_key") != key or not has_manifest(adapter):
        return None
    reporter.say(f"Adapter {outcome['adapter']} was trained from this very config; it is taken as it is.")
    if Path(config.base_model).is_dir():
        check_adapter(adapter, Path(config.base_model))
    # The same training may stand for other rows now: one that landed and gave no pair, or one that was held.
    renew_manifest(adapter, config.extras)
    return TrainResult.from_json(outcome)


def _tell_dagster(context: Any, outcome: TrainResult | RunError) -> None:
    """Report the materialization and the adapter's own check through Dagster Pipes."""
    if isinstance(outcome, TrainResult):
        links = {"path": {"raw_value": outcome.path, "type": "path"}}
        if outcome.mlflow_url:
            links["mlflow"] = {"raw_value": outcome.mlflow_url, "type": "url"}
        context.report_asset_materialization(
            metadata={**outcome.metadata(cores=os.cpu_count() or 1), **links}, data_version=outcome.adapter
        )
        context.report_asset_check(ADAPTER_CHECK, passed=True)
    elif outcome.type == "AdapterRefused":
        context.report_asset_check(ADAPTER_CHECK, passed=False, metadata={"why": outcome.message})


def outcome_of(
    config: TrainConfig, stop: Callable[[], bool], reporter: Reporter, wrap: WrapEngine | None = None
) -> tuple[TrainResult | RunError, int]:
    """Train, whatever comes of it: what a finished run has made, or why there is nothing, and the exit code."""
    try:
        return _trained_before(config, reporter) or run(config, stop, reporter, wrap), 0
    except CorrectlyError as error:
        code = (
            1
            if isinstance(error, RetryableError)
            else (error.exit_code if error.exit_code in (2, 5) else EXIT_PERMANENT)
        )
        return RunError.of(error), code
    except MemoryError:
        return RunError.of(out_of_memory(config)), EXIT_PERMANENT
    except Exception as error:
        from correctly_assets.training.engines.torch_errors import is_out_of_memory

        if is_out_of_memory(error):
            return RunError.of(out_of_memory(config)), EXIT_PERMANENT
        if isinstance(error, Interrupted):
            text = "Training was stopped and left a checkpoint; the same config resumes from it."
            return RunError(text, "Interrupted", "interrupted"), EXIT_INTERRUPTED
        log.exception("Training failed.")
        return RunError(f"Training failed: {error}", type(error).__name__, "internal"), 1
