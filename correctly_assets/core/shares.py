"""Shares of counted things, with intervals that hold for small counts and for shares near 0 and 100 %.

Belongs here: Wilson's interval of one share, Newcombe's of the difference of two. Does not belong here: what is counted, or
intervals by resampling (evaluation/metrics/bootstrap.py).
"""

from __future__ import annotations

from math import hypot

from correctly_assets.core.gate import Interval


def share(hits: int, n: int, confidence: float = 0.95) -> Interval:
    """The share of ``hits`` among ``n`` with Wilson's score interval, in points from 0 to 100; 0 to 100 where ``n`` is 0.

    Args:
        confidence: from 0 to 1.

    Raises:
        ValueError: there are more hits than things.
    """
    # scipy.stats takes a second to load: only whoever counts waits for it.
    from scipy.stats import binomtest

    if n == 0:
        return Interval(0.0, 0.0, 100.0)
    bounds = binomtest(hits, n).proportion_ci(confidence, method="wilson")
    return Interval(100 * hits / n, 100 * float(bounds.low), 100 * float(bounds.high))


def apart(first: Interval, second: Interval) -> Interval:
    """First − second, in points, with Newcombe's interval of the difference of two independent shares (1998, method 10)."""
    difference = first.point - second.point
    return Interval(
        difference,
        difference - hypot(first.point - first.low, second.high - second.point),
        difference + hypot(first.high - first.point, second.point - second.low),
    )
