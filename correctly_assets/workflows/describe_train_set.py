"""What the page of `train_set` shows: its error mix beside its target, counts by type and by source, what was refused.

Belongs here: counting and drawing what a train set is made of. Does not belong here: making one (train_sets.py), or Dagster
(defs/train_set_asset.py).
"""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from correctly_assets.artifacts.rejected_pairs import sum_up
from correctly_assets.core.ports import Refusal
from correctly_assets.core.taxonomy import family, plain_name
from correctly_assets.core.types import TrainPair
from correctly_assets.teachers.embedded.injection import Mix
from correctly_assets.teachers.embedded.sentence import load_data

_INK, _ACCENT, _RULE = "#1b1f24", "#0b5c8a", "#d7dce2"
_SHOWN_EDITS = 5
"""Sentences with this many edits and more are counted together."""
_SAMPLES = 10


@dataclass(frozen=True, slots=True)
class Share:
    """One error type in a train set.

    Attributes:
        percent, target: of all edits, in the set and as the teachers' mix aims at it.
        learners: the same in learners' texts (the W&I development set); None where it is under 2 % there.
    """

    kind: str
    edits: int
    percent: float
    target: float
    learners: float | None


@dataclass(frozen=True, slots=True)
class ErrorMix:
    """The errors of a train set: by type, most wanted first, and by how many an erroneous sentence holds.

    Attributes:
        counts: [(number of edits in words, percent of the erroneous sentences, target, in learners' texts)].
    """

    types: tuple[Share, ...]
    counts: tuple[tuple[str, float, float, float], ...]


def error_mix(pairs: Iterable[TrainPair], first_languages: Sequence[str] = ()) -> ErrorMix:
    """Hold the edits of a train set against what the teachers aim at (teachers/data/mix.yaml) for these first languages, for
    all where none is named."""
    mix = load_data("mix.yaml")
    kinds: Counter[str] = Counter()
    lengths: Counter[int] = Counter()
    for pair in pairs:
        kinds.update(family(edit.type) for edit in pair.edits)
        if pair.edits:
            lengths[min(len(pair.edits), _SHOWN_EDITS)] += 1
    all_edits, wanted, learners = (
        sum(kinds.values()),
        Mix.from_table(mix, first_languages).kinds,
        mix["learners"]["kinds"],
    )
    aimed = sum(wanted.values())
    names = sorted({*kinds, *wanted}, key=lambda name: (-wanted.get(name, 0), -kinds[name], name))
    aimed_lengths: Counter[int] = Counter()
    for number, weight in mix["edits"].items():
        aimed_lengths[min(int(number), _SHOWN_EDITS)] += weight
    return ErrorMix(
        tuple(
            Share(
                name, kinds[name], _percent(kinds[name], all_edits), _percent(wanted.get(name, 0), aimed),
                learners.get(name),
            )
            for name in names
        ),
        tuple(
            (
                f"{number}" if number < _SHOWN_EDITS else f"{number}+",
                _percent(lengths[number], sum(lengths.values())),
                _percent(aimed_lengths[number], sum(aimed_lengths.values())),
                float(mix["learners"]["edits"][number]),
            )
            for number in range(1, _SHOWN_EDITS + 1)
        ),
    )  # fmt: skip


def departure(mix: ErrorMix, most: int = 6) -> str:
    """One sentence on how far the target lies from learners' own shares, the widest differences first, and why."""
    known = [share for share in mix.types if share.learners is not None]
    apart = sorted(known, key=lambda share: -abs(share.target - (share.learners or 0)))
    differences = [
        f"{share.kind} {share.target:.0f} % for {share.learners:g} %"
        for share in apart[:most]
        if abs(share.target - (share.learners or 0)) >= 1
    ]
    if not differences:
        return "The target keeps to learners' shares (W&I)."
    return (
        f"The target departs from learners' shares (W&I) on purpose: {', '.join(differences)}. It leans to what timed essays "
        "hold more of: misspellings, noun number, verb forms, agreement (teachers/data/mix.yaml)."
    )


