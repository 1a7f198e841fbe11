"""What is a cause for alarm: its kinds, its limits, and what to do about each.

Belongs here: the words and the limits, as values. Does not belong here: the rules that Prometheus checks (gateway/panels.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

AlertKind = Literal["refused_gate", "failed_run", "rollback", "lag", "disk", "backup"]
TITLES: dict[AlertKind, str] = {
    "refused_gate": "The gate refused an adapter",
    "failed_run": "A run failed",
    "rollback": "A release was rolled back",
    "lag": "Examples wait too long for a decision",
    "disk": "The disk is nearly full",
    "backup": "There is no recent backup",
}
REMEDIES: dict[AlertKind, str] = {
    "refused_gate": "Read the report with `correctly report`; land better examples, or quarantine those that made it worse.",
    "failed_run": "`correctly status` and the run's page in Dagster say what failed.",
    "rollback": "`correctly releases` shows why; the release before serves until a better one is promoted.",
    "lag": "The page of `retrain_sensor` in Dagster says what it waits for.",
    "disk": "`correctly gc` removes adapters and snapshots that nothing needs.",
    "backup": "Run `correctly backup`, and see that it runs each day.",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """When something is a cause for alarm.

    Attributes:
        undecided_hours: age of an example that no decision has seen. disk_free_gb: free space, in 10^9 bytes.
        backup_hours: age of the newest backup; None where no backup is expected.
    """

    undecided_hours: float = 24.0
    disk_free_gb: float = 5.0
    backup_hours: float | None = 48.0
