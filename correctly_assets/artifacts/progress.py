"""How far long work is: a small file written by whoever works and read by whoever shows a bar.

Belongs here: the file's shape. Does not belong here: the bar (up.py) or the work.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from correctly_assets.artifacts.files import write_text_atomically


@dataclass(frozen=True, slots=True)
class Progress:
    """``done`` of ``total`` steps of ``stage``; ``seconds_left`` None while unknown."""

    stage: str
    done: int
    total: int
    seconds_left: float | None
    note: str = ""


def read_progress(path: Path, *, younger_than: float = 60.0) -> Progress | None:
    """The progress on file, or None when there is none or it is stale."""
    try:
        if time.time() - path.stat().st_mtime > younger_than:
            return None
        data = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    done, total = int(data.get("done", data.get("step", 0))), int(data.get("total", data.get("steps", 0)))
    loss = data.get("loss")
    note = data.get("note") or (f"loss {loss:.2f}" if isinstance(loss, float) else "")
    return Progress(str(data.get("stage", "training")), done, total, data.get("seconds_left"), note)


def progress_writer(path: Path, stage: str) -> Callable[[int, int], None]:
    """A callback ``(done, total)`` that writes the progress file at most twice a second."""
    started = time.monotonic()
    last = 0.0

    def write(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < 0.5 and done < total:
            return
        last = now
        left = (now - started) / done * (total - done) if done else None
        write_text_atomically(path, json.dumps({"stage": stage, "done": done, "total": total, "seconds_left": left}))

    return write
