"""The one platform of a test run: `correctly up` on a HOME of its own, with a tiny training budget.

Belongs here: starting and stopping it, and what tests ask of it. Does not belong here: tests.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from correctly_assets.settings import EMBEDDED_BASE_MODEL, PROJECT_ROOT
from correctly_tests.serving_fakes import free_port

TINY = {
    "CORRECTLY_TRAIN_PAIRS": "900",
    "CORRECTLY_TRAIN_MINUTES": "4",
    "CORRECTLY_EVALUATION_LIMIT": "160",
    "CORRECTLY_RETRAIN_QUIET_SECONDS": "2",
    "CORRECTLY_RETRAIN_COOL_DOWN_SECONDS": "0",
    "CORRECTLY_MAX_OVERCORRECTED": "60",
    # From nothing: what the shipped adapter changes has a test of its own.
    "CORRECTLY_STARTER": "none",
}
"""A budget that fits the CI: fewer pairs, minutes and evaluation rows; every part is the real one. So short a training
does not teach restraint, so the gate allows more changed correct sentences here; bench-loop holds the shipped default."""


@dataclass
class Platform:
    """A running platform and what it printed.

    Attributes:
        killed_at: the training step at which an earlier start on the same HOME was killed.
    """

    home: Path
    env: dict[str, str]
    process: subprocess.Popen[bytes]
    log: Path
    ports: dict[str, int] = field(default_factory=dict)
    killed_at: int = 0

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def run(self, *words: str, **kwargs: Any) -> subprocess.CompletedProcess[str]:
        """`correctly WORDS` on this HOME."""
        argv = [sys.executable, "-m", "correctly_assets.cli", *words]
        return subprocess.run(argv, env=self.env, capture_output=True, text=True, timeout=600, **kwargs)

    def status(self) -> dict[str, Any]:
        return json.loads(self.run("status", "--json").stdout)

    def said(self) -> str:
        return self.log.read_text(errors="replace")


def start(
    home: Path,
    *words: str,
    ports: dict[str, int] | None = None,
    more: Mapping[str, str] | None = None,
    budget: Mapping[str, str] = TINY,
    python: Path | None = None,
) -> Platform:
    """Start `correctly WORDS` on a HOME, on free ports or on given ones, with ``more`` settings.

    Args:
        budget: settings of training and evaluation; none for those that ship.
        python: the interpreter of the environment that it is installed in; this one's when None. It starts in HOME, outside
            the checkout.
    """
    home.mkdir(parents=True, exist_ok=True)
    ready = PROJECT_ROOT / ".correctly" / "models" / EMBEDDED_BASE_MODEL
    if ready.exists() and not (home / "models").exists():
        (home / "models").mkdir()
        (home / "models" / EMBEDDED_BASE_MODEL).symlink_to(ready)
    ports = ports or {name: free_port() for name in ("GATEWAY", "VLLM", "DAGSTER", "MLFLOW", "WEBUI")}
    env = {name: value for name, value in os.environ.items() if not name.startswith("CORRECTLY_")}
    env |= {"CORRECTLY_HOME": str(home), **budget, **(more or {})}
    env |= {f"CORRECTLY_{name}_PORT": str(port) for name, port in ports.items()}
    if python:
        env.pop("PYTHONPATH", None)
    log = home / "up.out"
    with log.open("ab") as out:
        process = subprocess.Popen(
            [python or sys.executable, "-m", "correctly_assets.cli", *words],
            env=env,
            cwd=home if python else None,
            stdout=out,
            stderr=subprocess.STDOUT,
            # A test run in the background ignores Ctrl-C, and its children would inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    return Platform(home, env, process, log, ports)


def graphql(platform: Platform, query: str) -> dict[str, Any]:
    """What Dagster's webserver answers to a query or mutation."""
    answer = httpx.post(f"{platform.url('DAGSTER')}/graphql", json={"query": query}, timeout=60)
    return answer.json()["data"]


def stop(platform: Platform) -> int:
    """Ctrl-C, then wait for its end; returns its exit code."""
    if platform.process.poll() is None:
        platform.process.send_signal(signal.SIGINT)
    return platform.process.wait(120)


def kill_in_mid_training(running: Platform, steps: int = 10) -> int:
    """kill -9 of the whole tree once training has done some steps and written a checkpoint; returns the step."""
    progress = running.home / "run" / "progress.json"
    deadline = time.monotonic() + 600
    while True:
        done = json.loads(progress.read_text()) if progress.exists() else {}
        if (
            done.get("stage") == "train"
            and done["step"] >= steps
            and list(running.home.glob("checkpoints/*/checkpoint/checkpoint.safetensors"))
        ):
            break
        if running.process.poll() is not None or time.monotonic() > deadline:
            stop(running)
            pytest.fail(f"Training did not start:\n{running.said()}")
        time.sleep(0.2)
    root = psutil.Process(running.process.pid)
    # The root first, or it would start its parts again.
    for process in [root, *root.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    running.process.wait()
    return int(done["step"])


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The platform, its loop closed once, although everything was killed in mid-training at the first start.

    Its parts are stopped at the end of the test run.
    """
    home = tmp_path_factory.mktemp("platform") / "home"
    killed = start(home, "up")
    step = kill_in_mid_training(killed)
    running = start(home, "up", ports=killed.ports)
    running.killed_at = step
    deadline = time.monotonic() + 1500
    while "The platform runs" not in running.said():
        if running.process.poll() is not None or time.monotonic() > deadline:
            stop(running)
            logs = "\n".join(
                f"--- {p.name}\n{p.read_text(errors='replace')[-1500:]}" for p in (home / "logs").glob("*.log")
            )
            pytest.fail(f"The platform did not come up:\n{running.said()}\n{logs}")
        time.sleep(1)
    yield running
    stop(running)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A page of headless Chromium, for one file: while it is open, playwright's event loop runs in this thread, and no test
    that starts one of its own could follow."""
    programs = ("chromium", "chromium-browser", "google-chrome")
    found = next(path for name in programs if (path := shutil.which(name)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1500, "height": 900})
        page.set_default_timeout(90_000)  # milliseconds
        expect.set_options(timeout=90_000)
        yield page
        browser.close()
