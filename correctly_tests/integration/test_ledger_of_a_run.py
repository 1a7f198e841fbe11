"""How a Dagster run ends in MLflow: the shipped resource in a run of its own, a real MLflow store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import mlflow
import pytest
from mlflow import MlflowClient

from correctly_assets.resources.ledger import EXPERIMENT, ledger_resource

Step = Callable[[dg.OpExecutionContext], None]


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    before = mlflow.get_tracking_uri()
    made = f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'store.sqlite'}"
    # Artefacts are written nowhere here, and nothing may lie in the working directory.
    MlflowClient(tracking_uri=made).create_experiment(
        EXPERIMENT, artifact_location=str(Path(made[10:]).parent / "files")
    )
    yield made
    mlflow.set_tracking_uri(before)


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def run(uri: str, instance: dg.DagsterInstance, step: Step) -> tuple[dg.DagsterRunStatus, str]:
    """A run whose first step does not know the ledger and whose second does: (Dagster's end, MLflow's)."""

    @dg.op
    def untracked(context) -> int:  # Dagster takes no context type that is text
        step(context)
        return 1

    @dg.op(required_resource_keys={"mlflow"})
    def tracked(context, one: int) -> None:
        context.resources.mlflow.metrics({"one": one})

    @dg.job(
        resource_defs={"mlflow": ledger_resource.configured({"tracking_uri": uri})}, executor_def=dg.in_process_executor
    )
    def lineage() -> None:
        tracked(untracked())

    result = lineage.execute_in_process(instance=instance, raise_on_error=False)
    ended = instance.get_run_by_id(result.run_id)
    assert ended is not None
    return ended.status, status_of(uri, result.run_id)


def status_of(uri: str, dagster_run: str) -> str:
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id], f"tags.dagster_run_id = '{dagster_run}'")
    return found.info.status


def breaks(_: dg.OpExecutionContext) -> None:
    raise ValueError("It broke.")


def is_canceled(context: dg.OpExecutionContext) -> None:
    context.instance.report_run_canceling(context.run)
    raise dg.DagsterExecutionInterruptedError


def is_stopped_with_the_platform(_: dg.OpExecutionContext) -> None:
    raise dg.DagsterExecutionInterruptedError


@pytest.mark.parametrize(
    ("step", "dagster", "ledger"),
    [
        (lambda _: None, dg.DagsterRunStatus.SUCCESS, "FINISHED"),
        (breaks, dg.DagsterRunStatus.FAILURE, "FAILED"),
        (is_canceled, dg.DagsterRunStatus.CANCELED, "KILLED"),
        (is_stopped_with_the_platform, dg.DagsterRunStatus.FAILURE, "FAILED"),
    ],
)
def test_a_run_ends_in_mlflow_as_it_ends_in_dagster_wherever_it_ended(
    uri: str, instance: dg.DagsterInstance, step: Step, dagster: dg.DagsterRunStatus, ledger: str
) -> None:
    assert run(uri, instance, step) == (dagster, ledger)


def test_the_next_run_closes_what_a_killed_worker_left_open_and_no_other(
    uri: str, instance: dg.DagsterInstance
) -> None:
    @dg.job(name="lineage")
    def killed() -> None: ...

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    dead, alive = (instance.create_run_for_job(killed, status=dg.DagsterRunStatus.STARTED) for _ in range(2))
    for of in (dead.run_id, alive.run_id, "of another platform"):
        client.create_run(experiment.experiment_id, tags={"dagster_run_id": of})
    instance.report_run_failed(dead, "The worker process of this run is gone.")
    assert status_of(uri, dead.run_id) == "RUNNING"
    assert run(uri, instance, lambda _: None)[1] == "FINISHED"
    assert status_of(uri, dead.run_id) == "FAILED"
    assert status_of(uri, alive.run_id) == status_of(uri, "of another platform") == "RUNNING"
