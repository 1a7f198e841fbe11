"""Edits that belong together, as one change with one point.

Belongs here: which neighbouring edits are tried as one. Does not belong here: the points themselves (prompts/grammar/).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from correctly_assets.correction.points.change import Change, merged

_MOST_EDITS = 4
_MOST_TOKENS = 16
_MOST_BETWEEN = 3
_NEXT = 2
_BOUND = ("VERB", "PART", "PRON", "PUNCT", "OTHER", "MORPH", "CONJ", "SCONJ")
"""Kinds of edits that a neighbour's point takes in: "did he say" → "he said" is one point, and not two."""
Holds = Callable[[Change], frozenset[str]]


def grouped(changes: Sequence[Change], holds: Holds, far: Holds) -> list[tuple[tuple[int, ...], Change]]:
    """The changes in order, those that one point explains together made into one.

    A group needs each of its edits: a point that holds without the first or the last of them makes no group of all,
    unless that edit stands beside the others and is of a verb, a pronoun or a mark.

    Args:
        holds: IDs of the points that hold for a change, made of one edit or of several.
        far: of those, the points that may speak of edits with many words between them.

    Returns:
        (indexes of the changes, the change) for each group.
    """
    found: list[tuple[tuple[int, ...], Change]] = []
    at = 0
    while at < len(changes):
        for size in range(min(_MOST_EDITS, len(changes) - at), 1, -1):
            window = changes[at : at + size]
            if window[-1].o[1] - window[0].o[0] > _MOST_TOKENS:
                continue
            whole = merged(window)
            if _needed(window, whole, holds, far):
                found.append((tuple(range(at, at + size)), whole))
                at += size
                break
        else:
            found.append(((at,), changes[at]))
            at += 1
    return found


def _needed(window: Sequence[Change], whole: Change, holds: Holds, far: Holds) -> bool:
    """Whether some point speaks of the whole window and of no part of it."""
    near = all(b.o[0] - a.o[1] <= _MOST_BETWEEN for a, b in pairwise(window)) or _exchanged(window)
    points = (holds if near else far)(whole)
    if not points:
        return False
    for part, rest, gap in (
        (window[1:], window[0], window[1].o[0] - window[0].o[1]),
        (window[:-1], window[-1], window[-1].o[0] - window[-2].o[1]),
    ):
        bound = rest.kind.startswith(_BOUND) or "that" in (rest.was, rest.now) or rest.was.startswith(", ")
        if gap > _NEXT or not bound:
            points -= holds(merged(part) if len(part) > 1 else part[0])
    return bool(points)


def _exchanged(window: Sequence[Change]) -> bool:
    """Whether the words that went came back elsewhere."""
    was = {word for change in window for word in change.was.split()}
    now = {word for change in window for word in change.now.split()}
    return bool(was and now) and (was <= now or now <= was)
