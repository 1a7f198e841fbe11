"""Tense: only where something else in the sentence (an adverbial, another verb) tells which tense is right.

Belongs here: which tense the rest of the sentence asks for. Does not belong here: the form that an auxiliary asks for
(verbs.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from correctly_assets.teachers.embedded.rules import rule
from correctly_assets.teachers.embedded.rules.agreement import number_of
from correctly_assets.teachers.embedded.sentence import Sentence, Slip, children, inflect, load_data, subject_of

if TYPE_CHECKING:
    from spacy.tokens import Token

_PAST_WORDS = {"yesterday", "ago", "earlier"}
_UNITS = {
    "week",
    "month",
    "year",
    "night",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "summer",
    "winter",
    "spring",
    "autumn",
    "time",
}


def past_marker(s: Sentence) -> Token | None:
    """A word that puts the sentence in the past: "yesterday", "ago", "last week", "in 2010"."""
    for t in s:
        if t.lower_ in _PAST_WORDS and t.lower_ != "earlier":
            return t
        if t.lower_ == "last" and s.lower(t.i + 1) in _UNITS:
            return t
        if t.lower_ == "in" and len(s.lower(t.i + 1)) == 4 and s.lower(t.i + 1).isdigit() and s.lower(t.i + 1) < "2020":
            return s.doc[t.i + 1]
    return None


def present(verb: Token, subject: Token | None) -> str | None:
    """The verb's present form for its subject."""
    low = subject.lower_ if subject is not None else ""
    singular = low in {"he", "she", "it"} or (subject is not None and number_of(subject) == "singular")
    if verb.lemma_ == "be":
        return "am" if low == "i" else "is" if singular else "are"
    return inflect(verb.lemma_, "VBZ") if singular else verb.lemma_


@rule
def past_needed(s: Sentence) -> Iterator[Slip]:
    """A present where an adverbial or another verb tells of the past: "yesterday I go", "he came and sees"."""
    marker = past_marker(s)
    pasts = [t for t in s if t.tag_ == "VBD" and t.text.isalpha()]
    for t in pasts:
        main = t.head if t.dep_ in {"aux", "auxpass"} else t
        subject = subject_of(main) or (subject_of(main.head) if main.dep_ == "conj" else None)
        wrong = present(t, subject)
        if (
            not wrong
            or wrong == t.lower_
            or (t.lemma_ in {"have", "do"} and t.dep_ in {"aux"})
            or s.lower(t.i + 1) == "n't"
        ):
            continue
        if marker is not None and main.dep_ in {"ROOT", "conj"}:
            base = t.lemma_ if t.lemma_ != "be" else wrong
            yield from s.swap(
                t.i,
                t.i,
                (wrong, base),
                "VERB:TENSE",
                "past_marker",
                needs={marker.i} | ({subject.i} if subject is not None else set()),
                marker=marker.text,
                weight=1.6,
            )
        else:
            other = next((o for o in pasts if o.i != t.i and o.i in linked(main) and o.lemma_ not in {"have"}), None)
            if other is not None and t.pos_ in {"VERB", "AUX"}:
                base = t.lemma_ if t.lemma_ != "be" else wrong
                yield from s.swap(
                    t.i,
                    t.i,
                    (wrong, base),
                    "VERB:TENSE",
                    "tense_shift",
                    needs={other.i} | ({subject.i} if subject is not None else set()),
                    other=other.text,
                    weight=1.0,
                )


def linked(verb: Token) -> set[int]:
    """The verbs that must share this one's time: coordinated with it, or of the clause it depends on."""
    out = {c.i for c in verb.children if c.dep_ == "conj"}
    if verb.dep_ == "conj":
        out |= {verb.head.i} | {c.i for c in verb.head.children if c.dep_ == "conj"}
    if verb.dep_ == "advcl" and any(
        c.lower_ in {"when", "while", "because", "before", "after", "until"} for c in verb.children
    ):
        out.add(verb.head.i)
    out |= {
        c.i
        for c in verb.children
        if c.dep_ == "advcl"
        and any(x.lower_ in {"when", "while", "because", "before", "after", "until"} for x in c.children)
    }
    return out


