"""Commas, full stops, question marks: only where leaving them out, or adding them, is plainly wrong.

Belongs here: commas, semicolons and the end of a sentence. Does not belong here: apostrophes, hyphens and spaces
(surface.py, wordchoice.py).
"""

from __future__ import annotations

from collections.abc import Iterator

from correctly_assets.teachers.embedded.rules import rule
from correctly_assets.teachers.embedded.sentence import Sentence, Slip, subject_of

_OPENERS = {
    "however",
    "therefore",
    "moreover",
    "furthermore",
    "nevertheless",
    "consequently",
    "unfortunately",
    "fortunately",
    "finally",
    "firstly",
    "secondly",
    "additionally",
    "meanwhile",
    "nowadays",
    "first",
    "second",
    "third",
    "yes",
    "no",
    "well",
    "besides",
    "instead",
    "luckily",
    "personally",
    "overall",
    "honestly",
}
_PHRASES = (
    "in addition",
    "for example",
    "for instance",
    "in my opinion",
    "on the other hand",
    "as a result",
    "in conclusion",
    "first of all",
    "in fact",
    "in other words",
    "of course",
    "after all",
    "to sum up",
    "in general",
    "in contrast",
    "at first",
    "in the end",
    "by the way",
)


def _comma_drop(s: Sentence, i: int, rule_name: str, weight: float, needs: set[int], **values: str) -> Iterator[Slip]:
    comma = s.doc[i]
    if comma.whitespace_:
        yield Slip(
            rule_name,
            "PUNCT",
            "M",
            comma.idx,
            comma.idx + 1,
            ("",),
            frozenset({i}),
            frozenset(needs),
            tuple(values.items()),
            weight,
        )


@rule
def comma_missing(s: Sentence) -> Iterator[Slip]:
    """A comma left out that most readers miss: after an opening clause or phrase, before "but", in a list, after a greeting."""
    for t in s:
        if t.text != ",":
            continue
        start = t.sent.start
        opening = s.text[s.doc[start].idx : t.idx].lower()
        if opening in _OPENERS or opening in _PHRASES:
            yield from _comma_drop(s, t.i, "comma_opener", 1.0, set(), word=s.text[s.doc[start].idx : t.idx])
            continue
        clause = [x for x in s.doc[start : t.i] if x.dep_ == "advcl" and x.head.i > t.i and subject_of(x) is not None]
        mark = s.lower(start)
        if (
            clause
            and mark
            in {
                "if",
                "when",
                "although",
                "though",
                "because",
                "while",
                "after",
                "before",
                "since",
                "as",
                "unless",
                "until",
                "once",
                "whenever",
            }
            and not any(x.text == "," for x in s.doc[start : t.i])
            and t.i - start >= 4
        ):
            yield from _comma_drop(s, t.i, "comma_clause", 1.6, set(), word=s.doc[start].text)
        follower = s.next(t.i)
        opener = s.doc[start]
        phrase = not any(x.text == "," for x in s.doc[start : t.i]) and t.i - start >= 3
        if phrase and opener.tag_ == "IN" and opener.dep_ == "prep" and opener.head.i > t.i and not clause:
            yield from _comma_drop(s, t.i, "comma_phrase", 0.6, set())
        if follower is not None and follower.lower_ == "and" and follower.dep_ == "cc" and t.i - start >= 4:
            verb = next((c for c in follower.head.children if c.dep_ == "conj" and c.i > t.i), None)
            if verb is not None and (own := subject_of(verb)) is not None and own.i > t.i and verb.tag_ != "VB":
                yield from _comma_drop(s, t.i, "comma_but", 0.8, {follower.i}, word=follower.text)
        if follower is not None and follower.lower_ in {"but", "so"} and follower.dep_ in {"cc", "mark", "advmod"}:
            verb = next((c for c in follower.head.children if c.dep_ == "conj" and c.i > t.i), follower.head)
            subject = subject_of(verb)
            if subject is not None and subject.i > t.i and t.i - start >= 4:
                yield from _comma_drop(s, t.i, "comma_but", 1.0, {follower.i}, word=follower.text)
        if (
            follower is not None
            and follower.lower_ in {"which", "who"}
            and follower.dep_ in {"nsubj", "nsubjpass"}
            and follower.head.dep_ == "relcl"
        ) and follower.head.head.tag_ == "NNP":
            yield from _comma_drop(s, t.i, "comma_relative", 0.8, {follower.i})
        if (
            s.doc[t.i - 1].dep_ in {"conj"}
            and follower is not None
            and s.doc[t.i - 1].tag_ == follower.tag_
            and follower.tag_ in {"NN", "NNS", "JJ"}
        ) or (
            follower is not None
            and follower.dep_ == "conj"
            and follower.head.i == t.i - 1
            and follower.tag_ in {"NN", "NNS", "JJ", "NNP"}
        ):
            yield from _comma_drop(s, t.i, "comma_list", 0.7, {follower.i})
    opener = s.text.split(" ", 1)[0].lower()
    if opener in {"hi", "hello", "dear"} and len(s.doc) > 3:
        comma = next((t for t in s.doc[1:5] if t.text == ","), None)
        if comma is not None:
            yield from _comma_drop(s, comma.i, "comma_greeting", 0.5, set())


