"""One change, seen from both parses: what conditions are asked about.

Belongs here: the words of an edit and of its neighbourhood, by name. Does not belong here: any condition
(conditions.py) or the wording of reasons (prompts/grammar/).
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import cached_property
from typing import TYPE_CHECKING

from correctly_assets.core.taxonomy import family
from correctly_assets.core.types import Edit

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

_VERBAL = ("VERB", "AUX")


class Change:
    """An edit, or several edits with what stands between them, as token ranges of both parses.

    Words that both sides share at the ends are left out, letter case apart: "The life" → "Life" takes out "the".

    Attributes:
        o, c: half-open token ranges in ``before`` and ``after``.
        op: M something was missing, R replaced, U unnecessary.
        kind: ERRANT's type without the operation; of several edits, of the first.
        was, now: the words in lower case with single blanks.
        merged: whether it is made of several edits.
    """

    def __init__(
        self, before: Doc, after: Doc, o: tuple[int, int], c: tuple[int, int], kind: str, merged: bool = False
    ) -> None:
        o1, o2 = o
        c1, c2 = c
        if [t.lower_ for t in before[o1:o2]] != [t.lower_ for t in after[c1:c2]]:
            while o1 < o2 and c1 < c2 and before[o1].lower_ == after[c1].lower_ and (o2 - o1, c2 - c1) != (1, 1):
                o1, c1 = o1 + 1, c1 + 1
            while (
                o1 < o2 and c1 < c2 and before[o2 - 1].lower_ == after[c2 - 1].lower_ and (o2 - o1, c2 - c1) != (1, 1)
            ):
                o2, c2 = o2 - 1, c2 - 1
        self.before, self.after = before, after
        self.o, self.c = (o1, o2), (c1, c2)
        self.kind, self.merged = kind, merged
        self.op = "M" if o1 == o2 else "U" if c1 == c2 else "R"
        self.was_text: str = before[o1:o2].text
        self.now_text: str = after[c1:c2].text
        self.was: str = " ".join(t.lower_ for t in before[o1:o2]).replace("’", "'")
        self.now: str = " ".join(t.lower_ for t in after[c1:c2]).replace("’", "'")
        self._places: dict[str, Token | None] = {}

    def place(self, name: str) -> Token | None:
        """The token that a condition calls ``name``; None where there is none. See `PLACES`."""
        if name not in self._places:
            self._places[name] = PLACES[name](self)
        return self._places[name]

    def at(self, i: int) -> str:
        """The lower-cased token of ``after`` at ``i``; empty outside."""
        return self.after[i].lower_ if 0 <= i < len(self.after) else ""

    @cached_property
    def was_root(self) -> Token | None:
        """The syntactic head of the words that were replaced; None for an insertion."""
        return _root(self.before, self.o)

    @cached_property
    def now_root(self) -> Token | None:
        """The syntactic head of the words that were put in; None for a deletion."""
        return _root(self.after, self.c)

    @property
    def o_tokens(self) -> Sequence[Token]:
        """The tokens that were replaced, in the learner's parse."""
        return list(self.before[self.o[0] : self.o[1]])

    @property
    def c_tokens(self) -> Sequence[Token]:
        """The tokens that were put in, in the corrected parse."""
        return list(self.after[self.c[0] : self.c[1]])


def _root(doc: Doc, span: tuple[int, int]) -> Token | None:
    """The token of the span whose head stands outside it; the last such one."""
    start, end = span
    found = None
    for token in doc[start:end]:
        if token.head.i == token.i or not start <= token.head.i < end:
            found = token
    return found


def _token(doc: Doc, i: int) -> Token | None:
    return doc[i] if 0 <= i < len(doc) else None


def _governor(c: Change) -> Token | None:
    root = c.now_root or c.was_root
    return root.head if root is not None and root.head.i != root.i else None


def _verb(c: Change) -> Token | None:
    """The full verb that the change belongs to, itself included."""
    token = c.now_root or c.place("right")
    for _ in range(6):
        if token is None:
            return None
        if token.pos_ in _VERBAL:
            main = token.head if token.dep_ in ("aux", "auxpass") and token.head.pos_ in _VERBAL else token
            return main
        if token.head.i == token.i:
            return None
        token = token.head
    return None


def subject_of(verb: Token | None) -> Token | None:
    """The subject of a verb, shared with the verb it is joined to where it has none of its own."""
    for _ in range(3):
        if verb is None:
            return None
        for child in verb.children:
            if child.dep_ in ("nsubj", "nsubjpass", "csubj", "expl"):
                return child
        verb = verb.head if verb.dep_ in ("conj", "aux", "auxpass") and verb.head.i != verb.i else None
    return None


