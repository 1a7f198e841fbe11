"""Two real engines behind one real gateway: one is killed under load, and no request fails.

Belongs here: that alone, for it takes two engines' memory (some 6 GB). Does not belong here: flips, refusals and NaN with several engines
(unit/gateway/test_replicas.py).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from correctly_assets.engine.key import engine_key
from correctly_assets.platform.processes import engine_command
from correctly_assets.settings import EMBEDDED_BASE_MODEL, PROJECT_ROOT, Settings
from correctly_assets.training.adapter import check_adapter
from correctly_assets.workflows.wiring import open_platform_store
from correctly_tests.serving_fakes import free_port

pytestmark = [pytest.mark.full, pytest.mark.model, pytest.mark.timeout(1200)]

BEFORE = "She go to school every days."


@dataclass
class TwoEngines:
    """The gateway's address and the two engines' processes."""

    url: str
    engines: list[subprocess.Popen[bytes]]
    logs: list[Path]

    def ready(self) -> dict[str, Any]:
        try:
            return httpx.get(f"{self.url}/readyz", trust_env=False, timeout=10).json()
        except httpx.HTTPError:
            return {"ready": False, "says": "no answer", "engines": []}

    def until(self, wanted: Callable[[dict[str, Any]], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not wanted(said := self.ready()):
            tail = [log.read_text(errors="replace")[-1500:] for log in self.logs]
            assert time.monotonic() < deadline, f"{said}\n{tail}"
            time.sleep(1)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[TwoEngines]:
    ready = PROJECT_ROOT / ".correctly" / "models" / EMBEDDED_BASE_MODEL
    assert (ready / "model.safetensors").exists(), "`make install` converts the embedded base model."
    home = tmp_path / "home"
    (home / "models").mkdir(parents=True)
    (home / "models" / EMBEDDED_BASE_MODEL).symlink_to(ready)
    ports, gateway = [free_port(), free_port()], free_port()
    own = Settings().changed(platform={"home": home, "gateway_port": gateway}, serving={"vllm_port": ports[0]})
    adapter = check_adapter(own.platform.starter_adapter_dir, ready).id
    shutil.copytree(own.platform.starter_adapter_dir, own.platform.adapters_dir / adapter)
    with open_platform_store(own.platform) as store:
        store.add_release(adapter=adapter, base_model=EMBEDDED_BASE_MODEL, kind="promotion", why="a test")
    env = {name: value for name, value in os.environ.items() if not name.startswith("CORRECTLY_")}
    env |= {"CORRECTLY_HOME": str(home), "VLLM_API_KEY": engine_key(home)}
    started, logs = [], [tmp_path / name for name in ("one.log", "two.log", "gateway.log")]

    def start(argv: list[str], log: Path, more: dict[str, str]) -> subprocess.Popen[bytes]:
        with log.open("wb") as out:
            # A group of its own, so that its workers die with it, as on a machine that is switched off.
            made = subprocess.Popen(argv, env=env | more, stdout=out, stderr=out, start_new_session=True)
        started.append(made)
        return made

    try:
        engines = []
        for port, log in zip(ports, logs, strict=False):
            argv, more = engine_command(own.changed(serving={"vllm_port": port}))
            engines.append(start(argv, log, more))
        at = {
            "CORRECTLY_GATEWAY_PORT": str(gateway),
            "CORRECTLY_VLLM_PORT": str(ports[0]),
            "CORRECTLY_VLLM_REPLICAS": f"http://127.0.0.1:{ports[1]}",
        }
        start([sys.executable, "-m", "correctly_assets.gateway"], logs[2], at)
        yield TwoEngines(f"http://127.0.0.1:{gateway}", engines, logs)
    finally:
        for process in started:
            kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """kill -9 of a process and of all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait(30)


def test_one_of_two_engines_is_killed_under_load_and_no_request_fails(running: TwoEngines) -> None:
    running.until(lambda said: said["ready"] and all(len(one["models"]) > 1 for one in said["engines"]), 900)
    answered, failed, stop = list[str](), list[str](), threading.Event()

    def ask(number: int) -> None:
        with httpx.Client(trust_env=False, timeout=180) as client:
            while not stop.is_set():
                # Each text is another one, so that no cache answers.
                body = {"text": f"{BEFORE} He have {len(answered) + 1000 * number} book.", "reasons": False}
                got = client.post(f"{running.url}/v1/corrections", json=body)
                good = got.status_code == 200 and "She goes to school" in got.json()["corrections"][0]["after"]
                (answered if good else failed).append(got.text)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()

    def more(count: int) -> None:
        wanted, deadline = len(answered) + count, time.monotonic() + 240
        while len(answered) < wanted and not failed:
            assert time.monotonic() < deadline
            time.sleep(0.1)

    try:
        more(20)
        kill(running.engines[0])
        more(40)
        running.until(lambda said: not said["engines"][0]["up"] and said["engines"][1]["up"], 60)
        assert running.ready()["ready"]
    finally:
        stop.set()
        for thread in threads:
            thread.join(200)
    assert failed == [] and len(answered) >= 60
