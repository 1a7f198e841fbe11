"""How far a training run is, and how much memory its process took.

Belongs here: the line in the log every few seconds and the file behind the progress bar. Does not belong here: what is
trained (trainer.py), or the process's signals and exit codes (run.py).
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from typing import Any, NotRequired, TypedDict

from correctly_assets.training.config import TrainConfig

_SAY_SECONDS = 5.0


def peak_rss_mb() -> float:
    """Peak resident memory of this process, MiB (Linux reports KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class RunProgress(TypedDict):
    """The progress file, which `artifacts.progress` reads."""

    stage: str
    step: int
    steps: int
    seconds_left: float | None
    loss: float | None
    rss_mb: NotRequired[int]


class Reporter:
    """Says how far the run is: a line every few seconds, and the progress file for the supervisor's bar."""

    def __init__(self, config: TrainConfig, context: Any) -> None:
        self._path = config.progress_path
        self._context = context
        self._reported_at = 0.0

    def say(self, text: str) -> None:
        """Write one line to Dagster's log, or to standard error where no Dagster run is around it."""
        if self._context is not None:
            self._context.log.info(text)
        else:
            print(text, file=sys.stderr, flush=True)

    def stage(self, name: str) -> None:
        """A part of the run that is no step (loading, measuring, writing)."""
        self._write({"stage": name, "step": 0, "steps": 0, "seconds_left": None, "loss": None})

    def step(self, *, step: int, steps: int, loss: float, seconds_left: float, tokens_per_second: float) -> None:
        """Move the progress bar after an optimiser step, and log a line every few seconds.

        Args:
            loss: mean per learned token of the step's batch, in nats.
        """
        self._write(
            {
                "stage": "train",
                "step": step,
                "steps": steps,
                "seconds_left": round(seconds_left, 1),
                "loss": round(loss, 4),
                "rss_mb": round(peak_rss_mb()),
            }
        )
        now = time.monotonic()
        if now - self._reported_at >= _SAY_SECONDS or step == steps:
            self._reported_at = now
            minutes, seconds = divmod(round(seconds_left), 60)
            self.say(
                f"step {step}/{steps}  loss {loss:.3f}  {tokens_per_second:.0f} tokens/s  {minutes}:{seconds:02d} left"
            )

    def _write(self, value: RunProgress) -> None:
        if self._path is None:
            return
        # Without fsync: a bar may lose its last move in a power cut, and an fsync a step would cost time.
        work = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        work.write_text(json.dumps(value))
        work.replace(self._path)
