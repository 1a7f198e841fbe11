"""Runs side by side: more data of the same kind (the learning curve), other base models on the same budget (the bake-off).

Belongs here: which runs are made, what of them is compared, and the files that keep it. Does not belong here: training or
measuring. Nothing here is a candidate: the adapters are trained beside the platform's and are gone when the figures stand.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from matplotlib.figure import Figure
from rich.console import Console

from correctly_assets.artifacts.files import write_text_atomically
from correctly_assets.artifacts.manifests import Provenance
from correctly_assets.core.errors import CorrectlyError, PermanentError, UsageError
from correctly_assets.core.prompts import family_of
from correctly_assets.core.training import TrainResult
from correctly_assets.engine.load_adapter import load_proven
from correctly_assets.evaluation.evaluation_set import read_evaluation_set
from correctly_assets.evaluation.metrics.score import Scores, evaluate
from correctly_assets.evaluation.systems import FileSystem
from correctly_assets.settings import ServingSettings, Settings
from correctly_assets.training.adapter import check_adapter
from correctly_assets.training.config import TrainConfig, TrainSpec
from correctly_assets.training.estimates import (
    held_out_fitting,
    held_out_size,
    model_size,
    write_comparable,
    write_part,
)
from correctly_assets.training.tasks import AnswerRequest
from correctly_assets.workflows.build_train_set import train_config
from correctly_assets.workflows.make_corrector import DirectEngine, make_annotator
from correctly_assets.workflows.measured_systems import EngineSession, kept_answers, model_system
from correctly_assets.workflows.promote import EngineLike
from correctly_assets.workflows.train_adapter import local_base, newest_train_set, run_task, run_training

THOROUGH = 0.9
"""Share of the tokens that a part twice as large should be trained on, against twice those of the smaller."""
WORTH_WHILE = 1.0
"""Per cent by which the held-out loss must fall over a curve's last part for more examples to be called worth while."""


class RunScores(TypedDict, total=False):
    """What the frozen set says of one run's adapter, in percent over ``n`` rows; nothing where it was not asked."""

    gleu: float
    errant_f05: float
    exact_match: float
    overcorrected: float
    run_on: float
    n: int


class RunFigures(RunScores):
    """One training run: seconds, MiB, and the held-out loss in nats a token, before it and after it."""

    adapter: str
    steps: int
    tokens: int
    seconds: float
    peak_rss_mb: float
    held_out_before: float | None
    held_out_loss: float


class CurvePoint(RunFigures):
    """A run on ``percent`` of the train set's examples, which make so many pairs."""

    percent: float
    examples: int
    pairs: int


class LearningCurve(TypedDict):
    """``learning_curve.json``; ``says`` answers whether more examples would help."""

    train_set: str
    base_model: str
    minutes_each: float | None
    measured_on: str
    points: list[CurvePoint]
    says: str


class ModelRun(RunFigures):
    """A base model's run in a bake-off; the held-out cost is comparable between tokenizers."""

    model: str
    chat_family: str
    weights: int
    engine: str
    held_out_bytes: int
    held_out_nats_a_character: float
    held_out_bits_a_byte_before: float
    held_out_bits_a_byte: float


class Winner(TypedDict):
    """The better model, by which figure, and a sentence on it."""

    compared_by: str
    best: str
    says: str


class Bakeoff(Winner):
    """``bakeoff.json``."""

    train_set: str
    minutes_each: float | None
    steps_each: int | None
    asked: str
    models: list[ModelRun]


def _base_config(settings: Settings, train_set: str, work: Path) -> TrainSpec:
    """The platform's own recipe and budget, from the base model, written apart from the platform's adapters."""
    spec = train_config(settings, train_set=train_set)
    # Without the provenance of a candidate: these adapters are never judged, and nothing is decided by them. The hashes of
    # what lies behind the config's paths are part of it, so that a result of other prompts or weights is not taken again.
    base = spec.extras.recipe.base_model if spec.extras.recipe else None
    made_from = Provenance(train_set=train_set, prompts=spec.extras.prompts, base=base)
    return spec.model_copy(update={"adapters_dir": work / "adapters", "warm_start": None, "extras": made_from})


