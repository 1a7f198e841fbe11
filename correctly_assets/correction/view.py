"""What the model is shown of a sentence, and its edits carried back to the sentence as it stands.

Belongs here: leaving marks and runs of blanks out, and putting edits back around them. Does not belong here: which stretches are
marks (markup.py), or what an edit may change otherwise (vetoes.py).

No edit that comes out of here touches a mark: where an edit of the shown sentence reaches over one, it is cut into edits on
either side of it, and where it cannot be cut it is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import pairwise

from correctly_assets.core.types import Edit
from correctly_assets.correction.alignment import Span, to_layout
from correctly_assets.correction.markup import Mark


@dataclass(frozen=True, slots=True)
class View:
    """A sentence as the model is shown it.

    Attributes:
        raw: the sentence as it stands. shown: without its hidden marks, every run of blanks as one blank.
        starts, ends: for each code point of ``shown``, the stretch of ``raw`` that it stands for.
        marks: the marks in ``raw``, in order. places: for each mark, its half-open range in ``shown``.
    """

    raw: str
    shown: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    marks: tuple[Mark, ...]
    places: tuple[Span, ...]

    @property
    def protected(self) -> list[Span]:
        """The ranges of ``shown`` that must come back unchanged. An entity for an apostrophe stands within a word that may
        change around it, so that `to_raw` keeps it."""
        return [place for place in self.places if place[0] < place[1] and self.shown[slice(*place)] not in ("'", "’")]

    def to_raw(self, edits: Sequence[Edit]) -> list[Edit]:
        """Edits of ``shown`` as edits of ``raw``; what would change a mark is left out."""
        whole: list[Edit] = []
        for edit in edits:
            whole += self._around_marks(edit)
        return [moved for edit in whole for moved in self._moved(edit)]

    def _moved(self, edit: Edit) -> list[Edit]:
        """One edit at its place in ``raw``, none where a mark without width stands in its way."""
        if edit.start == edit.end and 0 < edit.start < len(self.starts):
            # An insertion belongs to the word that it touches: before a hidden mark after a word, behind it before one.
            leans_left = edit.now[:1] and not edit.now[:1].isspace() and edit.now[-1:].isspace() is False
            follower = self.shown[edit.start : edit.start + 1]
            ends_a_word = self.shown[edit.start - 1].isalpha() and edit.now.isalpha() and not follower.isalpha()
            if leans_left and (follower.isspace() or ends_a_word):
                place = self.ends[edit.start - 1]
                return [replace(edit, start=place, end=place)]
        if edit.start == edit.end == len(self.starts):
            return [replace(edit, start=len(self.raw), end=len(self.raw))]
        (moved, *_) = to_layout(self.raw, self.starts, [edit]) or [None]
        if moved is None:
            return []
        end = self.ends[edit.end - 1] if edit.end > edit.start else moved.start
        if end != moved.end:
            moved = replace(moved, end=end, was=self.raw[moved.start : end])
        return [] if any(moved.start < mark.end and mark.start < moved.end for mark in self.marks) else [moved]

    def _around_marks(self, edit: Edit) -> list[Edit]:
        """The edit, cut at the marks inside it; nothing where a mark stands in a word that changes."""
        inside = [
            (start, end)
            for start, end in self.places
            if (start < edit.end and edit.start < end) or edit.start < start < edit.end or edit.start < end < edit.end
        ]
        if not inside:
            return [edit]
        cuts = _cuts(edit, [(max(start, edit.start), min(end, edit.end)) for start, end in inside])
        if cuts is None:
            narrow = _narrowed(edit)
            # Within a word that holds a mark ("don&rsquo;t") the letters that change may stand beside it.
            apart = all(end <= narrow.start or narrow.end <= start for start, end in inside)
            return [narrow] if apart and (narrow.was or narrow.now) else []
        pieces: list[Edit] = []
        for (left, right), now in cuts:
            was = self.shown[left:right]
            if was != now:
                pieces.append(replace(edit, start=left, end=right, was=was, now=now))
        return pieces


def view_of(raw: str, marks: Sequence[Mark]) -> View:
    """A sentence as the model is shown it; ``marks`` in order, counted in ``raw``."""
    pieces: list[tuple[str, int, int]] = []
    spans: list[tuple[int, int]] = []
    position = 0
    for mark in [*marks, Mark(len(raw), len(raw), "")]:
        for place in range(position, mark.start):
            _add(pieces, raw[place], place, place + 1)
        start = len(pieces)
        for character in mark.shown:
            _add(pieces, character, mark.start, mark.end)
        spans.append((min(start, len(pieces)), len(pieces)))
        position = mark.end
    return View(
        raw,
        "".join(piece[0] for piece in pieces),
        tuple(piece[1] for piece in pieces),
        tuple(piece[2] for piece in pieces),
        tuple(marks),
        tuple(spans[:-1]),
    )


def _add(pieces: list[tuple[str, int, int]], character: str, start: int, end: int) -> None:
    """Add a code point; of a run of blanks the last one counts, and none counts at the beginning."""
    if not character.isspace():
        pieces.append((character, start, end))
    elif pieces and pieces[-1][0] == " ":
        pieces[-1] = (" ", start, end)
    elif pieces:
        pieces.append((" ", start, end))


def _narrowed(edit: Edit) -> Edit:
    """The edit without the letters that both of its sides begin and end with."""
    shorter = min(len(edit.was), len(edit.now))
    lead = next((n for n in range(shorter) if edit.was[n] != edit.now[n]), shorter)
    rest = shorter - lead
    trail = next((n for n in range(rest) if edit.was[-1 - n] != edit.now[-1 - n]), rest)
    start, end = edit.start + lead, edit.end - trail
    return replace(
        edit,
        start=start,
        end=end,
        was=edit.was[lead : len(edit.was) - trail],
        now=edit.now[lead : len(edit.now) - trail],
    )


def _cuts(edit: Edit, inside: Sequence[Span]) -> list[tuple[Span, str]] | None:
    """The stretches of an edit between the marks inside it, each with its share of the new words; None where the words
    beside a mark are not the same on both sides."""
    was, now = edit.was.split(), edit.now.split()
    places = _words(edit.was)
    blocks = SequenceMatcher(None, was, now, autojunk=False).get_opcodes()
    borders: list[tuple[Span, int, int]] = []
    for start, end in inside:
        first = sum(right <= start - edit.start for _, right in places)
        last = sum(left < end - edit.start for left, _ in places)
        last = max(first, last)
        within = any(left < point - edit.start < right for left, right in places for point in (start, end))
        if (last > first or within) and not _is_kept(blocks, first, max(last, first + 1)):
            return None
        if within:
            # The word that holds the mark is kept whole on either side.
            last = max(last, first + 1)
            start, end = edit.start + places[first][0], edit.start + places[last - 1][1]
        mapped = (_partner(blocks, first), _partner(blocks, last))
        if None in mapped:
            return None
        borders.append(((start, end), mapped[0] or 0, mapped[1] or 0))
    edges = [((edit.start, edit.start), 0, 0), *borders, ((edit.end, edit.end), len(now), len(now))]
    found: list[tuple[Span, str]] = []
    for (before, _, left), (after, right, _) in pairwise(edges):
        stretch = edit.was[before[1] - edit.start : after[0] - edit.start]
        words = " ".join(now[left:right])
        lead = " " if stretch[:1] == " " and (words or len(stretch) == 1) else ""
        trail = " " if stretch[-1:] == " " and words else ""
        found.append(((before[1], after[0]), f"{lead}{words}{trail}"))
    return found


def _words(text: str) -> list[Span]:
    found: list[Span] = []
    position = 0
    for word in text.split():
        start = text.index(word, position)
        found.append((start, position := start + len(word)))
    return found


def _is_kept(blocks: Sequence[tuple[str, int, int, int, int]], first: int, last: int) -> bool:
    return any(kind == "equal" and i1 <= first and last <= i2 for kind, i1, i2, _, _ in blocks)


def _partner(blocks: Sequence[tuple[str, int, int, int, int]], word: int) -> int | None:
    """The place among the new words that answers to the gap before an old one."""
    for kind, i1, i2, j1, j2 in blocks:
        if i1 <= word <= i2 and (kind == "equal" or i2 - i1 == j2 - j1):
            return j1 + word - i1
    return next(
        (j1 for _, i1, _, j1, _ in blocks if i1 == word), next((j2 for *_, i2, _, j2 in blocks if i2 == word), None)
    )
