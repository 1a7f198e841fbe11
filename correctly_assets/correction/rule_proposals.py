"""What a rule finds with near certainty: edits of a sentence where words and their classes leave no other reading.

Belongs here: matching the patterns of language/data/proposals.yaml against a sentence, and the edits that follow. Does not belong
here: the patterns themselves, vetoes over an edit (vetoes.py), a checker's lints (rules_first.py).

A small model leaves much of what it is not sure of, and among that stands what needs no model: "since five years", "enjoy to read".
The patterns are tried on words alone first, so that only a sentence in which one may hold is parsed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import yaml

from correctly_assets.core.errors import PermanentError
from correctly_assets.core.types import Edit
from correctly_assets.correction.alignment import flat_text
from correctly_assets.correction.annotate import ErrantAnnotator, LazyAnnotator
from correctly_assets.correction.points.conditions import word_set, words
from correctly_assets.correction.points.predicates.forms import can_be
from correctly_assets.language.inflection import all_inflections, all_lemmas, inflection
from correctly_assets.language.sounds import vowel_sound

if TYPE_CHECKING:
    from spacy.tokens import Doc

Place = dict[int, "Word"]
"""The words of a place where a pattern holds, by the number of the element that each of them is, from 0."""
MOST_CHARACTERS = 1000
"""Length of a sentence beyond which no pattern is tried: it is a list or a table."""
FILE = "proposals.yaml"


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a sentence; ``lower`` is ``^`` before the first and ``$`` behind the last, ``tag`` None where nothing was parsed."""

    text: str
    lower: str
    start: int
    tag: str | None


@dataclass(frozen=True, slots=True)
class Condition:
    """One part of an element: what a word must be, or must not be."""

    kind: str
    values: tuple[str, ...]
    known: frozenset[str]
    denied: bool

    def holds(self, word: Word, unknown: bool) -> bool:
        """Whether a word is so; ``unknown`` where that hangs on a class that is not known yet."""
        if self.kind == "/":
            if word.tag is None:
                return unknown
            return f"{word.tag}.".startswith(self.values) != self.denied
        if self.kind == "#":
            return any(can_be(word.lower, tag) for tag in self.values) != self.denied
        if self.kind == "*":
            return word.lower.endswith(self.values) != self.denied
        return (word.lower in self.known) != self.denied


@dataclass(frozen=True, slots=True)
class Element:
    """What one word of a pattern must be: all of its conditions."""

    conditions: tuple[Condition, ...]
    optional: bool = False

    def holds(self, word: Word, unknown: bool = True) -> bool:
        """Whether a word fits."""
        return all(condition.holds(word, unknown) for condition in self.conditions)

    @property
    def literal(self) -> frozenset[str]:
        """The words of which it must be one; empty where it may be any word of a class."""
        sets = [each.known for each in self.conditions if each.known and not each.denied]
        return frozenset.intersection(*sets) if sets and not self.optional else frozenset()


