"""Objects, clauses and what stands before what.

Belongs here: relations that take more than one token to say. Does not belong here: punctuation (marks.py), spelling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from correctly_assets.correction.points.change import Change, subject_of
from correctly_assets.correction.points.conditions import Slots, matcher, predicate, quoted, word_set
from correctly_assets.correction.points.predicates.forms import forms, lemmas

if TYPE_CHECKING:
    from spacy.tokens import Token


@predicate()
def opens_sentence(c: Change) -> bool:
    """The change begins its sentence."""
    i = c.c[0]
    return i == 0 or (i < len(c.after) and (c.after[i].is_sent_start or c.at(i - 1) in (".", "!", "?", '"', "“")))


@predicate()
def ends_text(c: Change) -> bool:
    """Nothing but quotation marks and brackets follows."""
    return all(t.is_punct or t.is_space for t in c.after[c.c[1] :])


@predicate("verb")
def governor_verb(c: Change, value: str) -> Slots | None:
    """The nearest verb on the left, at most six tokens away, has one of these lemmas."""
    matches = matcher(value)
    for i in range(c.c[0] - 1, max(-1, c.c[0] - 7), -1):
        token = c.after[i]
        if token.pos_ in ("VERB", "AUX") or token.tag_.startswith("VB"):
            return {"verb": quoted(token)} if matches(token.lemma_.lower()) else None
        if token.text in ",;:.":
            return None
    return None


@predicate("subject", "pronoun")
def repeated_subject(c: Change) -> Slots | None:
    """A pronoun after the subject that it repeats went."""
    right = c.place("right")
    if c.was not in ("he", "she", "it", "they", "we", "i") or right is None:
        return None
    verb = right
    while verb.dep_ in ("aux", "auxpass", "neg", "advmod") and verb.head.i != verb.i:
        verb = verb.head
    subject = subject_of(verb)
    if subject is None or subject.i >= c.c[0]:
        return None
    pronoun = c.was_text.lower() if c.was != "i" else "I"
    if subject.dep_ == "csubj" and next(iter(subject.subtree)).tag_ in ("WP", "WRB"):
        words = c.after[next(iter(subject.subtree)).i : c.c[0]]
        return {"subject": words.text if len(words) <= 6 else f"{words[:2].text} …", "pronoun": pronoun}
    if subject.tag_ not in ("NN", "NNS", "NNP", "NNPS", "DT"):
        return None
    return {"subject": quoted(subject), "pronoun": pronoun}


@predicate("word")
def two_negatives(c: Change) -> Slots | None:
    """Another negative word of the clause stands before the change."""
    for i in range(c.c[0] - 1, max(-1, c.c[0] - 9), -1):
        token = c.after[i]
        if token.lower_ in word_set("negatives") or token.dep_ == "neg":
            return {"word": quoted(token)}
        if token.text in ";:.!?":
            return None
    return None


@predicate()
def unreal(c: Change) -> bool:
    """The sentence has "would", "could" or "might" and a condition."""
    words = {t.lower_ for t in c.after}
    return bool(words & {"would", "could", "might", "'d"}) and bool(words & {"if", "unless", "wish"})


def clause_mark(verb: Token | None) -> Token | None:
    """The word that begins the verb's clause: if, when, until …"""
    for _ in range(4):
        if verb is None:
            return None
        for child in verb.children:
            if child.dep_ in ("mark", "advmod") and child.i < verb.i and child.lower_ in word_set("clause_marks"):
                return child
        if verb.dep_ in ("conj", "aux", "auxpass", "xcomp") and verb.head.i != verb.i:
            verb = verb.head
        else:
            return None
    return None


@predicate("word")
def in_clause_of(c: Change, value: str) -> Slots | None:
    """The changed verb stands in a clause that begins with one of these words."""
    verb = c.place("verb")
    mark = clause_mark(verb)
    if mark is None:
        matches = matcher(value)
        for i in range(c.c[0] - 1, max(-1, c.c[0] - 6), -1):
            token = c.after[i]
            if token.text in ",;:.!?":
                return None
            if matches(token.lower_) and token.tag_ in ("IN", "WRB", "RB"):
                return {"word": _whole_mark(token)}
        return None
    return {"word": _whole_mark(mark)} if matcher(value)(mark.lower_) else None


def _whole_mark(mark: Token) -> str:
    """The word that begins a clause, as a sentence about it quotes it: "as soon as" in full."""
    for first in (mark.i, mark.i - 2):
        words = mark.doc[max(0, first) : first + 3]
        if first >= 0 and len(words) == 3 and words[0].lower_ == words[2].lower_ == "as":
            return words.text.lower()
    return quoted(mark)


@predicate()
def none_of_forms(c: Change) -> bool:
    """The learner's word is no English word form."""
    return c.was.isalpha() and not lemmas(c.was) and bool(forms(c.was, "VB") or True)


