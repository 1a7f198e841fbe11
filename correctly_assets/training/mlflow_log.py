"""The run's record in MLflow, or nowhere: training never depends on it.

Belongs here: writing parameters, curves, system metrics, the adapter and its registered version. Does not belong here:
what the numbers mean.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from correctly_assets.training.config import Mlflow

log = logging.getLogger("correctly.training")


class RunLedger:
    """One MLflow run. Every call that the server does not answer switches the ledger off, with one warning.

    Args:
        settings: where to write; None writes nowhere.
    """

    def __init__(self, settings: Mlflow | None) -> None:
        self._settings = settings
        self._client: Any = None
        self._monitor: Any = None
        self.run_id: str | None = None
        self.warnings: list[str] = []

    @property
    def on(self) -> bool:
        """Whether a run is open and the server has answered so far."""
        return self._client is not None and self.run_id is not None

    def _off(self, error: Exception) -> None:
        self._client = None
        where = self._settings.tracking_uri if self._settings else "?"
        text = f"MLflow at {where} does not answer; training goes on without it"
        log.warning("%s (%s).", text, type(error).__name__)
        self.warnings.append(text + ".")

    def start(self, params: Mapping[str, Any], resume_run: str | None) -> None:
        """Start a run, or continue ``resume_run`` or the one that the settings name."""
        settings = self._settings
        if settings is None:
            return
        # A server that is down must cost seconds, not MLflow's default minutes of retries.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        try:
            from mlflow import MlflowClient
            from mlflow.entities import Param

            client = MlflowClient(tracking_uri=settings.tracking_uri)
            run_id = settings.run_id or resume_run
            if run_id is None:
                experiment = client.get_experiment_by_name(settings.experiment)
                key = experiment.experiment_id if experiment else client.create_experiment(settings.experiment)
                run_id = client.create_run(key, tags=settings.tags, run_name=settings.run_name).info.run_id
            else:
                if settings.run_id is None:
                    client.update_run(run_id, status="RUNNING")
                for key, value in settings.tags.items():
                    client.set_tag(run_id, key, value)
            self._client, self.run_id = client, run_id
            known = client.get_run(run_id).data.params
            fresh = [Param(key, str(value)[:500]) for key, value in params.items() if key not in known]
            client.log_batch(run_id, params=fresh)
            self._watch_system(settings.tracking_uri, run_id)
        except Exception as error:  # a ledger's failure of any kind must not stop training; it is said and recorded
            self._off(error)

    def _watch_system(self, uri: str, run_id: str) -> None:
        import mlflow
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        mlflow.set_tracking_uri(uri)
        self._monitor = SystemMetricsMonitor(run_id, sampling_interval=5, samples_before_logging=2, resume_logging=True)
        self._monitor.start()

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record numbers at a step; a server that does not answer switches the ledger off."""
        if not self.on:
            return

        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        try:
            self._client.log_batch(self.run_id, metrics=[Metric(k, float(v), now, step) for k, v in values.items()])
        except Exception as error:
            self._off(error)

    def adapter(self, directory: Path, tags: Mapping[str, str]) -> str | None:
        """Log the adapter's files and register a version.

        Returns:
            The registered version, or None.
        """
        if not self.on or self._settings is None:
            return None
        try:
            self._client.log_artifacts(self.run_id, str(directory), "adapter")
            name = self._settings.registered_model
            if name is None:
                return None
            from mlflow.exceptions import MlflowException

            try:
                self._client.create_registered_model(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            source = f"{self._client.get_run(self.run_id).info.artifact_uri}/adapter"
            version = self._client.create_model_version(name, source, self.run_id, tags=dict(tags))
            return str(version.version)
        except Exception as error:
            self._off(error)
            return None

    def end(self, status: str) -> None:
        """Close the run: ``FINISHED``, ``FAILED`` or ``KILLED`` (to be resumed). A run that others own stays open."""
        if self._monitor is not None:
            try:
                self._monitor.finish()
            except Exception as error:
                log.warning("MLflow's system metrics did not end cleanly (%s).", type(error).__name__)
            self._monitor = None
        if not self.on or self._settings is None or self._settings.run_id is not None:
            return
        try:
            self._client.set_terminated(self.run_id, status=status)
        except Exception as error:
            self._off(error)

    def url(self) -> str | None:
        """Where a person sees the run."""
        if self.run_id is None or self._settings is None or not self._settings.tracking_uri.startswith("http"):
            return None
        try:
            experiment = self._client.get_run(self.run_id).info.experiment_id
        except Exception:
            return None
        return f"{self._settings.tracking_uri}/#/experiments/{experiment}/runs/{self.run_id}"
