"""Which backups are kept, over a year of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from correctly_assets.core.backup_retention import BEFORE_MIGRATION, BackupAge, backups_to_remove

START = datetime(2026, 1, 1, 2, 30, tzinfo=UTC)


def test_a_year_of_nightly_backups_leaves_seven_days_and_four_weeks():
    kept: list[BackupAge] = []
    for day in range(365):
        now = START + timedelta(days=day)
        kept.append(BackupAge(f"day{day}", now, "daily"))
        going = backups_to_remove(kept, now)
        kept = [backup for backup in kept if backup.name not in going]
    assert [backup.name for backup in kept[-7:]] == [f"day{day}" for day in range(358, 365)]
    weeks = {backup.at.isocalendar()[:2] for backup in kept[:-7]}
    assert len(kept) == 11 and len(weeks) == 4
    assert START + timedelta(days=364) - kept[0].at >= timedelta(days=21)


def test_what_is_younger_than_a_day_stays_and_of_older_days_the_newest():
    now = START + timedelta(days=3)
    today = [BackupAge(f"hour{hour}", now - timedelta(hours=hour), "by hand") for hour in range(23)]
    older = [BackupAge(f"old{hour}", START + timedelta(hours=hour), "by hand") for hour in range(5)]
    assert backups_to_remove([*older, *today], now) == ["old0", "old1", "old2", "old3"]


def test_the_newest_backup_before_a_migration_is_kept():
    upgrade = [BackupAge(f"up{n}", START + timedelta(hours=n), f"{BEFORE_MIGRATION}: 000{n}") for n in (1, 2)]
    nightly = [BackupAge(f"day{day}", START + timedelta(days=day), "daily") for day in range(1, 60)]
    going = backups_to_remove([*upgrade, *nightly], nightly[-1].at)
    assert "up2" not in going and "up1" in going


def test_gaps_do_not_remove_the_last_backups():
    old = [BackupAge(f"day{day}", START + timedelta(days=day), "daily") for day in range(3)]
    assert backups_to_remove(old, START + timedelta(days=400)) == []
