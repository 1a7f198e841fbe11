"""A HOME whose name has blanks, a number sign, a percent sign: every store that takes a path or URL finds its files again."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from correctly_assets.artifacts.examples_snapshot import write_examples_snapshot
from correctly_assets.artifacts.train_set import read_train_set
from correctly_assets.platform.dagster_instance import make_instance, open_instance
from correctly_assets.settings import Settings, get_settings
from correctly_assets.store.schemas import mlflow_backend
from correctly_assets.workflows.build_train_set import make_train_set
from correctly_assets.workflows.wiring import open_platform_store
from correctly_tests.commands import Run, landed

pytestmark = pytest.mark.slow


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    monkeypatch.setenv("CORRECTLY_HOME", str(tmp_path / "My Data #1 (100% it's)"))
    monkeypatch.setenv("CORRECTLY_TRAIN_PAIRS", "12")
    return get_settings()


def test_examples_train_sets_and_runs_stand_in_a_home_of_any_name(run: Run, tmp_path: Path, odd: Settings) -> None:
    landed(run, tmp_path)
    assert json.loads(run("add", "--dry-run", "--json", str(tmp_path / "rows.jsonl"))[1])["duplicates"] == 4
    with open_platform_store(odd.platform) as store:
        examples = write_examples_snapshot(store, odd.platform.snapshots_dir)
    made = make_train_set(odd, examples_snapshot=examples.id, log=lambda _: None)
    assert read_train_set(odd.platform.snapshots_dir / made.snapshot.id)
    make_instance(odd).dispose()
    again = open_instance(odd.platform)
    assert again is not None
    again.dispose()
    code, out, error = run("status", "--json")
    assert code == 0, error
    assert json.loads(out)["landed"] == 4
    homes = [path.name for path in tmp_path.iterdir() if path.is_dir()]
    assert homes == ["My Data #1 (100% it's)"]  # nothing was cut off at a sign and made beside it


def test_mlflow_keeps_runs_and_artifacts_in_a_home_of_any_name(tmp_path: Path, odd: Settings) -> None:
    from mlflow import MlflowClient
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    (odd.platform.home / "mlflow").mkdir(parents=True)
    place = odd.platform.home / "mlflow" / "artifacts"
    client = MlflowClient(tracking_uri=mlflow_backend(odd.platform))
    experiment = client.create_experiment("correctly", artifact_location=str(place))
    client.create_run(experiment)
    with sqlite3.connect(odd.platform.home / "mlflow" / "mlflow.db") as database:
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (1,)
    (tmp_path / "report.html").write_text("x")
    repository = get_artifact_repository(str(place))
    repository.log_artifact(str(tmp_path / "report.html"))
    assert (place / "report.html").read_text() == "x"
    assert [file.path for file in repository.list_artifacts()] == ["report.html"]
