"""A correction as LanguageTool's server tells of it: matches with offsets in UTF-16 code units.

Belongs here: what was sent and where its characters stand, edits to matches, rules and categories. Does not belong here: the
route and its parameters (languagetool.py).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import TypedDict

from correctly_assets.core.edits import apply_edits
from correctly_assets.core.errors import UsageError
from correctly_assets.core.json_shapes import Json
from correctly_assets.core.taxonomy import family, plain_name
from correctly_assets.core.types import Correction, Edit
from correctly_assets.correction.points.catalogue import load_catalogue
from correctly_assets.correction.segment import segments

_AROUND = 40
"""Code points of the text that a match's context shows on either side."""
_LONGEST_WORD = 100
"""Code points within which the word beside an insertion is looked for."""

_GRAMMAR = ("grammar", "Other", "GRAMMAR", "Grammar")
_WORDING = ("style", "Hint", "STYLE", "Style")
_KINDS = {
    "SPELL": ("misspelling", "UnknownWord", "TYPOS", "Possible Typo"),
    "PUNCT": ("typographical", "Other", "PUNCTUATION", "Punctuation"),
    "ORTH": ("typographical", "Other", "CASING", "Capitalization"),
    **dict.fromkeys(("ADJ", "ADV", "NOUN", "VERB", "OTHER"), _WORDING),
}
"""ERRANT's families as LanguageTool has them: (issue type, type of match, id and name of the category); others are grammar."""


class Category(TypedDict):
    """A group of rules."""

    id: str
    name: str


class Rule(TypedDict):
    """What a match is an instance of."""

    id: str
    description: str
    issueType: str
    category: Category


class Context(TypedDict):
    """What stands around a match; offset and length are those of the match within it."""

    text: str
    offset: int
    length: int


class FoundMatch(TypedDict):
    """One change as LanguageTool's server tells of it."""

    message: str
    shortMessage: str
    replacements: list[dict[str, str]]
    offset: int
    length: int
    context: Context
    sentence: str
    type: dict[str, str]
    rule: Rule
    ignoreForIncompleteSentence: bool
    contextForSureMatch: int


@dataclass(slots=True)
class Sent:
    """A text to be corrected, and where each of its characters begins and ends in what was sent, in UTF-16 code units."""

    text: str = ""
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    _at: int = 0

    def add_text(self, text: str) -> None:
        """Text that is to be corrected."""
        self.text += text
        for character in text:
            self.starts.append(self._at)
            self._at += units(character)
            self.ends.append(self._at)

    def add_markup(self, markup: str, read_as: str) -> None:
        """Markup, which is not corrected; ``read_as`` is read in its place."""
        end = self._at + units(markup)
        self.text += read_as
        self.starts += [self._at] * len(read_as)
        self.ends += [end] * len(read_as)
        self._at = end

    def span(self, start: int, end: int) -> tuple[int, int] | None:
        """Offset and length in what was sent; None where markup stands within, which no replacement may take away."""
        length = self.ends[end - 1] - self.starts[start]
        return (self.starts[start], length) if length == units(self.text[start:end]) else None


def units(text: str) -> int:
    """The length of a text in UTF-16 code units, as Java and JavaScript count."""
    return len(text) + sum(character > "\uffff" for character in text)


def sent_annotated(data: Json) -> Sent:
    """What LanguageTool's ``data`` holds: ``{"annotation": [{"text"}, {"markup", "interpretAs"?}, …]}``, or ``{"text"}`` alone.

    Raises:
        UsageError: it has another shape.
    """
    fields = data if isinstance(data, Mapping) else {}
    parts = [data] if "text" in fields and "annotation" not in fields else fields.get("annotation")
    sent = Sent()
    for part in parts if isinstance(parts, list) else [None]:
        fields = part if isinstance(part, Mapping) else {}
        text, markup, read_as = fields.get("text"), fields.get("markup"), fields.get("interpretAs") or ""
        if isinstance(text, str) and markup is None:
            sent.add_text(text)
        elif isinstance(markup, str) and text is None and isinstance(read_as, str):
            sent.add_markup(markup, read_as)
        else:
            raise UsageError('`data` is {"annotation": [{"text": …}, {"markup": …, "interpretAs": …}, …]}.')
    return sent


