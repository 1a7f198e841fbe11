"""One run on an MLflow server.

Belongs here: each call of MLflow's client, which takes a second to load. Does not belong here: what becomes of training where the
server does not answer (mlflow_log.py).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from correctly_assets.training.config import Mlflow


class MlflowRun:
    """A run that was started, or goes on. Whatever the server refuses or does not answer is raised as MLflow raises it.

    Args:
        resume_run: the run to continue where the settings name none.
    """

    def __init__(self, settings: Mlflow, resume_run: str | None) -> None:
        self._settings = settings
        self._client = MlflowClient(tracking_uri=settings.tracking_uri)
        self._monitor: SystemMetricsMonitor | None = None
        self.id = self._continued(settings.run_id or resume_run)

    def _continued(self, run_id: str | None) -> str:
        client, settings = self._client, self._settings
        if run_id is None:
            experiment = client.get_experiment_by_name(settings.experiment)
            key = experiment.experiment_id if experiment else client.create_experiment(settings.experiment)
            return client.create_run(key, tags=settings.tags, run_name=settings.run_name).info.run_id
        if settings.run_id is None:
            client.update_run(run_id, status="RUNNING")
        for key, value in settings.tags.items():
            client.set_tag(run_id, key, value)
        return run_id

    def parameters(self, params: Mapping[str, str | int | float]) -> None:
        """Record the parameters that the run does not have yet."""
        known = self._client.get_run(self.id).data.params
        fresh = [Param(key, str(value)[:500]) for key, value in params.items() if key not in known]
        self._client.log_batch(self.id, params=fresh)

    def watch_system(self) -> None:
        """Record processor, memory and GPU from now on."""
        mlflow.set_tracking_uri(self._settings.tracking_uri)
        self._monitor = SystemMetricsMonitor(
            self.id, sampling_interval=5, samples_before_logging=2, resume_logging=True
        )
        self._monitor.start()

    def stop_watching(self) -> None:
        """End what `watch_system` began."""
        monitor, self._monitor = self._monitor, None
        if monitor is not None:
            monitor.finish()

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record numbers at a step."""
        now = int(time.time() * 1000)
        self._client.log_batch(self.id, metrics=[Metric(k, float(v), now, step) for k, v in values.items()])

    def adapter(self, directory: Path, tags: Mapping[str, str]) -> str | None:
        """Log the adapter's files and register a version, which is returned where the settings name a model for it."""
        self._client.log_artifacts(self.id, str(directory), "adapter")
        name = self._settings.registered_model
        if name is None:
            return None
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = f"{self._client.get_run(self.id).info.artifact_uri}/adapter"
        return str(self._client.create_model_version(name, source, self.id, tags=dict(tags)).version)

    def end(self, status: str) -> None:
        """Close the run: ``FINISHED``, ``FAILED`` or ``KILLED``."""
        self._client.set_terminated(self.id, status=status)

    def url(self) -> str:
        """Where a person sees the run."""
        experiment = self._client.get_run(self.id).info.experiment_id
        return f"{self._settings.tracking_uri}/#/experiments/{experiment}/runs/{self.id}"
