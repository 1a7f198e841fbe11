"""Articles, demonstratives and quantifiers: left out, added, or the wrong one.

Belongs here: which determiner a noun takes, and whether it takes one. Does not belong here: the noun's own number
(nouns.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from correctly_assets.teachers.embedded.rules import rule
from correctly_assets.teachers.embedded.sentence import Sentence, Slip, classes, load_data

if TYPE_CHECKING:
    from spacy.tokens import Token

_KEPT_BARE = {
    "school",
    "church",
    "hospital",
    "university",
    "college",
    "prison",
    "bed",
    "work",
    "home",
    "town",
    "sea",
    "class",
}
_SEASONS = {"summer", "winter", "spring", "autumn", "fall", "future", "way", "time", "moment"}
_VOWELS = tuple("aeiou")
_TWO_FORMS = {
    "an": {"hour", "honest", "honour", "honor", "heir"},
    "a": {
        "university",
        "useful",
        "user",
        "unit",
        "union",
        "one",
        "European",
        "uniform",
        "unique",
        "usual",
        "used",
        "universal",
        "euro",
    },
}
_DEMONSTRATIVES = {"this": "these", "these": "this", "that": "those", "those": "that"}


def _words(name: str) -> frozenset[str]:
    return frozenset(load_data("words.yaml")[name])


def countable(noun: Token) -> bool:
    """Whether a bare singular of this noun needs an article, as far as the tables tell."""
    lemma = noun.lemma_.lower()
    if noun.tag_ != "NN" or lemma in _words("mass") or not noun.text.isalpha():
        return False
    return not lemma.endswith(
        ("ness", "ity", "ism", "ing", "ment", "ship", "ance", "ence", "tion", "sion", "ture", "cy", "ics", "age")
    )


def _only_dets(noun: Token, det: Token) -> bool:
    return not any(c.dep_ in {"det", "predet", "poss"} and c.i != det.i for c in noun.children)


@rule
def article_missing(s: Sentence) -> Iterator[Slip]:
    """An article left out before a noun that needs one: "I bought car", "she is best player"."""
    for t in s:
        if t.lower_ not in {"a", "an", "the"} or t.dep_ != "det" or t.head.i <= t.i:
            continue
        noun = t.head
        if s.lower(t.i + 1) in {
            "few",
            "little",
            "lot",
            "bit",
            "more",
            "less",
            "other",
            "most",
            "number",
            "while",
            "couple",
        }:
            continue
        before = s.lower(t.i - 1)
        fixed = noun.lower_ in _KEPT_BARE | _SEASONS or before in {
            "all",
            "both",
            "half",
            "such",
            "what",
            "many",
            "quite",
            "rather",
            "play",
        }
        if fixed or not _only_dets(noun, t) or noun.head.dep_ == "punct":
            continue
        if (
            t.lower_ != "the"
            and noun.tag_ == "NN"
            and (countable(noun) or any(c.dep_ == "amod" for c in noun.children))
        ):
            if noun.lemma_ in _words("mass"):
                continue
            yield from s.drop(t.i, "DET", "article_missing_a", needs={noun.i}, noun=noun.text, article=t.lower_)
        elif t.lower_ == "the":
            special = [
                c
                for c in noun.children
                if c.tag_ in {"JJS"}
                or c.lower_ in {"same", "first", "second", "third", "last", "only", "whole", "right", "wrong", "next"}
            ]
            after_noun = any((c.dep_ in {"prep"} and c.lower_ == "of") or c.dep_ == "relcl" for c in noun.children)
            if special and special[0].lower_ not in {"last", "next", "first"}:
                yield from s.drop(
                    t.i, "DET", "article_missing_special", needs={special[0].i, noun.i}, word=special[0].text
                )
            elif countable(noun) and noun.ent_type_ == "":
                yield from s.drop(t.i, "DET", "article_missing_the", needs={noun.i}, noun=noun.text, weight=1.3)
            elif after_noun and noun.tag_ in {"NN", "NNS"}:
                yield from s.drop(t.i, "DET", "article_missing_the", needs={noun.i}, noun=noun.text, weight=0.6)


@rule
def article_extra(s: Sentence) -> Iterator[Slip]:
    """An article where none belongs: "an advice", "the life is hard", "have the breakfast", "the my book"."""
    for t in s:
        first = min((c.i for c in t.subtree if c.i <= t.i and (c.head.i == t.i or c.i == t.i)), default=t.i)
        bare = t.i == first or all(c.dep_ == "amod" for c in t.children if c.i < t.i)
        previous = s.lower(first - 1)
        if t.dep_ in {"compound", "amod", "npadvmod"} and t.lower_ not in {"week", "month", "year", "night"}:
            continue
        if (
            t.tag_ in {"NN", "NNP"}
            and bare
            and t.lemma_ in _words("never_a")
            and not any(c.dep_ in {"det", "poss", "nummod"} for c in t.children)
        ):
            if previous in {"some", "any", "much", "more", "no", "of", "the", "a", "less", "little", "enough", "all"}:
                continue
            article = "an" if s.lower(first).startswith(_VOWELS) else "a"
            if t.dep_ in {"dobj", "attr", "pobj", "conj"}:
                yield from s.add(first, article, "DET", "article_extra_a", needs={t.i}, noun=t.text)
        plain = not any(c.dep_ in {"det", "poss", "nummod", "prep", "relcl", "acl"} for c in t.children)
        if t.tag_ == "NN" and t.text in _words("generic") and first == t.i and plain and not list(t.lefts):
            if previous in {
                "the",
                "a",
                "some",
                "any",
                "no",
                "much",
                "more",
                "of",
                "'s",
                "little",
                "enough",
                "all",
                "for",
            }:
                continue
            if t.dep_ in {"nsubj", "dobj", "pobj"} and (
                s.next(t.i) is None or s.doc[t.i + 1].tag_ not in {"NN", "NNS", "HYPH"}
            ):
                yield from s.add(t.i, "the", "DET", "article_extra_general", needs={t.head.i}, noun=t.text)
        if (
            t.lower_ in _words("meals")
            and t.head.lemma_ in {"have", "eat", "cook", "make", "skip"}
            and t.dep_ == "dobj"
            and not list(t.lefts)
        ):
            yield from s.add(t.i, ("the", "a"), "DET", "article_extra_meal", noun=t.text)
        if (
            t.tag_ == "NNP"
            and t.dep_ in {"nsubj", "dobj", "pobj"}
            and not list(t.lefts)
            and t.text.isalpha()
            and s.next(t.i) is not None
        ):
            if (t.head.tag_ in {"IN", "TO"} and t.head.lower_ not in {"in", "to", "from", "with"}) or s.doc[
                t.i + 1
            ].tag_ in {"NNP", "POS", "NN", "NNS"}:
                continue
            if (
                t.i > 0
                and t.text not in {"Internet", "Mum", "Dad", "Mom"}
                and len(t.text) > 2
                and t.text != t.text.upper()
            ):
                yield from s.add(t.i, "the", "DET", "article_extra_name", name=t.text, weight=0.25)
        if t.tag_ == "PRP$" and t.dep_ == "poss" and previous not in {"all", "both", "half"}:
            yield from s.add(t.i, "the", "DET", "article_extra_possessive", word=t.lower_, weight=0.4)
        if (
            (
                t.lower_ in {"next", "last"}
                and t.head.lower_ in {"week", "month", "year", "night", "summer", "winter", "spring"}
                and t.head.i == t.i + 1
            )
            and not any(c.dep_ in {"det", "poss"} for c in t.head.children)
            and t.head.dep_ == "npadvmod"
        ):
            yield from s.add(t.i, "the", "DET", "article_extra_time", phrase=f"{t.lower_} {t.head.text}")
        if (
            t.lower_ in {"go", "went", "going", "come", "came", "get", "got"}
            and s.lower(t.i + 1) == "to"
            and s.lower(t.i + 2) in {"bed", "work", "school"}
        ):
            place = s.doc[t.i + 2]
            if s.lower(t.i + 3) in {"", ".", ",", "at", "by", "on", "every", "and", "?"}:
                yield from s.add(place.i, "the", "DET", "article_extra_place", noun=place.text)
        if (
            t.lower_ == "most"
            and t.head.tag_ == "NNS"
            and t.dep_ == "amod"
            and previous not in {"the", "of"}
            and t.head.i == t.i + 1
        ):
            yield from s.add(t.i, "the", "DET", "article_extra_most", noun=t.head.text)


@rule
def article_form(s: Sentence) -> Iterator[Slip]:
    """The wrong article: "a apple", "an university", "a same day", "there is the cat" of a new thing."""
    for t in s:
        follower = s.next(t.i)
        if follower is None or t.dep_ != "det" or not follower.text.isalpha():
            continue
        if t.lower_ in {"a", "an"}:
            yield from s.swap(
                t.i,
                t.i,
                "an" if t.lower_ == "a" else "a",
                "DET",
                "article_form",
                needs={follower.i},
                follower=follower.text,
                kind="a vowel" if t.lower_ == "an" else "a consonant",
                kkind="모음" if t.lower_ == "an" else "자음",
            )
        noun = t.head
        if (
            t.lower_ == "the"
            and any(c.tag_ == "JJS" or c.lower_ in {"same", "only"} for c in noun.children)
            and noun.tag_ == "NN"
        ):
            word = next(c for c in noun.children if c.tag_ == "JJS" or c.lower_ in {"same", "only"})
            yield from s.swap(
                t.i,
                t.i,
                "an" if s.lower(t.i + 1).startswith(_VOWELS) else "a",
                "DET",
                "article_special",
                needs={word.i},
                word=word.text,
            )
        if (
            t.lower_ in {"a", "an"}
            and noun.dep_ == "attr"
            and noun.head.lemma_ == "be"
            and s.lower(noun.head.i - 1) == "there"
        ):
            yield from s.swap(t.i, t.i, "the", "DET", "article_new", needs={noun.i, noun.head.i}, noun=noun.text)


@rule
def demonstrative(s: Sentence) -> Iterator[Slip]:
    """A demonstrative of the other number: "this books", "those house"."""
    for t in s:
        if t.lower_ in _DEMONSTRATIVES and t.dep_ == "det" and t.head.tag_ in {"NN", "NNS"} and t.head.i > t.i:
            yield from s.swap(
                t.i,
                t.i,
                _DEMONSTRATIVES[t.lower_],
                "DET",
                "demonstrative",
                needs={t.head.i, t.head.head.i},
                noun=t.head.text,
            )


@rule
def quantity(s: Sentence) -> Iterator[Slip]:
    """A quantifier that does not go with its noun: "much people", "many information", "another ideas"."""
    for t in s:
        noun = t.head
        degree = s.lower(t.i - 1)
        if t.lower_ == "many" and noun.tag_ == "NNS" and t.dep_ == "amod":
            yield from s.swap(t.i, t.i, "much", "ADJ", "much_many", needs={noun.i}, noun=noun.text)
        elif t.lower_ == "much" and noun.tag_ == "NN" and t.dep_ == "amod" and degree in {"so", "too", "how", "very"}:
            yield from s.swap(t.i, t.i, "many", "ADJ", "much_many_mass", needs={noun.i}, noun=noun.text)
        elif t.lower_ in {"few", "fewer"} and noun.tag_ == "NNS" and t.dep_ == "amod":
            yield from s.swap(
                t.i, t.i, "little" if t.lower_ == "few" else "less", "ADJ", "few_little", needs={noun.i}, noun=noun.text
            )
        elif t.lower_ == "little" and noun.lower_ in _words("mass") and t.dep_ == "amod":
            yield from s.swap(t.i, t.i, "few", "ADJ", "little_few", needs={noun.i}, noun=noun.text)
        elif t.lower_ == "another" and t.dep_ == "det" and noun.tag_ == "NN":
            yield from s.swap(t.i, t.i, ("other", "an other"), "DET", "another", needs={noun.i}, noun=noun.text)
        elif t.lower_ == "other" and t.dep_ == "amod" and noun.tag_ == "NNS":
            yield from s.swap(t.i, t.i, ("others", "another"), "DET", "other", needs={noun.i}, noun=noun.text)
        elif t.lower_ == "every" and noun.tag_ == "NN" and noun.i == t.i + 1 and noun.lower_ not in {"day", "time"}:
            yield from s.swap(t.i, t.i, "all", "DET", "every", needs={noun.i}, noun=noun.text, weight=0.5)
        elif t.lower_ == "any" and t.dep_ == "det" and any(c.dep_ == "neg" for a in t.ancestors for c in a.children):
            negative = next(c for a in t.ancestors for c in a.children if c.dep_ == "neg")
            yield from s.swap(
                t.i, t.i, ("some", "no"), "DET", "any_negative", needs={negative.i, noun.i}, word=negative.text
            )


@rule
def possessive_adjective(s: Sentence) -> Iterator[Slip]:
    """Another pronoun in the place of a possessive: "they house", "mine book"."""
    wrong = {
        "their": ("they", "theirs"),
        "your": ("you", "yours"),
        "our": ("ours", "us"),
        "her": ("she", "hers"),
        "my": ("mine", "me"),
        "his": ("he", "him"),
    }
    for t in s:
        if t.lower_ in wrong and t.tag_ == "PRP$" and "NOUN" in classes(t.head.lemma_.lower()):
            yield from s.swap(
                t.i,
                t.i,
                wrong[t.lower_],
                "PRON",
                "possessive_adjective",
                needs={t.head.i},
                noun=t.head.text,
                weight=0.5,
            )
