"""Which engines of merged weights should run: the decision behind the merged rollout.

Belongs here: the pure decision over who serves, who served before and who was asked for. Does not belong here: starting or
stopping (runtime/fleet.py), asking (serving/merged.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Asked:
    """A process asked for an adapter's engine, to prove, evaluate or promote it.

    Attributes:
        at: when, in seconds since 1970. last: when it was last known to be of use to who asked.
        alive: who asked still runs and holds on to it.
    """

    adapter: str
    at: float
    last: float
    alive: bool = True


BETWEEN_STEPS = 60.0
"""Seconds for which what was asked for counts as still asked for: the next step of a run is another process."""


@dataclass(frozen=True, slots=True)
class EnginePlan:
    """What should run, most needed first, and what was asked for and finds no room."""

    run: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


def plan_engines(
    *,
    champion: str | None,
    served: str | None,
    previous: str | None,
    champion_since: float,
    asked: Iterable[Asked],
    broken: Collection[str],
    now: float,
    warm_seconds: float,
) -> EnginePlan:
    """What should run beside the base model's engine: what serves, and one more.

    An engine takes some 5 GB on a CPU. The one more is what somebody asked for (the first to ask keeps it), or else the
    previous release, which stays warm for a while so that a rollback is, or else what somebody asked for lately.

    Args:
        champion: the newest release's adapter. served: what people are answered by now, which differs while a flip is
            under way or the newest release cannot be proved, and is never stopped.
        champion_since: when the champion was released, in seconds since 1970.
        broken: adapters whose engine does not start, and is not to be tried now.
        warm_seconds: how long the previous release, and what a process that has ended asked for, keeps its engine.
    """
    needed = [name for name in dict.fromkeys((served, champion)) if name is not None and name not in broken]
    order = sorted(asked, key=lambda one: one.at)
    live = [one.adapter for one in order if one.alive or now - one.last < BETWEEN_STEPS]
    warm = [previous] if previous is not None and now - champion_since < warm_seconds else []
    lately = [one.adapter for one in order if now - one.last < warm_seconds]
    free = [name for name in dict.fromkeys((*live, *warm, *lately)) if name not in needed and name not in broken]
    return EnginePlan((*needed, *free[:1]), tuple(name for name in free[1:] if name in live))
