"""Whether a verb fits its subject.

Belongs here: the subject of a change and its number. Does not belong here: other relations (syntax.py), forms of one word (forms.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from correctly_assets.correction.points.change import Change, subject_of
from correctly_assets.correction.points.conditions import Slots, matcher, predicate, quoted, word_set
from correctly_assets.correction.points.predicates.forms import can_be, lemmas

if TYPE_CHECKING:
    from spacy.tokens import Token

_SINGULAR = {"he", "she", "it", "this", "that", "everyone", "everybody", "someone", "somebody", "nobody", "everything",
             "something", "nothing", "anyone", "anything", "anybody", "each", "one"}  # fmt: skip
_PLURAL = {"we", "they", "you", "these", "those", "people", "police", "both", "many", "few"}
_THIRD = {"is", "was", "has", "does"}
_PAST = {"was", "were"}
_PLAIN = {"are", "were", "have", "do", "am"}


def number_of(subject: Token) -> str | None:
    """``singular``, ``plural``, or None where either may be right."""
    low = subject.lower_
    if (of := _of_quantity(subject)) is not None:
        return number_of(of)
    if any(child.dep_ == "conj" for child in subject.children):
        joined = any(child.dep_ == "cc" and child.lower_ == "and" for child in subject.children)
        return "plural" if joined else None
    if low in _PLURAL or (subject.tag_ in ("NNS", "NNPS") and low not in word_set("singular_in_s")):
        return "plural"
    if low in word_set("collective"):
        return None
    if low in _SINGULAR or subject.tag_ in ("NN", "NNP", "VBG") or low in word_set("singular_in_s"):
        return "singular"
    return None


def _of_quantity(subject: Token) -> Token | None:
    """The noun that gives a quantity its number: "most of these shops", "some of the milk"."""
    if subject.lower_ not in ("most", "some", "all", "half", "many", "few", "several"):
        return None
    inside = (t for of in subject.children if of.lower_ == "of" for t in of.children if t.dep_ == "pobj")
    return next((t for t in inside if t.tag_ in ("NN", "NNS")), None)


def verb_number(word: str) -> str | None:
    """The number that a verb form agrees with: ``singular``, ``plural``, or None where its form does not show it."""
    if word in _THIRD:
        return "singular"
    if word in _PLAIN:
        return "plural"
    return "singular" if can_be(word, "VBZ") and not can_be(word, "VB") else "plural" if can_be(word, "VB") else None


def _finite_subject(c: Change) -> Token | None:
    verb = c.now_root
    if verb is None:
        return None
    main = verb.head if verb.dep_ in ("aux", "auxpass") else verb
    subject = subject_of(main)
    if subject is not None and subject.lower_ in ("who", "which", "that") and main.dep_ == "relcl":
        subject = main.head
    if subject is not None and subject.tag_ == "NNS" and verb_number(c.now) == "singular":
        # "Learning languages takes": the parser takes the activity for part of the noun.
        first = next(iter(subject.subtree))
        if first.tag_ == "VBG" and first.head.i == subject.i:
            return first
    return subject


def _far_antecedent(c: Change) -> bool:
    """Whether the noun before ", which" stands behind a preposition, so that the clause may speak of a noun before it."""
    noun = c.place("left3")
    return (c.at(c.c[0] - 2), c.at(c.c[0] - 1)) == (",", "which") and noun is not None and noun.dep_ == "pobj"


@predicate("subject")
def agrees(c: Change, number: str) -> Slots | None:
    """A verb's form for one number became that for the other, and the subject's number asks for it."""
    was, now = c.was, c.now
    if " " in was or " " in now or not (lemmas(was, "VERB") & lemmas(now, "VERB")):
        return None
    if verb_number(now) != number or verb_number(was) == number or verb_number(was) is None:
        return None
    subject = _finite_subject(c)
    if (
        subject is None
        or _far_antecedent(c)
        or subject.lower_ in ("there", "what", "i")
        or number_of(subject) != number
    ):
        return None
    if subject.tag_ == "PRP" or subject.lower_ in ("who", "which"):
        return None
    return {"subject": _short_subject(subject)}


def _short_subject(subject: Token) -> str:
    if subject.lower_ == "one":
        return "one"
    if (of := _of_quantity(subject)) is not None and of.i - subject.i <= 4:
        return subject.doc[subject.i : of.i + 1].text
    joined = [child for child in subject.children if child.dep_ == "conj"]
    if joined:
        words = subject.doc[subject.i : joined[-1].i + 1].text
        return words if len(words.split()) <= 4 else f"{subject.text} … {joined[-1].text}"
    return quoted(subject)


@predicate("subject")
def agrees_with_pronoun(c: Change) -> Slots | None:
    """The same for a pronoun as the subject."""
    was, now = c.was, c.now
    if " " in was or " " in now or not (lemmas(was, "VERB") & lemmas(now, "VERB")) or was == now:
        return None
    subject = _finite_subject(c)
    if subject is None or subject.tag_ != "PRP" or (was in _PAST) != (now in _PAST):
        return None
    wanted = "singular" if subject.lower_ in ("he", "she", "it") else "plural"
    if subject.lower_ == "i" and now not in ("am", "was", "have", "do") and verb_number(now) != "plural":
        return None
    if subject.lower_ == "i" and now == "was":
        wanted = "singular"
    am = now == "am" and was in ("is", "are") and subject.lower_ == "i"
    if not am and (verb_number(now) != wanted or verb_number(was) in (wanted, None)):
        return None
    return {"subject": subject.text if subject.lower_ == "i" else subject.lower_}


@predicate("subject")
def agrees_with_what_follows(c: Change) -> Slots | None:
    """ "There is" became "there are", or the other way round, by the noun that follows."""
    pair = {c.was, c.now}
    if pair not in ({"is", "are"}, {"was", "were"}, {"'s", "are"}, {"has", "have"}) or c.at(c.c[0] - 1) != "there":
        return None
    verb = c.now_root
    if verb is None:
        return None
    nouns = [t for t in c.after[c.c[1] : c.c[1] + 8] if t.tag_ in ("NN", "NNS") and t.dep_ != "compound"]
    # In "a lot of furniture" the furniture decides.
    if len(nouns) > 1 and nouns[0].lower_ in ("lot", "lots", "plenty") and c.at(nouns[0].i + 1) == "of":
        nouns = nouns[1:]
    if not nouns:
        return None
    noun = nouns[0]
    plural = noun.tag_ == "NNS" or any(child.dep_ == "conj" for child in noun.children)
    return {"subject": quoted(noun)} if plural == (c.now in ("are", "were", "have")) else None


@predicate()
def verb_became(c: Change, number: str) -> bool:
    """A verb's form for one number became that for the other, whatever its subject."""
    if " " in c.was or " " in c.now or not (lemmas(c.was, "VERB") & lemmas(c.now, "VERB")):
        return False
    return verb_number(c.now) == number and verb_number(c.was) not in (number, None)


@predicate("amount")
def amount_as_subject(c: Change) -> Slots | None:
    """The subject is a number of units: "ten kilometres", "fifty euros"."""
    subject = _finite_subject(c)
    if subject is None or subject.tag_ != "NNS" or subject.lemma_.lower() not in word_set("units"):
        return None
    number = next((child for child in subject.children if child.dep_ == "nummod"), None)
    return {"amount": f"{quoted(number)} {subject.text}"} if number is not None else None


@predicate()
def number_as_subject(c: Change, article: str) -> bool:
    """The subject is "the number of" or "a number of", and the verb takes the form that goes with it."""
    subject = _finite_subject(c)
    wanted = "singular" if article == "the" else "plural"
    return (
        subject is not None
        and subject.lower_ == "number"
        and {article, "of"} <= {child.lower_ for child in subject.children}
        and verb_number(c.now) == wanted
        and verb_number(c.was) not in (wanted, None)
    )


@predicate("subject")
def subject_is(c: Change, kind: str) -> Slots | None:
    """The subject of the changed verb: a list or words, as in a condition's value."""
    subject = _finite_subject(c)
    if subject is None:
        return None
    return {"subject": quoted(subject)} if matcher(kind)(subject.lower_) else None
