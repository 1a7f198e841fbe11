"""Pronouns: case, doubles, relative clauses, what is left out.

Belongs here: a pronoun's case, gender and kind, and relative clauses. Does not belong here: possessives before a noun
(determiners.py).
"""

from __future__ import annotations

from collections.abc import Iterator

from correctly_assets.teachers.embedded.rules import rule
from correctly_assets.teachers.embedded.sentence import Sentence, Slip, subject_of

_SUBJECT_TO_OBJECT = {"i": "me", "he": "him", "she": "her", "we": "us", "they": "them"}
_OBJECT_TO_SUBJECT = {"me": "I", "him": "he", "us": "we", "them": "they"}
_SELVES = {
    "myself": ("me", "meself"),
    "himself": ("him", "hisself"),
    "themselves": ("them", "theirselves", "themself"),
    "ourselves": ("us", "ourself"),
    "yourself": ("you",),
    "herself": ("her",),
}


@rule
def case(s: Sentence) -> Iterator[Slip]:
    """A pronoun of the wrong case, gender or kind: "me and him went", "my sister said he", "hisself", "this is my" for "mine"."""
    for t in s:
        if t.tag_ != "PRP":
            continue
        if (
            t.lower_ in _SUBJECT_TO_OBJECT
            and t.dep_ == "nsubj"
            and t.head.i > t.i
            and any(c.dep_ == "conj" for c in t.children)
        ):
            yield from s.swap(t.i, t.i, _SUBJECT_TO_OBJECT[t.lower_], "PRON", "subject_case", weight=1.5)
        elif t.lower_ in _SUBJECT_TO_OBJECT and t.dep_ in {"nsubj", "conj"} and s.lower(t.i - 1) == "and" and t.i >= 2:
            if s.doc[t.i - 2].tag_ in {"NN", "NNP", "PRP", "NNS"} and (t.dep_ == "conj"):
                yield from s.swap(t.i, t.i, _SUBJECT_TO_OBJECT[t.lower_], "PRON", "subject_case", weight=1.5)
        elif (
            t.lower_ in _OBJECT_TO_SUBJECT
            and t.dep_ in {"dobj", "pobj", "dative"}
            and t.i > 0
            and s.doc[t.i - 1].i == t.head.i
        ):
            yield from s.swap(
                t.i,
                t.i,
                _OBJECT_TO_SUBJECT[t.lower_],
                "PRON",
                "object_case",
                needs={t.head.i},
                word=t.head.text,
                weight=0.5,
            )
        if (
            t.lower_ in {"he", "she"}
            and t.dep_ == "nsubj"
            and any(
                x.lower_
                in {
                    "brother",
                    "father",
                    "uncle",
                    "son",
                    "grandfather",
                    "boyfriend",
                    "husband",
                    "sister",
                    "mother",
                    "aunt",
                    "daughter",
                    "grandmother",
                    "girlfriend",
                    "wife",
                }
                for x in s.doc[: t.i]
            )
        ):
            people = [x.lower_ for x in s.doc[: t.i]]
            male = {"brother", "father", "uncle", "son", "grandfather", "boyfriend", "husband"} & set(people)
            female = {"sister", "mother", "aunt", "daughter", "grandmother", "girlfriend", "wife"} & set(people)
            if (t.lower_ == "he" and male and not female) or (t.lower_ == "she" and female and not male):
                person = next(iter(sorted(male or female)))
                yield from s.swap(
                    t.i,
                    t.i,
                    "she" if t.lower_ == "he" else "he",
                    "PRON",
                    "gender",
                    needs={people.index(person)},
                    person=person,
                    weight=1.2,
                )
    for t in s:
        if t.lower_ in _SELVES and t.dep_ in {"dobj", "pobj", "dative"}:
            yield from s.swap(t.i, t.i, _SELVES[t.lower_], "PRON", "reflexive", needs={t.head.i})
        if t.lower_ in {"mine", "yours", "ours", "theirs", "hers"}:
            wrong = {"mine": "my", "yours": "your's", "ours": "our", "theirs": "their's", "hers": "her's"}[t.lower_]
            yield from s.swap(t.i, t.i, wrong, "PRON", "possessive_pronoun")


