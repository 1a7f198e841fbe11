"""Commands that measure: `evaluate` and its kin.

Belongs here: arguments and printing. Does not belong here: work; each command calls a room or workflows/, imported by the
command that needs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from correctly_assets.commands.console import Json, console, print_json, stderr
from correctly_assets.settings import get_settings


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    for command in (evaluate,):
        app.command()(command)


def evaluate(
    system: Annotated[str, typer.Option(help="identity|base|served|harper|adapter:ID|file:PATH")] = "served",
    data: Annotated[
        Path | None, typer.Option(help="JSONL with source and references; the frozen set when left out.")
    ] = None,
    predictions: Annotated[Path | None, typer.Option(help="Write one prediction a line here.")] = None,
    reasons: Annotated[bool, typer.Option("--reasons", help="Ask for explanations too, and count them.")] = False,
    limit: Annotated[int | None, typer.Option(min=1)] = None,
    mode: Annotated[Literal["careful", "fluent"], typer.Option(help="How daring a model's answers are.")] = "careful",
    as_json: Json = False,
) -> None:
    """Score a system on a set: the same path as /v1/corrections, guards included."""
    from correctly_assets.platform.engine_session import running_engine
    from correctly_assets.workflows.judge_candidate import evaluate_system

    scores = evaluate_system(
        get_settings(),
        system=system,
        data=data,
        predictions=predictions,
        reasons=reasons,
        limit=limit,
        console=stderr,
        session=running_engine,
        mode=mode,
    )
    if as_json:
        print_json(scores)
        return
    for name, value in scores.items():
        console.print(f"{name:<22} {value:.2f}" if isinstance(value, float) else f"{name:<22} {value}", highlight=False)
