"""Verb forms: infinitive, gerund, participle, and what follows auxiliaries.

Belongs here: the form that an auxiliary, a verb or a preposition asks for. Does not belong here: tense (tenses.py),
agreement (agreement.py).
"""

from __future__ import annotations

from collections.abc import Iterator

from correctly_assets.teachers.embedded.rules import rule
from correctly_assets.teachers.embedded.sentence import Sentence, Slip, children, inflect, load_data, subject_of

_MODALS = {"can", "could", "must", "should", "will", "would", "may", "might", "ca", "wo", "'ll"}


def _third(lemma: str) -> str:
    return inflect(lemma, "VBZ") or f"{lemma}s"


@rule
def after_modal(s: Sentence) -> Iterator[Slip]:
    """Anything but the bare form after a modal: "can goes", "must to go", "should went"."""
    for t in s:
        modal = next((c for c in t.children if c.dep_ == "aux" and c.lower_ in _MODALS and c.i < t.i), None)
        if (
            t.tag_ != "VB"
            or modal is None
            or not t.text.isalpha()
            or any(c.lemma_ == "have" for c in children(t, "aux"))
        ):
            continue
        past, gerund = inflect(t.lemma_, "VBD"), inflect(t.lemma_, "VBG")
        shown = {"ca": "can't", "wo": "won't", "'ll": "will"}.get(modal.lower_, modal.lower_)
        if t.lemma_ == "be":
            continue
        wrongs = [w for w in (_third(t.lemma_), past, gerund) if w and w != t.lower_]
        yield from s.swap(t.i, t.i, wrongs, "VERB:FORM", "after_modal", needs={modal.i}, modal=shown)
        if t.i == modal.i + 1 and modal.lower_ in {"can", "could", "must", "should", "may", "might", "would"}:
            yield from s.add(t.i, "to", "VERB:FORM", "modal_to", needs={modal.i}, modal=shown, weight=1.0)


@rule
def after_do(s: Sentence) -> Iterator[Slip]:
    """Anything but the bare form after do: "did went", "does likes"."""
    for t in s:
        do = next((c for c in children(t, "aux") if c.lemma_ == "do" and c.i < t.i), None)
        if t.tag_ not in {"VB", "VBP"} or do is None or not t.text.isalpha():
            continue
        past, third, gerund = inflect(t.lemma_, "VBD"), _third(t.lemma_), inflect(t.lemma_, "VBG")
        wrongs = [past] if do.lower_ == "did" else [third] if do.lower_ == "does" else [gerund]
        yield from s.swap(
            t.i, t.i, [w for w in wrongs if w and w != t.lower_], "VERB:FORM", "after_do", needs={do.i}, do=do.text
        )


@rule
def participle(s: Sentence) -> Iterator[Slip]:
    """Another form for a participle: "have went", "was write", "is go" for "is going"."""
    for t in s:
        if not t.text.isalpha():
            continue
        have = next((c for c in children(t, "aux") if c.lemma_ in {"have", "'ve", "'s"} and c.i < t.i), None)
        passive = next((c for c in children(t, "auxpass") if c.i < t.i), None)
        past = inflect(t.lemma_, "VBD")
        if (
            t.tag_ == "VBN"
            and have is not None
            and passive is None
            and have.tag_ != "VBG"
            and t.lemma_ not in {"be", "have"}
        ):
            wrongs = [w for w in (t.lemma_, past) if w and w != t.lower_]
            yield from s.swap(t.i, t.i, wrongs, "VERB:FORM", "participle", needs={have.i}, have=have.text)
        elif t.tag_ == "VBN" and passive is not None and passive.lemma_ == "be":
            wrongs = [w for w in (t.lemma_, past) if w and w != t.lower_]
            yield from s.swap(t.i, t.i, wrongs, "VERB:FORM", "passive", needs={passive.i}, be=passive.text)
        be = next((c for c in children(t, "aux") if c.lemma_ == "be" and c.i < t.i), None)
        if t.tag_ == "VBG" and be is not None and t.dep_ != "amod" and be.tag_ != "VBN" and t.lemma_ != "go":
            yield from s.swap(t.i, t.i, t.lemma_, "VERB:FORM", "progressive", needs={be.i}, be=be.text, weight=0.8)


