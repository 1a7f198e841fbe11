"""A house style in a text: where its kept words stand, and its spellings and terms put in.

Belongs here: what follows from a house style for one sentence. Does not belong here: the style itself (core/house_style.py), where
it is kept, or which spelling a variety has (language/varieties.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from correctly_assets.core.correction import Dictionary, ReasonLanguage
from correctly_assets.core.edits import apply_edits, shifted
from correctly_assets.core.house_style import HouseStyle
from correctly_assets.core.types import Edit
from correctly_assets.correction.alignment import Span
from correctly_assets.language.inflection import all_inflections, inflections_by_rule
from correctly_assets.language.sounds import vowel_sound
from correctly_assets.language.varieties import NAMES, same_word, spelling

REASONS = {
    "en": {
        "term": "The house style says “{now}”, not “{was}”.",
        "variety": "“{now}” is the {variety} spelling, which the house style asks for.",
    },
    "ko": {
        "term": "하우스 스타일에 따라 “{was}” 대신 “{now}”로 씁니다.",
        "variety": "“{now}”: 하우스 스타일에서 정한 {variety} 철자입니다.",
    },
}
KOREAN_NAMES = {"British": "영국식", "American": "미국식", "Oxford": "옥스퍼드식"}
_ARTICLE = re.compile(r"\b([Aa]n?)(\s+)$")
_WORD = re.compile(r"(?<![\w@#/.'’-])[A-Za-z]+(?![\w@/]|\.\w)")


@dataclass(frozen=True, slots=True)
class WithKept:
    """A dictionary that knows the kept words and the preferred terms besides its own."""

    dictionary: Dictionary
    words: frozenset[str]

    def knows(self, word: str) -> bool:
        """Whether the dictionary or the house style has the word, in any case."""
        return word.casefold() in self.words or self.dictionary.knows(word)


def with_kept(dictionary: Dictionary | None, style: HouseStyle) -> Dictionary | None:
    """A dictionary that knows a house style's words too."""
    if dictionary is None or not (style.keep or style.terms):
        return dictionary
    return WithKept(dictionary, _words_of(style))


def kept_spans(text: str, style: HouseStyle) -> list[Span]:
    """Where the words and phrases stand that are never touched, in order and apart."""
    low = text.casefold()
    return united(
        match.span()
        for keep in style.keep
        if _may_hold(low, keep)
        for match in _pattern(keep, keep.islower()).finditer(text)
    )


def united(spans: Iterable[Span]) -> list[Span]:
    """Ranges in order, with those that overlap as one."""
    apart: list[Span] = []
    for start, end in sorted(spans):
        if apart and start < apart[-1][1]:
            apart[-1] = (apart[-1][0], max(end, apart[-1][1]))
        else:
            apart.append((start, end))
    return apart


def allowed(edits: Sequence[Edit], style: HouseStyle) -> list[Edit]:
    """The edits that a house style does not speak against.

    Without a variety the writer's own stands: an edit that only spells a word as in another variety is not made.
    """
    return [
        edit
        for edit in edits
        if not style.leaves(edit)
        and (style.variety is not None or not same_word(edit.was.strip(".,;:!? "), edit.now.strip(".,;:!? ")))
    ]


def with_house_wording(
    text: str, edits: Sequence[Edit], style: HouseStyle, protected: Sequence[Span], language: ReasonLanguage
) -> list[Edit]:
    """The edits of a sentence, and with them those that put in the house's spellings and terms, each with its reason.

    Args:
        text: the sentence; offsets of ``edits`` and ``protected`` count in it.
        protected: what must come back unchanged.
    """
    made, position = list(edits), 0
    while (style.terms or style.variety) and (found := _next(text, made, style, protected, position, language)):
        made, position = _joined(text, made, found), found.start + len(found.now)
    return made


def _next(
    text: str, edits: list[Edit], style: HouseStyle, protected: Sequence[Span], position: int, language: ReasonLanguage
) -> Edit | None:
    """The first change that is still to be made in the corrected sentence at or behind a place; it counts in that sentence."""
    better = apply_edits(text, edits)
    low = better.casefold()
    apart = shifted(protected, edits)
    found: list[Edit] = []
    for wrong, right in _forms(style.terms):
        if not _may_hold(low, wrong):
            continue
        for match in _pattern(wrong, True).finditer(better, position):
            now = _in_case(match.group(), right)
            if now != match.group() and not _said_already(better, match.span(), now):
                found.append(_with_article(better, _edit(match, now, "R:OTHER", "term", language)))
    for match in _WORD.finditer(better, position) if style.variety is not None else ():
        # A capital letter inside a sentence begins a name, which is spelt as its owner does.
        named = match.group()[0].isupper() and any(c.isalnum() for c in better[: match.start()])
        now = None if named or style.variety is None else spelling(match.group(), style.variety)
        if now is not None:
            found.append(_edit(match, now, "R:SPELL", "variety", language, NAMES[style.variety or "en-GB"]))
    found = [edit for edit in found if not any(edit.start < b and a < edit.end for a, b in apart)]
    return min(found, key=lambda edit: (edit.start, -edit.end), default=None)