@predicate()
def past_condition(c: Change) -> bool:
    """Another clause begins with "if" and its verb is past, and the change is not in it."""
    mark = next((t for t in c.after if t.lower_ in ("if", "unless")), None)
    if mark is None:
        return False
    end = next((t.i for t in c.after[mark.i :] if t.text in ",.;!?"), len(c.after))
    if mark.i <= c.c[0] < end and end < len(c.after) - 1:
        return False
    clause = c.after[mark.i : end] if not mark.i <= c.c[0] else c.after[mark.i : c.c[0]]
    if c.c[0] > mark.i and end >= len(c.after) - 1:
        return False
    return any(t.tag_ == "VBD" for t in clause)


@predicate()
def wish_clause(c: Change) -> bool:
    """The change stands soon after "wish" or "if only"."""
    return any(
        c.at(i) in ("wish", "wishes") or (c.at(i) == "only" and c.at(i - 1) == "if")
        for i in range(max(0, c.c[0] - 5), c.c[0])
    )


@predicate("modal")
def modal_before(c: Change) -> Slots | None:
    """A modal stands before the change and governs its verb; adverbs, "not" and the subject of a question may stand between."""
    return _auxiliary_before(c, word_set("modals"), "modal")


@predicate("do")
def do_before(c: Change) -> Slots | None:
    """ "Do", "does" or "did" stands before the change and governs its verb."""
    return _auxiliary_before(c, frozenset({"do", "does", "did"}), "do")


def _auxiliary_before(c: Change, known: frozenset[str], slot: str) -> Slots | None:
    verb = c.now_root if c.now_root is not None and c.now_root.pos_ in ("VERB", "AUX") else None
    for i in range(c.c[0] - 1, max(-1, c.c[0] - 7), -1):
        token = c.after[i]
        if token.lower_ in known and token.dep_ in ("aux", "ROOT", "auxpass", "conj"):
            near = c.c[0] - i <= 2
            if near or (verb is not None and token.head.i == verb.i):
                return {slot: quoted(token)}
            return None
        if token.text in ",.;:?!" or token.tag_ in ("VBZ", "VBP", "VBD", "CC", "TO"):
            return None
    return None


@predicate("have")
def have_before(c: Change) -> Slots | None:
    """ "Have" as an auxiliary stands before the changed participle."""
    return _helper(c, frozenset({"have", "has", "had", "'ve", "’ve", "having"}), ("aux",), "have")


@predicate("be")
def be_before(c: Change) -> Slots | None:
    """ "Be" as an auxiliary, or "get" in the passive, stands before the changed verb."""
    return _helper(c, word_set("be"), ("aux", "auxpass", "ROOT"), "be")


def _helper(c: Change, known: frozenset[str], deps: tuple[str, ...], slot: str) -> Slots | None:
    verb = c.now_root
    if verb is None:
        return None
    for child in verb.children:
        if child.dep_ in deps and child.i < c.c[0] and child.lower_ in known:
            return {slot: quoted(child)}
    left = c.place("left")
    if left is not None and left.lower_ in known:
        return {slot: quoted(left)}
    return None


@predicate()
def passive_before(c: Change) -> bool:
    """The word on the left is a passive participle, and not that of an active perfect: "was built", not "has risen"."""
    left = c.place("left")
    if left is None or left.tag_ != "VBN":
        return False
    helpers = {child.lemma_.lower() for child in left.children if child.dep_ in ("aux", "auxpass")}
    return "have" not in helpers or "be" in helpers


_MALE, _FEMALE = frozenset({"he", "him", "his", "himself"}), frozenset({"she", "her", "hers", "herself"})


@predicate("person")
def same_gender(c: Change) -> Slots | None:
    """A pronoun of the other gender was put right, and only persons of that gender are named before it."""
    male = c.was in _FEMALE and c.now in _MALE
    if not male and not (c.was in _MALE and c.now in _FEMALE):
        return None
    men = [t for t in c.after[: c.c[0]] if t.lower_ in word_set("kin_m")]
    women = [t for t in c.after[: c.c[0]] if t.lower_ in word_set("kin_f")]
    if (male and men and not women) or (not male and women and not men):
        return {"person": (men or women)[-1].text}
    return None


@predicate("noun")
def object_named(c: Change) -> Slots | None:
    """The pronoun that went stood between a verb and the noun that is its object."""
    left = c.place("left")
    if left is None or left.pos_ != "VERB":
        return None
    found = next((t for t in left.children if t.dep_ == "dobj" and t.i >= c.c[0] and t.tag_.startswith("NN")), None)
    return {"noun": found.text} if found is not None else None


def _role_of(pronoun: Token) -> tuple[str, str]:
    """What a pronoun is in its clause, in English and in Korean."""
    if pronoun.tag_ == "PRP$":
        return "the possessive", "소유격"
    before = pronoun.doc[pronoun.i - 1].lower_ if pronoun.i else ""
    if pronoun.lower_ in ("he", "she", "they") or before in ("that", "which", "who", "whom"):
        return "the subject", "주어"
    return "the object", "목적어"


