"""The Dagster instance's files.

Belongs here: writing ``dagster.yaml`` of the instance from the repository's plus one storage stanza, and reading the daemon's newest
beat. Does not belong here: launching runs (run_launcher.py), or ending those whose worker is gone (workflows/dead_runs.py).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from correctly_assets.artifacts.files import write_text_atomically
from correctly_assets.platform.code_server import write_workspace
from correctly_assets.settings import PlatformSettings, Settings, shipped
from correctly_assets.store.dagster_tables import RUNS, read_dagster
from correctly_assets.store.schemas import (
    DAGSTER_DATABASE,
    dagster_storage,
    ensure_schemas,
    postgres_url,
    schema_url,
)

if TYPE_CHECKING:
    from dagster import DagsterInstance

_BATCH_SECONDS = 26 * 3600
_NEWEST_BEAT = "SELECT max(timestamp) FROM daemon_heartbeats"


def write_instance(settings: Settings) -> Path:
    """Write the instance's dagster.yaml and workspace.yaml under HOME and make sure of its database. Returns DAGSTER_HOME."""
    ensure_schemas(settings.platform)
    settings.platform.dagster_home.mkdir(parents=True, exist_ok=True)
    config = yaml.safe_load(shipped("dagster.yaml").read_text()) | {"storage": dagster_storage(settings.platform)}
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
    write_workspace(settings)
    return settings.platform.dagster_home


def open_instance(platform: PlatformSettings) -> DagsterInstance | None:
    """The platform's Dagster instance, whatever DAGSTER_HOME says; None where no platform has run yet. Nothing is written."""
    home = platform.dagster_home
    if not (home / "dagster.yaml").is_file():
        return None
    if postgres_url(platform) is None and not (home / "storage").is_dir():
        return None  # Dagster makes its files when it opens them.
    return _open(platform)


def newest_beat(settings: Settings) -> str | None:
    """When Dagster's daemon last said that it is at work, as its database has it; None where it never has. Each of its threads says
    so every half minute.

    Raises:
        Exception: the database is away, or has no such table yet.
    """
    ((newest,),) = read_dagster(settings.platform, RUNS, _NEWEST_BEAT)
    return None if newest is None else str(newest)


def make_instance(settings: Settings) -> DagsterInstance:
    """The platform's Dagster instance with its file written anew, and its database made where there is none."""
    write_instance(settings)
    return _open(settings.platform)


def _open(platform: PlatformSettings) -> DagsterInstance:
    from dagster import DagsterInstance

    if (url := postgres_url(platform)) is not None:
        os.environ[DAGSTER_DATABASE] = schema_url(url, "dagster")
    return DagsterInstance.from_config(str(platform.dagster_home))
