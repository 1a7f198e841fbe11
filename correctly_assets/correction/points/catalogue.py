"""The catalogue, ready to ask: each point with its compiled condition.

Belongs here: loading once, checking that conditions and slots fit. Does not belong here: the records of the files
(language/points.py), choosing (choose_point.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from correctly_assets.core.errors import PermanentError
from correctly_assets.correction.points.conditions import Condition, compiled
from correctly_assets.language.points import GRAMMAR_DIR, Point, load_points

ALWAYS = frozenset({"was", "now", "left", "right"})
"""Slots that every change fills."""


@dataclass(frozen=True)
class Entry:
    """A point and one way in which it holds."""

    point: Point
    condition: Condition


@dataclass(frozen=True)
class Catalogue:
    """All points, and their conditions by the operation they can hold for."""

    points: dict[str, Point]
    single: dict[str, tuple[Entry, ...]]
    groups: dict[str, tuple[Entry, ...]]


@lru_cache(maxsize=2)
def load_catalogue(directory: Path = GRAMMAR_DIR) -> Catalogue:
    """Read and compile the catalogue, once.

    Raises:
        PermanentError: a point is malformed; the message names it and the remedy.
    """
    package = f"{__package__}.predicates"
    for module in iter_modules(import_module(package).__path__):
        import_module(f"{package}.{module.name}")
    points = load_points(directory)
    entries: list[Entry] = []
    for point in points.values():
        try:
            conditions = compiled(point.when)
        except (PermanentError, ValueError, TypeError, KeyError) as error:
            raise PermanentError(
                f"The point {point.id!r} of {directory}: its condition: {error}. Mend `when`."
            ) from error
        for condition in conditions:
            if missing := point.slots - condition.slots - ALWAYS:
                raise PermanentError(
                    f"The point {point.id!r} of {directory}: nothing fills the slot {sorted(missing)[0]!r}; "
                    "fill it under `slots` or take it out of the sentence."
                )
            entries.append(Entry(point, condition))
    return Catalogue(points, _by_operation(entries, "no", "also"), _by_operation(entries, "also", "only"))


def _by_operation(entries: list[Entry], *groups: str) -> dict[str, tuple[Entry, ...]]:
    return {
        op: tuple(e for e in entries if op in e.condition.ops and e.condition.group in groups) for op in ("M", "R", "U")
    }
