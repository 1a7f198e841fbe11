"""Commands that bring data in and back: `add`, `generate`, `data`.

Belongs here: arguments and printing. Does not belong here: work; each command calls a room or workflows/, imported by the
command that needs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from correctly_assets.commands.common import Json, console, print_json
from correctly_assets.settings import get_settings

versions = typer.Typer(
    no_args_is_help=True, help="Versions of the data: check out what an adapter was trained on, push."
)


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    for command in (add, generate):
        app.command()(command)
    app.add_typer(versions, name="data")


def add(
    files: Annotated[list[Path], typer.Argument(help="CSV, JSONL, Parquet, … (CONTRACTS: Row)")],
    verified: Annotated[
        bool,
        typer.Option("--verified", help="A person vouches for these corrections: they weigh CORRECTLY_HUMAN_WEIGHT."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Land examples from files. Good rows land, the others are written beside the file with their reasons."""
    from correctly_assets.core.layouts import spellchecked_twins
    from correctly_assets.workflows.complete_examples import waits_for
    from correctly_assets.workflows.wiring import land

    total: dict[str, Any] = {"landed": 0, "duplicates": 0, "refused": 0, "waiting": 0, "refused_file": None}
    for path in files:
        if path.is_dir() and not as_json:
            for twin in spellchecked_twins(path):
                console.print(
                    f"{twin.name} is left out: it is another source with its spelling mended.", highlight=False
                )
        outcome = land(get_settings(), path, verified=verified).to_json()
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
            if outcome["waiting"]:
                console.print(f"  {waits_for(get_settings().teacher)}", highlight=False, soft_wrap=True)
            for reason, count in outcome.get("reasons", {}).items():
                console.print(f"  {count} × {reason}", highlight=False)
            if outcome["refused_file"]:
                console.print(f"  refused rows: {outcome['refused_file']}", highlight=False)
    if as_json:
        print_json(total)
    if total["refused"]:
        raise typer.Exit(3)


def generate(
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=10_000, help="New examples wanted.")] = 20,
    as_json: Json = False,
) -> None:
    """Have the teacher correct what waits, then land new examples over the thinnest cells of the taxonomy."""
    from correctly_assets.workflows.complete_examples import complete_waiting
    from correctly_assets.workflows.generate_examples import ONLY_REPLAYS
    from correctly_assets.workflows.generate_examples import generate as write
    from correctly_assets.workflows.wiring import make_platform_teacher, open_platform_store

    settings = get_settings()
    with open_platform_store(settings.platform) as store:
        # One teacher for both, since a budget is one teacher's. A recorded one may not be there and says so in its place.
        teacher = None if settings.teacher.kind == "recorded" else make_platform_teacher(settings)
        completed = complete_waiting(store, settings, teacher=teacher)
        if completed.says and not as_json:
            console.print(completed.says, highlight=False, soft_wrap=True)
        if settings.teacher.kind == "recorded" and completed.completed:
            # Its work is done: what waited has its corrections.
            if as_json:
                print_json({"teacher": "recorded", "landed": 0, "waiting": completed.to_json()})
            else:
                console.print(ONLY_REPLAYS, highlight=False, soft_wrap=True)
            return
        done = write(store, settings, count, teacher)
    if as_json:
        print_json(done.to_json() | {"waiting": completed.to_json()})
        return
    console.print(done.says, highlight=False, soft_wrap=True)
    for (form, tone), landed in sorted(done.cells.items()):
        console.print(f"  {landed} × {form}, {tone}", highlight=False)


@versions.command()
def checkout(
    adapter: Annotated[str, typer.Argument(help="The adapter's ID, or its beginning.")],
    to: Annotated[Path | None, typer.Option(help="Copy them here too, as train_set/ and examples/.")] = None,
    as_json: Json = False,
) -> None:
    """Bring back the exact rows that an adapter was trained on, from here or from the DVC remote."""
    from correctly_assets.workflows.version_data import check_out

    found = check_out(get_settings(), adapter, to)
    if as_json:
        print_json(found)
        return
    for what, name in (("train_set", "train pairs"), ("examples", "examples")):
        part = found[what]
        since = f"; {part['forgotten']} examples were forgotten since" if part["forgotten"] else ""
        came = " from the DVC remote" if part["restored"] else ""
        console.print(f"{part['rows']} {name}{came}: {part['path']}{since}", highlight=False, soft_wrap=True)


@versions.command()
def push(as_json: Json = False) -> None:
    """Push every snapshot to the DVC remote (CORRECTLY_DVC_REMOTE)."""
    from correctly_assets.workflows.version_data import push_all

    settings = get_settings()
    ids = push_all(settings)
    if as_json:
        print_json({"pushed": ids, "remote": settings.curation.dvc_remote})
        return
    console.print(f"{len(ids)} snapshots are on {settings.curation.dvc_remote}.", highlight=False)
