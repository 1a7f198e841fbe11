"""Commands over training: `plan`, `export`, `adopt`, `learning-curve`, `bakeoff`.

Belongs here: arguments and printing. Does not belong here: work; each command calls a room or workflows/, imported by the
command that needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from correctly_assets.commands.console import Json, console, print_json, stderr
from correctly_assets.core.errors import UsageError
from correctly_assets.settings import get_settings

if TYPE_CHECKING:
    from correctly_assets.workflows.compare_runs import CurvePoint, ModelRun


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    for command in (plan, export, adopt, learning_curve, bakeoff):
        app.command()(command)


def plan(as_json: Json = False) -> None:
    """What the next training run will take here: pairs, tokens, steps, minutes, gigabytes."""
    from correctly_assets.workflows.train_adapter import plan as plan_next

    settings = get_settings()
    train_set, made = plan_next(settings)
    if as_json:
        print_json({"train_set": train_set, "base_model": settings.training.base_model, **asdict(made)})
        return
    console.print(
        f"Train set {train_set} on {settings.training.base_model}: {made.pairs} pairs make {made.turns} turns, {made.tokens} tokens "
        f"over {made.steps} steps; some {made.minutes:.1f} minutes and {made.gigabytes:.1f} GB here.",
        highlight=False,
        soft_wrap=True,
    )
    if made.learned_from:
        console.print(f"Learned from the last {made.learned_from} runs on this machine.", highlight=False)
    if made.limited:
        console.print(
            f"The budget of {settings.training.minutes:g} minutes cuts the plan to these steps; CORRECTLY_TRAIN_MINUTES "
            "raises it.",
            highlight=False,
            soft_wrap=True,
        )


def export(
    adapter: Annotated[str, typer.Argument(help="How the adapter's ID begins.")],
    form: Annotated[str, typer.Option("--format", help="peft, merged or gguf.")],
    to: Annotated[Path | None, typer.Option(help="Directory to create; HOME/exports/ID-FORMAT when left out.")] = None,
    as_json: Json = False,
) -> None:
    """Write an adapter for use elsewhere: the adapter alone, merged weights, or GGUF. A conversion is checked first."""
    from correctly_assets.workflows.export_adapter import export as write_export

    done = write_export(get_settings(), adapter, form, to)
    if as_json:
        print_json(asdict(done))
        return
    console.print(
        f"Adapter {done.adapter} as {done.format}, {done.gigabytes:.2f} GB: {done.path}",
        highlight=False,
        soft_wrap=True,
    )
    if "from_training" in done.check:
        console.print(
            f"The merged weights answer as in training to {done.check['from_training']:.3f} nats a token.",
            highlight=False,
            soft_wrap=True,
        )
    if "max_logit_difference" in done.check:
        console.print(
            f"The GGUF file chose the same {done.check['tokens']} tokens for {done.check['prompts']} prompts; no logit is "
            f"more than {done.check['max_logit_difference']:.1g} away.",
            highlight=False,
            soft_wrap=True,
        )


def adopt(
    path: Annotated[Path | None, typer.Argument(help="A PEFT directory.")] = None,
    judge: Annotated[str | None, typer.Option(help="Judge an adapter that stands here already, by its ID.")] = None,
    as_json: Json = False,
) -> None:
    """Take in an adapter that was trained elsewhere: the same checks, the same judge, the same gate."""
    from correctly_assets.workflows import train_adapter as training

    if (path is None) == (judge is None):
        raise UsageError("Name either the directory of an adapter, or --judge and the ID of one that stands here.")
    settings = get_settings()
    log = stderr.print
    done = training.adopt(settings, path, log) if path is not None else training.judge(settings, str(judge), log)
    if as_json:
        print_json(done.model_dump(mode="json", by_alias=True))
    else:
        console.print(done.message, highlight=False, soft_wrap=True)


def learning_curve(
    parts: Annotated[str, typer.Option(help="Percentages of the examples.")] = "25,50,100", as_json: Json = False
) -> None:
    """Would more examples help? Trains on growing parts of the newest train set and compares them."""
    from correctly_assets.workflows.compare_runs import learning_curve as draw

    try:
        percents = [float(part) for part in parts.split(",")]
    except ValueError as error:
        raise UsageError(f"--parts takes percentages with commas between, as in 25,50,100; not {parts!r}.") from error
    settings = get_settings()
    value = draw(settings, percents, stderr)
    if as_json:
        print_json(value)
        return
    _table(
        value["points"],
        (
            ("Part", "percent", "{:g} %"),
            ("Examples", "examples", "{}"),
            ("Pairs", "pairs", "{}"),
            ("Steps", "steps", "{}"),
            ("Minutes", "seconds", ""),
            ("Held-out loss", "held_out_loss", "{:.4f}"),
            ("GLEU", "gleu", "{:.1f}"),
            ("F0.5", "errant_f05", "{:.1f}"),
        ),
    )
    console.print(value["says"], highlight=False, soft_wrap=True)
    console.print(
        f"Kept in {settings.platform.home / 'learning_curve.json'} and .png.", highlight=False, soft_wrap=True
    )


def bakeoff(
    models: Annotated[str, typer.Option(help="Base models with commas between: the embedded name, or directories.")],
    engine: Annotated[bool, typer.Option(help="Start an engine for each model and ask the frozen set.")] = True,
    greedy: Annotated[
        bool, typer.Option("--greedy", help="Ask each model itself instead, without engine and guards.")
    ] = False,
    steps: Annotated[
        int | None, typer.Option(min=1, help="The same number of steps for each, instead of the same minutes.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Which base model learns and corrects best on the same data and budget?"""
    from correctly_assets.platform.engine_session import running_engine
    from correctly_assets.workflows.compare_runs import bakeoff as compare

    settings = get_settings()
    value = compare(
        settings,
        [name.strip() for name in models.split(",") if name.strip()],
        stderr,
        session=running_engine,
        engine=engine,
        greedy=greedy,
        steps=steps,
    )
    if as_json:
        print_json(value)
        return
    _table(
        value["models"],
        (
            ("Base model", "model", "{}"),
            ("Weights", "weights", "{:.3g}"),
            ("Steps", "steps", "{}"),
            ("Minutes", "seconds", ""),
            ("Peak MiB", "peak_rss_mb", "{:.0f}"),
            ("Engine", "engine", "{}"),
            ("Bits a byte, base", "held_out_bits_a_byte_before", "{:.4f}"),
            ("Trained", "held_out_bits_a_byte", "{:.4f}"),
            ("GLEU", "gleu", "{:.1f}"),
            ("F0.5", "errant_f05", "{:.1f}"),
            ("Overcorrected %", "overcorrected", "{:.1f}"),
        ),
    )
    console.print(value["says"], highlight=False, soft_wrap=True)
    console.print(f"Kept in {settings.platform.home / 'bakeoff.json'}.", highlight=False, soft_wrap=True)


def _table(rows: Sequence[CurvePoint] | Sequence[ModelRun], columns: Sequence[tuple[str, str, str]]) -> None:
    """A table of the columns that some row has a value for."""
    shown = [column for column in columns if any(row.get(column[1]) is not None for row in rows)]
    table = Table()
    for head, _, _ in shown:
        table.add_column(head)
    for row in rows:
        table.add_row(*(_cell(row.get(key), form) for _, key, form in shown))
    console.print(table)


def _cell(value: Any, form: str) -> str:
    if value is None:
        return "–"
    return form.format(value) if form else f"{value / 60:.1f}"
