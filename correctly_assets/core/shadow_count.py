"""A challenger beside the champion on real requests: who won, and how sure that is.

Belongs here: the pure count over pairs of answers, and its sentence. Does not belong here: asking the challenger
(gateway/shadow.py), keeping its answers (store/shadows.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from correctly_assets.core.gate import Interval
from correctly_assets.core.shares import share
from correctly_assets.core.text import clean_line

Outcome = Literal["win", "loss", "tie", "undecided"]
Reason = Literal["agreement", "vote", "base_model", "nothing"]
"""What an outcome was decided by."""

LEAST_GAIN = 1.0
"""Nats by which the base model must find one of two answers likelier before that decides."""


@dataclass(frozen=True, slots=True)
class ShadowPair:
    """Two answers to one request, and what is known of which is better.

    Attributes:
        adapter: the challenger's ID.
        champion, challenger: the corrected texts.
        rating: a person's vote on the champion's answer, 1 or -1; 0 or None where there is none.
        better: the text that a person wrote instead.
        gain: how much likelier the base model finds the challenger's answer, in nats; None where it was not asked.
    """

    adapter: str
    champion: str
    challenger: str
    rating: int | None = None
    better: str | None = None
    gain: float | None = None


@dataclass(frozen=True, slots=True)
class ShadowCount:
    """What a challenger's answers to real requests come to.

    Attributes:
        alike: requests that both answered alike; they are among the ties.
        by_vote, by_base_model: wins and losses that a person's vote, or the base model, decided.
        won: the share of wins among wins and losses, in %, with Wilson's interval of 95 %.
    """

    adapter: str
    requests: int
    wins: int
    losses: int
    ties: int
    undecided: int
    alike: int
    by_vote: int
    by_base_model: int
    won: Interval

    @property
    def message(self) -> str:
        """The count in a sentence or two."""
        head = (
            f"Challenger {self.adapter} answered {self.requests:,} real request{'s' if self.requests != 1 else ''} beside the champion, "
            f"{self.alike:,} of them alike."
        )
        if not self.wins + self.losses:
            return f"{head} Nothing tells yet which of the other answers are better."
        return (
            f"{head} It won {self.wins:,} and lost {self.losses:,}: {self.won.point:.0f} % won, {self.won.low:.0f} to "
            f"{self.won.high:.0f} % with 95 % confidence ({self.by_vote:,} by votes, {self.by_base_model:,} by the base model)."
        )


def outcome(pair: ShadowPair) -> tuple[Outcome, Reason]:
    """How the challenger did in one pair, and what decided it.

    Equal answers tie. A person's own text decides for whoever wrote the same; a vote is one on the champion's answer, so that
    thumbs down count for the challenger, which answered otherwise. Where nobody voted the base model decides, which knows only
    which text people are likelier to write.
    """
    champion, challenger = clean_line(pair.champion), clean_line(pair.challenger)
    if champion == challenger:
        return "tie", "agreement"
    if pair.better is not None and (better := clean_line(pair.better)) in (champion, challenger):
        return ("win" if better == challenger else "loss"), "vote"
    if pair.rating:
        return ("win" if pair.rating < 0 else "loss"), "vote"
    if pair.gain is None:
        return "undecided", "nothing"
    if abs(pair.gain) < LEAST_GAIN:
        return "tie", "base_model"
    return ("win" if pair.gain > 0 else "loss"), "base_model"


def count_shadows(pairs: Iterable[ShadowPair]) -> list[ShadowCount]:
    """Wins, losses and ties of each challenger, in the order in which they first appear."""
    found: dict[str, Counter[tuple[Outcome, Reason]]] = {}
    for pair in pairs:
        found.setdefault(pair.adapter, Counter())[outcome(pair)] += 1
    return [_count(adapter, outcomes) for adapter, outcomes in found.items()]


def _count(adapter: str, outcomes: Counter[tuple[Outcome, Reason]]) -> ShadowCount:
    sides, decided = Counter[Outcome](), Counter[Reason]()
    for (side, reason), count in outcomes.items():
        sides[side] += count
        if side in ("win", "loss"):
            decided[reason] += count
    return ShadowCount(
        adapter,
        requests=outcomes.total(),
        wins=sides["win"],
        losses=sides["loss"],
        ties=sides["tie"],
        undecided=sides["undecided"],
        alike=outcomes["tie", "agreement"],
        by_vote=decided["vote"],
        by_base_model=decided["base_model"],
        won=share(sides["win"], sides["win"] + sides["loss"]),
    )
