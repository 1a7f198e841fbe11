"""What the correction path shares with those who call it: its pieces, its guard and its own Protocol.

Belongs here: the records and Protocols through which chat, command line, evaluation and canary meet the one correction
path, and what it means for a reason to speak of an edit, which path and evaluation both judge. Does not belong here:
the path itself (correction/) or where profanity lists come from (curation/).
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Literal, Protocol, get_args, runtime_checkable

from correctly_assets.core.house_style import NO_STYLE, HouseStyle
from correctly_assets.core.taxonomy import family
from correctly_assets.core.types import Correction, Edit, Fallback

ReasonLanguage = Literal["en", "ko"]
REASON_LANGUAGES: tuple[ReasonLanguage, ...] = get_args(ReasonLanguage)
"""The languages that reasons may be asked for in; docs/languages.md says how one is added."""
Mode = Literal["careful", "fluent"]
"""How daring an answer is: `careful` changes what is surely wrong, `fluent` mends awkward wording too."""


class ProfanityGuard(Protocol):
    """Knows words that a corrector must not put into a person's mouth."""

    def added(self, before: str, after: str) -> bool:
        """Whether ``after`` holds profanity that ``before`` does not."""
        ...


@runtime_checkable
class Dictionary(Protocol):
    """Knows English words and common names."""

    def knows(self, word: str) -> bool:
        """Whether a word, in any case and form, is one."""
        ...


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the corrected text, in order: the pieces of one text, joined, are its ``after``.

    Attributes:
        fallback: why this sentence was left as the user wrote it, if a guard refused the model's answer.
    """

    text: str
    changed: bool = False
    fallback: Fallback | None = None


@dataclass(slots=True)
class Usage:
    """What a corrector has asked of the engine so far."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def copy(self) -> Usage:
        """Another counter with the same counts; counting on one leaves the other as it is."""
        return Usage(self.requests, self.prompt_tokens, self.completion_tokens)


class CorrectionPath(Protocol):
    """Correct, diff, explain (correction/path.py); the only way to a correction for every face."""

    usage: Usage

    async def correct(
        self,
        text: str,
        *,
        model: str,
        release: str | None,
        adapter: str | None,
        reasons: bool = True,
        reason_language: ReasonLanguage = "en",
        priority: int = 0,
        mode: Mode = "careful",
        style: HouseStyle = NO_STYLE,
    ) -> Correction:
        """Correct one text with the engine's model or adapter named ``model``.

        Raises:
            UnreachableError, RefusedError: as the completer does.
        """
        ...

    def stream(
        self,
        text: str,
        *,
        model: str,
        release: str | None,
        adapter: str | None,
        reasons: bool = True,
        reason_language: ReasonLanguage = "en",
        priority: int = 0,
        mode: Mode = "careful",
        style: HouseStyle = NO_STYLE,
    ) -> AsyncGenerator[Piece | Correction]:
        """The corrected text piece by piece, in order, then one `Correction` of the whole."""
        ...


class RuleReasonWriter(Protocol):
    """Writes the reason that stands in where the model's fails its check."""

    def reason(self, edit: Edit, language: ReasonLanguage = "en") -> str:
        """One sentence for one edit."""
        ...


# What a reason talks about when it names a kind of error, and the ERRANT families it may be said of. ERRANT's families
# are coarse (OTHER holds anything, a missing comma before "and" may be R:OTHER), so a kind allows neighbours too.
_KINDS: dict[str, tuple[str, str]] = {
    "article": (r"\b(?:in)?definite articles?\b|\barticles?\b|\bdeterminers?\b|관사|한정사", "DET NOUN:NUM PRON"),
    "preposition": (r"\bprepositions?\b|전치사", "PREP PART ADV VERB CONJ"),
    "spelling": (
        r"\bspel(?:l|t)\w*|\bmisspel\w*|\btypos?\b|철자|맞춤법",
        "SPELL ORTH NOUN:INFL VERB:INFL CONTR PUNCT",
    ),
    "punctuation": (
        r"\bpunctuat\w+|\bcommas?\b|\bfull stops?\b|\bperiods?\b|\bquestion marks?\b|\bsemicolons?\b"
        r"|쉼표|마침표|물음표|문장 부호",
        "PUNCT ORTH CONJ",
    ),
    "capitals": (r"\bcapital\w*|\blower ?-?case\b|\bupper ?-?case\b|대문자|소문자", "ORTH SPELL PUNCT PRON"),
    "tense": (
        r"\btenses?\b|\bpast\b(?! participle)|\bpresent perfect\b|\bfuture\b|시제|과거|현재완료|미래",
        "VERB:TENSE VERB:FORM VERB:INFL VERB MORPH CONTR SPELL",
    ),
    "number": (
        r"\bplurals?\b|\bsingular\b|\b(?:un)?countable\b|복수|단수",
        "NOUN:NUM NOUN:INFL VERB:SVA DET PRON MORPH NOUN:POSS",
    ),
    "agreement": (r"\bagree\w*|일치", "VERB:SVA VERB:TENSE VERB:FORM VERB NOUN:NUM DET PRON CONTR MORPH"),
    "possessive": (
        r"\bpossess\w+|\bbelongs to\b|소유",
        "NOUN:POSS NOUN:NUM PRON DET PUNCT ORTH CONTR MORPH SPELL",
    ),
    "verb form": (
        r"-ing\b|\binfinitives?\b|\bgerunds?\b|\bparticiples?\b|\bbase form\b|부정사|동명사|분사|원형",
        "VERB:FORM VERB:TENSE VERB VERB:SVA VERB:INFL PART MORPH ADJ NOUN WO SPELL",
    ),
    "pronoun": (r"\bpronouns?\b|대명사", "PRON DET NOUN CONTR WO ORTH"),
    "order": (r"\bword order\b|어순", "WO ADV PUNCT VERB PRON NOUN ADJ"),
    "conjunction": (r"\bconjunctions?\b|\blinking words?\b|접속사", "CONJ PREP PUNCT ADV PRON SPELL"),
}
_KIND_PATTERNS = {kind: (re.compile(pattern, re.I), of.split()) for kind, (pattern, of) in _KINDS.items()}


