"""Words that stood in another place, and the order of questions.

Belongs here: what was moved, and where to. Does not belong here: other relations (syntax.py), punctuation (marks.py).
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

from correctly_assets.correction.points.change import Change
from correctly_assets.correction.points.conditions import Slots, predicate, quoted, word_set
from correctly_assets.correction.points.predicates.forms import lemmas

if TYPE_CHECKING:
    from spacy.tokens import Token


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
    went, came = Counter(was) - Counter(now), Counter(now) - Counter(was)
    if went.total() == came.total() == 1 and lemmas(*went, "VERB") & lemmas(*came, "VERB"):
        # The verb got its ending as the adverb moved: "speak already" → "already speaks".
        was[was.index(next(iter(went)))] = next(iter(came))
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


@predicate()
def adjectives_reordered(c: Change) -> bool:
    """Adjectives before a noun changed places."""
    words = [t for t in c.c_tokens if t.text != ","]
    adjectives = [t for t in words if t.pos_ == "ADJ" or t.dep_ == "amod"]
    was = [word for word in c.was.split() if word != ","]
    swapped = Counter(was) == Counter(t.lower_ for t in words) and was != [t.lower_ for t in words]
    return len(adjectives) == len(words) > 1 and swapped


_TIMES = ("yesterday", "today", "tomorrow", "tonight")
_UNITS = word_set("last_units") | {"day", "morning", "afternoon", "evening"}


@predicate("time")
def time_moved(c: Change) -> Slots | None:
    """A time went from the middle of the sentence to its beginning or end."""
    place = _moved_one(c)
    if place is None:
        return None
    i, j, length = place
    # Of two neighbours that changed places, either may be the one that moved.
    for start, to, size in ((i, j, length), (i + length, 0, len(c.c_tokens) - length)) if j else ((i, j, length),):
        piece = c.o_tokens[start : start + size]
        phrase = len(piece) == 2 and piece[0].lower_ in ("last", "next", "every") and piece[1].lower_ in _UNITS
        if not piece or not (phrase or (len(piece) == 1 and piece[0].lower_ in _TIMES)):
            continue
        first, end = c.c_tokens[to], c.c[0] + to + size
        at_end = end >= len(c.after) or c.after[end].is_punct
        if piece[0].i > 0 and not piece[0].is_sent_start and (first.is_sent_start or at_end):
            return {"time": " ".join(t.lower_ for t in piece)}
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
            # A direct question after "?" or at the start is none, nor is a relative clause.
            return None if c.after[i].is_sent_start or _relative(c, i) else {"question": word}
        if word in ("if", "whether"):
            return {"question": word}
    return None


def _relative(c: Change, i: int) -> bool:
    """Whether the question word at ``i`` begins a relative clause: "the town where …", "the roof, from which …"."""
    word = c.after[i]
    clause = word.head if word.dep_ != "pobj" else word.head.head
    if clause.dep_ == "relcl":
        return True
    return i > 1 and c.after[i - 1].tag_ == "IN" and (c.at(i - 2) == "," or c.after[i - 2].pos_ in ("NOUN", "PROPN"))


@predicate("question")
def embedded_do(c: Change) -> Slots | None:
    """In an indirect question, do went."""
    helpers = [sum(word in ("do", "does", "did") for word in side.split()) for side in (c.was, c.now)]
    full = any(t.lower_ in ("do", "does", "did") and t.dep_ not in ("aux", "auxpass") for t in c.c_tokens)
    if helpers[0] <= helpers[1] or helpers[1] > full:
        return None
    own = frozenset().union(*(lemmas(word) for word in c.was.split()))
    if any(not lemmas(word) & own for word in c.now.split() if word not in c.was.split() and word.isalpha()):
        return None  # Another word came in: more than do and its ending changed.
    for i in range(c.c[0] - 1, max(-1, c.c[0] - 5), -1):
        word = c.at(i)
        if (word in word_set("question_words") and not c.after[i].is_sent_start) or word in ("if", "whether"):
            return {"question": word}
    return None


@predicate()
def relative_order(c: Change) -> bool:
    """In a relative clause, the subject went before the auxiliary: "from where could we" → "from where we could"."""
    was, now, i = c.was.split(), c.now.split(), c.c[0] - 1
    turned = len(now) == 2 and was == now[::-1] and was[0] in word_set("auxiliaries")
    return turned and i > 0 and c.at(i) in word_set("question_words") and _relative(c, i)


@predicate()
def question_with_do(c: Change) -> bool:
    """A verb before its subject became do, the subject and the base form: "costs it" → "does it cost"."""
    was, now = c.was.split(), c.now.split()
    went, came = Counter(was) - Counter(now[1:]), Counter(now[1:]) - Counter(was)
    if not came:  # "Work they" → "do they work"
        verb = was[0]
        return bool(lemmas(verb, "VERB")) and verb in now[1:] and len(now) == len(was) + 1
    return (
        went.total() == came.total() == 1
        and was[0] == next(iter(went))
        and bool(lemmas(*went, "VERB") & lemmas(*came, "VERB"))
    )


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
