"""The report's section on grammar points: what learners get wrong most, and which points are served badly.

Belongs here: its rows and how they read. Does not belong here: counting (metrics/points.py), the page (pages.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from correctly_assets.evaluation.metrics.points import PointCounts
from correctly_assets.evaluation.report.wording import cell
from correctly_assets.language.points import load_points

NO_POINT = "no grammar point"
LEAST = 3
"""Edits of the references from which on a point may be said to be served badly; fewer are chance."""
MOST_NAMED = 8
BADLY = 0.5
"""Share of a point's edits found, below which it is served badly."""
SHOWN = 15
"""Rows of the table in Markdown; the page has all."""


def points_of_section(rival: str, candidate: PointCounts, other: PointCounts) -> dict[str, Any]:
    """What a section holds of grammar points, JSON-able.

    Args:
        rival: the champion's name where there is one, else what the candidate is compared with.

    Returns:
        ``{"rows", "serves", "badly"}``: a row a point, those with most edits in the references first; who serves, or would;
        the IDs of the points of which that system finds less than half, the worst first.
    """
    points = load_points()
    ids = {*candidate.wanted, *other.wanted, *candidate.wrong, *other.wrong}
    rows: list[dict[str, Any]] = []
    for each in ids:
        point = points.get(each or "")
        row: dict[str, Any] = {"point": each, "name": point.name if point else each or NO_POINT}
        row |= {"level": point.level if point else None, "area": point.area if point else None}
        for name, counts in (("candidate", candidate), ("other", other)):
            row[name] = {"edits": counts.wanted[each], "found": counts.found[each], "wrong": counts.wrong[each]}
        rows.append({**row, "edits": max(candidate.wanted[each], other.wanted[each])})
    rows.sort(key=lambda row: (-row["edits"], row["name"]))
    serves = "champion" if rival == "champion" else "candidate"
    of = "other" if serves == "champion" else "candidate"
    asked = [row for row in rows if row["point"] is not None and row[of]["edits"] >= LEAST]
    badly = [row for row in asked if row[of]["found"] < BADLY * row[of]["edits"]]
    badly.sort(key=lambda row: (row[of]["found"] / row[of]["edits"], -row[of]["edits"]))
    return {"rows": rows, "serves": serves, "badly": [row["point"] for row in badly]}


def points_rows(section: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Name, level, edits in the references, found and wrong by the candidate and by its rival; empty in a report of an older
    version."""
    found: list[tuple[str, ...]] = []
    for row in (section.get("points") or {}).get("rows", ()):
        sides = [
            (f"{side['found']} of {side['edits']}", str(side["wrong"])) for side in (row["candidate"], row["other"])
        ]
        found.append((row["name"], row["level"] or "", str(row["edits"]), *sides[0], *sides[1]))
    return found


def points_head(rival: str) -> tuple[str, ...]:
    """The heads of the table's columns."""
    return (
        "Grammar point", "level", "reference edits", "candidate found", "candidate wrongly",
        f"{rival} found", f"{rival} wrongly",
    )  # fmt: skip


def badly_served(section: Mapping[str, Any]) -> str:
    """One sentence on the points that the serving system finds least of; empty in a report of an older version."""
    points = section.get("points")
    if not points:
        return ""
    of = "other" if points["serves"] == "champion" else "candidate"
    rows = {row["point"]: row for row in points["rows"]}
    named = [
        f"{rows[each]['name']} ({rows[each][of]['found']} of {rows[each][of]['edits']})"
        for each in points["badly"][:MOST_NAMED]
    ]
    if not named:
        return f"Of no point with {LEAST} edits or more does the {points['serves']} find less than half."
    more = len(points["badly"]) - len(named)
    return f"Served badly by the {points['serves']}: {', '.join(named)}{f' and {more} more' if more > 0 else ''}."


def points_lines(section: Mapping[str, Any]) -> Sequence[str]:
    """The section in Markdown; nothing in a report of an older version."""
    rows = points_rows(section)
    if not rows:
        return ()
    head = points_head(cell(section["rival"]))
    return (
        "",
        "### Grammar points: what learners get wrong most",
        "",
        badly_served(section),
        "",
        f"| {' | '.join(head)} |",
        "| --- | --- |" + " --: |" * (len(head) - 2),
        *(f"| {' | '.join(map(cell, row))} |" for row in rows[:SHOWN]),
    )
