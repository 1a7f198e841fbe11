"""The run launcher of Dagster's instance: each run's worker is a process of its own, a child of the daemon.

Dagster's own launcher has the code server start the workers, which then end with it, or run on without anybody who can cancel
them. The code server stands for days here and is started again when it hangs or its code changes; a run must not notice.

Belongs here: starting a worker, passing on a person's cancel, and reporting a worker that ended without a word. Does not belong
here: runs whose daemon is gone too (workflows/dead_runs.py).
"""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping

from dagster import DagsterRun, DagsterRunStatus
from dagster._core.launcher import LaunchRunContext, RunLauncher
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import ConfigurableClass, ConfigurableClassData, serialize_value
from typing_extensions import override

from correctly_assets.workflows.dead_runs import WORKER_TAG
from correctly_assets.workflows.process_identity import identity_of

log = logging.getLogger(__name__)

_LOOK_AGAIN = 1.0
"""Seconds between two looks at whether a run is to be canceled; the webserver, where a person does so, is no parent of the worker."""
_LAST_LOOKS = 30
"""Looks at a run that is over until its worker is told to end too: Dagster's monitor took it for lost, as a machine is slow, say."""


class WorkerLauncher(RunLauncher, ConfigurableClass):
    """Starts `dagster api execute_run` for each run, which loads the code as it is then."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        self._workers: dict[str, subprocess.Popen[bytes]] = {}
        super().__init__()

    @property
    @override
    def inst_data(self) -> ConfigurableClassData | None:
        return self._inst_data

    @classmethod
    @override
    def config_type(cls) -> dict[str, object]:
        return {}

    @classmethod
    @override
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, object]
    ) -> WorkerLauncher:
        return cls(inst_data)

    @override
    def launch_run(self, context: LaunchRunContext) -> None:
        """Start the worker, and note on the run which process it is.

        Raises:
            Exception: the run has no origin, no process can be started, or the database is away; Dagster reports it and fails the run.
        """
        run = context.dagster_run
        if run.job_code_origin is None:
            raise ValueError(f"Run {run.run_id} does not say where its job's code is.")
        arguments = ExecuteRunArgs(run.job_code_origin, run.run_id, self._instance.get_ref())
        # In the daemon's session, so that a supervisor that clears up after a killed daemon finds it.
        worker = subprocess.Popen(
            [sys.executable, "-m", "dagster", "api", "execute_run", serialize_value(arguments)],
            stdin=subprocess.DEVNULL,
        )
        try:
            self._instance.add_run_tags(run.run_id, {WORKER_TAG: json.dumps(identity_of(worker.pid))})
        except BaseException:
            worker.kill()
            worker.wait()
            raise
        self._workers[run.run_id] = worker
        threading.Thread(target=self._watch, args=(run.run_id, worker), name=f"run-{run.run_id}", daemon=True).start()

    @override
    def terminate(self, run_id: str) -> bool:
        """Ask a run to end. Its worker is told by the daemon's process, whichever process this is called in."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        return True

    @override
    def join(self, timeout: int = 30) -> None:
        """Wait until every worker that this process started has ended."""
        for worker in list(self._workers.values()):
            worker.wait(timeout)

    def _watch(self, run_id: str, worker: subprocess.Popen[bytes]) -> None:
        told, last_looks = False, 0
        while True:
            try:
                code = worker.wait(_LOOK_AGAIN)
                break
            except subprocess.TimeoutExpired:
                status = self._status(run_id)
                last_looks += status in (DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)
                if not told and (status == DagsterRunStatus.CANCELING or last_looks >= _LAST_LOOKS):
                    worker.send_signal(signal.SIGINT)
                    told = True
        try:
            self._end(self._instance.get_run_by_id(run_id), code)
        except Exception:  # a database that is away: the retrain sensor's next tick sees that the worker is gone
            log.exception("How the worker of run %s ended could not be written down.", run_id)
        self._workers.pop(run_id, None)

    def _status(self, run_id: str) -> DagsterRunStatus | None:
        try:
            run = self._instance.get_run_by_id(run_id)
        except Exception as error:  # a database that is away is no reason to watch no longer
            log.warning("Whether run %s is to be canceled could not be read: %s", run_id, error)
            return None
        return run and run.status

    def _end(self, run: DagsterRun | None, code: int) -> None:
        if run is not None and not run.is_finished:
            how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
            self._instance.report_run_failed(run, f"The worker of this run {how} before the run was over.")
