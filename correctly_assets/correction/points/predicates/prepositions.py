"""Prepositions by what governs them and by what follows them.

Belongs here: looking words up in the tables of words.yaml. Does not belong here: the tables.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from correctly_assets.correction.points.change import Change
from correctly_assets.correction.points.conditions import Slots, predicate, quoted, words

if TYPE_CHECKING:
    from spacy.tokens import Token


@lru_cache(maxsize=8)
def _table(name: str) -> dict[str, frozenset[str]]:
    table = words()[name]
    assert isinstance(table, dict)  # words.yaml holds tables beside its lists
    return {str(word): frozenset(str(value).split("|")) for word, value in table.items()}


def _entry(token: Token, name: str) -> frozenset[str] | None:
    table = _table(name)
    return table.get(token.lower_) or table.get(token.lemma_.lower())


def _takes(token: Token, preposition: str) -> str | None:
    """The table in which a word takes this preposition."""
    kinds = []
    if token.tag_.startswith("V") or token.pos_ == "VERB":
        kinds = ["verb_prepositions", "adjective_prepositions"]
    elif token.tag_.startswith("J") or token.pos_ == "ADJ" or token.tag_ == "RB":
        kinds = ["adjective_prepositions"]
    elif token.tag_.startswith("NN"):
        kinds = ["noun_prepositions"]
    return next((kind for kind in kinds if preposition in (_entry(token, kind) or ())), None)


_PLACES = frozenset({"in", "on", "at"})


def _names_time(preposition: Token) -> bool:
    nouns = (child for child in preposition.children if child.dep_ == "pobj")
    times = (words()["time_units"], words()["months"], ("try", "attempt"))
    return any(noun.lemma_.lower() in known or noun.lower_ in known for noun in nouns for known in times)


def _decides(preposition: Token, other: str) -> bool:
    """Whether the noun behind a preposition takes it, and not the other one: "on the internet"."""
    nouns = (child for child in preposition.children if child.dep_ == "pobj")
    known = (_table("time_and_place").get(noun.lower_) for noun in nouns)
    return any(entry is not None and preposition.lower_ in entry and other not in entry for entry in known)


@predicate("word", "phrase")
def governed(c: Change, kind: str = "any") -> Slots | None:
    """A word on the left, or the governor, takes the preposition that is right here."""
    words_now = [t for t in c.c_tokens if t.tag_ in ("IN", "TO", "RP")]
    if len(words_now) != 1 or len(c.c_tokens) > 1:
        return None
    preposition = words_now[0]
    near = [c.after[i] for i in range(c.c[0] - 1, max(-1, c.c[0] - 2), -1)]
    head = preposition.head
    candidates = near + ([head] if head.i < preposition.i and preposition.i - head.i <= 5 else [])
    if near and near[0].tag_ in ("RP", "IN") and near[0].head.i < near[0].i:
        candidates.append(near[0].head)
    if head.dep_ == "pobj" and head.head.lower_ == "of" and head.head.head.i < preposition.i:
        candidates.append(head.head.head)  # "The effect of light on plants"
    for word in candidates:
        table = _takes(word, preposition.lower_)
        if {c.was, preposition.lower_} <= _PLACES and (_names_time(preposition) or _decides(preposition, c.was)):
            continue  # "The traffic is terrible at rush hour": the time or place decides, and not the adjective.
        if word.tag_.startswith("V") and {c.was, preposition.lower_} <= _PLACES and _takes(word, c.was):
            # "Situated in" and "situated on" are both right: the noun that follows decides, and not this word.
            continue
        if table and (kind in ("any", table.split("_")[0])):
            # "Hold on to", "log in to".
            told = f"{quoted(word)} {near[0].lower_}" if near and word.i == near[0].i - 1 else quoted(word)
            return {"word": told, "phrase": f"{told} {preposition.lower_}"}
    return None


@predicate("word")
def direct_object(c: Change) -> Slots | None:
    """The verb before takes its object without the preposition that went."""
    left = c.place("left")
    if left is None or not (left.tag_.startswith("V") or left.pos_ == "VERB"):
        return None
    wrong = _table("direct_verbs").get(left.lemma_.lower())
    return {"word": quoted(left)} if wrong and c.was in wrong else None


@predicate("phrase", "noun")
def of_time_or_place(c: Change) -> Slots | None:
    """The noun after the preposition takes it: "at night", "on Monday"."""
    preposition = c.now_root
    if preposition is None or len(c.c_tokens) != 1:
        return None
    for i in range(c.c[1], min(len(c.after), c.c[1] + 4)):
        token = c.after[i]
        if token.tag_.startswith("NN") or token.tag_ == "CD":
            key = _kind_of(token, c)
            right = _table("time_and_place").get(key) or _table("time_and_place").get(token.lower_)
            follower = c.after[i + 1] if i + 1 < len(c.after) else None
            if follower is not None and follower.tag_.startswith("NN") and key not in ("month", "day", "year", "clock"):
                continue
            if right and preposition.lower_ in right:
                phrase = f"{preposition.lower_} {c.after[c.c[1] : i + 1].text}"
                return {"phrase": phrase, "noun": token.text}
            return None
        if token.tag_.startswith("V") or token.is_punct:
            return None
    return None


def _kind_of(token: Token, c: Change) -> str:
    low = token.lower_
    if low.isdigit() and len(low) == 4 and low[:2] in ("18", "19", "20"):
        return "year"
    if low.rstrip("s") in words()["days"]:
        return "day"
    if low in words()["months"]:
        following = c.after[token.i + 1] if token.i + 1 < len(c.after) else None
        return "date" if following is not None and following.text[:1].isdigit() and len(following.text) < 4 else "month"
    if c.at(token.i + 1) in ("o'clock", "pm", "am", "p.m.", "a.m.", "p.m", "a.m") or ":" in low:
        return "clock"
    return low


@predicate("name")
def before_city(c: Change) -> Slots | None:
    """A place name follows."""
    right = c.place("right")
    return {"name": right.text} if right is not None and right.tag_ == "NNP" else None


@predicate("word")
def no_preposition_before(c: Change) -> Slots | None:
    """Here, there, home, abroad and the like follow, which take none."""
    right = c.place("right")
    return {"word": right.text} if right is not None and right.lower_ in words()["bare_adverbs"] else None


@predicate("phrase")
def no_preposition_time(c: Change) -> Slots | None:
    """Next week, last year, every day and the like follow, which take none."""
    right, then = c.place("right"), c.place("right2")
    if right is None or right.lower_ not in (
        "next",
        "last",
        "this",
        "every",
        "each",
        "that",
        "tomorrow",
        "yesterday",
        "tonight",
        "soon",
        "nowadays",
    ):
        return None
    if right.lower_ in ("tomorrow", "yesterday", "tonight", "soon", "nowadays"):
        return {"phrase": right.lower_}
    if then is None or then.lemma_.lower() not in words()["time_units"]:
        return None
    return {"phrase": f"{right.lower_} {then.text}"}


@predicate("phrase")
def length_of_time(c: Change) -> Slots | None:
    """A length of time follows: "three years", "a long time"."""
    tokens = c.after[c.c[1] : c.c[1] + 5]
    if len(tokens) > 1 and tokens[0].lower_ in ("too", "so", "very") and tokens[1].lower_ == "long":
        return {"phrase": tokens[:2].text}
    for token in tokens:
        if token.lemma_.lower() in words()["time_units"] or token.lower_ in ("ages", "time"):
            phrase = c.after[c.c[1] : token.i + 1]
            number = any(
                t.tag_ == "CD" or t.lower_ in ("a", "an", "many", "several", "few", "some", "half") for t in phrase
            )
            return {"phrase": phrase.text} if number or token.lower_ == "ages" or token.tag_ == "NNS" else None
        about = token.lower_ in ("about", "around", "over", "under", "at", "least")
        if token.is_punct or token.tag_.startswith("V") or (token.tag_ in ("IN", "PRP") and not about):
            return None
    return None


@predicate("phrase")
def starting_point(c: Change) -> Slots | None:
    """A point in time follows: a year, a day, "last week", "childhood"."""
    tokens = list(c.after[c.c[1] : c.c[1] + 3])
    for k, token in enumerate(tokens):
        low = token.lower_
        known = _kind_of(token, c) in ("year", "day", "month", "clock", "date") or low in words()["starting_points"]
        if known or (low in ("last", "this") and k + 1 < len(tokens) and tokens[k + 1].lemma_ in words()["time_units"]):
            end = token.i + (2 if low in ("last", "this") else 1)
            return {"phrase": c.after[c.c[1] : end].text}
        if token.is_punct or token.tag_.startswith("V") or token.tag_ == "NNS":
            return None
    return None
