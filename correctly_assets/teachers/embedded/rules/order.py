"""Word order: adverbs, questions inside sentences, adjectives after nouns, objects.

Belongs here: words that are right and stand in the wrong place. Does not belong here: words that are missing or too
many.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from correctly_assets.teachers.embedded.rules import rule
from correctly_assets.teachers.embedded.sentence import Sentence, Slip, children, subject_of

if TYPE_CHECKING:
    from spacy.tokens import Token

_FREQUENCY = {
    "always",
    "often",
    "never",
    "usually",
    "sometimes",
    "rarely",
    "also",
    "still",
    "just",
    "already",
    "really",
    "only",
    "seldom",
    "almost",
    "probably",
}


def _span(s: Sentence, first: int, last: int) -> str:
    return s.text[s.doc[first].idx : s.doc[last].idx + len(s.doc[last].text)]


@rule
def adverb_place(s: Sentence) -> Iterator[Slip]:
    """An adverb in the wrong place: "I go always", "he speaks well English", "she is enough old"."""
    for t in s:
        if (
            t.lower_ in _FREQUENCY
            and t.dep_ in {"advmod", "neg"}
            and t.head.pos_ in {"VERB", "AUX"}
            and not s.opens(t.i)
        ):
            verb = t.head
            aux = s.doc[t.i - 1] if t.i else None
            if verb.i == t.i + 1 and aux is not None and aux.dep_ in {"aux", "auxpass"} and aux.text.isalpha():
                if (
                    t.lower_ in {"always", "often", "never", "also", "already", "usually"}
                    and aux.i > 0
                    and not s.opens(aux.i)
                ):
                    yield from s.swap(
                        aux.i,
                        t.i,
                        f"{t.text} {aux.text}",
                        "WO",
                        "adverb_after_auxiliary",
                        needs={verb.i},
                        adverb=t.text,
                        weight=0.5,
                    )
                yield from s.swap(
                    t.i, verb.i, f"{verb.text} {t.text}", "WO", "adverb_before_verb", needs={aux.i}, adverb=t.text
                )
            elif (
                verb.i == t.i + 1
                and verb.tag_ in {"VBP", "VBZ", "VBD"}
                and verb.lemma_ != "be"
                and t.lower_ in {"always", "often", "never", "usually", "rarely", "also", "still", "seldom"}
            ):
                follower = s.next(verb.i)
                if follower is not None and not follower.is_punct:
                    yield from s.swap(
                        t.i, verb.i, f"{verb.text} {t.text}", "WO", "adverb_before_verb", adverb=t.text, weight=1.2
                    )
            elif (
                verb.lemma_ == "be"
                and t.i == verb.i + 1
                and verb.text in {"is", "are", "was", "were", "am"}
                and not s.opens(verb.i)
            ):
                yield from s.swap(
                    verb.i, t.i, f"{t.text} {verb.text}", "WO", "adverb_after_be", adverb=t.text, weight=0.8
                )
        if (
            t.lower_ in {"well", "much", "badly", "carefully", "quickly", "hard", "fluently", "slowly"}
            and t.dep_ == "advmod"
            and t.head.pos_ == "VERB"
        ):
            objects = children(t.head, "dobj")
            if objects and t.head.i < objects[0].i < t.i and s.lower(t.i - 1) not in {"very", "so", "too", "as"}:
                first, last = min(c.i for c in objects[0].subtree), max(c.i for c in objects[0].subtree)
                if first == t.head.i + 1 and last == t.i - 1 and last - first < 5:
                    yield from s.swap(
                        first,
                        t.i,
                        f"{t.text} {_span(s, first, last)}",
                        "WO",
                        "adverb_after_object",
                        needs={t.head.i},
                        adverb=t.text,
                        weight=2,
                    )
            elif objects and s.lower(t.i - 1) in {"very", "so"} and objects[0].i < t.i - 1:
                first, last = min(c.i for c in objects[0].subtree), max(c.i for c in objects[0].subtree)
                if first == t.head.i + 1 and last == t.i - 2 and last - first < 5:
                    yield from s.swap(
                        first,
                        t.i,
                        f"{s.doc[t.i - 1].text} {t.text} {_span(s, first, last)}",
                        "WO",
                        "adverb_after_object",
                        needs={t.head.i},
                        adverb=f"{s.doc[t.i - 1].text} {t.text}",
                        weight=2,
                    )
        if t.lower_ == "enough" and t.dep_ == "advmod" and t.i == t.head.i + 1 and t.head.tag_ in {"JJ", "RB"}:
            yield from s.swap(t.head.i, t.i, f"enough {t.head.text}", "WO", "enough", word=t.head.text, weight=2)


@rule
def embedded_question(s: Sentence) -> Iterator[Slip]:
    """A question's word order inside a sentence: "I know where is he", "tell me what does she want"."""
    for t in s:
        if t.dep_ != "ccomp" or t.head.i > t.i:
            continue
        subject = subject_of(t)
        question = next(
            (
                c
                for c in s.doc[t.head.i + 1 : t.i + 1]
                if c.lower_ in {"where", "what", "when", "why", "how", "who"} and c.head in {t, *t.children}
            ),
            None,
        )
        if subject is None or question is None or subject.i <= question.i or s.lower(question.i + 1) in {"to"}:
            continue
        first = min(c.i for c in subject.subtree)
        if question.i not in {first - 1} and question.lower_ != "how":
            continue
        last = max(c.i for c in subject.subtree if c.i < t.i) if subject.i < t.i else subject.i
        verb = next((c for c in children(t, "aux") if c.i == last + 1 and c.i != t.i), t if t.i == last + 1 else None)
        if verb is None or last - first > 4:
            continue
        if verb.lemma_ == "be" or verb is not t:
            if verb.text.isalpha():
                yield from s.swap(
                    first,
                    verb.i,
                    f"{verb.text} {_span(s, first, last)}",
                    "WO",
                    "embedded_question",
                    needs={question.i, t.head.i},
                    question=question.text,
                    weight=3,
                )
        elif t.tag_ in {"VBZ", "VBP", "VBD"} and t.text.isalpha():
            do = {"VBZ": "does", "VBP": "do", "VBD": "did"}[t.tag_]
            yield from s.swap(
                first,
                t.i,
                f"{do} {_span(s, first, last)} {t.lemma_}",
                "OTHER",
                "embedded_question_do",
                needs={question.i, t.head.i},
                question=question.text,
                do=do,
                weight=3,
            )


