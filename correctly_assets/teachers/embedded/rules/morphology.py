"""Word form: a noun where an adjective belongs, an adjective for an adverb, a verb for its noun, comparison.

Belongs here: a word of the wrong class or degree from the right family. Does not belong here: another word altogether
(wordchoice.py), forms of verbs (verbs.py).
"""

from __future__ import annotations

from collections.abc import Iterator

from correctly_assets.teachers.embedded.rules import rule
from correctly_assets.teachers.embedded.sentence import Sentence, Slip, children, classes, inflect, is_word, load_data

_KEEP_ADVERBS = {
    "only",
    "early",
    "daily",
    "weekly",
    "monthly",
    "really",
    "hardly",
    "nearly",
    "lately",
    "friendly",
    "family",
    "likely",
    "reply",
    "apply",
    "fairly",
    "mostly",
    "simply",
    "finally",
    "actually",
    "exactly",
    "probably",
    "possibly",
    "certainly",
    "usually",
    "unfortunately",
    "currently",
    "recently",
    "especially",
    "particularly",
    "generally",
    "normally",
    "luckily",
    "sadly",
    "kindly",
    "barely",
    "entirely",
    "rarely",
    "surely",
    "directly",
    "clearly",
    "apparently",
    "shortly",
    "deadly",
    "lovely",
    "elderly",
    "supply",
}


def adjective_of(adverb: str) -> str | None:
    """``quickly`` → ``quick``, ``easily`` → ``easy``; None when the result is no adjective."""
    if not adverb.endswith("ly") or adverb in _KEEP_ADVERBS:
        return None
    options = [
        f"{adverb[:-3]}y" if adverb.endswith("ily") else "",
        f"{adverb[:-2]}le",
        adverb[:-2],
        adverb[:-4] if adverb.endswith("ally") else "",
    ]
    return next((o for o in options if o and "ADJ" in classes(o)), None)


def adverb_of(adjective: str) -> str | None:
    """``quick`` → ``quickly``, ``good`` → ``well``; None where the form is no adverb, or means something else."""
    if adjective in {
        "good",
        "fast",
        "hard",
        "late",
        "early",
        "daily",
        "friendly",
        "lovely",
        "long",
        "high",
        "low",
        "difficult",
        "likely",
        "lonely",
    }:
        return "well" if adjective == "good" else None
    if adjective.endswith("y"):
        adverb = f"{adjective[:-1]}ily"
    elif adjective.endswith("le"):
        adverb = f"{adjective[:-1]}y"
    elif adjective.endswith("ic"):
        adverb = f"{adjective}ally"
    else:
        adverb = f"{adjective}ly"
    return adverb if "ADV" in classes(adverb) and is_word(adverb) else None


@rule
def adverb_form(s: Sentence) -> Iterator[Slip]:
    """An adjective for an adverb or the other way round: "sings beautiful", "it looks beautifully"."""
    for t in s:
        if (
            t.tag_ == "RB"
            and t.dep_ == "advmod"
            and t.head.pos_ == "VERB"
            and (adjective := adjective_of(t.lower_))
            and t.i > t.head.i
        ):
            yield from s.swap(t.i, t.i, adjective, "MORPH", "adverb_needed", needs={t.head.i}, verb=t.head.text)
        elif (
            t.tag_ == "RB"
            and t.dep_ == "advmod"
            and t.head.pos_ == "ADJ"
            and (adjective := adjective_of(t.lower_))
            and t.i == t.head.i - 1
        ):
            yield from s.swap(
                t.i, t.i, adjective, "MORPH", "adverb_of_adjective", needs={t.head.i}, adjective=t.head.text, weight=0.7
            )
        elif (
            t.lower_ == "well"
            and t.dep_ == "advmod"
            and t.head.pos_ == "VERB"
            and t.i > t.head.i
            and s.lower(t.i - 1) != "as"
            and s.lower(t.i + 1) != "as"
        ):
            yield from s.swap(t.i, t.i, "good", "ADV", "well_good", needs={t.head.i}, verb=t.head.text)
        elif (
            t.tag_ == "JJ"
            and t.dep_ == "acomp"
            and t.head.lemma_ in {"be", "feel", "look", "sound", "taste", "smell", "seem", "become"}
        ):
            adverb = adverb_of(t.lower_)
            if adverb and not children(t, "xcomp", "prep", "ccomp"):
                yield from s.swap(
                    t.i, t.i, adverb, "MORPH", "adjective_after_link", needs={t.head.i}, verb=t.head.text, weight=0.5
                )
        elif (
            t.tag_ == "JJ"
            and t.dep_ == "amod"
            and t.head.tag_ in {"NN", "NNS"}
            and t.i == t.head.i - 1
            and (adverb := adverb_of(t.lower_))
        ):
            yield from s.swap(
                t.i, t.i, adverb, "MORPH", "adjective_before_noun", needs={t.head.i}, noun=t.head.text, weight=0.3
            )


def noun_from(adjective: str) -> str | None:
    """The abstract noun of an adjective, by suffix; None when the result is not a noun that the dictionary lists."""
    for ending, noun_ending in (
        ("ent", "ence"),
        ("ant", "ance"),
        ("ible", "ibility"),
        ("able", "ability"),
        ("ous", ""),
        ("ful", ""),
        ("y", "iness"),
    ):
        if adjective.endswith(ending) and len(adjective) > len(ending) + 3:
            noun = adjective[: -len(ending)] + noun_ending
            if "NOUN" in classes(noun) and is_word(noun):
                return noun
    return None


