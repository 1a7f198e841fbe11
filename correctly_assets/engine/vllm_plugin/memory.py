"""Giving back what the engine's process has freed.

Belongs here: asking the C library for it. Does not belong here: how much the engine may take (launch.py).

glibc keeps freed blocks below 32 MB in its heap and gives back only what lies above the last block in use. Answers of many
lengths leave holes beneath: of the 1.5 GB by which vLLM's worker grew under half an hour of mixed load a third were such. The
rest is in use: oneDNN keeps what it has made for each number of tokens in a batch (benchmarks/serve_notes.md).
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable

EVERY_SECONDS = 30.0
"""Pages given back are zeroed and mapped anew when they are needed: by reckoning at most one per cent of the engine's time, for the
few hundred megabytes that a batch of long prompts needs at 1 to 2 GB a second."""


def find_trim() -> Callable[[int], int] | None:
    """glibc's ``malloc_trim``; None where the C library is another."""
    try:
        return ctypes.CDLL("libc.so.6").malloc_trim
    except (OSError, AttributeError):
        return None


def start_trimming(every_seconds: float = EVERY_SECONDS) -> threading.Thread | None:
    """Give freed memory back from now on, in this process and in those it forks, beside whatever they do.

    Returns:
        The thread that does it; None where the C library has no way to.
    """
    trim = find_trim()
    if trim is None:
        return None
    # A thread does not outlive a fork.
    os.register_at_fork(after_in_child=lambda: _start(trim, every_seconds))
    return _start(trim, every_seconds)


def _start(trim: Callable[[int], int], every_seconds: float) -> threading.Thread:
    thread = threading.Thread(target=_run, args=(trim, every_seconds), name="trim-memory", daemon=True)
    thread.start()
    return thread


def _run(trim: Callable[[int], int], every_seconds: float) -> None:
    waited = threading.Event()
    # Whether or not the process has grown: what was in use at the last look may be free by now, at the same size.
    while not waited.wait(every_seconds):
        trim(0)
