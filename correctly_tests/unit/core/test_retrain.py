"""The retrain decision, case by case; the sensor that enacts it is driven tick by tick in correctly_tests/defs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from correctly_assets.core.errors import PermanentError, UnreachableError, passes
from correctly_assets.core.retrain import (
    INTERRUPTED,
    PASSES,
    RetrainPolicy,
    RetrainState,
    count_ended,
    decide_retrain,
    fingerprint,
    lags,
    rows_digest,
    rules_of,
)

POLICY = RetrainPolicy(min_examples=2, quiet_seconds=10, max_attempts=3)
NEW = RetrainState("want", "old", 12, 5, 60.0, (), 0)


def test_an_empty_store_does_not_train_and_says_how_to_land():
    decision = decide_retrain(RetrainState("want", None, 0, 0, None, (), 0), POLICY)
    assert decision.action == "skip"
    assert "correctly add" in decision.message


def test_new_examples_start_a_run_keyed_by_fingerprint_and_attempt():
    decision = decide_retrain(NEW, POLICY)
    assert (decision.action, decision.run_key) == ("run", "want:1")
    assert "5 new examples" in decision.message
    assert dict(decision.tags)["correctly/want"] == "want"
    assert dict(decision.tags)["correctly/why"] == decision.message


def test_what_is_already_decided_is_not_trained_again_even_if_refused():
    assert decide_retrain(replace(NEW, decided="want"), POLICY).action == "skip"


def test_a_run_in_flight_holds_the_next_one_back():
    decision = decide_retrain(replace(NEW, in_flight=("abcdef1234",)), POLICY)
    assert decision.action == "skip"
    assert "abcdef12" in decision.message


def test_a_burst_is_waited_out():
    assert decide_retrain(replace(NEW, seconds_since_landing=9.9), POLICY).action == "skip"
    assert decide_retrain(replace(NEW, seconds_since_landing=10.0), POLICY).action == "run"


def test_a_run_waits_for_the_whole_of_a_file_however_slow_its_rows():
    decision = decide_retrain(replace(NEW, landing="rows.csv", seconds_since_landing=50.0), POLICY)
    assert decision.action == "skip"
    assert (
        decision.message
        == "rows.csv is still landing; a run waits for the whole of it (5 new examples since the last decision)."
    )


def test_a_failed_run_is_tried_under_another_key_and_given_up_at_the_limit():
    second = decide_retrain(replace(NEW, attempts=1), POLICY)
    assert second.run_key == "want:2"
    assert "attempt 2 of 3" in second.message
    assert decide_retrain(replace(NEW, attempts=3), POLICY).action == "give_up"


def test_a_canceled_run_waits_for_a_person_or_news_and_says_how():
    decision = decide_retrain(replace(NEW, attempts=1, canceled="abcdef1234"), POLICY)
    assert decision.action == "skip"
    assert "abcdef12 was canceled" in decision.message and "launch the job `retrain`" in decision.message
    assert decide_retrain(replace(NEW, attempts=3, canceled="abcdef1234"), POLICY).action == "skip"


def test_too_few_examples_wait_unless_the_recipe_changed():
    few = replace(NEW, new_examples=1)
    assert decide_retrain(few, POLICY).action == "skip"
    assert decide_retrain(replace(few, recipe_changed=True), POLICY).action == "run"
    recipe_only = decide_retrain(replace(few, new_examples=0, recipe_changed=True), POLICY)
    assert "recipe changed" in recipe_only.message


def test_a_forgotten_example_retrains_whatever_the_minimum():
    decision = decide_retrain(replace(NEW, new_examples=0, removed_examples=1), POLICY)
    assert decision.action == "run"
    assert "removed" in decision.message


def test_a_trickle_of_rows_cannot_postpone_a_run_for_ever():
    """A row every nine seconds, with ten quiet seconds wanted: the run starts when the first row is an hour old."""
    policy = replace(POLICY, min_examples=1)
    for age in range(0, 3600, 9):
        trickle = replace(NEW, new_examples=1 + age // 9, seconds_since_landing=9.0, undecided_seconds=float(age))
        assert decide_retrain(trickle, policy).action == "skip", age
    old = replace(NEW, new_examples=400, seconds_since_landing=9.0, undecided_seconds=3600.0)
    assert decide_retrain(old, policy).action == "run"


def test_too_few_examples_are_trained_on_at_the_maximum_age():
    few = replace(NEW, new_examples=1, undecided_seconds=3599.0)
    assert decide_retrain(few, POLICY).action == "skip"
    assert decide_retrain(replace(few, undecided_seconds=3600.0), POLICY).action == "run"


def test_reactions_alone_wait_for_others_and_a_file_waits_for_none():
    reactions = replace(NEW, new_reactions=5, seconds_since_decision=60.0)
    waits = decide_retrain(reactions, POLICY)
    assert waits.action == "skip" and "may start in 2 minutes" in waits.message
    for changed in (
        {"new_reactions": 4},
        {"seconds_since_decision": 180.0},
        {"undecided_seconds": 3600.0},
        {"removed_examples": 1},
    ):
        assert decide_retrain(replace(reactions, **changed), POLICY).action == "run", changed


def test_daily_budgets_hold_a_run_back_unless_something_was_taken_away():
    minutes = replace(NEW, minutes_today=240.0)
    assert "CORRECTLY_RETRAIN_DAILY_MINUTES" in decide_retrain(minutes, POLICY).message
    assert decide_retrain(replace(minutes, minutes_today=239.9), POLICY).action == "run"
    money = replace(NEW, usd_today=5.0)
    assert decide_retrain(money, POLICY).action == "run"
    dear = replace(POLICY, daily_usd=5.0)
    assert "CORRECTLY_RETRAIN_DAILY_USD" in decide_retrain(money, dear).message
    assert decide_retrain(replace(money, minutes_today=999.0, removed_examples=1), dear).action == "run"


def test_every_rule_says_how_it_stands():
    state = replace(NEW, minutes_today=12.0, undecided_seconds=180.0, seconds_since_decision=7200.0)
    said = dict(rules_of(state, POLICY))
    assert said["minimum"] == "New examples since the last decision: 5; a run wants 2."
    assert said["quiet_period"].startswith("The last example landed 60 seconds ago; a run wants 10 quiet")
    assert said["maximum_age"].startswith("The oldest example has waited 3 minutes; after 60 minutes")
    assert said["cool_down"].startswith("The last decision was 2 hours ago; reactions alone wait for 3 minutes")
    assert said["daily_minutes"] == "Runs took 12 minutes in the last 24 hours; 240 are allowed."
    assert said["daily_money"].endswith("no limit is set.")
    empty = RetrainState("want", None, 0, 0, None, (), 0)
    assert all(message.endswith(".") for _, message in rules_of(empty, POLICY))


def test_the_fingerprint_follows_rows_and_recipe_but_not_their_order():
    assert rows_digest(["a", "b"]) == rows_digest(["b", "a"])
    recipe = {"base": "r1"}
    assert fingerprint(rows_digest(["a"]), recipe) != fingerprint(rows_digest(["a", "b"]), recipe)
    assert fingerprint(rows_digest(["a"]), recipe) != fingerprint(rows_digest(["a"]), {"base": "r2"})


@pytest.mark.parametrize(
    ("setbacks", "seconds", "expected"),
    [
        (1, 59, "1 second"),
        (1, 60, None),
        (2, 60, "4 minutes"),
        (2, 300, None),
        (3, 300, "20 minutes"),
        (3, 1500, None),
        (50, 1499, "1 second"),
        (50, 1500, None),
    ],
)
def test_setbacks_that_pass_wait_1_5_and_then_25_minutes_each(setbacks: int, seconds: float, expected: str | None):
    state = replace(NEW, spared=setbacks, setbacks=setbacks, seconds_since_end=seconds)
    decision = decide_retrain(state, POLICY)
    if expected is None:
        assert (decision.action, decision.run_key) == ("run", f"want:{setbacks + 1}")
        assert "attempt" not in decision.message
    else:
        assert decision.action == "skip"
        assert decision.message.endswith(f"the next one starts in {expected}.")


def test_a_platform_that_was_stopped_once_goes_on_at_once_and_then_waits():
    stopped = replace(NEW, spared=1, setbacks=1, interrupted=True, seconds_since_end=0.0)
    assert decide_retrain(stopped, POLICY).run_key == "want:2"
    assert decide_retrain(replace(stopped, spared=2, setbacks=2), POLICY).action == "skip"


def test_a_long_outage_uses_up_no_attempt():
    state = replace(NEW, attempts=2, spared=40, setbacks=40, seconds_since_end=1500.0)
    decision = decide_retrain(state, POLICY)
    assert (decision.action, decision.run_key) == ("run", "want:43")
    assert "attempt 3 of 3" in decision.message


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ([], (0, 0, 0)),
        ([None, None], (2, 0, 0)),
        ([PASSES, INTERRUPTED, None, PASSES], (1, 3, 2)),
        ([None, PASSES], (1, 1, 0)),
    ],
)
def test_ended_runs_count_as_attempts_or_as_setbacks(kinds: list[str | None], expected: tuple[int, int, int]):
    assert count_ended(kinds) == expected


def test_giving_up_lasts_a_day_and_then_one_more_run_is_tried():
    given_up = replace(NEW, decided="want", gave_up=True, attempts=3, seconds_since_end=3600.0)
    decision = decide_retrain(given_up, POLICY)
    assert decision.action == "skip"
    assert "Gave up on want after 3 failed runs" in decision.message and "in 23 hours" in decision.message
    decision = decide_retrain(replace(given_up, seconds_since_end=86_400.0), POLICY)
    assert (decision.action, decision.run_key) == ("run", "want:4")
    assert "given up 24 hours ago" in decision.message and "of 3" not in decision.message
    # One run is in flight, and when it has failed too, the day begins anew.
    assert decide_retrain(replace(given_up, seconds_since_end=9e4, in_flight=("r",)), POLICY).action == "skip"
    assert decide_retrain(replace(given_up, attempts=4, seconds_since_end=1.0), POLICY).action == "skip"


def test_a_lag_is_said_only_after_a_day():
    assert lags(None) is None and lags(86_399) is None
    assert "landed 30 hours ago" in (lags(30 * 3600) or "")


def test_an_error_passes_where_what_it_was_raised_from_does():
    outer = RuntimeError("the step failed")
    outer.__cause__ = UnreachableError("vLLM is away.")
    assert passes(outer) and not passes(PermanentError("no")) and not passes(None)
