"""Nouns: number, uncountables, irregular plurals, possession.

Belongs here: a noun's number and possessive form. Does not belong here: its article (determiners.py), its misspelling
(spelling.py).
"""

from __future__ import annotations

from collections.abc import Iterator

from correctly_assets.teachers.embedded.rules import rule
from correctly_assets.teachers.embedded.rules.determiners import countable
from correctly_assets.teachers.embedded.sentence import Sentence, Slip, classes, inflect, load_data, subject_of

_PLURAL_WORDS = {
    "many",
    "several",
    "few",
    "these",
    "those",
    "both",
    "various",
    "all",
    "most",
    "other",
    "different",
    "numerous",
    "some",
    "such",
}
_SINGULAR_WORDS = {"a", "an", "each", "every", "another", "this", "that", "one", "either", "neither"}
_IDIOMS = {
    "thing",
    "way",
    "time",
    "thank",
    "congratulation",
    "glass",
    "trouser",
    "good",
    "cloth",
    "custom",
    "regard",
    "sport",
    "scissors",
    "jean",
    "mean",
    "news",
    "series",
    "outskirt",
    "surrounding",
    "saving",
    "earning",
    "headquarters",
    "people",
    "hundred",
    "thousand",
}


@rule
def singular_for_plural(s: Sentence) -> Iterator[Slip]:
    """A singular where something in the sentence asks for a plural: "two book", "many friend", "one of my friend"."""
    for t in s:
        if t.tag_ != "NNS" or not t.text.isalpha() or t.lemma_ == t.lower_ or t.dep_ == "compound":
            continue
        lemma = t.lemma_.lower()
        if lemma in _IDIOMS or (
            not t.lower_.endswith("s") and t.lower_ not in {"children", "men", "women", "feet", "teeth"}
        ):
            continue
        if lemma in load_data("words.yaml")["mass"] or (t.text[0].isupper() and not s.opens(t.i)):
            continue
        if "NOUN" not in classes(lemma):
            continue
        wrong = lemma
        lefts = [c for c in t.children if c.i < t.i]
        number = next((c for c in lefts if c.dep_ == "nummod" and c.lower_ not in {"one", "1"}), None)
        marker = next((c for c in lefts if c.lower_ in _PLURAL_WORDS), None)
        determined = any(c.dep_ in {"det", "poss"} and c.lower_ not in _PLURAL_WORDS for c in lefts)
        one_of = (
            t.dep_ == "pobj"
            and t.head.lower_ == "of"
            and t.head.head.lower_
            in {
                "one",
                "some",
                "many",
                "most",
                "all",
                "lot",
                "lots",
                "kinds",
                "couple",
                "number",
                "two",
                "three",
                "few",
                "variety",
            }
        )
        verb = t.head if t.dep_ in {"nsubj", "nsubjpass"} else None
        agrees = verb is not None and (
            verb.tag_ == "VBP"
            or verb.lower_ in {"are", "were", "have"}
            or any(c.lower_ in {"are", "were", "have", "do"} for c in verb.children if c.dep_ in {"aux", "auxpass"})
        )
        if number is not None:
            yield from s.swap(
                t.i, t.i, wrong, "NOUN:NUM", "plural_number", needs={number.i}, word=number.text, weight=1.2
            )
        elif marker is not None:
            yield from s.swap(
                t.i, t.i, wrong, "NOUN:NUM", "plural_marker", needs={marker.i}, word=marker.text, weight=1.5
            )
        elif one_of:
            yield from s.swap(
                t.i,
                t.i,
                wrong,
                "NOUN:NUM",
                "plural_one_of",
                needs={t.head.i, t.head.head.i},
                phrase=f"{t.head.head.text} of",
                weight=1.5,
            )
        elif agrees and verb is not None:
            yield from s.swap(
                t.i,
                t.i,
                wrong,
                "NOUN:NUM",
                "plural_verb",
                needs={verb.i} | {c.i for c in lefts},
                verb=verb.text,
                weight=0.7,
            )
        elif not determined:
            yield from s.swap(
                t.i, t.i, wrong, "NOUN:NUM", "plural_general", needs={c.i for c in lefts}, noun=t.text, weight=0.8
            )


@rule
def plural_for_singular(s: Sentence) -> Iterator[Slip]:
    """A plural after a word that asks for a singular, or of a noun that has none: "every days", "informations"."""
    for t in s:
        if t.tag_ != "NN" or not t.text.isalpha() or t.dep_ in {"compound", "amod"} or t.text[0].isupper():
            continue
        marker = next(
            (c for c in t.children if c.lower_ in _SINGULAR_WORDS and c.i < t.i and c.dep_ in {"det", "nummod"}), None
        )
        plural = inflect(t.lemma_, "NNS")
        if marker is not None and countable(t) and plural and plural != t.lower_:
            if t.lower_ not in {"lot", "bit", "few", "couple", "number", "while", "day", "way"}:
                yield from s.swap(
                    t.i, t.i, plural, "NOUN:NUM", "singular_marker", needs={marker.i}, word=marker.text, weight=0.5
                )
        elif t.lower_ in load_data("words.yaml")["never_plural"] and t.lower_ not in {"news", "staff"}:
            wrong = plural if plural and plural != t.lower_ else f"{t.lower_}s"
            determiners = {c.i for c in t.children if c.dep_ in {"det", "poss", "amod"}}
            yield from s.swap(t.i, t.i, wrong, "NOUN:NUM", "uncountable", needs=determiners, noun=t.text, weight=1.6)


@rule
def irregular_plural(s: Sentence) -> Iterator[Slip]:
    """A regular ending on an irregular plural: "childs", "womens"."""
    table = load_data("words.yaml")["irregular_plurals"]
    for t in s:
        if t.lower_ in table and t.tag_ in {"NNS", "NN"}:
            yield from s.swap(t.i, t.i, table[t.lower_], "NOUN:INFL", "irregular_plural", noun=t.text)
            if t.lower_ == "people" and (t.dep_ == "nsubj" and subject_of(t.head) is t):
                yield from s.swap(t.i, t.i, "persons", "NOUN", "people", needs={t.head.i}, weight=0.2)


@rule
def possession(s: Sentence) -> Iterator[Slip]:
    """A possessive without its apostrophe or its s: "my brother car", "the boys's room"."""
    for t in s:
        if t.tag_ != "POS" or t.i == 0:
            continue
        owner = s.doc[t.i - 1]
        if t.head.i != owner.i and owner.tag_ not in {"NN", "NNS", "NNP"}:
            continue
        whole = owner.text + t.text
        if t.text.lower() in {"'s", "’s"}:
            wrongs = [owner.text, f"{owner.text}s"] if owner.tag_ != "NNP" else [f"{owner.text}s", owner.text]
            if owner.text.endswith("s"):
                wrongs = [owner.text]
            yield from s.swap(owner.i, t.i, wrongs, "NOUN:POSS", "possession", owner=whole)
        elif owner.text.endswith("s"):
            yield from s.swap(
                owner.i,
                t.i,
                [owner.text, f"{owner.text[:-1]}'s"],
                "NOUN:POSS",
                "possession_plural",
                owner=whole,
                weight=0.7,
            )
