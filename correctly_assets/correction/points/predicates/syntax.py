"""Subjects, objects and what follows what.

Belongs here: relations that take more than one token to say. Does not belong here: punctuation (marks.py), spelling.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

from correctly_assets.correction.points.change import Change, subject_of
from correctly_assets.correction.points.conditions import Slots, matcher, predicate, quoted, word_set
from correctly_assets.correction.points.predicates.forms import can_be, forms, lemmas

if TYPE_CHECKING:
    from spacy.tokens import Token

_SINGULAR = {"he", "she", "it", "this", "that", "everyone", "everybody", "someone", "somebody", "nobody", "everything",
             "something", "nothing", "anyone", "anything", "anybody", "each", "one"}  # fmt: skip
_PLURAL = {"we", "they", "you", "these", "those", "people", "police", "both", "many", "few"}
_THIRD = {"is", "was", "has", "does"}
_PLAIN = {"are", "were", "have", "do", "am"}


def number_of(subject: Token) -> str | None:
    """``singular``, ``plural``, or None where either may be right."""
    low = subject.lower_
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


def verb_number(word: str) -> str | None:
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


@predicate("subject")
def agrees(c: Change, number: str) -> Slots | None:
    """A verb's form for one number became that for the other, and the subject's number asks for it."""
    was, now = c.was, c.now
    if " " in was or " " in now or not (lemmas(was, "VERB") & lemmas(now, "VERB")):
        return None
    if verb_number(now) != number or verb_number(was) == number or verb_number(was) is None:
        return None
    subject = _finite_subject(c)
    if subject is None or subject.lower_ in ("there", "what", "i") or number_of(subject) != number:
        return None
    if subject.tag_ == "PRP" or subject.lower_ in ("who", "which"):
        return None
    return {"subject": _short_subject(subject)}


def _short_subject(subject: Token) -> str:
    if subject.lower_ == "one":
        return "one"
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
    if subject is None or subject.tag_ != "PRP":
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
    noun = next((t for t in c.after[c.c[1] : c.c[1] + 8] if t.tag_ in ("NN", "NNS") and t.dep_ != "compound"), None)
    if noun is None:
        return None
    plural = noun.tag_ == "NNS" or any(child.dep_ == "conj" for child in noun.children)
    return {"subject": quoted(noun)} if plural == (c.now in ("are", "were", "have")) else None


@predicate("subject")
def subject_is(c: Change, kind: str) -> Slots | None:
    """The subject of the changed verb: a list or words, as in a condition's value."""
    subject = _finite_subject(c)
    if subject is None:
        return None
    return {"subject": quoted(subject)} if matcher(kind)(subject.lower_) else None


@predicate()
def moved(c: Change) -> bool:
    """The same words in another order."""
    was, now = c.was.split(), c.now.split()
    return len(was) > 1 and was != now and Counter(was) == Counter(now)


def _moved_one(c: Change) -> tuple[int, int, int] | None:
    """Where one word or phrase went: (position in was, position in now, length), when all else kept its order."""
    was, now = c.was.split(), c.now.split()
    if len(was) < 2 or Counter(was) != Counter(now) or was == now:
        return None
    for length in range(1, len(was)):
        for i in range(len(was) - length + 1):
            rest, piece = was[:i] + was[i + length :], was[i : i + length]
            for j in range(len(now) - length + 1):
                if i != j and now[j : j + length] == piece and now[:j] + now[j + length :] == rest:
                    return i, j, length
    return None


_SMALL = ("IN", "MD", "TO", "DT", "CC", "RP")


@predicate()
def phrase_moved(c: Change) -> bool:
    """One word or phrase went elsewhere and all else kept its order; a lone preposition, modal or article is no phrase."""
    place = _moved_one(c)
    if place is None:
        return False
    _, j, length = place
    piece = c.c_tokens[j : j + length]
    rest = len(c.c_tokens) - length
    other = [t for k, t in enumerate(c.c_tokens) if not j <= k < j + length]
    return not any(all(t.tag_ in _SMALL for t in side) for side in ((piece, other) if rest <= 2 else (piece,)))


