"""The condition language: from a point's ``when`` to a function that says whether it holds.

Belongs here: reading and compiling conditions. Does not belong here: named predicates (predicates/), the points
themselves (prompts/grammar/).

A condition is a mapping, or a list of mappings of which one must hold. Its keys, all of which must hold:

    op: M, R or U            what the edit does: adds, replaces, takes out ("M|R" for either)
    type: DET|PREP           ERRANT's family
    was, now: a|an           all the words of that side, lower case
    PLACE.ATTRIBUTE: value   lower (the default), lemma, tag, dep, pos, ent of a token (change.PLACES), e.g. left.lemma: enjoy
    is: NAME                 a named predicate; a list of them; or {NAME: argument}
    any: [conditions]        one of them holds
    none: [conditions]       none of them holds
    has: yesterday|ago       a word of the corrected sentence; fills the slot {marker}
    slots: {verb: left}      what the sentence quotes: PLACE, PLACE.ATTRIBUTE, two of them joined by "+", or "=words"
    rank: 1 to 9             how particular the point is; 5 where left out
    group: only, also        the point may (or must) be made of several edits

A value is words joined by "|". "@name" stands for a list of words.yaml, "*ing", "un*" and "*n't*" for endings, beginnings and parts, "~…" for
a whole regular expression, and a "!" in front turns the value into its opposite.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from correctly_assets.core.errors import PermanentError
from correctly_assets.correction.points.change import PLACES, Change
from correctly_assets.language.points import read_words

Slots = dict[str, str]
Check = Callable[[Change], "Slots | None"]
Predicate = Callable[..., "Slots | bool | None"]
PREDICATES: dict[str, Predicate] = {}
_FILLS: dict[str, frozenset[str]] = {}
_ATTRIBUTES = {
    "ent": "ent_type_",
    "lower": "lower_",
    "lemma": "lemma_",
    "tag": "tag_",
    "dep": "dep_",
    "pos": "pos_",
    "text": "text",
}
_SENTENCE_KEYS = frozenset({"op", "type", "was", "now", "is", "any", "none", "has", "slots", "rank", "group"})
_YES: Slots = {}


def predicate(*slots: str) -> Callable[[Predicate], Predicate]:
    """Make a function known to conditions by its name; it returns the slots it found, True, or None or False.

    Args:
        slots: the names of the slots that it always fills where it holds.
    """

    def known(function: Predicate) -> Predicate:
        PREDICATES[function.__name__] = function
        _FILLS[function.__name__] = frozenset(slots)
        return function

    return known


@dataclass(frozen=True)
class Condition:
    """A compiled ``when``.

    Attributes:
        check: the slots it found, or None where it does not hold.
        rank: how particular it is.
        weight: how much it asks for; breaks ties of rank.
        ops: the operations it can hold for.
        group: ``no``, ``also`` or ``only`` several edits taken together.
        slots: the names of slots that it may fill.
    """

    check: Check
    rank: int = 5
    weight: int = 0
    ops: frozenset[str] = frozenset("MRU")
    group: str = "no"
    slots: frozenset[str] = field(default_factory=frozenset)


@lru_cache(maxsize=1)
def words() -> dict[str, list[str] | dict[str, str]]:
    """The word lists that conditions and predicates share."""
    return read_words(Path(__file__).with_name("words.yaml"))


@lru_cache(maxsize=256)
def word_set(name: str) -> frozenset[str]:
    """A list of words.yaml as a set."""
    return frozenset(str(word) for word in words()[name])


def compiled(when: Any) -> list[Condition]:
    """One condition for each alternative of a ``when``.

    Raises:
        PermanentError: a key, predicate, place or word list is unknown.
    """
    return [_compile(row) for row in (when if isinstance(when, list) else [when])]


def _compile(row: Mapping[str, Any]) -> Condition:
    checks: list[Check] = []
    names: set[str] = set()
    ops = frozenset("MRU")
    if "op" in row:
        ops = frozenset(str(row["op"]).split("|"))
        if not ops <= frozenset("MRU"):
            raise PermanentError(f"op: {row['op']} is not M, R or U")
    for key, value in row.items():
        if key in ("op", "rank", "group", "slots", "is", "any", "none", "has"):
            continue
        checks.append(_simple(key, value))
    if "has" in row:
        checks.append(_has(str(row["has"])))
        names.add("marker")
    for key in ("any", "none"):
        if key in row:
            inner = [_compile(each) for each in row[key]]
            checks.append(_one_of(inner) if key == "any" else _none_of(inner))
            for each in inner:
                names |= each.slots if key == "any" else set()
    for name, argument in _named(row.get("is", ())):
        if name not in PREDICATES:
            raise PermanentError(f"no predicate is called {name!r}; see correction/points/predicates/")
        checks.append(_predicate(PREDICATES[name], argument))
        names |= _FILLS[name]
    if "slots" in row:
        checks.append(_filled(row["slots"]))
        names |= set(row["slots"])
    group = str(row.get("group", "no"))
    if group not in ("no", "also", "only"):
        raise PermanentError(f"group: {group} is not also or only")
    return Condition(_all(checks), int(row.get("rank", 5)), len(checks), ops, group, frozenset(names))


def _all(checks: list[Check]) -> Check:
    if len(checks) == 1:
        return checks[0]

    def check(c: Change) -> Slots | None:
        found: Slots = {}
        for each in checks:
            slots = each(c)
            if slots is None:
                return None
            if slots:
                found.update(slots)
        return found

    return check


def _one_of(inner: list[Condition]) -> Check:
    def check(c: Change) -> Slots | None:
        return next((slots for each in inner if c.op in each.ops and (slots := each.check(c)) is not None), None)

    return check


def _none_of(inner: list[Condition]) -> Check:
    def check(c: Change) -> Slots | None:
        return None if any(c.op in each.ops and each.check(c) is not None for each in inner) else _YES

    return check


def _named(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, str):
        return [(value, None)]
    if isinstance(value, Mapping):
        return list(value.items())
    return [pair for each in value for pair in _named(each)]


def _predicate(function: Predicate, argument: Any) -> Check:
    def check(c: Change) -> Slots | None:
        found = function(c) if argument is None else function(c, argument)
        return _YES if found is True else (found if isinstance(found, dict) else None)

    return check


def _simple(key: str, value: Any) -> Check:
    matches = matcher(value)
    if key == "type":
        return lambda c: _YES if matches(c.kind) else None
    if key in ("was", "now"):
        return lambda c: _YES if matches(getattr(c, key)) else None
    place, _, attribute = key.partition(".")
    if place not in PLACES or (attribute and attribute not in _ATTRIBUTES):
        raise PermanentError(f"no such key {key!r}; see correction/points/conditions.py")
    name = _ATTRIBUTES[attribute or "lower"]
    absent = str(value).startswith("!")
    lowered = name == "lemma_"

    def check(c: Change) -> Slots | None:
        token = c.place(place)
        if token is None:
            return _YES if absent else None
        token_text = getattr(token, name)
        return _YES if matches(token_text.lower() if lowered else token_text) else None

    return check


def matcher(value: Any) -> Callable[[str], bool]:
    """Whether a text is one of the words that a value stands for.

    Raises:
        PermanentError: a word list is unknown or a regular expression malformed.
    """
    text = "|".join(str(each) for each in value) if isinstance(value, list) else str(value)
    if text.startswith("!"):
        inner = matcher(text[1:])
        return lambda token_text: not inner(token_text)
    if text.startswith("~"):
        try:
            pattern = re.compile(text[1:])
        except re.error as error:
            raise PermanentError(f"{text!r} is no regular expression: {error}") from error
        return lambda token_text: pattern.fullmatch(token_text) is not None
    exact: set[str] = set()
    starts: list[str] = []
    ends: list[str] = []
    inside: list[str] = []
    for word in text.split("|"):
        if word.startswith("@"):
            if word[1:] not in words():
                raise PermanentError(f"words.yaml has no list {word[1:]!r}")
            exact |= word_set(word[1:])
        elif word.startswith("*") and word.endswith("*") and len(word) > 2:
            inside.append(word[1:-1])
        elif word.startswith("*"):
            ends.append(word[1:])
        elif word.endswith("*"):
            starts.append(word[:-1])
        else:
            exact.add(word)
    if inside:
        return lambda token_text: (
            token_text in exact or token_text.startswith(tuple(starts)) or any(part in token_text for part in inside)
        )
    if not starts and not ends:
        return exact.__contains__
    first, last = tuple(starts), tuple(ends)
    return lambda token_text: token_text in exact or token_text.startswith(first) or token_text.endswith(last)


def _has(value: str) -> Check:
    matches = matcher(value)

    def check(c: Change) -> Slots | None:
        found = next((t for t in c.after if matches(t.lower_)), None)
        return None if found is None else {"marker": found.text}

    return check


def _filled(wanted: Mapping[str, str]) -> Check:
    said = {slot: source[1:] for slot, source in wanted.items() if source.startswith("=")}
    parts: dict[str, list[tuple[str, str]]] = {}
    for slot, source in wanted.items():
        for one in () if slot in said else source.split("+"):
            place, _, attribute = one.partition(".")
            if place not in PLACES or (attribute and attribute not in _ATTRIBUTES):
                raise PermanentError(f"slots: no such place {one!r}; see correction/points/change.py")
            parts.setdefault(slot, []).append((place, _ATTRIBUTES[attribute or "text"]))

    def check(c: Change) -> Slots | None:
        found = dict(said)
        for slot, sources in parts.items():
            tokens = [(c.place(place), attribute) for place, attribute in sources]
            texts = [quoted(t) if name == "text" else getattr(t, name) for t, name in tokens if t is not None]
            if len(texts) < len(sources):
                return None
            noun = tokens[0][0] if sources == [("noun", "text")] else None
            found[slot] = " ".join(texts) if noun is None else quoted_noun(noun)
        return found

    return check


def quoted_noun(noun: Any) -> str:
    """A noun as a sentence about it quotes it, with the nouns that stand before it in one name: "climate change"."""
    start = noun.i
    while start > 0 and noun.doc[start - 1].dep_ == "compound" and noun.doc[start - 1].head.i == noun.i:
        start -= 1
    return " ".join(quoted(token) for token in noun.doc[start : noun.i + 1])


_SHORT = {"n't": "not", "'ll": "will", "ca": "can", "wo": "will", "'ve": "have", "'re": "are", "'m": "am"}


def quoted(token: Any) -> str:
    """A token as a sentence about it quotes it: in full, and without the capital that only begins a sentence."""
    text: str = token.text.replace("’", "'")
    if text.lower() in _SHORT:
        return _SHORT[text.lower()]
    names = token.tag_ in ("NNP", "NNPS") or text in ("I", "English") or text[1:] != text[1:].lower()
    return text if names or not token.is_sent_start else text[:1].lower() + text[1:]
