"""What is a cause for alarm, and who must be told of it: the decisions, pure.

Belongs here: alerts from facts and limits, and which messages follow. Does not belong here: reading the facts
(workflows/watch_loop.py), sending (workflows/send_alerts.py), Prometheus' own rules (gateway/panels.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

AlertKind = Literal[
    "refused_gate", "failed_run", "rollback", "votes", "engine", "lag", "disk", "backup", "drift", "stuck_run"
]
TITLES: dict[AlertKind, str] = {
    "refused_gate": "The gate refused an adapter",
    "failed_run": "A run failed",
    "rollback": "A release was rolled back",
    "votes": "Most people who voted on the release in service gave thumbs down",
    "engine": "The engine goes away again and again",
    "lag": "Examples wait too long for a decision",
    "disk": "The disk is nearly full",
    "backup": "There is no recent backup",
    "drift": "Live sentences are unlike the train set, or the champion's scores fell",
    "stuck_run": "A run does not move",
}
REMEDIES: dict[AlertKind, str] = {
    "refused_gate": "Read the report with `correctly report`; land better examples, or quarantine those that made it worse.",
    "failed_run": "`correctly why` and the run's page in Dagster say what failed.",
    "rollback": "`correctly releases` shows why; the release before serves until a better one is promoted.",
    "votes": "Read what was voted down in the chat; `correctly rollback` returns to the release before.",
    "engine": "`correctly logs vllm` says why it ended; memory that is too small is the usual cause.",
    "lag": "`correctly why` says what the retrain sensor waits for.",
    "disk": "`correctly gc` removes adapters and snapshots that nothing needs.",
    "backup": "Run `correctly backup`, and see that it runs each day.",
    "drift": "Land what the sentence names; the asset `model_health` in Dagster shows the figures.",
    "stuck_run": "The run's page in Dagster shows its last step: terminate it there and launch it again.",
}
_MARGIN = 1.1
"""An open alert on a disk is over only this far beyond its limit, so that it does not come and go."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One cause for alarm. ``event`` is the same as long as it is the same event; it is told once."""

    kind: AlertKind
    event: str
    message: str

    @property
    def title(self) -> str:
        """The short name of this kind of alert, as a dashboard and a message head it."""
        return TITLES[self.kind]

    @property
    def remedy(self) -> str:
        """One sentence with what a person can do about this kind of alert."""
        return REMEDIES[self.kind]