@dataclass(frozen=True, slots=True)
class Pattern:
    """One rule: where it holds, and what is put there.

    Attributes:
        find: elements that stand one after the other. put: for each of them what becomes of its word.
        before, after: what must stand beside them.
        unless: what must stand nowhere in the sentence. unless_before: nowhere before them. needs: somewhere.
    """

    id: str
    find: tuple[Element, ...]
    put: tuple[str, ...]
    before: Element | None
    after: Element | None
    opens: Element | None
    unless: tuple[Element, ...]
    unless_before: tuple[Element, ...]
    unless_after: tuple[Element, ...]
    needs: tuple[Element, ...]

    def places(self, sentence: Sequence[Word], parsed: bool) -> Iterator[Place]:
        """Each place where it holds: the words with what becomes of them. ``sentence`` has a boundary at either end."""
        inner = sentence[1:-1]
        if self.opens is not None and not self.opens.holds(inner[0]):
            return
        if any(element.holds(word, False) for element in self.unless for word in inner):
            return
        if not all(any(element.holds(word, not parsed) for word in inner) for element in self.needs):
            return
        for first in range(1, len(sentence) - 1):
            for last, found in self._from(sentence, first, 0):
                if self._fits(sentence, first, last):
                    yield found
                    break

    def _from(self, sentence: Sequence[Word], place: int, at: int) -> Iterator[tuple[int, Place]]:
        if at == len(self.find):
            yield place, {}
            return
        if place < len(sentence) - 1 and self.find[at].holds(sentence[place]):
            for last, rest in self._from(sentence, place + 1, at + 1):
                yield last, {at: sentence[place], **rest}
        if self.find[at].optional:
            yield from self._from(sentence, place, at + 1)

    def _fits(self, sentence: Sequence[Word], first: int, last: int) -> bool:
        if self.before is not None and not self.before.holds(sentence[first - 1]):
            return False
        if self.after is not None and not self.after.holds(sentence[last]):
            return False
        if any(element.holds(word, False) for element in self.unless_before for word in sentence[1:first]):
            return False
        return not any(element.holds(word, False) for element in self.unless_after for word in sentence[last:-1])


class RuleProposals:
    """Proposes edits of one sentence; may be called from any thread.

    Args:
        parser: parses a sentence in which a pattern may hold.
    """

    def __init__(self, parser: ErrantAnnotator | LazyAnnotator) -> None:
        self._parser = parser
        self._by_word = patterns_by_word()

    def __call__(self, text: str) -> list[tuple[Edit, ...]]:
        """Edits of a sentence with single blanks, those of one rule together, in order and none over another."""
        return [edits for _, edits in self.named(text)]

    def named(self, text: str) -> list[tuple[str, tuple[Edit, ...]]]:
        """The same, each with the ID of its pattern."""
        if len(text) > MOST_CHARACTERS or flat_text(text) != text:
            return []
        lows = [_low(token) for token in self._parser.tokens(text)]
        likely = {pattern.id: pattern for low in lows for pattern in self._by_word.get(low, ())}
        if not likely:
            return []
        bare = _bounded([Word(low, low, 0, None) for low in lows])
        able = [
            pattern
            for pattern in load_patterns()
            if pattern.id in likely and any(True for _ in pattern.places(bare, False))
        ]
        return edits_of(self._parser.docs(text, text)[0], able) if able else []


def edits_of(doc: Doc, patterns: Sequence[Pattern]) -> list[tuple[str, tuple[Edit, ...]]]:
    """The edits of a parsed sentence, each with its pattern's ID; of two that touch the same words, the first pattern's."""
    sentence = _bounded([Word(token.text, _low(token.text), token.idx, token.tag_) for token in doc])
    found: list[tuple[str, tuple[Edit, ...]]] = []
    taken: list[tuple[int, int]] = []
    for pattern in patterns:
        for place in pattern.places(sentence, True):
            at = [*place.values()]
            start, end = at[0].start, at[-1].start + len(at[-1].text)
            edits = _edits(doc.text, place, pattern.put)
            if edits and not any(start < stop and begin < end for begin, stop in taken):
                taken.append((start, end))
                found.append((pattern.id, edits))
    return sorted(found, key=lambda each: each[1][0].start)


def _bounded(inner: list[Word]) -> list[Word]:
    return [Word("", "^", 0, "^"), *inner, Word("", "$", 0, "$")]


def _low(token: str) -> str:
    return token.lower().replace("’", "'")


def _edits(text: str, place: Place, put: Sequence[str]) -> tuple[Edit, ...] | None:
    """The edits of one place; None where a word has no such form, or where nothing would change."""
    edits: list[Edit] = []
    for at, word in place.items():
        now = _now(word, put[at], place)
        if now is None:
            return None
        end = word.start + len(word.text)
        if not now:
            edits.append(_removal(text, word.start, end))
        elif now != word.text:
            # What stands for a short form ("I'm") stands apart.
            apart = word.text[0] in "'’" and now[0].isalpha() and word.start and text[word.start - 1] != " "
            now = f" {now}" if apart else now
            edits.append(Edit(word.start, end, word.text, now, "R:OTHER"))
    opens = bool(edits) and not any(c.isalnum() for c in text[: edits[0].start])
    if opens and not edits[0].now:
        # What follows begins the sentence then.
        edits[0] = _opening(text, edits[0])
    return tuple(edits) or None


