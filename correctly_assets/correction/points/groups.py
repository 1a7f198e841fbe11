"""Edits that belong together, as one change with one point.

Belongs here: which neighbouring edits are tried as one. Does not belong here: the points themselves (prompts/grammar/).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from correctly_assets.correction.points.change import Change, merged

_MOST_EDITS = 4
_MOST_TOKENS = 16


def grouped(changes: Sequence[Change], holds: Callable[[Change], bool]) -> list[tuple[tuple[int, ...], Change]]:
    """The changes in order, those that one point explains together made into one.

    Args:
        holds: whether some point speaks of several edits made into this change.

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
            if holds(whole):
                found.append((tuple(range(at, at + size)), whole))
                at += size
                break
        else:
            found.append(((at,), changes[at]))
            at += 1
    return found
