"""Words that join clauses: doubled, missing, or of the wrong kind.

Belongs here: conjunctions, and negation that is doubled or lacks its auxiliary. Does not belong here: relative
pronouns (pronouns.py).
"""

from __future__ import annotations

from collections.abc import Iterator

from correctly_assets.teachers.embedded.rules import rule
from correctly_assets.teachers.embedded.sentence import Sentence, Slip, children, subject_of


@rule
def doubled_conjunction(s: Sentence) -> Iterator[Slip]:
    """ "Although it rained, but we went": two links for one relation."""
    for t in s:
        if (
            t.dep_ != "mark"
            or t.lower_ not in {"although", "though", "because", "since", "as", "if"}
            or not s.opens(t.i)
        ):
            continue
        clause = t.head
        if clause.dep_ != "advcl" or clause.i > clause.head.i:
            continue
        comma = next((c for c in s.doc[clause.i : clause.head.i] if c.text == ","), None)
        subject = subject_of(clause.head)
        if (
            comma is None
            or subject is None
            or comma.i >= len(s.doc) - 1
            or any(c.tag_ == "CC" for c in s.doc[comma.i : subject.i])
        ):
            continue
        word = {
            "although": ("but", "but", "however"),
            "though": ("but",),
            "because": ("so",),
            "since": ("so",),
            "as": ("so",),
            "if": ("then", "so"),
        }[t.lower_]
        if t.lower_ != "if":
            yield from s.add(comma.i + 1, word, "CONJ", "doubled_conjunction", needs={t.i}, word=t.text, weight=2)


@rule
def conjunction_missing(s: Sentence) -> Iterator[Slip]:
    """ "And" or "that" left out, or one link in the place of another: "despite it rained", "during I slept", "looks as rain"."""
    for t in s:
        if t.lower_ == "and" and t.dep_ == "cc" and s.lower(t.i - 1) != "," and t.i > 0:
            head = t.head
            conjunct = next((c for c in head.children if c.dep_ == "conj" and c.i > t.i), None)
            if (
                conjunct is not None
                and head.tag_ in {"NN", "NNS", "VB"}
                and conjunct.tag_ == head.tag_
                and conjunct.i - t.i <= 2
            ):
                yield from s.drop(t.i, "CONJ", "and_missing", needs={head.i, conjunct.i})
        if t.lower_ in {"although", "though"} and t.dep_ == "mark" and s.lower(t.i - 1) not in {"even", "as"}:
            yield from s.swap(
                t.i, t.i, ("despite", "in spite"), "CONJ", "although_despite", needs={t.head.i}, weight=0.7
            )
        if t.lower_ == "while" and t.dep_ in {"mark", "advmod"} and subject_of(t.head) is not None:
            yield from s.swap(t.i, t.i, "during", "CONJ", "while_during", needs={t.head.i})
        if (
            t.lower_ == "as"
            and t.dep_ == "prep"
            and s.lower(t.i - 1) not in {"such", "same", "well", "as", "soon"}
            and t.head.lemma_ in {"work", "use", "serve", "start"}
        ):
            yield from s.swap(t.i, t.i, "like", "PREP", "as_like", needs={t.head.i})
        if t.lower_ == "like" and t.dep_ == "prep" and t.head.lemma_ in {"look", "sound", "feel", "taste", "smell"}:
            yield from s.swap(t.i, t.i, "as", "PREP", "like_as", needs={t.head.i}, verb=t.head.text)
        if (
            t.lower_ == "that"
            and t.dep_ == "mark"
            and s.lower(t.i - 1) in {"so", "fact", "sure", "now"}
            and s.lower(t.i - 1) == "fact"
        ):
            yield from s.drop(t.i, "CONJ", "that_missing", needs={t.i - 1})
        if t.lower_ == "but" and t.dep_ == "cc" and s.lower(t.i - 1) == "," and subject_of(t.head) is not None:
            yield from (
                s.add(t.i + 1, "however", "ADV", "but_however", needs={t.i}, weight=0.2) if t.i + 1 < len(s.doc) else ()
            )


@rule
def negation(s: Sentence) -> Iterator[Slip]:
    """ "He no like", "I not know", "don't never"."""
    for t in s:
        do = next((c for c in children(t, "aux") if c.lemma_ == "do" and c.i < t.i), None)
        neg = next((c for c in children(t, "neg") if c.lower_ in {"n't", "not"}), None)
        if (
            do is not None
            and neg is not None
            and neg.i == do.i + 1
            and t.i == neg.i + 1
            and do.lower_ in {"do", "does"}
            and not s.opens(do.i)
        ):
            yield from s.swap(
                do.i, neg.i, ("not", "no"), "VERB:TENSE", "do_missing", op="R", needs={t.i}, verb=t.text, weight=0.8
            )
        if (
            t.lower_ == "never"
            and t.dep_ == "neg"
            and t.head.tag_ in {"VBP", "VBZ", "VBD"}
            and t.i == t.head.i - 1
            and t.head.lemma_ != "be"
            and s.lower(t.i - 1) in {"i", "we", "they", "he", "she"}
        ):
            wrong = "don't never" if s.lower(t.i - 1) in {"i", "we", "they"} else "doesn't never"
            if t.head.tag_ in {"VBP"}:
                yield from s.swap(t.i, t.i, wrong, "VERB:TENSE", "never_double", op="U", needs={t.head.i})
