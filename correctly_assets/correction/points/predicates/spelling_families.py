"""Families of misspellings by the rule that was broken.

Belongs here: endings that change a word's last letter, silent letters, letters that sound alike. Does not belong here:
single letters without a rule (spelling.py), other words (lexis.py).
"""

from __future__ import annotations

import re

from correctly_assets.correction.points.change import Change
from correctly_assets.correction.points.conditions import Slots, predicate
from correctly_assets.correction.points.predicates.forms import lemmas
from correctly_assets.correction.points.predicates.spelling import misspelt

_VOWELS = "aeiou"
_ENDINGS = ("ing", "ed", "er", "est", "en")
_DOERS = frozenset({
    "beginner", "winner", "runner", "swimmer", "shopper", "planner", "robber", "jogger", "drummer", "spinner",
    "scanner", "programmer", "traveller", "babysitter", "sitter", "cutter", "bidder", "blogger", "stopper",
    "wrapper", "trapper", "skipper", "rapper", "zipper", "flipper", "digger",
})  # fmt: skip
"""Nouns in "-er" that are made of a verb, unlike "summer" and "butter"."""
_SILENT = {
    "know": "k", "knife": "k", "knee": "k", "knock": "k", "knowledge": "d", "wrong": "w", "write": "w", "wrote": "w",
    "written": "w", "writing": "w", "who": "w", "whole": "w", "which": "h", "when": "h", "where": "h", "what": "h",
    "white": "h", "while": "h", "why": "h", "whether": "h", "hour": "h", "honest": "h", "honestly": "h", "rhythm": "h",
    "vehicle": "h", "exhibition": "h", "exhausted": "h", "listen": "t", "castle": "t", "often": "t", "mortgage": "t",
    "wednesday": "d", "handsome": "d", "handkerchief": "d", "foreign": "g", "foreigner": "g", "sign": "g", "design": "g",
    "campaign": "g", "though": "g", "thought": "g", "through": "g", "enough": "g", "night": "g", "light": "g", "right": "g",
    "might": "g", "brought": "g", "bought": "g", "daughter": "g", "eight": "g", "weight": "g", "height": "g",
    "straight": "g", "neighbour": "g", "neighbor": "g", "could": "l", "should": "l", "would": "l", "talk": "l", "walk": "l",
    "half": "l", "calm": "l", "climb": "b", "bomb": "b", "comb": "b", "doubt": "b", "debt": "b", "autumn": "n",
    "column": "n", "island": "s", "aisle": "s", "muscle": "c", "science": "c",
    "scientist": "c", "scene": "c", "scissors": "c", "fascinating": "c", "conscious": "c", "discipline": "c",
    "psychology": "p", "psychologist": "p", "receipt": "p", "cupboard": "p", "february": "r", "library": "r",
    "surprise": "r", "surprised": "r", "guess": "u", "guide": "u", "guitar": "u", "guest": "u", "guarantee": "u",
    "build": "u", "building": "u", "biscuit": "u", "tongue": "u", "league": "u", "acknowledge": "c", "acquire": "c",
}  # fmt: skip
"""Words with a letter that is hardly heard, and that letter."""


@predicate("word", "letter", "ending")
def consonant_doubled(c: Change) -> Slots | None:
    """The last consonant of the plain word is doubled before an ending: stoping → stopping."""
    for ending in _ENDINGS:
        stem = c.now.removesuffix(ending)
        if stem == c.now or len(stem) < 3 or stem[-1] != stem[-2] or stem[-1] in _VOWELS:
            continue
        word = stem[:-1]
        # "Bigger" is of "big", but "butter" is not of "butt" or "but".
        made = c.now in _DOERS if ending == "er" and not lemmas(c.now, "ADJ") & {word} else True
        if c.was == word + ending and lemmas(word) and word[-2] in _VOWELS and made:
            return {"word": word, "letter": word[-1], "ending": ending}
    return None


@predicate("word", "letter", "ending")
def consonant_single(c: Change) -> Slots | None:
    """The last consonant stays single before an ending: openning → opening."""
    for ending in _ENDINGS:
        word = c.now.removesuffix(ending)
        if word == c.now or len(word) < 3:
            continue
        # "Writing" is of "write", not of the rare "writ".
        for plain in (word + "e", word) if lemmas(word + "e", "VERB") else (word, word + "e"):
            if c.was == word + word[-1] + ending and word[-1] not in _VOWELS and lemmas(plain):
                return {"word": plain, "letter": word[-1], "ending": ending}
    return None


@predicate("word")
def y_stays(c: Change) -> Slots | None:
    """A "y" after a vowel stays: plaied → played, monkies → monkeys."""
    found = re.fullmatch(r"([a-z]*[aeou]y)(s|ed|er|ing|ment)", c.now)
    if found is None:
        return None
    word, ending = found.groups()
    stem = word[:-1]
    return {"word": word} if c.was in (stem + "ies", stem + "i" + ending, stem[:-1] + "ies") else None


@predicate("ending")
def ends_in(c: Change, family: str) -> Slots | None:
    """A misspelt word has another ending of the same sound: "able|ible"; {ending} is the right one."""
    if not misspelt(c):
        return None
    endings = family.split("|")
    for new in endings:
        for old in endings:
            stem = c.now.removesuffix(new)
            if old not in (new, new + "s") and stem != c.now and len(stem) > 2 and c.was == stem + old:
                return {"ending": new}
    return None


@predicate()
def ally(c: Change) -> bool:
    """Adjectives in "-ic" add "-ally": basicly → basically."""
    return c.now.endswith("ically") and c.was in (c.now[:-4] + "ly", c.now[:-4] + "aly")


@predicate("letter")
def silent_letter(c: Change) -> Slots | None:
    """The one letter left out is hardly heard."""
    letter = _SILENT.get(c.now) or _SILENT.get(c.now.removesuffix("s"))
    if letter is None or not (c.was.isalpha() and len(c.was) + 1 == len(c.now)):
        return None
    missing = any(c.now[i] == letter and c.now[:i] + c.now[i + 1 :] == c.was for i in range(len(c.now)))
    return {"letter": letter} if missing else None


@predicate("sound", "letters")
def other_letters(c: Change, pairs: str) -> Slots | None:
    """A misspelt word has letters that sound like the right ones: "f>ph|k>ch"; {sound} is what was written."""
    if not misspelt(c):
        return None
    for pair in pairs.split("|"):
        old, new = pair.split(">")
        if any(c.was[: m.start()] + new + c.was[m.end() :] == c.now for m in re.finditer(re.escape(old), c.was)):
            return {"sound": old, "letters": new}
    return None
