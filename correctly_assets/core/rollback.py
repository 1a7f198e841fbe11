"""Whether live signals speak against the release that serves: the decision behind the automatic rollback.

Belongs here: the pure decision over counts, and its thresholds. Does not belong here: counting (store/), returning to the
previous release (workflows/promote.py), or when it is looked at (gateway/release_watch.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt
from typing import Literal


@dataclass(frozen=True, slots=True)
class Signals:
    """What was seen of one release.

    Attributes:
        answers: sentences or texts answered. failed: of them, where a guard put the writer's own text in place of an answer.
        ups, downs: people who voted for and against its answers. Somebody counts once, however often they vote, so that nobody
            turns a release back alone.
        corrupted: times that the engine was found to compute NaN while this release answered; only ever counted live.
        unprovable: its adapter made an engine compute NaN in which no other one was loaded.
    """

    answers: int = 0
    failed: int = 0
    ups: int = 0
    downs: int = 0
    corrupted: int = 0
    unprovable: bool = False


def seen(stored: Signals, live: Signals) -> Signals:
    """A release's signals from what is written down and from what one process counted since it started.

    Answers are written down late, and not while the store is away; what was answered before a restart is written down
    alone. So the count that saw more answers is the truer one. Votes are only ever written down, NaN never is.
    """
    fuller = stored if stored.answers >= live.answers else live
    return replace(fuller, ups=stored.ups, downs=stored.downs, corrupted=live.corrupted, unprovable=live.unprovable)


@dataclass(frozen=True, slots=True)
class RollbackPolicy:
    """When a difference counts.

    Attributes:
        min_answers, min_votes: fewer answers, or people who voted, say nothing yet.
        z: standard errors by which its rate must be the higher one (two-proportion z-test; 2.58 is one in a hundred).
        min_rise: points (0 to 1) by which it must be higher besides, since with many answers any difference is certain.
        min_corrupted: corruptions of the engine that suffice. Each takes every answer away until a restart; one alone may
            be an evaluated candidate's.
    """

    min_answers: int = 200
    min_votes: int = 10
    z: float = 2.58
    min_rise: float = 0.05
    min_corrupted: int = 2


def rate_rose(bad: int, of: int, bad_before: int, of_before: int, policy: RollbackPolicy) -> bool:
    """Whether a rate is certainly, and by more than a trifle, above what it was.

    An earlier release that was never asked counts as one without fault over as many answers.
    """
    before = bad_before / of_before if of_before else 0.0
    now = bad / of if of else 0.0
    if now - before < policy.min_rise:
        return False
    of_before = of_before or of
    pooled = (bad + before * of_before) / (of + of_before)
    error = sqrt(pooled * (1 - pooled) * (1 / of + 1 / of_before))
    return error > 0 and (now - before) / error > policy.z


def decide_rollback(champion: Signals, previous: Signals, policy: RollbackPolicy | None = None) -> str | None:
    """Why the champion should give way to the release before it; None where nothing speaks for that."""
    policy = policy or RollbackPolicy()
    # An earlier release under which the engine fares no better is no way out.
    if champion.unprovable and not previous.unprovable:
        return "The engine computes NaN as soon as its adapter is loaded."
    if champion.corrupted >= policy.min_corrupted and champion.corrupted > previous.corrupted:
        return f"The engine computed NaN {champion.corrupted} times while it answered ({previous.corrupted} before)."
    if champion.answers >= policy.min_answers and rate_rose(
        champion.failed, champion.answers, previous.failed, previous.answers, policy
    ):
        before = f"{_percent(previous.failed, previous.answers)} before" if previous.answers else "none seen before"
        return (
            f"{_percent(champion.failed, champion.answers)} of {champion.answers} answers had to be replaced by the "
            f"writer's own text ({before})."
        )
    votes, before_votes = champion.ups + champion.downs, previous.ups + previous.downs
    if votes >= policy.min_votes and rate_rose(champion.downs, votes, previous.downs, before_votes, policy):
        before = f"{_percent(previous.downs, before_votes)} before" if before_votes else "no votes before"
        return f"{champion.downs} of {votes} people who voted gave thumbs down ({before})."
    return None


RollbackKind = Literal["nan", "fallbacks", "votes", "person"]


def rollback_kind(why: str) -> RollbackKind:
    """Which kind of reason a rollback's sentence gives: one of `decide_rollback`'s, or a person's own."""
    if "automatically: " not in why:
        return "person"
    if " NaN" in why:
        return "nan"
    return "votes" if "thumbs down" in why else "fallbacks"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %"
