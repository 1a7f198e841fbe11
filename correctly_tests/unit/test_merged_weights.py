"""Merged weights on disk: made once, named by their content, whole or not there, and taken away when nobody needs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from correctly_assets.core.engines import Asked
from correctly_assets.core.errors import AdapterRefused, PermanentError
from correctly_assets.runtime.gc import collect_garbage
from correctly_assets.runtime.join import open_platform_store
from correctly_assets.runtime.merged import merged_directory
from correctly_assets.runtime.processes import engine_command
from correctly_assets.serving.merged import EngineBook, EngineRow
from correctly_assets.settings import Settings
from correctly_assets.store import Store
from correctly_tests.tiny_adapter import put_adapter


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    settings.home.mkdir(parents=True)
    with open_platform_store(settings) as opened:
        yield opened


class Merging:
    """Stands where peft does: writes two files, and counts how often it was asked."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, settings: Settings, adapter: Path, manifest: dict[str, Any], target: Path) -> object:
        self.times += 1
        (target / "model.safetensors").write_bytes(adapter.name.encode() * 100)
        (target / "config.json").write_text("{}")
        return {}


def test_weights_are_merged_once_and_a_damaged_file_is_made_again(settings: Settings, store: Store) -> None:
    adapter, merge = settings.adapters_dir / put_adapter(settings, 1), Merging()
    made = merged_directory(settings, adapter, merge)
    manifest = json.loads((made / "manifest.json").read_text())
    assert made == settings.merged_dir / manifest["id"] and set(manifest["files"]) == {
        "config.json",
        "model.safetensors",
    }
    assert manifest["made_from"]["adapter"] == adapter.name
    assert merged_directory(settings, adapter, merge) == made and merge.times == 1
    (made / "model.safetensors").write_bytes(b"cut")
    assert merged_directory(settings, adapter, merge) == made and merge.times == 2
    assert merged_directory(settings, settings.adapters_dir / put_adapter(settings, 2), merge) != made


def test_another_base_model_makes_other_weights(settings: Settings, store: Store) -> None:
    adapter, merge = settings.adapters_dir / put_adapter(settings, 1), Merging()
    merged_directory(settings, adapter, merge)
    (Path(settings.base_model_path) / "correctly_base.json").write_text(json.dumps({"name": "tiny", "revision": "r2"}))
    with pytest.raises(AdapterRefused, match="base"):
        merged_directory(settings, adapter, merge)


def test_a_merge_that_fails_leaves_nothing_behind(settings: Settings, store: Store) -> None:
    def fails(*_: object) -> object:
        raise PermanentError("The merged weights answer otherwise.")

    adapter = settings.adapters_dir / put_adapter(settings, 1)
    with pytest.raises(PermanentError):
        merged_directory(settings, adapter, fails)
    assert list(settings.merged_dir.iterdir()) == []


@pytest.mark.slow
def test_the_process_that_is_to_become_an_engine_says_why_it_does_not(settings: Settings, store: Store) -> None:
    adapter = settings.adapters_dir / put_adapter(settings, 1)
    (adapter / "adapter_config.json").write_text("{}")
    argv = [sys.executable, "-m", "correctly_assets.runtime.merged", str(adapter), "9"]
    done = subprocess.run(
        argv, env={**os.environ, "CORRECTLY_HOME": str(settings.home)}, capture_output=True, text=True
    )
    assert done.returncode == 5, done.stderr
    book = EngineBook(settings.engines_dir)
    failure = book.take_failure(adapter.name)
    assert failure is not None and failure[1] and failure[0] in done.stderr
    assert book.take_failure(adapter.name) is None


def test_gc_keeps_the_merged_weights_of_what_serves_served_before_or_runs(settings: Settings, store: Store) -> None:
    adapters = [put_adapter(settings, number) for number in range(5)]
    for adapter in adapters:
        merged_directory(settings, settings.adapters_dir / adapter, Merging())
    for adapter in adapters[:2]:
        store.add_release(adapter=adapter, base_model="tiny", kind="promotion", why="a test")
    book = EngineBook(settings.engines_dir)
    book.show([EngineRow(adapters[2], "ready")])
    book.ask(adapters[3], settings.adapters_dir / adapters[3])
    removed = collect_garbage(settings, store, keep=10)
    assert [item.kind for item in removed] == ["merged weights"]
    kept = [
        json.loads(file.read_text())["made_from"]["adapter"] for file in settings.merged_dir.glob("*/manifest.json")
    ]
    assert set(kept) == set(adapters[:4])


def test_an_engine_of_merged_weights_knows_no_adapters_and_answers_to_its_adapters_name(settings: Settings) -> None:
    merged = settings.model_copy(update={"rollout": "merged"})
    argv, env = engine_command(merged, "cpu", model="/merged/1", port=9001, served_name="0123456789ab")
    assert argv[argv.index("--served-model-name") + 1] == "0123456789ab"
    assert argv[argv.index("--port") + 1] == "9001" and argv[argv.index("--model") + 1] == "/merged/1"
    assert "--enable-lora" not in argv and "VLLM_ALLOW_RUNTIME_LORA_UPDATING" not in env
    assert argv[argv.index("--host") + 1] == "127.0.0.1"
    base, _ = engine_command(merged, "gpu")
    assert base[base.index("--served-model-name") + 1] == "base"
    assert base[base.index("--gpu-memory-utilization") + 1] == "0.3"
    assert "--enable-lora" in engine_command(settings, "gpu")[0]


def test_a_wish_is_its_askers_alone_lapses_when_it_closes_and_dies_with_it(settings: Settings) -> None:
    book = EngineBook(settings.engines_dir)
    at = book.ask("aaa", Path("/adapters/aaa"))
    assert book.asked() == [(Asked("aaa", at, at, True), Path("/adapters/aaa"))]
    file = settings.engines_dir / "wanted-aaa.json"
    parent = psutil.Process(os.getppid())
    other = {"pid": parent.pid, "started": parent.create_time()}
    file.write_text(json.dumps(json.loads(file.read_text()) | other))
    book.withdraw("aaa")
    book.lapse("aaa")
    [(wish, _)] = book.asked()
    assert wish.alive, "a wish of another living process is not ours to take back"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"started": 0.0}))  # another process of that number
    [(wish, _)] = book.asked()
    assert not wish.alive
    book.ask("aaa", Path("/adapters/aaa"))
    book.lapse("aaa")
    [(wish, _)] = book.asked()
    assert not wish.alive and wish.last >= wish.at
    book.withdraw("aaa")  # a refused candidate, in a client of its own
    assert book.asked() == [] and book.rows() is None
