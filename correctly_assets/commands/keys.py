"""Commands over the gateway's keys: `keys new`, `keys list`, `keys revoke`.

Belongs here: arguments and printing. Does not belong here: keys themselves (gateway/access.py).
"""

from __future__ import annotations

import re
from typing import Annotated

import typer
from rich.table import Table

from correctly_assets.commands.console import Json, console, print_json
from correctly_assets.core.correction import REASON_LANGUAGES
from correctly_assets.core.errors import UsageError
from correctly_assets.gateway import access, own_key
from correctly_assets.gateway.access import known_keys, revoke_key
from correctly_assets.settings import get_settings

keys = typer.Typer(no_args_is_help=True, help="The gateway's keys: make one for a client, list them, take one away.")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.add_typer(keys, name="keys")


@keys.command()
def new(
    name: Annotated[str, typer.Argument(help="Whose key it is: a person, a team, a program.")],
    reason_language: Annotated[str | None, typer.Option(help="Language of its reasons: en or ko.")] = None,
    mode: Annotated[str | None, typer.Option(help="careful or fluent; as configured when left out.")] = None,
    may_train: Annotated[
        bool, typer.Option("--may-train", help="Give it the right to upload files and start fine-tuning jobs.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a client's key, which is shown this once. An earlier key of the same name ends."""
    if not _NAME.fullmatch(name) or name in (own_key.NAME, own_key.CHAT_NAME) or name.startswith("net-"):
        raise UsageError(
            f"{name!r} cannot name a client: use up to 64 letters, digits, dots, dashes, and none of {own_key.NAME!r}, {own_key.CHAT_NAME!r} "
            "and 'net-…', which are the platform's own."
        )
    if reason_language not in (None, *REASON_LANGUAGES):
        raise UsageError(f"Reasons are written in {' or '.join(REASON_LANGUAGES)}.")
    if mode not in (None, "careful", "fluent"):
        raise UsageError("An answer is careful or fluent.")
    path = get_settings().platform.keys_path
    first = not path.exists()
    key = access.new_key(path, name, reason_language, mode, may_train=may_train)  # pyright: ignore[reportArgumentType]
    if as_json:
        print_json({"name": name, "key": key})
        return
    console.print(key, highlight=False, soft_wrap=True, markup=False)
    if first:
        console.print("The gateway asks every client for a key from now on.")


@keys.command("list")
def list_keys(as_json: Json = False) -> None:
    """Whose keys there are. The keys themselves are kept as hashes and cannot be shown."""
    found = [
        {"name": name, **entry.model_dump(exclude={"sha256"}, exclude_none=True)}
        for name, entry in known_keys(get_settings().platform.keys_path).items()
    ]
    if as_json:
        print_json(found)
        return
    table = Table()
    for head in ("Name", "Made at", "Reasons", "Mode", "May train"):
        table.add_column(head)
    for entry in found:
        shown = [str(entry.get(field, "")) for field in ("name", "at", "reason_language", "mode")]
        table.add_row(*shown, "yes" if entry.get("may_train") else "")
    console.print(table if found else "There is no key; the gateway asks for none on loopback.")


@keys.command()
def revoke(name: Annotated[str, typer.Argument(help="Whose key ends.")], as_json: Json = False) -> None:
    """Take a client's key away. It is refused from the next request on."""
    revoke_key(get_settings().platform.keys_path, name)
    if as_json:
        print_json({"name": name, "revoked": True})
    else:
        console.print(f"The key of {name} is taken away.", highlight=False, markup=False)
