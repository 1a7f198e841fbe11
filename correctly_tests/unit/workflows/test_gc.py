"""What is removed, what never is, and a run that does not start on a full disk."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from correctly_assets.cli import app
from correctly_assets.core.errors import RetryableError, UnreachableError
from correctly_assets.platform.supervisor import write_record
from correctly_assets.settings import Settings, get_settings
from correctly_assets.store import Store
from correctly_assets.workflows.collect_garbage import collect_garbage, require_space
from correctly_assets.workflows.wiring import open_platform_store
from correctly_tests.serving_fakes import fake_engine


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    settings.platform.home.mkdir(parents=True)
    with open_platform_store(settings.platform) as opened:
        yield opened


def put(settings: Settings, number: int) -> str:
    """An adapter made from snapshots of its own, with its checkpoint and MLflow's copy; the higher, the newer."""
    name = f"adapter{number}"
    places: list[tuple[Path, dict[str, str]]] = [
        (settings.platform.adapters_dir / name, {"id": name, "train_set": f"train{number}"}),
        (settings.platform.snapshots_dir / f"train{number}", {"examples_snapshot": f"examples{number}"}),
        (settings.platform.snapshots_dir / f"examples{number}", {}),
        (settings.platform.checkpoints_dir / f"run{number}", {}),
        (settings.platform.home / "mlflow" / "artifacts" / "1" / f"r{number}" / "artifacts" / "adapter", {"id": name}),
    ]
    for path, manifest in places:
        path.mkdir(parents=True)
        (path / "manifest.json").write_text(json.dumps(manifest))
        (path / "weights").write_bytes(b"x" * 100)
        os.utime(path, (number * 1000, number * 1000))
    return name


def names(path: Path) -> set[str]:
    return {entry.name for entry in path.iterdir()}


def test_the_newest_stay_with_what_they_were_made_from_and_the_rest_goes(settings: Settings, store: Store):
    for number in range(1, 6):
        put(settings, number)
    removed = collect_garbage(settings.platform, store, keep=2)
    assert names(settings.platform.adapters_dir) == {"adapter4", "adapter5"}
    assert names(settings.platform.snapshots_dir) == {"train4", "examples4", "train5", "examples5"}
    assert names(settings.platform.checkpoints_dir) == {"run4", "run5"}
    assert len(list((settings.platform.home / "mlflow").rglob("adapter"))) == 2
    assert {item.kind for item in removed} == {"adapter", "snapshot", "checkpoint", "MLflow copy"}
    assert all(item.size > 100 for item in removed)


def test_what_serves_what_served_before_and_what_the_engine_knows_stays(settings: Settings, store: Store):
    for number in range(1, 8):
        put(settings, number)
    store.add_release(adapter="adapter1", base_model="base", kind="promotion", why="a test")
    store.add_release(adapter="adapter2", base_model="base", kind="promotion", why="a test")
    collect_garbage(settings.platform, store, keep=1, loaded=["adapter3", "base"])
    assert names(settings.platform.adapters_dir) == {"adapter1", "adapter2", "adapter3", "adapter7"}
    assert {"train1", "examples1", "train2", "examples3"} <= names(settings.platform.snapshots_dir)


def test_a_dry_run_says_what_would_go_and_removes_nothing(settings: Settings, store: Store):
    for number in range(1, 4):
        put(settings, number)
    done = CliRunner().invoke(app, ["gc", "--keep", "1", "--dry-run", "--json"])
    assert {item["name"] for item in json.loads(done.stdout)} >= {"adapter1", "adapter2", "train1"}
    assert len(names(settings.platform.adapters_dir)) == 3
    assert "MB freed" in CliRunner().invoke(app, ["gc", "--keep", "1"]).stdout
    assert names(settings.platform.adapters_dir) == {"adapter3"}


def test_nothing_is_removed_while_a_running_platforms_engine_is_silent(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, store: Store
):
    for number in range(1, 4):
        put(settings, number)
    write_record(settings.platform.home)
    with fake_engine() as engine:
        monkeypatch.setenv("CORRECTLY_VLLM_PORT", str(engine.port))
        engine.registered["adapter1"] = str(settings.platform.adapters_dir / "adapter1")
        engine.away = True
        refused = CliRunner().invoke(app, ["gc", "--keep", "1"])
        assert isinstance(refused.exception, UnreachableError) and refused.exception.exit_code == 4
        assert "nothing was removed: try again" in str(refused.exception)
        assert len(names(settings.platform.adapters_dir)) == 3
        engine.away = False
        assert CliRunner().invoke(app, ["gc", "--keep", "1"]).exit_code == 0
        assert names(settings.platform.adapters_dir) == {"adapter1", "adapter3"}


def test_a_run_does_not_start_on_a_full_disk(settings: Settings):
    settings.platform.home.mkdir(parents=True)
    require_space(settings.platform, least=1)
    with pytest.raises(RetryableError, match="correctly gc"):
        require_space(get_settings().platform, least=10**18)
