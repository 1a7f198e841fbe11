"""Misspellings of a word, as learners make them.

Belongs here: known, heard and mistyped variants of one word, none of them a word itself. Does not belong here: which word
of a sentence is misspelt (rules/spelling.py).
"""

from __future__ import annotations

from functools import lru_cache

from correctly_assets.teachers.embedded.sentence import is_word, load_data

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
    by_sound: list[str] = []
    for right, wrong in _sounds():
        at_end, at_start = right.endswith("$"), right.startswith("^")
        part = right.strip("^$")
        if at_end and word.endswith(part):
            by_sound.append(word[: -len(part)] + wrong)
        elif at_start and word.startswith(part):
            by_sound.append(wrong + word[len(part) :])
        elif not at_end and not at_start and part in word[1:]:
            place = word.index(part, 1)
            by_sound.append(word[:place] + wrong + word[place + len(part) :])
    for i in range(1, len(word) - 1):
        if word[i] == word[i + 1]:
            by_sound.append(word[:i] + word[i + 1 :])
        elif word[i] in "lmnprstcfdg" and word[i - 1] in _VOWELS and word[i + 1] in _VOWELS and word[i] != word[i - 1]:
            by_sound.append(word[: i + 1] + word[i:])
        if (
            word[i] in _VOWELS
            and i > 1
            and i < len(word) - 2
            and word[i - 1] not in _VOWELS
            and word[i + 1] not in _VOWELS
        ):
            by_sound += [
                word[:i] + v + word[i + 1 :] for v in {"a": "e", "e": "ia", "i": "e", "o": "ua", "u": "o"}[word[i]]
            ]
            if len(word) > 7 and word[i + 1] in "rln":
                by_sound.append(word[:i] + word[i + 1 :])
    by_typing: list[str] = []
    for i in range(1, len(word) - 1):
        if word[i] != word[i + 1]:
            by_typing.append(word[:i] + word[i + 1] + word[i] + word[i + 2 :])
        if len(word) > 4:
            by_typing.append(word[:i] + word[i + 1 :])
            by_typing += [word[:i] + c + word[i + 1 :] for c in _neighbours().get(word[i], "")]
    groups = []
    for group in (known, by_sound, by_typing):
        kept = tuple(w for w in dict.fromkeys(group) if w != word and len(w) > 2 and not is_word(w))
        groups.append(kept)
    return tuple(groups)
