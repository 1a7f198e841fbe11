"""How a system does by grammar point: what of the references it finds, and what it changes besides.

Belongs here: counting. Does not belong here: which point explains an edit (correction/points/, handed in), how the counts
read (report/points_section.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from correctly_assets.core.evaluation import EvaluationSet
from correctly_assets.core.types import Correction, EditKey

PointsOf = Callable[[str, str], Sequence[tuple[EditKey, str | None]]]
"""(text, better text) → each edit with the ID of its grammar point; None where no point holds."""


@dataclass(frozen=True, slots=True)
class PointCounts:
    """Edits by grammar point, None for those that no point explains.

    Attributes:
        wanted: edits of the references; found: those of them that the system made.
        wrong: edits of the system that are none of the reference's.
    """

    wanted: Counter[str | None]
    found: Counter[str | None]
    wrong: Counter[str | None]


def count_points(
    data: EvaluationSet, corrections: Sequence[Correction], best: Iterable[int], points_of: PointsOf
) -> PointCounts:
    """Count a system's edits and those of the references by grammar point.

    Args:
        corrections: one per row, in order.
        best: which reference each row is compared with, as the scores are (`Statistics.best`).
    """
    counts = PointCounts(Counter(), Counter(), Counter())
    for row, correction, chosen in zip(data.rows, corrections, best, strict=True):
        made = dict(points_of(row.source, correction.after))
        wanted = dict(points_of(row.source, row.references[chosen]))
        counts.wanted.update(wanted.values())
        counts.found.update(point for key, point in wanted.items() if key in made)
        counts.wrong.update(point for key, point in made.items() if key not in wanted)
    return counts
