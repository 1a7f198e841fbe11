"""Vetoes: which edits of an otherwise sound answer are not taken over. All pure.

Belongs here: rules by which a correction keeps what the writer said and how it is set: names, numbers, negation, clauses,
capitals, quotation marks, and stretches that are not prose. Does not belong here: whole answers (answer_guards.py).

They hold for every model alike. A large one seldom trips them; a small one rewrites what it does not know.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from difflib import SequenceMatcher

from correctly_assets.core.correction import GRAMMAR_WORDS, Dictionary
from correctly_assets.core.edits import apply_edits, touches
from correctly_assets.core.types import Edit
from correctly_assets.correction.surface_fixes import negates, put_right
from correctly_assets.language.sounds import spoken_either_way, vowel_sound

MAX_DROPPED = 2
"""Most words that one edit may take out beyond those it puts in, where words of content go with them."""

RIGHT_AS_IT_IS = frozenset({"capitals", "article", "twice"})
"""Reasons of vetoes that say that nothing is wrong with what the writer wrote."""

_NEAR = 40
"""Characters between the two halves of one change, at most."""

# A capital there is the sentence's or the speech's, not a name's.
_OPENS = re.compile(r"[.!?:]['\"”’)]*\s+[\"“‘'(]*$|(?:^|[\s(—–-])[\"“‘']$")
# A word written so on purpose: iPhone, d'Souza, api_timeout, MP3.
CODE_WORD = re.compile(r"[a-z]['’]?[A-Z]|\w_\w|\d")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_NEGATION = re.compile(
    r"\b(?:not|never|no|none|nobody|nothing|neither|nor|nowhere|cannot"
    r"|no-one|noone|(?:do|does|did|ca|wo|is|are|was|were|have|has|had|could|would|should|must|need|ai)n['’]?t)\b",
    re.I,
)
_MARKS = str.maketrans({"’": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "..."})
# A word that stands twice and is right: "What it is is clear", "We had had it", "He said that that was fine".
_TWICE = re.compile(
    r"\b(?:what|who|whoever|where|how|why|all)\b[^.,;!?]{1,40}?\b(?P<be>(?P<word>is|was) (?P=word))\b|\b(?P<had>had had)\b"
    r"|\b(?P<that>that that)(?= (?:is|was|were|would|will|has|had|can|could|should|may|might)\b)",
    re.I,
)
# "Because of the fact that", "in order to", "in a way": words of content in name only.
_EMPTY = frozenset({"fact", "order", "way", "kind", "sort", "case", "thing", "things"})


def kept_edits(
    text: str, edits: Sequence[Edit], protected: Sequence[tuple[int, int]], dictionary: Dictionary | None = None
) -> list[Edit]:
    """The edits of a sentence that are taken over.

    Where more than two thirds of them are vetoed, the answer was a rewriting rather than a correction: none is taken.

    Args:
        text: the sentence; offsets of ``edits`` and ``protected`` count in it.
        protected: ranges that must come back unchanged (`segment.protected_spans`).
        dictionary: words that may be brought in; any word where None.
    """
    edits = [edit for edit in edits if not _only_marks(edit)]
    after = apply_edits(text, edits)
    kept = [edit for edit in edits if not vetoed(edit, text, after, protected, dictionary)]
    return kept if 3 * len(kept) >= len(edits) else []


def doubtful(
    text: str, edits: Sequence[Edit], protected: Sequence[tuple[int, int]], dictionary: Dictionary | None = None
) -> list[Edit]:
    """The edits that leave a doubt about the sentence where none of them is taken over: all but those against which the writer is
    right."""
    after = apply_edits(text, edits)
    return [
        edit
        for edit in edits
        if not _only_marks(edit) and vetoed(edit, text, after, protected, dictionary) not in RIGHT_AS_IT_IS
    ]


def whole(found: Sequence[Edit], kept: Sequence[Edit]) -> list[Edit]:
    """What is kept, less every edit whose other half is not.

    "Visiting" taken out before a word and "visit" put in behind it are one change in two edits: the second alone would leave
    both words standing. So are two edits of one word ("gon" and "na").

    Args:
        found: all edits of the sentence; ``kept``: those of them that nothing else spoke against.
    """
    places = {(edit.start, edit.end, edit.now) for edit in kept}
    torn = {
        (one.start, one.end, one.now)
        for one in found
        for other in found
        if _are_halves(one, other) and (other.start, other.end, other.now) not in places
    }
    return [edit for edit in kept if (edit.start, edit.end, edit.now) not in torn]


def _are_halves(one: Edit, other: Edit) -> bool:
    """Whether two edits change parts of one word, or one takes out and the other puts in nearby a word or a form of it."""
    first, second = sorted((one, other), key=lambda edit: edit.start)
    if first.end == second.start and first.was[-1:].isalpha() and second.was[:1].isalpha():
        return True
    gone, come = (one, other) if one.was.strip() and not one.now.strip() else (other, one)
    if not gone.was.strip() or gone.now.strip() or come.was.strip() or not come.now.strip():
        return False
    if max(come.start - gone.end, gone.start - come.end) > _NEAR:
        return False
    words = [word.casefold() for word in _WORD.findall(gone.was)]
    return any(_alike(a, b.casefold()) for a in words for b in _WORD.findall(come.now))


def _alike(one: str, other: str) -> bool:
    stem = max(3, min(len(one), len(other)) - 1)
    return one == other or (len(one) > 3 and one[:stem] == other[:stem])


def vetoed(
    edit: Edit, text: str, after: str, protected: Sequence[tuple[int, int]], dictionary: Dictionary | None = None
) -> str | None:
    """Why one edit is not taken over; None where it is."""
    if touches(edit, protected):
        return "protected"
    was, now = re.findall(r"\d", edit.was), re.findall(r"\d", edit.now)
    if was != now and (now or not edit.now.strip()):
        return "number"
    if _loses_name(edit, text, after):
        return "name"
    if _changes_capitals_of_code(edit, dictionary):
        return "capitals"
    if _changes_negation(edit, text, after, dictionary):
        return "negation"
    if _drops_clause(edit, after):
        return "clause"
    if dictionary is not None and _invents_word(edit, text, dictionary):
        return "unknown word"
    if _loses_capitals(edit, text):
        return "capitals"
    if _turns_article(edit, text, after):
        return "article"
    if _parts_twins(edit, text, after):
        return "twice"
    return None


def _only_marks(edit: Edit) -> bool:
    """Whether both sides are the same text in other quotation marks, dashes or code points (a composed letter for two)."""

    def plain(words: str) -> str:
        return unicodedata.normalize("NFC", words).translate(_MARKS)

    return bool(edit.was.strip()) and edit.was != edit.now and plain(edit.was) == plain(edit.now)


def _loses_capitals(edit: Edit, text: str) -> bool:
    """Whether a word in capitals, as an abbreviation or for its weight, is put in small letters and is the same word otherwise; or
    the case of a sign such as α is turned."""
    if edit.was.casefold() != edit.now.casefold() or text.isupper():
        return False
    return any(
        (len(was) == 1 and not was.isascii() and was != now)
        or (len(was) > 1 and was.isupper() and not now.isupper() and was.casefold() not in GRAMMAR_WORDS)
        for was, now in zip(_WORD.findall(edit.was), _WORD.findall(edit.now), strict=False)
    )


def _turns_article(edit: Edit, text: str, after: str) -> bool:
    """Whether "a" is put for "an", or the other way, before a word that does not ask for it."""
    was, now = edit.was.strip().casefold(), edit.now.strip().casefold()
    if {was, now} != {"a", "an"}:
        return False
    follower = re.match(r"\s+([\w-]+)", text[edit.end :])
    if follower is None or f"{edit.now.strip()} {follower.group(1)}" not in after:
        return False
    word = follower.group(1)
    return spoken_either_way(word) or vowel_sound(word) != (now == "an")


def _parts_twins(edit: Edit, text: str, after: str) -> bool:
    """Whether one of two words that stand twice and are right goes."""
    for match in _TWICE.finditer(text):
        kind = next(name for name in ("be", "had", "that") if match[name])
        start, end = match.span(kind)
        if edit.start < end and start < edit.end and after.count(match[kind]) < text.count(match[kind]):
            return True
    return False


def _loses_name(edit: Edit, text: str, after: str) -> bool:
    """Whether a capitalised word from inside the sentence goes, unless a word much like it comes (Wensday, Wednesday)."""
    coming = [word.casefold() for word in _WORD.findall(edit.now)]
    for match in _WORD.finditer(edit.was):
        name = match.group()
        start = edit.start + match.start()
        opens = not text[:start].strip(" \"“‘'(") or _OPENS.search(text[:start])
        if (
            opens
            or name.casefold() in GRAMMAR_WORDS
            or not name[0].isupper()
            or len(name) < 3
            or name.casefold() in after.casefold()
        ):
            continue
        if not any(SequenceMatcher(None, name.casefold(), word).ratio() >= 0.6 for word in coming):
            return True
    return False


def _changes_capitals_of_code(edit: Edit, dictionary: Dictionary | None) -> bool:
    """Whether only capitals change in a word that is written so on purpose: iPhone, d'Souza, api_timeout, and not "tHe"."""
    if edit.was == edit.now or edit.was.casefold() != edit.now.casefold():
        return False
    words = [word for word in edit.was.split() if CODE_WORD.search(word)]
    return any(dictionary is None or not word.isalpha() or not dictionary.knows(word.casefold()) for word in words)


