"""Live sentences beside the train set, and scores beside those of the promotion: when it is drift, and what is said of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from correctly_assets.core.drift import Drift, FrozenScores, SentenceCounts, decide_drift, decide_scores
from correctly_assets.core.gate import GateSettings
from correctly_assets.core.shares import apart, share


def counts(n: int = 1000, changed: int = 500, **other: Counter[str]) -> SentenceCounts:
    given = {
        "types": Counter(PREP=changed // 8, DET=changed // 5),
        "lengths": Counter(short=n // 2, medium=n - n // 2),
        "languages": Counter(en=n),
    }
    return SentenceCounts(n, changed, **(given | other))


def drifted(drift: Drift) -> list[tuple[str, str]]:
    return [(one.measure, one.value) for one in drift.shares if one.drifted]


def test_equal_counts_are_no_drift_and_the_sentence_says_so() -> None:
    drift = decide_drift(counts(), counts(4000, 2000))
    assert drift.enough and not drift.drifted
    assert drift.message == "The 1,000 live sentences are like the 4,000 of the train set, as far as can be told."


def test_an_error_type_more_frequent_live_is_named_with_what_to_land() -> None:
    drift = decide_drift(counts(types=Counter(PREP=155, DET=100)), counts(4000, 2000, types=Counter(PREP=240, DET=400)))
    assert drifted(drift) == [("error_type", "PREP")]
    assert drift.message.startswith("The 1,000 live sentences are unlike the train set in one way. ")
    assert (
        "31 % of the live sentences with edits have one of the kind PREP (preposition), 12 % of the train set's: "
        in drift.message
    )
    (found,) = [one for one in drift.shares if one.drifted]
    assert f"{found.difference.low:.0f} to {found.difference.high:.0f} points more. " in drift.message
    assert drift.message.endswith("Land examples with errors of this kind.")
    assert 0 < found.difference.low < found.difference.point < found.difference.high


def test_a_type_that_is_rarer_live_is_none_for_models_miss_edits() -> None:
    assert not decide_drift(counts(types=Counter(PREP=10)), counts(types=Counter(PREP=200))).drifted


def test_a_difference_that_chance_may_have_made_is_none() -> None:
    """20 of 100 beside 8 of 100: twelve points, of which the interval keeps nothing for sure."""
    live, trained = (counts(300, 100, types=Counter(PREP=hits)) for hits in (20, 8))
    assert not decide_drift(live, trained).drifted


def test_a_certain_difference_of_a_few_points_is_none() -> None:
    live, trained = (counts(200_000, 100_000, types=Counter(PREP=hits)) for hits in (20_000, 15_000))
    assert not decide_drift(live, trained).drifted


@pytest.mark.parametrize(
    ("live", "trained", "what"),
    [(199, 4000, "There are 199 live sentences;"), (1000, 12, "There are 12 sentences in the train set;")],
)
def test_too_few_sentences_on_either_side_conclude_nothing(live: int, trained: int, what: str) -> None:
    drift = decide_drift(counts(live, live), counts(trained, trained, types=Counter(PREP=trained)))
    assert not drift.enough and not drift.drifted and drift.shares == ()
    assert drift.message == f"{what} nothing is concluded from fewer than 200."


def test_few_sentences_with_edits_compare_everything_but_types() -> None:
    live = counts(1000, 99, types=Counter(PREP=99), lengths=Counter(long=1000))
    drift = decide_drift(live, counts(1000, 100))
    assert drifted(drift) == [("length", "long")]
    assert "Land long examples." in drift.message and drift.message.endswith("(99) no error types were compared.")


@pytest.mark.parametrize(
    ("changed", "land"),
    [(100, "Land correct sentences, to be left as they are."), (900, "Land sentences with errors.")],
)
def test_the_unchanged_share_counts_both_ways(changed: int, land: str) -> None:
    drift = decide_drift(counts(1000, changed), counts(1000, 500))
    assert drifted(drift) == [("unchanged", "unchanged")] and drift.message.endswith(land)


def test_another_language_is_named_and_the_widest_difference_comes_first() -> None:
    live = counts(1000, lengths=Counter(long=1000), languages=Counter(en=1000, ko=200))
    drift = decide_drift(live, counts(1000))
    assert set(drifted(drift)) == {("length", "long"), ("language", "ko")}
    assert "17 % of the live sentences are in another language (ko), 0 % of the train set's" in drift.message
    assert drift.message.index("Land long") < drift.message.index("(ko)")


def test_intervals_are_those_of_the_literature() -> None:
    """Wilson's and Newcombe's figures for 56/70 and 48/80, Newcombe (1998), table II, method 10."""
    difference = apart(share(56, 70), share(48, 80))
    assert (difference.point, difference.low, difference.high) == pytest.approx((20.0, 5.24, 33.39), abs=0.005)
    assert (share(0, 0).low, share(0, 0).high) == (0.0, 100.0)


PROMOTED = FrozenScores(gleu=77.4, errant_f05=60.0, overcorrected=4.7, data_sha256="a")


def test_scores_that_hold_are_told_beside_those_of_the_promotion() -> None:
    found = decide_scores(PROMOTED, replace(PROMOTED, errant_f05=58.0), GateSettings())
    assert not found.fell
    assert found.message == (
        "F0.5 58.0 (60.0 when it was promoted), GLEU 77.4 (77.4 when it was promoted), 4.7 % of correct sentences changed "
        "(4.7 %)."
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"errant_f05": 56.9}, "F0.5 fell by 3.1 points, and 3 are allowed."),
        ({"gleu": 75.0}, "GLEU fell by 2.4 points, and 1.5 are allowed."),
        ({"overcorrected": 11.0}, "more correct sentences than the 10 % that are allowed."),
    ],
)
def test_a_score_that_fell_further_than_the_gate_allows_is_named(changed: dict[str, float], message: str) -> None:
    found = decide_scores(PROMOTED, replace(PROMOTED, **changed), GateSettings())
    assert found.fell and message in found.message


def test_scores_on_another_set_or_of_no_promotion_are_not_compared() -> None:
    now = replace(PROMOTED, errant_f05=1.0)
    assert not decide_scores(PROMOTED, replace(now, data_sha256="b"), GateSettings()).fell
    assert not decide_scores(FrozenScores(), now, GateSettings()).fell
    # The adapter that ships names no set: the frozen one is meant.
    assert decide_scores(replace(PROMOTED, data_sha256=None), now, GateSettings()).fell
