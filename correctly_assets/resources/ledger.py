"""MLflow as a ledger: written when it is there, missed when it is not, never in the way.

Belongs here: the resource around dagster-mlflow, and how a run ends there. Does not belong here: what is measured.
Nothing of MLflow is imported before a run uses it: the definitions must load light.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import httpx

EXPERIMENT = "correctly"


class NoLedger:
    """What stands in when no server is configured or it is down: takes everything, keeps nothing."""

    run_id: str | None = None
    experiment_id: str | None = None

    def metrics(self, metrics: Mapping[str, float]) -> None:
        """Take the numbers and keep nothing."""
        ...

    def tags(self, tags: Mapping[str, str]) -> None:
        """Take the tags and keep nothing."""
        ...

    def artifact(self, path: Path) -> None:
        """Take the file's path and keep nothing."""
        ...

    def alias(self, name: str, adapter: str) -> None:
        """Take the alias and keep nothing."""
        ...

    def end_run(self, status: str = "FINISHED") -> None:
        """There is no run to end."""
        ...

    def url(self) -> str | None:
        """None: there is no page to show."""
        return None


class Ledger:
    """One MLflow run per Dagster run, through dagster-mlflow."""

    def __init__(self, tracking: Any, uri: str, log: Any) -> None:
        self._mlflow, self._uri, self._log = tracking, uri, log
        self.run_id: str = tracking.active_run().info.run_id
        self.experiment_id: str = tracking.active_run().info.experiment_id

    def _try(self, words: str, call: Any) -> None:
        try:
            call()
        except Exception as error:  # the ledger is no dependency of the path: whatever it says, the run goes on
            self._log.warning(f"MLflow did not take {words} ({error}); the run goes on without.")

    def metrics(self, metrics: Mapping[str, float]) -> None:
        """Record numbers of the run; a server that is down costs a warning."""
        self._try("the metrics", lambda: self._mlflow.log_metrics(dict(metrics)))

    def tags(self, tags: Mapping[str, str]) -> None:
        """Set the run's tags; a server that is down costs a warning."""
        self._try("the tags", lambda: self._mlflow.set_tags(dict(tags)))

    def artifact(self, path: Path) -> None:
        """Upload a file to the run; a server that is down costs a warning."""
        self._try(path.name, lambda: self._mlflow.log_artifact(str(path)))

    def alias(self, name: str, adapter: str) -> None:
        """Point a registry alias (champion, challenger) at the version that was registered for an adapter."""

        self._try(f"the alias {name}", lambda: _point(self._mlflow.tracking_client, name, adapter))

    def end_run(self, status: str = "FINISHED") -> None:
        """Close the run: ``FINISHED``, ``FAILED`` or ``KILLED``."""
        self._try("the run's end", lambda: self._mlflow.end_run(status=status))

    def close_left_open(self, instance: dg.DagsterInstance) -> None:
        """End the runs of workers that were killed: they still read RUNNING, and their Dagster runs have ended."""
        self._try("the end of runs whose worker was killed", lambda: self._close_left_open(instance))

    def _close_left_open(self, instance: dg.DagsterInstance) -> None:
        client = self._mlflow.tracking_client
        for run in client.search_runs([self.experiment_id], "attributes.status = 'RUNNING'"):
            of = run.data.tags.get("dagster_run_id")
            dagster_run = instance.get_run_by_id(of) if of and run.info.run_id != self.run_id else None
            if dagster_run is not None and dagster_run.is_finished:
                client.set_terminated(run.info.run_id, _STATUS[dagster_run.status])

    def url(self) -> str | None:
        """The address of the run's page."""
        return f"{self._uri}/#/experiments/{self.experiment_id}/runs/{self.run_id}"


def _point(client: Any, name: str, adapter: str) -> None:
    versions = client.search_model_versions(f"name = '{EXPERIMENT}' and tags.adapter = '{adapter}'")
    if versions:
        client.set_registered_model_alias(EXPERIMENT, name, versions[0].version)


def point_alias(uri: str, name: str, adapter: str, log: Any) -> None:
    """Point a registry alias at an adapter's version outside any run: after a rollback, which no run makes. A server that
    does not answer is told of and changes nothing."""
    try:
        if uri.startswith("http"):
            httpx.get(f"{uri}/health", timeout=3, trust_env=False).raise_for_status()
        from mlflow import MlflowClient

        _point(MlflowClient(tracking_uri=uri), name, adapter)
    except Exception as error:  # as in Ledger: whatever it says, the platform goes on
        log.warning(f"MLflow did not take the alias {name} ({error}).")


_STATUS = {
    dg.DagsterRunStatus.SUCCESS: "FINISHED",
    dg.DagsterRunStatus.FAILURE: "FAILED",
    dg.DagsterRunStatus.CANCELED: "KILLED",
}


def ended_as(instance: dg.DagsterInstance, run_id: str) -> str:
    """MLflow's word for how a Dagster run ends, once no more of its steps will run: ``FINISHED``, ``FAILED`` or ``KILLED``.

    The run's own status comes only after its resources are gone; its steps' events are there.
    """
    run = instance.get_run_by_id(run_id)
    if run is None or run.status in (dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED):
        return "KILLED"
    plan = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id or "")
    done = {
        entry.step_key
        for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_SUCCESS)
        if entry.step_key
    }
    return "FINISHED" if done >= set(plan.step_keys_to_execute) else "FAILED"


@dg.resource(config_schema={"tracking_uri": dg.Field(dg.Noneable(str), default_value=None, is_required=False)})
def ledger_resource(context: dg.InitResourceContext) -> Iterator[Ledger | NoLedger]:
    """The run's ledger. Without a tracking URI, or with a server that does not answer, a ledger that keeps nothing.

    dagster-mlflow ends no run by itself under MLflow 3, whose own end at exit would write FINISHED whatever happened: so it
    is ended here, when the last step has, as the Dagster run's events say. A killed worker comes to no end; the next run
    closes what it left open.
    """
    ledger = _open(context)
    try:
        yield ledger
    finally:
        if isinstance(ledger, Ledger) and context.instance and context.run:
            ledger.end_run(ended_as(context.instance, context.run.run_id))


def _open(context: dg.InitResourceContext) -> Ledger | NoLedger:
    uri = (context.resource_config or {}).get("tracking_uri")
    if not uri:
        return NoLedger()
    # A dead server is found out in seconds, not after MLflow's minutes of retries.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    log = context.log or dg.get_dagster_logger()
    try:
        if uri.startswith("http"):
            httpx.get(f"{uri}/health", timeout=3, trust_env=False).raise_for_status()
        from dagster_mlflow.resources import MlFlow

        seam = SimpleNamespace(
            log=log,
            dagster_run=context.run,
            run_id=context.run.run_id if context.run else "unknown",
            resource_config={"experiment_name": EXPERIMENT, "mlflow_tracking_uri": uri, "env": {}, "extra_tags": {}},
        )
        ledger = Ledger(MlFlow(seam), uri, log)
        if context.instance:
            ledger.close_left_open(context.instance)
        return ledger
    except Exception as error:
        log.warning(f"MLflow at {uri} does not answer ({type(error).__name__}); the run goes on without a ledger.")
        return NoLedger()