def _changes_negation(edit: Edit, text: str, after: str, dictionary: Dictionary | None) -> bool:
    """Whether an edit makes a sentence say the opposite. A negation that is spelt wrong is one ("did'nt", "know idea")."""
    knows = dictionary.knows if dictionary is not None else None

    def count(words: str) -> int:
        return len(_NEGATION.findall(words))

    def meant(words: str) -> str:
        return put_right(words, knows=knows)

    if bool(count(text)) == bool(count(after)) or count(edit.was) == count(edit.now):
        return False
    if dictionary is not None and _misspells_negation(edit.was, edit.now, dictionary):
        return False
    return bool(count(meant(text))) != bool(count(meant(after))) and count(meant(edit.was)) != count(meant(edit.now))


def _misspells_negation(was: str, now: str, dictionary: Dictionary) -> bool:
    """Whether what was written is no word and much like a negation that stands in its place ("dn't", "nevar")."""
    negations = [word.casefold().replace("’", "'") for word in _NEGATION.findall(now)]
    for word in was.split():
        letters = "".join(c for c in word.casefold() if c.isalpha())
        marked = bool(re.search(r"\w['’`´;,]\w", word)) and not re.search(
            r"['’](?:s|re|ve|ll|m|d)\W*$", word.casefold()
        )
        if len(letters) < 3 or not (marked or not dictionary.knows(letters)):
            continue
        if any(SequenceMatcher(None, letters, one.replace("'", "")).ratio() >= 0.65 for one in negations):
            return True
    return False


def _drops_clause(edit: Edit, after: str) -> bool:
    """Whether several words go for nothing and some of them carried content that stands nowhere else."""
    was, now = edit.was.split(), edit.now.split()
    if len(was) - len(now) <= MAX_DROPPED:
        return False
    left = {word.casefold() for word in _WORD.findall(after)}
    gone = {word.casefold() for word in _WORD.findall(edit.was)} - left - GRAMMAR_WORDS - _EMPTY
    return any(not any(word[:4] == other[:4] for other in left) for word in gone)


def _invents_word(edit: Edit, text: str, dictionary: Dictionary) -> bool:
    # A backtick in the place of an apostrophe parts no word.
    known = {word.casefold() for word in _WORD.findall(text.replace("`", "'").replace("´", "'"))}
    coming = (word.casefold() for word in _WORD.findall(edit.now))
    return any(
        len(word) > 3 and word not in known and not negates(word) and not dictionary.knows(word) for word in coming
    )
