"""The report's section on grammar points: what learners get wrong most, and which points are served badly.

Belongs here: its rows and how they read. Does not belong here: counting (metrics/point_scores.py), the page (pages.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from correctly_assets.artifacts.reports import PointRow, PointSide, PointsSection, ReportSection
from correctly_assets.evaluation.metrics.point_scores import PointCounts
from correctly_assets.evaluation.report.report_wording import cell
from correctly_assets.language.points import load_points

NO_POINT = "no grammar point"
LEAST = 3
"""Edits of the references from which on a point may be said to be served badly; fewer are chance."""
MOST_NAMED = 8
BADLY = 0.5
"""Share of a point's edits found, below which it is served badly."""
SHOWN = 15
"""Rows of the table in Markdown; the page has all."""


def points_of_section(rival: str, candidate: PointCounts, other: PointCounts) -> PointsSection:
    """What a section holds of grammar points.

    Args:
        rival: the champion's name where there is one, else what the candidate is compared with.
    """
    points = load_points()
    rows: list[PointRow] = []
    for each in {*candidate.wanted, *other.wanted, *candidate.wrong, *other.wrong}:
        point = points.get(each or "")
        rows.append(
            PointRow(
                point=each,
                name=point.name if point else each or NO_POINT,
                level=point.level if point else None,
                area=point.area if point else None,
                candidate=_side(candidate, each),
                other=_side(other, each),
                edits=max(candidate.wanted[each], other.wanted[each]),
            )
        )
    rows.sort(key=lambda row: (-row.edits, row.name))
    serves = "champion" if rival == "champion" else "candidate"
    asked = [(row.point, row.side(serves)) for row in rows if row.point is not None]
    badly = [(id, side) for id, side in asked if side.edits >= LEAST and side.found < BADLY * side.edits]
    badly.sort(key=lambda item: (item[1].found / item[1].edits, -item[1].edits))
    return PointsSection(rows=rows, serves=serves, badly=[id for id, _ in badly])


def _side(counts: PointCounts, point: str | None) -> PointSide:
    return PointSide(edits=counts.wanted[point], found=counts.found[point], wrong=counts.wrong[point])


def points_rows(points: PointsSection | None) -> list[tuple[str, ...]]:
    """Name, level, edits in the references, found and wrong by the candidate and by its rival; empty in a report of an older
    version."""
    found: list[tuple[str, ...]] = []
    for row in points.rows if points else ():
        sides = [(f"{side.found} of {side.edits}", str(side.wrong)) for side in (row.candidate, row.other)]
        found.append((row.name, row.level or "", str(row.edits), *sides[0], *sides[1]))
    return found


def points_head(rival: str) -> tuple[str, ...]:
    """The heads of the table's columns."""
    return (
        "Grammar point", "level", "reference edits", "candidate found", "candidate wrongly",
        f"{rival} found", f"{rival} wrongly",
    )  # fmt: skip


def badly_served(points: PointsSection | None) -> str:
    """One sentence on the points that the serving system finds least of; empty in a report of an older version."""
    if points is None or not points.rows:
        return ""
    rows = {row.point: row for row in points.rows}
    shown = [(rows[each].name, rows[each].side(points.serves)) for each in points.badly[:MOST_NAMED]]
    named = [f"{name} ({side.found} of {side.edits})" for name, side in shown]
    if not named:
        return f"Of no point with {LEAST} edits or more does the {points.serves} find less than half."
    more = len(points.badly) - len(named)
    return f"Served badly by the {points.serves}: {', '.join(named)}{f' and {more} more' if more > 0 else ''}."


def points_lines(section: ReportSection) -> Sequence[str]:
    """The section in Markdown; nothing in a report of an older version."""
    rows = points_rows(section.points)
    if not rows:
        return ()
    head = points_head(cell(section.rival))
    return (
        "",
        "### Grammar points: what learners get wrong most",
        "",
        badly_served(section.points),
        "",
        f"| {' | '.join(head)} |",
        "| --- | --- |" + " --: |" * (len(head) - 2),
        *(f"| {' | '.join(map(cell, row))} |" for row in rows[:SHOWN]),
    )
