"""Words taken for another, and words that go together.

Belongs here: pairs of words told apart by their meaning, collocations, fixed phrases.
Does not belong here: how a misspelling differs (spelling_families.py), prepositions (prepositions.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from correctly_assets.correction.points.change import Change
from correctly_assets.correction.points.conditions import Slots, matcher, predicate
from correctly_assets.correction.points.predicates.forms import lemmas


def _plain(side: str) -> str:
    """A side with its short forms put together again: "they 're" → "they're"."""
    return side.replace(" '", "'").replace(" n't", "n't")


def _is(side: str, word: str) -> bool:
    """Whether a side is a word or one of its forms."""
    side = _plain(side)
    if side == word:
        return True
    if " " in word:
        first, _, rest = word.partition(" ")
        head, _, tail = side.partition(" ")
        return tail == rest and first in lemmas(head)
    return side.isalpha() and word in lemmas(side)


@predicate("gloss", "kgloss", "wrong_gloss", "wrong_kgloss")
def told_apart(c: Change, meanings: Mapping[str, Sequence[str]]) -> Slots | None:
    """One of these words became another; each word has what it means in English and in Korean.

    A word stands for all its forms, unless one of these is named too.
    """
    was, now = _key(c.was, meanings), _key(c.now, meanings)
    if was is None or now is None or was == now:
        return None
    (gloss, kgloss), (wrong, kwrong) = meanings[now], meanings[was]
    return {"gloss": gloss, "kgloss": kgloss, "wrong_gloss": wrong, "wrong_kgloss": kwrong}


def _key(side: str, meanings: Mapping[str, Sequence[str]]) -> str | None:
    if _plain(side) in meanings:
        return _plain(side)
    return next((word for word in meanings if _is(side, word)), None)


@predicate()
def turned(c: Change, pair: str) -> bool:
    """A form of a word on the left became a form of one on the right: "do|make>take|have"."""
    old, new = pair.split(">")
    return any(_is(c.was, word) for word in old.split("|")) and any(_is(c.now, word) for word in new.split("|"))


@predicate("noun")
def goes_with(c: Change, value: str) -> Slots | None:
    """One of these words follows soon, or, where none does, stands shortly before.

    What an adjective describes does not stand behind a verb: "the strong box stood in the rain".
    """
    matches = matcher(value)
    end = c.c[1]
    adjective = c.now_root is not None and c.now_root.pos_ == "ADJ"
    ahead = [*c.after[end : end + 6]]
    for token in ahead:
        if token.text in ",;:.!?" or (adjective and token.pos_ == "VERB"):
            break
        if matches(token.lower_) or matches(token.lemma_.lower()):
            return {"noun": token.text}
    for token in reversed([*c.after[max(0, c.c[0] - 6) : c.c[0]]]):
        if token.text in ",;:.!?":
            break
        if matches(token.lower_) or matches(token.lemma_.lower()):
            return {"noun": token.text}
    return None


@predicate("phrase")
def fixed_phrase(c: Change, value: str) -> Slots | None:
    """The change completes one of these phrases; a word after "~" may have any form, and its form alone is no such change."""
    a, b = c.c
    inside = 1 if c.op == "U" else 0
    for phrase in value.split("|"):
        parts = phrase.split()
        first = max(0, b - len(parts) + inside)
        for start in range(first, min(a - inside, len(c.after) - len(parts)) + 1):
            window = c.after[start : start + len(parts)]
            if not all(_fits(t.lower_, t.lemma_.lower(), part) for t, part in zip(window, parts, strict=True)):
                continue
            free = any(part.startswith("~") for part in parts[a - start : b - start])
            if c.was == c.now or (free and lemmas(c.was) & lemmas(c.now)):
                return None
            return {"phrase": window.text[:1].lower() + window.text[1:]}
    return None


def _fits(lower: str, lemma: str, part: str) -> bool:
    return lemma == part[1:] if part.startswith("~") else lower == part.lower()
