"""The eleven packages that the platform is built on: each is pinned, used by our code, and at work in a named test."""

from __future__ import annotations

import re
import tomllib

import pytest

from correctly_assets.settings import PROJECT_ROOT

AT_WORK = {
    "dagster": (r"import dagster", "integration/test_the_loop.py", "test_one_command_closes_the_loop_and_shows_three_corrections"),
    "dagster-webserver": (r"from dagster_webserver", "integration/test_page_of_dagster.py", "test_materialize_all_runs_the_five_assets_end_to_end"),
    "dagster-postgres": (r'\{"postgres": \{"postgres_url"', "integration/test_one_postgres.py", "test_daemon_store_and_mlflow_share_postgresql_and_agree_on_a_failure"),
    "dagster-mlflow": (r"dagster_mlflow", "integration/test_one_postgres.py", "test_daemon_store_and_mlflow_share_postgresql_and_agree_on_a_failure"),
    "openai": (r"from openai import", "unit/llm_api/test_endpoint.py", None),
    "transformers": (r"from transformers import", "unit/training/test_rendering.py", None),
    "peft": (r"(from peft|import peft)", "unit/training/test_engines.py", None),
    "torch": (r"import torch", "integration/test_training_real_model.py", None),
    "pandas": (r"import pandas", "unit/commands/test_judging.py", "test_the_leaderboard_has_every_adapter_there_has_been_by_f05"),
    "duckdb": (r"import duckdb", "unit/artifacts/test_train_sets.py", None),
    "vllm": (r'"vllm\.entrypoints\.openai\.api_server"', "integration/test_vllm_adapters.py", "test_a_real_adapter_is_proved_differs_from_the_base_and_is_unloaded"),
}  # fmt: skip
"""{package: (how our code uses it, the test file where it works, the test; any of the file's where None)}."""


@pytest.mark.parametrize("package", AT_WORK)
def test_each_named_package_is_pinned_used_and_at_work_in_a_test(package: str):
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    pins = {pin.split("==")[0]: pin for pin in (*project["dependencies"], *extras["cpu"], *extras["gpu"])}
    assert re.fullmatch(rf"{package}==[0-9.]+", pins[package])
    pattern, file, test = AT_WORK[package]
    sources = [path.read_text() for path in (PROJECT_ROOT / "correctly_assets").rglob("*.py")]
    assert any(re.search(pattern, source) for source in sources), f"our code does not use {package}"
    tests = (PROJECT_ROOT / "correctly_tests" / file).read_text()
    assert f"def {test or 'test_'}" in tests