@predicate("adverb")
def adverb_moved(c: Change, where: str) -> Slots | None:
    """An adverb went to its place: before the main verb, after be, after the auxiliary, or after the object."""
    was, now = c.was.split(), c.now.split()
    if len(was) < 2 or Counter(was) != Counter(now) or was == now:
        return None
    tokens = list(c.c_tokens)
    adverbs = [t for t in tokens if t.tag_ in ("RB", "RBR", "RBS") and t.lower_ not in ("not", "n't")]
    if not adverbs:
        return None
    adverb = adverbs[-1] if where == "object" else adverbs[0]
    if where == "object":
        if not _is_object_before(tokens, adverb) or adverb is not tokens[-1]:
            return None
        first = adverbs[0]
        return {"adverb": c.after[first.i : adverb.i + 1].text if adverb.i - first.i <= 1 else adverb.text}
    left, right = c.at(adverb.i - 1), c.after[adverb.i + 1] if adverb.i + 1 < len(c.after) else None
    old = was.index(adverb.lower_) if adverb.lower_ in was else -1
    if adverb.lower_ not in word_set("mid_adverbs"):
        return None
    before = c.after[adverb.i - 1] if adverb.i else None
    if where == "be" and left in word_set("be") and left in was and old < was.index(left):
        full = right is not None and right.tag_ in ("VBG", "VBN") and before is not None and before.dep_ != "ROOT"
        return None if full else {"adverb": quoted(adverb)}
    if where == "auxiliary" and before is not None and (before.dep_ in ("aux", "auxpass") or left in ("not", "n't")):
        return {"adverb": quoted(adverb)}
    if where == "verb" and right is not None and right.tag_.startswith("VB") and right.lower_ not in word_set("be"):
        if before is not None and before.dep_ in ("aux", "auxpass"):
            return None
        return {"adverb": quoted(adverb)}
    return None


def _is_object_before(tokens: list[Token], adverb: Token) -> bool:
    return any(t.dep_ in ("dobj", "pobj", "dative", "attr", "oprd") and t.i < adverb.i for t in tokens)


@predicate("word")
def enough_moved(c: Change) -> Slots | None:
    """ "enough good" became "good enough"."""
    was, now = c.was.split(), c.now.split()
    if len(now) >= 2 and now[-1] == "enough" and was[:1] == ["enough"] and was[1:] == now[:-1]:
        return {"word": now[-2]}
    return None


@predicate("adjective", "noun")
def adjective_moved(c: Change) -> Slots | None:
    """An adjective went before its noun."""
    place = _moved_one(c)
    tokens = list(c.c_tokens)
    if place is None:
        return None
    for a, b in pairwise(tokens):
        if a.tag_.startswith("JJ") and b.tag_ in ("NN", "NNS") and a.dep_ in ("amod", "compound"):
            was = c.was.split()
            if a.lower_ in was and b.lower_ in was and was.index(a.lower_) > was.index(b.lower_):
                return {"adjective": a.text, "noun": b.text}
    return None


@predicate("question")
def embedded_order(c: Change) -> Slots | None:
    """In an indirect question, the subject went before the verb."""
    if Counter(c.was.split()) != Counter(c.now.split()) or len(c.now.split()) < 2 or c.was == c.now:
        return None
    verb = next((t for t in c.c_tokens if t.pos_ in ("AUX", "VERB")), None)
    if verb is None or c.was.split()[0] not in word_set("auxiliaries") or "," in c.was:
        return None
    for i in range(c.c[0] - 1, max(-1, c.c[0] - 5), -1):
        word = c.at(i)
        if word in word_set("question_words") and i > 0:
            # A direct question after "?" or at the start is none.
            return None if c.after[i].is_sent_start else {"question": word}
        if word in ("if", "whether"):
            return {"question": word}
    return None


