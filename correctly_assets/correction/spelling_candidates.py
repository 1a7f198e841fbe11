"""Misspelt words and what they may stand for: candidates from a dictionary, which the model then ranks in the sentence.

Belongs here: finding words that are no words, candidates for each, putting one in. Does not belong here: asking the model
(path.py), or what the dictionary must leave alone (vetoes.py).

A dictionary knows what is no word, and not which word is meant; a small model knows the second better than the first. So the
dictionary (SymSpell's, by Wolf Garbe, with word frequencies) proposes, and the probability of the whole sentence decides.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from importlib.resources import files
from typing import Any

from symspellpy import SymSpell, Verbosity

from correctly_assets.correction.vetoes import CODE_WORD

MAX_CANDIDATES = 6
MAX_DISTANCE = 2
NEAR = 0.85
"""Least likeness, from 0 to 1, of a capitalised word at the beginning of a sentence to what it may stand for."""
SHORTEST = 4
"""Letters of the shortest word that is looked up: shorter ones are near to far too many others."""

_WORD = re.compile(r"(?<![\w@#/.'’-])[A-Za-z]+(?![\w@/'’-]|\.\w)")
# A word by itself in quotation marks is spoken about: it is shown as somebody wrote it.
_MENTION = re.compile(r"[\"“‘']([A-Za-z]+)[\"”’']")


UNKNOWN_SHARE = 0.34
"""Share of a sentence's words, from 0 to 1, from which it is no English that anyone could correct."""


@dataclass(frozen=True, slots=True)
class Misspelling:
    """A word that is none, by its place in the text (half-open code points), with candidates, likeliest first."""

    start: int
    end: int
    word: str
    candidates: tuple[str, ...]


@lru_cache(maxsize=1)
def load_dictionary() -> Any:
    """SymSpell over its own frequency list of 82,765 English words; about a second, once a process."""
    dictionary = SymSpell(max_dictionary_edit_distance=MAX_DISTANCE, prefix_length=7)
    dictionary.load_dictionary(str(files("symspellpy") / "frequency_dictionary_en_82_765.txt"), 0, 1)
    return dictionary


def misspellings(
    text: str, knows: Callable[[str], bool], protected: Sequence[tuple[int, int]] = ()
) -> list[Misspelling]:
    """The words of a sentence that neither dictionary knows, each with what it may stand for.

    Capitalised words inside the sentence are left alone, since a list takes every name for a misspelling; so are words in
    capitals or with a capital inside, beside digits, in addresses, by themselves in quotation marks, and in ``protected`` stretches.

    Args:
        knows: whether a word, in any case and form, is one (`core.correction.Dictionary.knows`).
    """
    found: list[Misspelling] = []
    spared = [*protected, *(match.span(1) for match in _MENTION.finditer(text))]
    for match in _WORD.finditer(text):
        word = match.group()
        inside = any(character.isalnum() for character in text[: match.start()])
        if len(word) < SHORTEST or (word[0].isupper() and inside) or (word.isupper() and len(word) > 1):
            continue
        if knows(word) or CODE_WORD.search(word) or any(match.start() < b and a < match.end() for a, b in spared):
            continue
        choices = candidates(word, knows)
        # A name may open a sentence; a misspelt word there is nearer to what it stands for.
        if choices and (not word[0].isupper() or _ratio(word, choices[0]) >= NEAR):
            found.append(Misspelling(match.start(), match.end(), word, choices))
    return found


def too_many_unknown(text: str, knows: Callable[[str], bool]) -> bool:
    """Whether so many words of a sentence are no words that it cannot be said to read well. Names and words in capitals count as
    known, for no list holds them all."""
    words = [match.group() for match in _WORD.finditer(text)]
    if len(words) == 1 == len(text.split()):
        # A word by itself is asked about for its spelling.
        return len(words[0]) >= SHORTEST and not words[0][1:].isupper() and not knows(words[0])
    unknown = [word for word in words if len(word) >= SHORTEST - 1 and word.islower() and not knows(word)]
    return len(unknown) >= 2 and len(unknown) >= UNKNOWN_SHARE * len(words)


def candidates(word: str, knows: Callable[[str], bool]) -> tuple[str, ...]:
    """Up to `MAX_CANDIDATES` words that a misspelt one may stand for, likeliest first, in its own case."""
    low = word.casefold()
    near = load_dictionary().lookup(low, Verbosity.ALL, max_edit_distance=MAX_DISTANCE, include_unknown=False)
    ranked = sorted(near, key=lambda item: _likeness(low, item.term, item.distance, item.count), reverse=True)
    chosen = [item.term for item in ranked if item.term.isalpha() and knows(item.term)][:MAX_CANDIDATES]
    return tuple(term.capitalize() if word[0].isupper() else term for term in chosen)


def _likeness(word: str, term: str, distance: int, count: int) -> float:
    """How likely a word is meant by a misspelling: few changes, a common word, the same first letter, the same letters."""
    return (
        -4.2 * distance
        + 0.55 * math.log(max(count, 1))
        + (1.5 if term[0] == word[0] else 0.0)
        + (0.8 if sorted(set(term)) == sorted(set(word)) else 0.0)
        + _ratio(word, term)
    )


def _ratio(one: str, other: str) -> float:
    return SequenceMatcher(None, one.casefold(), other.casefold()).ratio()


def put_right(text: str, misspelling: Misspelling, candidate: str) -> str:
    """The text with one misspelt word replaced."""
    return text[: misspelling.start] + candidate + text[misspelling.end :]
