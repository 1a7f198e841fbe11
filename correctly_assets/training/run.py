"""One training run as a process: memory, threads, signals, progress, result.

Belongs here: everything around the trainer that makes it a well-behaved child. Does not belong here: training itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from correctly_assets.artifacts.files import write_text_atomically
from correctly_assets.artifacts.manifests import has_manifest, renew_manifest
from correctly_assets.core.errors import CorrectlyError
from correctly_assets.core.prompts import load_prompts
from correctly_assets.core.training import ADAPTER_CHECK, EXIT_INTERRUPTED, EXIT_PERMANENT, TrainResult
from correctly_assets.training.config import TrainConfig

log = logging.getLogger("correctly.training")
_SAY_SECONDS = 5.0


class StopFlag:
    """Set by SIGINT or SIGTERM; the trainer looks at it between steps."""

    def __init__(self) -> None:
        self._set = False

    def install(self) -> None:
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


def peak_rss_mb() -> float:
    """Peak resident memory of this process, MiB (Linux reports KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


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


class Reporter:
    """Says how far the run is: a line every few seconds, and the progress file for the supervisor's bar."""

    def __init__(self, config: TrainConfig, context: Any) -> None:
        self._path = config.progress_path
        self._context = context
        self._said = 0.0

    def say(self, text: str) -> None:
        if self._context is not None:
            self._context.log.info(text)
        else:
            print(text, file=sys.stderr, flush=True)

    def stage(self, name: str) -> None:
        """A part of the run that is no step (loading, measuring, writing)."""
        self._write({"stage": name, "step": 0, "steps": 0, "seconds_left": None, "loss": None})

    def step(self, *, step: int, steps: int, loss: float, seconds_left: float, tokens_per_second: float) -> None:
        self._write(
            {
                "stage": "train",
                "step": step,
                "steps": steps,
                "seconds_left": round(seconds_left, 1),
                "loss": round(loss, 4),
                "rss_mb": round(peak_rss_mb()),
            }
        )
        now = time.monotonic()
        if now - self._said >= _SAY_SECONDS or step == steps:
            self._said = now
            minutes, seconds = divmod(round(seconds_left), 60)
            self.say(
                f"step {step}/{steps}  loss {loss:.3f}  {tokens_per_second:.0f} tokens/s  {minutes}:{seconds:02d} left"
            )

    def _write(self, value: Mapping[str, Any]) -> None:
        if self._path is None:
            return
        # Without fsync: a bar may lose its last move in a power cut, and an fsync a step would cost time.
        work = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        work.write_text(json.dumps(value))
        work.replace(self._path)


def run(config: TrainConfig, stop: StopFlag, reporter: Reporter) -> TrainResult:
    """Train as configured.

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
    import torch

    from correctly_assets.training import run_history as promise
    from correctly_assets.training.data import build_data, read_pairs
    from correctly_assets.training.engines.choose import make_engine
    from correctly_assets.training.estimates import model_flops, model_size, plan_for
    from correctly_assets.training.mlflow_log import RunLedger
    from correctly_assets.training.models.base_model import base_model_revision
    from correctly_assets.training.models.lora_model import choose_device, load_base, put_adapter_on, read_start
    from correctly_assets.training.output import measure_canaries, write_adapter
    from correctly_assets.training.rendering import Renderer, load_tokenizer
    from correctly_assets.training.trainer import Interrupted, Point, Trainer

    def go_on() -> None:
        # A cancelled run is given seconds, and any of these stages may take longer on a busy machine.
        if stop():
            raise Interrupted

    go_on()
    if config.threads:
        torch.set_num_threads(config.threads)
    prompts = load_prompts(config.prompts_dir, config.chat_family)
    pairs = read_pairs(config.train_set)
    renderer = Renderer(load_tokenizer(config.base_model), prompts)
    data = build_data(pairs, renderer, config)
    go_on()
    reporter.say(
        f"{data.pairs} pairs, {len(data.turns)} turns to train on, {len(data.held_out)} held out, "
        f"{len(data.plan)} steps planned."
        + (f" {data.too_long} turns were left out as longer than {config.max_length} tokens." if data.too_long else "")
    )
    device = choose_device(config.device)
    # Before the weights: the measurement is then the one that `correctly plan` makes.
    promised = plan_for(config, data) if Path(config.base_model).is_dir() else None
    go_on()
    if promised is not None:
        reporter.say(
            f"Promised: {promised.tokens} tokens in {promised.steps} steps, {promised.minutes:.1f} minutes, "
            f"{promised.gigabytes:.1f} GB."
        )
    adapter = put_adapter_on(load_base(config.base_model, device), config)
    if config.warm_start is not None:
        adapter.load(read_start(config.warm_start, config))
    engine = make_engine(adapter, config, device, say=reporter.say)
    go_on()
    ledger = RunLedger(config.mlflow)

    def report(point: Point) -> None:
        speed = point.tokens / max(point.seconds, 1e-9)
        reporter.step(
            step=point.step,
            steps=point.steps,
            loss=point.loss,
            seconds_left=point.seconds_left,
            tokens_per_second=speed,
        )
        if ledger.on and (point.step % 5 == 0 or point.step == point.steps):
            values = {"loss": point.loss, "learning_rate": point.learning_rate, "tokens_per_second": speed}
            ledger.metrics({**values, "peak_rss_mb": peak_rss_mb()}, point.step)

    trainer = Trainer(config, data, adapter, engine, started=started, stop=stop, report=report, say=reporter.say)
    resumed = trainer.resume()
    spent_before = trainer.progress.spent
    note = config.checkpoint_dir / "mlflow_run"
    ledger.start(_params(config, data, prompts.sha256), note.read_text() if resumed and note.exists() else None)
    if ledger.run_id:
        write_text_atomically(note, ledger.run_id)
    status = "FAILED"
    try:
        trainer.run()
        reporter.stage("measure")
        first, last = trainer.curve_ends()
        after = trainer.held_out()
        before = trainer.progress.before
        forgetting = {
            key: {"before": before[key]["loss"], "after": value["loss"], "items": value["items"]}
            for key, value in after.items()
            if key in before
        }
        canaries = measure_canaries(adapter, engine, renderer)
        state = trainer.progress
        figures = {
            "loss_first": first,
            "loss_last": last,
            "held_out_loss": after["all"]["loss"] if after else None,
            "forgetting": forgetting,
            "pairs": data.pairs,
            "items": len(data.turns),
            "tokens": state.tokens,
            "seconds": round(state.seconds, 3),
            "tokens_per_second": round(state.tokens / max(state.seconds, 1e-9), 1),
            "peak_rss_mb": round(peak_rss_mb(), 1),
            "steps": state.step,
            "engine": engine.name,
            "device": device.type,
            "peak_gpu_mb": round(peak_gpu_mb(), 1) if device.type == "cuda" else None,
            "model_tflops": None,
            "plan": {},
        }
        if promised is not None:
            seen = [data.turns[i] for number in state.plan for i in data.plan[number].turns]
            flops = model_flops(model_size(Path(config.base_model)), seen)
            figures["model_tflops"] = round(flops / max(state.seconds, 1e-9) / 1e12, 4)
            memory = peak_gpu_mb() if device.type == "cuda" else peak_rss_mb()
            figures["plan"] = promise.record(
                promised.to_json(),
                kind={
                    "machine": promise.machine(),
                    "engine": engine.name,
                    "device": device.type,
                    "base_revision": base_model_revision(config.base_model),
                    "resumed": resumed,
                },
                took={
                    "minutes": (spent_before + time.monotonic() - started) / 60,
                    "gigabytes": memory * 2**20 / 1e9,
                    "tokens": state.tokens,
                    "steps": state.step,
                    "flops": flops,
                    "loop_seconds": state.seconds,
                },
            )
            reporter.say(promise.says(figures["plan"]))
        identity, path = write_adapter(config, trainer, prompts, canaries, figures, code_sha())
        from correctly_assets.training.adapter import check_adapter

        if Path(config.base_model).is_dir():
            check_adapter(path, Path(config.base_model))
        numbers = {k: v for k, v in figures.items() if isinstance(v, int | float)}
        for side in ("promised", "took"):
            # MLflow shows them under one another: promised_minutes, took_minutes.
            part = figures["plan"].get(side, {})
            numbers |= {f"{side}_{key}": part[key] for key in ("minutes", "gigabytes", "tokens") if key in part}
        ledger.metrics(numbers, state.step)
        version = ledger.adapter(path, {"adapter": identity})
        status = "FINISHED"
    except Interrupted:
        status = "KILLED"
        raise
    finally:
        url = ledger.url()
        ledger.end(status)
    from correctly_assets.training.checkpoint import drop_checkpoint

    drop_checkpoint(config.checkpoint_dir)
    note.unlink(missing_ok=True)
    return TrainResult(
        adapter=identity,
        path=str(path),
        resumed=resumed,
        mlflow_run_id=ledger.run_id,
        mlflow_url=url,
        model_version=version,
        warnings=tuple(ledger.warnings),
        **figures,
    )


def peak_gpu_mb() -> float:
    """Peak of the GPU memory that this process's tensors took, MiB."""
    import torch

    return torch.cuda.max_memory_allocated() / 2**20


def code_sha() -> str:
    """sha256 over the sources that make the weights: the training room and the prompts' rendering."""
    room = Path(__file__).resolve().parent
    digest = hashlib.sha256()
    for path in (*sorted(room.rglob("*.py")), room.parent / "core" / "prompts.py"):
        digest.update(f"{path.name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _params(config: TrainConfig, data: Any, prompt_sha: str) -> dict[str, Any]:
    return {
        "base_model": config.base_model,
        "lora_rank": config.lora.rank,
        "lora_alpha": config.lora.alpha,
        "batch_size": config.batch_size,
        "stages": json.dumps([stage.model_dump() for stage in config.stages]),
        "seed": config.seed,
        "schedule": config.schedule,
        "warm_start": str(config.warm_start or ""),
        "pairs": data.pairs,
        "turns": len(data.turns),
        "steps_planned": len(data.plan),
        "data_sha256": data.sha256,
        "prompt_sha256": prompt_sha,
        "code_version": config.code_version,
        "code_sha256": code_sha(),
        **{key: value for key, value in config.extras if isinstance(value, str | int | float)},
    }


def main(config: TrainConfig) -> int:
    """Run, write ``result_path``, and return the exit code: 0, 75 (resumable), 2, 5 or 70 (permanent), 1 (others)."""
    stop = StopFlag()
    stop.install()
    with pipes() as context:
        reporter = Reporter(config, context)
        outcome, code = _outcome(config, stop, reporter)
        text = json.dumps({**outcome, "training_key": config.extras.training_key}, indent=1) + "\n"
        if config.result_path is not None:
            write_text_atomically(config.result_path, text)
        else:
            print(text, end="", flush=True)
        if "error" in outcome:
            reporter.say(outcome["error"]["message"])
        if context is not None:
            _tell_dagster(context, outcome)
    return code


def _trained_before(config: TrainConfig, reporter: Reporter) -> dict[str, Any] | None:
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
        from correctly_assets.training.adapter import check_adapter

        check_adapter(adapter, Path(config.base_model))
    # The same training may stand for other rows now: one that landed and gave no pair, or one that was held.
    renew_manifest(adapter, config.extras)
    return outcome


def _tell_dagster(context: Any, outcome: Mapping[str, Any]) -> None:
    """Report the materialization and the adapter's own check through Dagster Pipes."""
    error = outcome.get("error")
    if error is None:
        result = TrainResult.from_json(outcome)
        typed: dict[str, Any] = result.metadata(cores=os.cpu_count() or 1)
        typed["path"] = {"raw_value": result.path, "type": "path"}
        if result.mlflow_url:
            typed["mlflow"] = {"raw_value": result.mlflow_url, "type": "url"}
        context.report_asset_materialization(metadata=typed, data_version=result.adapter)
        context.report_asset_check(ADAPTER_CHECK, passed=True)
    elif error["type"] == "AdapterRefused":
        context.report_asset_check(ADAPTER_CHECK, passed=False, metadata={"why": error["message"]})


def _outcome(config: TrainConfig, stop: StopFlag, reporter: Reporter) -> tuple[dict[str, Any], int]:
    try:
        return _trained_before(config, reporter) or run(config, stop, reporter).to_json(), 0
    except CorrectlyError as error:
        from correctly_assets.core.errors import RetryableError

        code = (
            1
            if isinstance(error, RetryableError)
            else (error.exit_code if error.exit_code in (2, 5) else EXIT_PERMANENT)
        )
        return dict(error.to_json()), code
    except MemoryError:
        from correctly_assets.training.trainer import out_of_memory

        return dict(out_of_memory(config).to_json()), EXIT_PERMANENT
    except Exception as error:
        from correctly_assets.training.engines.torch_errors import is_out_of_memory
        from correctly_assets.training.trainer import Interrupted, out_of_memory

        if is_out_of_memory(error):
            return dict(out_of_memory(config).to_json()), EXIT_PERMANENT
        if isinstance(error, Interrupted):
            text = "Training was stopped and left a checkpoint; the same config resumes from it."
            return {"error": {"message": text, "type": "Interrupted", "code": "interrupted"}}, EXIT_INTERRUPTED
        log.exception("Training failed.")
        return {"error": {"message": f"Training failed: {error}", "type": type(error).__name__, "code": "internal"}}, 1
