"""What tells the time of a verb.

Belongs here: time words and the verbs beside the changed one. Does not belong here: forms (forms.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from correctly_assets.correction.points.change import Change
from correctly_assets.correction.points.conditions import Slots, predicate, quoted, word_set, words

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token


def _sentence(c: Change) -> list[Token]:
    """The tokens of the sentence that the change stands in."""
    i = min(c.c[0], len(c.after) - 1)
    return list(c.after[i].sent) if len(c.after) else []


def _clause_of(c: Change, token: Token) -> bool:
    """Whether a time word belongs to the changed verb or to a verb joined to it, and not to another clause."""
    verb = c.place("verb")
    for _ in range(6):
        if token.pos_ in ("VERB", "AUX"):
            main = token.head if token.dep_ in ("aux", "auxpass") else token
            if main.dep_ == "xcomp" and verb is not None and main.head.i == verb.i:
                return True  # "They have been planning to build it since May."
            return verb is None or main.i == verb.i or (verb.dep_ == "conj" and verb.head.i == main.i)
        if token.head.i == token.i:
            return False
        token = token.head
    return False


@predicate("marker")
def finished_time(c: Change) -> Slots | None:
    """A finished time belongs to the verb: yesterday, last week, two days ago, in 2010."""
    tokens = _sentence(c)
    for token in tokens:
        low = token.lower_
        following = c.at(token.i + 1)
        found = None
        if low in ("yesterday", "ago"):
            found = _ago(c.after, token) if low == "ago" else low
        elif low == "last" and following in words()["last_units"]:
            found = f"last {following}"
        elif low == "in" and following.isdigit() and len(following) == 4 and following < "2024":
            found = f"in {following}"
        elif (
            low == "when"
            and any(t.tag_ == "VBD" for t in c.after[token.i + 1 : token.i + 5])
            and not _clause_of(c, token)
        ):
            continue
        if found and c.at(token.i - 1) not in ("since", "until", "till", "by") and _clause_of(c, token):
            return {"marker": found}
    return None


def _ago(doc: Doc, token: Token) -> str:
    start = max(0, token.i - 2)
    return doc[start : token.i + 1].text if start < token.i else "ago"


@predicate("marker")
def coming_time(c: Change) -> Slots | None:
    """A time to come belongs to the verb: tomorrow, next week, soon."""
    for token in _sentence(c):
        low, following = token.lower_, c.at(token.i + 1)
        found = low if low in ("tomorrow", "tonight", "soon") else None
        if low == "next" and following in words()["last_units"]:
            found = f"next {following}"
        if low == "soon" and c.at(token.i - 1) == "as":
            continue
        if found and _clause_of(c, token):
            return {"marker": found}
    return None


@predicate("word")
def up_to_now(c: Change) -> Slots | None:
    """Since, how long, or for with a length of time, belongs to the verb: what began then goes on."""
    for token in _sentence(c):
        low = token.lower_
        if _other_clause(c, token):
            continue
        if low == "how" and c.at(token.i + 1) == "long" and _clause_of(c, token):
            return {"word": "how long"}
        if (
            low == "since"
            and token.i + 1 < len(c.after)
            and _clause_of(c, token.head if token.dep_ == "mark" else token)
        ):
            return {"word": "since"}
        if low == "since" and token.dep_ == "mark" and token.head.head.i == getattr(c.place("verb"), "i", -1):
            return {"word": "since"}
        if low == "for" and _clause_of(c, token):
            phrase = c.after[token.i + 1 : token.i + 5]
            if any(t.lemma_.lower() in words()["time_units"] or t.lower_ in ("ages", "time") for t in phrase):
                return {"word": "for"}
    return None


def _other_clause(c: Change, token: Token) -> bool:
    """Whether a time word stands at the end of an earlier clause, and the changed verb has a subject of its own."""
    verb = c.place("verb")
    if verb is None or verb.dep_ != "conj" or verb.head.i >= token.i:
        return False
    if any(child.dep_ == "cc" and child.i < token.i for child in verb.head.children):
        return False  # "…, and since then I have worked": it opens the changed verb's own clause.
    return token.i < verb.i and any(child.dep_ in ("nsubj", "nsubjpass") for child in verb.children)


@predicate()
def verbs_alone(c: Change) -> bool:
    """The right side is one verb with its auxiliaries, adverbs and, in a question, its subject pronoun."""
    return all(t.pos_ in ("AUX", "VERB", "ADV", "PART", "PRON") for t in c.c_tokens)


@predicate()
def verbs_only(c: Change) -> bool:
    """No word but a verb, an adverb, "not" or a pronoun stands in the learner's words, and no "to" in the right ones."""
    learner = all(t.pos_ in ("AUX", "VERB", "ADV", "PART", "PRON", "PUNCT") for t in c.o_tokens)
    return learner and "to" not in c.now.split()