@rule
def complement(s: Sentence) -> Iterator[Slip]:
    """Gerund or infinitive after a verb."""
    words = load_data("words.yaml")
    for t in s:
        head = t.head
        if t.dep_ not in {"xcomp", "ccomp"} or head.i >= t.i or not t.text.isalpha() or t.i - head.i > 6:
            continue
        to = next((c for c in children(t, "aux") if c.tag_ == "TO" and c.i == t.i - 1), None)
        gerund = inflect(t.lemma_, "VBG")
        if t.tag_ == "VBG" and head.lemma_ in words["gerund_verbs"] and t.i == head.i + 1:
            wrongs = [f"to {t.lemma_}", t.lemma_] if head.lemma_ not in {"mind", "keep"} else [f"to {t.lemma_}"]
            yield from s.swap(t.i, t.i, wrongs, "VERB:FORM", "gerund", needs={head.i}, verb=head.text, weight=2)
        elif (
            t.tag_ == "VB"
            and to is not None
            and head.lemma_ in words["infinitive_verbs"]
            and to.i == head.i + 1
            and gerund
        ):
            ambiguous = head.lemma_ in {"try", "need", "forget", "have"}
            if not ambiguous:
                yield from s.swap(
                    to.i, t.i, gerund, "VERB:FORM", "infinitive", needs={head.i}, verb=head.text, weight=0.8
                )
            yield from s.drop(to.i, "VERB:FORM", "to_missing", needs={head.i, t.i}, verb=head.text)
        elif t.tag_ == "VB" and to is not None and head.lemma_ in words["object_infinitive"]:
            subject = subject_of(t) or next(iter(children(head, "dobj")), None)
            if subject is not None and head.i < subject.i < to.i:
                if head.lemma_ != "help":
                    yield from s.drop(to.i, "VERB:FORM", "to_missing", needs={head.i, t.i}, verb=head.text)
                if (
                    head.lemma_ in {"want", "expect"}
                    and subject.lower_ in {"you", "it", "me", "him", "her", "them", "us"}
                    and subject.i == head.i + 1
                ):
                    nominative = {"me": "I", "him": "he", "her": "she", "them": "they", "us": "we"}.get(
                        subject.lower_, subject.lower_
                    )
                    verb = t.lemma_ if nominative in {"you", "I", "they", "we"} else _third(t.lemma_)
                    yield from s.swap(
                        subject.i,
                        t.i,
                        f"that {nominative} {verb}",
                        "OTHER",
                        "want_that",
                        needs={head.i},
                        verb=head.lemma_,
                        weight=2,
                    )
        elif t.tag_ == "VB" and head.lemma_ in {"make", "let"} and subject_of(t) is not None and to is None:
            yield from s.add(t.i, "to", "VERB:FORM", "bare_infinitive", needs={head.i}, verb=head.text, weight=2)


@rule
def after_preposition(s: Sentence) -> Iterator[Slip]:
    """Anything but the -ing form after a preposition: "interested in learn", "before to go"."""
    for t in s:
        if t.tag_ == "VBG" and t.dep_ == "pcomp" and t.i == t.head.i + 1 and t.text.isalpha():
            wrongs = [t.lemma_] if t.head.lower_ in {"like", "than", "to"} else [t.lemma_, f"to {t.lemma_}"]
            yield from s.swap(
                t.i, t.i, wrongs, "VERB:FORM", "after_preposition", needs={t.head.i}, word=t.head.text, weight=1.5
            )


