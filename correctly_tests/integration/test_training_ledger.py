"""What training leaves in a real MLflow store, and that it goes on without one."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from mlflow import MlflowClient

from correctly_assets.resources.ledger import point_alias
from correctly_assets.training.config import Mlflow
from correctly_assets.training.mlflow_log import RunLedger


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'store.sqlite'}"


def settings(uri: str, place: Path, **changes: object) -> Mlflow:
    client = MlflowClient(tracking_uri=uri)
    name = f"correctly-{place.name}"
    client.create_experiment(name, artifact_location=str(place / "artefacts"))
    return Mlflow.model_validate(
        {"tracking_uri": uri, "experiment": name, "tags": {"correctly/why": "test"}, **changes}
    )


def test_a_finished_run_holds_parameters_curves_adapter_and_a_version(uri: str, tmp_path: Path) -> None:
    adapter = tmp_path / "0123456789ab"
    adapter.mkdir()
    (adapter / "manifest.json").write_text("{}")
    ledger = RunLedger(settings(uri, tmp_path))
    ledger.start({"seed": 20, "data_sha256": "d"}, None)
    ledger.metrics({"loss": 2.0, "learning_rate": 1e-3}, 1)
    ledger.metrics({"loss": 1.0, "learning_rate": 1e-4}, 2)
    version = ledger.adapter(adapter, {"adapter": adapter.name})
    ledger.end("FINISHED")
    assert ledger.warnings == []

    client = MlflowClient(tracking_uri=uri)
    run = client.get_run(str(ledger.run_id))
    assert run.info.status == "FINISHED"
    assert run.data.params == {"seed": "20", "data_sha256": "d"}
    assert run.data.tags["correctly/why"] == "test"
    assert [metric.value for metric in client.get_metric_history(run.info.run_id, "loss")] == [2.0, 1.0]
    assert [item.path for item in client.list_artifacts(run.info.run_id, "adapter")] == ["adapter/manifest.json"]
    assert client.get_model_version("correctly", str(version)).tags["adapter"] == adapter.name


@pytest.mark.parametrize("status", ["FAILED", "KILLED"])
def test_a_run_that_does_not_finish_is_closed_as_such_and_resumed(uri: str, tmp_path: Path, status: str) -> None:
    where = settings(uri, tmp_path)
    ledger = RunLedger(where)
    ledger.start({"seed": 20}, None)
    ledger.end(status)
    client = MlflowClient(tracking_uri=uri)
    assert client.get_run(str(ledger.run_id)).info.status == status
    again = RunLedger(where)
    again.start({"seed": 20}, ledger.run_id)
    assert again.run_id == ledger.run_id
    assert client.get_run(str(ledger.run_id)).info.status == "RUNNING"
    again.end("FINISHED")
    assert client.get_run(str(ledger.run_id)).info.status == "FINISHED"


def test_a_run_that_somebody_else_started_is_written_into_and_left_open(uri: str, tmp_path: Path) -> None:
    where = settings(uri, tmp_path)
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(where.experiment)
    assert experiment is not None
    theirs = client.create_run(experiment.experiment_id).info.run_id
    ledger = RunLedger(where.model_copy(update={"run_id": theirs}))
    ledger.start({"seed": 20}, None)
    ledger.end("FINISHED")
    assert client.get_run(theirs).info.status == "RUNNING"
    assert client.get_run(theirs).data.params == {"seed": "20"}


def test_without_a_server_the_ledger_says_so_once_and_does_nothing(tmp_path: Path) -> None:
    ledger = RunLedger(Mlflow(tracking_uri="http://127.0.0.1:9"))
    ledger.start({"seed": 20}, None)
    ledger.metrics({"loss": 1.0}, 1)
    assert ledger.adapter(tmp_path, {}) is None
    ledger.end("FINISHED")
    assert len(ledger.warnings) == 1
    assert "training goes on without it" in ledger.warnings[0]


def test_an_unconfigured_ledger_is_silent(tmp_path: Path) -> None:
    ledger = RunLedger(None)
    ledger.start({}, None)
    ledger.metrics({"loss": 1.0}, 1)
    ledger.end("FAILED")
    assert (ledger.adapter(tmp_path, {}), ledger.url(), ledger.warnings) == (None, None, [])


def test_a_release_made_outside_a_run_takes_the_champions_alias_with_it(uri: str, tmp_path: Path) -> None:
    adapters = [tmp_path / name for name in ("aaaaaaaaaaaa", "bbbbbbbbbbbb")]
    ledger = RunLedger(settings(uri, tmp_path))
    ledger.start({"seed": 20}, None)
    versions = []
    for adapter in adapters:
        adapter.mkdir()
        (adapter / "manifest.json").write_text("{}")
        versions.append(ledger.adapter(adapter, {"adapter": adapter.name}))
    ledger.end("FINISHED")
    client = MlflowClient(tracking_uri=uri)
    for adapter, version in [*zip(adapters, versions, strict=True), (adapters[0], versions[0])]:
        point_alias(uri, "champion", adapter.name, logging.getLogger("test"))
        assert str(client.get_model_version_by_alias("correctly", "champion").version) == version


def test_an_alias_that_no_server_takes_is_told_of_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    point_alias("http://127.0.0.1:9", "champion", "aaaaaaaaaaaa", logging.getLogger("test"))
    assert "did not take the alias champion" in caplog.text