def _noun(c: Change) -> Token | None:
    """The noun that the change stands in or before: itself, the head of its determiner or adjective."""
    token = c.now_root or c.place("right")
    for _ in range(3):
        if token is None:
            return None
        if token.tag_.startswith("NN"):
            return token.head if token.dep_ == "compound" and token.head.tag_.startswith("NN") else token
        if token.dep_ in ("det", "amod", "poss", "nummod", "advmod", "compound", "predet", "quantmod", "nmod", "case"):
            token = token.head
        else:
            return None
    return None


PLACES = {
    "was": lambda c: c.was_root,
    "now": lambda c: c.now_root,
    "was1": lambda c: _token(c.before, c.o[0]) if c.o[0] < c.o[1] else None,
    "was9": lambda c: _token(c.before, c.o[1] - 1) if c.o[0] < c.o[1] else None,
    "now1": lambda c: _token(c.after, c.c[0]) if c.c[0] < c.c[1] else None,
    "now9": lambda c: _token(c.after, c.c[1] - 1) if c.c[0] < c.c[1] else None,
    "left": lambda c: _token(c.after, c.c[0] - 1),
    "left2": lambda c: _token(c.after, c.c[0] - 2),
    "left3": lambda c: _token(c.after, c.c[0] - 3),
    "right": lambda c: _token(c.after, c.c[1]),
    "right2": lambda c: _token(c.after, c.c[1] + 1),
    "right3": lambda c: _token(c.after, c.c[1] + 2),
    "bleft": lambda c: _token(c.before, c.o[0] - 1),
    "bright": lambda c: _token(c.before, c.o[1]),
    "gov": _governor,
    "verb": _verb,
    "subj": lambda c: subject_of(c.place("verb")),
    "noun": _noun,
}
"""The tokens that conditions speak of. ``was``/``now``: the root of the edit's words (was1, now1 the first; was9, now9 the
last); left … right3: neighbours in the corrected sentence; bleft, bright: in the learner's; gov: what governs the words;
verb, subj, noun: the verb they belong to, its subject, the noun they stand in or before."""


def changes_of(before: Doc, after: Doc, edits: Sequence[Edit]) -> list[Change]:
    """Each edit as a change; the edits' offsets count in ``before``'s text and they lead to ``after``'s."""
    found: list[Change] = []
    shift = 0
    for edit in edits:
        o = _range(before, edit.start, edit.was)
        c = _range(after, edit.start + shift, edit.now)
        shift += len(edit.now) - (edit.end - edit.start)
        found.append(Change(before, after, o, c, family(edit.type)))
    return found


def merged(changes: Sequence[Change]) -> Change:
    """Several changes with what stands between them as one."""
    first, last = changes[0], changes[-1]
    return Change(first.before, first.after, (first.o[0], last.o[1]), (first.c[0], last.c[1]), first.kind, merged=True)


_MARKS = frozenset(",.;:!?")


def split_marks(change: Change) -> list[Change]:
    """A change whose sides differ in marks, apart: the marks that came or went where all words stayed, else the words.

    Of words that only came behind a mark, it is the words.

    Returns:
        Nothing where there is nothing to split.
    """
    (o1, o2), (c1, c2) = change.o, change.c
    old, new = ([t.lower_ for t in tokens] for tokens in (change.o_tokens, change.c_tokens))
    bare_old, bare_new = ([word for word in side if word not in _MARKS] for side in (old, new))
    if change.op == "U" or not bare_new or (bare_old, bare_new) == (old, new):
        return []
    if change.op == "M" and new[0] not in _MARKS:
        return []
    while change.op == "M" and new[c1 - change.c[0]] in _MARKS:
        c1 += 1
    if bare_old == bare_new:
        opcodes = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        return [
            Change(change.before, change.after, (o1 + i1, o1 + i2), (c1 + j1, c1 + j2), "PUNCT")
            for operation, i1, i2, j1, j2 in opcodes
            if operation != "equal"
        ]
    while o1 < o2 and old[o2 - 1 - change.o[0]] in _MARKS:
        o2 -= 1
    while c1 < c2 and new[c2 - 1 - change.c[0]] in _MARKS:
        c2 -= 1
    whole = c1 < c2 and (o1 < o2 or change.op == "M")
    return [Change(change.before, change.after, (o1, o2), (c1, c2), change.kind)] if whole else []


def _range(doc: Doc, start: int, words: str) -> tuple[int, int]:
    """The tokens that the words at ``start`` touch; without words, the place between tokens."""
    end = start + len(words)
    start += len(words) - len(words.lstrip())
    end = max(start, end - (len(words) - len(words.rstrip()))) if words.strip() else start
    first = None
    last = 0
    for token in doc:
        stop = token.idx + len(token.text)
        if words.strip():
            if stop > start and token.idx < end:
                first = token.i if first is None else first
                last = token.i + 1
        elif stop > start:
            return token.i, token.i
    if words.strip() and first is not None:
        return first, last
    return len(doc), len(doc)
