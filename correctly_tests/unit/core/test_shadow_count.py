"""A challenger beside the champion: who won a request, what decided it, and how sure the count is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from correctly_assets.core.shadow_count import ShadowPair, count_shadows, outcome

PAIR = ShadowPair("ch", "She goes home.", "She went home.")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"challenger": "She goes  home. "}, ("tie", "agreement")),
        # Equal answers tie, whatever was thought of them.
        ({"challenger": "She goes home.", "rating": -1}, ("tie", "agreement")),
        ({"rating": 1}, ("loss", "vote")),
        ({"rating": -1}, ("win", "vote")),
        # A person's own text says more than a vote, and a vote more than the base model.
        ({"rating": -1, "better": "She goes home."}, ("loss", "vote")),
        ({"rating": 0, "better": "She went home."}, ("win", "vote")),
        ({"rating": 0, "better": "She walked home.", "gain": 4.0}, ("win", "base_model")),
        ({"rating": 1, "gain": 9.0}, ("loss", "vote")),
        ({"gain": 1.5}, ("win", "base_model")),
        ({"gain": -1.5}, ("loss", "base_model")),
        ({"gain": 0.4}, ("tie", "base_model")),
        ({}, ("undecided", "nothing")),
    ],
)
def test_a_vote_decides_then_the_base_model_then_agreement(
    changed: dict[str, object], expected: tuple[str, str]
) -> None:
    assert outcome(replace(PAIR, **changed)) == expected


def test_a_count_tells_its_parts_and_wilsons_interval() -> None:
    pairs = [replace(PAIR, gain=2.0)] * 30 + [replace(PAIR, rating=-1)] * 10 + [replace(PAIR, gain=-2.0)] * 20
    pairs += [replace(PAIR, challenger=PAIR.champion)] * 35 + [PAIR] * 5
    (count,) = count_shadows(pairs)
    assert (count.requests, count.wins, count.losses, count.ties, count.undecided, count.alike) == (
        100, 40, 20, 35, 5, 35,
    )  # fmt: skip
    assert (count.by_vote, count.by_base_model) == (10, 50)
    # Wilson's interval of 40 in 60.
    assert (count.won.point, count.won.low, count.won.high) == pytest.approx((66.67, 54.06, 77.27), abs=0.01)
    assert count.message == (
        "Challenger ch answered 100 real requests beside the champion, 35 of them alike. It won 40 and lost 20: 67 % won, "
        "54 to 77 % with 95 % confidence (10 by votes, 50 by the base model)."
    )


def test_challengers_are_counted_apart_and_nothing_decided_says_so() -> None:
    counts = count_shadows([PAIR, replace(PAIR, adapter="old", gain=3.0)])
    assert [(one.adapter, one.requests) for one in counts] == [("ch", 1), ("old", 1)]
    assert counts[0].message.endswith("Nothing tells yet which of the other answers are better.")
    assert count_shadows([]) == []
