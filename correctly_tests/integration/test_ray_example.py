"""The Ray example on a Ray of this machine: bulk work and training give what one process gives.

Belongs here: that both ways agree. Does not belong here: a cluster, KubeRay, GPUs.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import dagster as dg
import pytest
import torch
from safetensors.torch import load_file

from correctly_assets.artifacts.examples_snapshot import write_examples_snapshot
from correctly_assets.core.training import TrainResult
from correctly_assets.core.types import Example
from correctly_assets.settings import PROJECT_ROOT, Settings, get_settings
from correctly_assets.store import Store
from correctly_assets.teachers.embedded.embedded_teacher import EmbeddedTeacher
from correctly_assets.training.reporter import Reporter
from correctly_assets.training.run import outcome_of
from correctly_assets.workflows.land_rows import land
from correctly_assets.workflows.make_teacher import make_analysis_cache
from correctly_assets.workflows.wiring import open_platform_store
from correctly_tests.defs.test_a_training_that_fails import instance, report_train_set, run_adapter, store
from correctly_tests.training_tiny import run_config, write_base_model, write_train_set

__all__ = ["instance", "store"]  # fixtures
pytestmark = [pytest.mark.full, pytest.mark.timeout(1800)]

LIBRARIES = PROJECT_ROOT / ".venv-ray"
EXAMPLE = PROJECT_ROOT / "deploy" / "examples" / "ray"
ROWS = 100_000


@pytest.fixture(scope="module")
def ray() -> Iterator[ModuleType]:
    """Ray on this machine, which its workers' processes find as well."""
    assert LIBRARIES.is_dir(), "`make test-full` installs what the Ray example needs."
    sys.path += [place for place in (str(LIBRARIES), str(EXAMPLE)) if place not in sys.path]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(PROJECT_ROOT), str(LIBRARIES)]))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        module = importlib.import_module("ray")
        # Processes for two workers and for what hands out the data, whatever the machine has.
        module.init(
            num_cpus=4,
            include_dashboard=False,
            object_store_memory=200 * 2**20,
            log_to_driver=False,
            _node_ip_address="127.0.0.1",
        )
        yield module
        module.shutdown()


def settings_at(home: Path) -> Settings:
    return Settings().changed(platform={"home": home})


def write_rows(path: Path, count: int) -> Path:
    """Rows that land, rows that are held for an address, rows that are refused, and rows that come twice."""
    with path.open("w") as file:
        for number in range(count):
            row: dict[str, Any] = {
                "before": f"He go to house {number} today.",
                "after": f"He goes to house {number} today.",
            }
            if number % 100 == 1:
                row["after"] += f" Write to anna{number}@example.com."
            if number % 100 == 2:
                row = {"befor": "The column has another name."}
            if number % 100 == 3:
                row = {"before": "She have a dog.", "after": "She has a dog.", "topic": "pets"}
            file.write(json.dumps(row) + "\n")
    return path


def snapshot(settings: Settings) -> str:
    with open_platform_store(settings.platform) as opened:
        settings.platform.snapshots_dir.mkdir(exist_ok=True)
        return write_examples_snapshot(opened, settings.platform.snapshots_dir).id


def test_rows_landed_by_workers_give_the_same_snapshot(ray: ModuleType, tmp_path: Path) -> None:
    bulk = importlib.import_module("bulk")
    alone, spread = settings_at(tmp_path / "alone"), settings_at(tmp_path / "spread")
    one, two = write_rows(tmp_path / "one.jsonl", ROWS), write_rows(tmp_path / "two.jsonl", ROWS)
    expected, got = land(alone, one), bulk.land(spread, two, workers=2)
    counts = ("landed", "duplicates", "refused", "waiting", "quarantined", "reasons", "ignored_columns")
    assert [getattr(got, name) for name in counts] == [getattr(expected, name) for name in counts]
    # Of each hundred one is refused and one comes again and again; held rows are landed too.
    assert (got.landed, got.refused) == (ROWS - ROWS // 50 + 1, ROWS // 100) and got.quarantined == ROWS // 100
    assert Path(str(got.refused_file)).read_text() == Path(str(expected.refused_file)).read_text()
    assert snapshot(spread) == snapshot(alone)


class NoParser:
    def parse(self, texts: Sequence[str]) -> Iterator[Any]:
        raise AssertionError(f"{len(list(texts))} texts were parsed again")


def test_pairs_over_texts_that_workers_read_are_the_same(ray: ModuleType, tmp_path: Path) -> None:
    bulk = importlib.import_module("bulk")
    settings = settings_at(tmp_path / "home")
    texts = [f"The {thing} was in the old house when {name} came home." for thing in ("cat", "key", "letter", "lamp")
             for name in ("Tom", "Anna", "my brother", "the teacher")]  # fmt: skip
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps({"before": text, "after": text}) + "\n" for text in texts))
    assert land(settings, file).landed == len(texts)
    assert bulk.generate(settings, workers=2) == len(texts)
    assert bulk.generate(settings, workers=2) == 0
    examples = [Example(id=f"e{n}", before=text, after=text) for n, text in enumerate(texts)]
    prompts = settings.platform.prompts_dir
    made = [
        EmbeddedTeacher(
            prompts_dir=prompts,
            parser=cast("Any", parser),
            analysis_cache=cache,
        ).write_pairs(examples, count=40, seed=1)
        for parser, cache in ((None, None), (NoParser(), make_analysis_cache(settings.platform)))
    ]
    assert made[0].pairs == made[1].pairs and len(made[0].pairs) > 20


