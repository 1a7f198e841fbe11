"""The retrain decision, case by case; the sensor that enacts it is driven tick by tick in correctly_tests/defs."""

from __future__ import annotations

from dataclasses import replace

from correctly_assets.core.retrain import RetrainPolicy, RetrainState, decide_retrain, fingerprint, rows_digest

POLICY = RetrainPolicy(min_examples=2, quiet_seconds=10, max_attempts=3)
NEW = RetrainState("want", "old", 12, 5, 60.0, (), 0)


def test_an_empty_store_does_not_train_and_says_how_to_land():
    decision = decide_retrain(RetrainState("want", None, 0, 0, None, (), 0), POLICY)
    assert decision.action == "skip"
    assert "correctly add" in decision.says


def test_new_examples_start_a_run_whose_key_carries_fingerprint_and_attempt():
    decision = decide_retrain(NEW, POLICY)
    assert (decision.action, decision.run_key) == ("run", "want:1")
    assert "5 new examples" in decision.says
    assert dict(decision.tags)["correctly/want"] == "want"
    assert dict(decision.tags)["correctly/why"] == decision.says


def test_what_is_already_decided_is_not_trained_again_even_if_it_was_refused():
    assert decide_retrain(replace(NEW, decided="want"), POLICY).action == "skip"


def test_a_run_in_flight_holds_the_next_one_back():
    decision = decide_retrain(replace(NEW, in_flight=("abcdef1234",)), POLICY)
    assert decision.action == "skip"
    assert "abcdef12" in decision.says


def test_a_burst_is_waited_out():
    assert decide_retrain(replace(NEW, seconds_since_landing=9.9), POLICY).action == "skip"
    assert decide_retrain(replace(NEW, seconds_since_landing=10.0), POLICY).action == "run"


def test_a_run_waits_for_the_whole_of_a_file_however_long_its_next_rows_take():
    decision = decide_retrain(replace(NEW, landing="rows.csv", seconds_since_landing=50.0), POLICY)
    assert decision.action == "skip"
    assert (
        decision.says
        == "rows.csv is still landing; a run waits for the whole of it (5 new examples since the last decision)."
    )


def test_a_failed_run_is_tried_again_under_another_key_and_given_up_at_the_limit():
    second = decide_retrain(replace(NEW, attempts=1), POLICY)
    assert second.run_key == "want:2"
    assert "attempt 2 of 3" in second.says
    assert decide_retrain(replace(NEW, attempts=3), POLICY).action == "give_up"


def test_a_canceled_run_waits_for_a_person_or_something_new_and_says_how_to_start_it():
    decision = decide_retrain(replace(NEW, attempts=1, canceled="abcdef1234"), POLICY)
    assert decision.action == "skip"
    assert "abcdef12 was canceled" in decision.says and "launch the job `retrain`" in decision.says
    assert decide_retrain(replace(NEW, attempts=3, canceled="abcdef1234"), POLICY).action == "skip"


def test_too_few_examples_wait_unless_the_recipe_changed():
    few = replace(NEW, new_examples=1)
    assert decide_retrain(few, POLICY).action == "skip"
    assert decide_retrain(replace(few, recipe_changed=True), POLICY).action == "run"
    recipe_only = decide_retrain(replace(few, new_examples=0, recipe_changed=True), POLICY)
    assert "recipe changed" in recipe_only.says


def test_a_forgotten_example_retrains_whatever_the_minimum():
    decision = decide_retrain(replace(NEW, new_examples=0, removed_examples=1), POLICY)
    assert decision.action == "run"
    assert "removed" in decision.says


def test_the_fingerprint_ignores_the_order_of_rows_and_follows_rows_and_recipe():
    assert rows_digest(["a", "b"]) == rows_digest(["b", "a"])
    recipe = {"base": "r1"}
    assert fingerprint(rows_digest(["a"]), recipe) != fingerprint(rows_digest(["a", "b"]), recipe)
    assert fingerprint(rows_digest(["a"]), recipe) != fingerprint(rows_digest(["a"]), {"base": "r2"})