@rule
def purpose(s: Sentence) -> Iterator[Slip]:
    """A purpose, or what follows an adjective, in another form than "to" and the bare form: "for to learn", "easy understand"."""
    for t in s:
        if t.tag_ != "VB" or t.dep_ not in {"advcl", "xcomp", "acl", "ROOT", "ccomp"} or not t.text.isalpha():
            continue
        to = next((c for c in children(t, "aux") if c.tag_ == "TO" and c.i == t.i - 1), None)
        if to is None or s.lower(to.i - 1) in {"order", "so"}:
            continue
        gerund = inflect(t.lemma_, "VBG")
        before = s.doc[to.i - 1] if to.i else None
        if t.dep_ == "advcl" and gerund and (before is None or before.tag_ in {"NN", "NNS", "NNP", "RB", "PRP"}):
            yield from s.swap(
                to.i,
                t.i,
                (f"for {t.lemma_}", f"for {gerund}", f"for to {t.lemma_}"),
                "VERB:FORM",
                "purpose",
                needs={t.head.i},
                weight=1.2,
            )
        elif before is not None and before.tag_ == "JJ" and before.i == to.i - 1 and t.dep_ == "xcomp":
            yield from s.drop(
                to.i, "VERB:FORM", "to_missing_adjective", needs={before.i, t.i}, word=before.text, weight=0.8
            )
            if gerund and before.lower_ in {
                "important",
                "necessary",
                "able",
                "ready",
                "happy",
                "difficult",
                "easy",
                "possible",
                "impossible",
                "willing",
                "likely",
            }:
                yield from s.swap(
                    to.i,
                    t.i,
                    (gerund, f"to {gerund}"),
                    "VERB:FORM",
                    "infinitive_adjective",
                    needs={before.i},
                    word=before.text,
                    weight=0.5,
                )


@rule
def after_to(s: Sentence) -> Iterator[Slip]:
    """A finite form after the infinitive's "to"."""
    for t in s:
        to = next((c for c in children(t, "aux") if c.tag_ == "TO" and c.i == t.i - 1), None)
        if t.tag_ != "VB" or to is None or not t.text.isalpha() or t.lemma_ == "be":
            continue
        past = inflect(t.lemma_, "VBD")
        governs_past = any(a.tag_ == "VBD" for a in t.ancestors)
        wrongs = [past] if governs_past and past and past != t.lower_ else [_third(t.lemma_)]
        yield from s.swap(t.i, t.i, wrongs, "VERB:FORM", "after_to", needs={to.i}, weight=0.5)


@rule
def participial_adjective(s: Sentence) -> Iterator[Slip]:
    """The -ed adjective for the -ing one or the other way round: "I am boring", "an excited film"."""
    table = load_data("words.yaml")["ing_adjectives"]
    for t in s:
        wrong = table.get(t.lower_)
        if wrong is None:
            continue
        if t.lower_.endswith("ed"):
            person = (
                subject_of(t.head)
                if t.dep_ in {"acomp", "ROOT"} or t.head.lemma_ in {"be", "get", "feel", "look"}
                else subject_of(t)
            )
            if (
                person is not None
                and person.tag_ in {"PRP", "NNS", "NN", "NNP"}
                and person.lower_ not in {"it", "that", "this"}
            ):
                yield from s.swap(
                    t.i, t.i, wrong, "ADJ", "adjective_ed", needs={person.i}, subject=person.text, weight=1.5
                )
        elif (t.dep_ == "amod" and t.head.tag_ in {"NN", "NNS"}) or (
            t.dep_ == "acomp"
            and (x := subject_of(t.head)) is not None
            and x.lower_ not in {"i", "you", "he", "she", "we", "they"}
        ):
            yield from s.swap(t.i, t.i, wrong, "ADJ", "adjective_ing", needs={t.head.i}, weight=1.5)


@rule
def over_regular(s: Sentence) -> Iterator[Slip]:
    """A regular ending on an irregular verb: "goed", "writed"."""
    table = load_data("words.yaml")["over_regular"]
    for t in s:
        if t.lower_ in table and t.tag_ in {"VBD", "VBN"} and t.text.isalpha():
            yield from s.swap(t.i, t.i, table[t.lower_], "VERB:INFL", "over_regular", verb=t.lemma_)