def learned(adapter: str) -> torch.Tensor:
    """An adapter's B matrices, which begin as nought."""
    tensors = load_file(Path(adapter) / "adapter_model.safetensors")
    return torch.cat([tensor.float().reshape(-1) for name, tensor in sorted(tensors.items()) if "lora_B" in name])


def distance(left: torch.Tensor, right: torch.Tensor) -> float:
    return float((left - right).norm() / left.norm())


def test_two_workers_reach_the_loss_of_one(ray: ModuleType, tmp_path: Path) -> None:
    trainer = importlib.import_module("ray_trainer")
    write_base_model(tmp_path)
    write_train_set(tmp_path)
    results: dict[str, dict[str, Any]] = {}
    for name, workers in (("alone", 0), ("one", 1), ("two", 2)):
        place = tmp_path / name
        place.mkdir()
        config = run_config(tmp_path, place, result_path=place / "result.json")
        config.stages[0].passes = 6
        file = place / "config.json"
        file.write_text(config.model_dump_json())
        if workers:
            trainer.train_on_workers(file, workers=workers, storage=tmp_path / "ray")
            results[name] = json.loads((place / "result.json").read_text())
        else:
            outcome, code = outcome_of(config, lambda: False, Reporter(config, None))
            assert isinstance(outcome, TrainResult) and code == 0
            results[name] = outcome.to_json()
    alone, one, two = results["alone"], results["one"], results["two"]
    assert alone["steps"] == one["steps"] == two["steps"] > 20
    assert two["loss_last"] < 0.98 * two["loss_first"]
    for figure in ("loss_last", "held_out_loss"):
        assert one[figure] == pytest.approx(alone[figure], rel=1e-3)
        assert two[figure] == pytest.approx(one[figure], rel=0.01)
    assert [path.name for path in (tmp_path / "two" / "adapters").iterdir()] == [two["adapter"]]
    # A loss forgives much in so few steps: trained on half of each batch it is within 1 % too, and the weights are 0.23 apart.
    apart = distance(learned(one["path"]), learned(two["path"]))
    assert apart < 0.05


def test_a_run_with_ray_reports_adapter_and_check(ray: ModuleType, store: Store, instance: dg.DagsterInstance) -> None:
    definitions = importlib.import_module("definitions")
    settings = get_settings()
    report_train_set(settings, store, instance)
    trainer = definitions.RayTrainer(
        ray=definitions.LocalRay(ray_init_options={"ignore_reinit_error": True}), workers=2
    )
    result = run_adapter(settings, instance, trainer)
    assert result.success
    (made,) = result.asset_materializations_for_node("lora_adapter")
    adapter = settings.platform.adapters_dir / str(made.metadata["adapter"].value)
    assert (adapter / "adapter_model.safetensors").is_file() and (made.tags or {})[
        "dagster/data_version"
    ] == adapter.name
    (check,) = result.get_asset_check_evaluations()
    assert check.check_name == "the_adapter_can_be_served" and check.passed


def test_the_instance_starts_runs_as_jobs_of_the_cluster(ray: ModuleType, tmp_path: Path) -> None:
    shutil.copy(EXAMPLE / "dagster.yaml", tmp_path)
    with dg.DagsterInstance.from_config(str(tmp_path)) as made:
        launcher = made.run_launcher
        assert (type(launcher).__name__, launcher.address) == ("RayRunLauncher", "http://127.0.0.1:8265")  # pyright: ignore[reportAttributeAccessIssue]
