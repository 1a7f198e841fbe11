"""What is a cause for alarm, and that each event is told once to each channel and resolved when over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from correctly_assets.core.alerts import (
    Facts,
    KnownAlert,
    Limits,
    active_alerts,
    after_message,
    messages_for,
    still_known,
)

FINE = Facts(
    decision=("d0001", "promoted", "Better."),
    release=("r0001", "promotion", "Better."),
    disk_free_bytes=50e9,
    backup_seconds=3600.0,
    has_backup=True,
)
DAY = 24 * 3600.0


def kinds(facts: Facts, limits: Limits | None = None, known: tuple[str, ...] = ()) -> list[str]:
    return [alert.kind for alert in active_alerts(facts, limits or Limits(), known)]


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"decision": ("d0002", "refused", "Worse.")}, "refused_gate"),
        ({"decision": ("d0002", "failed", "It broke.")}, "failed_run"),
        ({"release": ("r0002", "rollback", "Votes.")}, "rollback"),
        ({"votes": (4, 6)}, "votes"),
        ({"engine_losses": 3}, "engine"),
        ({"undecided": 3, "undecided_seconds": DAY + 1}, "lag"),
        ({"disk_free_bytes": 4.9e9}, "disk"),
        ({"backup_seconds": 2 * DAY + 1}, "backup"),
        ({"backup_seconds": 2 * DAY + 1, "has_backup": False}, "backup"),
        ({"drift": "Live sentences are unlike the train set in one way."}, "drift"),
        ({"quiet_run": ("0123456789ab", 3601.0)}, "stuck_run"),
    ],
)
def test_each_cause_raises_its_alert_and_no_other(changed: dict[str, object], kind: str) -> None:
    assert kinds(FINE) == []
    assert kinds(replace(FINE, **changed)) == [kind]


def test_a_new_platform_and_one_that_keeps_no_backups_raise_nothing() -> None:
    assert kinds(Facts()) == []
    assert kinds(replace(FINE, backup_seconds=99 * DAY), Limits(backup_hours=None)) == []


def test_a_run_that_gave_a_sign_of_life_within_the_hour_raises_nothing() -> None:
    quiet = replace(FINE, quiet_run=("0123456789ab", 3599.0))
    assert kinds(quiet) == [] and kinds(quiet, Limits(stuck_minutes=30)) == ["stuck_run"]


def test_few_or_balanced_votes_raise_nothing() -> None:
    assert kinds(replace(FINE, votes=(0, 9))) == [] and kinds(replace(FINE, votes=(5, 5))) == []
    assert kinds(replace(FINE, votes=(0, 9)), Limits(votes=9)) == ["votes"]


def test_an_open_disk_alert_ends_only_when_a_tenth_more_is_free() -> None:
    facts = replace(FINE, disk_free_bytes=5.2e9)
    assert kinds(facts) == [] and kinds(facts, known=("disk",)) == ["disk"]
    assert kinds(replace(FINE, disk_free_bytes=5.6e9), known=("disk",)) == []


def test_each_channel_hears_of_an_event_once_and_once_that_it_is_over() -> None:
    channels = ["webhook", "mail"]
    (alert,) = active_alerts(replace(FINE, disk_free_bytes=1.0), Limits())
    informed: list[tuple[str, str]] = []
    known: dict[str, KnownAlert] = {}
    for active in ([alert], [alert], [], [], [alert]):
        known = still_known(known, active, "now")
        for message in messages_for(known, active, channels):
            informed.append((message.channel, message.state))
            known = after_message(known, message)
    once = [("webhook", "raised"), ("mail", "raised")]
    assert informed == [*once, ("webhook", "resolved"), ("mail", "resolved"), *once]


def test_an_undelivered_message_is_due_again_for_its_channel_alone() -> None:
    (alert,) = active_alerts(replace(FINE, disk_free_bytes=1.0), Limits())
    known = still_known({}, [alert], "now")
    first, second = messages_for(known, [alert], ["webhook", "mail"])
    known = after_message(known, first)
    assert messages_for(known, [alert], ["webhook", "mail"]) == [second]
    # Over before the second one heard of it: it need not hear at all.
    known = still_known(known, [], "later")
    assert [(m.channel, m.state) for m in messages_for(known, [], ["webhook", "mail"])] == [("webhook", "resolved")]


def test_a_second_refusal_is_told_and_the_first_is_not_called_resolved() -> None:
    known: dict[str, KnownAlert] = {}
    informed: list[tuple[str, str]] = []
    for facts in (
        replace(FINE, decision=("d0002", "refused", "Worse.")),
        replace(FINE, decision=("d0003", "refused", "Worse still.")),
        FINE,
    ):
        active = active_alerts(facts, Limits())
        known = still_known(known, active, "now")
        for message in messages_for(known, active, ["mail"]):
            informed.append((message.state, message.alert.event))
            known = after_message(known, message)
    assert informed == [
        ("raised", "refused_gate:d0002"),
        ("raised", "refused_gate:d0003"),
        ("resolved", "refused_gate:d0003"),
    ]
    assert known == {}
