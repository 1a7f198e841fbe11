"""`correctly …`: the command line.

Belongs here: arguments, printing, exit codes. Does not belong here: work; each command calls one function of a room or of
runtime/. Heavy modules are imported by the command that needs them, so that `correctly --help` answers at once.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console

from correctly_assets.core.errors import CorrectlyError, UnreachableError, UsageError
from correctly_assets.settings import get_settings

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Correctly: a self-improving English corrector.",
)
console = Console()
stderr = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="One JSON value on standard output.")]


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


@app.command()
def prepare() -> None:
    """Make sure of the folders, the embedded base model and the store's tables."""
    from correctly_assets.runtime.up import prepare as prepare_home

    prepare_home(get_settings(), console)


@app.command()
def up(
    once: Annotated[bool, typer.Option("--once", help="Stop when the loop has closed.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Run in the background.")] = False,
) -> None:
    """Start the platform, close the loop, show the result. Ctrl-C stops every part."""
    from correctly_assets.runtime import background
    from correctly_assets.runtime.up import up as run_up

    if once and detach:
        raise UsageError("--once and --detach do not go together: choose one.")
    if detach:
        background.detach(get_settings(), console)
        return
    raise typer.Exit(run_up(get_settings(), console, once=once))


@app.command()
def down() -> None:
    """Stop the platform."""
    from correctly_assets.runtime import background

    console.print(background.stop(get_settings()))


@app.command()
def logs(
    name: Annotated[str, typer.Argument(help="vllm, gateway, mlflow, webserver, daemon, inbox, up …")],
    lines: Annotated[int, typer.Option("--lines", "-n", min=1)] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing until Ctrl-C.")] = False,
) -> None:
    """Print a part's log."""
    from correctly_assets.runtime import background

    for line in background.tail(get_settings(), name, lines, follow=follow):
        sys.stdout.write(line)


@app.command()
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
        _print_json(total)
    if total["refused"]:
        raise typer.Exit(3)


@app.command()
def correct(
    text: Annotated[list[str] | None, typer.Argument(help="The text; standard input when left out.")] = None,
    as_json: Json = False,
    lines: Annotated[
        bool, typer.Option("--lines", help="Read lines from standard input, write one JSON object a line.")
    ] = False,
    reasons: Annotated[bool, typer.Option(help="Say why.")] = True,
    language: Annotated[str | None, typer.Option(help="Language of the reasons: en or ko.")] = None,
) -> None:
    """Correct English: Before / After / Why."""
    from correctly_assets.runtime.client import correct_texts
    from correctly_assets.runtime.up import print_corrections

    settings = get_settings()
    tongue = language or settings.reason_language
    if tongue not in ("en", "ko"):
        raise UsageError("Reasons are written in en or ko.")
    if lines:
        batch: list[str] = []
        for line in sys.stdin:
            batch.append(line.rstrip("\n"))
            if len(batch) == 32:
                for item in correct_texts(settings, batch, reasons=reasons, language=tongue):
                    _print_json(item)
                batch = []
        if batch:
            for item in correct_texts(settings, batch, reasons=reasons, language=tongue):
                _print_json(item)
        return
    whole = " ".join(text) if text else sys.stdin.read().rstrip("\n")
    if not whole.strip():
        raise UsageError("There is nothing to correct: give a text, or send one on standard input.")
    answers = correct_texts(settings, [whole], reasons=reasons, language=tongue)
    if as_json:
        _print_json(answers[0])
    else:
        print_corrections(answers, console)


@app.command()
def evaluate(
    system: Annotated[str, typer.Option(help="identity|base|served|harper|adapter:ID|file:PATH")] = "served",
    data: Annotated[
        Path | None, typer.Option(help="JSONL with source and references; the frozen set when left out.")
    ] = None,
    predictions: Annotated[Path | None, typer.Option(help="Write one prediction a line here.")] = None,
    reasons: Annotated[bool, typer.Option("--reasons", help="Ask for explanations too, and count them.")] = False,
    limit: Annotated[int | None, typer.Option(min=1)] = None,
    as_json: Json = False,
) -> None:
    """Score a system on a set: the same path as /v1/corrections, guards included."""
    from correctly_assets.runtime.judging import evaluate_system

    scores = evaluate_system(
        get_settings(), system=system, data=data, predictions=predictions, reasons=reasons, limit=limit, console=stderr
    )
    if as_json:
        _print_json(scores)
        return
    for name, value in scores.items():
        console.print(f"{name:<22} {value:.2f}" if isinstance(value, float) else f"{name:<22} {value}", highlight=False)


@app.command()
def status(as_json: Json = False) -> None:
    """What has landed, who is champion, and why the last run did or did not happen."""
    from correctly_assets.runtime.status import print_status, read_status

    value = read_status(get_settings())
    if as_json:
        _print_json(value)
    else:
        print_status(value, console)


@app.command()
def rollback(why: Annotated[str, typer.Option(help="Why, for the record.")] = "asked for on the command line") -> None:
    """Return to the previous release."""
    import asyncio

    from correctly_assets.runtime.join import DirectEngine, open_platform_store
    from correctly_assets.runtime.promotion import roll_back

    settings = get_settings()
    with open_platform_store(settings) as store:
        done = asyncio.run(roll_back(settings, store, DirectEngine(settings.vllm_url), why))
    console.print(f"{done.release} serves adapter {done.adapter}. {done.why}", highlight=False)


@app.command()
def releases(as_json: Json = False) -> None:
    """Every release: what made it, and why."""
    from rich.table import Table

    from correctly_assets.runtime.join import open_platform_store

    with open_platform_store(get_settings()) as store:
        rows = store.releases()
    if as_json:
        _print_json([{"release": r.id, "adapter": r.adapter, "kind": r.kind, "why": r.why, "at": r.at} for r in rows])
        return
    table = Table()
    for head in ("Release", "Adapter", "Kind", "At", "Why"):
        table.add_column(head)
    for row in rows:
        table.add_row(row.id, row.adapter, row.kind, row.at[:19], row.why)
    console.print(table)


@app.command()
def promote(adapter: str, despite: Annotated[str, typer.Option(help="Why, although the gate refuses.")]) -> None:
    """Promote an adapter although the gate refuses; recorded as an override."""
    import asyncio

    from correctly_assets.runtime.join import DirectEngine, open_platform_store
    from correctly_assets.runtime.promotion import promote_candidate

    settings = get_settings()
    with open_platform_store(settings) as store:
        done = asyncio.run(
            promote_candidate(
                settings,
                store,
                DirectEngine(settings.vllm_url),
                adapter=adapter,
                run_id=None,
                log=lambda _: None,
                despite=despite,
            )
        )
    console.print(f"{done.release} serves adapter {done.adapter}. {done.why}", highlight=False)


def _fail(error: CorrectlyError, as_json: bool) -> NoReturn:
    if as_json:
        _print_json(error.to_json())
    else:
        stderr.print(f"[red]✗[/] {error}", highlight=False, soft_wrap=True)
    sys.exit(error.exit_code)


def main() -> None:
    """The console script: every expected failure is one sentence and its exit code, never a traceback."""
    as_json = "--json" in sys.argv
    try:
        app()
    except CorrectlyError as error:
        _fail(error, as_json)
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        _fail(UsageError(f"The setting CORRECTLY_{name} is off: {first['msg']}."), as_json)
    except BrokenPipeError:
        # `correctly logs vllm | head`: the reader has what it wanted.
        sys.stderr.close()
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        _fail(UnreachableError(f"{error.strerror or error}: {error.filename or 'the platform'}."), as_json)


if __name__ == "__main__":
    main()
