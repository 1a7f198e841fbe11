"""Punctuation, capitals, spaces and apostrophes.

Belongs here: where a mark stands. Does not belong here: spelling (spelling.py).
"""

from __future__ import annotations

import re

from correctly_assets.correction.points.change import Change, subject_of
from correctly_assets.correction.points.conditions import Slots, predicate, quoted, word_set, words

_MARK = re.compile(r"[,.;:!?]")


def _start(c: Change, i: int) -> int:
    """Where the sentence that holds token ``i`` begins."""
    while i > 0 and c.at(i - 1) not in (".", "!", "?"):
        i -= 1
    return i


def _finite_before(c: Change, start: int, end: int) -> bool:
    return any(subject_of(t) is not None for t in c.after[start:end] if t.pos_ in ("VERB", "AUX"))


def _comma(c: Change) -> int | None:
    """The position of the one comma that the change puts in; in the corrected sentence."""
    return c.c[0] if c.now == "," else None


@predicate("word")
def comma_after_opener(c: Change) -> Slots | None:
    """A comma went in after an opening word or phrase such as "However" or "For example"."""
    i = _comma(c)
    if not i:
        return None
    start = next((k + 1 for k in range(i - 1, -1, -1) if c.at(k) in (".", "!", "?", ";")), 0)
    opening = c.after[start:i]
    if opening.text.lower() in words()["openers"]:
        return {"word": opening.text}
    return None


@predicate("word")
def comma_after_clause(c: Change) -> Slots | None:
    """A comma went in after an opening clause that begins with if, when …"""
    i = _comma(c)
    if not i:
        return None
    start = _start(c, i)
    joined_at = (
        k for k in range(i - 2, start, -1) if c.at(k) in ("if", "when") and c.at(k - 1) in ("and", "but", "so")
    )
    start = next(joined_at, start)
    first = c.at(start)
    if first in ("and", "but", "so") and start + 1 < i:
        start, first = start + 1, c.at(start + 1)
    every_time = first in ("every", "each") and c.at(start + 1) == "time"
    if not (first in word_set("clause_starts") or every_time) or i - start < 3:
        return None
    if not _finite_before(c, start, i) or i + 1 >= len(c.after) or c.after[i + 1].lower_ in ("and", "or"):
        return None
    return {"word": c.after[start : start + 2].text if every_time else c.after[start].text}


@predicate("word")
def comma_after_phrase(c: Change) -> Slots | None:
    """A comma went in after an opening phrase without a verb, e.g. "After a long day"."""
    i = _comma(c)
    if not i:
        return None
    start = _start(c, i)
    first = c.after[start]
    if (
        i - start < 3
        or first.tag_ not in ("IN", "RB", "TO", "VBG", "VBN", "NN", "DT", "JJ")
        or (first.tag_ in ("NN", "DT", "JJ") and c.after[i - 1].lemma_.lower() not in words()["time_units"])
        or _finite_before(c, start, i)
    ):
        return None
    verb_after = any(t.pos_ in ("VERB", "AUX") and subject_of(t) is not None for t in c.after[i + 1 : i + 12])
    return {"word": quoted(first)} if verb_after and not any(t.text == "," for t in c.after[start:i]) else None


@predicate("word")
def comma_between_clauses(c: Change) -> Slots | None:
    """A comma went in before and, but, so, or, with a subject and a verb on both sides."""
    i = _comma(c)
    if not i or c.at(i + 1) not in ("and", "but", "so", "or", "yet"):
        return None
    start = _start(c, i)
    later = c.after[i + 2 : i + 9]
    both = any(
        subject_of(t) is not None and (s := subject_of(t)) is not None and s.i > i
        for t in later
        if t.pos_ in ("VERB", "AUX")
    )
    return {"word": c.after[i + 1].text} if both and _finite_before(c, start, i) else None


@predicate()
def comma_in_list(c: Change) -> bool:
    """A comma went in between items of a list."""
    i = _comma(c)
    if not i or i + 1 >= len(c.after):
        return False
    left, right = c.after[i - 1], c.after[i + 1]
    if right.lower_ in ("and", "or"):
        return any(t.text == "," for t in c.after[max(0, i - 6) : i])
    both_ing = left.lower_.endswith("ing") and right.lower_.endswith("ing")
    alike = left.pos_ == right.pos_ or left.tag_[:1] == right.tag_[:1] or both_ing
    later = any(t.lower_ in ("and", "or") for t in c.after[i + 1 : i + 8])
    return alike and left.pos_ in ("NOUN", "ADJ", "PROPN", "VERB", "ADV") and (later or left.pos_ == "ADJ")


@predicate("word")
def comma_before_relative(c: Change) -> Slots | None:
    """A comma went in before "which", "who", "whose" or "where", also with its preposition: "from which"."""
    i = _comma(c)
    if not i or i + 2 >= len(c.after):
        return None
    k = i + 2 if c.after[i + 1].tag_ == "IN" and c.at(i + 2) in ("which", "whom", "whose", "where") else i + 1
    return {"word": c.at(k)} if k > i + 1 or c.at(k) in ("which", "who", "whose", "where") else None


