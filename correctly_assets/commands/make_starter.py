"""`python -m correctly_assets.commands.make_starter [ADAPTER | answers]`: makes the adapter that ships (`make starter-adapter`), or what it and the
base model answer to the frozen set (`make starter-answers`).

Belongs here: the arguments. Does not belong here: the work (workflows/train_starter.py).
"""

from __future__ import annotations

import sys

from rich.console import Console

from correctly_assets.platform.engine_session import running_engine
from correctly_assets.platform.up import prepare
from correctly_assets.settings import get_settings
from correctly_assets.workflows.train_starter import make_starter, ship, ship_answers


def main() -> None:
    """Train and ship; with an adapter's ID, ship that one; with ``answers``, make the shipped answers anew and nothing else."""
    settings, console = get_settings(), Console()
    prepare(settings, console)
    wanted = sys.argv[1] if len(sys.argv) > 1 else None
    if wanted == "answers":
        path = settings.platform.starter_adapter_dir
    elif wanted is not None:
        path = ship(settings, settings.platform.adapters_dir / wanted, console, running_engine)
    else:
        path = make_starter(settings, console, running_engine)
    for shipped in (path, *ship_answers(settings, console, running_engine)):
        console.print(f"{shipped} ships.")


if __name__ == "__main__":
    main()
