"""Commands over what was judged: `report`, `leaderboard`, `judge calibrate`, `record`.

Belongs here: arguments and printing. Does not belong here: work; each command calls workflows/, imported by the command
that needs it.
"""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from correctly_assets.commands.console import Json, console, print_json, stderr
from correctly_assets.core.errors import UsageError
from correctly_assets.settings import get_settings

judge_app = typer.Typer(no_args_is_help=True, help="The pairwise judge, and how far to trust it.")


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    for command in (report, leaderboard, record):
        app.command()(command)
    app.add_typer(judge_app, name="judge")


def report(
    adapter: Annotated[str | None, typer.Argument(help="An adapter's ID or its beginning; the last judged.")] = None,
    browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Measure every system on every set first; only missing answers are made.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Where an adapter's report is, and its verdict."""
    from correctly_assets.workflows.find_reports import describe_report, shadow_of

    settings = get_settings()
    found = describe_report(settings, adapter)
    if full:
        from correctly_assets.platform.engine_session import running_engine
        from correctly_assets.workflows.full_report import full_report_here

        written = full_report_here(settings, found["adapter"], stderr, running_engine)
        found["full"] = str(written.html)
        found["seconds"] = written.report.seconds
    found["shadow"] = shadow_of(settings, found["adapter"])
    page = found["full"] if full or found["html"] is None else found["html"]
    if as_json:
        print_json(found)
    else:
        console.print(f"{found['headline']}.", highlight=False, soft_wrap=True)
        for reason in found["reasons"]:
            console.print(f"  {reason}", highlight=False, soft_wrap=True)
        if found["shadow"] is not None:
            console.print(found["shadow"], highlight=False, soft_wrap=True)
        for where in (found["html"], found["full"]):
            if where is not None:
                console.print(where, highlight=False, soft_wrap=True)
    if browser and page is not None and not webbrowser.open(Path(page).as_uri()):
        stderr.print(f"No browser could be opened here; open {page} yourself.", highlight=False, soft_wrap=True)


def leaderboard(
    csv: Annotated[Path | None, typer.Option(help="Write the whole table here too.")] = None, as_json: Json = False
) -> None:
    """Every adapter there has been, the best F0.5 first."""
    from correctly_assets.workflows.find_reports import leaderboard as frame_of

    frame = frame_of(get_settings())
    if csv is not None:
        frame.to_csv(csv, index=False)
    rows = frame.to_dict("records")
    if as_json:
        print_json(rows)
        return
    if not rows:
        console.print("There is no adapter yet: run `correctly up`.")
        return
    table = Table()
    for head in ("Adapter", "Verdict", "Release"):
        table.add_column(head, overflow="fold")
    for head in ("F0.5", "GLEU", "base F0.5", "correct changed", "rows"):
        table.add_column(head, justify="right")
    for row in rows:
        release = f"{row['release'] or ''}{' serves' if row['serves'] else ''}"
        changed = _figure(row["overcorrected"])
        table.add_row(
            row["adapter"],
            row["verdict"] or "not judged",
            release,
            _figure(row["errant_f05"]),
            _figure(row["gleu"]),
            _figure(row["base_f05"]),
            changed if changed == "–" else f"{changed} %",
            str(row["n"] or "–"),
        )
    console.print(table)
    sets = {row["data_sha256"] for row in rows if row["data_sha256"]}
    if len(sets) > 1:
        console.print(f"These were measured on {len(sets)} different sets (--json names them): compare with care.")


def record(
    model: Annotated[
        str | None, typer.Option(help="The model's name; CORRECTLY_COMPARATOR_MODEL or …_TEACHER_MODEL.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="A comparator's evaluation set; the frozen set when left out.")
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(
            help="An OpenAI-compatible address up to /v1; CORRECTLY_COMPARATOR_BASE_URL or …_TEACHER_BASE_URL."
        ),
    ] = None,
    kind: Annotated[str, typer.Option(help="comparator | teacher")] = "comparator",
    as_json: Json = False,
) -> None:
    """Record a comparator's answers to a set, or a teacher's for what waits and a train set, once, to be used for ever."""
    from correctly_assets.llm_api.recordings import recording_path
    from correctly_assets.workflows import make_teacher, record_comparator, record_teacher

    settings = get_settings()
    if kind not in ("comparator", "teacher"):
        raise UsageError(f"--kind is comparator or teacher, not {kind!r}.")
    if kind == "teacher":
        if data is not None:
            raise UsageError("A teacher is recorded on the examples that have landed: leave --data out.")
        recording, folder = (
            record_teacher.record_teacher(settings, model=model, base_url=base_url),
            make_teacher.teacher_recordings_dir(settings.platform),
        )
    else:
        recording = record_comparator.record_comparator(settings, model=model, data=data, base_url=base_url)
        folder = record_comparator.recordings_dir(settings.platform)
    path = recording_path(folder, recording.requested)
    if as_json:
        print_json({**recording.header, "path": str(path)})
        return
    cost = recording.header["cost_usd"]
    spent = f", {cost:.4f} USD" if cost else ""
    console.print(
        f"{recording.model}: {recording.header['entries']} answers recorded{spent}, sha256 {recording.sha256[:12]}.",
        highlight=False,
    )
    console.print(str(path), highlight=False, soft_wrap=True)
    if kind == "teacher":
        if settings.teacher.kind != "recorded" or settings.teacher.model != recording.requested:
            console.print(
                f"Set CORRECTLY_TEACHER=recorded and CORRECTLY_TEACHER_MODEL={recording.requested} to have it write train sets.",
                highlight=False,
                soft_wrap=True,
            )
    elif settings.comparator.model != recording.requested:
        console.print(
            f"Set CORRECTLY_COMPARATOR_MODEL={recording.requested} to have it in every report.", highlight=False
        )


@judge_app.command("calibrate")
def calibrate(
    data: Annotated[Path, typer.Option(help='JSONL of {"source", "first", "second", "label": "first|tie|second"}.')],
    as_json: Json = False,
) -> None:
    """Measure the judge against people's labels; reports then print the agreement beside its verdicts."""
    from correctly_assets.workflows.record_comparator import calibrate_judge

    figures = calibrate_judge(get_settings(), data)
    if as_json:
        print_json(figures)
        return
    unread = f"; {figures['unanswered']} pairs got no verdict that could be read" if figures["unanswered"] else ""
    console.print(
        f"{figures['judge']} agrees with people in {figures['agreement']:.0f} % of {figures['n']} pairs "
        f"(kappa {figures['kappa']:.2f}); in {figures['flips']:.0f} % its verdict turned with the order{unread}.",
        highlight=False,
        soft_wrap=True,
    )


@judge_app.callback()
def _judge() -> None:
    """A callback keeps `calibrate` a command of its own: typer folds an app of one command into its parent."""


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
