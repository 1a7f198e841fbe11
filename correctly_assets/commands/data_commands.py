"""Commands that bring data in and back: `add`, `generate`, `data`.

Belongs here: arguments and printing. Does not belong here: work; each command calls a room or workflows/, imported by the
command that needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NotRequired, TypedDict

import typer
from rich.markup import escape

from correctly_assets.commands.console import Json, console, print_json, stderr
from correctly_assets.core.errors import CorrectlyError
from correctly_assets.core.landing import LandOutcomeJson
from correctly_assets.core.layouts import spellchecked_twins
from correctly_assets.settings import get_settings

if TYPE_CHECKING:
    from correctly_assets.core.landing import LandOutcome, RefusedRow
    from correctly_assets.curation.columns import Columns
    from correctly_assets.curation.preview import Preview, ShownRow

_SHOWN_ROWS = 5
versions = typer.Typer(
    no_args_is_help=True, help="Versions of the data: check out what an adapter was trained on, push."
)


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    for command in (add, generate):
        app.command()(command)
    app.add_typer(versions, name="data")


def add(
    files: Annotated[list[Path], typer.Argument(help="CSV, JSONL, JSON, XLSX, Parquet, … (CONTRACTS: Row)")],
    verified: Annotated[
        bool,
        typer.Option("--verified", help="A person vouches for these corrections: they weigh CORRECTLY_HUMAN_WEIGHT."),
    ] = False,
    named: Annotated[
        list[str] | None,
        typer.Option("--map", help="before=COLUMN: which column is which; may be given several times."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would land, and write nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Land examples from files. Good rows land, the others are written beside the file with their reasons."""
    from correctly_assets.curation.columns import parse_map
    from correctly_assets.curation.readers import is_left_alone

    columns = parse_map(named or [])
    found: list[_Added] = []
    for path in files:
        if is_left_alone(path.name):
            found.append(_Added(path, left_alone="It is hidden, a lock, or not written to its end."))
        else:
            found.append(_added(path, columns, verified=verified, dry_run=dry_run))
        if not as_json:
            _print_added(found[-1], dry_run=dry_run)
    landed = [one.outcome for one in found if one.outcome is not None]
    failures = [one.failure for one in found if one.failure is not None]
    if as_json:
        written = [outcome.refused_file for outcome in landed if outcome.refused_file]
        total = {
            "landed": sum(outcome.landed for outcome in landed),
            "duplicates": sum(outcome.duplicates for outcome in landed),
            "refused": sum(outcome.refused for outcome in landed),
            "waiting": sum(outcome.waiting for outcome in landed),
            "quarantined": sum(outcome.quarantined for outcome in landed),
            "refused_file": written[-1] if written else None,
            "dry_run": dry_run,
            "files": [{"file": str(one.path), **_as_json(one)} for one in found],
        }
        print_json(total | (failures[0].to_json() if failures else {}))
    if failures:
        raise typer.Exit(failures[0].exit_code)
    if any(outcome.refused for outcome in landed):
        raise typer.Exit(3)


@dataclass(frozen=True, slots=True)
class _Added:
    """What became, or would become, of one file: an outcome, or why there is none.

    Attributes:
        shown: of a dry run alone. left_out: what beside the file was not read, a sentence each.
    """

    path: Path
    outcome: LandOutcome | None = None
    shown: Preview | None = None
    left_out: Sequence[str] = ()
    left_alone: str | None = None
    failure: CorrectlyError | None = None


class AddedFile(LandOutcomeJson):
    """A file of ``add --json`` that was read; its rows are those of a dry run."""

    rows: NotRequired[list[ShownRow]]
    refused_rows: NotRequired[list[RefusedRow]]
    read_as: NotRequired[str]
    left_out: NotRequired[list[str]]


class FileLeftAlone(TypedDict):
    """A file of ``add --json`` that was not read on purpose."""

    left_alone: str


def _as_json(added: _Added) -> AddedFile | FileLeftAlone | dict[str, dict[str, str]]:
    if added.failure is not None:
        return added.failure.to_json()
    if added.outcome is None:
        return {"left_alone": added.left_alone or ""}
    shape: AddedFile = {**added.outcome.to_json()}
    if added.shown is not None:
        shape["rows"], shape["refused_rows"] = list(added.shown.rows), list(added.shown.refused)
    if added.outcome.read_as:
        shape["read_as"] = added.outcome.read_as
    if added.left_out:
        shape["left_out"] = list(added.left_out)
    return shape