@predicate()
def comma_closes(c: Change) -> bool:
    """A comma went in behind words that a comma opens, between a subject and its verb."""
    i = _comma(c)
    if not i or i + 1 >= len(c.after) or c.after[i + 1].pos_ not in ("VERB", "AUX"):
        return False
    verb = c.after[i + 1]
    subject = subject_of(verb.head if verb.dep_ in ("aux", "auxpass") else verb)
    return subject is not None and any(t.text == "," for t in c.after[subject.i : i])


@predicate()
def comma_greeting(c: Change) -> bool:
    """A comma went in after "Dear Ms Kim", "Hi Tom", "Hello"."""
    i = _comma(c)
    if not i or i > 4:
        return False
    start = _start(c, i)
    return c.at(start) in ("hi", "hello", "dear", "hey") and not _finite_before(c, start, i)


_VERBLESS = frozenset({"sorry", "thanks", "thank", "good", "congratulations", "welcome", "hello", "hi"})
"""Words that open a sentence without a subject: "Thank you for your letter", "Good morning, everybody"."""


@predicate()
def two_sentences(c: Change) -> bool:
    """A full stop or semicolon came in place of a comma, or of nothing, between two full sentences."""
    i = next((t.i for t in c.c_tokens if t.text in ".;:!?"), None)
    if i is None or i + 1 >= len(c.after):
        return False
    start = _start(c, i)
    if c.at(start) in word_set("clause_starts") and not any(t.text == "," for t in c.after[start:i]):
        return False
    ahead = any(
        subject_of(t) is not None and (s := subject_of(t)) is not None and s.i > i
        for t in c.after[i + 1 : i + 10]
        if t.pos_ in ("VERB", "AUX")
    )
    first = c.after[i + 2] if c.at(i + 1) == "please" and i + 2 < len(c.after) else c.after[i + 1]
    opening = c.after[start + 1 if c.at(start) == "please" else start]
    request = opening.tag_ in ("VB", "VBP") and (opening.pos_ == "VERB" or opening.lower_ == "do")
    whole = c.at(start) in _VERBLESS or request or _finite_before(c, start, i)
    order = first.tag_ in ("VB", "VBP") and first.pos_ == "VERB" and subject_of(first) is None
    return (ahead or order) and whole


@predicate("subject")
def comma_after_subject(c: Change) -> Slots | None:
    """The comma that went stood between the subject and its verb."""
    verb = c.place("right")
    if verb is None or verb.pos_ not in ("VERB", "AUX"):
        return None
    main = verb.head if verb.dep_ in ("aux", "auxpass") else verb
    subject = subject_of(main)
    if subject is None or subject.i >= c.c[0] or max(t.i for t in subject.subtree) != c.c[0] - 1:
        return None
    return {"subject": quoted(subject)}


@predicate("verb", "word")
def comma_before_that(c: Change) -> Slots | None:
    """The comma that went stood between a verb and its clause with that, if, what …"""
    left, right = c.place("left"), c.place("right")
    if (
        left is None
        or right is None
        or right.lower_ not in ("that", "if", "whether", "what", "how", "why", "where", "who")
    ):
        return None
    so_that = right.lower_ == "that" and any(c.at(k) in ("so", "such") for k in range(max(0, left.i - 3), left.i))
    # "He told me, that …", "It is important, that …": no relative clause, but one that the words before ask for.
    marked = right.dep_ == "mark" and right.lower_ in ("that", "whether") and left.pos_ in ("ADJ", "PRON", "NOUN")
    asked = left.pos_ in ("VERB", "AUX") or so_that or marked
    return {"verb": quoted(left), "word": right.lower_} if asked else None


@predicate("word")
def comma_before(c: Change, value: str) -> Slots | None:
    """The comma that went stood before one of these words."""
    right = c.place("right")
    return {"word": right.lower_} if right is not None and right.lower_ in value.split("|") else None


@predicate("word")
def short_form(c: Change) -> Slots | None:
    """An apostrophe went into a short form: dont → don't."""
    was, now = c.was_text.replace("’", "'"), c.now_text.replace("’", "'")
    if (
        was == now
        or "'" not in now
        or re.sub(r"[' ]", "", was).lower() != now.replace("'", "").replace(" ", "").lower()
    ):
        return None
    whole = next(word for word in reversed(c.now_text.split()) if "'" in word.replace("’", "'"))
    if whole.lower().startswith(("'", "’", "n'", "n’")) and c.c[0] and not c.after[c.c[0] - 1].whitespace_:
        whole = c.after[c.c[0] - 1].text + whole
    return {"word": whole} if re.search(r"(n't|'(re|m|ve|ll|d|s))$", now) and not _owner(c) else None


