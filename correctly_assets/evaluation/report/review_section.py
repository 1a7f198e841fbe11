"""The report's section on what reviewers thought: naturalness and clarity per system.

Belongs here: how reviews read in Markdown and HTML. Does not belong here: what they come to (core/review.py), the rest of
the report (pages.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from correctly_assets.artifacts.reports import ReviewedSystem, Spread
from correctly_assets.evaluation.report.report_wording import cell

NOT_REVIEWED = "not reviewed; run `correctly review`"
TEMPLATE = Path(__file__).with_name("reviewed.html.j2")


def reviewed_lines(adapter: str, reviews: Sequence[ReviewedSystem]) -> list[str]:
    """The section in Markdown.

    Args:
        adapter: whose report it is; its own row stands out.
    """
    lines = ["### Reviewed by people", ""]
    if not reviews:
        return [*lines, NOT_REVIEWED, ""]
    lines += [
        "| System | naturalness | clarity | grades | scenarios | people |",
        "| --- | --: | --: | --: | --: | --: |",
    ]
    for row in _rows(adapter, reviews):
        bold = "**" if row.this else ""
        lines.append(
            f"| {bold}{cell(row.name)}{bold} | {row.naturalness} | {row.clarity} | {row.n} | {row.scenarios} "
            f"| {row.reviewers} |"
        )
    return [*lines, "", _about(adapter, reviews), ""]


def reviewed_html(adapter: str, reviews: Sequence[ReviewedSystem]) -> Markup:
    """The section as safe HTML; see `reviewed_lines`."""
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        TEMPLATE.read_text(encoding="utf-8")
    )
    return Markup(template.render(rows=_rows(adapter, reviews), about=_about(adapter, reviews)))  # noqa: S704 - rendered with autoescape


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the table as text; ``this`` for the report's own adapter."""

    name: str
    this: bool
    naturalness: str
    clarity: str
    n: int
    scenarios: str
    reviewers: int


def _rows(adapter: str, reviews: Sequence[ReviewedSystem]) -> list[_Row]:
    rows: list[_Row] = []
    for one in reviews:
        this = one.adapter is not None and one.adapter == adapter
        name = "this adapter" if this else f"adapter {one.adapter}" if one.adapter else one.system
        scenarios = f"{one.scenarios} of {one.total}"
        natural, clear = grade_says(one.naturalness), grade_says(one.clarity)
        rows.append(_Row(name, this, natural, clear, one.n, scenarios, one.reviewers))
    return rows


def _about(adapter: str, reviews: Sequence[ReviewedSystem]) -> str:
    own = any(one.adapter == adapter for one in reviews)
    tail = "" if own else " This adapter itself was not reviewed yet."
    return (
        "Grades from 1 to 5, 5 the best, given blind and in shuffled order; mean, and standard deviation over grades in "
        f"brackets. So few grades rank nothing by themselves.{tail}"
    )


def grade_says(value: Spread) -> str:
    """A mean grade, with its standard deviation where there is one."""
    return f"{value.mean:.1f}" + (f" ({value.sd:.1f})" if value.sd is not None else "")
