"""How long a run under way has been quiet, read from a real instance's tables."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from correctly_assets.platform.dagster_instance import make_instance
from correctly_assets.settings import Settings
from correctly_assets.workflows.quiet_run import quietest_run


@dg.job
def some_job() -> None: ...


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Dagster writes UTC without saying so: a machine's zone must not move it."""
    with monkeypatch.context() as there:
        there.setenv("TZ", "Asia/Seoul")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("far_from_utc")
def test_a_run_is_quiet_since_its_last_event_or_progress(settings: Settings):
    platform, now = settings.platform, time.time()
    assert quietest_run(platform, now) is None
    with make_instance(settings) as instance:
        assert quietest_run(platform, now) is None
        run = instance.create_run_for_job(some_job, status=dg.DagsterRunStatus.STARTED)
        waiting = instance.create_run_for_job(some_job, status=dg.DagsterRunStatus.NOT_STARTED)
        for one in (run, waiting):
            instance.report_engine_event("Something happened.", one)
        found, seconds = quietest_run(platform, time.time() + 600) or ("", 0.0)
        assert found == run.run_id and 600 <= seconds < 660
        platform.progress_path.parent.mkdir(parents=True, exist_ok=True)
        platform.progress_path.touch()
        os.utime(platform.progress_path, (now + 500, now + 500))
        assert quietest_run(platform, now + 600) == (run.run_id, pytest.approx(100, abs=1))
        instance.report_run_failed(run, "It broke.")
        assert quietest_run(platform, time.time()) is None


def test_a_home_with_a_blank_in_its_name_is_read_too(settings: Settings, tmp_path: Path):
    there = settings.changed(platform={"home": tmp_path / "a home 100% mine"})
    with make_instance(there) as instance:
        run = instance.create_run_for_job(some_job, status=dg.DagsterRunStatus.STARTED)
        instance.report_engine_event("Something happened.", run)
    assert (quietest_run(there.platform, time.time()) or ("",))[0] == run.run_id
