"""Runs whose worker process is gone, and runs that ended with the platform.

Belongs here: finding them, marking them as failed and as no attempt of theirs. Does not belong here: whether another run
starts (core/retrain.py). Dagster's local launcher does not notice a killed worker (dagster#4319): such a run would count as
in flight until its longest runtime is over.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import TYPE_CHECKING

import psutil

from correctly_assets.core.retrain import FAILURE_TAG, INTERRUPTED, WANT_TAG
from correctly_assets.workflows.process_identity import ProcessIdentity, find_running, identity_of

if TYPE_CHECKING:
    from dagster import DagsterInstance, DagsterRun

_PID = re.compile(r"pid: (\d+)")
_BY_DAEMON = ".dagster/grpc_info"
"""The tag that the default launcher sets on a run before it starts the worker."""
WORKER_TAG = "correctly/worker"
"""The tag with what tells a run's worker from a later process of its number."""


def fail_dead_runs(instance: DagsterInstance, *, daemon_runs: bool = False) -> list[str]:
    """Mark as failed every started run whose worker process is gone. Returns their ids.

    Queued runs are left alone: the daemon will launch them.

    Args:
        daemon_runs: the daemon is at work and may be launching a run whose worker has not said its process yet; and
            somebody may run a job by hand on another machine. Only runs that the daemon launched and whose worker is
            known to be gone are marked then.
    """
    from dagster import DagsterRunStatus, RunsFilter

    if instance.run_launcher.supports_check_run_worker_health:
        return []  # containers and clusters: their launcher watches the workers, which are no processes of this machine
    unfinished = [
        DagsterRunStatus.STARTING,
        DagsterRunStatus.STARTED,
        DagsterRunStatus.CANCELING,
        DagsterRunStatus.NOT_STARTED,
    ]
    failed: list[str] = []
    for record in instance.get_run_records(RunsFilter(statuses=unfinished)):
        run = record.dagster_run
        pids, noted = _worker_pids(instance, run.run_id), json.loads(run.tags.get(WORKER_TAG, "{}"))
        ours = bool(pids) and _BY_DAEMON in run.tags
        if running := [pid for pid, said in pids if _is_worker(pid, said, noted)]:
            if ours and running[-1] != noted.get("pid"):
                _note_worker(instance, run, running[-1])
            continue
        if daemon_runs and not ours:
            continue
        instance.report_run_failed(
            run, "The worker process of this run is gone: the machine or the platform was killed."
        )
        instance.add_run_tags(run.run_id, {FAILURE_TAG: INTERRUPTED})
        failed.append(run.run_id)
    return failed


def note_interrupted_run(instance: DagsterInstance) -> None:
    """Mark the newest retraining run as one that ended with the platform, where its worker was told to stop and nobody
    had asked for the run's end."""
    from dagster import DagsterEventType, DagsterRunStatus, RunsFilter

    for run in instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.FAILURE]), limit=1):
        if WANT_TAG not in run.tags or FAILURE_TAG in run.tags:
            continue
        ends = instance.all_logs(run.run_id, of_type=DagsterEventType.RUN_FAILURE)
        if any("interrupted unexpectedly" in (entry.get_dagster_event().message or "") for entry in ends):
            instance.add_run_tags(run.run_id, {FAILURE_TAG: INTERRUPTED})


def _worker_pids(instance: DagsterInstance, run_id: str) -> list[tuple[int, float]]:
    from dagster import DagsterEventType

    found: list[tuple[int, float]] = []
    for entry in instance.all_logs(run_id, of_type=DagsterEventType.ENGINE_EVENT):
        match = _PID.search(entry.dagster_event.message or "") if entry.dagster_event else None
        if match:
            found.append((int(match.group(1)), entry.timestamp))
    return found


def _note_worker(instance: DagsterInstance, run: DagsterRun, pid: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended; the next look sees that
        instance.add_run_tags(run.run_id, {WORKER_TAG: json.dumps(identity_of(pid))})


def _is_worker(pid: int, said: float, noted: ProcessIdentity) -> bool:
    """Whether the process that gave its number at that time still runs; a later process may have got its number.

    The first look at a run, seconds after its worker began, has to go by the clock; it notes what later ones go by.
    """
    if pid == noted.get("pid"):
        return find_running(noted) is not None
    try:
        process = psutil.Process(pid)
        return process.create_time() <= said + 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
