"""Where the time of a report goes.

Belongs here: adding up seconds by what was done. Does not belong here: the latencies of systems (systems.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

GENERATION = "generation"
"""Time in which systems answered; a judge's, `JUDGE`, is a model's too. Everything else is the report's own."""
JUDGE = "judge"


class Stopwatch:
    """Seconds by name; what is measured inside something else is counted once, under its own name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inside: list[float] = []

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        """Count the block's seconds under ``name``."""
        started = time.perf_counter()
        self._inside.append(0.0)
        try:
            yield
        finally:
            took = time.perf_counter() - started
            self.seconds[name] = self.seconds.get(name, 0.0) + took - self._inside.pop()
            if self._inside:
                self._inside[-1] += took

    def figures(self) -> dict[str, float]:
        """Seconds by name, and ``beyond_generation``: their sum without what models took."""
        beyond = sum(value for name, value in self.seconds.items() if name not in (GENERATION, JUDGE))
        return {name: round(value, 3) for name, value in {**self.seconds, "beyond_generation": beyond}.items()}


def seconds_say(seconds: Mapping[str, float]) -> str:
    """The figures in one sentence."""
    own = ", ".join(
        f"{name} {value:.1f} s"
        for name, value in seconds.items()
        if name not in (GENERATION, JUDGE, "beyond_generation")
    )
    models = " and ".join(f"{name} {seconds[name]:.1f} s" for name in (GENERATION, JUDGE) if name in seconds)
    return f"{seconds['beyond_generation']:.1f} s beyond what models took ({own}); {models}."