@predicate("relative", "role", "krole")
def in_relative(c: Change) -> Slots | None:
    """The pronoun that went stood in a relative clause, and said again what the relative pronoun says."""
    went = c.o_tokens[0]
    role, krole = _role_of(went)
    for i in range(c.c[0] - 1, max(-1, c.c[0] - 8), -1):
        token = c.after[i]
        if (
            token.lower_ in (("whose",) if role == "the possessive" else ("that", "which", "who", "whom"))
            and i > 0
            and c.after[i - 1].pos_ in ("NOUN", "PROPN", "PRON")
        ):
            return (
                {"relative": token.lower_, "role": role, "krole": krole}
                if token.dep_ in ("dobj", "pobj", "nsubjpass", "attr", "dative", "mark", "nsubj", "poss")
                else None
            )
        if token.text in ",.;:?!":
            return None
    return None


@predicate()
def called_before(c: Change) -> bool:
    """A form of "call" follows in the question."""
    return any(t.lemma_ == "call" for t in c.after[c.c[1] : c.c[1] + 8])


_THINKING = frozenset({"think", "believe", "suppose", "expect"})


@predicate("verb")
def negated_verb(c: Change) -> Slots | None:
    """The full verb behind do and not."""
    at = next((k for k, t in enumerate(c.c_tokens) if t.lower_ in ("not", "n't", "n’t")), None)
    rest = c.c_tokens[at + 1 :] if at is not None else []
    found = next((t for t in rest if t.tag_ == "VB"), None)
    return {"verb": found.text} if found is not None else None


@predicate()
def negative_raised(c: Change) -> bool:
    """The negative went from the clause to the verb of thinking before it."""
    thinks = [t for t in c.c_tokens if t.lemma_ in _THINKING]
    if not thinks or not c.now.startswith(("do n't", "does n't", "did n't", "do not", "n't", "not", "does not")):
        return False
    was = c.was.split()
    verb = next((i for i, word in enumerate(was) if lemmas(word, "VERB") & _THINKING), -1)
    if not any(word in ("not", "n't") for word in was[verb + 1 :]):
        return False  # "I am not believing": the negative stood before the verb already.
    return c.now.split().count("n't") + c.now.split().count("not") == 1


@predicate("word")
def after_fronted_negative(c: Change) -> Slots | None:
    """An opening "never", "rarely", "hardly", "not only" or "only after …" stands before the change."""
    left = c.at(c.c[0] - 1)
    first = c.after[max(0, c.c[0] - 2)].is_sent_start or c.c[0] <= 2
    if first and left in ("never", "rarely", "seldom", "hardly", "only", "little", "nor", "neither", "so"):
        return {"word": "not only" if left == "only" and c.at(c.c[0] - 2) == "not" else left}
    start = c.after[min(c.c[0], len(c.after) - 1)].sent.start
    if c.at(start) == "only" and 1 < c.c[0] - start <= 6 and c.at(start + 1) in ("after", "when", "then", "by", "in"):
        return {"word": f"only {c.at(start + 1)}"}
    return None


@predicate()
def one_word_each(c: Change) -> bool:
    """Both sides are one word."""
    return c.was.isalpha() and c.now.isalpha()


@predicate("object")
def object_noun(c: Change) -> Slots | None:
    """The changed verb has a noun as its object."""
    verb = c.now_root
    if verb is None or verb.pos_ not in ("VERB", "AUX"):
        return None
    found = next(
        (t for t in verb.children if t.dep_ in ("dobj", "nsubjpass") and t.tag_.startswith("NN") and t.i >= c.c[1]),
        None,
    )
    if found is not None and found.lower_ in ("lot", "lots", "bit", "couple", "kind", "kinds"):
        # "a lot of fun" is about the fun.
        inside = (t for of in found.children if of.lower_ == "of" for t in of.children if t.dep_ == "pobj")
        found = next(inside, found)
    return {"object": found.text} if found is not None else None


@predicate()
def said_earlier(c: Change, value: str) -> bool:
    """One of these words or phrases stands before the change in its sentence."""
    start = c.c[0]
    while start > 0 and c.at(start - 1) not in (".", "!", "?"):
        start -= 1
    words = " " + " ".join(t.lower_ for t in c.after[start : c.c[0]]) + " "
    return any(f" {phrase} " in words for phrase in value.split("|"))


@predicate()
def written_earlier(c: Change, value: str) -> bool:
    """One of these words stands among the learner's six words before the change."""
    start = c.o[0]
    return any(t.lower_ in value.split("|") for t in c.before[max(0, start - 6) : start])


@predicate()
def doubled_word(c: Change) -> bool:
    """The words that went stand again right before or right behind."""
    words = c.was.split()
    if not words or not all(word.replace("'", "").isalpha() for word in words) or c.was in ("had", "that"):
        return False
    count = len(words)
    before = [c.at(i) for i in range(c.c[0] - count, c.c[0])]
    behind = [c.at(i) for i in range(c.c[0], c.c[0] + count)]
    return words in (before, behind)