def _edit(
    match: re.Match[str], now: str, errant_type: str, kind: str, language: ReasonLanguage, variety: str = ""
) -> Edit:
    name = KOREAN_NAMES.get(variety, variety) if language == "ko" else variety
    reason = REASONS[language][kind].format(was=match.group(), now=now, variety=name)
    return Edit(match.start(), match.end(), match.group(), now, errant_type, reason, "rule")


def _with_article(text: str, edit: Edit) -> Edit:
    """The change with the "a" or "an" before it, where the new word asks for the other one."""
    article = _ARTICLE.search(text[: edit.start])
    if article is None or vowel_sound(edit.was) == vowel_sound(edit.now):
        return edit
    right = article.group(1)[0] + ("n" if vowel_sound(edit.now) else "")
    start, between = article.start(), article.group(2)
    return replace(edit, start=start, was=text[start : edit.end], now=right + between + edit.now)


def _joined(text: str, edits: list[Edit], new: Edit) -> list[Edit]:
    """Edits of a text with one more that counts in the corrected text: what it touches becomes one edit with it."""
    better = apply_edits(text, edits)
    before: list[Edit] = []
    touched: list[tuple[Edit, int]] = []
    after: list[Edit] = []
    shift = 0
    for edit in sorted(edits, key=lambda one: (one.start, one.end)):
        start = edit.start + shift
        end = start + len(edit.now)
        shift += len(edit.now) - len(edit.was)
        if end <= new.start:
            before.append(edit)
        elif start >= new.end:
            after.append(edit)
        else:
            touched.append((edit, start))
    first = min([new.start, *(start for _, start in touched)])
    last = max([new.end, *(start + len(edit.now) for edit, start in touched)])
    left = sum(len(edit.now) - len(edit.was) for edit in before)
    inside = sum(len(edit.now) - len(edit.was) for edit, _ in touched)
    start, end = first - left, last - left - inside
    now = better[first : new.start] + new.now + better[new.end : last]
    errant_type = touched[0][0].type if touched else new.type
    joined = Edit(start, end, text[start:end], now, errant_type, new.reason, new.reason_origin)
    return [*before, *([joined] if joined.was != joined.now else []), *after]


def _said_already(text: str, span: Span, now: str) -> bool:
    """Whether what would be put in stands there already, around what it would replace ("e-mail" in "e-mail address")."""
    start, end = span
    return any(
        a <= start and end <= b for a, b in (match.span() for match in re.finditer(re.escape(now), text, re.IGNORECASE))
    )


def _in_case(was: str, now: str) -> str:
    """A term in the case that its place asks for: capitals among capitals, a capital letter where a sentence begins with it."""
    if was.isupper() and len(was) > 2:
        return now.upper()
    return now[0].upper() + now[1:] if was[:1].isupper() else now


def _may_hold(low: str, phrase: str) -> bool:
    """Whether a text in small letters holds the phrase's first word: a house has thousands of words, and a sentence few of them."""
    return phrase.split(None, 1)[0].casefold() in low


@lru_cache(maxsize=4096)
def _pattern(words: str, any_case: bool) -> re.Pattern[str]:
    """Finds a phrase as whole words, whatever blanks are between them."""
    phrase = r"\s+".join(map(re.escape, words.split()))
    return re.compile(rf"(?<!\w){phrase}(?!\w)", re.IGNORECASE if any_case else 0)


@lru_cache(maxsize=64)
def _words_of(style: HouseStyle) -> frozenset[str]:
    phrases = (*style.keep, *(right for _, right in style.terms))
    return frozenset(word.casefold() for phrase in phrases for word in re.findall(r"[\w'’-]+", phrase))


@lru_cache(maxsize=64)
def _forms(terms: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The terms in all their forms: "logged in" is "signed in" where "log in" is "sign in", "e-mails" is "emails"."""
    found: dict[str, str] = {}
    for wrong, right in terms:
        found |= _inflected(wrong, right)
    return tuple((found | dict(terms)).items())


def _inflected(wrong: str, right: str) -> dict[str, str]:
    """The verb's forms of the first word, and the noun's of the last, put into both phrases."""
    found: dict[str, str] = {}
    for place, kind in ((0, "VERB"), (-1, "NOUN")):
        right_words, wrong_words = right.split(), wrong.split()
        forms = [all_inflections(words[place].casefold(), kind) for words in (wrong_words, right_words)]
        if kind == "NOUN":
            # A noun that no list holds ("e-mail") is inflected by rule; a verb is not, or nouns would turn into verbs.
            of = zip(forms, (wrong_words, right_words), strict=True)
            forms = [known or inflections_by_rule(words[place].casefold(), kind) for known, words in of]
        for tag in forms[0].keys() & forms[1].keys():
            for form in forms[0][tag]:
                wrong_words[place], right_words[place] = form, forms[1][tag][0]
                found[" ".join(wrong_words)] = " ".join(right_words)
    return found