@dataclass(frozen=True, slots=True)
class Limits:
    """When something is a cause for alarm.

    Attributes:
        engine_losses: how often the engine may go away within an hour before it counts.
        votes: how many people must have voted on a release before their balance counts.
        undecided_hours: age of an example that no decision has seen. disk_free_gb: free space, in 10^9 bytes.
        backup_hours: age of the newest backup; None where no backup is expected.
        stuck_minutes: how long a run under way may give no sign of life.
    """

    undecided_hours: float = 24.0
    disk_free_gb: float = 5.0
    backup_hours: float | None = 48.0
    votes: int = 10
    engine_losses: int = 3
    stuck_minutes: float = 60.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What alerts are decided over.

    Attributes:
        decision: id, verdict and first reason of the last decision. release: id, kind and why of the newest release.
        votes: people who voted for and against the newest release (`core.rollback.Signals`). engine_losses: in the last hour.
        backup_seconds: age of the newest backup, or of the first release where there is none; None before that.
        drift: what the last look at the model's health found wrong, in sentences; None where nothing is.
        quiet_run: id of the run under way that has been quiet for longest, and for how many seconds; None where there is none.
    """

    decision: tuple[str, str, str] | None = None
    release: tuple[str, str, str] | None = None
    votes: tuple[int, int] = (0, 0)
    engine_losses: int = 0
    undecided: int = 0
    undecided_seconds: float = 0.0
    disk_free_bytes: float | None = None
    backup_seconds: float | None = None
    has_backup: bool = False
    drift: str | None = None
    quiet_run: tuple[str, float] | None = None


def active_alerts(facts: Facts, limits: Limits, known: Collection[str] = ()) -> tuple[Alert, ...]:
    """What is a cause for alarm now.

    Args:
        known: events that are open; they end a little later than they begin.
    """
    found: list[Alert] = []
    if facts.decision is not None:
        id, verdict, reason = facts.decision
        if verdict == "refused":
            found.append(Alert("refused_gate", f"refused_gate:{id}", f"Decision {id}: {reason}"))
        elif verdict == "failed":
            found.append(Alert("failed_run", f"failed_run:{id}", f"Decision {id}: {reason}"))
    if facts.release is not None and facts.release[1] == "rollback":
        id, _, why = facts.release
        found.append(Alert("rollback", f"rollback:{id}", f"{id}: {why}"))
    ups, downs = facts.votes
    if facts.release is not None and ups + downs >= limits.votes and downs > ups:
        id = facts.release[0]
        found.append(
            Alert("votes", f"votes:{id}", f"Of {ups + downs} people who voted on {id} {downs} gave thumbs down.")
        )
    if facts.engine_losses >= limits.engine_losses:
        message = f"The engine went away {facts.engine_losses} times in the last hour."
        found.append(Alert("engine", "engine", message))
    if facts.undecided_seconds > 3600 * limits.undecided_hours:
        hours = facts.undecided_seconds / 3600
        found.append(
            Alert("lag", "lag", f"The oldest of {facts.undecided:,} examples has waited {hours:.0f} h for a decision.")
        )
    enough = 1e9 * limits.disk_free_gb * (_MARGIN if "disk" in known else 1.0)
    if facts.disk_free_bytes is not None and facts.disk_free_bytes < enough:
        found.append(
            Alert("disk", "disk", f"{facts.disk_free_bytes / 1e9:.1f} GB are free where the platform's state is.")
        )
    if (
        limits.backup_hours is not None
        and facts.backup_seconds is not None
        and facts.backup_seconds > 3600 * limits.backup_hours
    ):
        hours = facts.backup_seconds / 3600
        message = f"The newest backup is {hours:.0f} h old." if facts.has_backup else "There is no backup yet."
        found.append(Alert("backup", "backup", message))
    if facts.drift is not None:
        found.append(Alert("drift", "drift", facts.drift))
    if facts.quiet_run is not None and facts.quiet_run[1] > 60 * limits.stuck_minutes:
        id, seconds = facts.quiet_run
        message = f"Run {id[:8]} has given no sign of life for {seconds / 60:.0f} minutes."
        found.append(Alert("stuck_run", f"stuck_run:{id}", message))
    return tuple(found)


# ------------------------------------------------------------------ who is told what


@dataclass(frozen=True, slots=True)
class KnownAlert:
    """An alert that somebody was told of, or is to be. ``channels`` heard of it, and not yet that it is over."""

    alert: Alert
    since: str
    channels: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Message:
    """What one channel is to be told."""

    channel: str
    state: Literal["raised", "resolved"]
    alert: Alert
    since: str


def still_known(known: Mapping[str, KnownAlert], active: Sequence[Alert], now: str) -> dict[str, KnownAlert]:
    """What is known once these alerts are active.

    Those that are over stay while somebody must be told so. One whose place a newer event of its kind has taken is gone
    without a word: the newer one is told, and that nothing is wrong would not be true.
    """
    events, kinds = {alert.event for alert in active}, {alert.kind for alert in active}
    kept = {
        event: entry
        for event, entry in known.items()
        if event in events or (entry.channels and entry.alert.kind not in kinds)
    }
    for alert in active:
        before = kept.get(alert.event)
        kept[alert.event] = KnownAlert(
            alert, before.since if before else now, before.channels if before else frozenset()
        )
    return kept


def messages_for(known: Mapping[str, KnownAlert], active: Iterable[Alert], channels: Sequence[str]) -> list[Message]:
    """What is still to be told, in order: each event once to each channel, and once to the same that it is over."""
    events = {alert.event for alert in active}
    wanted: list[Message] = []
    for event, entry in known.items():
        for channel in channels:
            if event in events and channel not in entry.channels:
                wanted.append(Message(channel, "raised", entry.alert, entry.since))
            elif event not in events and channel in entry.channels:
                wanted.append(Message(channel, "resolved", entry.alert, entry.since))
    return wanted


def after_message(known: Mapping[str, KnownAlert], message: Message) -> dict[str, KnownAlert]:
    """What is known once a message has been delivered."""
    entry = known[message.alert.event]
    informed = entry.channels | {message.channel} if message.state == "raised" else entry.channels - {message.channel}
    changed = {**known, message.alert.event: KnownAlert(entry.alert, entry.since, informed)}
    if message.state == "resolved" and not informed:
        del changed[message.alert.event]
    return changed
