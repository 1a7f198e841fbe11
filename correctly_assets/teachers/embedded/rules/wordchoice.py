"""Word choice: verbs, nouns and particles taken for another, and small constructions (as … as, so, such).

Belongs here: a word taken for another that means something like it. Does not belong here: fixed phrases (phrases.py),
a word's class (morphology.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from correctly_assets.teachers.embedded.rules import rule
from correctly_assets.teachers.embedded.sentence import Sentence, Slip, children, inflect, load_data, subject_of

if TYPE_CHECKING:
    from spacy.tokens import Token


def _governs(verb: Token, needs: str, objects: list[str] | None) -> Token | None:
    """What the verb governs in the way that is asked for: the object, the clause, the preposition; itself for none."""
    if needs == "none":
        return None if children(verb, "dobj", "ccomp", "xcomp", "acomp", "prt", "dative") else verb
    if needs in {"dobj", "ccomp", "attr"}:
        found = next((c for c in children(verb, needs) if c.i > verb.i), None)
    else:
        found = next((c for c in children(verb, "prep") if c.lower_ == needs and c.i == verb.i + 1), None)
    if found is None or (needs == "dobj" and children(verb, "prt")):
        return None
    if objects is not None and found.lower_ not in objects and found.lemma_.lower() not in objects:
        return None
    return None if needs == "ccomp" and children(verb, "dobj", "dative") else found


@rule
def verb_choice(s: Sentence) -> Iterator[Slip]:
    """A verb taken for another that governs the same words: "say me", "make a party", by data/wordchoice.yaml."""
    table = load_data("wordchoice.yaml")["verbs"]
    for t in s:
        if (
            not t.tag_.startswith("V")
            or t.dep_ in {"aux", "auxpass", "amod"}
            or (t.text[0].isupper() and not s.opens(t.i))
        ):
            continue
        for entry in table.get(t.lemma_.lower(), ()):
            governed = _governs(t, entry["needs"], entry.get("objects"))
            if governed is None or children(t, "auxpass"):
                continue
            tag = "VB" if t.tag_ == "VBP" else t.tag_
            wrongs = []
            for wrong in entry["wrong"]:
                first, _, rest = wrong.partition(" ")
                form = first if tag == "VB" else inflect(first, tag)
                if form and form != t.lower_:
                    wrongs.append(f"{form} {rest}".strip())
            yield from s.swap(
                t.i,
                t.i,
                wrongs,
                "VERB",
                "verb_choice",
                needs={governed.i},
                verb=t.text,
                weight=entry.get("weight", 1.0),
            )


@rule
def noun_choice(s: Sentence) -> Iterator[Slip]:
    """A noun or adjective taken for another of a like meaning, by data/wordchoice.yaml."""
    data = load_data("wordchoice.yaml")
    for t in s:
        if t.tag_ in {"NN", "NNS"} and t.lower_ in data["nouns"]:
            entry = data["nouns"][t.lower_]
            if "after" not in entry or any(c.lower_ in entry["after"] for c in t.children):
                yield from s.swap(t.i, t.i, entry["wrong"], "NOUN", "noun_choice", needs={t.head.i})
        elif t.tag_ in {"JJ", "RB", "JJR"} and t.lower_ in data["adjectives"]:
            yield from s.swap(t.i, t.i, data["adjectives"][t.lower_], "ADJ", "noun_choice", needs={t.head.i})


@rule
def degree(s: Sentence) -> Iterator[Slip]:
    """Words of degree: "very like", "so" for "such", "as big than", "very much tired", "can able to"."""
    for t in s:
        follower = s.next(t.i)
        if follower is None:
            continue
        if (
            t.lower_ == "really"
            and t.dep_ == "advmod"
            and follower.lemma_ in {"like", "love", "enjoy", "want", "need", "hope"}
        ):
            yield from s.swap(t.i, t.i, "very", "ADV", "very_verb", needs={follower.i}, verb=follower.text, weight=2)
        elif (
            t.lower_ == "so"
            and t.dep_ == "advmod"
            and follower.tag_ in {"JJ", "RB"}
            and follower.lower_ not in {"much", "many", "far"}
        ):
            yield from s.swap(t.i, t.i, ("such", "such a"), "ADV", "so_such", needs={follower.i}, word=follower.text)
        elif t.lower_ == "such" and follower.lower_ in {"a", "an"}:
            yield from s.swap(t.i, follower.i, ("so", "such"), "OTHER", "such_a", needs={t.head.i}, weight=1.5)
        elif (
            t.lower_ == "as"
            and follower.tag_ in {"JJ", "RB"}
            and s.lower(t.i + 2) == "as"
            and follower.lower_ not in {"soon", "well", "long", "far"}
        ):
            yield from s.swap(
                t.i + 2,
                t.i + 2,
                ("than", "like"),
                "PREP",
                "as_as",
                needs={t.i, follower.i},
                word=follower.text,
                weight=1.5,
            )
            yield from s.swap(
                t.i, t.i, "so", "ADV", "as_as", needs={t.i + 2, follower.i}, word=follower.text, weight=0.4
            )
        elif t.lower_ == "very" and follower.tag_ == "JJ" and t.dep_ == "advmod":
            yield from s.swap(
                t.i, t.i, "very much", "ADV", "very_much", op="U", needs={follower.i}, word=follower.text, weight=0.4
            )
        elif (
            t.lower_ == "can"
            and t.dep_ == "aux"
            and t.head.tag_ == "VB"
            and t.head.i == t.i + 1
            and subject_of(t.head) is not None
        ):
            yield from s.swap(
                t.i, t.i, ("can able to", "can be able to"), "VERB", "can_able", op="U", needs={t.head.i}, weight=0.25
            )


@rule
def number_words(s: Sentence) -> Iterator[Slip]:
    """A plural of a number, or inside a compound with one: "two hundreds people", "a five-years-old boy"."""
    for t in s:
        if (
            t.lower_ in {"hundred", "thousand", "million", "billion"}
            and t.dep_ in {"compound", "nummod"}
            and s.lower(t.i - 1) not in {"a", "the", "one"}
        ):
            yield from s.swap(t.i, t.i, f"{t.lower_}s", "NOUN:NUM", "number_word", weight=1.0)
        if (
            t.lower_ in {"year", "month", "day", "week", "hour", "minute", "mile", "page", "floor"}
            and s.lower(t.i - 1) == "-"
            and s.lower(t.i - 2) not in {"one", "half"}
        ):
            yield from s.swap(t.i, t.i, f"{t.lower_}s", "NOUN:NUM", "number_compound", needs={t.i - 2}, weight=1.0)


@rule
def compound(s: Sentence) -> Iterator[Slip]:
    """ "Ticket of train" for "train ticket"."""
    for t in s:
        if (
            t.dep_ == "compound"
            and t.tag_ == "NN"
            and t.head.tag_ in {"NN", "NNS"}
            and t.head.i == t.i + 1
            and t.is_lower
            and t.head.is_lower
        ):
            if s.lower(t.i - 1) in {"-", "'s"} or any(
                c.i != t.i and c.dep_ in {"compound", "amod"} for c in t.head.children
            ):
                continue
            right = s.text[t.idx : t.head.idx + len(t.head.text)]
            yield from s.swap(
                t.i, t.head.i, f"{t.head.text} of {t.text}", "OTHER", "compound", phrase=right, weight=0.5
            )


@rule
def hyphen(s: Sentence) -> Iterator[Slip]:
    """A hyphen left out of a compound: "well known author"."""
    for t in s:
        if t.text == "-" and 0 < t.i < len(s.doc) - 1 and not t.whitespace_ and not s.doc[t.i - 1].whitespace_:
            left, right = s.doc[t.i - 1], s.doc[t.i + 1]
            if (
                left.is_alpha
                and right.is_alpha
                and left.is_lower
                and s.lower(t.i + 2) != "-"
                and s.lower(t.i - 2) != "-"
            ):
                whole = s.text[left.idx : right.idx + len(right.text)]
                yield from s.swap(
                    left.i, right.i, f"{left.text} {right.text}", "ORTH", "hyphen", phrase=whole, weight=0.6
                )
