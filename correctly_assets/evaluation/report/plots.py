"""The pictures of reports and runs, as SVG text (as PNG where Dagster shows them), readable without colour.

Belongs here: matplotlib on its Agg-family backends, never a display. Does not belong here: choosing what is shown.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from correctly_assets.artifacts.reports import TypeDifference
from correctly_assets.core.gate import Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, SOFT, ACCENT, RULE = "#1b1f24", "#aeb7c2", "#0b5c8a", "#d7dce2"
MARKERS = "osD^vP*Xd<>"


def types_plot(rows: Sequence[TypeDifference], candidate: str, other: str) -> str:
    """Bars of F0.5 by error type, the candidate filled and the other hatched.

    Args:
        rows: F0.5 from 0 to 100 of both; the first stands on top.
    """
    figure, axes = figure_and_axes(7.6, 0.9 + 0.46 * len(rows))
    for number, row in enumerate(rows):
        axes.barh(number - 0.19, row.candidate, 0.36, color=ACCENT, label=candidate if not number else None)
        axes.barh(
            number + 0.19,
            row.other,
            0.36,
            color="white",
            edgecolor=INK,
            hatch="////",
            linewidth=0.8,
            label=other if not number else None,
        )
        for offset, score in ((-0.19, row.candidate), (0.19, row.other)):
            axes.text(score + 1, number + offset, f"{score:.0f}", va="center", fontsize=7.5, color=INK)
    axes.set_yticks(range(len(rows)), [f"{row.name} ({row.edits})" for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 104)
    axes.set_xlabel("F0.5 (number of reference edits in brackets)")
    axes.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    return svg_of(figure)


def loss_curve(losses: Sequence[float]) -> str:
    """The loss of each training step and its running mean.

    Args:
        losses: mean loss per completion token of each step, in nats.

    Returns:
        A PNG as base64 text: Dagster shows no SVG inside Markdown.
    """
    window = max(1, len(losses) // 20)
    means = [_mean(losses[max(0, step - window) : step + 1]) for step in range(len(losses))]
    figure = _empty_figure(6.4, 2.8)
    axes = figure.subplots()
    axes.plot(losses, color=SOFT, linewidth=0.8, label="each step")
    axes.plot(means, color=ACCENT, linewidth=2, label=f"mean of {window + 1}")
    axes.set(xlabel="step", ylabel="loss (nats a token)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def scores_plot(systems: Mapping[str, Mapping[str, Interval]]) -> str:
    """GLEU and F0.5 of every system with their intervals, side by side.

    Args:
        systems: by name, the intervals of ``gleu`` and ``errant_f05``.
    """
    figure = _empty_figure(7.6, 0.9 + 0.34 * len(systems))
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, key, name in ((left, "gleu", "GLEU"), (right, "errant_f05", "F0.5")):
        for number, intervals in enumerate(systems.values()):
            value = intervals[key]
            axes.plot([value.low, value.high], [number, number], color=INK, linewidth=1.4, solid_capstyle="butt")
            axes.plot(value.point, number, MARKERS[number % len(MARKERS)], color=ACCENT, markersize=6)
            axes.text(value.high, number, f"  {value.point:.1f}", va="center", fontsize=7.5, color=INK)
        axes.set_xlabel(name)
        lowest = min(intervals[key].low for intervals in systems.values())
        highest = max(intervals[key].high for intervals in systems.values())
        span = max(highest - lowest, 10.0)
        axes.set_xlim(max(lowest - 0.12 * span, -0.04 * span), highest + 0.24 * span)
        _plain(axes)
    left.set_yticks(range(len(systems)), list(systems))
    left.set_ylim(len(systems) - 0.5, -0.5)
    return svg_of(figure)


def cost_plot(systems: Mapping[str, tuple[float, float]], label: str) -> str:
    """Quality against one cost, a labelled mark a system; the cost is on a logarithmic scale.

    Args:
        systems: by name, F0.5 from 0 to 100 and the cost. label: names the cost, with its unit.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure, axes = figure_and_axes(7.6, 3.6)
    for number, (name, (score, cost)) in enumerate(systems.items()):
        # Hollow, so that one mark shows through another; the candidate's alone is filled.
        inside = ACCENT if name == "candidate" else "none"
        mark = MARKERS[number % len(MARKERS)]
        axes.plot(cost, score, mark, color=ACCENT, markerfacecolor=inside, markersize=8)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(label)
    axes.set_ylabel("F0.5")
    axes.margins(0.25)
    axes.set_ylim(bottom=min(0.0, *(score for score, _ in systems.values())) - 3)
    label_apart(figure, axes, [(name, cost, score) for name, (score, cost) in systems.items()])
    return svg_of(figure)


def label_apart(figure: Figure, axes: Any, points: Sequence[tuple[str, float, float]]) -> None:
    """A label right of each point, lower where a mark or an earlier one stands, with a line to its point then."""
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()
    marks = axes.transData.transform([(x, y) for _, x, y in points])
    taken: list[Any] = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in marks]
    # From the top, so that labels only move down and lines do not cross.
    for name, x, y in sorted(points, key=lambda point: (-point[2], point[1])):
        down, label = -1, None
        while label is None or (down < 2 * len(points) and _covers(label, taken)):
            if label is not None:
                label.remove()
            down += 1
            place = (9, 4 - 8 * down)
            label = axes.annotate(name, (x, y), xytext=place, textcoords="offset points", fontsize=8, color=INK)
        taken.append(label.get_window_extent())
        if down:
            line = {"arrowstyle": "-", "color": SOFT, "linewidth": 0.7}
            end = (9, 7 - 8 * down)
            axes.annotate("", (x, y), xytext=end, textcoords="offset points", arrowprops=line, zorder=0)


def _covers(label: Any, taken: Sequence[Any]) -> bool:
    box = label.get_window_extent()
    return any(box.overlaps(other) for other in taken)


def figure_and_axes(width: float, height: float) -> tuple[Figure, Any]:
    """An empty figure in the house's look. ``width`` and ``height`` are in inches."""
    figure = _empty_figure(width, height)
    axes = figure.subplots()
    _plain(axes)
    return figure, axes


def _empty_figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _plain(axes: Any) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    axes.tick_params(colors=INK, labelsize=8, length=0)
    axes.xaxis.label.set_size(8.5)
    axes.yaxis.label.set_size(8.5)
    axes.grid(axis="x", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)


def svg_of(figure: Figure) -> str:
    """The figure as SVG text that is the same for the same numbers: no date, no random ids."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "correctly", "svg.fonttype": "path"}):
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()
