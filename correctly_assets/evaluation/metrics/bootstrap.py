"""Paired bootstrap intervals over per-sentence statistics.

Belongs here: resampling sentences and reading off intervals. Does not belong here: what the statistics count
(metrics.py, gleu.py).

Two systems are compared on the same draws of sentences, and for GLEU of references, so what both find hard cancels out
(Koehn 2004). The interval is the 95 % percentile interval of the differences.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from correctly_assets.core.gate import Interval
from correctly_assets.evaluation.metrics.counts import Statistics, precision_recall_f
from correctly_assets.evaluation.metrics.gleu import corpus_gleu, gleu_of_sums

ROUNDS = 1000
_CHUNK = 50

Values = NDArray[np.float64]
Metric = Callable[[Statistics], tuple[float, Values]]


class Resampler:
    """The draws that every comparison on one set shares.

    Args:
        n: sentences of the set.
        references: how many references each sentence has.
        rounds: draws; ``seed``: the same seed gives the same intervals.
    """

    def __init__(self, n: int, references: NDArray[np.int64], *, rounds: int = ROUNDS, seed: int = 20) -> None:
        rng = np.random.default_rng(seed)
        self.rounds = rounds
        self._rows = rng.integers(0, max(n, 1), (rounds, n)) if n else np.zeros((rounds, 0), np.int64)
        self._picks = (rng.random((rounds, n)) * references[self._rows]).astype(np.int64) if n else self._rows

    def gleu(self, stats: Statistics) -> tuple[float, Values]:
        """The corpus GLEU and its value in every draw (0 to 100)."""
        if not stats.n:
            return 0.0, np.zeros(self.rounds)
        sums = np.concatenate(
            [
                stats.gleu[self._rows[start : start + _CHUNK], self._picks[start : start + _CHUNK]].sum(axis=1)
                for start in range(0, self.rounds, _CHUNK)
            ]
        )
        return corpus_gleu(stats.gleu, stats.references), gleu_of_sums(sums)

    def f05(self, counts: NDArray[np.int64]) -> tuple[float, Values]:
        """F0.5 of (n, 3) counts and its value in every draw (0 to 100)."""
        point = 100 * float(precision_recall_f(counts.sum(axis=0))[2])
        # How often each sentence is drawn, times its counts: one product instead of a gather per draw.
        return point, 100 * precision_recall_f(self.frequencies() @ counts)[2]

    def share(self, flags: NDArray[np.bool_], among: NDArray[np.bool_]) -> tuple[float, Values]:
        """The share (0 to 100) of ``among`` that is flagged, and its value in every draw."""
        drawn = self.frequencies()
        hits, all_ = drawn @ (flags & among), drawn @ among
        point = 100 * float((flags & among).sum() / max(int(among.sum()), 1))
        return point, 100 * hits / np.maximum(all_, 1)

    def frequencies(self) -> NDArray[np.float64]:
        """(rounds, n): how often each sentence stands in each draw."""
        n = self._rows.shape[1]
        offsets = np.arange(self.rounds)[:, None] * n
        flat = np.bincount((self._rows + offsets).ravel(), minlength=self.rounds * n)
        return flat.reshape(self.rounds, n).astype(np.float64)


def interval(point: float, values: Values) -> Interval:
    """A score or difference with its 95 % percentile interval."""
    low, high = np.percentile(values, [2.5, 97.5]) if len(values) else (point, point)
    return Interval(float(point), float(low), float(high))


def difference(first: tuple[float, Values], second: tuple[float, Values]) -> Interval:
    """First − second, paired draw by draw."""
    return interval(first[0] - second[0], first[1] - second[1])
