"""Watching the loop: reads what alerts are decided over, keeps which are open, and has them told.

Belongs here: one look, and the file that remembers what was told. Does not belong here: the decision (core/alerts.py), the
channels (send_alerts.py), when to look (gateway/service.py).
"""

from __future__ import annotations

import fcntl
import json
import logging
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from correctly_assets.artifacts.files import write_text_atomically
from correctly_assets.artifacts.health_record import read_health
from correctly_assets.core.alerts import (
    Alert,
    Facts,
    KnownAlert,
    Limits,
    active_alerts,
    after_message,
    messages_for,
    still_known,
)
from correctly_assets.core.errors import UnreachableError
from correctly_assets.settings import Settings
from correctly_assets.store import Store
from correctly_assets.workflows.loop_metrics import newest_backup, seconds_of
from correctly_assets.workflows.quiet_run import quietest_run
from correctly_assets.workflows.send_alerts import channels

log = logging.getLogger(__name__)

_HEALTH_HOLDS = 3 * 86_400.0
"""Seconds for which a look at the model's health counts; there is one a day."""


def limits_of(settings: Settings) -> Limits:
    """The limits that the settings name."""
    alerts = settings.alerts
    return Limits(
        alerts.undecided_hours,
        alerts.disk_free_gb,
        alerts.backup_hours or None,
        alerts.votes,
        alerts.engine_losses,
        alerts.stuck_minutes,
    )


def read_facts(store: Store, settings: Settings, now: float, engine_losses: int = 0) -> Facts:
    """What alerts are decided over, now.

    Args:
        now: seconds since 1970. engine_losses: how often the engine went away in the last hour, as the gateway has seen it.

    Raises:
        CorrectlyError: the store cannot be read.
    """
    decision, release = store.last_decision(), store.champion()
    since, backup = store.undecided_since(), newest_backup(settings)
    began = store.first_release_at() if backup is None else None
    seen = store.signals(release.id) if release is not None else None
    backed_up = seconds_of(began) if began is not None else backup
    return Facts(
        decision=decision
        and (decision.id, decision.verdict, next(iter(decision.reasons), "No reason was written down.")),
        release=release and (release.id, release.kind, release.why),
        votes=(seen.ups, seen.downs) if seen is not None else (0, 0),
        engine_losses=engine_losses,
        undecided=store.new_since_decision(),
        undecided_seconds=max(0.0, now - seconds_of(since)) if since else 0.0,
        disk_free_bytes=shutil.disk_usage(settings.platform.home).free,
        backup_seconds=None if backed_up is None else now - backed_up,
        has_backup=backup is not None,
        drift=_drift(settings, now),
        quiet_run=quietest_run(settings.platform, now),
    )


def _drift(settings: Settings, now: float) -> str | None:
    """What the last look at the model's health found wrong; one of days ago tells nothing of today."""
    found = read_health(settings.platform.health_path)
    if found is None or now - seconds_of(found.at) > _HEALTH_HOLDS:
        return None
    messages = [*([found.message] if found.drifted else []), *([found.scores_message] if found.fell else [])]
    return " ".join(messages) or None


def watch_loop(
    store: Store, settings: Settings, now: float | None = None, *, engine_losses: int = 0
) -> tuple[Alert, ...]:
    """Look once: decide which alerts are active, and tell each channel what it has not heard. Blocks while it sends.

    A message that a receiver does not take is due again at the next look. Of several processes one looks at a time.

    Args:
        now, engine_losses: as for `read_facts`; the time of this call when None.

    Returns:
        The active alerts.

    Raises:
        CorrectlyError: the store cannot be read.
    """
    now = time.time() if now is None else now
    path = alerts_path(settings)
    with _alone(path) as is_holder:
        known = read_known_alerts(path)
        active = active_alerts(read_facts(store, settings, now, engine_losses), limits_of(settings), known)
        if not is_holder:
            return active
        at = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
        changed = still_known(known, active, at)
        if changed != known:
            _write(path, changed)
        send = channels(settings)
        for message in messages_for(changed, active, list(send)):
            try:
                send[message.channel](message)
            except UnreachableError as error:
                log.error("alert not told", extra={"event": message.alert.event, "error": str(error)})
                continue
            # After each one: a process that is killed now must not tell it again.
            changed = after_message(changed, message)
            _write(path, changed)
    return active


def alerts_path(settings: Settings) -> Path:
    """Where is kept who was told of what."""
    return settings.platform.home / "run" / "alerts.json"


def read_known_alerts(path: Path) -> dict[str, KnownAlert]:
    """Known alerts by event; none where the file is missing or damaged, for then they are told once more."""
    try:
        return {
            event: KnownAlert(Alert(one["kind"], event, one["says"]), one["since"], frozenset(one["channels"]))
            for event, one in json.loads(path.read_text(encoding="utf-8")).items()
        }
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError):
        log.error("the record of alerts is damaged", extra={"path": str(path)})
        return {}


def _write(path: Path, known: Mapping[str, KnownAlert]) -> None:
    kept = {
        event: {
            "kind": entry.alert.kind,
            "says": entry.alert.message,
            "since": entry.since,
            "channels": sorted(entry.channels),
        }
        for event, entry in known.items()
    }
    write_text_atomically(path, json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Whether nobody else looks at this moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
