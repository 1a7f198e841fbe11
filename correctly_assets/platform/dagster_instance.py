"""The Dagster instance: its file, and the runs that a killed machine left behind.

Belongs here: writing ``dagster.yaml`` of the instance from the repository's plus one storage stanza, and marking runs
whose worker is gone. Does not belong here: launching runs.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import yaml

from correctly_assets.artifacts.files import write_text_atomically
from correctly_assets.settings import PROJECT_ROOT, PlatformSettings, Settings
from correctly_assets.store.schemas import dagster_storage, ensure_schemas, postgres_url

if TYPE_CHECKING:
    from dagster import DagsterInstance

_BATCH_SECONDS = 26 * 3600
_PID = re.compile(r"pid: (\d+)")


def instance_config(storage: dict[str, Any]) -> dict[str, Any]:
    """The repository's dagster.yaml with a storage stanza."""
    return {**yaml.safe_load((PROJECT_ROOT / "dagster.yaml").read_text()), "storage": storage}


def write_instance(settings: Settings) -> Path:
    """Write the instance's dagster.yaml under HOME and make sure of its database. Returns DAGSTER_HOME."""
    ensure_schemas(settings.platform)
    settings.platform.dagster_home.mkdir(parents=True, exist_ok=True)
    config = {**instance_config(dagster_storage(settings.platform))}
    if settings.teacher.kind == "openai" and settings.teacher.batch_at is not None:
        # A run then waits for a batch, which has a day; the endpoint ends it, not the monitor.
        limit = config["run_monitoring"]["max_runtime_seconds"]
        config["run_monitoring"] = {**config["run_monitoring"], "max_runtime_seconds": limit + _BATCH_SECONDS}
    config["compute_logs"] = {
        "module": "dagster._core.storage.local_compute_log_manager",
        "class": "LocalComputeLogManager",
        "config": {"base_dir": str(settings.platform.dagster_home / "logs")},
    }
    config["local_artifact_storage"] = {
        "module": "dagster._core.storage.root",
        "class": "LocalArtifactStorage",
        "config": {"base_dir": str(settings.platform.dagster_home)},
    }
    write_text_atomically(settings.platform.dagster_home / "dagster.yaml", yaml.safe_dump(config, sort_keys=False))
    return settings.platform.dagster_home


def open_instance(platform: PlatformSettings) -> DagsterInstance | None:
    """The platform's Dagster instance, whatever DAGSTER_HOME says; None where no platform has run yet. Nothing is written."""
    home = platform.dagster_home
    if not (home / "dagster.yaml").is_file():
        return None
    if postgres_url(platform) is None and not (home / "storage").is_dir():
        return None  # Dagster makes its files when it opens them.
    return _open(home)


def make_instance(settings: Settings) -> DagsterInstance:
    """The platform's Dagster instance with its file written anew, and its database made where there is none."""
    return _open(write_instance(settings))


def _open(home: Path) -> DagsterInstance:
    from dagster import DagsterInstance

    return DagsterInstance.from_config(str(home))


def fail_dead_runs(instance: DagsterInstance) -> list[str]:
    """Mark as failed every started run whose worker process is gone. Returns their ids.

    Dagster's local launcher does not notice a killed worker: such a run would count as in flight for ever. Call it
    before the daemon starts. Queued runs are left alone: the daemon will launch them.
    """
    from dagster import DagsterRunStatus, RunsFilter

    unfinished = [
        DagsterRunStatus.STARTING,
        DagsterRunStatus.STARTED,
        DagsterRunStatus.CANCELING,
        DagsterRunStatus.NOT_STARTED,
    ]
    failed: list[str] = []
    for record in instance.get_run_records(RunsFilter(statuses=unfinished)):
        run = record.dagster_run
        pids = _worker_pids(instance, run.run_id)
        if any(_is_running_since(pid, started) for pid, started in pids):
            continue
        instance.report_run_failed(
            run, "The worker process of this run is gone: the machine or the platform was killed."
        )
        failed.append(run.run_id)
    return failed


def _worker_pids(instance: DagsterInstance, run_id: str) -> list[tuple[int, float]]:
    from dagster import DagsterEventType

    found: list[tuple[int, float]] = []
    for entry in instance.all_logs(run_id, of_type=DagsterEventType.ENGINE_EVENT):
        match = _PID.search(entry.dagster_event.message or "") if entry.dagster_event else None
        if match:
            found.append((int(match.group(1)), entry.timestamp))
    return found


def _is_running_since(pid: int, reported: float) -> bool:
    """Whether the process that reported itself at that time still runs; a later process may have got its number."""
    try:
        process = psutil.Process(pid)
        return process.create_time() <= reported + 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