# "After the preposition" says where the change stands, not what it is.
_CONTEXT = re.compile(r"\b(?:after|before|follow\w*|beside|behind) (?:by )?(?:an? |the |two )?\w+", re.I)


def kinds_named(reason: str) -> frozenset[str]:
    """The kinds of error a reason speaks of ("tense", "article"), in English or Korean; empty when it names none."""
    plain = _CONTEXT.sub(" ", reason)
    return frozenset(kind for kind, (pattern, _) in _KIND_PATTERNS.items() if pattern.search(plain))


def names_the_right_kind(reason: str, errant_type: str) -> bool | None:
    """Whether every kind a reason names may be said of an edit of this type; None where it names none.

    A small model's false reason often names the right kind beside a wrong one ("the past simple is written with a capital
    letter"). Edits of type OTHER may be anything but spelling, which is what small models call everything.
    """
    kinds = kinds_named(reason)
    if not kinds:
        return None
    of = family(errant_type)
    if of == "OTHER":
        return "spelling" not in kinds
    return all(of in _KIND_PATTERNS[kind][1] for kind in kinds)


_QUOTED = re.compile(
    r"[\"“”]([^\"“”]+)[\"“”]|‘([^‘’]*(?:’(?=\w)[^‘’]*)*)’|(?<![\w'])'([^']{1,400}(?:'(?=\w)[^']{0,400}){0,20})'(?!\w)|`([^`]+)`"
)


def quoted_phrases(reason: str) -> tuple[str, ...]:
    """What stands between quotation marks in a reason, straight or curly, single or double."""
    return tuple(next(group for group in match.groups() if group is not None) for match in _QUOTED.finditer(reason))


_GRAMMAR = """
a an the this that these those some any no each every all both many much few little more most less least very so too
also just then there here now not be am is are was were been being do does did done have has had having will would can
could may might must shall should to of in on at by for from with about into over up out off as than and or but because
although though if when while who whom whose which what how where since before after until i me my you your he him his
she her it its we us our they them their yes one ones
"""
GRAMMAR_WORDS = frozenset(_GRAMMAR.split())
"""Closed-class words: what an explanation quotes for contrast ("covered in", never "from"), and what a correction may
take out without taking content."""


# What follows is a meaning or an example, which stands in no sentence.
_DEFINED = re.compile(r"\b(?:means?|meaning|as in|sense of|the (?:word|phrase) for) (?:[\"“‘'][^\"”’]*[\"”’'])", re.I)


def quotes_occur(reason: str, *texts: str) -> bool:
    """Whether every quoted word of a reason occurs in one of the texts, case folded.

    A word also occurs as another form of one that stands there ("give" beside "gave"), as an ending ("-ing"), or where
    it belongs to grammar itself ("to", "which"); "…" joins parts of a quotation. What is quoted as a meaning or an
    example ('means "own"') is left aside.
    """
    known = " ".join(texts).casefold().replace("’", "'")
    words = set(re.findall(r"[^\W\d_]+", known))
    for phrase in quoted_phrases(_DEFINED.sub(" ", reason)):
        for word in phrase.casefold().replace("’", "'").replace("…", " ").replace("...", " ").split():
            bare = word.strip(".,;:!?()[]") or word
            if (
                bare in GRAMMAR_WORDS
                or (len(bare) == 1 and bare.isalpha())
                or bare.startswith("-")
                or re.search(rf"(?<!\w){re.escape(bare)}(?!\w)", known)
            ):
                continue
            if not any(_same_word(bare, other) for other in words):
                return False
    return True


def _same_word(one: str, other: str) -> bool:
    """Whether two words look like forms of one: the same beginning and endings of at most four letters."""
    shared = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        shared += 1
    longest = max(len(one), len(other))
    return (shared >= 3 and longest - shared <= 4) or (shared >= 2 and longest <= 5 and len(one) > 2 and len(other) > 2)