def _added(path: Path, columns: Columns, *, verified: bool, dry_run: bool) -> _Added:
    from correctly_assets.curation.tables import train_files
    from correctly_assets.workflows.land_rows import land, preview

    try:
        left_out = [f"{twin.name}: it is another source with its spelling mended." for twin in spellchecked_twins(path)]
        left_out += [f"{file.name}: it is no split for training." for file in train_files(path)[1]]
        if dry_run:
            shown = preview(get_settings(), path, columns=columns)
            return _Added(path, shown.outcome, shown, left_out)
        return _Added(path, land(get_settings(), path, verified=verified, columns=columns), left_out=left_out)
    except CorrectlyError as error:
        return _Added(path, failure=error)


def _print_added(added: _Added, *, dry_run: bool) -> None:
    from correctly_assets.workflows.waiting_rows import waits_for

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    outcome = added.outcome
    if added.failure is not None:
        stderr.print(f"[red]✗[/] {escape(str(added.failure))}", highlight=False, soft_wrap=True)
        return
    if outcome is None:
        say(f"{added.path.name}: left alone. {added.left_alone}")
        return
    would = "would land" if dry_run else "landed"
    words = [f"{outcome.landed} {would}", f"{outcome.duplicates} duplicates", f"{outcome.refused} refused"]
    if outcome.waiting:
        words.append(f"{outcome.waiting} of them wait for a teacher")
    if outcome.quarantined:
        words.append(f"{outcome.quarantined} of them are held in quarantine")
    say(f"{added.path.name}: {', '.join(words)}.")
    if not (outcome.landed or outcome.duplicates or outcome.refused):
        say("  the file holds no row")
    if outcome.read_as:
        say(
            f"  read as {outcome.read_as}; where letters with accents are wrong, save the file as UTF-8 and add it again"
        )
    for sentence in added.left_out:
        say(f"  left out: {sentence}")
    for row in added.shown.rows[:_SHOWN_ROWS] if added.shown is not None else ():
        say(f"  line {row['line']}: {row['before']}")
        say(f"    → {row['after'] or '(waits for a teacher)'}" + (f"  [{row['held']}]" if row["held"] else ""))
    if outcome.waiting and not dry_run:
        say(f"  {waits_for(get_settings().teacher)}")
    refused_at = dict(outcome.lines)
    for reason, count in outcome.reasons:
        lines = refused_at.get(reason, ())
        where = f" (line {', '.join(map(str, lines[:5]))}{', …' if count > 5 else ''})" if lines else ""
        say(f"  {count} × {reason}{where}")
    if outcome.ignored_columns:
        say(f"  columns that mean nothing to a row: {', '.join(name for name, _ in outcome.ignored_columns)}")
    if outcome.refused_file:
        say(f"  refused rows: {outcome.refused_file}")


def generate(
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=10_000, help="New examples wanted.")] = 20,
    as_json: Json = False,
) -> None:
    """Have the teacher correct what waits, then land new examples over the thinnest cells of the taxonomy."""
    from correctly_assets.workflows import complete_examples, generate_examples, make_teacher, wiring

    settings = get_settings()
    with wiring.open_platform_store(settings.platform) as store:
        # One teacher for both, since a budget is one teacher's. A recorded one may not be there and says so in its place.
        teacher = None if settings.teacher.kind == "recorded" else make_teacher.make_platform_teacher(settings)
        completed = complete_examples.complete_waiting(store, settings, teacher=teacher)
        if completed.message and not as_json:
            console.print(completed.message, highlight=False, soft_wrap=True)
        if settings.teacher.kind == "recorded" and completed.completed:
            # Its work is done: what waited has its corrections.
            if as_json:
                print_json({"teacher": "recorded", "landed": 0, "waiting": completed.to_json()})
            else:
                console.print(generate_examples.ONLY_REPLAYS, highlight=False, soft_wrap=True)
            return
        done = generate_examples.generate(store, settings, count, teacher)
    if as_json:
        print_json({**done.to_json(), "waiting": completed.to_json()})
        return
    console.print(done.message, highlight=False, soft_wrap=True)
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
        print_json(found.model_dump(mode="json"))
        return
    for part, name in ((found.train_set, "train pairs"), (found.examples, "examples")):
        since = f"; {part.forgotten} examples were forgotten since" if part.forgotten else ""
        came = " from the DVC remote" if part.restored else ""
        console.print(f"{part.rows} {name}{came}: {part.path}{since}", highlight=False, soft_wrap=True)


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
