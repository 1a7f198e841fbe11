"""The merged rollout with the real engine: train, merge, prove, serve; kill, promote, roll back, restart.

A platform of its own, some fifteen minutes on two cores and three engines' memory, so only in `make test-full`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from correctly_assets.core.hashing import write_artefact
from correctly_assets.serving.merged import EngineBook, EngineRow
from correctly_assets.training.adapter import CONTENT
from correctly_tests.integration.conftest import Platform, start, stop

pytestmark = [pytest.mark.full, pytest.mark.model, pytest.mark.timeout(3600)]

MERGED = {"CORRECTLY_ROLLOUT": "merged", "CORRECTLY_ROLLOUT_WARM_SECONDS": "120"}


@pytest.fixture
def merged(tmp_path: Path) -> Iterator[Platform]:
    running = start(tmp_path / "home", "up", more=MERGED)
    try:
        comes_up(running)
        yield running
    finally:
        stop(running)


def comes_up(running: Platform) -> None:
    def is_up() -> bool:
        assert running.process.poll() is None, running.said()
        return "The platform runs" in running.said()

    until(is_up, 1800)


def until(condition: Callable[[], Any], seconds: float) -> float:
    """Wait; returns the seconds it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds
        time.sleep(0.5)
    return time.monotonic() - began


def ready(running: Platform) -> dict[str, Any]:
    try:
        return httpx.get(f"{running.url('GATEWAY')}/readyz", timeout=10, trust_env=False).json()
    except httpx.HTTPError:
        return {"ready": False, "adapter": None}


def engines(running: Platform) -> dict[str, EngineRow]:
    return EngineBook(running.home / "run" / "engines").rows() or {}


def names(url: str) -> list[str]:
    return [card["id"] for card in httpx.get(f"{url}/v1/models", timeout=10, trust_env=False).json()["data"]]


def corrected(running: Platform) -> dict[str, Any]:
    body = {"text": "She go to school every day.", "reasons": False}
    answer = httpx.post(f"{running.url('GATEWAY')}/v1/corrections", json=body, timeout=60, trust_env=False)
    assert answer.status_code == 200, answer.text
    return answer.json()["corrections"][0]


def a_little_stronger(running: Platform, adapter: str) -> str:
    """The same adapter with every B matrix 2 % larger, under an ID of its own: near enough for its canary."""
    from safetensors.numpy import load_file, save_file

    source = running.home / "adapters" / adapter

    def fill(directory: Path) -> None:
        shutil.copy(source / "adapter_config.json", directory / "adapter_config.json")
        tensors = load_file(source / "adapter_model.safetensors")
        changed = {name: (value * 1.02 if "lora_B" in name else value) for name, value in tensors.items()}
        save_file(
            {name: value.astype(tensors[name].dtype) for name, value in changed.items()},
            directory / "adapter_model.safetensors",
            metadata={"format": "pt"},
        )

    manifest = json.loads((source / "manifest.json").read_text())
    return write_artefact(running.home / "adapters", fill, content=CONTENT, manifest=manifest)[0]


def test_merged_weights_serve_heal_are_promoted_rolled_back_and_come_up_by_themselves(merged: Platform) -> None:
    until(lambda: ready(merged)["ready"], 300)
    first = ready(merged)["adapter"]
    row = engines(merged)[first]
    assert row.state == "ready" and names(row.url) == [first] and names(merged.url("VLLM")) == ["base"]
    assert len(list((merged.home / "merged").glob("[!.]*"))) == 1
    assert corrected(merged)["adapter"] == first

    # The champion's engine is killed: healed and proved again.
    os.kill(int(row.instance.split("-")[0]), signal.SIGKILL)
    until(lambda: not ready(merged)["ready"], 30)
    assert until(lambda: ready(merged)["ready"], 150) < 150
    assert corrected(merged)["adapter"] == first

    # Another adapter is merged, proved and promoted; the first one's engine stays warm, so the way back is short.
    second = a_little_stronger(merged, first)
    done = merged.run("promote", second, "--despite", "a test of the rollout")
    assert done.returncode == 0, done.stdout + done.stderr
    until(lambda: ready(merged)["adapter"] == second, 10)
    assert corrected(merged)["adapter"] == second
    assert {name: one.state for name, one in engines(merged).items()} == {second: "ready", first: "ready"}
    done = merged.run("rollback")
    assert done.returncode == 0, done.stdout + done.stderr
    until(lambda: ready(merged)["adapter"] == first, 2)
    until(lambda: set(engines(merged)) == {first}, 200)

    # A restart of the whole platform: the champion's engine comes up although nobody asks for it.
    stop(merged)
    again = start(merged.home, "up", ports=merged.ports, more=MERGED)
    try:
        until(lambda: ready(again)["ready"] and ready(again)["adapter"] == first, 400)
        assert corrected(again)["adapter"] == first
    finally:
        stop(again)
