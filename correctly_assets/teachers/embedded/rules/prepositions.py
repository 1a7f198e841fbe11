"""Prepositions: the wrong one, one left out, one too many. What goes with which word is in data/prepositions.yaml.

Belongs here: which preposition goes with what, and whether one does. Does not belong here: the table of them
(data/prepositions.yaml).
"""

from __future__ import annotations

from collections.abc import Iterator

from correctly_assets.teachers.embedded.rules import rule
from correctly_assets.teachers.embedded.sentence import Sentence, Slip, load_data

_DAYS = {"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}
_MONTHS = {
    "january",
    "february",
    "march",
    "april",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
}
_TIMES = _DAYS | {"day", "week", "month", "year", "morning", "evening", "afternoon", "summer", "winter", "night"}
_GOING = {"go", "come", "travel", "move", "return", "live"}


def _table(name: str) -> dict[str, dict[str, list[str]]]:
    return load_data("prepositions.yaml")[name]


@rule
def preposition_governed(s: Sentence) -> Iterator[Slip]:
    """A preposition that its verb, adjective or noun demands."""
    for t in s:
        if t.dep_ not in {"prep", "agent", "dative"} or t.tag_ not in {"IN", "TO"} or s.next(t.i) is None:
            continue
        head = t.head
        for name, tags in (("verbs", "V"), ("adjectives", "J"), ("nouns", "N")):
            table = _table(name)
            entry = table.get(head.lower_) or table.get(head.lemma_.lower()) or {}
            near = t.i - head.i <= (4 if name == "verbs" else 1)
            verbal_adjective = name == "adjectives" and head.tag_ in {"VBN", "VBD"}
            if (
                not near
                or t.i < head.i
                or t.lower_ not in entry
                or not (head.tag_.startswith(tags) or verbal_adjective)
            ):
                continue
            children = [c for c in t.children if c.dep_ in {"pobj", "pcomp"}]
            if not children:
                continue
            dropped = "" in entry[t.lower_]
            wrongs = [w for w in entry[t.lower_] if w]
            loose = name == "verbs" and t.lower_ in {"in", "at", "on", "with", "for", "from"} and t.i - head.i > 1
            weight = 0.4 if loose else 1.0
            phrase = f"{head.text} {t.lower_}"
            if wrongs:
                yield from s.swap(
                    t.i,
                    t.i,
                    wrongs,
                    "PREP",
                    "preposition",
                    needs={head.i},
                    word=head.text,
                    phrase=phrase,
                    weight=weight,
                )
            if dropped and t.i == head.i + 1:
                yield from s.drop(
                    t.i, "PREP", "preposition_missing", needs={head.i}, word=head.text, phrase=phrase, weight=weight
                )
            break


@rule
def preposition_of_place_and_time(s: Sentence) -> Iterator[Slip]:
    """The wrong preposition before a time or a place: "in Monday", "on 2010", "at London"."""
    table = _table("time")
    for t in s:
        if t.dep_ not in {"prep", "pcomp"} or t.tag_ != "IN":
            continue
        for noun in (c for c in t.children if c.dep_ == "pobj"):
            low = noun.lemma_.lower()
            if low.isdigit() and len(low) == 4 and low[:2] in {"19", "20"}:
                low = "year"
            elif low in _DAYS or noun.lower_ in _DAYS:
                low = "day"
            elif low in _MONTHS and not any(c.tag_ == "CD" for c in noun.children):
                low = "month"
            elif "o'clock" in noun.text or s.lower(noun.i + 1) in {"o'clock", "pm", "am", "p.m.", "a.m."}:
                low = "clock"
            elif low in {"day", "month", "year"}:
                continue
            entry = table.get(low) or table.get(noun.text) or {}
            if t.lower_ in entry and s.lower(t.i + 1) not in {"this", "last", "next", "every", "that"}:
                phrase = f"{t.lower_} {s.text[s.doc[t.i + 1].idx : noun.idx + len(noun.text)]}"
                if len(phrase) < 40:
                    yield from s.swap(
                        t.i, t.i, entry[t.lower_], "PREP", "preposition_fixed", needs={noun.i}, phrase=phrase
                    )
            elif noun.tag_ == "NNP" and t.lower_ == "in" and t.head.pos_ in {"VERB", "AUX"} and low not in _MONTHS:
                yield from s.swap(
                    t.i, t.i, ("at", "on"), "PREP", "preposition_city", needs={noun.i}, name=noun.text, weight=0.3
                )


@rule
def preposition_extra(s: Sentence) -> Iterator[Slip]:
    """A preposition where none belongs: "discuss about it", "in last week", "go to home", "despite of"."""
    table = load_data("prepositions.yaml")["direct"]
    for t in s:
        if t.dep_ in {"dobj", "dative"} and t.head.lemma_ in table and t.head.tag_.startswith("V") and t.head.i < t.i:
            first = min(c.i for c in t.subtree)
            words = [w for w in table[t.head.lemma_] if w]
            if first == t.head.i + 1 and words and t.head.dep_ != "amod":
                yield from s.add(first, words, "PREP", "preposition_extra", needs={t.head.i, t.i}, word=t.head.text)
        counted = t.lower_ in {"next", "last", "every", "this"} and t.head.dep_ == "npadvmod" and t.head.i == t.i + 1
        if counted and t.head.lower_ in _TIMES:
            words = ("in", "on", "at") if t.lower_ != "every" else ("in", "on")
            phrase = f"{t.lower_} {t.head.text}"
            yield from s.add(t.i, words, "PREP", "preposition_extra_time", phrase=phrase, weight=0.7)
        if (
            t.lower_ in {"home", "abroad", "there", "here", "downtown", "upstairs"}
            and t.head.lemma_ in _GOING
            and t.head.i == t.i - 1
        ):
            yield from s.add(
                t.i, "to" if t.head.lemma_ != "live" else "in", "PREP", "preposition_extra_place", word=t.text
            )
        if t.lower_ in {"despite", "regarding"} and t.tag_ in {"IN", "VBG"} and s.next(t.i) is not None:
            wrong = f"{t.lower_} {'of' if t.lower_ == 'despite' else 'to'}"
            yield from s.swap(t.i, t.i, wrong, "PREP", "despite_of", op="U", word=t.lower_)


@rule
def since_for(s: Sentence) -> Iterator[Slip]:
    """ "Since", "for", "during", "because of" and "than" taken for one another: "since three years", "bigger then"."""
    units = {"year", "month", "week", "day", "hour", "minute", "decade", "century"}
    for t in s:
        perfect = t.head.pos_ in {"VERB", "AUX"} and any(
            c.dep_ == "aux" and c.lemma_ == "have" for c in t.head.children
        )
        if not perfect or t.dep_ != "prep":
            continue
        nouns = [c for c in t.children if c.dep_ == "pobj"]
        if t.lower_ == "for" and nouns and nouns[0].lemma_ in units:
            phrase = s.text[s.doc[t.i + 1].idx : nouns[0].idx + len(nouns[0].text)]
            yield from s.swap(
                t.i, t.i, ("since", "since", "from"), "PREP", "since_for", needs={nouns[0].i}, phrase=phrase, weight=2
            )
        elif t.lower_ == "since" and nouns:
            phrase = s.text[s.doc[t.i + 1].idx : nouns[0].idx + len(nouns[0].text)]
            yield from s.swap(
                t.i, t.i, ("from", "for"), "PREP", "for_since", needs={nouns[0].i}, phrase=phrase, weight=2
            )
    for t in s:
        if t.lower_ == "during" and t.dep_ == "prep":
            yield from s.swap(t.i, t.i, "while", "PREP", "during_while")
        if t.lower_ == "because" and s.lower(t.i + 1) == "of":
            yield from s.drop(t.i + 1, "PREP", "because_of", needs={t.i})
        elif t.lower_ == "because" and t.dep_ == "mark":
            yield from s.swap(t.i, t.i, "because of", "PREP", "because_clause", op="U", needs={t.head.i})
        if (
            t.lower_ == "than"
            and t.i
            and t.dep_ in {"prep", "mark"}
            and t.head.tag_ in {"JJR", "RBR", "JJ", "RB", "NNS", "NN"}
        ):
            yield from s.swap(t.i, t.i, ("then", "that", "from"), "PREP", "than", needs={t.head.i}, weight=0.6)
