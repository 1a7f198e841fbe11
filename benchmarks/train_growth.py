"""``python -m benchmarks.bench_train --part growth``: how a step's time and memory grow with batch size and length.

Every cell runs in a process of its own, since a process's peak memory never falls. JSON and a plot; nothing here passes or
fails by a clock.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from statistics import linear_regression, median
from typing import Any

from benchmarks.common import RESULTS, ROOT, figure, write_results
from benchmarks.train_models import batched, make_turns, random_model, time_ours, tiny

BATCHES = (4, 8, 16, 32)
LENGTHS = (24, 48, 96, 192)


def cell(batch: int, tokens: int, steps: int, *, small: bool) -> dict[str, Any]:
    """One batch size at one length on the embedded base model (``small``: on a tiny one), measured in this process."""
    import torch

    from correctly_assets.settings import get_settings
    from correctly_assets.training.models.load_model import load_base
    from correctly_assets.training.reporter import peak_rss_mb
    from correctly_assets.training.run import keep_freed_memory

    keep_freed_memory()
    device = torch.device("cpu")
    model = random_model(tiny(), device) if small else load_base(get_settings().base_model_path, device)
    loaded = peak_rss_mb()
    turns = make_turns(batch * (steps + 1), tokens, tokens, model.config.vocab_size)
    timed = time_ours(model, batched(turns, batch), warm=1)
    return {
        "batch": batch, "tokens": tokens, "engine": timed["engine"], "seconds": median(timed["seconds"]),
        "spread": [min(timed["seconds"]), max(timed["seconds"])], "peak_mb": peak_rss_mb(), "loaded_mb": loaded,
    }  # fmt: skip


def growth(cells: list[dict[str, Any]], key: str) -> float:
    """The power of the tokens in a step with which ``key`` grows (1: in proportion), fitted over all cells."""
    work = [math.log(c["batch"] * c["tokens"]) for c in cells]
    return linear_regression(work, [math.log(c[key]) for c in cells]).slope


def measure(batches: tuple[int, ...], lengths: tuple[int, ...], steps: int, *, small: bool) -> list[dict[str, Any]]:
    """Every cell, smallest first."""
    cells: list[dict[str, Any]] = []
    for tokens in lengths:
        for batch in batches:
            command = [sys.executable, "-m", "benchmarks.train_growth", str(batch), str(tokens), str(steps)]
            done = subprocess.run(
                [*command, "tiny" if small else "real"], cwd=ROOT, capture_output=True, text=True,
                env={**os.environ, "HF_HUB_OFFLINE": "1"},
            )  # fmt: skip
            if done.returncode:
                sys.exit(f"batch {batch}, {tokens} tokens failed:\n{done.stderr[-3000:]}")
            cells.append(json.loads(done.stdout.splitlines()[-1]))
            print(f"batch {batch}, {tokens} tokens: {cells[-1]['seconds']:.2f} s a step", file=sys.stderr, flush=True)
    return cells


def report(cells: list[dict[str, Any]], steps: int) -> None:
    figures: dict[str, dict[str, Any]] = {}
    for c in cells:
        name = f"batch_{c['batch']}_tokens_{c['tokens']}"
        figures[f"seconds_{name}"] = figure(c["seconds"], "s/step")
        figures[f"peak_mb_{name}"] = figure(c["peak_mb"], "MiB")
    figures["time_grows_with_tokens_to_the"] = figure(growth(cells, "seconds"), "power")
    write_results("train_growth", figures, rounds=steps, cells=cells)
    plot(cells, RESULTS / "train_growth.png")


def plot(cells: list[dict[str, Any]], path: Path) -> None:
    """Seconds a step and peak memory over batch size, a line a length."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    shown, axes = pyplot.subplots(1, 2, figsize=(8, 3.2))
    for tokens in sorted({c["tokens"] for c in cells}):
        line = sorted((c for c in cells if c["tokens"] == tokens), key=lambda c: c["batch"])
        sizes = [c["batch"] for c in line]
        axes[0].plot(sizes, [c["seconds"] for c in line], marker="o", label=f"{tokens} tokens")
        axes[1].plot(sizes, [c["peak_mb"] for c in line], marker="o", label=f"{tokens} tokens")
    axes[0].set(xlabel="turns in a batch", ylabel="seconds a step", xscale="log", yscale="log")
    axes[1].set(xlabel="turns in a batch", ylabel="peak memory (MiB)", xscale="log", ylim=(0, None))
    for side in axes:
        side.set_xticks(sorted({c["batch"] for c in cells}), [str(b) for b in sorted({c["batch"] for c in cells})])
        side.minorticks_off()
    axes[0].legend(frameon=False, fontsize=8)
    shown.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    shown.savefig(path, dpi=120)
    pyplot.close(shown)


if __name__ == "__main__":
    print(json.dumps(cell(*map(int, sys.argv[1:4]), small=sys.argv[4] == "tiny")))
