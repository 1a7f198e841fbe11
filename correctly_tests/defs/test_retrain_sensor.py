"""The retrain sensor, tick by tick, on a real Dagster instance and a real store."""

# A tick answers with a request or with a reason to skip, and each test says which by what it asks of it.
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false, reportArgumentType=false

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psutil
import pytest
import sqlalchemy

from correctly_assets.core.errors import UnreachableError
from correctly_assets.core.landing import identified
from correctly_assets.core.retrain import WANT_TAG, rows_digest
from correctly_assets.core.types import Example
from correctly_assets.defs.automation import mark_what_passes, tick_retrain
from correctly_assets.defs.event_metadata import refused
from correctly_assets.resources.store_resource import StoreResource
from correctly_assets.settings import get_settings
from correctly_assets.store import Store, open_store
from correctly_assets.workflows.dead_runs import WORKER_TAG, fail_dead_runs
from correctly_assets.workflows.process_identity import identity_of
from correctly_assets.workflows.retrain_state import fingerprint_of, recipe, recipe_digest


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("CORRECTLY_RETRAIN_QUIET_SECONDS", "0")
    settings = get_settings()
    settings.platform.home.mkdir(parents=True)
    with open_store(settings.platform.store_url, settings.platform.sql_dir) as opened:
        yield opened


def land(store: Store, *texts: str) -> None:
    store.land([identified(Example(id="", before=text, after=text + " ok")) for text in texts])


def tick(instance: dg.DagsterInstance, cursor: str | None = None) -> dg.SkipReason | dg.RunRequest:
    settings = get_settings()
    store = StoreResource(url=settings.platform.store_url, sql_dir=str(settings.platform.sql_dir))
    return tick_retrain(dg.build_sensor_context(instance=instance, cursor=cursor), store, settings)


def start_run(instance: dg.DagsterInstance, request: dg.RunRequest, status: dg.DagsterRunStatus) -> str:
    run = started(instance, request)
    if status == dg.DagsterRunStatus.FAILURE:
        instance.report_run_failed(run, "It broke.")
    return run.run_id


@dg.job(name="retrain")
def trivial_job() -> None: ...


def decide(store: Store, verdict: str = "promoted") -> None:
    settings = get_settings()
    rows = rows_digest(store.accepted_hashes())
    store.record_decision(
        fingerprint=fingerprint_of(rows, recipe(settings)),
        verdict=verdict,  # pyright: ignore[reportArgumentType]
        reasons=("because",),
        rows_digest=rows,
        recipe_digest=recipe_digest(settings),
        example_ids=None,
    )


def test_nothing_landed_does_not_run(instance, store):
    answer = tick(instance)
    assert isinstance(answer, dg.SkipReason)
    assert "No examples have landed" in (answer.skip_message or "")


def test_a_landed_example_starts_one_run_that_says_why(instance, store):
    land(store, "He go.")
    answer = tick(instance)
    assert isinstance(answer, dg.RunRequest)
    assert answer.tags["correctly/why"].startswith("Retraining: first run over 1")
    assert answer.run_key == f"{answer.tags[WANT_TAG]}:1"


def test_the_same_state_has_the_same_run_key_so_a_lost_tick_starts_nothing(instance, store):
    land(store, "He go.")
    assert tick(instance).run_key == tick(instance).run_key


def test_a_burst_is_one_run(instance, store, monkeypatch):
    monkeypatch.setenv("CORRECTLY_RETRAIN_QUIET_SECONDS", "600")
    land(store, "He go.", "She go.")
    answer = tick(instance)
    assert isinstance(answer, dg.SkipReason)
    assert "still landing" in (answer.skip_message or "")


def test_no_run_starts_over_a_part_of_a_file(instance, store):
    with store.landing("rows.csv"):
        land(store, "He go.")
        assert "rows.csv is still landing" in (tick(instance).skip_message or "")
        land(store, "She go.")
    assert tick(instance).tags["correctly/why"].startswith("Retraining: first run over 2")


def test_rows_that_land_while_a_run_is_in_flight_wait_and_then_run(instance, store):
    land(store, "He go.")
    first = tick(instance)
    run_id = start_run(instance, first, dg.DagsterRunStatus.STARTED)
    decided_rows = rows_digest(store.accepted_hashes())
    land(store, "They goes.")
    assert "in flight" in (tick(instance).skip_message or "")
    settings = get_settings()
    ids = [e.id for e in store.accepted() if e.before == "He go."]
    store.record_decision(
        fingerprint=fingerprint_of(decided_rows, recipe(settings)),
        verdict="promoted",
        reasons=("good",),
        rows_digest=decided_rows,
        recipe_digest=recipe_digest(settings),
        example_ids=ids,
    )
    instance.report_run_canceled(instance.get_run_by_id(run_id), "over")
    answer = tick(instance)
    assert isinstance(answer, dg.RunRequest)
    assert "1 new example since" in answer.tags["correctly/why"]


