"""For how long a run that is under way has given no sign of life.

Belongs here: reading that from Dagster's tables and the file of progress. Does not belong here: from when on it is a cause for alarm
(core/alerts.py), or ending such a run (Dagster's monitoring does so after `max_runtime_seconds`).
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

from sqlalchemy.exc import DBAPIError

from correctly_assets.settings import PlatformSettings
from correctly_assets.store.dagster_tables import RUNS, events_of, read_dagster

_UNDER_WAY = "SELECT run_id FROM runs WHERE status IN ('STARTING', 'STARTED', 'CANCELING') ORDER BY id"
_NEWEST_EVENT = "SELECT max(timestamp) FROM event_logs WHERE run_id = :run_id"


def quietest_run(platform: PlatformSettings, now: float) -> tuple[str, float] | None:
    """The run under way that has been quiet for longest, and for how many seconds; None where none is under way, or nothing can be read.

    What is under way is a long step's progress too, which it writes into a file; runs follow each other, so that it is theirs.

    Args:
        now: seconds since 1970.
    """
    try:
        runs = [run_id for (run_id,) in read_dagster(platform, RUNS, _UNDER_WAY)]
        moved = {run_id: at for run_id in runs if (at := _last_event(platform, run_id)) is not None}
    except DBAPIError:
        return None  # no platform has run here, or the database is away, which others say
    with contextlib.suppress(FileNotFoundError):
        progress = platform.progress_path.stat().st_mtime
        moved = {run_id: max(at, progress) for run_id, at in moved.items()}
    quiet = {run_id: max(0.0, now - at) for run_id, at in moved.items()}
    return max(quiet.items(), key=lambda one: one[1], default=None)


def _last_event(platform: PlatformSettings, run_id: str) -> float | None:
    ((newest,),) = read_dagster(platform, events_of(run_id), _NEWEST_EVENT, run_id=run_id)
    if newest is None:
        return None
    at = newest if isinstance(newest, datetime) else datetime.fromisoformat(newest)
    return at.replace(tzinfo=UTC).timestamp()  # Dagster writes UTC, and does not say so
