"""The retrain sensor, tick by tick, on a real Dagster instance and a real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from correctly_assets.core.landing import identified
from correctly_assets.core.retrain import WANT_TAG, rows_digest
from correctly_assets.core.types import Example
from correctly_assets.defs.automation import tick_retrain
from correctly_assets.platform.dagster_instance import fail_dead_runs
from correctly_assets.resources.store import StoreResource
from correctly_assets.settings import get_settings
from correctly_assets.store import Store, open_store
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
    run = instance.create_run_for_job(trivial_job, tags=dict(request.tags), status=dg.DagsterRunStatus.STARTED)
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


def test_the_same_state_asks_for_the_same_run_key_so_a_lost_tick_starts_no_second_run(instance, store):
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


def test_a_failed_run_is_tried_again_under_a_new_key_and_then_given_up_as_a_decision(instance, store):
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
    assert "already decided" in (tick(instance).skip_message or "")


def started(instance: dg.DagsterInstance, request: dg.RunRequest) -> dg.DagsterRun:
    return instance.create_run_for_job(trivial_job, tags=dict(request.tags), status=dg.DagsterRunStatus.STARTED)


@pytest.mark.parametrize("ended", ["by its worker", "dead before it could"])
def test_a_run_that_a_person_canceled_is_not_started_again_until_something_lands(instance, store, ended):
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


def test_a_run_that_ended_with_the_platform_or_for_its_length_is_tried_again(instance, store):
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


def test_a_run_that_was_launched_again_after_a_cancel_and_failed_is_tried_again(instance, store):
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
