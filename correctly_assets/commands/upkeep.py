"""Commands that keep the platform over years: `backup`, `restore`, `why`, `doctor`, `drill`.

Belongs here: arguments and printing. Does not belong here: work; each command calls a room, imported by the command that
needs it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from correctly_assets.commands.console import Json, console, print_json
from correctly_assets.settings import get_settings


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    for command in (backup, restore, why, doctor, drill):
        app.command()(command)


def backup(
    to: Annotated[Path | None, typer.Option(help="Folder of the backups; CORRECTLY_BACKUP_DIR when left out.")] = None,
    as_json: Json = False,
) -> None:
    """Back up everything while it runs: databases, adapters, snapshots, keys. Seven daily and four weekly ones are kept."""
    from correctly_assets.workflows.back_up import back_up

    made = back_up(get_settings().platform, to)
    if as_json:
        print_json(made.to_json())
        return
    console.print(f"{made.path}", highlight=False, soft_wrap=True)
    served = f"release {made.manifest.release}, " if made.manifest.release else ""
    console.print(
        f"Backed up {served}{len(made.manifest.files)} files, {made.manifest.size / 1e6:.1f} MB ({made.new_bytes / 1e6:.1f} MB new). "
        f"{made.kept} backups are kept; `correctly restore {made.path}` brings this one back.",
        highlight=False,
        soft_wrap=True,
    )


def restore(
    directory: Annotated[Path, typer.Argument(help="A backup, or the folder of backups: its newest then.")],
    as_json: Json = False,
) -> None:
    """Bring a backup back into an empty HOME; what was forgotten since stays forgotten."""
    from correctly_assets.platform.restore import restore as bring_back

    done = bring_back(get_settings(), directory)
    if as_json:
        print_json(done.to_json())
        return
    served = f" It serves {done.manifest.release} again." if done.manifest.release else ""
    console.print(
        f"{done.path.name} is restored into {done.home}: {len(done.manifest.files)} files.{served} Start it with `correctly up`.",
        highlight=False,
        soft_wrap=True,
    )
    if done.forgotten:
        console.print(f"Left out, for they were forgotten since: {', '.join(done.forgotten)}.", highlight=False)
    if done.migrated:
        console.print(f"The store's tables were brought up to date: {', '.join(done.migrated)}.", highlight=False)
    for sentence in done.left:
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)


def why(as_json: Json = False) -> None:
    """The last decision of every sensor, schedule and gate, in a sentence each."""
    from correctly_assets.platform.why import print_why, read_why

    value = read_why(get_settings())
    if as_json:
        print_json(value)
    else:
        print_why(value, console)


def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Put right what can be put right without a decision.")] = False,
    bundle: Annotated[Path | None, typer.Option(help="Write a zip for whoever helps; it holds nobody's text.")] = None,
    as_json: Json = False,
) -> None:
    """Check the platform and the machine, each with its remedy. Exits with 4 where something is wrong."""
    from correctly_assets.platform.doctor import examine, print_findings
    from correctly_assets.platform.doctor_bundle import write_bundle

    settings = get_settings()
    findings = examine(settings, fix=fix)
    wrong = [finding for finding in findings if finding.status == "problem"]
    if bundle is not None:
        write_bundle(settings, findings, bundle)
    if as_json:
        print_json({"ok": not wrong, "checks": [finding.to_json() for finding in findings]})
    else:
        print_findings(findings, console)
        if bundle is not None:
            console.print(f"The bundle is {bundle}.", highlight=False, soft_wrap=True)
    if wrong:
        raise typer.Exit(4)


def drill(as_json: Json = False) -> None:
    """Break a copy of the champion's adapter on purpose, and time how soon the proof refuses it. Nobody is answered by it."""
    from correctly_assets.workflows import drill, make_corrector, wiring

    settings = get_settings()
    with wiring.read_platform_store(settings.platform) as store:
        done = asyncio.run(drill.run_drill(settings, store, make_corrector.DirectEngine.of(settings)))
    if as_json:
        print_json(done.model_dump(mode="json", by_alias=True))
        return
    console.print(
        f"A broken copy of adapter {done.adapter} was refused after {done.detected_seconds:.1f} s; the champion "
        f"had proved itself again {done.recovered_seconds:.1f} s later.",
        highlight=False,
        soft_wrap=True,
    )
    console.print(done.message, highlight=False, markup=False, soft_wrap=True)