def test_a_failed_run_is_tried_under_a_new_key_then_given_up_as_a_decision(instance, store):
    land(store, "He go.")
    keys = []
    for _ in range(3):
        answer = tick(instance)
        keys.append(answer.run_key)
        start_run(instance, answer, dg.DagsterRunStatus.FAILURE)
    assert [key.rsplit(":", 1)[1] for key in keys] == ["1", "2", "3"]
    answer = tick(instance)
    assert "Gave up" in (answer.skip_message or "")
    assert store.last_decision().verdict == "failed"
    assert "Gave up" in (tick(instance).skip_message or "") and len(store.decisions()) == 1
    # No run has judged the first example: it is as new as the second.
    land(store, "She go.")
    assert "2 new examples since" in tick(instance).tags["correctly/why"]


def test_a_run_that_was_never_launched_uses_up_no_attempt(instance, store):
    land(store, "He go.")
    for number in range(4):
        request = tick(instance)
        assert isinstance(request, dg.RunRequest) and request.run_key == f"{request.tags[WANT_TAG]}:{number + 1}"
        run = instance.create_run_for_job(trivial_job, tags=dict(request.tags), status=dg.DagsterRunStatus.STARTING)
        instance.report_run_failed(run, "The launch took too long.")
        assert "may be back soon" in (tick(instance).skip_message or "")
        ended_at(instance, 2000)
    assert store.decisions() == []


def ended_at(instance: dg.DagsterInstance, seconds_ago: float) -> None:
    """Move the newest run's end into the past."""
    (record,) = instance.get_run_records(limit=1)
    with instance.run_storage.connect() as connection:  # pyright: ignore[reportAttributeAccessIssue]
        connection.execute(
            sqlalchemy.text("UPDATE runs SET end_time = :at WHERE run_id = :id"),
            {"at": time.time() - seconds_ago, "id": record.dagster_run.run_id},
        )


def test_runs_of_a_day_that_took_too_long_hold_the_next_one_back(instance, store, monkeypatch):
    land(store, "He go.")
    first = start_run(instance, tick(instance), dg.DagsterRunStatus.STARTED)
    instance.report_run_canceled(instance.get_run_by_id(first), "over")
    decide(store)
    land(store, "She go.")
    with instance.run_storage.connect() as connection:
        now = time.time()
        connection.execute(
            sqlalchemy.text("UPDATE runs SET start_time = :a, end_time = :b"), {"a": now - 7200, "b": now}
        )
    assert isinstance(tick(instance), dg.RunRequest)
    monkeypatch.setenv("CORRECTLY_RETRAIN_DAILY_MINUTES", "120")
    assert "Runs took 120 minutes in the last 24 hours" in (tick(instance).skip_message or "")
    monkeypatch.setenv("CORRECTLY_RETRAIN_DAILY_MINUTES", "121")
    assert isinstance(tick(instance), dg.RunRequest)


@pytest.mark.parametrize("told", ["by the asset", "by nobody"])
def test_an_engine_that_is_away_is_waited_for_and_uses_up_no_attempt(instance, store, told):
    land(store, "He go.")

    @dg.asset(name="eval_report")
    def measure() -> None:
        error = UnreachableError("No engine answers.")
        if told == "by nobody":
            raise error
        raise refused(error) from error

    job = dg.define_asset_job("retrain", selection=[measure], hooks={mark_what_passes})
    made = dg.Definitions(assets=[measure], jobs=[job]).resolve_job_def("retrain")
    for number, wait in enumerate((60, 300, 1500, 1500), 1):
        request = tick(instance)
        assert request.run_key.endswith(f":{number}") and "attempt" not in request.tags["correctly/why"]
        assert not made.execute_in_process(instance=instance, tags=dict(request.tags), raise_on_error=False).success
        ended_at(instance, wait - 20)
        assert "may be back soon" in (tick(instance).skip_message or "")
        ended_at(instance, wait)
    assert isinstance(tick(instance), dg.RunRequest) and store.decisions() == []


def test_a_killed_worker_of_the_daemons_is_seen_at_the_next_tick(instance, store):
    land(store, "He go.")
    run = started(instance, tick(instance))
    assert "in flight" in (tick(instance).skip_message or "")  # being launched: its worker is not noted yet
    worker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    instance.add_run_tags(run.run_id, {WORKER_TAG: json.dumps(identity_of(worker.pid))})
    assert "in flight" in (tick(instance).skip_message or "")
    worker.kill()
    worker.wait()
    answer = tick(instance)
    assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.FAILURE
    # It goes on at once, under a new key, with every attempt left.
    assert answer.run_key.endswith(":2") and "attempt" not in answer.tags["correctly/why"]


def test_a_clock_that_is_set_makes_no_running_worker_a_dead_one(instance, store, monkeypatch):
    land(store, "He go.")
    run = started(instance, tick(instance))
    worker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        noted = identity_of(worker.pid)
        instance.add_run_tags(run.run_id, {WORKER_TAG: json.dumps(noted)})
        assert "in flight" in (tick(instance).skip_message or "")
        # The system's clock is an hour further now, and the time at which the worker began with it.
        real = psutil.Process.create_time
        monkeypatch.setattr(psutil.Process, "create_time", lambda self: real(self) + 3600)
        assert "in flight" in (tick(instance).skip_message or "")
        # Another process that has got its number since, or after the machine was started again, is not it.
        instance.add_run_tags(run.run_id, {WORKER_TAG: json.dumps(noted | {"ticks": noted.get("ticks", 0) - 5})})
        assert tick(instance).run_key.endswith(":2")
    finally:
        worker.kill()
        worker.wait()


