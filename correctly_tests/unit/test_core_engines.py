"""Which engines of merged weights run, decided from facts alone."""

from __future__ import annotations

from typing import Any

from correctly_assets.core.engines import Asked, EnginePlan, plan_engines

NOW, WARM = 10_000.0, 600.0


def plan(**facts: Any) -> EnginePlan:
    known: dict[str, Any] = {
        "champion": "champion",
        "served": "champion",
        "previous": "previous",
        "champion_since": NOW - 10,
        "asked": (),
        "broken": (),
        "now": NOW,
        "warm_seconds": WARM,
    }
    return plan_engines(**known | facts)


def asked(adapter: str, ago: float = 5.0, *, alive: bool = True) -> Asked:
    return Asked(adapter, NOW - ago, NOW - ago, alive)


def test_the_previous_release_stays_warm_for_its_time() -> None:
    assert plan().run == ("champion", "previous")
    assert plan(champion_since=NOW - WARM - 1).run == ("champion",)


def test_a_candidate_takes_the_place_of_the_previous_and_two_do_not_fit() -> None:
    assert plan(asked=[asked("new")]) == EnginePlan(("champion", "new"))
    assert plan(asked=[asked("late", 1), asked("new", 9)]) == EnginePlan(("champion", "new"), ("late",))
    assert plan(asked=[asked("champion"), asked("new")]).run == ("champion", "new")


def test_what_people_are_answered_by_is_never_stopped_for_the_newest_release_or_a_candidate() -> None:
    assert plan(served="previous", champion_since=0.0, asked=[asked("new")]).run == ("previous", "champion", "new")


def test_a_champion_that_does_not_start_leaves_room_for_the_candidate_that_may_replace_it() -> None:
    assert plan(served=None, broken={"champion"}, asked=[asked("new")], previous=None).run == ("new",)


def test_what_a_process_that_ended_asked_for_waits_for_the_runs_next_step_and_then_gives_way() -> None:
    assert plan(asked=[asked("new", 30, alive=False)]).run == ("champion", "new")
    assert plan(asked=[asked("new", 120, alive=False)]).run == ("champion", "previous")
    assert plan(asked=[asked("new", 120, alive=False)], champion_since=0.0).run == ("champion", "new")
    assert plan(asked=[asked("new", WARM + 1, alive=False)], champion_since=0.0).run == ("champion",)


def test_before_the_first_release_nothing_runs_but_what_is_asked_for() -> None:
    assert plan(champion=None, served=None, previous=None) == EnginePlan()
    assert plan(champion=None, served=None, previous=None, asked=[asked("first")]).run == ("first",)
