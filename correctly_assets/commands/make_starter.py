"""`python -m correctly_assets.commands.make_starter [ADAPTER]`: makes the adapter that ships (`make starter-adapter`).

Belongs here: the arguments. Does not belong here: the work (workflows/make_starter.py).
"""

from __future__ import annotations

import sys

from rich.console import Console

from correctly_assets.platform.engine_session import running_engine
from correctly_assets.platform.up import prepare
from correctly_assets.settings import get_settings
from correctly_assets.workflows.make_starter import make_starter, ship


def main() -> None:
    """Train and ship; with an adapter's ID, ship that one."""
    settings, console = get_settings(), Console()
    prepare(settings, console)
    if len(sys.argv) > 1:
        path = ship(settings, settings.platform.adapters_dir / sys.argv[1], console, running_engine)
    else:
        path = make_starter(settings, console, running_engine)
    console.print(f"{path} ships.")


if __name__ == "__main__":
    main()