_ORDINALS = ("first", "second", "third", "fourth", "fifth", "only")


@predicate("marker")
def until_now(c: Change) -> Slots | None:
    """Ever, never, already, yet, just, so far, recently, or "the first time" belongs to the verb."""
    tokens = _sentence(c)
    for token in tokens:
        if token.lower_ in ("ever", "never", "already", "yet", "recently", "lately") and _clause_of(c, token):
            if _beside_other_verb(c, token):
                continue
            return {"marker": token.lower_}
        if token.lower_ == "so" and c.at(token.i + 1) == "far" and _clause_of(c, token):
            return {"marker": "so far"}
        is_now = any(t.lower_ in ("is", "'s", "’s") for t in tokens if t.i < token.i)
        if token.lower_ == "time" and c.at(token.i - 1) in _ORDINALS and is_now and 0 < c.c[0] - token.i <= 4:
            return {"marker": f"the {c.at(token.i - 1)} time"}
    return None


_SAID = frozenset({"said", "told"})


@predicate()
def after_was_first(c: Change) -> bool:
    """ "It was the first time" stands shortly before the change."""
    for i in range(max(0, c.c[0] - 4), c.c[0]):
        if c.at(i) == "time" and c.at(i - 1) in _ORDINALS:
            return any(c.at(j) in ("was", "'d") for j in range(max(0, i - 5), i))
    return False


@predicate()
def be_made_have(c: Change) -> bool:
    """A form of "be" stood shortly before the change and is no longer there."""
    was = [t.lower_ for t in c.before[max(0, c.o[0] - 3) : c.o[0]]]
    now = [t.lower_ for t in c.after[max(0, c.c[0] - 3) : c.c[0]]]
    gone = [word for word in was if word in word_set("be") and word not in now]
    return bool(gone)


@predicate()
def one_full_verb(c: Change) -> bool:
    """Each side has one full verb, and not a second one that it governs."""
    sides = (c.o_tokens, c.c_tokens)
    return all(sum(t.tag_.startswith("VB") and t.dep_ not in ("aux", "auxpass") for t in side) == 1 for side in sides)


@predicate("other")
def beside_past(c: Change) -> Slots | None:
    """A verb joined to the changed one, or of the clause it belongs to, is in the past."""
    verb = c.place("verb")
    if verb is None:
        return None
    near = [t for t in verb.children if t.dep_ in ("conj", "advcl", "ccomp")]
    if verb.dep_ in ("conj", "advcl", "ccomp", "relcl"):
        head = verb.head if verb.dep_ != "relcl" else next((a for a in verb.ancestors if a.pos_ == "VERB"), verb.head)
        near += [head, *(t for t in head.children if t.dep_ == "conj" and t.i != verb.i)]
    for token in near:
        if token.i == verb.i or c.c[0] <= token.i < c.c[1]:
            continue
        past = (
            token
            if token.tag_ == "VBD"
            else next((t for t in token.children if t.dep_ in ("aux", "auxpass") and t.tag_ == "VBD"), None)
        )
        # The past must be the learner's own: what the same correction put there proves nothing.
        said = past is not None and past.lower_ in _SAID and any(t.lower_ in _SAID for t in c.before)
        if past is not None and (said or any(t.lower_ == past.lower_ for t in c.before)):
            return {"other": quoted(past)}
    return None


def _beside_other_verb(c: Change, adverb: Token) -> bool:
    """Whether an adverb belongs to a verb that the changed one, with a subject of its own, is only joined to."""
    verb = c.place("verb")
    if verb is None or verb.dep_ != "conj" or not any(child.dep_ == "nsubj" for child in verb.children):
        return False
    return not any(ancestor.i == verb.i for ancestor in adverb.ancestors)


@predicate("marker")
def habit(c: Change) -> Slots | None:
    """Every day, usually, always and the like belong to the verb."""
    for token in _sentence(c):
        low = token.lower_
        if low in ("usually", "always", "often", "sometimes", "rarely", "normally"):
            if not _clause_of(c, token) or _beside_other_verb(c, token):
                continue
            return {"marker": low}
        if low == "every" and token.i + 1 < len(c.after) and _clause_of(c, token):
            return {"marker": f"every {c.after[token.i + 1].text}"}
    return None
