"""The definitions load light, point one way, and are what people are told they are.

The graph as a whole is compared with `graph.json` beside this file. After a change that is meant, write it anew:
`python -m correctly_tests.defs.test_definitions`.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import dagster as dg

from correctly_assets.definitions import build_defs, defs
from correctly_assets.defs.event_metadata import sources_version
from correctly_assets.settings import PROJECT_ROOT, Settings
from correctly_assets.workflows.retrain_state import BESIDE_JOBS

GRAPH = Path(__file__).with_name("graph.json")
LINEAGE = {"examples", "train_set", "lora_adapter", "eval_report", "served_model"}


def graph() -> dict[str, Any]:
    """Keys, dependencies, checks, owners, kinds, jobs, sensors and schedules, as plain values."""
    assets = defs.resolve_asset_graph()
    found: dict[str, Any] = {"assets": {}, "checks": {}, "jobs": {}, "sensors": {}, "schedules": {}}
    for spec in sorted(defs.resolve_all_asset_specs(), key=lambda spec: spec.key):
        node = assets.get(spec.key)
        found["assets"][spec.key.to_user_string()] = {
            "deps": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
            "group": spec.group_name,
            "kinds": sorted(spec.kinds),
            "owners": list(spec.owners),
            "observable": node.is_observable,
            "described": bool(spec.description),
            "code_version": spec.code_version is not None,
            "freshness": type(spec.freshness_policy).__name__ if spec.freshness_policy else None,
        }
    for key in sorted(assets.asset_check_keys, key=lambda key: key.to_user_string()):
        found["checks"][key.to_user_string()] = {"blocking": assets.get(key).blocking}
    repository = defs.get_repository_def()
    for job in sorted(repository.get_all_jobs(), key=lambda job: job.name):
        if not job.name.startswith("__"):
            found["jobs"][job.name] = {
                "ops": sorted(node.name for node in job.nodes),
                "hooks": sorted(hook.name for hook in job.hook_defs),
            }
    for sensor in sorted(repository.sensor_defs, key=lambda sensor: sensor.name):
        jobs = sorted(target.job_name for target in sensor.targets)
        found["sensors"][sensor.name] = {"starts": jobs, "default": sensor.default_status.value}
    for schedule in sorted(repository.schedule_defs, key=lambda schedule: schedule.name):
        found["schedules"][schedule.name] = {
            "starts": schedule.job_name,
            "cron": schedule.cron_schedule,
            "default": schedule.default_status.value,
        }
    return found


def test_the_graph_is_the_one_that_was_written_down() -> None:
    assert graph() == json.loads(GRAPH.read_text())


def test_the_lineage_page_shows_every_asset_at_first_sight() -> None:
    """The page starts with its groups closed, and shows no groups where there is one."""
    assets = graph()["assets"]
    assert set(assets) > LINEAGE
    assert {asset["group"] for asset in assets.values()} == {"loop"}
    assert not any("model_health" in asset["deps"] for asset in assets.values())


def test_every_asset_says_what_it_is_and_whose() -> None:
    for name, asset in graph()["assets"].items():
        assert asset["described"] and asset["kinds"] and asset["owners"], name


def test_every_job_but_the_loops_own_holds_no_retraining_back() -> None:
    jobs = {job.name for job in defs.get_repository_def().get_all_jobs() if not job.name.startswith("__")}
    assert jobs - {"retrain"} == BESIDE_JOBS


def test_loading_the_definitions_in_a_fresh_process_loads_no_heavy_library() -> None:
    code = (
        "import sys, dagster, correctly_assets.definitions as d; dagster.Definitions.validate_loadable(d.defs);"
        "print([m for m in ('torch', 'transformers', 'vllm', 'mlflow', 'duckdb', 'spacy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_layers_point_one_way() -> None:
    done = subprocess.run([sys.executable.replace("python", "lint-imports")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_dg_finds_the_definitions_by_the_project_file() -> None:
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["tool"]["dg"]["project"]
    module = importlib.import_module(project["code_location_target_module"])
    assert module.__name__.startswith(f"{project['root_module']}.")
    assert [name for name, value in vars(module).items() if isinstance(value, dg.Definitions)] == ["defs"]


def test_resources_can_be_replaced_for_a_test(settings: Settings) -> None:
    made = build_defs(settings, {"engine": dg.ResourceDefinition.hardcoded_resource("another")})
    job = made.resolve_job_def("retrain")
    assert job.resource_defs["engine"].resource_fn(None) == "another"  # pyright: ignore[reportArgumentType, reportCallIssue]
    assert set(job.resource_defs) >= {"store", "trainer", "mlflow", "settings"}


def test_a_code_version_follows_the_sources_of_its_rooms() -> None:
    assert sources_version("training") == sources_version("training")
    assert len({sources_version("training"), sources_version("engine"), sources_version("training", "engine")}) == 3
    versions = {spec.key: spec.code_version for spec in defs.resolve_all_asset_specs()}
    assert versions[dg.AssetKey("lora_adapter")] == sources_version("training")


if __name__ == "__main__":
    GRAPH.write_text(json.dumps(graph(), indent=2) + "\n")
