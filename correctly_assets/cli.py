"""`correctly …`: the command line.

Belongs here: arguments, printing, exit codes. Does not belong here: work; each command calls one function of a room or of
workflows/. Heavy modules are imported by the command that needs them, so that `correctly --help` answers at once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.markup import escape

from correctly_assets.commands import (
    data_commands,
    evaluate_command,
    example_commands,
    keys,
    points_command,
    report_commands,
    review_commands,
    serving_commands,
    training_commands,
    upkeep,
    words,
)
from correctly_assets.commands.console import Json, console, print_json, stderr
from correctly_assets.core.correction import REASON_LANGUAGES
from correctly_assets.core.errors import CorrectlyError, UnreachableError, UsageError
from correctly_assets.settings import InvalidSettingError, get_settings

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Correctly: a self-improving English corrector.",
)


@app.command()
def prepare(
    gguf: Annotated[Path | None, typer.Option(help="Make a base model from this GGUF file instead.")] = None,
    name: Annotated[str | None, typer.Option(help="What that base model is to be called.")] = None,
    starter: Annotated[
        bool, typer.Option("--starter", help="Land what ships too, where nothing has landed; `up` does it by itself.")
    ] = False,
) -> None:
    """Make sure of the folders, the base model (converted, or downloaded where it is a hub's) and the store's tables; or make a
    base model from a GGUF file."""
    if gguf is not None or name is not None:
        from correctly_assets.workflows.train_adapter import prepare_gguf

        if gguf is None or name is None:
            raise UsageError("--gguf and --name go together: the file, and what the base model is to be called.")
        made = prepare_gguf(get_settings().platform, gguf, name)
        console.print(
            f"{name} stands in {made}; CORRECTLY_BASE_MODEL={name} trains and serves it.",
            highlight=False,
            soft_wrap=True,
        )
        return
    from correctly_assets.platform.up import prepare as prepare_home

    prepare_home(get_settings(), console)
    if starter:
        from correctly_assets.workflows.starter import land_what_ships

        console.print(f"Landed {land_what_ships(get_settings())} examples that ship.", highlight=False)


@app.command()
def up(
    once: Annotated[bool, typer.Option("--once", help="Stop when the loop has closed.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Run in the background.")] = False,
) -> None:
    """Start the platform, close the loop, show the result. Ctrl-C stops every part."""
    from correctly_assets.platform import background
    from correctly_assets.platform import up as platform_up

    if once and detach:
        raise UsageError("--once and --detach do not go together: choose one.")
    if detach:
        background.detach(get_settings().platform, console)
        return
    raise typer.Exit(platform_up.up(get_settings(), console, once=once))


@app.command()
def down() -> None:
    """Stop the platform."""
    from correctly_assets.platform import background

    console.print(background.stop(get_settings().platform))


@app.command()
def logs(
    name: Annotated[str, typer.Argument(help="vllm, gateway, mlflow, code, webserver, daemon, inbox, up …")],
    lines: Annotated[int, typer.Option("--lines", "-n", min=1)] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing until Ctrl-C.")] = False,
) -> None:
    """Print a part's log."""
    from correctly_assets.platform import background

    for line in background.tail(get_settings().platform, name, lines, follow=follow):
        sys.stdout.write(line)


@app.command()
def correct(
    text: Annotated[list[str] | None, typer.Argument(help="The text; standard input when left out.")] = None,
    as_json: Json = False,
    lines: Annotated[
        bool, typer.Option("--lines", help="Read lines from standard input, write one JSON object a line.")
    ] = False,
    reasons: Annotated[bool, typer.Option(help="Say why.")] = True,
    language: Annotated[str | None, typer.Option(help="Language of the reasons: en or ko.")] = None,
    mode: Annotated[str | None, typer.Option(help="careful or fluent; as configured when left out.")] = None,
) -> None:
    """Correct English: Before / After / Why."""
    from correctly_assets.gateway.gateway_client import correct_texts
    from correctly_assets.platform.first_screen import print_corrections

    settings = get_settings()
    reason_language = language or settings.teacher.reason_language
    if reason_language not in REASON_LANGUAGES:
        raise UsageError(f"Reasons are written in {' or '.join(REASON_LANGUAGES)}.")
    if mode not in (None, "careful", "fluent"):
        raise UsageError("An answer is careful or fluent.")
    if lines:
        batch: list[str] = []
        for line in sys.stdin:
            batch.append(line.rstrip("\n"))
            if len(batch) == 32:
                for item in correct_texts(settings, batch, reasons=reasons, language=reason_language, mode=mode):
                    print_json(item)
                batch = []
        if batch:
            for item in correct_texts(settings, batch, reasons=reasons, language=reason_language, mode=mode):
                print_json(item)
        return
    whole = " ".join(text) if text else sys.stdin.read().rstrip("\n")
    if not whole.strip():
        raise UsageError("There is nothing to correct: give a text, or send one on standard input.")
    answers = correct_texts(settings, [whole], reasons=reasons, language=reason_language, mode=mode)
    if as_json:
        print_json(answers[0])
    else:
        print_corrections(answers, console)


@app.command()
def status(as_json: Json = False) -> None:
    """What has landed, who is champion, and why the last run did or did not happen."""
    from correctly_assets.platform.status import print_status, read_status

    value = read_status(get_settings())
    if as_json:
        print_json(value)
    else:
        print_status(value, console)


for room in (
    data_commands,
    example_commands,
    evaluate_command,
    keys,
    points_command,
    report_commands,
    review_commands,
    serving_commands,
    training_commands,
    upkeep,
    words,
):
    room.register(app)


def _fail(error: CorrectlyError, as_json: bool) -> NoReturn:
    if as_json:
        print_json(error.to_json())
    else:
        stderr.print(f"[red]✗[/] {escape(str(error))}", highlight=False, soft_wrap=True)
    sys.exit(error.exit_code)


def main() -> None:
    """The console script: every expected failure is one sentence and its exit code, never a traceback."""
    # What is written holds people's texts and the platform's secrets: it is for its owner alone.
    os.umask(0o077)
    as_json = "--json" in sys.argv
    try:
        app(prog_name="correctly")
    except CorrectlyError as error:
        _fail(error, as_json)
    except InvalidSettingError as error:
        _fail(UsageError(str(error)), as_json)
    except BrokenPipeError:
        # `correctly logs vllm | head`: the reader has what it wanted.
        sys.stderr.close()
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        _fail(UnreachableError(f"{error.strerror or error}: {error.filename or 'the platform'}."), as_json)


if __name__ == "__main__":
    main()
