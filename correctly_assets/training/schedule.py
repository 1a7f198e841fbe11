"""Learning rate and time budget: how far the schedule has come, and how many steps still fit.

Belongs here: pure arithmetic over steps and seconds. Does not belong here: a clock, tensors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

FLOOR = 0.02
"""Share of the peak rate that the schedule ends on; a last step at 0 would be a step for nothing."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Progress from 0 to 1 over the steps of a run.

    When the time budget cuts the plan, the progress so far stays and the rest is stretched over the steps that fit
    (`cut`), so that the decay always reaches its end and never jumps.

    Attributes:
        kind: ``linear``, ``cosine`` or ``constant``.
        total: steps of the run.
        warmup: steps of linear warm-up.
        anchor_step, anchor: from this step on, progress runs from ``anchor`` to 1.
    """

    kind: str
    total: int
    warmup: int
    anchor_step: int = 0
    anchor: float = 0.0

    def progress(self, step: int) -> float:
        """Progress before step number ``step`` (from 0)."""
        left = max(1, self.total - self.anchor_step)
        return min(1.0, self.anchor + (1.0 - self.anchor) * (step - self.anchor_step) / left)

    def factor(self, step: int) -> float:
        """What the peak rate is multiplied by at step number ``step``."""
        warm = min(1.0, (step + 1) / max(1, min(self.warmup, self.total // 2)))
        done = self.progress(step)
        decay = {"constant": 1.0, "linear": 1.0 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}[self.kind]
        return warm * (FLOOR + (1 - FLOOR) * decay)

    def cut(self, step: int, total: int) -> Schedule:
        """The schedule when, before step ``step``, the run is shortened to ``total`` steps."""
        return Schedule(self.kind, total, self.warmup, step, self.progress(step))


def steps_that_fit(seconds_left: float, tokens_left: list[int], seconds_per_token: float) -> int:
    """How many of the remaining steps, evenly thinned, fit into ``seconds_left``; at least one."""
    needed = sum(tokens_left) * seconds_per_token
    if needed <= seconds_left:
        return len(tokens_left)
    return max(1, math.floor(len(tokens_left) * max(0.0, seconds_left) / needed))
