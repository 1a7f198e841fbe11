"""What every command shares: the consoles, the --json option, printing a value.

Belongs here: printing and option types. Does not belong here: commands.
"""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

console = Console()
stderr = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="One JSON value on standard output.")]


def print_json(value: Any) -> None:
    """One JSON value and a line feed on standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
