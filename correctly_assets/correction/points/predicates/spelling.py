"""Families of misspellings.

Belongs here: how the learner's letters differ from the right ones. Does not belong here: whole other words (words.yaml's
confused pairs).
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from functools import lru_cache

from correctly_assets.correction.annotate import word_list
from correctly_assets.correction.points.change import Change
from correctly_assets.correction.points.conditions import Slots, predicate, words
from correctly_assets.correction.points.predicates.forms import lemmas, plural_added
from correctly_assets.language.varieties import same_word


def _one_word(c: Change) -> bool:
    return c.was.isalpha() and c.now.isalpha() and c.was != c.now


@predicate()
def misspelt(c: Change) -> bool:
    """A word that no dictionary knows became one that looks like it."""
    if not (_one_word(c) or (c.kind == "SPELL" and " " not in c.was_text)):
        return False
    return not lemmas(c.was) and _near(c.was, c.now) and not other_ending(c) and not plural_added(c)


@predicate()
def unknown_word(c: Change) -> bool:
    """The learner's word stands in no list of English words, and the right one looks a little like it."""
    known = bool(lemmas(c.was)) or c.was in word_list()
    return c.was_text.isalpha() and c.was_text.islower() and not known and _near(c.was, c.now, 0.5)


@predicate()
def other_variety(c: Change) -> bool:
    """The British spelling of a word became the American one, or the other way round."""
    return same_word(c.was, c.now) or {c.was, c.now} == {"math", "maths"}


_ENDINGS = {
    "ability": "ability", "ibility": "ability", "ance": "ance", "ence": "ance", "ness": "ness", "tion": "tion",
    "ment": "ment", "able": "able", "ible": "able", "ant": "ant", "ent": "ant", "ful": "ful", "ous": "ous", "ive": "ive",
    "ing": "ing",
}  # fmt: skip
"""Endings that make words, each with the one it sounds like."""


@predicate()
def other_ending(c: Change) -> bool:
    """The learner made the word with another ending, which is no misspelling: "importent" for "importance"."""
    first, second = (
        next((sound for ending, sound in _ENDINGS.items() if word.endswith((ending, ending + "s"))), None)
        for word in (c.was, c.now)
    )
    return first is not None and second is not None and first != second


def _near(was: str, now: str, least: float = 0.6) -> bool:
    return SequenceMatcher(None, was, now, autojunk=False).ratio() >= least


@predicate()
def letters(c: Change, pair: str) -> bool:
    """Only one stretch of letters differs, e.g. "ei>ie"; "*" stands for any consonant, "**" for it twice."""
    if not _one_word(c):
        return False
    old, new = pair.split(">")
    pattern = re.escape(old)
    return any(c.was[: m.start()] + new + c.was[m.end() :] == c.now for m in re.finditer(pattern, c.was))


@predicate("letter")
def double_missing(c: Change) -> Slots | None:
    """A letter that is written twice was written once."""
    return _letter_more(c, c.now, c.was, doubled=True)


@predicate("letter")
def double_extra(c: Change) -> Slots | None:
    """A letter that is written once was written twice."""
    return _letter_more(c, c.was, c.now, doubled=True)


@predicate("letter")
def letter_missing(c: Change) -> Slots | None:
    """One letter was left out, and no ending: "novel" for "novels" lacks a plural."""
    if c.now == c.was + "s":
        return None
    return _letter_more(c, c.now, c.was)


@predicate("letter")
def letter_extra(c: Change) -> Slots | None:
    """One letter is too many."""
    return _letter_more(c, c.was, c.now)


def _letter_more(c: Change, long: str, short: str, *, doubled: bool = False) -> Slots | None:
    """The letter that the long word has more than the short one, if that is all; ``doubled``: the same stands before it."""
    if not _one_word(c) or len(long) != len(short) + 1:
        return None
    at = (i for i in range(doubled, len(long)) if long[:i] + long[i + 1 :] == short)
    return next(({"letter": long[i]} for i in at if not doubled or long[i] == long[i - 1]), None)


@predicate("first", "second")
def letters_swapped(c: Change) -> Slots | None:
    """Two neighbouring letters stood in the wrong order."""
    if not _one_word(c) or len(c.was) != len(c.now):
        return None
    at = [i for i in range(len(c.was)) if c.was[i] != c.now[i]]
    if len(at) == 2 and at[1] == at[0] + 1 and c.was[at[0]] == c.now[at[1]] and c.was[at[1]] == c.now[at[0]]:
        return {"first": c.now[at[0]], "second": c.now[at[1]]}
    return None


@predicate("wrong_letter", "letter")
def letter_wrong(c: Change) -> Slots | None:
    """One letter stood in place of another."""
    if not _one_word(c) or len(c.was) != len(c.now):
        return None
    at = [i for i in range(len(c.was)) if c.was[i] != c.now[i]]
    if at == [len(c.now) - 1] and c.now.endswith("s"):
        return None  # The letter is an ending: "he helpt" for "he helps" is another form, and no letter of the word.
    return {"wrong_letter": c.was[at[0]], "letter": c.now[at[0]]} if len(at) == 1 else None


@predicate()
def both_end(c: Change, ending: str) -> bool:
    """The wrong and the right word end as named, e.g. "able>ible"."""
    old, new = ending.split(">")
    return _one_word(c) and c.was.endswith(old) and c.now.endswith(new) and not lemmas(c.was)


@predicate()
def confused(c: Change) -> bool:
    """The two words are a known pair that looks or sounds alike."""
    return tuple(sorted((c.was, c.now))) in _pairs()


@lru_cache(maxsize=1)
def _pairs() -> frozenset[tuple[str, str]]:
    families = [family.split("|") for family in words()["confused"]]
    return frozenset((a, b) for family in families for a in family for b in family if a < b)
