"""Articles and other determiners: which noun, and whether it is counted.

Belongs here: nouns with their determiners. Does not belong here: number alone (forms.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from correctly_assets.correction.points.change import Change
from correctly_assets.correction.points.conditions import Slots, predicate, quoted, quoted_noun, word_set
from correctly_assets.language.sounds import vowel_sound

if TYPE_CHECKING:
    from spacy.tokens import Token

_ABSTRACT = ("ness", "ism", "ship", "ics")
_THE_ADJECTIVES = {"same", "only", "whole", "very", "right", "wrong", "following", "main", "entire"}
_ORDINALS = {
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "last",
    "next",
}


def countable(noun: Token) -> bool:
    """Whether a bare singular of this noun needs an article, as far as lists tell."""
    lemma = noun.lemma_.lower()
    return noun.tag_ == "NN" and lemma not in word_set("mass") and not lemma.endswith(_ABSTRACT) and noun.text.isalpha()


@predicate("noun")
def counted_noun(c: Change) -> Slots | None:
    """The singular noun that follows can be counted."""
    noun = c.place("noun")
    return {"noun": quoted_noun(noun)} if noun is not None and noun.i >= c.c[0] and countable(noun) else None


@predicate("noun")
def singular_noun(c: Change) -> Slots | None:
    """The noun that follows is a singular common noun."""
    noun = c.place("noun")
    return {"noun": quoted_noun(noun)} if noun is not None and noun.i >= c.c[0] and noun.tag_ == "NN" else None


@predicate("noun")
def plural_noun(c: Change) -> Slots | None:
    """The noun that the change belongs to, or that follows it, is plural."""
    noun = c.place("noun")
    if noun is None or noun.tag_ != "NNS" or noun.lower_ in word_set("singular_in_s"):
        return None
    return {"noun": quoted_noun(noun)}


@predicate("noun")
def mass_noun(c: Change) -> Slots | None:
    """The noun that the change belongs to cannot be counted in any usual meaning."""
    noun = c.place("noun")
    return {"noun": quoted_noun(noun)} if noun is not None and noun.lower_ in word_set("never_plural") else None


@predicate("noun")
def mass_follows(c: Change) -> Slots | None:
    """The first noun behind the change is a singular one."""
    noun = next((t for t in c.after[c.c[1] : c.c[1] + 4] if t.tag_.startswith("NN") and t.dep_ != "compound"), None)
    return {"noun": quoted_noun(noun)} if noun is not None and noun.tag_ == "NN" else None


@predicate("noun", "detail")
def singled_out(c: Change) -> Slots | None:
    """The noun after "the" is followed by an "of" phrase or a relative clause that says which one."""
    noun = c.place("noun")
    if noun is None or noun.i < c.c[0]:
        return None
    for child in noun.children:
        if child.i > noun.i and ((child.dep_ == "prep" and child.lower_ == "of") or child.dep_ in ("relcl", "acl")):
            words = c.after[noun.i + 1 : min(len(c.after), noun.i + 4)]
            end = next((t.i for t in words if t.is_punct), noun.i + 4)
            detail = c.after[noun.i + 1 : min(end, noun.i + 4)].text
            if detail:
                return {"noun": quoted_noun(noun), "detail": detail}
    return None


@predicate("word")
def only_one(c: Change, kind: str) -> Slots | None:
    """Between article and noun stands a word that singles one out: a superlative, an ordinal, same or only."""
    for token in c.after[c.c[1] : c.c[1] + 3]:
        low = token.lower_
        if kind == "superlative" and (token.tag_ in ("JJS", "RBS") or low == "most"):
            return {"word": low}
        if kind == "ordinal" and low in _ORDINALS:
            return {"word": low}
        if kind == "same" and low in _THE_ADJECTIVES:
            return {"word": low}
        if token.tag_.startswith("NN"):
            return None
    return None


@predicate("noun")
def bare_general(c: Change) -> Slots | None:
    """A plural or mass noun that nothing singles out, after "the" went."""
    noun = c.place("noun")
    if noun is None or noun.i < c.c[0] or noun.i - c.c[0] > 2 or noun.ent_type_ or noun.tag_ not in ("NN", "NNS"):
        return None
    if any(child.i > noun.i and child.dep_ in ("prep", "relcl", "acl") for child in noun.children):
        return None
    if noun.tag_ == "NN" and noun.lower_ not in word_set("mass"):
        return None
    if any(child.dep_ in ("poss", "det", "nummod") for child in noun.children):
        return None
    return {"noun": quoted_noun(noun)}


@predicate("name")
def bare_name(c: Change) -> Slots | None:
    """The name that follows takes no article."""
    noun = c.place("right")
    if noun is None or noun.tag_ != "NNP" or not noun.text[:1].isupper():
        return None
    words = [t for t in c.after[noun.i : noun.i + 3] if t.tag_ == "NNP"]
    return {"name": c.after[noun.i : noun.i + len(words)].text}


@predicate("word")
def determined(c: Change) -> Slots | None:
    """The noun has another determiner already: my, this, 's."""
    for token in c.after[c.c[1] : c.c[1] + 3]:
        if token.text in ".,;:!?":
            return None
        if token.lower_ == "that" and token.dep_ != "det":
            return None
        if token.tag_ == "PRP$" or token.lower_ in (
            "this",
            "that",
            "these",
            "those",
            "every",
            "each",
            "some",
            "any",
            "another",
        ):
            return {"word": token.lower_}
        if token.tag_ == "POS":
            return {"word": c.after[token.i - 1].text + token.text}
        named = token.tag_.startswith("NN") and c.at(token.i + 1) not in ("'s", "’s", "'", "’")
        if token.tag_.startswith("V") or token.tag_ == "IN" or (named and token.dep_ != "compound"):
            return None
    return None


@predicate("follower")
def sound(c: Change, kind: str) -> Slots | None:
    """The word that follows begins with a vowel or a consonant sound."""
    follower = c.place("right")
    if follower is None or not follower.text[:1].isalnum():
        return None
    return {"follower": quoted(follower)} if vowel_sound(follower.text) == (kind == "vowel") else None


@predicate("noun")
def first_mention(c: Change) -> Slots | None:
    """After "there is", something new."""
    noun = c.place("noun")
    if noun is None or noun.i < c.c[0]:
        return None
    left = [c.at(c.c[0] - k) for k in (1, 2, 3)]
    return {"noun": quoted_noun(noun)} if "there" in left and any(w in word_set("be") for w in left) else None


@predicate("noun", "word")
def said_before(c: Change) -> Slots | None:
    """The same noun was named earlier in the text."""
    noun = c.place("noun")
    if noun is None or noun.i < c.c[0]:
        return None
    if any(t.lemma_ == noun.lemma_ and t.tag_.startswith("NN") for t in c.after[: c.c[0]]):
        return {"noun": noun.text, "word": noun.text}
    return None
