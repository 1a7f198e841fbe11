"""Runs whose worker process is gone, and runs that ended with the platform.

Belongs here: finding them, marking them as failed and as no attempt of theirs. Does not belong here: whether another run
starts (core/retrain.py), or a worker that ends while its daemon runs (platform/run_launcher.py). Dagster does not notice a worker
that was killed with the daemon (dagster#4319): such a run would count as in flight until its longest runtime is over.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import psutil

from correctly_assets.core.retrain import FAILURE_TAG, INTERRUPTED, WANT_TAG
from correctly_assets.workflows.process_identity import find_running

if TYPE_CHECKING:
    from dagster import DagsterInstance, DagsterRun

_PID = re.compile(r"pid: (\d+)")
WORKER_TAG = "correctly/worker"
"""The tag with what tells a run's worker from a later process of its number; the platform's launcher sets it."""


def fail_dead_runs(instance: DagsterInstance, *, daemon_runs: bool = False) -> list[str]:
    """Mark as failed every started run whose worker process is gone. Returns their ids.

    Queued runs are left alone: the daemon will launch them.

    Args:
        daemon_runs: the daemon is at work and may be launching a run whose worker it has not noted yet; and somebody may run a
            job by hand on another machine. Only runs that the daemon launched and whose worker is known to be gone are
            marked then.
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
        if (daemon_runs and WORKER_TAG not in run.tags) or _has_worker(instance, run):
            continue
        now = instance.get_run_by_id(run.run_id)
        if now is None or now.is_finished:
            continue  # it ended well since it was read
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


def _has_worker(instance: DagsterInstance, run: DagsterRun) -> bool:
    """Whether the run's worker runs on this machine; one that a person started has only said its number, and when."""
    if (noted := run.tags.get(WORKER_TAG)) is not None:
        return find_running(json.loads(noted)) is not None
    return any(_began_before(pid, said) for pid, said in _worker_pids(instance, run.run_id))


def _began_before(pid: int, said: float) -> bool:
    """Whether a process runs under a number that a worker gave at that time, and is no later one."""
    try:
        process = psutil.Process(pid)
        return process.create_time() <= said + 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