@rule
def comma_extra(s: Sentence) -> Iterator[Slip]:
    """A comma where none belongs: between subject and verb, before "that", before "than", in a pair with "and"."""
    for t in s:
        previous = s.doc[t.i - 1] if t.i else None
        if previous is None or previous.is_punct or not previous.whitespace_:
            continue
        place = previous.idx + len(previous.text)
        if (
            t.tag_ in {"VBZ", "VBP", "VBD", "MD"}
            and t.dep_ in {"ROOT", "aux"}
            and (subject := subject_of(t if t.dep_ == "ROOT" else t.head)) is not None
        ):
            last = max(c.i for c in subject.subtree)
            if last == t.i - 1 and last - min(c.i for c in subject.subtree) >= 1 and subject.tag_ in {"NN", "NNS"}:
                yield Slip(
                    "comma_subject",
                    "PUNCT",
                    "U",
                    place,
                    place,
                    (",",),
                    frozenset({t.i - 1}),
                    frozenset({t.i}),
                    (("subject", subject.text),),
                    0.7,
                )
        if (
            t.lower_ in {"that", "if", "whether", "what", "how", "why", "where"}
            and previous.tag_ in {"VBP", "VBZ", "VBD", "VB"}
            and previous.lemma_
            in {
                "think",
                "know",
                "say",
                "believe",
                "hope",
                "tell",
                "mean",
                "feel",
                "ask",
                "wonder",
                "hear",
                "find",
                "decide",
                "realise",
                "realize",
                "see",
            }
        ):
            yield Slip(
                "comma_that",
                "PUNCT",
                "U",
                place,
                place,
                (",",),
                frozenset({t.i - 1}),
                frozenset({t.i}),
                (("word", t.text), ("verb", previous.text)),
                1.2,
            )
        if t.lower_ in {"because", "than", "of", "to"} and t.lower_ in {"than"}:
            yield Slip(
                "comma_than", "PUNCT", "U", place, place, (",",), frozenset({t.i - 1}), frozenset({t.i}), (), 0.3
            )
        if (
            t.lower_ == "and"
            and t.dep_ == "cc"
            and t.head.i == t.i - 1
            and t.head.tag_ in {"NN", "NNS"}
            and sum(c.dep_ == "conj" for c in t.head.children) == 1
            and t.head.dep_ != "conj"
        ) and (
            not any(x.text == "," for x in s.doc[max(0, t.i - 6) : t.i])
            and t.i + 1 < len(s.doc)
            and s.doc[t.i + 1].tag_ in {"NN", "NNS"}
        ):
            yield Slip("comma_and", "PUNCT", "U", place, place, (",",), frozenset({t.i - 1}), frozenset({t.i}), (), 0.4)


@rule
def sentence_end(s: Sentence) -> Iterator[Slip]:
    """No full stop at the end, or a full stop after a question."""
    last = s.doc[-1]
    if last.text == "." and len(s.doc) > 4:
        yield Slip("full_stop", "PUNCT", "M", last.idx, last.idx + 1, ("",), frozenset({last.i}), frozenset(), (), 0.5)
    if last.text == "?":
        yield from s.swap(last.i, last.i, ".", "PUNCT", "question_mark", weight=1.0)
        yield Slip(
            "question_mark", "PUNCT", "M", last.idx, last.idx + 1, ("",), frozenset({last.i}), frozenset(), (), 0.5
        )


@rule
def comma_splice(s: Sentence) -> Iterator[Slip]:
    """Two sentences joined by a comma or by nothing, or a comma for a semicolon."""
    for t in s.doc[1:]:
        if (
            (
                t.is_sent_start
                and s.doc[t.i - 1].text == "."
                and s.doc[t.i - 1].whitespace_
                and subject_of(t.head if t.dep_ != "ROOT" else t) is not None
            )
            and t.text[0].isupper()
            and t.tag_ in {"PRP", "DT", "PRP$", "EX"}
        ):
            word = s.lowered(t.i)
            yield from s.swap(
                t.i - 1,
                t.i,
                (f", {word}", f", {word}", f" {word}") if t.text != "I" else (", I",),
                "PUNCT",
                "comma_splice",
                weight=1.5,
            )
        if t.text == ";" and t.whitespace_:
            yield from s.swap(t.i, t.i, ",", "PUNCT", "semicolon", weight=0.8)