def adjective_from(noun: str) -> str | None:
    """``difference`` → ``different``, by the noun's ending; None where the result is no adjective."""
    for ending, adjective_ending in (("ence", "ent"), ("ance", "ant"), ("ness", ""), ("ity", ""), ("ion", "ive")):
        if noun.endswith(ending) and len(noun) > len(ending) + 3:
            adjective = noun[: -len(ending)] + adjective_ending
            if "ADJ" in classes(adjective) and is_word(adjective):
                return adjective
    return None


@rule
def word_class(s: Sentence) -> Iterator[Slip]:
    """A word of the wrong class from the right family: "the different between", "he advices me", "I felt sadness" for "sad"."""
    pairs = load_data("words.yaml")["morph_pairs"]
    for t in s:
        if not t.text.isalpha() or (t.text[0].isupper() and not s.opens(t.i)):
            continue
        if t.tag_ == "NN" and t.dep_ in {"nsubj", "dobj", "pobj", "attr"}:
            determined = any(c.dep_ in {"det", "poss", "amod"} for c in t.children)
            adjective = pairs["NOUN>ADJ"].get(t.lower_) or adjective_from(t.lower_)
            if adjective and (s.next(t.i) is None or s.doc[t.i + 1].tag_ not in {"NN", "NNS"}):
                yield from s.swap(t.i, t.i, adjective, "MORPH", "noun_needed", needs={t.head.i}, kind_word="adjective")
            verb = pairs["NOUN>VERB"].get(t.lower_)
            if verb and determined:
                yield from s.swap(t.i, t.i, verb, "MORPH", "noun_needed", needs={t.head.i}, kind_word="verb")
        elif t.tag_ in {"VB", "VBP"} and t.lower_ in pairs["VERB>NOUN"] and t.dep_ not in {"amod", "compound"}:
            yield from s.swap(t.i, t.i, pairs["VERB>NOUN"][t.lower_], "MORPH", "verb_needed", needs={t.head.i})
        elif t.tag_ == "JJ" and t.dep_ in {"acomp", "amod"}:
            noun = pairs["ADJ>NOUN"].get(t.lower_) or noun_from(t.lower_)
            if noun:
                yield from s.swap(
                    t.i,
                    t.i,
                    noun,
                    "MORPH",
                    "adjective_needed",
                    needs={t.head.i},
                    weight=1.0 if t.dep_ == "acomp" else 0.8,
                )


@rule
def comparison(s: Sentence) -> Iterator[Slip]:
    """A wrong comparative or superlative: "more bigger", "gooder", "most old", "more good", "tall than"."""
    for t in s:
        if t.tag_ in {"JJR", "RBR"} and t.text.isalpha() and t.lower_ not in {"more", "less", "fewer"}:
            yield from s.swap(t.i, t.i, f"more {t.lower_}", "ADJ", "double_comparative", op="U", weight=1.5)
            base = t.lemma_.lower()
            regular = t.lower_ in {inflect(base, "JJR"), inflect(base, "RBR")}
            if base != t.lower_ and regular and t.lower_ not in {"better", "worse", "further", "later", "former"}:
                yield from s.swap(t.i, t.i, f"more {base}", "ADJ:FORM", "comparative_er", word=base)
            if s.lower(t.i + 1) == "than" and base != t.lower_:
                yield from s.swap(t.i, t.i, base, "ADJ:FORM", "comparative_than", needs={t.i + 1})
            wrongs = {"better": ("gooder", "more good"), "worse": ("badder", "worser", "more bad")}.get(t.lower_)
            if wrongs:
                yield from s.swap(t.i, t.i, wrongs, "ADJ:FORM", "comparative_irregular")
        elif t.tag_ == "JJS" and t.text.isalpha() and t.lower_ not in {"most", "least"}:
            base = t.lemma_.lower()
            if base not in {t.lower_, "good", "bad", "late", "last"}:
                yield from s.swap(t.i, t.i, (f"most {base}", f"most {t.lower_}"), "ADJ:FORM", "superlative")
            else:
                yield from s.swap(t.i, t.i, f"most {t.lower_}", "ADJ", "double_superlative", op="U")
        elif t.lower_ == "more" and t.head.tag_ in {"JJ", "RB"} and t.head.i == t.i + 1 and s.lower(t.i + 2) == "than":
            yield from s.drop(t.i, "ADJ", "more_missing", needs={t.head.i, t.i + 2}, word=t.head.text)
            if t.head.tag_ == "JJ":
                yield from s.swap(t.i, t.i, "most", "ADJ", "more_most", needs={t.head.i, t.i + 2}, weight=0.5)
        elif t.lower_ == "most" and t.head.tag_ == "JJ" and t.head.i == t.i + 1 and s.lower(t.i - 1) in {"the", "'s"}:
            yield from s.swap(t.i, t.i, "more", "ADJ", "most_more", needs={t.head.i}, weight=0.6)
        elif (
            t.lower_ in {"much", "far", "even"}
            and t.head.tag_ in {"JJR", "RBR"}
            and t.i == t.head.i - 1
            and t.head.lower_ not in {"more"}
        ):
            yield from s.swap(t.i, t.i, "very", "ADV", "very_comparative", needs={t.head.i}, word=t.head.text)
        elif t.lower_ == "too" and t.dep_ == "advmod" and t.head.tag_ == "JJ" and t.i == t.head.i - 1:
            yield from s.swap(
                t.i, t.i, "too much", "ADV", "too_much", op="U", needs={t.head.i}, word=t.head.text, weight=0.7
            )
