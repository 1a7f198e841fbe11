"""When live signals turn against a release: enough of them, certainly worse, and by more than a trifle."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from correctly_assets.core.rollback import RollbackPolicy, Signals, decide_rollback, seen


def test_answers_that_fail_far_more_often_speak_for_the_previous_release():
    message = decide_rollback(Signals(400, 80), Signals(1000, 20))
    assert message is not None and message.startswith("20 % of 400 answers") and "2 % before" in message


def test_a_few_answers_say_nothing_yet():
    assert decide_rollback(Signals(20, 20), Signals(1000, 20)) is None


def test_a_certain_but_trifling_rise_is_none():
    assert decide_rollback(Signals(100_000, 3000), Signals(100_000, 2000)) is None


def test_thumbs_down_count_against_the_previous_releases_rate():
    bad = Signals(ups=2, downs=12)
    assert "12 of 14 people who voted gave thumbs down (20 % before)" in (
        decide_rollback(bad, Signals(ups=40, downs=10)) or ""
    )
    # The same votes after a release that people liked as little are its equal.
    assert decide_rollback(bad, Signals(ups=3, downs=15)) is None


def test_a_handful_of_votes_topples_nobody():
    assert decide_rollback(Signals(ups=0, downs=9), Signals(ups=50, downs=0)) is None
    assert decide_rollback(Signals(ups=0, downs=10), Signals(ups=50, downs=0)) is not None


def test_a_release_that_nobody_voted_on_counts_as_one_without_fault():
    assert "no votes before" in (decide_rollback(Signals(ups=1, downs=14), Signals()) or "")
    assert decide_rollback(Signals(ups=14, downs=1), Signals()) is None


@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 500), st.integers(0, 500))
def test_equal_or_better_rates_never_roll_back(ups: int, downs: int, more_ups: int, more_downs: int):
    champion = Signals(ups=ups, downs=downs)
    previous = Signals(ups=more_ups, downs=more_downs)
    votes, before = ups + downs, more_ups + more_downs
    if votes and before and downs / votes <= more_downs / before:
        assert decide_rollback(champion, previous, RollbackPolicy(min_votes=1)) is None


def test_an_engine_that_computed_nan_twice_speaks_for_the_release_before():
    message = decide_rollback(Signals(corrupted=2), Signals())
    assert message == "The engine computed NaN 2 times while it answered (0 before)."
    # Once may have been an evaluated candidate's.
    assert decide_rollback(Signals(corrupted=1), Signals()) is None
    # The release before is no way out where the engine fared no better.
    assert decide_rollback(Signals(corrupted=2), Signals(corrupted=2)) is None


def test_an_adapter_that_alone_makes_nan_gives_way_unless_the_last_did_too():
    assert "NaN as soon as" in (decide_rollback(Signals(unprovable=True), Signals()) or "")
    assert decide_rollback(Signals(unprovable=True), Signals(unprovable=True)) is None


def test_nan_is_counted_live_alone_and_is_kept_beside_what_is_written_down():
    assert seen(Signals(500, 5, 3, 1), Signals(20, 1, corrupted=2)) == Signals(500, 5, 3, 1, corrupted=2)
    assert seen(Signals(), Signals(20, 1, unprovable=True)) == Signals(20, 1, unprovable=True)
