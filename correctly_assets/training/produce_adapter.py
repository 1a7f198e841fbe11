"""One adapter, from the config to its directory: load, train, measure, record.

Belongs here: the order of the steps, and the figures of a finished run. Does not belong here: the loop (trainer.py), the
process's signals and exit codes (run.py). Importing this module loads torch and transformers.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, JsonValue, SerializerFunctionWrapHandler, field_serializer

from correctly_assets.artifacts.files import write_text_atomically
from correctly_assets.artifacts.manifests import Figures, SliceLoss
from correctly_assets.core.prompts import Prompts, load_prompts
from correctly_assets.core.training import Canary, TrainResult
from correctly_assets.training.adapter import check_adapter
from correctly_assets.training.checkpoint import drop_checkpoint
from correctly_assets.training.config import TrainConfig
from correctly_assets.training.data import TrainData, build_data, read_pairs
from correctly_assets.training.engines.choose_engine import make_engine
from correctly_assets.training.estimates import model_flops, model_size, plan_for
from correctly_assets.training.mlflow_log import RunLedger
from correctly_assets.training.models.base_model import base_model_revision
from correctly_assets.training.models.load_model import load_base, put_adapter_on
from correctly_assets.training.models.lora_model import Adapter, Engine, choose_device, read_start
from correctly_assets.training.output import measure_canaries, write_adapter
from correctly_assets.training.rendering import Renderer, load_tokenizer
from correctly_assets.training.reporter import Reporter, peak_rss_mb
from correctly_assets.training.run_ends import Interrupted
from correctly_assets.training.run_history import PlanRecord, RunKind, Took, TrainPlan, machine, plan_summary, record
from correctly_assets.training.trainer import Point, Trainer


@dataclass(frozen=True, slots=True)
class Loaded:
    """Everything that a run trains with.

    Attributes:
        plan: what the run is expected to take; None for a base model that lies in no directory.
    """

    prompts: Prompts
    renderer: Renderer
    data: TrainData
    plan: TrainPlan | None
    device: torch.device
    adapter: Adapter
    engine: Engine


_RUN_NOTE = "mlflow_run"
"""The file beside a checkpoint that names the run in MLflow which the training belongs to."""
WrapEngine = Callable[[Adapter, Engine], Engine]
"""What puts another engine around the one that was chosen: one that shares batches with other workers (deploy/examples/)."""


def produce_adapter(
    config: TrainConfig,
    stop: Callable[[], bool],
    reporter: Reporter,
    *,
    started: float,
    wrap: WrapEngine | None = None,
) -> TrainResult:
    """Train as configured, measure the adapter and write it as ``adapters_dir/ID``.

    Args:
        stop: true once a signal has arrived.
        started: `time.monotonic` of the process's start; the budget of minutes counts from there.
        wrap: called once with the adapter and the engine that fits; what it returns computes in that engine's place.

    Raises:
        Interrupted: ``stop`` said so; a checkpoint is left if a step was made.
        CorrectlyError: as `core.errors` says, with the setting to change.
    """
    loaded = _load(config, stop, reporter)
    engine = wrap(loaded.adapter, loaded.engine) if wrap else loaded.engine
    ledger = RunLedger(config.mlflow)
    report, say = _report_to(reporter, ledger), reporter.say
    trainer = Trainer(config, loaded.data, loaded.adapter, engine, started=started, stop=stop, report=report, say=say)
    resumed = trainer.resume()
    spent_before = trainer.progress.spent
    _start_ledger(ledger, config, loaded, resumed=resumed)
    status = "FAILED"
    try:
        trainer.run()
        reporter.stage("measure")
        canaries = measure_canaries(loaded.adapter, loaded.engine, loaded.renderer)
        figures = _figures(trainer, loaded)
        if loaded.plan is not None:
            minutes = (spent_before + time.monotonic() - started) / 60
            _hold_against_the_plan(figures, config, trainer, loaded, loaded.plan, resumed=resumed, minutes=minutes)
        if figures.plan is not None:
            reporter.say(plan_summary(figures.plan))
        identity, path = _write(config, trainer, loaded.prompts, canaries, figures)
        ledger.metrics(_plotted(figures), trainer.progress.step)
        version = ledger.adapter(path, {"adapter": identity})
        status = "FINISHED"
    except Interrupted:
        status = "KILLED"
        raise
    finally:
        url = ledger.url()
        ledger.end(status)
    drop_checkpoint(config.checkpoint_dir)
    (config.checkpoint_dir / _RUN_NOTE).unlink(missing_ok=True)
    return TrainResult(
        adapter=identity,
        path=str(path),
        resumed=resumed,
        mlflow_run_id=ledger.run_id,
        mlflow_url=url,
        model_version=version,
        warnings=tuple(ledger.warnings),
        **figures.model_dump(),
    )


def _start_ledger(ledger: RunLedger, config: TrainConfig, loaded: Loaded, *, resumed: bool) -> None:
    """Open the run in MLflow, the earlier one where training goes on, and note its ID beside the checkpoint."""
    note = config.checkpoint_dir / _RUN_NOTE
    parameters = _parameters(config, loaded.data, loaded.prompts.sha256)
    ledger.start(parameters, note.read_text() if resumed and note.exists() else None)
    if ledger.run_id:
        write_text_atomically(note, ledger.run_id)


def _load(config: TrainConfig, stop: Callable[[], bool], reporter: Reporter) -> Loaded:
    """Read the pairs, plan the steps, load the base model and put an adapter on it."""

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
    plan = plan_for(config, data) if Path(config.base_model).is_dir() else None
    go_on()
    if plan is not None:
        reporter.say(
            f"Promised: {plan.tokens} tokens in {plan.steps} steps, {plan.minutes:.1f} minutes, "
            f"{plan.gigabytes:.1f} GB."
        )
    adapter = put_adapter_on(load_base(config.base_model, device), config)
    if config.warm_start is not None:
        adapter.load(read_start(config.warm_start, config))
    engine = make_engine(adapter, config, device, say=reporter.say)
    go_on()
    return Loaded(prompts, renderer, data, plan, device, adapter, engine)


def _report_to(reporter: Reporter, ledger: RunLedger) -> Callable[[Point], None]:
    """What the trainer calls after each step: the progress bar each time, MLflow every fifth."""

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

    return report


class RunFigures(BaseModel):
    """The figures of `TrainResult`, as the manifest keeps them too."""

    loss_first: float
    loss_last: float
    held_out_loss: float | None
    forgetting: dict[str, SliceLoss]
    pairs: int
    items: int
    tokens: int
    seconds: float
    tokens_per_second: float
    peak_rss_mb: float
    steps: int
    engine: str
    device: str
    peak_gpu_mb: float | None
    model_tflops: float | None = None
    plan: PlanRecord | None = None

    @field_serializer("plan", mode="wrap")
    def _empty_where_none(
        self, plan: PlanRecord | None, plain: SerializerFunctionWrapHandler
    ) -> Mapping[str, JsonValue]:
        return {} if plan is None else plain(plan)


def _figures(trainer: Trainer, loaded: Loaded) -> RunFigures:
    """The figures, but for those that are held against the plan."""
    first, last = trainer.curve_ends()
    after = trainer.held_out()
    before = trainer.progress.before
    state = trainer.progress
    return RunFigures(
        loss_first=first,
        loss_last=last,
        held_out_loss=after["all"]["loss"] if after else None,
        forgetting={
            key: SliceLoss(before=before[key]["loss"], after=value["loss"], items=int(value["items"]))
            for key, value in after.items()
            if key in before
        },
        pairs=loaded.data.pairs,
        items=len(loaded.data.turns),
        tokens=state.tokens,
        seconds=round(state.seconds, 3),
        tokens_per_second=round(state.tokens / max(state.seconds, 1e-9), 1),
        peak_rss_mb=round(peak_rss_mb(), 1),
        steps=state.step,
        engine=loaded.engine.name,
        device=loaded.device.type,
        peak_gpu_mb=round(peak_gpu_mb(), 1) if loaded.device.type == "cuda" else None,
    )


def _hold_against_the_plan(
    figures: RunFigures,
    config: TrainConfig,
    trainer: Trainer,
    loaded: Loaded,
    plan: TrainPlan,
    *,
    resumed: bool,
    minutes: float,
) -> None:
    """Set ``model_tflops`` and ``plan``.

    Args:
        minutes: what the run took, its earlier parts included.
    """
    state, data = trainer.progress, loaded.data
    seen = [data.turns[i] for number in state.plan for i in data.plan[number].turns]
    flops = model_flops(model_size(Path(config.base_model)), seen)
    memory = peak_gpu_mb() if loaded.device.type == "cuda" else peak_rss_mb()
    figures.plan = record(
        plan,
        kind=RunKind(
            machine=machine(),
            engine=loaded.engine.name,
            device=loaded.device.type,
            base_revision=base_model_revision(config.base_model),
            resumed=resumed,
        ),
        took=Took(
            minutes=minutes,
            gigabytes=memory * 2**20 / 1e9,
            tokens=state.tokens,
            steps=state.step,
            flops=flops,
            loop_seconds=state.seconds,
        ),
    )
    figures.model_tflops = round(flops / max(state.seconds, 1e-9) / 1e12, 4)


def _write(
    config: TrainConfig, trainer: Trainer, prompts: Prompts, canaries: list[Canary], figures: RunFigures
) -> tuple[str, Path]:
    """Write the adapter and check that it can be served; returns its ID and directory.

    Raises:
        AdapterRefused: it breaks a rule of serving.
    """
    identity, path = write_adapter(
        config, trainer, prompts, canaries, Figures.model_validate(figures.model_dump()), code_sha()
    )
    if Path(config.base_model).is_dir():
        check_adapter(path, Path(config.base_model))
    return identity, path


def _plotted(figures: RunFigures) -> dict[str, float]:
    """The figures that are numbers, as MLflow plots them."""
    numbers: dict[str, float] = {key: value for key, value in figures if isinstance(value, int | float)}
    if figures.plan is not None:
        # MLflow shows them under one another: promised_minutes, took_minutes.
        for side, part in (("promised", figures.plan.promised), ("took", figures.plan.took)):
            numbers |= {
                f"{side}_minutes": part.minutes, f"{side}_gigabytes": part.gigabytes, f"{side}_tokens": part.tokens
            }  # fmt: skip
    return numbers


def peak_gpu_mb() -> float:
    """Peak of the GPU memory that this process's tensors took, MiB."""
    return torch.cuda.max_memory_allocated() / 2**20


def code_sha() -> str:
    """sha256 over the sources that make the weights: the training room and the prompts' rendering."""
    room = Path(__file__).resolve().parent
    digest = hashlib.sha256()
    for path in (*sorted(room.rglob("*.py")), room.parent / "core" / "prompts.py"):
        digest.update(f"{path.name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _parameters(config: TrainConfig, data: TrainData, prompt_sha: str) -> dict[str, str | int | float]:
    """What MLflow shows as the run's parameters."""
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
