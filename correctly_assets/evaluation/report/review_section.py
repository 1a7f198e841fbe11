"""The report's section on what reviewers thought: naturalness and clarity per system.

Belongs here: how reviews read in Markdown and HTML. Does not belong here: what they come to (core/review.py), the rest of
the report (pages.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from correctly_assets.evaluation.report.wording import cell

NOT_REVIEWED = "not reviewed; run `correctly review`"
TEMPLATE = Path(__file__).with_name("reviewed.html.j2")


def reviewed_lines(report: Mapping[str, Any]) -> list[str]:
    """The section in Markdown."""
    rows = _rows(report)
    lines = ["### Reviewed by people", ""]
    if not rows:
        return [*lines, NOT_REVIEWED, ""]
    lines += [
        "| System | naturalness | clarity | grades | scenarios | people |",
        "| --- | --: | --: | --: | --: | --: |",
    ]
    for row in rows:
        bold = "**" if row["this"] else ""
        lines.append(
            f"| {bold}{cell(row['name'])}{bold} | {row['naturalness']} | {row['clarity']} | {row['n']} | {row['scenarios']} "
            f"| {row['reviewers']} |"
        )
    return [*lines, "", _about(report), ""]


def reviewed_html(report: Mapping[str, Any]) -> Any:
    """The section as safe HTML."""
    from jinja2 import Environment
    from markupsafe import Markup

    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        TEMPLATE.read_text(encoding="utf-8")
    )
    return Markup(template.render(rows=_rows(report), about=_about(report)))  # noqa: S704 - rendered with autoescape


def _rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a system, this report's own adapter told apart."""
    shown: list[dict[str, Any]] = []
    for row in report.get("reviews") or ():
        this = row["adapter"] is not None and row["adapter"] == report["adapter"]
        name = "this adapter" if this else f"adapter {row['adapter']}" if row["adapter"] else row["system"]
        shown.append(
            {
                "name": name,
                "this": this,
                "naturalness": grade_says(row["naturalness"]),
                "clarity": grade_says(row["clarity"]),
                "n": row["n"],
                "scenarios": f"{row['scenarios']} of {row['total']}",
                "reviewers": row["reviewers"],
            }
        )
    return shown


def _about(report: Mapping[str, Any]) -> str:
    rows: Sequence[Mapping[str, Any]] = report.get("reviews") or ()
    if any(row["adapter"] == report["adapter"] for row in rows):
        tail = ""
    else:
        tail = " This adapter itself was not reviewed yet."
    return (
        "Grades from 1 to 5, 5 the best, given blind and in shuffled order; mean, and standard deviation over grades in "
        f"brackets. So few grades rank nothing by themselves.{tail}"
    )


def grade_says(value: Mapping[str, float | None]) -> str:
    """A mean grade, with its standard deviation where there is one."""
    return f"{value['mean']:.1f}" + (f" ({value['sd']:.1f})" if value["sd"] is not None else "")