def _removal(text: str, start: int, end: int) -> Edit:
    """Taking out a word with the blank behind it, or before it where none follows; of a short form ("I'm") no blank goes."""
    if start and text[start - 1] != " ":
        return Edit(start, end, text[start:end], "", "U:OTHER")
    if text[end : end + 1] == " ":
        end += 1
    elif start and text[start - 1] == " ":
        start -= 1
    return Edit(start, end, text[start:end], "", "U:OTHER")


def _opening(text: str, edit: Edit) -> Edit:
    end = next((at for at in range(edit.end, len(text) + 1) if not text[at : at + 1].isalpha()), len(text))
    following = text[edit.end : end]
    return Edit(edit.start, end, text[edit.start : end], following[:1].upper() + following[1:], "R:OTHER")


def _now(word: Word, action: str, place: Place) -> str | None:
    """What stands for a word; an empty text where it goes, None where it has no such form."""
    if action in ("=", "-"):
        return word.text if action == "=" else ""
    parts = action.split("+")
    own = next((at for at, part in enumerate(parts) if part[0] in "=:~" or len(parts) == 1), 0)
    said: list[str] = []
    for at, part in enumerate(parts):
        found = _said(word, part, place) if at == own or part.startswith("@") else _beside(part, word)
        if found is None:
            return None
        opens = at > 0 and at == own and word.start == 0 and not _is_name(word)
        said.append(found[:1].lower() + found[1:] if opens else found)
    whole = " ".join(said)
    capital = word.text[:1].isupper() and (word.start == 0 if own else parts[own] != "=")
    return whole[:1].upper() + whole[1:] if capital else whole


def _is_name(word: Word) -> bool:
    return word.text == "I" or word.tag in ("NNP", "NNPS") or word.text[1:] != word.text[1:].lower()


def _beside(part: str, word: Word) -> str:
    """Words put before or behind a word; of the articles the one that it asks for by its sound."""
    if part == "a|an":
        return "an" if vowel_sound(word.text) else "a"
    return part.replace("_", " ")


def _said(word: Word, part: str, place: Place) -> str | None:
    if part == "=":
        return word.text
    if part.startswith("@"):
        other = place[int(part[1:]) - 1].text
        return other if other == "I" else other.lower()
    if part.startswith(":"):
        return _form(word.lower, part[1:])
    if part.startswith("~"):
        return _OTHERS.get(part, {}).get(word.lower) or _alike(word, part[1:])
    return part.replace("_", " ")


_OTHERS = {
    "~are": {"is": "are", "was": "were", "has": "have", "'s": "are"},
    "~is": {"are": "is", "were": "was", "have": "has"},
    "~any": {"nothing": "anything", "nobody": "anybody", "nowhere": "anywhere"},
}


def _alike(word: Word, other: str) -> str | None:
    """Another verb in the form of a word; what follows a "_" stays behind it."""
    verb, _, behind = other.partition("_")
    tag = word.tag if word.tag in ("VBZ", "VBG", "VBD", "VBN") else "VB"
    form = verb if tag == "VB" else next(iter(inflection(verb, tag)), None)
    return f"{form} {behind}".strip() if form else None