def test_a_run_by_hand_on_another_machine_is_not_taken_for_dead(instance, store):
    run = instance.create_run_for_job(trivial_job, status=dg.DagsterRunStatus.STARTED)
    instance.report_engine_event("Started process for run (pid: 99999999).", run)
    assert fail_dead_runs(instance, daemon_runs=True) == []


def test_a_full_report_holds_no_retraining_back(instance, store):
    land(store, "He go.")

    @dg.job(name="full_report")
    def report() -> None: ...

    instance.create_run_for_job(report, status=dg.DagsterRunStatus.STARTED)
    assert isinstance(tick(instance), dg.RunRequest)


def started(instance: dg.DagsterInstance, request: dg.RunRequest) -> dg.DagsterRun:
    run = instance.create_run_for_job(trivial_job, tags=dict(request.tags), status=dg.DagsterRunStatus.STARTING)
    instance.report_dagster_event(dg.DagsterEvent("PIPELINE_START", job_name="retrain"), run.run_id)
    return run


@pytest.mark.parametrize("ended", ["by its worker", "dead before it could"])
def test_a_canceled_run_is_not_started_again_until_something_lands(instance, store, ended):
    land(store, "He go.")
    run = started(instance, tick(instance))
    instance.report_run_canceling(run)  # as the webserver's request does
    if ended == "by its worker":
        instance.report_run_canceled(run)
    else:
        assert fail_dead_runs(instance) == [run.run_id]
    answer = tick(instance)
    assert f"Run {run.run_id[:8]} was canceled by a person" in (answer.skip_message or "")
    assert store.last_decision() is None
    land(store, "They goes.")
    assert isinstance(tick(instance), dg.RunRequest)


def test_a_run_that_ended_with_the_platform_or_ran_too_long_is_tried_again(instance, store):
    land(store, "He go.")
    run = started(instance, tick(instance))
    assert fail_dead_runs(instance) == [run.run_id]
    second = tick(instance)
    assert second.run_key.endswith(":2")
    run = started(instance, second)
    instance.report_run_canceling(run, message="Canceling due to exceeding maximum runtime of 14400 seconds.")
    instance.report_run_canceling(run)
    instance.report_run_failed(run, "Exceeded maximum runtime of 14400 seconds.")
    assert tick(instance).run_key.endswith(":3")


def test_a_run_launched_again_after_a_cancel_that_failed_is_tried_again(instance, store):
    land(store, "He go.")
    request = tick(instance)
    instance.report_run_canceled(started(instance, request))
    start_run(instance, request, dg.DagsterRunStatus.FAILURE)
    assert isinstance(tick(instance), dg.RunRequest)


def test_a_wiped_cursor_changes_nothing(instance, store):
    land(store, "He go.")
    decide(store)
    assert isinstance(tick(instance, cursor=None), dg.SkipReason)
    assert isinstance(tick(instance, cursor="nonsense"), dg.SkipReason)


def test_a_refused_candidate_is_a_decision_and_is_not_trained_again(instance, store):
    land(store, "He go.")
    decide(store, "refused")
    assert "already decided" in (tick(instance).skip_message or "")


def test_a_changed_base_model_retrains_without_new_examples(instance, store, monkeypatch, tmp_path: Path):
    land(store, "He go.")
    decide(store)
    assert isinstance(tick(instance), dg.SkipReason)
    monkeypatch.setenv("CORRECTLY_BASE_MODEL", "some-team/another-model")
    answer = tick(instance)
    assert isinstance(answer, dg.RunRequest)
    assert "recipe changed" in answer.tags["correctly/why"]


def test_rows_that_commit_out_of_order_are_both_seen(instance, store):
    land(store, "B row.")
    decide(store)
    land(store, "A row.")
    answer = tick(instance)
    assert isinstance(answer, dg.RunRequest)
    assert "1 new example" in answer.tags["correctly/why"]


def test_a_forgotten_row_retrains(instance, store):
    land(store, "He go.", "She go.")
    decide(store)
    example = next(iter(store.accepted()))
    store.forget(example.id)
    answer = tick(instance)
    assert isinstance(answer, dg.RunRequest)
    assert "removed" in answer.tags["correctly/why"]


def test_a_run_that_was_stopped_with_the_platform_uses_up_no_attempt(instance, store):
    land(store, "He go.")

    @dg.op
    def stopped() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)

    @dg.job(name="retrain")
    def retrain() -> None:
        stopped()

    retrain.execute_in_process(instance=instance, tags=dict(tick(instance).tags), raise_on_error=False)
    answer = tick(instance)
    assert answer.run_key.endswith(":2") and "attempt" not in answer.tags["correctly/why"]
