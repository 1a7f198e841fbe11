"""The pictures of the dashboard, as SVG text, readable without colour: marks, hatches and figures say what colour does.

Belongs here: matplotlib over plain rows. Does not belong here: what is shown and why (gateway/dashboard.py), the reports'
pictures (plots.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from correctly_assets.evaluation.report.plots import ACCENT, INK, MARKERS, SOFT, figure_and_axes, svg_of

_HATCHES = ("", "////", "....", "xxxx")
_WIDTH = 4.0
"""Inches: about as wide as a phone shows it, so that its words are not made smaller there."""


def scores_over_releases(
    releases: Sequence[str], series: Mapping[str, Sequence[float | None]], line: tuple[str, float] | None, label: str
) -> str:
    """Scores of releases, one mark a series, in the order in which they served.

    Args:
        releases: names along the bottom. series: {name: a value or None for each release}.
        line: (words, value) of the gate's bound.
    """
    figure, axes = figure_and_axes(_WIDTH, 2.9)
    for number, (name, values) in enumerate(series.items()):
        known = [(place, value) for place, value in enumerate(values) if value is not None]
        places, heights = [place for place, _ in known], [value for _, value in known]
        mark, style = MARKERS[number % len(MARKERS)], ("-", "--", ":")[number % 3]
        axes.plot(places, heights, style, marker=mark, color=ACCENT if not number else INK, label=name, markersize=5)
        if known:
            axes.annotate(
                f"{heights[-1]:.1f}", known[-1], xytext=(6, 0), textcoords="offset points", fontsize=8, va="center"
            )
    if line is not None:
        axes.axhline(line[1], color=INK, linewidth=1, linestyle=(0, (1, 2)), label=f"{line[0]} ({line[1]:.1f})")
    step = max(1, len(releases) // 8)
    axes.set_xticks(range(0, len(releases), step), list(releases)[::step])
    axes.set_xlim(-0.3, max(len(releases) - 0.4, 0.6))
    axes.margins(y=0.2)
    axes.set_ylabel(label)
    axes.grid(axis="y", color=SOFT, linewidth=0.4)
    axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return svg_of(figure)


def bars(rows: Sequence[tuple[str, Sequence[float]]], names: Sequence[str], label: str, form: str = "{:.0f}") -> str:
    """Bars side by side for each row, told apart by their hatches, with their figures.

    Args:
        rows: (name, one value a name); the first stands on top. form: how a figure is written.
    """
    figure, axes = figure_and_axes(_WIDTH, 0.9 + 0.22 * len(rows) * (len(names) + 0.5))
    high = 0.8 / len(names)
    most = max((value for _, values in rows for value in values), default=0.0) or 1.0
    for index, name in enumerate(names):
        for place, (_, values) in enumerate(rows):
            at = place + (index - (len(names) - 1) / 2) * high
            axes.barh(
                at,
                values[index],
                0.9 * high,
                color=ACCENT if not index else "white",
                edgecolor=ACCENT if not index else INK,
                hatch=_HATCHES[index % len(_HATCHES)],
                linewidth=0.8,
                label=name if not place else None,
            )
            axes.text(values[index] + 0.01 * most, at, form.format(values[index]), va="center", fontsize=8, color=INK)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 1.15 * most)
    axes.set_xlabel(label)
    if len(names) > 1:
        axes.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=len(names))
    return svg_of(figure)


def as_rows(values: Mapping[str, float], limit: int) -> list[tuple[str, Sequence[Any]]]:
    """The largest values as rows for `bars`, the largest first."""
    largest = sorted(values.items(), key=lambda item: (-item[1], item[0]))[:limit]
    return [(name, (value,)) for name, value in largest]
