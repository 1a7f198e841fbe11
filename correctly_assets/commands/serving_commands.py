"""Commands over what is served: `rollback`, `releases`, `promote`, `gc`, `dashboard`.

Belongs here: arguments and printing. Does not belong here: work; each command calls a room or workflows/, imported by the
command that needs it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import webbrowser
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from correctly_assets.commands.console import Json, console, print_json
from correctly_assets.settings import get_settings


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    for command in (
        rollback,
        releases,
        promote,
        gc,
        dashboard,
    ):
        app.command()(command)


def dashboard(
    no_open: Annotated[bool, typer.Option("--no-open", help="Print the address and open nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Open the dashboard in a browser; where there is no display, its address is printed."""
    settings = get_settings()
    address = f"{settings.platform.gateway_url}/dashboard"
    if as_json:
        print_json({"url": address})
        return
    console.print(address, highlight=False, soft_wrap=True)
    if settings.platform.keys_path.exists():
        console.print("The browser asks for a key: any name will do, and the key is the password.", highlight=False)
    if not no_open and (sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        webbrowser.open(address)


def rollback(why: Annotated[str, typer.Option(help="Why, for the record.")] = "asked for on the command line") -> None:
    """Return to the previous release."""
    from correctly_assets.workflows import make_corrector, promote, wiring

    settings = get_settings()
    with wiring.open_platform_store(settings.platform) as store:
        done = asyncio.run(promote.roll_back(settings, store, make_corrector.DirectEngine.of(settings), why))
    serves = "serves" if done.from_base is not None and done.gateway_serves is not False else "will serve"
    console.print(f"{done.release} {serves} adapter {done.adapter}. {done.why}", highlight=False, markup=False)


def releases(as_json: Json = False) -> None:
    """Every release: what made it, and why."""
    from correctly_assets.workflows import find_reports, wiring

    with wiring.read_platform_store(get_settings().platform) as store:
        rows = store.releases(limit=find_reports.ALL_ROWS)
    if as_json:
        print_json([{"release": r.id, "adapter": r.adapter, "kind": r.kind, "why": r.why, "at": r.at} for r in rows])
        return
    table = Table()
    for head in ("Release", "Adapter", "Kind", "At", "Why"):
        table.add_column(head)
    for row in rows:
        table.add_row(row.id, row.adapter, row.kind, row.at[:19], escape(row.why))
    console.print(table)


def promote(adapter: str, despite: Annotated[str, typer.Option(help="Why, although the gate refuses.")]) -> None:
    """Promote an adapter although the gate refuses; recorded as an override."""
    from correctly_assets.workflows import make_corrector, wiring
    from correctly_assets.workflows.promote import promote_candidate

    settings = get_settings()
    with wiring.open_platform_store(settings.platform) as store:
        done = asyncio.run(
            promote_candidate(
                settings,
                store,
                make_corrector.DirectEngine.of(settings),
                adapter=adapter,
                run_id=None,
                log=lambda _: None,
                despite=despite,
            )
        )
    console.print(f"{done.release} serves adapter {done.adapter}. {done.why}", highlight=False, markup=False)


def gc(
    keep: Annotated[int, typer.Option(min=1, help="How many of the newest adapters stay.")] = 10,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Remove old adapters, snapshots, checkpoints and MLflow's copies; never what serves, or what the engine knows."""
    from correctly_assets.platform.supervisor import running_supervisor
    from correctly_assets.workflows import collect_garbage, make_corrector, wiring

    settings = get_settings()
    runs = running_supervisor(settings.platform.home) is not None
    engine = make_corrector.DirectEngine.of(settings)
    loaded = asyncio.run(collect_garbage.loaded_adapters(engine, platform_runs=runs))
    with wiring.open_platform_store(settings.platform) as store:
        removed = collect_garbage.collect_garbage(settings.platform, store, keep=keep, loaded=loaded, dry_run=dry_run)
    if as_json:
        print_json([{"kind": r.kind, "name": r.name, "path": str(r.path), "bytes": r.size} for r in removed])
        return
    for item in removed:
        console.print(f"{item.kind} {item.name}  {item.size / 1e6:.1f} MB", highlight=False)
    what = "would be freed" if dry_run else "freed"
    console.print(f"{sum(item.size for item in removed) / 1e6:.1f} MB {what}.", highlight=False)