def _inverted(s: Sentence, t: Token) -> tuple[Token, Token] | None:
    subject = subject_of(t)
    if subject is None:
        return None
    first = min(c.i for c in subject.subtree)
    verb = next((c for c in [*children(t, "aux", "auxpass"), t] if c.i == first - 1), None)
    return (verb, subject) if verb is not None and verb.text.isalpha() else None


@rule
def question_order(s: Sentence) -> Iterator[Slip]:
    """A sentence's word order in a question: "where you are going?", "what he wants?"."""
    if "?" not in s.text:
        return
    for t in s:
        if t.dep_ != "ROOT" or (found := _inverted(s, t)) is None:
            continue
        verb, subject = found
        first, last = min(c.i for c in subject.subtree), max(c.i for c in subject.subtree)
        if (
            s.lower(verb.i - 1) in {"what", "where", "when", "why", "how", "who", "much", "many", "long", "time"}
            and last - first < 4
            and last < len(s.doc) - 1
        ):
            if verb.lemma_ == "do" and t is not verb:
                yield from s.drop(verb.i, "VERB:TENSE", "question_do", needs={t.i, verb.i - 1}, verb=t.text, weight=1.5)
            else:
                yield from s.swap(
                    verb.i,
                    last,
                    f"{_span(s, first, last)} {verb.text}",
                    "WO",
                    "question_order",
                    needs={verb.i - 1},
                    weight=2,
                )


@rule
def adjective_place(s: Sentence) -> Iterator[Slip]:
    """An adjective after its noun, or two objects in the wrong order: "a car red", "give the book me"."""
    for t in s:
        if (
            t.tag_ == "JJ"
            and t.dep_ == "amod"
            and t.i == t.head.i - 1
            and t.head.tag_ in {"NN", "NNS"}
            and t.text.isalpha()
            and not s.opens(t.i)
        ):
            follower = s.next(t.head.i)
            if (
                s.lower(t.i - 1) in {"a", "the", "an", "my", "some", "two", "very"}
                and follower is not None
                and follower.tag_ not in {"NN", "NNS", "HYPH", "POS"}
                and t.lower_ not in {"other", "same", "last", "next", "first", "few", "own"}
            ):
                yield from s.swap(
                    t.i,
                    t.head.i,
                    f"{t.head.text} {t.text}",
                    "WO",
                    "adjective_place",
                    adjective=t.text,
                    noun=t.head.text,
                    weight=0.12,
                )
        # "not to" and "to not" are both fine; "both us", "all we" are not touched.
        if (
            t.dep_ == "dative"
            and t.tag_ == "PRP"
            and t.i == t.head.i + 1
            and (objects := children(t.head, "dobj"))
            and objects[0].i > t.i
        ):
            first, last = min(c.i for c in objects[0].subtree), max(c.i for c in objects[0].subtree)
            if (
                first == t.i + 1
                and last - first < 4
                and t.lower_ not in {"it"}
                and last + 1 < len(s.doc)
                and s.doc[last].tag_ in {"NN", "NNS"}
            ):
                yield from s.swap(
                    t.i,
                    last,
                    f"{_span(s, first, last)} {t.text}",
                    "WO",
                    "object_order",
                    needs={t.head.i},
                    verb=t.head.text,
                    weight=0.8,
                )