@predicate("question")
def embedded_do(c: Change) -> Slots | None:
    """In an indirect question, do went."""
    helpers = [sum(word in ("do", "does", "did") for word in side.split()) for side in (c.was, c.now)]
    full = any(t.lower_ in ("do", "does", "did") and t.dep_ not in ("aux", "auxpass") for t in c.c_tokens)
    if helpers[0] <= helpers[1] or helpers[1] > full:
        return None
    for i in range(c.c[0] - 1, max(-1, c.c[0] - 5), -1):
        word = c.at(i)
        if (word in word_set("question_words") and not c.after[i].is_sent_start) or word in ("if", "whether"):
            return {"question": word}
    return None


@predicate()
def is_question(c: Change) -> bool:
    """The sentence that the change stands in ends in a question mark."""
    end = next((t for t in c.after[c.c[0] :] if t.text in ".!?"), None)
    return end is not None and end.text == "?"


@predicate()
def question_turned(c: Change) -> bool:
    """In a question, the verb went before its subject."""
    was, now = c.was.split(), c.now.split()
    if Counter(was) != Counter(now) or was == now or len(now) < 2:
        return False
    first = c.after[c.c[0]]
    start = (
        c.c[0] == 0
        or c.after[c.c[0]].is_sent_start
        or any(c.at(i) in word_set("question_words") for i in range(max(0, c.c[0] - 3), c.c[0]))
    )
    auxiliary = first.lower_ in word_set("auxiliaries") or first.pos_ == "AUX"
    return bool(start and auxiliary and is_question(c))


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
    if subject is None or subject.tag_ not in ("NN", "NNS", "NNP", "NNPS", "DT") or subject.i >= c.c[0]:
        return None
    return {"subject": quoted(subject), "pronoun": c.was_text.lower() if c.was != "i" else "I"}


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
    said = {t.lower_ for t in c.after}
    return bool(said & {"would", "could", "might", "'d"}) and bool(said & {"if", "unless", "wish"})


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
                return {"word": quoted(token)}
        return None
    return {"word": quoted(mark)} if matcher(value)(mark.lower_) else None


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


@predicate("relative")
def in_relative(c: Change) -> Slots | None:
    """The pronoun that went stood in a relative clause, after its verb or preposition."""
    for i in range(c.c[0] - 1, max(-1, c.c[0] - 8), -1):
        token = c.after[i]
        if (
            token.lower_ in ("that", "which", "who", "whom")
            and i > 0
            and c.after[i - 1].pos_ in ("NOUN", "PROPN", "PRON")
        ):
            return (
                {"relative": token.lower_}
                if token.dep_ in ("dobj", "pobj", "nsubjpass", "attr", "dative", "mark", "nsubj")
                else None
            )
        if token.text in ",.;:?!":
            return None
    return None


@predicate()
def called_before(c: Change) -> bool:
    """A form of "call" follows in the question."""
    return any(t.lemma_ == "call" for t in c.after[c.c[1] : c.c[1] + 8])


@predicate()
def negative_raised(c: Change) -> bool:
    """The negative went from the clause to the verb of thinking before it."""
    thinks = [t for t in c.c_tokens if t.lemma_ in ("think", "believe", "suppose", "expect")]
    if not thinks or not c.now.startswith(("do n't", "does n't", "did n't", "do not", "n't", "not", "does not")):
        return False
    return (
        any(w in ("not", "n't") for w in c.was.split()) and c.now.split().count("n't") + c.now.split().count("not") == 1
    )


@predicate()
def after_fronted_negative(c: Change) -> bool:
    """An opening "never", "rarely", "hardly" or "not only" stands before the change."""
    left = c.at(c.c[0] - 1)
    first = c.after[max(0, c.c[0] - 2)].is_sent_start or c.c[0] <= 2
    return first and left in ("never", "rarely", "seldom", "hardly", "only", "little", "nor", "neither", "so")


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
    return {"object": found.text} if found is not None else None


@predicate()
def said_earlier(c: Change, value: str) -> bool:
    """One of these words or phrases stands before the change in its sentence."""
    start = c.c[0]
    while start > 0 and c.at(start - 1) not in (".", "!", "?"):
        start -= 1
    said = " " + " ".join(t.lower_ for t in c.after[start : c.c[0]]) + " "
    return any(f" {phrase} " in said for phrase in value.split("|"))


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