@rule
def perfect(s: Sentence) -> Iterator[Slip]:
    """The present perfect, given up for the present; or used beside a finished time."""
    for t in s:
        if t.lower_ in {"since", "for"} and t.dep_ in {"prep", "mark"}:
            verb = t.head if t.dep_ == "prep" else t.head.head
            have = next((c for c in children(verb, "aux") if c.lower_ in {"have", "has"}), None)
            subject = subject_of(verb)
            if have is None or subject is None or verb.i - have.i > 2:
                continue
            if t.lower_ == "for" and not any(c.lemma_ in {"year", "month", "week", "day", "hour"} for c in t.children):
                continue
            been = any(c.lower_ == "been" for c in children(verb, "aux", "auxpass"))
            between = [c for c in s.doc[have.i + 1 : verb.i] if c.lower_ != "been"]
            if between or verb.tag_ not in {"VBN", "VBG"}:
                continue
            singular = number_of(subject) == "singular"
            be = "am" if subject.lower_ == "i" else "is" if singular else "are"
            wrong = f"{be} {verb.text}" if been and verb.tag_ == "VBG" else present(verb, subject) if not been else None
            if wrong:
                yield from s.swap(
                    have.i, verb.i, wrong, "VERB:TENSE", "perfect_since", needs={t.i}, word=t.text, weight=3
                )
    marker = past_marker(s)
    if marker is None or s.lower(marker.i - 1) == "since":
        return
    for t in s:
        if t.tag_ == "VBD" and t.pos_ == "VERB" and t.dep_ == "ROOT" and t.text.isalpha():
            subject, form = subject_of(t), inflect(t.lemma_, "VBN")
            if subject is not None and form and subject.i < t.i and not children(t, "aux", "auxpass", "neg"):
                have = "has" if number_of(subject) == "singular" else "have"
                yield from s.swap(
                    t.i,
                    t.i,
                    f"{have} {form}",
                    "VERB:TENSE",
                    "perfect_finished",
                    needs={marker.i, subject.i},
                    marker=marker.text,
                )


@rule
def conditional(s: Sentence) -> Iterator[Slip]:
    """ "Will" or "would" in an if clause, or a main clause that does not go with it: "if it will rain", "if I would know"."""
    for t in s:
        mark = next(
            (c for c in children(t, "mark", "advmod") if c.lower_ in {"if", "when", "unless", "until", "as"}), None
        )
        if t.dep_ != "advcl" or mark is None:
            continue
        main = t.head
        modal = next(
            (
                c
                for c in children(main, "aux")
                if c.lower_ in {"will", "would", "'ll", "'d", "wo", "can", "could", "might"}
            ),
            None,
        )
        if modal is None:
            continue
        verb = next((c for c in children(t, "aux") if c.tag_ in {"VBZ", "VBP", "VBD"}), t)
        if modal.lower_ in {"will", "'ll", "wo", "can"} and verb is t and t.tag_ in {"VBZ", "VBP"} and t.text.isalpha():
            yield from s.swap(
                t.i,
                t.i,
                f"will {t.lemma_}",
                "VERB:TENSE",
                "if_will",
                op="U",
                needs={mark.i, modal.i},
                word=mark.text,
                weight=3,
            )
        if modal.lower_ in {"would", "'d", "could", "might"} and mark.lower_ in {"if", "unless"}:
            if verb is t and t.tag_ == "VBD" and t.text.isalpha():
                yield from s.swap(
                    t.i, t.i, f"would {t.lemma_}", "VERB:TENSE", "if_would", needs={mark.i, modal.i}, weight=3
                )
            if modal.lower_ == "would" and t.tag_ == "VBD":
                yield from s.swap(modal.i, modal.i, "will", "VERB:TENSE", "would_will", needs={t.i}, weight=1.5)
            had = next((c for c in children(t, "aux") if c.lower_ == "had"), None)
            if had is not None and t.tag_ == "VBN":
                yield from s.swap(
                    had.i, had.i, ("would have", "have"), "VERB:TENSE", "if_had", needs={mark.i, t.i, modal.i}, weight=3
                )


@rule
def aspect(s: Sentence) -> Iterator[Slip]:
    """A progressive of a stative verb, a missing "will" or "have": "I am knowing", "I come tomorrow", "I never been"."""
    stative = load_data("words.yaml")["stative"]
    for t in s:
        subject = subject_of(t)
        if (
            t.lemma_ in stative
            and t.tag_ in {"VBP", "VBZ"}
            and subject is not None
            and t.i == subject.i + 1
            and t.text.isalpha()
        ):
            gerund = inflect(t.lemma_, "VBG")
            if (
                gerund
                and subject.lower_ in {"i", "we", "they", "he", "she", "it", "you"}
                and not children(t, "aux", "neg")
            ):
                be = "am" if subject.lower_ == "i" else "is" if subject.lower_ in {"he", "she", "it"} else "are"
                yield from s.swap(
                    t.i, t.i, f"{be} {gerund}", "VERB:TENSE", "stative", needs={subject.i}, verb=t.lemma_, weight=1.0
                )
    for t in s:
        if t.lower_ in {"tomorrow", "soon"} or (t.lower_ == "next" and s.lower(t.i + 1) in _UNITS):
            verb = t.head if t.lower_ != "next" else t.head.head
            will = next((c for c in children(verb, "aux") if c.lower_ == "will"), None)
            if will is not None and verb.tag_ == "VB" and verb.i == will.i + 1:
                yield from s.drop(will.i, "VERB:TENSE", "will_missing", needs={verb.i, t.i}, marker=t.text, weight=1.2)
        if (
            t.lower_ in {"been", "never"}
            and s.lower(t.i - 1) in {"have", "has", "'ve"}
            and s.doc[t.i - 1].dep_ in {"aux", "ROOT"}
        ):
            yield from s.drop(t.i - 1, "VERB:TENSE", "have_missing", needs={t.i}, weight=1.0)
