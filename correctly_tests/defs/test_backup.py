"""The job that the nightly schedule starts, run for real on a HOME of its own."""

from __future__ import annotations

import dagster as dg

from correctly_assets.artifacts.backups import backups_in
from correctly_assets.definitions import build_defs
from correctly_assets.settings import Settings
from correctly_assets.store import open_store


def test_the_job_makes_a_backup_and_says_where(settings: Settings) -> None:
    open_store(settings.platform.store_url, settings.platform.sql_dir).close()
    done = build_defs(settings).resolve_job_def("back_up").execute_in_process()
    (path,) = backups_in(settings.platform.backup_place)
    assert done.success and str(path) in done.output_for_node("make_backup")


def test_the_job_fails_where_there_is_nothing_to_back_up(settings: Settings) -> None:
    done = build_defs(settings).resolve_job_def("back_up").execute_in_process(raise_on_error=False)
    assert not done.success


def test_the_schedule_runs_from_the_start_unless_a_setting_says_otherwise(settings: Settings) -> None:
    def status(given: Settings) -> dg.DefaultScheduleStatus:
        return build_defs(given).get_repository_def().get_schedule_def("daily_backup").default_status

    assert status(settings) == dg.DefaultScheduleStatus.RUNNING
    assert status(settings.changed(platform={"backup_daily": False})) == dg.DefaultScheduleStatus.STOPPED
