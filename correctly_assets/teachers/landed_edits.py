"""Edits of a landed pair, with its landed reasons.

Belongs here: aligning before and after when no annotator is joined, and attaching reasons to edits. Does not
belong here: ERRANT (correction/), which joins as an Annotator.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from correctly_assets.core.edits import apply_edits, reason_for
from correctly_assets.core.ports import Annotator
from correctly_assets.core.types import Edit, Reason

_TOKEN = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


def _tokens(text: str) -> list[tuple[int, int, str]]:
    return [(m.start(), m.end(), m.group()) for m in _TOKEN.finditer(text)]


def diff_edits(before: str, after: str) -> tuple[Edit, ...]:
    """Edits by word alignment, all of the kind ``OTHER``; applied to ``before`` they yield ``after``."""
    was, now = _tokens(before), _tokens(after)
    edits: list[Edit] = []
    matcher = SequenceMatcher(None, [t[2] for t in was], [t[2] for t in now], autojunk=False)
    # Spans between matching words, so that blanks and punctuation beside a change belong to it exactly once.
    ends: list[tuple[int, int]] = []
    for block in matcher.get_matching_blocks():
        ends += [(was[block.a + k][0], now[block.b + k][0]) for k in range(block.size)]
    matched = {
        (was[b.a + k][0], now[b.b + k][0]): len(was[b.a + k][2])
        for b in matcher.get_matching_blocks()
        for k in range(b.size)
    }
    i = j = 0
    for a, b in [*ends, (len(before), len(after))]:
        left, right = before[i:a], after[j:b]
        if left != right:
            start, end = i, a
            while left and right and left[0] == right[0] and left[0] == " ":
                left, right, start = left[1:], right[1:], start + 1
            while left and right and left[-1] == right[-1] == " ":
                left, right, end = left[:-1], right[:-1], end - 1
            op = "M" if not left.strip() else "U" if not right.strip() else "R"
            edits.append(Edit(start, end, left, right, f"{op}:OTHER"))
        size = matched.get((a, b), 0)
        i, j = a + size, b + size
    return tuple(edits)


def edits_between(before: str, after: str, annotator: Annotator | None) -> tuple[Edit, ...]:
    """The annotator's edits, or those of word alignment where none is joined.

    Raises:
        ValueError: they do not turn ``before`` into ``after``.
    """
    edits = annotator.edits(before, after) if annotator is not None else diff_edits(before, after)
    if apply_edits(before, edits) != after:
        raise ValueError(f"The edits of {before!r} do not yield {after!r}.")
    return edits


def explained(edits: tuple[Edit, ...], reasons: Sequence[Reason]) -> tuple[Edit, ...]:
    """The edits of a landed pair, each with the landed reason that speaks of it, if one does."""
    out = []
    for edit in edits:
        reason = reason_for(edit, reasons) or (reasons[0].reason if len(edits) == len(reasons) == 1 else None)
        out.append(edit.explained(reason, "model") if reason else edit)
    return tuple(out)


def explained_edits(
    before: str, after: str, reasons: Sequence[Reason], annotator: Annotator | None
) -> tuple[Edit, ...]:
    """The edits between a landed before and after, each with the landed reason that speaks of it, if one does."""
    return explained(edits_between(before, after, annotator), reasons)