@rule
def relative(s: Sentence) -> Iterator[Slip]:
    """A wrong, missing or doubled relative: "people which", "the man came is", "the book that I bought it", "my father he is"."""
    people = {
        "people",
        "person",
        "man",
        "woman",
        "boy",
        "girl",
        "child",
        "children",
        "men",
        "women",
        "students",
        "student",
        "friend",
        "friends",
        "colleague",
        "teacher",
        "anyone",
        "everyone",
        "someone",
        "those",
        "neighbour",
        "neighbor",
        "boss",
        "doctor",
        "parents",
        "customer",
        "customers",
        "guests",
        "workers",
        "employees",
        "brother",
        "sister",
        "mother",
        "father",
        "uncle",
        "aunt",
        "manager",
        "nurse",
        "driver",
    }
    for t in s:
        clause = t.head
        if clause.dep_ != "relcl" or t.dep_ not in {"nsubj", "nsubjpass"} or t.tag_ not in {"WP", "WDT"}:
            continue
        noun = clause.head
        if t.lower_ == "who" and noun.lower_ in people:
            yield from s.swap(
                t.i, t.i, ("which", "which", "what"), "PRON", "who_people", needs={noun.i}, noun=noun.text
            )
        elif t.lower_ in {"which", "that"} and noun.lower_ not in people and noun.tag_ in {"NN", "NNS"}:
            wrongs = ("who", "what") if s.lower(t.i - 1) != "," else ("that", "what", "who")
            yield from s.swap(t.i, t.i, wrongs, "PRON", "which_things", needs={noun.i}, noun=noun.text)
        finite = s.lower(t.i - 1) != "," and clause.tag_ in {"VBZ", "VBP", "VBD"} and t.i == noun.i + 1
        if finite and t.lower_ != "what" and (noun.head.i > clause.i or noun.dep_ in {"dobj", "attr", "pobj"}):
            yield from s.drop(t.i, "PRON", "relative_missing", needs={noun.i, clause.i}, noun=noun.text)
    for t in s:
        # "the book that I bought it"
        if (
            t.dep_ == "relcl"
            and t.tag_ in {"VBD", "VBP", "VBZ"}
            and (x := next((c for c in t.children if c.dep_ == "dobj" and c.tag_ in {"WDT", "WP"}), None))
        ):
            follower = s.next(t.i)
            if (
                follower is not None
                and follower.i > x.i
                and follower.dep_ not in {"prt", "prep"}
                and t.head.tag_ in {"NN", "NNS"}
            ):
                pronoun = "them" if t.head.tag_ == "NNS" else "it"
                yield from (
                    s.add(
                        follower.i,
                        pronoun,
                        "PRON",
                        "resumptive",
                        needs={t.i, x.i},
                        relative=x.text,
                        role="the object",
                        krole="목적어",
                    )
                    if not follower.is_punct
                    else ()
                )
        if (
            t.dep_ == "nsubj"
            and t.tag_ in {"NN", "NNS", "NNP"}
            and t.head.tag_ in {"VBZ", "VBP", "VBD"}
            and t.head.i == t.i + 1
            and t.head.dep_ == "ROOT"
        ) and (
            subject_of(t.head) is t
            and t.tag_ != "NNP"
            and not any(c.dep_ in {"conj", "relcl", "acl"} for c in t.children)
        ):
            female_relatives = {"mother", "sister", "wife", "grandmother", "daughter", "aunt"}
            male_relatives = {"father", "brother", "husband", "grandfather", "son", "uncle"}
            pronoun = (
                "they"
                if t.tag_ == "NNS"
                else "she"
                if t.lower_ in female_relatives
                else "he"
                if t.lower_ in male_relatives
                else "it"
                if t.lower_ not in people
                else None
            )
            if pronoun:
                yield from s.add(
                    t.head.i,
                    pronoun,
                    "PRON",
                    "double_subject",
                    needs={t.i},
                    subject=t.text,
                    pronoun=pronoun,
                    weight=0.4,
                )


@rule
def indefinite(s: Sentence) -> Iterator[Slip]:
    """A doubled negation, or "all" for "every-": "I don't know nothing", "all people knows"."""
    swaps = {
        "anything": ("nothing", "something"),
        "anyone": ("nobody", "someone"),
        "anybody": ("nobody",),
        "anywhere": ("nowhere",),
        "ever": ("never",),
    }
    for t in s:
        if t.lower_ in swaps:
            negative = next(
                (
                    c
                    for a in t.ancestors
                    for c in a.children
                    if (c.dep_ == "neg" and c.i < t.i) or (c.lower_ in {"nobody", "never"} and c.i < t.i)
                ),
                None,
            )
            if negative is not None:
                kind = "ADV" if t.lower_ in {"anywhere", "ever"} else "PRON"
                yield from s.swap(
                    t.i, t.i, swaps[t.lower_], kind, "double_negative", needs={negative.i}, word=negative.text, weight=2
                )
        if t.lower_ in {"everyone", "everything"} and t.dep_ == "nsubj":
            yield from s.swap(
                t.i,
                t.i,
                {"everyone": "all people", "everything": "all"}[t.lower_],
                "PRON",
                "everyone",
                needs={t.head.i},
                weight=0.1,
            )
