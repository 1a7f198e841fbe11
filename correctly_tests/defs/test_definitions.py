"""The definitions load light, point one way, and are what people are told they are."""

from __future__ import annotations

import itertools
import subprocess
import sys

import dagster as dg

from correctly_assets.definitions import defs
from correctly_assets.defs.automation import make_sensors, retrain
from correctly_assets.defs.resources import make_resources
from correctly_assets.settings import Settings

LINEAGE = ["examples", "train_set", "lora_adapter", "eval_report", "served_model"]


def test_loading_the_definitions_in_a_fresh_process_loads_no_heavy_library():
    code = (
        "import sys, correctly_assets.definitions as d; d.defs.resolve_all_job_defs() if hasattr(d.defs, 'resolve_all_job_defs') else 0;"
        "print([m for m in ('torch', 'transformers', 'vllm', 'mlflow', 'duckdb', 'spacy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_layers_point_one_way():
    done = subprocess.run([sys.executable.replace("python", "lint-imports")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_five_assets_stand_in_one_lineage_between_two_external_ones():
    graph = defs.resolve_asset_graph()
    keys = {key.to_user_string() for key in graph.get_all_asset_keys()}
    assert keys == {*LINEAGE, "base_model", "evaluation_set"}
    for upstream, downstream in itertools.pairwise(LINEAGE):
        parents = {
            key.to_user_string()
            for key in graph.get(
                next(k for k in graph.get_all_asset_keys() if k.to_user_string() == downstream)
            ).parent_keys
        }
        assert upstream in parents


def test_every_asset_says_what_it_is_and_whose():
    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description and node.group_name and node.kinds and node.owners, key


def test_sensors_run_by_themselves_and_the_gate_blocks():
    for name in ("retrain_sensor", "feedback_sensor", "serving_sensor"):
        assert defs.resolve_sensor_def(name).default_status.value == "RUNNING"
    assert defs.resolve_schedule_def("write_examples").name == "write_examples"
    checks = (
        {spec.name: spec for spec in defs.resolve_all_asset_specs_checks()}
        if hasattr(defs, "resolve_all_asset_specs_checks")
        else {}
    )
    from correctly_assets.defs.eval_report import eval_report

    checks |= {spec.name: spec for spec in eval_report.check_specs}
    assert checks["the_gate"].blocking


def test_a_sensor_gets_its_settings_from_the_definitions(settings: Settings):
    settings = settings.changed(platform={"sensor_seconds": 7})
    settings.platform.home.mkdir(parents=True)
    given = make_resources(settings)
    made = dg.Definitions(assets=defs.assets, jobs=[retrain], sensors=make_sensors(settings), resources=given)
    sensor = made.resolve_sensor_def("retrain_sensor")
    wanted = {key: given[key] for key in sensor.required_resource_keys}
    with dg.DagsterInstance.ephemeral() as instance:
        tick = sensor.evaluate_tick(dg.build_sensor_context(instance=instance, resources=wanted))
    assert sensor.minimum_interval_seconds == 7 and "No examples have landed" in (tick.skip_message or "")
