"""The run launcher with real workers: who they belong to, how they are canceled, and what is said of one that dies."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster._core.code_pointer import FileCodePointer
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.launcher import LaunchRunContext

from correctly_assets.platform.dagster_instance import make_instance, open_instance
from correctly_assets.platform.run_launcher import WorkerLauncher
from correctly_assets.settings import Settings
from correctly_assets.workflows.dead_runs import WORKER_TAG, fail_dead_runs
from correctly_assets.workflows.process_identity import find_running

pytestmark = pytest.mark.slow

JOB = """
import dagster as dg, time
@dg.op
def work():
    for _ in range(6000):
        time.sleep(0.05)
@dg.job(executor_def=dg.in_process_executor)
def take_minutes():
    work()
defs = dg.Definitions(jobs=[take_minutes])
"""


@pytest.fixture
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    with make_instance(settings) as made:
        yield made
        for worker in psutil.Process().children():
            worker.kill()


def launched(instance: dg.DagsterInstance, tmp_path: Path) -> tuple[dg.DagsterRun, psutil.Process]:
    """A run of minutes and its worker, once its step has begun."""
    code = tmp_path / "job.py"
    code.write_text(JOB)
    job = ReconstructableRepository(FileCodePointer(str(code), "defs")).get_reconstructable_job("take_minutes")
    run = instance.create_run_for_job(
        job.get_definition(), job_code_origin=job.get_python_origin(), status=dg.DagsterRunStatus.STARTING
    )
    assert isinstance(instance.run_launcher, WorkerLauncher)
    instance.run_launcher.launch_run(LaunchRunContext(run, workspace=None))
    wait(lambda: instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_START))
    worker = find_running(json.loads(read(instance, run).tags[WORKER_TAG]))
    assert worker is not None
    return run, worker


def read(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found


def wait(wanted: Callable[[], object], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def status(instance: dg.DagsterInstance, run: dg.DagsterRun, seconds: float = 120) -> dg.DagsterRunStatus:
    """What a run ended as."""
    wait(lambda: read(instance, run).is_finished, seconds)
    return read(instance, run).status


def test_a_run_canceled_from_another_process_ends_as_canceled(instance, settings, tmp_path):
    run, worker = launched(instance, tmp_path)
    assert worker.ppid() == psutil.Process().pid
    assert fail_dead_runs(instance, daemon_runs=True) == []
    elsewhere = open_instance(settings.platform)  # as the web server has one
    assert elsewhere is not None and elsewhere.run_launcher.terminate(run.run_id)
    elsewhere.dispose()
    assert status(instance, run) == dg.DagsterRunStatus.CANCELED
    # Waited for: nothing of it is left, not even a zombie.
    wait(lambda: not worker.is_running())
    assert not instance.run_launcher.terminate(run.run_id)


def test_a_run_whose_worker_is_killed_fails_at_once_and_says_so(instance, tmp_path):
    run, worker = launched(instance, tmp_path)
    worker.kill()
    assert status(instance, run) == dg.DagsterRunStatus.FAILURE
    (failure,) = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    assert "The worker of this run was ended by signal 9" in failure.get_dagster_event().message