def matches(correction: Correction, sent: Sent) -> tuple[list[FoundMatch], bool]:
    """The matches of a correction in order, and whether all of its changes are among them."""
    before = correction.before
    ends = list(accumulate(len(segment.text) for segment in segments(before)))
    found: list[FoundMatch] = []
    is_complete = True
    for start, end, edits in _grouped(before, correction.edits):
        shifted = [replace(edit, start=edit.start - start, end=edit.end - start) for edit in edits]
        start, was, now = _without_blanks(start, before[start:end], apply_edits(before[start:end], shifted))
        place = sent.span(start, start + len(was))
        if place is None:
            is_complete = False
            continue
        at = bisect_right(ends, start)
        sentence = before[ends[at - 1] if at else 0 : ends[at] if at < len(ends) else len(before)].strip()
        found.append(_match(before, (start, start + len(was)), place, edits, now, sentence))
    return found, is_complete


def _match(
    before: str, span: tuple[int, int], place: tuple[int, int], edits: Sequence[Edit], now: str, sentence: str
) -> FoundMatch:
    first = edits[0]
    issue, kind, category, category_name = _KINDS.get(family(first.type), _GRAMMAR)
    reasons = dict.fromkeys(edit.reason or f"{plain_name(edit.type).capitalize()}." for edit in edits)
    point = load_catalogue().points.get(first.point) if first.point else None
    return {
        "message": " ".join(reasons),
        "shortMessage": plain_name(first.type).capitalize(),
        "replacements": [{"value": now}],
        "offset": place[0],
        "length": place[1],
        "context": _context(before, *span),
        "sentence": sentence,
        "type": {"typeName": kind},
        "rule": {
            "id": first.point or f"CORRECTLY_{family(first.type).replace(':', '_')}",
            "description": point.name if point else plain_name(first.type).capitalize(),
            "issueType": issue,
            "category": {"id": category, "name": category_name},
        },
        "ignoreForIncompleteSentence": False,
        "contextForSureMatch": 0,
    }


def _context(before: str, start: int, end: int) -> Context:
    left, right = max(0, start - _AROUND), min(len(before), end + _AROUND)
    lead = ("..." if left else "") + before[left:start]
    text = lead + before[start:right] + ("..." if right < len(before) else "")
    return {"text": re.sub(r"\s", " ", text), "offset": units(lead), "length": units(before[start:end])}


def _grouped(before: str, edits: Sequence[Edit]) -> list[tuple[int, int, list[Edit]]]:
    """Edits with the stretch that each replaces; what shares a word is one match, so that any of them can be taken alone."""
    groups: list[tuple[int, int, list[Edit]]] = []
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        start, end = _widened(before, edit)
        if groups and start < groups[-1][1]:
            first, last, shared = groups.pop()
            groups.append((min(first, start), max(last, end), [*shared, edit]))
        elif start < end:
            groups.append((start, end, [edit]))
    return groups


def _widened(before: str, edit: Edit) -> tuple[int, int]:
    """The stretch that an edit replaces: an insertion or a deletion takes the word beside it in, because editors mark words."""
    if edit.was.strip() and edit.now.strip():
        return edit.start, edit.end
    left = re.search(r"\S+\s*$", before[max(0, edit.start - _LONGEST_WORD) : edit.start])
    right = re.match(r"\s*\S+", before[edit.end : edit.end + _LONGEST_WORD])
    # Punctuation leans on the word before it, words on the one after.
    is_mark = not any(character.isalnum() for character in edit.was + edit.now)
    if left is not None and (is_mark or right is None):
        return edit.start - len(left.group()), edit.end
    return edit.start, edit.end + (len(right.group()) if right is not None else 0)


def _without_blanks(start: int, was: str, now: str) -> tuple[int, str, str]:
    """A replacement without the blanks that both of its sides begin and end with."""
    while len(was) > 1 and was[0].isspace() and now[:1] == was[0]:
        start, was, now = start + 1, was[1:], now[1:]
    while len(was) > 1 and was[-1].isspace() and now[-1:] == was[-1]:
        was, now = was[:-1], now[:-1]
    return start, was, now