def _owner(c: Change) -> bool:
    return any(t.tag_ == "POS" for t in c.c_tokens)


@predicate("owner")
def owner(c: Change, kind: str) -> Slots | None:
    """An apostrophe marks the owner now: "'s" after a singular, "'" after a plural."""
    tokens = list(c.c_tokens)
    mark = next((t for t in tokens if t.tag_ == "POS"), None)
    if mark is None or mark.i == 0:
        return None
    noun = c.after[mark.i - 1]
    plural = mark.text in ("'", "’")
    if plural != (kind == "plural") or (plural and not noun.lower_.endswith("s")):
        return None
    return {"owner": noun.text + mark.text}


@predicate()
def letter_case(c: Change, kind: str) -> bool:
    """Only capitals differ; kind: up, down."""
    was, now = c.was_text, c.now_text
    if was == now or was.lower() != now.lower():
        return False
    more = sum(ch.isupper() for ch in now) > sum(ch.isupper() for ch in was)
    return more == (kind == "up")


@predicate()
def starts_sentence(c: Change) -> bool:
    """The changed word is the first of a sentence."""
    i = c.c[0]
    return i == 0 or c.at(i - 1) in (".", "!", "?", '"', "“") or (i == 1 and c.at(0) in ("'", "‘", "-", "("))


@predicate()
def name_word(c: Change) -> bool:
    """The changed word is a name as the parser and the lists see it."""
    root = c.now_root
    return root is not None and root.tag_ in ("NNP", "NNPS")


@predicate()
def joined(c: Change) -> bool:
    """Several words became one, letters unchanged."""
    return (
        " " in c.was_text
        and not _MARK.search(c.was_text + c.now_text)
        and " " not in c.now_text
        and _letters(c.was_text) == _letters(c.now_text)
        and "-" not in c.now_text
    )


@predicate()
def parted(c: Change) -> bool:
    """One word became several, letters unchanged."""
    if _MARK.search(c.was_text + c.now_text):
        return False
    return " " not in c.was_text and " " in c.now_text and _letters(c.was_text) == _letters(c.now_text)


@predicate("phrase")
def hyphened(c: Change) -> Slots | None:
    """A hyphen joins the words now."""
    if "-" not in c.now_text or "-" in c.was_text or _letters(c.was_text) != _letters(c.now_text):
        return None
    a, b = c.c
    while a > 0 and not c.after[a - 1].whitespace_:
        a -= 1
    while b < len(c.after) and not c.after[b - 1].whitespace_ and not c.after[b].is_punct:
        b += 1
    return {"phrase": c.after[a:b].text}


@predicate()
def unhyphened(c: Change) -> bool:
    """Only the hyphen between two words was taken out."""
    return "-" in c.was_text and "-" not in c.now_text and _letters(c.was_text) == _letters(c.now_text)


def _letters(text: str) -> str:
    return re.sub(r"[\W_]", "", text).casefold()


@predicate()
def space_put_after(c: Change) -> bool:
    """Only a space after a mark is new."""
    was, now = c.was_text, c.now_text
    return (
        _letters(was) == _letters(now)
        and was != now
        and re.sub(r"([,.;:!?])\s*", r"\1 ", was).strip() == re.sub(r"([,.;:!?])\s*", r"\1 ", now).strip()
        and len(now) > len(was)
    )


@predicate()
def space_taken_before(c: Change) -> bool:
    """Only a space before a mark went."""
    i = next((t.i for t in c.c_tokens if t.text in (",", ".", "?", "!", ";", ":")), None)
    same = [t.text for t in c.o_tokens] == [t.text for t in c.c_tokens]
    if i is None or not same:
        return False
    k = i - c.c[0] + c.o[0]
    return k > 0 and bool(c.before[k - 1].whitespace_) and not c.after[i - 1].whitespace_


_CLAUSE_OPENERS = frozenset(
    ["although", "though", "because", "since", "as", "if", "when", "while", "even", "despite", "unless"]
)


@predicate("word")
def clause_opened_by(c: Change) -> Slots | None:
    """The sentence begins with a clause of although, because, if …, and the change stands after its comma."""
    i = c.c[0]
    start = _start(c, max(0, i - 1))
    first = c.at(start)
    if first not in _CLAUSE_OPENERS or not (any(t.text == "," for t in c.after[start:i]) or c.at(i) == ","):
        return None
    return {"word": c.after[start].text if first != "even" else f"{c.after[start].text} {c.at(start + 1)}"}


@predicate()
def in_list(c: Change) -> bool:
    """What the commas stand around is a part of a list, and no insertion."""
    return any(t.dep_ == "conj" for t in c.c_tokens) and (
        c.at(c.c[1]) in ("and", "or") or "and" in c.now or "or" in c.now
    )


@predicate()
def only_commas(c: Change) -> bool:
    """Nothing but commas went in."""
    return [t.text for t in c.o_tokens] == [t.text for t in c.c_tokens if t.text != ","]
