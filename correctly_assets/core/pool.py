"""Which of very many examples a train set is made from.

Belongs here: a draw that depends on the ids and the seed alone and holds no more than it keeps. Does not belong here: reading
examples (store/), or what is made of them (teachers/).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from heapq import nsmallest
from typing import Literal

Standing = Literal["verified", "corrected", "untouched"]
_LEAST = 2000
"""Of each standing so many are kept however few pairs are wanted, or a small set would know a narrow choice of bait."""


def kept_of_each(count: int) -> int:
    """How many examples of each standing are kept for ``count`` pairs."""
    return max(_LEAST, 2 * count)


def drawn(rows: Iterable[tuple[str, Standing]], count: int, seed: int) -> set[str]:
    """The ids of the examples that a train set of ``count`` pairs is made from.

    Of verified corrections, of other corrections and of untouched texts twice as many as pairs are wanted, each drawn by the
    hash of id and seed: what the ladder refuses is made up for, and another example that lands moves few of the others. Where
    there are no more than that, all of them.

    Args:
        rows: (id, standing) of every example, read once and not kept.
    """
    most = kept_of_each(count)
    kept: dict[Standing, list[tuple[bytes, str]]] = {"verified": [], "corrected": [], "untouched": []}
    for id, standing in rows:
        candidates = kept[standing]
        candidates.append((hashlib.sha256(f"{seed}:{id}".encode()).digest()[:12], id))
        if len(candidates) >= 4 * most:
            candidates[:] = nsmallest(most, candidates)
    return {id for candidates in kept.values() for _, id in nsmallest(most, candidates)}
