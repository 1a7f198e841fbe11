"""`make bench-loop`: time and peak memory of every stage of `up --once` from a fresh HOME, and of a second start.

Belongs here: running the command as a person would and watching it from outside. Does not belong here: any part of it.
Writes benchmarks/results/loop.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.common import figure, write_results
from correctly_assets.settings import EMBEDDED_BASE_MODEL, PROJECT_ROOT, Settings
from correctly_assets.training.run_history import WITHIN

STAGES = ("examples", "train_set", "lora_adapter", "eval_report", "served_model")


class Watch(threading.Thread):
    """Samples the memory of a process tree: proportional set sizes, so that shared pages count once.

    Every three seconds: the kernel walks gigabytes of page tables for it, which at twice a second took a quarter of a
    core from what is measured.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.root, self.peak, self.peaks, self.stage, self.running = psutil.Process(pid), 0, {}, "start", True

    def run(self) -> None:
        while self.running:
            total = 0
            try:
                for process in [self.root, *self.root.children(recursive=True)]:
                    try:
                        total += process.memory_full_info().pss
                    except psutil.Error:
                        continue
            except psutil.Error:
                return
            self.peak = max(self.peak, total)
            self.peaks[self.stage] = max(self.peaks.get(self.stage, 0), total)
            time.sleep(3)


def run(env: dict[str, str], *words: str) -> tuple[float, dict[str, float], Watch, str, int]:
    """Run `correctly WORDS`; returns (seconds, {what was printed: when}, memory watch, output, exit code)."""
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "correctly_assets.cli", *words],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    watch = Watch(process.pid)
    watch.start()
    when: dict[str, float] = {}
    lines: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        seconds = time.monotonic() - started
        sys.stdout.write(f"{seconds:7.1f}  {line}")
        for stage in STAGES:
            if f"✓ {stage}" in line:
                when[stage] = seconds
                watch.stage = STAGES[min(STAGES.index(stage) + 1, 4)]
        if "● Dagster daemon" in line:
            when["parts ready"] = seconds
            watch.stage = "examples"
        if "● Gateway" in line:
            when["gateway"] = seconds
    code = process.wait()
    watch.running = False
    return time.monotonic() - started, when, watch, "".join(lines), code


def second_start(env: dict[str, str], settings: Settings) -> float:
    """Seconds from `correctly up` on a HOME with a champion until the gateway answers a correction."""
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "correctly_assets.cli", "up"],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while True:
            try:
                answer = httpx.post(
                    f"{settings.platform.gateway_url}/v1/corrections", json={"text": "He go home."}, timeout=30
                )
                if answer.status_code == 200:
                    return time.monotonic() - started
            except httpx.HTTPError:
                pass
            if process.poll() is not None:
                raise SystemExit(f"the second start ended with {process.returncode}")
            time.sleep(0.25)
    finally:
        process.terminate()
        process.wait(120)


def kept_promise(plan: Mapping[str, Any]) -> dict[str, Any]:
    """How far a run ended from what it was promised to take (the manifest's ``figures.plan``), either way."""
    figures: dict[str, Any] = {}
    for key, unit in (("minutes", "min"), ("gigabytes", "GB"), ("tokens", "tokens")):
        figures[f"plan_{key}_promised"] = figure(plan["promised"][key], unit)
        figures[f"plan_{key}_took"] = figure(plan["took"][key], unit)
        figures[f"plan_{key}_off_percent"] = figure(abs(plan[f"{key}_off_percent"]), "%", floor=WITHIN)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--keep", type=Path, help="where the home goes when all is measured, for more to be asked of it"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-loop-") as folder:
        home = Path(folder) / "home"
        (home / "models").mkdir(parents=True)
        ready = PROJECT_ROOT / ".correctly" / "models" / EMBEDDED_BASE_MODEL
        (home / "models" / EMBEDDED_BASE_MODEL).symlink_to(ready)
        env = {
            name: value for name, value in os.environ.items() if not name.startswith("CORRECTLY_") or "_PORT" in name
        }
        env["CORRECTLY_HOME"] = str(home)
        settings = Settings().changed(platform={"home": home})
        seconds, when, watch, said, code = run(env, "up", "--once")
        if code:
            raise SystemExit(f"`up --once` ended with {code}:\n{said[-2000:]}")
        again, _, _, said_again, code_again = run(env, "up", "--once")
        if code_again or "nothing new since" not in said_again:
            raise SystemExit(f"the second `up --once` ended with {code_again}:\n{said_again[-2000:]}")
        gateway = second_start(env, settings)
        adapter = next((home / "adapters").glob("*/report.json")).parent
        report = json.loads((adapter / "report.json").read_text())
        plan = json.loads((adapter / "manifest.json").read_text())["figures"]["plan"]
        if options.keep:
            shutil.move(home, options.keep)
    scores, versus = report["systems"], report["measured"]["versus_base"]
    untouched = report["differences"]["untouched"]
    figures = {
        "up_once_minutes": figure(seconds / 60, "min", floor=15, goal=8),
        "peak_memory_gb": figure(watch.peak / 1e9, "GB", floor=14, goal=10),
        "gateway_second_start_seconds": figure(gateway, "s", floor=150, goal=90),
        "second_up_once_seconds": figure(again, "s"),
        "candidate_gleu": figure(scores["candidate"]["gleu"], "points", better="higher"),
        "candidate_f05": figure(scores["candidate"]["errant_f05"], "points", better="higher"),
        "gleu_over_base_low": figure(versus["gleu"]["low"], "points", floor=0, better="higher"),
        "f05_over_base_low": figure(versus["errant_f05"]["low"], "points", floor=0, better="higher"),
        "gleu_over_untouched_low": figure(untouched["gleu"]["low"], "points", floor=0, better="higher"),
        "f05_over_untouched_low": figure(untouched["errant_f05"]["low"], "points", floor=0, better="higher"),
        "overcorrected_percent": figure(scores["candidate"]["overcorrected"], "%", floor=15, goal=8),
        **kept_promise(plan),
    }
    previous = when.get("parts ready", 0.0)
    figures["start_seconds"] = figure(previous, "s")
    for stage in STAGES:
        figures[f"{stage}_seconds"] = figure(when[stage] - previous, "s")
        figures[f"{stage}_peak_gb"] = figure(watch.peaks.get(stage, 0) / 1e9, "GB")
        previous = when[stage]
    write_results("loop", figures, rounds=1)


if __name__ == "__main__":
    main()
