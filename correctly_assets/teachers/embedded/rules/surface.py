"""What is seen and not heard: capitals, spacing, apostrophes.

Belongs here: what changes letters' case, spaces and apostrophes alone. Does not belong here: punctuation
(punctuation.py), spelling (spelling.py).
"""

from __future__ import annotations

from collections.abc import Iterator

from correctly_assets.teachers.embedded.rules import rule
from correctly_assets.teachers.embedded.sentence import Sentence, Slip, load_data

_CONTRACTIONS = {"n't", "'s", "'re", "'m", "'ve", "'ll", "'d"}


@rule
def capitals(s: Sentence) -> Iterator[Slip]:
    """A small letter where a capital belongs, or the other way round: "i think", "on monday", "my Book"."""
    words = set(load_data("words.yaml")["capital_words"])
    for t in s:
        if t.text == "I" and t.tag_ == "PRP":
            yield from _case(s, t.i, "i", "capital_i", 0.6)
        elif t.text in words and t.text not in {"I"}:
            yield from _case(s, t.i, t.lower_, "capital_name", 1.5)
        elif s.opens(t.i) and t.text != "I" and t.text[1:] == t.text[1:].lower() and t.text.isalpha():
            yield from _case(s, t.i, t.lower_, "capital_start", 0.7)
        elif (
            t.tag_ == "NN"
            and t.is_lower
            and t.is_alpha
            and len(t.text) > 4
            and t.dep_ in {"dobj", "pobj", "nsubj"}
            and not s.opens(t.i)
        ):
            yield from _case(s, t.i, t.text.capitalize(), "capital_common", 0.08)
        elif t.tag_ == "NNP" and t.text.istitle() and t.is_alpha and not s.opens(t.i) and len(t.text) > 2:
            yield from _case(s, t.i, t.lower_, "capital_name", 0.5)


def _case(s: Sentence, i: int, wrong: str, name: str, weight: float) -> Iterator[Slip]:
    token = s.doc[i]
    if wrong != token.text:
        yield Slip(
            name,
            "ORTH",
            "R",
            token.idx,
            token.idx + len(token.text),
            (wrong,),
            frozenset({i}),
            frozenset(),
            (("word", token.text),),
            weight,
        )


@rule
def spacing(s: Sentence) -> Iterator[Slip]:
    """Spaces and apostrophes: "alot", "every day" for "everyday", "word ,word", "dont"."""
    words = load_data("words.yaml")
    for t in s:
        if t.lower_ in words["splits"]:
            yield from s.swap(t.i, t.i, words["splits"][t.lower_], "ORTH", "one_word", weight=1.0)
        following = s.next(t.i)
        if following is None:
            continue
        pair = f"{t.lower_} {following.lower_}"
        if pair in words["joins"]:
            yield from s.swap(t.i, t.i + 1, words["joins"][pair], "ORTH", "two_words", weight=2.0)
        if t.text == "," and t.whitespace_ and s.doc[t.i - 1].is_alpha and following.is_alpha:
            end = t.idx + 2
            yield Slip("space_after", "ORTH", "R", t.idx, end, (",",), frozenset({t.i}), frozenset(), (), 0.25)
            yield Slip("space_before", "ORTH", "R", t.idx, end, (" , ", " ,"), frozenset({t.i}), frozenset(), (), 0.2)
        if t.text == "ca" and following.text == "n't":
            yield from s.swap(t.i, t.i + 1, ("cant", "can't to"), "CONTR", "apostrophe", word="can't", weight=1.0)
        elif (
            following.text.lower().replace("’", "'") in _CONTRACTIONS
            and following.tag_ != "POS"
            and not t.whitespace_
            and t.is_alpha
        ):
            joined = t.text + following.text.replace("’", "").replace("'", "")
            if joined.lower() not in {
                "were",
                "well",
                "ill",
                "shell",
                "id",
                "wed",
                "shed",
                "hell",
                "its",
                "hed",
                "whos",
                "lets",
            }:
                yield from s.swap(t.i, t.i + 1, joined, "CONTR", "apostrophe", word=t.text + following.text, weight=0.8)


@rule
def apostrophe_extra(s: Sentence) -> Iterator[Slip]:
    """An apostrophe in a plural: "two book's"."""
    for t in s:
        if (
            t.tag_ == "NNS"
            and t.lower_.endswith("s")
            and t.is_alpha
            and t.is_lower
            and t.lemma_ != t.lower_
            and len(t.text) > 4
        ):
            following = s.next(t.i)
            if following is not None and (
                following.is_punct or following.tag_ in {"VBP", "VBD", "IN", "CC", "TO", "RB"}
            ):
                yield from s.swap(
                    t.i, t.i, f"{t.text[:-1]}'s", "NOUN:POSS", "apostrophe_plural", noun=t.text, weight=0.25
                )
