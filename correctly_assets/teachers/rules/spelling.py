"""Misspellings as learners make them, and words that sound like another.

A misspelling is a word that no dictionary lists and that looks like the right one; a confused word is a real word in a
place where its class makes it wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from ..sentence import Sentence, Slip, is_word, load_data
from . import rule

_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_VOWELS = "aeiou"


@lru_cache(maxsize=1)
def _neighbours() -> dict[str, str]:
    """Letters beside each other on a QWERTY keyboard."""
    return {c: (row[i - 1 : i] if i else "") + row[i + 1 : i + 2] for row in _KEYS for i, c in enumerate(row)}


@lru_cache(maxsize=1)
def _sounds() -> tuple[tuple[str, str], ...]:
    return tuple((a, b) for a, b in load_data("spelling.yaml")["sounds"])


@lru_cache(maxsize=20_000)
def misspellings(word: str) -> tuple[tuple[str, ...], ...]:
    """Misspellings of a lower-case word in three groups: known ones, by sound and doubling, by a slip of the finger."""
    known = tuple(load_data("spelling.yaml")["known"].get(word, ()))
    heard: list[str] = []
    for right, wrong in _sounds():
        at_end, at_start = right.endswith("$"), right.startswith("^")
        part = right.strip("^$")
        if at_end and word.endswith(part):
            heard.append(word[: -len(part)] + wrong)
        elif at_start and word.startswith(part):
            heard.append(wrong + word[len(part) :])
        elif not at_end and not at_start and part in word[1:]:
            place = word.index(part, 1)
            heard.append(word[:place] + wrong + word[place + len(part) :])
    for i in range(1, len(word) - 1):
        if word[i] == word[i + 1]:
            heard.append(word[:i] + word[i + 1 :])
        elif word[i] in "lmnprstcfdg" and word[i - 1] in _VOWELS and word[i + 1] in _VOWELS and word[i] != word[i - 1]:
            heard.append(word[: i + 1] + word[i:])
        if (
            word[i] in _VOWELS
            and i > 1
            and i < len(word) - 2
            and word[i - 1] not in _VOWELS
            and word[i + 1] not in _VOWELS
        ):
            heard += [
                word[:i] + v + word[i + 1 :] for v in {"a": "e", "e": "ia", "i": "e", "o": "ua", "u": "o"}[word[i]]
            ]
            if len(word) > 7 and word[i + 1] in "rln":
                heard.append(word[:i] + word[i + 1 :])
    typed: list[str] = []
    for i in range(1, len(word) - 1):
        if word[i] != word[i + 1]:
            typed.append(word[:i] + word[i + 1] + word[i] + word[i + 2 :])
        if len(word) > 4:
            typed.append(word[:i] + word[i + 1 :])
            typed += [word[:i] + c + word[i + 1 :] for c in _neighbours().get(word[i], "")]
    groups = []
    for group in (known, heard, typed):
        kept = tuple(w for w in dict.fromkeys(group) if w != word and len(w) > 2 and not is_word(w))
        groups.append(kept)
    return tuple(groups)


@rule
def misspelling(s: Sentence) -> Iterator[Slip]:
    for t in s:
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
        known, heard, typed = misspellings(t.lower_)
        length = min(3.0, (len(t.text) - 2) / 3)
        if known:
            yield from s.swap(t.i, t.i, known, "SPELL", "misspelling", weight=3.0)
        if heard and len(t.text) > 4:
            yield from s.swap(t.i, t.i, heard, "SPELL", "misspelling", weight=length)
            if len(t.text) >= 8:
                twice = [w for first in heard[:6] for w in misspellings(first)[1][:3] if w != t.lower_]
                yield from s.swap(t.i, t.i, twice, "SPELL", "misspelling", weight=0.25)
        if typed:
            yield from s.swap(t.i, t.i, typed, "SPELL", "misspelling", weight=0.3)


@rule
def confused_word(s: Sentence) -> Iterator[Slip]:
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
