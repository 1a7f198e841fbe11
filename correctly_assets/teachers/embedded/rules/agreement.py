"""Subject and verb: agreement, the missing copula, the missing subject.

Belongs here: agreement of verb and subject, and either of them left out. Does not belong here: other forms of the
verb (verbs.py), tense (tenses.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from correctly_assets.teachers.embedded.rules import rule
from correctly_assets.teachers.embedded.sentence import Sentence, Slip, classes, inflect, load_data, subject_of

if TYPE_CHECKING:
    from spacy.tokens import Token

_BE = {"is": "are", "are": "is", "was": "were", "were": "was", "has": "have", "have": "has", "does": "do", "do": "does"}
_PLURAL_PRONOUNS = {"we", "they", "you", "these", "those"}
_SINGULAR_PRONOUNS = {
    "he",
    "she",
    "it",
    "this",
    "that",
    "everyone",
    "everybody",
    "someone",
    "nobody",
    "everything",
    "something",
    "nothing",
    "anyone",
}


def number_of(subject: Token) -> str | None:
    """``singular``, ``plural``, or None where a learner's choice may be right (collectives, names of teams, "you")."""
    low = subject.lower_
    if low in load_data("words.yaml")["collective"] and low not in {"people", "police"}:
        return None
    if any(c.dep_ == "conj" for c in subject.children):
        linked = any(c.dep_ == "cc" and c.lower_ == "and" for c in subject.children)
        return "plural" if linked else None
    if low in _PLURAL_PRONOUNS or subject.tag_ == "NNS" or low in {"people", "police"}:
        return "plural"
    if low in _SINGULAR_PRONOUNS or subject.tag_ in {"NN", "NNP", "VBG"}:
        return "singular"
    return None


def agreeing(s: Sentence) -> Iterator[tuple[Token, Token, str]]:
    """(finite verb, the noun or pronoun it agrees with, number) of every clause where that is certain."""
    for t in s:
        if t.tag_ not in {"VBZ", "VBP", "VBD"}:
            continue
        main = t.head if t.dep_ in {"aux", "auxpass"} else t
        subject = subject_of(main)
        if subject is None and main.dep_ == "conj" and main.head.pos_ in {"VERB", "AUX"} and t is main:
            subject = subject_of(main.head)
        if subject is None or any(c.dep_ in {"aux", "auxpass"} and c.i < t.i for c in main.children):
            continue
        if any(
            (c.dep_ == "mark" and c.lower_ in {"if", "as"}) or (c.dep_ == "aux" and c.tag_ == "MD")
            for c in main.children
        ):
            continue
        if subject.lower_ in {"who", "which", "that"} and main.dep_ == "relcl":
            subject = main.head
        if s.lower(t.i - 1) in {"wish", "than"} or subject.lower_ in {"there", "what", "who", "which"}:
            continue
        number = number_of(subject)
        if number:
            yield t, subject, number


@rule
def agreement(s: Sentence) -> Iterator[Slip]:
    """A verb that does not agree with its subject: "she go", "there is many", "he don't"."""
    for verb, subject, number in agreeing(s):
        low = verb.lower_
        if low in _BE:
            if (low in {"is", "was", "has", "does"}) != (number == "singular"):
                continue
            wrong = _BE[low]
        elif verb.tag_ == "VBZ" and number == "singular":
            wrong = verb.lemma_ if verb.text.isalpha() else None
        elif verb.tag_ == "VBP" and number == "plural":
            wrong = inflect(verb.lemma_, "VBZ") if verb.lower_ == verb.lemma_ and "VERB" in classes(low) else None
        else:
            continue
        if not wrong or wrong == low or low in {"'s", "'re", "'m"}:
            continue
        name = f"agreement_{number}" if subject.tag_ != "PRP" else "agreement_pronoun"
        weight = 0.5 if subject.lower_ == "you" else 0.3 if low in {"is", "are"} and subject.tag_ == "PRP" else 1.0
        yield from s.swap(
            verb.i, verb.i, wrong, "VERB:SVA", name, needs={subject.i}, subject=subject.text, weight=weight
        )
    for t in s:
        if t.lower_ == "there" and t.dep_ == "expl" and t.head.lower_ in {"are", "were", "is", "was"}:
            nouns = [c for c in t.head.children if c.dep_ == "attr"]
            if (
                nouns
                and t.head.i > t.i
                and (nouns[0].tag_ == "NNS") == (t.head.lower_ in {"are", "were"})
                and nouns[0].tag_ in {"NN", "NNS"}
            ):
                if nouns[0].lower_ in load_data("words.yaml")["collective"]:
                    continue
                yield from s.swap(
                    t.head.i,
                    t.head.i,
                    _BE[t.head.lower_],
                    "VERB:SVA",
                    "agreement_there",
                    needs={nouns[0].i},
                    subject=nouns[0].text,
                )
        if t.lower_ in {"don't", "doesn't"} or (
            t.lower_ in {"do", "does"} and t.dep_ == "aux" and s.lower(t.i + 1) in {"n't", "not"}
        ):
            subject = subject_of(t.head)
            if (
                subject is not None
                and number_of(subject) == "singular"
                and t.lower_ == "does"
                and s.lower(t.i + 1) == "n't"
            ):
                yield from s.swap(
                    t.i, t.i + 1, "don't", "VERB:SVA", "agreement_singular", needs={subject.i}, subject=subject.text
                )


