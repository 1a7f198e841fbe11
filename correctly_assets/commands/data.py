"""Commands over what has landed: `add` and its kin.

Belongs here: arguments and printing. Does not belong here: work; each command calls a room or runtime/, imported by the
command that needs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from correctly_assets.settings import get_settings

from .common import Json, console, print_json


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    for command in (add,):
        app.command()(command)


def add(
    files: Annotated[list[Path], typer.Argument(help="CSV, JSONL, Parquet, … (CONTRACTS: Row)")],
    as_json: Json = False,
) -> None:
    """Land examples from files. Good rows land, the others are written beside the file with their reasons."""
    from correctly_assets.runtime.join import land

    total: dict[str, Any] = {"landed": 0, "duplicates": 0, "refused": 0, "waiting": 0, "refused_file": None}
    for path in files:
        outcome = land(get_settings(), path).to_json()
        for key in ("landed", "duplicates", "refused", "waiting"):
            total[key] += outcome[key]
        total["refused_file"] = outcome["refused_file"] or total["refused_file"]
        if not as_json:
            words = [
                f"{outcome['landed']} landed",
                f"{outcome['duplicates']} duplicates",
                f"{outcome['refused']} refused",
            ]
            if outcome["waiting"]:
                words.append(f"{outcome['waiting']} of them wait for a teacher")
            if outcome.get("quarantined"):
                words.append(f"{outcome['quarantined']} of them are held in quarantine")
            console.print(f"{path.name}: {', '.join(words)}.", highlight=False)
            for reason, count in outcome.get("reasons", {}).items():
                console.print(f"  {count} × {reason}", highlight=False)
            if outcome["refused_file"]:
                console.print(f"  refused rows: {outcome['refused_file']}", highlight=False)
    if as_json:
        print_json(total)
    if total["refused"]:
        raise typer.Exit(3)
