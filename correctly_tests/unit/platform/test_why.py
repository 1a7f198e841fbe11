"""`correctly why`, over a real store and a real Dagster instance."""

from __future__ import annotations

import json

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
    TickData,
    TickStatus,
)

from correctly_assets.core.landing import identified
from correctly_assets.core.types import Example
from correctly_assets.platform.dagster_instance import make_instance
from correctly_assets.platform.why import say_decision, say_release, say_rollback
from correctly_assets.settings import Settings
from correctly_assets.store import Store
from correctly_tests.commands import Run


def test_nothing_decided_yet_is_said_so(run: Run, store: Store):
    code, out, _ = run("why", "--json")
    said = json.loads(out)
    assert code == 0 and said["sensors"] == said["schedules"] == said["policy"] == []
    assert {gate["name"]: gate["says"] for gate in said["gates"]} == {
        "gate": "Nothing has been judged yet.",
        "release": "Nothing is served yet.",
        "rollback": "Nothing was ever rolled back.",
    }


def test_the_last_decision_release_and_rollback_have_their_reasons(run: Run, store: Store):
    store.add_release(adapter="aaaaaaaaaaaa", base_model="m", kind="promotion", why="GLEU rose by 2.0.")
    store.add_release(adapter="bbbbbbbbbbbb", base_model="m", kind="rollback", why="Thumbs turned down.")
    store.record_decision(
        fingerprint="f", verdict="refused", reasons=["It changes 40 % of correct sentences."], adapter="c"
    )
    gates = {gate["name"]: gate for gate in json.loads(run("why", "--json")[1])["gates"]}
    assert gates["gate"]["says"] == "Refused adapter c: It changes 40 % of correct sentences." and gates["gate"]["at"]
    assert gates["release"]["says"] == "r0002 (adapter bbbbbbbbbbbb) was returned to: Thumbs turned down."
    assert gates["rollback"]["says"] == "r0002 was a rollback: Thumbs turned down."
    assert "Thumbs turned down." in run("why")[1]


def test_each_sensor_has_its_last_tick_and_each_check_its_result(run: Run, store: Store, settings: Settings):
    instance = make_instance(settings)
    origin = RemoteInstigatorOrigin(
        RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("correctly"), "__repository__"), "retrain_sensor"
    )
    state = InstigatorState(
        origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, SensorInstigatorData(min_interval=5)
    )
    instance.add_instigator_state(state)
    instance.create_tick(
        TickData(
            state.instigator_origin_id,
            "retrain_sensor",
            InstigatorType.SENSOR,
            TickStatus.SKIPPED,
            1_000_000_000.0,
            skip_reason="Nothing new since r0001.",
            selector_id=state.selector_id,
        )
    )
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey("examples"), check_name="nothing_is_held_back", passed=False, metadata={},
            severity=dg.AssetCheckSeverity.WARN, description="2 rows are in quarantine.",
        )
    )  # fmt: skip
    instance.dispose()
    said = json.loads(run("why", "--json")[1])
    assert said["sensors"] == [
        {
            "name": "retrain_sensor",
            "state": "running",
            "at": "2001-09-09T01:46:40.000+00:00",
            "says": "Nothing new since r0001.",
        }
    ]
    gates = {gate["name"]: gate["says"] for gate in said["gates"]}
    assert gates["nothing_is_held_back"] == "Failed (warn): 2 rows are in quarantine."
    assert any(message.endswith("was not checked yet.") for message in gates.values())


def test_each_rule_of_the_retrain_policy_is_told(run: Run, store: Store, settings: Settings):
    make_instance(settings).dispose()
    store.land([identified(Example(id="", before="He go.", after="He goes."))])
    policy = {one["name"]: one["says"] for one in json.loads(run("why", "--json")[1])["policy"]}
    assert policy["minimum"] == "New examples since the last decision: 1; a run wants 1."
    assert set(policy) == {
        "retrain",
        "minimum",
        "quiet_period",
        "maximum_age",
        "cool_down",
        "daily_minutes",
        "daily_money",
    }
    assert "quiet seconds" in policy["retrain"] and policy["retrain"] in run("why")[1]


def test_without_a_platform_it_says_how_to_start_one(run: Run, settings: Settings):
    code, _, err = run("why")
    assert code == 4 and "correctly up" in err and not settings.platform.home.exists()


@pytest.mark.parametrize("say", [say_decision, say_release, say_rollback])
def test_every_sentence_ends_as_one(say):
    assert say(None).endswith(".")