@rule
def copula_missing(s: Sentence) -> Iterator[Slip]:
    """A form of be left out: "she tired", "he going home", "it made of wood"."""
    for t in s:
        if t.lower_ not in {"is", "are", "am", "was", "were", "'s", "'re", "'m", "be", "been"} or t.tag_ == "POS":
            continue
        complement = [c for c in t.children if c.dep_ in {"acomp", "attr"} and c.i > t.i]
        if t.dep_ in {"aux", "auxpass"}:
            if (
                t.head.i - t.i <= 2
                and t.head.tag_ == "VBG"
                and t.lower_ not in {"be", "been"}
                and subject_of(t.head) is not None
            ):
                if t.head.dep_ in {"ROOT", "conj", "advcl", "ccomp"}:
                    yield from s.drop(
                        t.i, "VERB:TENSE", "auxiliary_missing", needs={t.head.i}, verb=t.head.text, weight=0.5
                    )
            elif t.head.i - t.i <= 2 and t.head.tag_ == "VBN" and t.lower_ in {"is", "are", "was", "were", "be"}:
                yield from s.drop(t.i, "VERB:TENSE", "passive_missing", needs={t.head.i}, verb=t.head.text, weight=0.6)
        elif complement and complement[0].i - t.i <= 4 and t.lower_ != "been":
            subject = subject_of(t)
            if t.lower_ == "be" or (
                subject is not None and subject.i < t.i and subject.dep_ == "nsubj" and s.lower(t.i + 1) != "n't"
            ):
                yield from s.drop(
                    t.i, "VERB", "copula_missing", needs={complement[0].i}, word=complement[0].text, weight=0.6
                )


@rule
def copula_extra(s: Sentence) -> Iterator[Slip]:
    """ "I am agree", "it is depends": a form of be before a simple verb."""
    for t in s:
        if (
            t.tag_ not in {"VBP", "VBZ", "VBD"}
            or t.pos_ != "VERB"
            or s.lower(t.i - 1) not in {"i", "he", "she", "it", "we", "they", "you"}
        ):
            continue
        pronoun = s.lower(t.i - 1)
        past = t.tag_ == "VBD"
        be = (
            ("was" if pronoun in {"i", "he", "she", "it"} else "were")
            if past
            else {"i": "am", "he": "is", "she": "is", "it": "is"}.get(pronoun, "are")
        )
        # "was decided" would be a good passive; only verbs without one are safe in the past.
        if past and t.lemma_ not in {"happen", "agree", "go", "come", "arrive", "like", "want", "live", "work", "die"}:
            continue
        if t.lower_ not in {"put", "set", "cut", "hit"}:
            yield from s.add(
                t.i,
                be,
                "VERB",
                "be_extra",
                needs={t.i - 1},
                verb=t.text,
                be=be,
                weight=1.5 if t.lemma_ == "agree" else 0.25,
            )


@rule
def subject_missing(s: Sentence) -> Iterator[Slip]:
    """ "It" or "there" left out before its verb: "is raining", "I think is late"."""
    for t in s:
        if (
            t.dep_ in {"nsubj", "expl"}
            and t.lower_ in {"it", "there"}
            and t.head.i - t.i <= 2
            and t.head.tag_ in {"VBZ", "VBD", "VBP", "VB"}
        ):
            if s.lower(t.i + 1) not in {
                "is",
                "was",
                "are",
                "were",
                "will",
                "would",
                "seems",
                "makes",
                "takes",
                "has",
                "can",
            }:
                continue
            if t.i == 0 and s.lower(t.i + 1) in {"was", "will"}:
                continue  # a diary's short form
            following = s.doc[t.i + 1]
            yield from s.drop(t.i, "PRON", "subject_missing", needs={following.i}, word=t.lower_)
