"""From token edits to edits over code points that always rebuild the corrected text.

Belongs here: the pure arithmetic of offsets. Does not belong here: parsing or naming edits (annotate.py).

The law is kept by construction: the tokens that no edit touches are anchors, equal on both sides, and whatever stands
between two anchors is replaced by what stands between their partners. Only then are blanks trimmed for the eye.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from correctly_assets.core.edits import apply_edits
from correctly_assets.core.types import Edit

Span = tuple[int, int]
"""Half-open code-point range."""


@dataclass(frozen=True, slots=True)
class AlignedEdit:
    """One ERRANT edit: token ranges on both sides and its type."""

    o_start: int
    o_end: int
    c_start: int
    c_end: int
    type: str


@dataclass(frozen=True, slots=True)
class _Gap:
    """Ranges that replace each other; ``type`` is None where only blanks can differ."""

    before: Span
    after: Span
    type: str | None


def text_edits(
    before: str, after: str, o_spans: Sequence[Span], c_spans: Sequence[Span], edits: Sequence[AlignedEdit]
) -> tuple[Edit, ...]:
    """Edits over code points of ``before`` that yield ``after`` exactly.

    Args:
        o_spans, c_spans: code-point ranges of the tokens of ``before`` and ``after``.
        edits: token edits, sorted, as ERRANT extracts them.

    Returns:
        Sorted, non-overlapping edits without reasons. Where ERRANT's edits do not fit the texts, a plain character
        alignment stands in, typed ``OTHER`` or ``ORTH``.
    """
    if before == after:
        return ()
    gaps = _gaps(before, after, o_spans, c_spans, edits)
    if gaps is not None:
        found = _for_the_eye(before, after, gaps, o_spans, c_spans)
        if apply_edits(before, found) == after:
            return found
    return character_edits(before, after)


def flat_text(text: str) -> str:
    """The text with every run of blanks as one blank and none at its ends."""
    return " ".join(text.split())


def flatten(text: str) -> tuple[str, list[int]]:
    """The flat text, and for each of its code points where it stood in ``text`` (a run's last blank for a blank)."""
    pieces: list[str] = []
    origin: list[int] = []
    position = 0
    for word in text.split():
        start = text.index(word, position)
        if pieces:
            pieces.append(" ")
            origin.append(start - 1)
        pieces.append(word)
        origin.extend(range(start, start + len(word)))
        position = start + len(word)
    return "".join(pieces), origin


def to_layout(text: str, origin: Sequence[int], edits: Sequence[Edit]) -> list[Edit]:
    """Edits of the flat text as edits of ``text``, whose line ends and runs of blanks they keep where they can."""
    moved: list[Edit] = []
    for edit in edits:
        start = origin[edit.start] if edit.start < len(origin) else len(text.rstrip())
        end = origin[edit.end - 1] + 1 if edit.end > edit.start else start
        was, now = text[start:end], edit.now
        gaps = re.findall(r"\s+", was)
        if gaps and len(gaps) == len(re.findall(r"\s+", now)):
            blanks = iter(gaps)
            now = re.sub(r"\s+", lambda _, blanks=blanks: next(blanks), now)
        if was != now:
            moved.append(replace(edit, start=start, end=end, was=was, now=now))
    return moved


def character_edits(before: str, after: str) -> tuple[Edit, ...]:
    """Edits by character alignment alone, with nearby ones merged: the repair where tokens do not fit."""
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    runs: list[list[int]] = []
    for op, i1, i2, j1, j2 in matcher.get_opcodes():
        if op == "equal":
            continue
        # Fewer than three kept characters between two changes read as one change.
        if runs and i1 - runs[-1][1] < 3:
            runs[-1][1], runs[-1][3] = i2, j2
        else:
            runs.append([i1, i2, j1, j2])
    return tuple(_edit(before, (i1, i2), after[j1:j2], None) for i1, i2, j1, j2 in runs)


def _gaps(
    before: str, after: str, o_spans: Sequence[Span], c_spans: Sequence[Span], edits: Sequence[AlignedEdit]
) -> list[_Gap] | None:
    """The ranges between anchors, split where token edits meet; None where the edits are not an alignment."""
    gaps: list[_Gap] = []
    o_token = c_token = o_char = c_char = 0

    def match_to(o_goal: int, c_goal: int) -> bool:
        nonlocal o_token, c_token, o_char, c_char
        if o_goal - o_token != c_goal - c_token or o_goal < o_token:
            return False
        while o_token < o_goal:
            (o1, o2), (c1, c2) = o_spans[o_token], c_spans[c_token]
            if before[o1:o2] != after[c1:c2]:
                return False
            gaps.append(_Gap((o_char, o1), (c_char, c1), None))
            o_char, c_char, o_token, c_token = o2, c2, o_token + 1, c_token + 1
        return True

    for number, edit in enumerate(edits):
        if not match_to(edit.o_start, edit.c_start):
            return None
        o_token, c_token = edit.o_end, edit.c_end
        follower = edits[number + 1] if number + 1 < len(edits) else None
        adjoins = follower is not None and (follower.o_start, follower.c_start) == (edit.o_end, edit.c_end)
        o_end = _start_of(o_spans, edit.o_end, len(before))
        c_end = _start_of(c_spans, edit.c_end, len(after))
        gaps.append(_Gap((o_char, o_end), (c_char, c_end), edit.type))
        o_char, c_char = o_end, c_end
        if not adjoins and edit.o_end < len(o_spans):
            # The anchor that follows begins where this gap ends.
            (o1, o2), (c1, c2) = o_spans[o_token], _span(c_spans, c_token)
            if before[o1:o2] != after[c1:c2]:
                return None
            o_char, c_char, o_token, c_token = o2, c2, o_token + 1, c_token + 1
    if not match_to(len(o_spans), len(c_spans)):
        return None
    gaps.append(_Gap((o_char, len(before)), (c_char, len(after)), None))
    return gaps


def _start_of(spans: Sequence[Span], token: int, length: int) -> int:
    return spans[token][0] if token < len(spans) else length


def _span(spans: Sequence[Span], token: int) -> Span:
    return spans[token] if token < len(spans) else (0, 0)


def _for_the_eye(
    before: str, after: str, gaps: Sequence[_Gap], o_spans: Sequence[Span], c_spans: Sequence[Span]
) -> tuple[Edit, ...]:
    """Gaps that differ, as edits a person would mark: whole words, and no blanks that both sides share."""
    ends = {end: start for start, end in o_spans}
    starts = dict(o_spans)
    c_ends = {end: start for start, end in c_spans}
    c_starts = dict(c_spans)
    found: list[_Gap] = []
    for gap in gaps:
        (o1, o2), (c1, c2) = gap.before, gap.after
        if before[o1:o2] == after[c1:c2]:
            continue
        if gap.type is None and not (before[o1:o2] + after[c1:c2]).strip():
            # A change of blanks alone shows nothing; the tokens on both sides make it visible.
            if o1 in ends and c1 in c_ends and o2 in starts and c2 in c_starts:
                o1, o2, c1, c2 = ends[o1], starts[o2], c_ends[c1], c_starts[c2]
        else:
            while o1 < o2 and c1 < c2 and before[o1] == after[c1] and before[o1].isspace():
                o1, c1 = o1 + 1, c1 + 1
            while o1 < o2 and c1 < c2 and before[o2 - 1] == after[c2 - 1] and before[o2 - 1].isspace():
                o2, c2 = o2 - 1, c2 - 1
            o1, c1 = _to_word_start(before, after, o1, c1)
            o2, c2 = _to_word_end(before, after, o2, c2)
        if found and o1 < found[-1].before[1]:
            last = found.pop()
            kind = last.type or gap.type
            o2, c2 = max(o2, last.before[1]), max(c2, last.after[1])
            o1, c1 = min(o1, last.before[0]), min(c1, last.after[0])
            found.append(_Gap((o1, o2), (c1, c2), kind))
        else:
            found.append(_Gap((o1, o2), (c1, c2), gap.type))
    return tuple(_edit(before, gap.before, after[slice(*gap.after)], gap.type) for gap in found)


def _to_word_start(before: str, after: str, o: int, c: int) -> tuple[int, int]:
    """Left to where the word begins, when a change starts inside one (``dont``, which spaCy splits as ``do nt``)."""
    if _inside_word(before, o) or _inside_word(after, c):
        while o and c and before[o - 1] == after[c - 1] and _is_wordy(before[o - 1]):
            o, c = o - 1, c - 1
    return o, c


def _to_word_end(before: str, after: str, o: int, c: int) -> tuple[int, int]:
    """Right to where the word ends, when a change stops inside one."""
    if _inside_word(before, o) or _inside_word(after, c):
        while o < len(before) and c < len(after) and before[o] == after[c] and _is_wordy(before[o]):
            o, c = o + 1, c + 1
    return o, c


def _is_wordy(character: str) -> bool:
    return character.isalnum() or character in "'’"


def _inside_word(text: str, position: int) -> bool:
    return 0 < position < len(text) and _is_wordy(text[position - 1]) and _is_wordy(text[position])


def _edit(before: str, span: Span, now: str, kind: str | None) -> Edit:
    was = before[slice(*span)]
    if kind is None:
        orthography = "".join(was.split()).casefold() == "".join(now.split()).casefold()
        operation = "M" if not was.strip() and not orthography else "U" if not now.strip() and not orthography else "R"
        kind = f"{operation}:{'ORTH' if orthography else 'OTHER'}"
    return Edit(span[0], span[1], was, now, kind)