@lru_cache(maxsize=4096)
def _form(low: str, tag: str) -> str | None:
    """A word's form with a Penn tag; None where the dictionary has none. ``VBZ`` of "be" and the like stay as they are said."""
    if low in ("'m", "'re", "'s"):
        low = "be"
    upos = {"V": "VERB", "N": "NOUN", "J": "ADJ", "R": "ADV"}[tag[0]]
    found = all_lemmas(low)
    known = [*found.get(upos, ()), *(found.get("AUX", ()) if upos == "VERB" else ())]
    # "Found" belongs to "find" before it belongs to "found".
    known.sort(key=lambda lemma: lemma == low and tag == "VB")
    if tag == "NN" and not known and low.endswith("s"):
        # "Informations" is in no dictionary.
        return low[:-1]
    for lemma in known or ([low] if can_be(low, tag) else []):
        if tag == "VB" or (tag in ("NN", "JJ") and lemma != low):
            return lemma
        forms = inflection(lemma, tag)
        if forms:
            return _USUAL.get(forms[0], forms[0])
    return None


_USUAL = {"persons": "people"}


# -- reading the patterns ------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def load_patterns() -> tuple[Pattern, ...]:
    """The patterns that ship, in their order.

    Raises:
        PermanentError: one of them cannot be read.
    """
    data = yaml.safe_load((files("correctly_assets.language") / "data" / FILE).read_text(encoding="utf-8"))
    lists: dict[str, list[str]] = data["lists"]
    return tuple(_pattern(row, lists) for row in data["patterns"])


@lru_cache(maxsize=1)
def patterns_by_word() -> Mapping[str, tuple[Pattern, ...]]:
    """The patterns by each of the words of which one must stand in a sentence for them to hold."""
    found: dict[str, tuple[Pattern, ...]] = {}
    for pattern in load_patterns():
        literals = [element.literal for element in (*pattern.find, *pattern.needs) if element.literal]
        if not literals:
            raise PermanentError(f"{FILE}: {pattern.id} names no word by which a sentence could be told to hold it.")
        for word in min(literals, key=len):
            found[word] = (*found.get(word, ()), pattern)
    return found


def _pattern(row: Mapping[str, Any], lists: Mapping[str, list[str]]) -> Pattern:
    find = tuple(_element(part, lists) for part in row["find"].split())
    put = tuple(row["put"].split())
    if len(find) != len(put):
        raise PermanentError(f"{FILE}: {row['id']} has {len(find)} elements to find and {len(put)} to put.")
    sides = [_element(row[key], lists) if key in row else None for key in ("before", "after", "opens")]
    several = [
        tuple(_element(part, lists) for part in str(row.get(key, "")).split())
        for key in ("unless", "unless_before", "unless_after", "needs")
    ]
    return Pattern(row["id"], find, put, sides[0], sides[1], sides[2], several[0], several[1], several[2], several[3])


def _element(source: str, lists: Mapping[str, list[str]]) -> Element:
    optional = source.endswith("?") and len(source) > 1
    conditions = tuple(_condition(part, lists) for part in source.removesuffix("?" if optional else "").split("&"))
    return Element(conditions, optional)


def _condition(source: str, lists: Mapping[str, list[str]]) -> Condition:
    denied = source.startswith("!") and len(source) > 1
    source = source[1:] if denied else source
    if source[0] in "/#*":
        return Condition(source[0], tuple(source[1:].split("|")), frozenset(), denied)
    inflected = source.startswith("~")
    known: set[str] = set()
    for name in source.removeprefix("~").split("|"):
        known |= _listed(name[1:], lists) if name.startswith("@") else {name}
    if inflected:
        known |= {form for word in known for form in _forms(word)}
    return Condition("", (), frozenset(known), denied)


def _listed(name: str, lists: Mapping[str, list[str]]) -> set[str]:
    if name in lists:
        return {part for word in lists[name] for part in (_listed(word[1:], lists) if word.startswith("@") else {word})}
    if name not in words():
        raise PermanentError(f"{FILE}: no list is called {name!r}.")
    return {word.lower() for word in word_set(name)}


def _forms(word: str) -> set[str]:
    return {form for upos in ("VERB", "NOUN") for forms in all_inflections(word, upos).values() for form in forms}