def draw_mix(mix: ErrorMix) -> str:
    """The mix as a picture (base64 PNG), readable without colour: filled bars, hatched bars, diamonds, and figures."""
    from matplotlib.figure import Figure

    rows = [(f"{share.kind}", share.percent, share.target, share.learners) for share in mix.types]
    figure = Figure(figsize=(7.6, 1.4 + 0.3 * len(rows)), dpi=110, layout="constrained")
    types, counts = figure.subplots(2, 1, gridspec_kw={"height_ratios": [max(1, len(rows)), 5.5]})
    _bars(types, rows, "% of all edits (figures: this set / target)")
    types.legend(frameon=False, fontsize=8, loc="lower right")
    _bars(counts, list(mix.counts), "% of the sentences with errors, by their number of edits")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return base64.b64encode(buffer.getvalue()).decode()


def _bars(axes: Any, rows: Sequence[tuple[str, float, float, float | None]], label: str) -> None:
    for number, (_, percent, target, learners) in enumerate(rows):
        first = not number
        axes.barh(number - 0.19, percent, 0.36, color=_ACCENT, label="this set" if first else None)
        axes.barh(
            number + 0.19, target, 0.36, color="white", edgecolor=_INK, hatch="////", linewidth=0.8,
            label="target" if first else None,
        )  # fmt: skip
        if learners is not None:
            axes.plot(
                learners, number, "D", markersize=5, markerfacecolor="white", markeredgecolor=_INK, linestyle="none",
                label="learners (W&I)" if first else None,
            )  # fmt: skip
        widest = max(percent, target, learners or 0)
        axes.text(widest + 0.5, number, f"{percent:.1f} / {target:.1f}", va="center", fontsize=7, color=_INK)
    axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.margins(x=0.12)
    axes.set_xlim(left=0)
    axes.set_xlabel(label)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_RULE)
    axes.tick_params(colors=_INK, labelsize=8, length=0)
    axes.xaxis.label.set_size(8.5)
    axes.grid(axis="x", color=_RULE, linewidth=0.6)
    axes.set_axisbelow(True)


def type_rows(mix: ErrorMix) -> list[list[str]]:
    """Error type in words, edits, percent, target, learners' percent."""
    return [
        [
            share.kind, plain_name(share.kind), str(share.edits), f"{share.percent:.1f}", f"{share.target:.1f}",
            "under 2" if share.learners is None else f"{share.learners:g}",
        ]
        for share in mix.types
    ]  # fmt: skip


def source_rows(pairs: Sequence[TrainPair], sources: Mapping[str, str]) -> tuple[list[str], list[list[str]]]:
    """Pairs by where their example came from and how they were made, fullest source first.

    Args:
        sources: {example id: source}.

    Returns:
        (heads, rows).
    """
    counts = Counter((sources.get(pair.example_id) or "unknown", pair.origin) for pair in pairs)
    weights: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    for pair in pairs:
        name = sources.get(pair.example_id) or "unknown"
        totals[name] += 1
        weights[name] += pair.weight
    origins = sorted({pair.origin for pair in pairs})
    rows = [
        [name, *(str(counts[name, origin]) for origin in origins), str(total), str(weights[name])]
        for name, total in sorted(totals.items(), key=lambda item: (-item[1], item[0]))
    ]
    return ["Source", *origins, "Pairs", "Weight"], rows


def samples(pairs: Sequence[TrainPair], count: int = _SAMPLES) -> list[TrainPair]:
    """Pairs to look at, of every origin in turn."""
    by_origin: dict[str, list[TrainPair]] = {}
    for pair in pairs:
        by_origin.setdefault(pair.origin, []).append(pair)
    turns = zip_longest(*(by_origin[origin][:count] for origin in sorted(by_origin)))
    return [pair for turn in turns for pair in turn if pair is not None][:count]


def sample_row(pair: TrainPair) -> list[str]:
    """Before, after, each edit with its type and reason, origin, the example it comes from."""
    edits = "; ".join(
        f"{edit.was.strip() or '∅'} → {edit.now.strip() or '∅'} ({edit.type}{': ' + edit.reason if edit.reason else ''})"
        for edit in pair.edits
    )
    return [pair.before, pair.after, edits or "nothing to change", pair.origin, pair.example_id]


def rejected_rows(refused: Sequence[Refusal], words: int = 3) -> list[list[str]]:
    """Rung, how many fell there, and its most frequent reasons, each with one text that fell."""
    rows: list[list[str]] = []
    for rung in sum_up(refused):
        for number, (reason, count, refusal) in enumerate(rung.reasons[:words]):
            head = [rung.name, str(rung.count)] if not number else ["", ""]
            rows.append([*head, f"{count} × {reason}", str(refusal.row.get("before") or "")])
    return rows


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole else 0.0
