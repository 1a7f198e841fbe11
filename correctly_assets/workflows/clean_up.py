"""The daily clean-up: what has been kept for CORRECTLY_RETENTION_DAYS goes, and what no adapter needs any more.

Belongs here: each place that keeps texts of people or grows by itself, and removing what is old there. Does not belong here:
which rows of the store go (store/retention.py), which adapters stay (collect_garbage.py), or when this runs (defs/clean_up_job.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from correctly_assets.core.errors import CorrectlyError
from correctly_assets.settings import PlatformSettings, Settings
from correctly_assets.workflows.collect_garbage import collect_garbage, loaded_adapters
from correctly_assets.workflows.openwebui_chats import is_here, remove_old_chats

if TYPE_CHECKING:
    from correctly_assets.store import Store
    from correctly_assets.workflows.promote import EngineLike

KEPT_ADAPTERS = 10
"""The newest adapters that stay, as in `correctly gc`."""
KEPT_RUNS = 20
"""The newest runs that stay whatever their age: the sensors look at how the last ones ended."""


@dataclass(frozen=True, slots=True)
class CleanedUp:
    """What a clean-up did, a sentence a place, and what it could not do."""

    messages: tuple[str, ...]
    failed: tuple[str, ...]


def clean_up(
    settings: Settings, store: Store, instance: DagsterInstance, engine: EngineLike, *, now: datetime | None = None
) -> CleanedUp:
    """Remove what is old, place by place. A place that fails keeps none of the others from being cleaned.

    Args:
        now: the time that ages are counted from.
    """
    platform = settings.platform
    before = (now or datetime.now(UTC)) - timedelta(days=settings.privacy.retention_days)
    places: list[tuple[str, Callable[[], str]]] = [
        ("The store", lambda: _texts(store, before)),
        ("The inbox", lambda: _inbox_files(platform, before)),
        ("The chat page", lambda: _chats(platform, before)),
        ("Dagster's runs", lambda: f"{purge_runs(instance, platform.dagster_home, before)} runs removed."),
        ("The logs", lambda: f"{_remove_old_files(_old_logs(platform), before)} old log files removed."),
        ("Adapters and snapshots", lambda: _garbage(platform, store, engine)),
    ]
    messages: list[str] = []
    failed: list[str] = []
    for name, clean in places:
        try:
            messages.append(f"{name}: {clean()}")
        except (CorrectlyError, OSError) as error:
            failed.append(f"{name}: {error}")
    return CleanedUp(tuple(messages), tuple(failed))


def _texts(store: Store, before: datetime) -> str:
    gone = store.remove_before(before.astimezone(UTC).isoformat(timespec="milliseconds"))
    return (
        f"{gone.answers} answers, {gone.reactions} reactions, {gone.confirmed} confirmed answers and {gone.held} held rows "
        "removed."
    )


def _inbox_files(platform: PlatformSettings, before: datetime) -> str:
    files = (path for name in ("done", "refused") for path in (platform.inbox_dir / name).rglob("*"))
    return f"{_remove_old_files(files, before)} files that had been read removed."


def _chats(platform: PlatformSettings, before: datetime) -> str:
    if not is_here(platform):
        return "there is none."
    chats, votes = remove_old_chats(platform, before.timestamp())
    return f"{chats} chats and {votes} votes removed."


def purge_runs(instance: DagsterInstance, dagster_home: Path, before: datetime) -> int:
    """Remove runs that ended before a time, with their events and logs; returns how many.

    The newest `KEPT_RUNS` stay, and every run whose record of an asset is that asset's latest: the loop reads it.
    """
    ended = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
    kept = {run.run_id for run in instance.get_runs(limit=KEPT_RUNS)}
    events = (instance.get_latest_materialization_event(key) for key in instance.all_asset_keys())
    kept |= {event.run_id for event in events if event is not None}
    old = instance.get_run_records(RunsFilter(statuses=ended, updated_before=before))
    going = [record.dagster_run.run_id for record in old if record.dagster_run.run_id not in kept]
    for run_id in going:
        instance.delete_run(run_id)
        # Its events' own file keeps the texts in its free pages.
        for path in (dagster_home / "storage").glob(f"**/runs/{run_id}.db*"):
            path.unlink(missing_ok=True)
        shutil.rmtree(dagster_home / "logs" / run_id, ignore_errors=True)
    return len(going)


def _old_logs(platform: PlatformSettings) -> Iterator[Path]:
    """Logs that nobody writes to any more: rotated ones, and those of runs and of sensors' ticks."""
    yield from platform.logs_dir.glob("*.log.*")
    yield from (platform.dagster_home / "logs").rglob("*")


def _remove_old_files(paths: Iterator[Path], before: datetime) -> int:
    """Remove the files among the paths that were last written, or moved, before a time; returns how many."""
    count = 0
    for path in list(paths):
        with contextlib.suppress(FileNotFoundError):
            stat = path.lstat()
            # A file keeps the time of its writing when it is moved to where it lies.
            if not path.is_dir() and max(stat.st_mtime, stat.st_ctime) < before.timestamp():
                path.unlink()
                count += 1
    return count


def _garbage(platform: PlatformSettings, store: Store, engine: EngineLike) -> str:
    loaded = asyncio.run(loaded_adapters(engine, platform_runs=True))
    removed = collect_garbage(platform, store, keep=KEPT_ADAPTERS, loaded=loaded)
    return f"{len(removed)} removed, {sum(item.size for item in removed) / 1e6:.1f} MB."
