"""Whether the process that wrote something down still runs.

Belongs here: telling that very process from a later one with its number. Does not belong here: what is written down, or
starting and ending processes (platform/supervisor.py).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NotRequired, TypedDict

import psutil

_BOOT = Path("/proc/sys/kernel/random/boot_id")


class ProcessIdentity(TypedDict):
    """A process and its start, in seconds since 1970; on Linux in clock ticks since the machine's boot too."""

    pid: int
    started: float
    ticks: NotRequired[int]
    boot: NotRequired[str | None]


def this_process() -> ProcessIdentity:
    """What tells this process from a later one of the same number, for `find_running`."""
    return identity_of(os.getpid())


def identity_of(pid: int) -> ProcessIdentity:
    """What tells a running process from a later one of its number.

    On Linux the machine's boot and the clock ticks from it to the process's start, which no change of the clock moves.

    Raises:
        psutil.NoSuchProcess: there is none.
    """
    started = psutil.Process(pid).create_time()
    ticks = _start_ticks(pid)
    if ticks is None:
        return {"pid": pid, "started": started}
    return {"pid": pid, "started": started, "ticks": ticks, "boot": _boot()}


def find_running(written: ProcessIdentity) -> psutil.Process | None:
    """The process that `this_process` described, if it runs; one that is dead and not yet waited for does not.

    Raises:
        KeyError: it is no such description.
    """
    pid, started = written["pid"], written["started"]
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        if "ticks" in written and "boot" in written:
            same = (written["ticks"], written["boot"]) == (_start_ticks(pid), _boot())
        else:
            # Written by an earlier release, or where the system tells no ticks.
            same = abs(process.create_time() - started) < 1
    except psutil.Error:
        return None
    return process if same else None


def _start_ticks(pid: int) -> int | None:
    """The 22nd field of /proc/PID/stat; None where there is no such file."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The program's name, the second field, may hold anything but ends with the last bracket.
    return int(stat.rpartition(")")[2].split()[19])


def _boot() -> str | None:
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return None