# ------------------------------------------------------------------ the learning curve


def learning_curve(settings: Settings, percents: Sequence[float], console: Console) -> LearningCurve:
    """Train on nested parts of the newest train set and measure each on the same held-out turns.

    Writes ``HOME/learning_curve.json`` and ``.png``. A curve that was stopped goes on where it was.

    Raises:
        UsageError: a part is no percentage, or there is no train set.
        PermanentError, RetryableError: as a training run ends.
    """
    if len(percents) < 2 or any(not 0 < value <= 100 for value in percents):
        raise UsageError(
            "A learning curve needs two parts at least, each above 0 and up to 100, as in --parts 25,50,100."
        )
    train_set = newest_train_set(settings.platform)
    base = local_base(settings)
    work = settings.platform.checkpoints_dir / f"learning-curve-{train_set}"
    spec = _base_config(settings, train_set, work)
    trained: list[CurvePoint] = []
    results: list[TrainResult] = []
    for percent in sorted(set(percents)):
        part = work / f"{percent:g}" / "pairs.parquet"
        pairs, examples = write_part(spec.train_set, part, percent)
        console.print(f"{percent:g} %: training on {pairs} pairs from {examples} examples.", highlight=False)
        result = run_training(settings.platform, spec.model_copy(update={"train_set": part}), part.parent)
        results.append(result)
        trained.append({"percent": percent, "examples": examples, "pairs": pairs, **_figures(result)})
    evaluated = asyncio.run(_on_frozen_set(settings, base, [Path(result.path) for result in results], console))
    points: list[CurvePoint] = [{**point, **scores} for point, scores in zip(trained, evaluated, strict=True)]
    value: LearningCurve = {
        "train_set": train_set,
        "base_model": settings.training.base_model,
        "minutes_each": settings.training.minutes,
        "measured_on": "frozen set and held-out loss" if evaluated[-1] else "held-out loss",
        "points": points,
        "says": curve_summary(points),
    }
    write_text_atomically(settings.platform.home / "learning_curve.json", json.dumps(value, indent=1) + "\n")
    draw_curve(points, settings.platform.home / "learning_curve.png")
    # The parts are people's sentences and the adapters learned them: `forget` must not have to look here.
    shutil.rmtree(work, ignore_errors=True)
    return value


def _figures(result: TrainResult) -> RunFigures:
    """What a run is shown by.

    Raises:
        PermanentError: the train set holds nothing out.
    """
    if result.held_out_loss is None:
        raise PermanentError("This train set holds nothing out, so that runs cannot be compared; land more examples.")
    before = result.forgetting.get("all", {}).get("before")
    return {
        "adapter": result.adapter,
        "steps": result.steps,
        "tokens": result.tokens,
        "seconds": result.seconds,
        "peak_rss_mb": result.peak_rss_mb,
        "held_out_before": before,
        "held_out_loss": result.held_out_loss,
    }


def cut_short(earlier: CurvePoint, last: CurvePoint) -> bool:
    """Whether the minutes ran out before the larger part was learnt as thoroughly: its tokens did not grow as its pairs."""
    return last["tokens"] < THOROUGH * earlier["tokens"] * last["pairs"] / earlier["pairs"]


def curve_summary(points: Sequence[CurvePoint]) -> str:
    """One sentence that answers: would more examples help?"""
    earlier, last = points[-2], points[-1]
    if cut_short(earlier, last):
        return (
            f"The minutes ran out before {last['examples']} examples were learnt as thoroughly as {earlier['examples']}, so that "
            "this curve does not tell whether more would help: raise CORRECTLY_TRAIN_MINUTES."
        )
    fell = 100 * (earlier["held_out_loss"] - last["held_out_loss"]) / earlier["held_out_loss"]
    step = f"from {earlier['examples']} to {last['examples']} examples the held-out loss"
    if fell >= WORTH_WHILE:
        return f"More examples would likely help: {step} fell by {fell:.1f} %."
    moved = f"fell by only {fell:.1f} %" if fell >= 0 else f"rose by {-fell:.1f} %"
    return f"More examples of this kind would hardly help: {step} {moved}."


