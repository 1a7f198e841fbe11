"""Applying edits, the inverse of extracting them.

Belongs here: the one law every answer keeps (edits applied to ``before`` yield ``after``). Does not belong here: how
edits are found, which needs a parser (correction/).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from correctly_assets.core.types import Edit, Reason


def apply_edits(before: str, edits: Iterable[Edit]) -> str:
    """Apply edits to the text they were extracted from.

    Args:
        before: the text; offsets are code points into it.
        edits: non-overlapping edits in any order.

    Returns:
        The text after every edit.

    Raises:
        ValueError: an edit reaches outside the text, overlaps another, or its ``was`` is not what stands there.
    """
    pieces: list[str] = []
    position = 0
    for edit in sorted(edits, key=lambda e: (e.start, e.end)):
        if not position <= edit.start <= edit.end <= len(before):
            raise ValueError(f"The edit at {edit.start}:{edit.end} overlaps another or leaves the text.")
        if before[edit.start : edit.end] != edit.was:
            raise ValueError(f"The edit at {edit.start}:{edit.end} expects {edit.was!r}, not what stands there.")
        pieces += [before[position : edit.start], edit.now]
        position = edit.end
    return "".join(pieces) + before[position:]


def touches(edit: Edit, spans: Iterable[tuple[int, int]]) -> bool:
    """Whether an edit changes something inside one of the half-open ranges."""
    return any((edit.start < b and a < edit.end) or a < edit.start == edit.end < b for a, b in spans)


def shifted(spans: Iterable[tuple[int, int]], edits: Sequence[Edit]) -> list[tuple[int, int]]:
    """Where ranges stand after edits that touch none of them."""
    moved: list[tuple[int, int]] = []
    for start, end in spans:
        by = sum(len(edit.now) - len(edit.was) for edit in edits if edit.end <= start)
        moved.append((start + by, end + by))
    return moved


def accept_edits(before: str, edits: Sequence[Edit], accepted: Iterable[int]) -> str:
    """The text with only the edits at the ``accepted`` indices applied."""
    wanted = set(accepted)
    return apply_edits(before, [edit for index, edit in enumerate(edits) if index in wanted])


def reason_for(edit: Edit, reasons: Sequence[Reason]) -> str | None:
    """The landed reason that speaks of this edit: same words exactly, else one whose words contain the edit's.

    Pure insertions match on ``now`` alone, since their ``was`` is empty for every insertion of a row.
    """

    def words(text: str) -> list[str]:
        return text.lower().split()

    for reason in reasons:
        if (reason.was.strip(), reason.now.strip()) == (edit.was.strip(), edit.now.strip()):
            return reason.reason
    for reason in reasons:
        was_fits = not edit.was.strip() or set(words(edit.was)) <= set(words(reason.was))
        now_fits = not edit.now.strip() or set(words(edit.now)) <= set(words(reason.now))
        if was_fits and now_fits and (edit.was.strip() or edit.now.strip()):
            return reason.reason
    return None
