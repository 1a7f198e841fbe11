"""The shape every benchmark's result is written in (CONTRACTS: Benchmarks).

Belongs here: a figure, a percentile, the machine, the file. Does not belong here: measuring.
"""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import psutil

from correctly_assets.training import run_history as promise

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def figure(
    value: float,
    unit: str,
    *,
    floor: float | None = None,
    goal: float | None = None,
    better: Literal["higher", "lower"] = "lower",
) -> dict[str, Any]:
    """One figure with what is asked of it."""
    return {"value": round(float(value), 4), "unit": unit, "floor": floor, "goal": goal, "better": better}


def quantile(values: Sequence[float], percent: int) -> float:
    """A percentile; the value itself where there is one only."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]


def machine() -> str:
    """The processor's model, cores and memory, in words."""
    return f"{promise.machine()}, {psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.system()}"


def commit() -> str:
    """The commit that was measured; marked when the work tree differs from it."""
    done = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        return "unknown"
    dirty = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=no"], cwd=ROOT, capture_output=True, text=True
    )
    return done.stdout.strip() + ("+changes" if dirty.stdout.strip() else "")


def write_results(name: str, figures: dict[str, dict[str, Any]], *, rounds: int, **more: Any) -> Path:
    """Write ``results/NAME.json`` and print a line a figure."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    value = {"commit": commit(), "machine": machine(), "rounds": rounds, "figures": figures, **more}
    path.write_text(json.dumps(value, indent=1) + "\n")
    for key, item in figures.items():
        print(f"figure {key} {item['value']:g} {item['unit']}")
    return path