def draw_curve(points: Sequence[CurvePoint], path: Path) -> None:
    """The curve as a PNG, held-out loss over examples; F0.5 beside it where it was measured."""
    figure = Figure(figsize=(6.4, 3.4), dpi=120)
    axes = figure.subplots()
    examples = [point["examples"] for point in points]
    axes.plot(
        examples, [point["held_out_loss"] for point in points], marker="o", color="#1f4e79", label="held-out loss"
    )
    for point in points:
        axes.annotate(
            f"{point['percent']:g} %",
            (point["examples"], point["held_out_loss"]),
            textcoords="offset points",
            xytext=(4, 6),
            fontsize=8,
        )
    axes.set(xlabel="examples trained on", ylabel="held-out loss (nats a token)")
    axes.spines[["top"]].set_visible(False)
    f05 = [value for point in points if (value := point.get("errant_f05")) is not None]
    if len(f05) == len(points):
        other = axes.twinx()
        other.plot(examples, f05, marker="s", color="#b05a1f", label="F0.5, frozen set")
        other.set_ylabel("F0.5")
        other.spines[["top"]].set_visible(False)
    else:
        axes.spines[["right"]].set_visible(False)
    figure.legend(frameon=False, loc="upper center", ncols=2, fontsize=8)
    figure.tight_layout(rect=(0, 0, 1, 0.94))
    work = path.with_name(f".{path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(work, format="png")
    work.replace(path)


# ------------------------------------------------------------------ the bake-off


def bakeoff(
    settings: Settings,
    models: Sequence[str],
    console: Console,
    *,
    session: EngineSession,
    engine: bool = True,
    greedy: bool = False,
    steps: int | None = None,
) -> Bakeoff:
    """Train each base model on the newest train set with the same budget, and compare.

    Writes ``HOME/bakeoff.json``. On the frozen set, through an engine for each model in turn or by plain greedy answers;
    and by the cost of the same held-out answers in bits a byte, which does not depend on how a tokenizer cuts.

    Args:
        engine: start an engine for each model and ask it through the correction path, guards included.
        greedy: ask each model itself instead, without engine and guards.
        steps: give every model so many steps of the same batches' size instead of the same minutes.

    Raises:
        UsageError: fewer than two models, one twice, or one that does not lie in a directory.
        PermanentError, RetryableError: as a training run ends.
    """
    if len(models) < 2 or len(set(models)) < len(models):
        raise UsageError("A bake-off needs two base models at least, each named once, as in --models gemma-3-270m,DIR.")
    train_set = newest_train_set(settings.platform)
    each = [settings.changed(training={"base_model": model}) for model in models]
    bases = [local_base(one) for one in each]  # all of them before the first hour is spent
    busy = engine and not greedy and _engine_is_busy(settings, console)
    work = settings.platform.checkpoints_dir / f"bakeoff-{train_set}"
    budget = f"{settings.training.minutes:g} minutes at most" if steps is None else f"{steps} steps"
    rows: list[ModelRun] = []
    for one in _contestants(each, bases, train_set, work, steps):
        console.print(f"{one.model}: training with {budget}.", highlight=False)
        result = run_training(one.settings.platform, one.spec, one.directory)
        row: ModelRun = _compared(one, result)
        if greedy:
            console.print(f"{one.model}: answering the frozen set greedily.", highlight=False)
            row = {**row, **greedy_scores(one.settings, one.base, Path(result.path))}
        elif engine and not busy:
            scores = scores_through_own_engine(one.settings, one.base, Path(result.path), console, session)
            row = {**row, **scores}
        rows.append(row)
    value: Bakeoff = {
        "train_set": train_set,
        "minutes_each": settings.training.minutes if steps is None else None,
        "steps_each": steps,
        "asked": "greedily, without guards" if greedy else "through the correction path" if engine else "not at all",
        **choose(rows),
        "models": rows,
    }
    write_text_atomically(settings.platform.home / "bakeoff.json", json.dumps(value, indent=1) + "\n")
    shutil.rmtree(work, ignore_errors=True)
    return value


def _engine_is_busy(settings: Settings, console: Console) -> bool:
    """Whether the platform's engine runs, which is then said: it holds one base model and leaves no room for others."""
    busy = asyncio.run(_engine_runs(settings.serving))
    if busy:
        console.print(
            "The platform's engine runs and holds one base model, so the models are compared by held-out loss; "
            "`correctly down` first to compare them on the frozen set, or ask them with --greedy.",
            highlight=False,
        )
    return busy


@dataclass(frozen=True, slots=True)
class _Contestant:
    """A base model of a bake-off.

    Attributes:
        settings: the platform's, with this base model.
        base: its directory.
        directory: where its run leaves checkpoint and result.
    """

    settings: Settings
    base: Path
    spec: TrainSpec
    directory: Path

    @property
    def model(self) -> str:
        """The model's name, as it was given."""
        return self.settings.training.base_model


def _contestants(
    each: Sequence[Settings], bases: Sequence[Path], train_set: str, work: Path, steps: int | None
) -> list[_Contestant]:
    """The runs of a bake-off, all on the part of the train set whose held-out answers every tokenizer can hold."""
    budget = {} if steps is None else {"max_steps": steps, "max_minutes": None}
    specs = [
        _base_config(one, train_set, work / str(number)).model_copy(update={"base_model": str(base), **budget})
        for number, (one, base) in enumerate(zip(each, bases, strict=True))
    ]
    # What one tokenizer cuts into more tokens than a turn may have must not be missing from that model's measure alone.
    part = work / "pairs.parquet"
    fitting = [held_out_fitting(TrainConfig(**dict(spec), checkpoint_dir=work)) for spec in specs]
    write_comparable(specs[0].train_set, part, set.intersection(*fitting))
    return [
        _Contestant(one, base, spec.model_copy(update={"train_set": part}), work / str(number))
        for number, (one, base, spec) in enumerate(zip(each, bases, specs, strict=True))
    ]


def _compared(one: _Contestant, result: TrainResult) -> ModelRun:
    """What a run is compared by: the cost of the same held-out answers, whatever its tokenizer.

    Raises:
        PermanentError: the train set holds nothing out.
    """
    config = TrainConfig(**dict(one.spec), checkpoint_dir=one.directory)
    tokens, characters, size = held_out_size(config)
    figures = _figures(result)
    body, head = model_size(one.base)
    before = result.forgetting["all"]["before"]
    return {
        "model": one.model,
        "chat_family": family_of(one.model),
        "weights": body + head,
        **figures,
        "engine": result.engine,
        "held_out_bytes": size,
        "held_out_nats_a_character": figures["held_out_loss"] * tokens / characters,
        "held_out_bits_a_byte_before": before * tokens / size / math.log(2),
        "held_out_bits_a_byte": figures["held_out_loss"] * tokens / size / math.log(2),
    }


def choose(rows: Sequence[ModelRun]) -> Winner:
    """The better model, by F0.5 on the frozen set where every model has it, else by held-out loss a character."""
    scored = [(f05, row["model"]) for row in rows if (f05 := row.get("errant_f05")) is not None]
    if len(scored) == len(rows):
        f05, model = max(scored, key=lambda one: one[0])
        message = f"{model} corrects best: F0.5 {f05:.1f} on the frozen set."
        return {"compared_by": "errant_f05", "best": model, "says": message}
    best = min(rows, key=lambda row: row["held_out_nats_a_character"])
    message = (
        f"{best['model']} learned most: {best['held_out_nats_a_character']:.3f} nats a character of held-out answers. "
        "Only the frozen set tells how it corrects."
    )
    return {"compared_by": "held_out_nats_a_character", "best": best["model"], "says": message}


def greedy_scores(settings: Settings, base: Path, adapter: Path) -> RunScores:
    """Scores on the frozen set by the model's own greedy answers: no engine, no guards, no confidence.

    Raises:
        PermanentError: the model cannot answer.
    """
    data = read_evaluation_set(settings.platform.evaluation_path, settings.serving.evaluation_limit)
    request = AnswerRequest(
        base_model=str(base),
        adapter=adapter,
        prompts_dir=settings.platform.prompts_dir,
        chat_family=family_of(settings.training.base_model),
        texts=data.sources,
    )
    answers = run_task(settings.platform, "answer", request, dict[str, list[str]])["answers"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "answers.txt"
        file.write_text("".join(f"{line}\n" for line in answers), encoding="utf-8")
        annotator = make_annotator()
        found = asyncio.run(evaluate(FileSystem(file, annotator), data, annotator))
    return _run_scores(found.scores)


def scores_through_own_engine(
    settings: Settings, base: Path, adapter: Path, console: Console, session: EngineSession
) -> RunScores:
    """Scores through an engine of the model's own; empty, and said so, where none can be started."""

    async def started() -> RunScores:
        async with session(settings, console) as engine:
            return await _score(settings, engine, base, adapter)

    try:
        return asyncio.run(started())
    except CorrectlyError as error:
        console.print(f"{settings.training.base_model} is not measured on the frozen set: {error}", highlight=False)
        return {}


# ------------------------------------------------------------------ the frozen set


async def _engine_runs(serving: ServingSettings) -> bool:
    async with DirectEngine(serving.vllm_url).client() as client:
        return await client.is_ready()


async def _on_frozen_set(settings: Settings, base: Path, adapters: Sequence[Path], console: Console) -> list[RunScores]:
    """Scores of adapters of the base model that the running engine holds; empty ones where none runs."""
    if not await _engine_runs(settings.serving):
        console.print("No engine runs, so that the frozen set is not asked.", highlight=False)
        return [{} for _ in adapters]
    engine = DirectEngine.of(settings)
    return [await _score(settings, engine, base, adapter) for adapter in adapters]


def _run_scores(scores: Scores) -> RunScores:
    return {
        "gleu": scores["gleu"],
        "errant_f05": scores["errant_f05"],
        "exact_match": scores["exact_match"],
        "overcorrected": scores["overcorrected"],
        "run_on": scores["run_on"],
        "n": scores["n"],
    }


async def _score(settings: Settings, engine: EngineLike, base: Path, adapter: Path) -> RunScores:
    data = read_evaluation_set(settings.platform.evaluation_path, settings.serving.evaluation_limit)
    annotator = await asyncio.to_thread(make_annotator)
    async with loaded(engine, adapter, base) as client:
        system = model_system(settings, client, annotator, name=adapter.name, model=adapter.name, adapter=adapter.name)
        found = await evaluate(system, data, annotator, cache=kept_answers(settings.platform))
    return _run_scores(found.scores)


@asynccontextmanager
async def loaded(engine: EngineLike, adapter: Path, base: Path) -> AsyncIterator[Any]:
    """The adapter in the engine, proved, for the length of the block."""
    check: Callable[[Path], Any] = lambda directory: check_adapter(directory, base)  # noqa: E731 - a name for two lines
    async with engine.client() as client:
        known = adapter.name in await client.models()
        await load_proven(client, adapter, check)
        try:
            yield client
        finally:
            # One that was there before may be the champion, trained from the same pairs to the same weights.
            if not known:
                with contextlib.suppress(CorrectlyError):
                    await client.unload_adapter(adapter.name)
