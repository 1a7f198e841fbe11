"""Reviews: what a person thinks of answers, scenario by scenario, and what it comes to per system.

Belongs here: scenarios and grades as values, the blind order, mean and spread. Does not belong here: asking the gateway or
a person (workflows/review_answers.py, commands/), rows (store/reviews.py), wording of the report (evaluation/report/review_section.py).
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from correctly_assets.core.errors import UsageError
from correctly_assets.core.hashing import sha256_of

GRADES = (1, 2, 3, 4, 5)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One chat to look at.

    Attributes:
        messages: the user's messages in turn; the answer to the last one is rated.
        look_at: what a careful reader checks.
    """

    id: str
    title: str
    messages: tuple[str, ...]
    look_at: str

    @property
    def sha(self) -> str:
        """Of what is asked: a scenario that is reworded is reviewed anew."""
        return sha256_of(list(self.messages))


@dataclass(frozen=True, slots=True)
class Review:
    """One person's grades for one answer.

    Attributes:
        system: the public model name that was asked.
        release, adapter: who answered under it; None for the base model and for a comparator.
        naturalness, clarity: 1 to 5, 5 the best.
    """

    reviewer: str
    scenario: str
    scenario_sha: str
    system: str
    release: str | None
    adapter: str | None
    naturalness: int
    clarity: int
    note: str | None = None
    at: str = ""

    @property
    def id(self) -> str:
        """The same person on the same scenario and adapter: a later review replaces the earlier one."""
        return review_id(self.reviewer, self.scenario, self.scenario_sha, self.subject)

    @property
    def subject(self) -> str:
        """Whom the grades speak of: the adapter, whatever name it answered under, else the system."""
        return self.adapter or self.system


def review_id(reviewer: str, scenario: str, scenario_sha: str, subject: str) -> str:
    """The first 24 hex digits of a hash over person, scenario, its content and the subject of the grades.

    Args:
        scenario_sha: hash of the scenario's content: a changed scenario is reviewed anew.
        subject: the adapter's ID, or the system's name.
    """
    return sha256_of([reviewer, scenario, scenario_sha, subject])[:24]


def parse_scenarios(value: Any) -> list[Scenario]:
    """The scenarios of a parsed YAML file.

    Raises:
        UsageError: it does not hold a list of ``{id, title, says: [...], look_at}`` with ids of their own.
    """
    if not isinstance(value, list) or not value:
        raise UsageError("The scenarios file holds no list of scenarios.")
    found: dict[str, Scenario] = {}
    for number, item in enumerate(value, 1):
        match item:
            case {"id": id, "title": title, "says": [_, *_] as messages, "look_at": look_at} if all(
                isinstance(text, str) and text.strip() for text in (id, title, look_at, *messages)
            ):
                pass
            case _:
                raise UsageError(f"Scenario {number} needs id, title, look_at, and under says a list of messages.")
        if id in found:
            raise UsageError(f"Two scenarios are called {id}; rename one.")
        found[id] = Scenario(id, title, tuple(messages), look_at)
    return list(found.values())


def blind_order(systems: Sequence[str], *, reviewer: str, scenario: str) -> list[str]:
    """The systems in an order that tells nobody which is which, and is the same when the review goes on another day."""
    shuffled = sorted(systems)
    random.Random(sha256_of([reviewer, scenario])).shuffle(shuffled)
    return shuffled


class GradeSpread(TypedDict):
    """Mean of grades, and the sample's standard deviation; None for a single grade."""

    mean: float
    sd: float | None


class ReviewFigures(TypedDict):
    """What the reviews of one system come to: ``n`` grades by so many reviewers over ``scenarios`` of ``total``."""

    system: str
    adapter: str | None
    release: str | None
    n: int
    scenarios: int
    total: int
    reviewers: int
    naturalness: GradeSpread
    clarity: GradeSpread


def summarise(reviews: Iterable[Review], *, total: int) -> list[ReviewFigures]:
    """What reviews come to, JSON-able, one row per who answered, the most natural first.

    Args:
        total: how many scenarios there are.

    Returns:
        ``system, adapter, release`` (the newest seen), ``n`` (grades given), ``scenarios``, ``total``, ``reviewers``, and
        for naturalness and clarity ``{"mean", "sd"}``; ``sd`` is the sample's, None for a single grade.
    """
    groups: dict[str, list[Review]] = {}
    for review in reviews:
        groups.setdefault(review.subject, []).append(review)
    rows: list[ReviewFigures] = []
    for group in groups.values():
        newest = max(group, key=lambda review: review.at)
        rows.append(
            {
                "system": newest.system,
                "adapter": newest.adapter,
                "release": newest.release,
                "n": len(group),
                "scenarios": len({review.scenario for review in group}),
                "total": total,
                "reviewers": len({review.reviewer for review in group}),
                "naturalness": _spread([review.naturalness for review in group]),
                "clarity": _spread([review.clarity for review in group]),
            }
        )
    return sorted(rows, key=lambda row: (-row["naturalness"]["mean"], -row["clarity"]["mean"], row["system"]))


def _spread(grades: Sequence[int]) -> GradeSpread:
    return {
        "mean": round(statistics.fmean(grades), 2),
        "sd": round(statistics.stdev(grades), 2) if len(grades) > 1 else None,
    }
