"""Whether the process that wrote something down still runs.

Belongs here: telling that very process from a later one with its number. Does not belong here: what is written down, or
starting and ending processes (platform/supervisor.py).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import psutil


def this_process() -> dict[str, Any]:
    """What tells this process from a later one of the same number, for `find_running`."""
    return {"pid": os.getpid(), "started": psutil.Process().create_time()}


def find_running(written: Mapping[str, Any]) -> psutil.Process | None:
    """The process that `this_process` described, if it runs; one that is dead and not yet waited for does not.

    Raises:
        KeyError: it is no such description.
    """
    try:
        process = psutil.Process(written["pid"])
        same = abs(process.create_time() - written["started"]) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return None
    return process if same else None
