"""The platform in the background: `up --detach`, `down`, `logs`.

Belongs here: starting and stopping a supervisor that is not ours, and reading logs. Does not belong here: supervising.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator

import psutil
from rich.console import Console

from correctly_assets.core.errors import UnreachableError, UsageError
from correctly_assets.platform.log_files import open_log
from correctly_assets.platform.supervisor import clear_leftovers, remove_record, running_supervisor
from correctly_assets.settings import PlatformSettings


def detach(platform: PlatformSettings, console: Console) -> None:
    """Start `correctly up` in a session of its own and return once it supervises.

    Raises:
        UnreachableError: it ended at once; the message is its last line.
    """
    other = running_supervisor(platform.home)
    if other is not None:
        console.print(f"The platform already runs (process {other.pid}): {platform.gateway_url}.")
        return
    platform.logs_dir.mkdir(parents=True, exist_ok=True)
    path = platform.logs_dir / "up.log"
    with open_log(path) as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "correctly_assets.cli", "up"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if child.poll() is not None:
            lines = path.read_text(errors="replace").strip().splitlines()
            raise UnreachableError(f"The platform did not start: {lines[-1] if lines else child.returncode}")
        if running_supervisor(platform.home) is not None:
            console.print(
                f"The platform starts in the background (process {child.pid}); follow it with `correctly logs up -f`."
            )
            return
        time.sleep(0.2)
    raise UnreachableError("The platform did not start within five minutes: see `correctly logs up`.")


def stop(platform: PlatformSettings) -> str:
    """Stop the platform and whatever it left. Returns what was done, in words."""
    supervisor = running_supervisor(platform.home)
    if supervisor is None:
        left = clear_leftovers(platform.home)
        remove_record(platform.home)
        return (
            f"The platform did not run; {left} processes it had left were stopped."
            if left
            else "The platform does not run."
        )
    supervisor.terminate()
    try:
        supervisor.wait(timeout=90)
    except psutil.TimeoutExpired:
        supervisor.kill()
    clear_leftovers(platform.home)
    remove_record(platform.home)
    return "The platform is stopped."


def tail(platform: PlatformSettings, name: str, lines: int, *, follow: bool) -> Iterator[str]:
    """The last lines of a part's log, then (with ``follow``) what is added.

    Raises:
        UsageError: there is no such log; the message names those there are.
    """
    path = platform.logs_dir / f"{name}.log"
    if not path.is_file():
        known = sorted(p.stem for p in platform.logs_dir.glob("*.log")) if platform.logs_dir.is_dir() else []
        hint = f"there are: {', '.join(known)}" if known else "nothing has run yet: start with `correctly up`"
        raise UsageError(f"There is no log named {name}; {hint}.")
    with path.open(encoding="utf-8", errors="replace") as file:
        yield from deque(file, lines)
        while follow:
            line = file.readline()
            if line:
                yield line
                continue
            time.sleep(0.3)
            if path.stat().st_size < file.tell():  # it was rotated: what is added stands at its beginning
                file.seek(0)
