"""Misspellings as learners make them, and words that sound like another.

A misspelling is a word that no dictionary lists and that looks like the right one; a confused word is a real word in a
place where its class makes it wrong.

Belongs here: putting the misspellings of a word into a sentence. Does not belong here: making misspellings
(spelling_words.py), capitals and spaces (surface.py).
"""

from __future__ import annotations

from collections.abc import Iterator

from correctly_assets.teachers.embedded.rules import rule
from correctly_assets.teachers.embedded.sentence import Sentence, Slip, is_word, load_data
from correctly_assets.teachers.embedded.spelling_words import misspellings

_NEGATIONS = {"never", "nobody", "nothing", "nowhere", "none", "neither", "without", "cannot"}


@rule
def misspelling(s: Sentence) -> Iterator[Slip]:
    """A word misspelt as learners do: from the list of known misspellings, by its sound, or by a slip of the fingers."""
    for t in s:
        if t.lower_ in _NEGATIONS:
            continue  # a misspelt negation would read as one that was added
        if (
            not t.is_alpha
            or len(t.text) < 4
            or not t.is_ascii
            or t.tag_ in {"NNP", "NNPS"}
            or t.text[1:] != t.text[1:].lower()
        ):
            continue
        if (t.text[0].isupper() and not s.opens(t.i)) or not is_word(t.lower_):
            continue
        known, by_sound, by_typing = misspellings(t.lower_)
        length = min(3.0, (len(t.text) - 2) / 3)
        if known:
            yield from s.swap(t.i, t.i, known, "SPELL", "misspelling", weight=3.0)
        if by_sound and len(t.text) > 4:
            yield from s.swap(t.i, t.i, by_sound, "SPELL", "misspelling", weight=length)
            if len(t.text) >= 8:
                twice = [w for first in by_sound[:6] for w in misspellings(first)[1][:3] if w != t.lower_]
                yield from s.swap(t.i, t.i, twice, "SPELL", "misspelling", weight=0.25)
        if by_typing:
            yield from s.swap(t.i, t.i, by_typing, "SPELL", "misspelling", weight=0.3)


@rule
def confused_word(s: Sentence) -> Iterator[Slip]:
    """A real word taken for one that sounds alike: "there" for "their", "loose" for "lose"."""
    table = load_data("spelling.yaml")["confused"]
    for t in s:
        for entry in table.get(t.lower_, ()):
            tags = entry.get("tags")
            if tags and t.tag_ not in tags:
                continue
            yield from s.swap(
                t.i,
                t.i,
                entry["wrong"],
                entry.get("type", "SPELL"),
                "confused_word",
                weight=entry.get("weight", 1.0),
                needs=set(),
            )
        following = s.next(t.i)
        if following is not None and not t.whitespace_:
            whole = (t.text + following.text).lower().replace("’", "'")
            for entry in table.get(whole, ()):
                yield from s.swap(
                    t.i,
                    t.i + 1,
                    entry["wrong"],
                    entry.get("type", "OTHER"),
                    "confused_word",
                    weight=entry.get("weight", 1.0),
                )
