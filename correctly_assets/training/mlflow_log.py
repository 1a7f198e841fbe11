"""The run's record in MLflow, or nowhere: training never depends on it.

Belongs here: what becomes of the record where none is asked for or the server does not answer. Does not belong here: the calls to
the server (mlflow_run.py), or what the numbers mean.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from correctly_assets.training.config import Mlflow

if TYPE_CHECKING:
    from correctly_assets.training.mlflow_run import MlflowRun

log = logging.getLogger("correctly.training")


class RunLedger:
    """One MLflow run. Every call that the server does not answer switches the ledger off, with one warning.

    Args:
        settings: where to write; None writes nowhere.
    """

    def __init__(self, settings: Mlflow | None) -> None:
        self._settings = settings
        self._run: MlflowRun | None = None
        self._answers = True
        self.warnings: list[str] = []

    @property
    def run_id(self) -> str | None:
        """The run's ID, also where the server has stopped answering since; None where no run was opened."""
        return self._run.id if self._run is not None else None

    @property
    def on(self) -> bool:
        """Whether a run is open and the server has answered so far."""
        return self._run is not None and self._answers

    def _off(self, error: Exception) -> None:
        self._answers = False
        where = self._settings.tracking_uri if self._settings else "?"
        text = f"MLflow at {where} does not answer; training goes on without it"
        log.warning("%s (%s).", text, type(error).__name__)
        self.warnings.append(text + ".")

    def start(self, params: Mapping[str, str | int | float], resume_run: str | None) -> None:
        """Start a run, or continue ``resume_run`` or the one that the settings name."""
        if self._settings is None:
            return
        # A server that is down must cost seconds, not MLflow's default minutes of retries.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        try:
            # Only now: a run that is recorded nowhere does without MLflow's second and its memory.
            from correctly_assets.training.mlflow_run import MlflowRun

            self._run = MlflowRun(self._settings, resume_run)
            self._run.parameters(params)
            self._run.watch_system()
        except Exception as error:  # a ledger's failure of any kind must not stop training; it is said and recorded
            self._off(error)

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record numbers at a step; a server that does not answer switches the ledger off."""
        if self._run is None or not self._answers:
            return
        try:
            self._run.metrics(values, step)
        except Exception as error:
            self._off(error)

    def adapter(self, directory: Path, tags: Mapping[str, str]) -> str | None:
        """Log the adapter's files and register a version.

        Returns:
            The registered version, or None.
        """
        if self._run is None or not self._answers:
            return None
        try:
            return self._run.adapter(directory, tags)
        except Exception as error:
            self._off(error)
            return None

    def end(self, status: str) -> None:
        """Close the run: ``FINISHED``, ``FAILED`` or ``KILLED`` (to be resumed). A run that others own stays open."""
        if self._run is None or self._settings is None:
            return
        try:
            self._run.stop_watching()
        except Exception as error:
            log.warning("MLflow's system metrics did not end cleanly (%s).", type(error).__name__)
        if not self._answers or self._settings.run_id is not None:
            return
        try:
            self._run.end(status)
        except Exception as error:
            self._off(error)

    def url(self) -> str | None:
        """Where a person sees the run."""
        if (
            not self.on
            or self._run is None
            or self._settings is None
            or not self._settings.tracking_uri.startswith("http")
        ):
            return None
        try:
            return self._run.url()
        except Exception:
            return None
