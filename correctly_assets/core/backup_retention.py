"""Which backups are kept.

Belongs here: the decision, from the times of the backups alone. Does not belong here: making, finding or removing one
(artifacts/backups.py, workflows/back_up.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

DAILY = 7
WEEKLY = 4
BEFORE_MIGRATION = "before a migration"
"""Why a backup was made that an upgrade of the store's tables began with."""


@dataclass(frozen=True, slots=True)
class BackupAge:
    """What the decision looks at: a backup's name, when it was made (UTC) and why."""

    name: str
    at: datetime
    why: str = ""


def backups_to_remove(backups: Iterable[BackupAge], now: datetime) -> list[str]:
    """The names of the backups that are no longer needed, oldest first.

    Kept are: whatever is younger than a day; of each of the last seven days that have backups the newest; of the backups
    before those, of each of the last four ISO weeks that have any the newest; and the newest that an upgrade began with.
    """
    newest_first = sorted(backups, key=lambda backup: (backup.at, backup.name), reverse=True)
    kept = _newest_of_each(newest_first, [backup.at.date() for backup in newest_first], DAILY)
    oldest_day = min((backup.at.date() for backup in newest_first if backup.name in kept), default=now.date())
    before = [backup for backup in newest_first if backup.at.date() < oldest_day]
    kept |= _newest_of_each(before, [backup.at.isocalendar()[:2] for backup in before], WEEKLY)
    kept |= {backup.name for backup in newest_first if now - backup.at < timedelta(days=1)}
    kept |= {backup.name for backup in [b for b in newest_first if b.why.startswith(BEFORE_MIGRATION)][:1]}
    return [backup.name for backup in reversed(newest_first) if backup.name not in kept]


def _newest_of_each(newest_first: Sequence[BackupAge], periods: Sequence[object], most: int) -> set[str]:
    found: dict[object, str] = {}
    for backup, period in zip(newest_first, periods, strict=True):
        found.setdefault(period, backup.name)
    return set(list(found.values())[:most])
