"""Reasons: the rule reason of every ERRANT type, and the check that a model's reason must pass. All pure.

Belongs here: choosing and filling a template, judging a sentence. Does not belong here: the templates' wording
(prompts/grammar/general.yaml) or asking the model (path.py).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import yaml

from correctly_assets.core.correction import ReasonLanguage, names_the_right_kind, quotes_occur
from correctly_assets.core.errors import PermanentError
from correctly_assets.core.taxonomy import ERRANT_TYPES, family
from correctly_assets.core.types import Edit
from correctly_assets.correction.claims import untrue_claim
from correctly_assets.language.points import GENERAL_FILE, GRAMMAR_DIR, filled, languages

REASONS_FILE = GRAMMAR_DIR / GENERAL_FILE

Condition = Callable[[str, str], bool]

FUNCTION_WORDS = frozenset(
    [
        "a",
        "an",
        "the",
        "of",
        "to",
        "in",
        "on",
        "at",
        "for",
        "by",
        "with",
        "from",
        "as",
        "than",
        "and",
        "or",
        "but",
        "so",
        "that",
        "this",
        "these",
        "those",
        "it",
        "its",
        "is",
        "are",
        "was",
        "were",
        "am",
        "be",
        "been",
        "do",
        "does",
        "did",
        "have",
        "has",
        "had",
        "will",
        "would",
        "can",
        "could",
        "not",
        "n't",
        "i",
        "he",
        "she",
        "we",
        "they",
        "you",
        "my",
        "your",
        "his",
        "her",
        "our",
        "their",
        "me",
        "him",
        "us",
        "them",
        "who",
        "which",
        "what",
        "where",
        "when",
    ]
)
"""Words that say little alone: that one of them stands where another word stood tells nothing of its meaning."""


def _is(*words: str) -> Callable[[str], bool]:
    return lambda text: text.lower() in words


def _capitals(text: str) -> int:
    return sum(character.isupper() for character in text)


def _same_letters(was: str, now: str) -> bool:
    return re.sub(r"[\W_]", "", was).casefold() == re.sub(r"[\W_]", "", now).casefold()


CONDITIONS: dict[str, Condition] = {
    "now_a": lambda was, now: _is("a")(now),
    "now_an": lambda was, now: _is("an")(now),
    "now_the": lambda was, now: _is("the")(now),
    "now_a_an": lambda was, now: _is("a", "an")(now) and not _is("any", "some", "one", "every")(was),
    "was_the": lambda was, now: _is("the")(was),
    "was_a_an": lambda was, now: _is("a", "an")(was),
    "a_to_an": lambda was, now: _is("a")(was) and _is("an")(now),
    "an_to_a": lambda was, now: _is("an")(was) and _is("a")(now),
    "more_most": lambda was, now: was.lower().startswith(("more ", "most ")) and len(now.split()) < len(was.split()),
    "apostrophe": lambda was, now: any(mark in now for mark in "'’") and not any(mark in was for mark in "'’"),
    "now_to": lambda was, now: _is("to")(now),
    "was_to": lambda was, now: _is("to")(was),
    "to_ing": lambda was, now: now.isalpha() and now.lower().endswith("ing") and not was.lower().endswith("ing"),
    "to_infinitive": lambda was, now: now.lower().startswith("to ") and not was.lower().startswith("to "),
    "apostrophe_gone": lambda was, now: any(mark in was for mark in "'’") and not any(mark in now for mark in "'’"),
    "plural": lambda was, now: len(now) > len(was) and now.lower().endswith("s"),
    "already_plural": lambda was, now: now.lower() in ("police", "cattle") and was.lower() == now.lower() + "s",
    "singular": lambda was, now: len(was) > len(now) and was.lower().endswith("s"),
    "capital_i": lambda was, now: was == "i" and now == "I",
    "capital": lambda was, now: was.casefold() == now.casefold() and _capitals(now) > _capitals(was),
    "lower": lambda was, now: was.casefold() == now.casefold() and _capitals(now) < _capitals(was),
    "hyphen": lambda was, now: ("-" in was) != ("-" in now) and _same_letters(was, now),
    "apart": lambda was, now: len(now.split()) > len(was.split()),
    "together": lambda was, now: len(now.split()) < len(was.split()),
    "relative": lambda was, now: {was.lower(), now.lower()} <= {"which", "that", "what", "who"},
    "same_letters": _same_letters,
    "now_comma": lambda was, now: now == ",",
    "now_stop": lambda was, now: now == ".",
    "now_question": lambda was, now: now == "?",
    "now_apostrophe": lambda was, now: now in ("'", "’"),
    "now_hyphen": lambda was, now: now == "-",
    "was_comma": lambda was, now: was == ",",
    "comma_to_stop": lambda was, now: was == "," and now in (".", ";", ":"),
    "small_words": lambda was, now: was.lower() in FUNCTION_WORDS or now.lower() in FUNCTION_WORDS,
    # Whether a phrase was moved shows only beside the other edits; `RuleReasons.reason` is told.
    "moved": lambda was, now: False,
}


class RuleReasons:
    """Implements `core.correction.RuleReasonWriter` from the templates of prompts/grammar/general.yaml.

    Raises:
        PermanentError: a type, language or condition of the templates is unknown or missing.
    """

    def __init__(self, templates: Mapping[str, Mapping[str, list[Mapping[str, str]]]]) -> None:
        if missing := sorted(set(ERRANT_TYPES) - set(templates)):
            raise PermanentError(f"prompts/grammar/general.yaml has no reasons for {', '.join(missing)}; add them.")
        wanted = set(languages())
        for kind, operations in templates.items():
            for operation, entries in operations.items():
                good = bool(entries) and all(
                    wanted <= set(entry) and entry.get("when", "moved") in CONDITIONS for entry in entries
                )
                if operation not in ("M", "R", "U") or not good or "when" in entries[-1]:
                    raise PermanentError(f"prompts/grammar/general.yaml: mend the entries of {kind} {operation}.")
        self._templates = templates

    def reason(self, edit: Edit, language: ReasonLanguage = "en", *, moved: bool = False) -> str:
        """One sentence for one edit, by its type, operation and words.

        Args:
            moved: the same words are taken out and put in elsewhere in the sentence.
        """
        was, now = edit.was.strip(), edit.now.strip()
        operation = "M" if not was else "U" if not now else "R"
        if family(edit.type) == "PUNCT" and operation == "R":
            was, now = _marks_alone(was, now)
        elif operation == "R" and was[-1] == now[-1] and was[-1] in ".,;:!?" and min(len(was), len(now)) > 1:
            was, now = was[:-1], now[:-1]
        # A type without templates for the operation (a missing MORPH) falls back to plain wording.
        by_type = self._templates.get(family(edit.type), {})
        entries = by_type.get(operation) or self._templates["OTHER"][operation]
        if moved:
            entries = [e for e in self._templates["OTHER"][operation] if e.get("when") == "moved"] or entries
        for entry in entries:
            when = entry.get("when")
            if when is None or (when == "moved" and moved) or CONDITIONS[when](was, now):
                return filled(entry[language], {"was": _short(was), "now": _short(now)})
        raise AssertionError("the last entry has no condition")


@lru_cache(maxsize=4)
def load_rule_reasons(path: Path = REASONS_FILE) -> RuleReasons:
    """Read the templates, once per file.

    Raises:
        PermanentError: the file is missing or malformed.
    """
    try:
        return RuleReasons(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise PermanentError(f"The file {path} is missing; restore prompts/ from the repository.") from error
    except yaml.YAMLError as error:
        raise PermanentError(f"The file {path} is not valid YAML: {error}.") from error


def _marks_alone(was: str, now: str) -> tuple[str, str]:
    """Both sides without a word that they share: ", please" and ". Please" differ in their marks."""
    marks = [re.sub(r"[\w\s].*", "", side, flags=re.S) for side in (was, now)]
    same_rest = was[len(marks[0]) :].casefold() == now[len(marks[1]) :].casefold()
    return (marks[0], marks[1]) if all(marks) and same_rest else (was, now)


def _short(words: str) -> str:
    """At most five words of a quotation, so that a reason stays a sentence a learner reads at a glance."""
    parts = words.split()
    return " ".join(parts) if len(parts) <= 5 else f"{parts[0]} {parts[1]} … {parts[-2]} {parts[-1]}"


# 'The "log in" word is "log in"'; but 'the past form of "put" is "put"' says something.
_TAUTOLOGY = re.compile(
    r"(?<!\bof )[\"“‘]([^\"”’]+)[\"”’](?: (?:word|verb|noun|phrase|expression|spelling|term))?"
    r" (?:is|are)(?: (?:spelled|spelt|written|called))? [\"“‘]\1[\"”’]",
    re.I,
)
_TEMPLATE = re.compile(r"<\|?[\w/]+\|?>|</?s>|\{\w+\}|\[INST|###|^\s*(?:assistant|model|user)\b\s*:?\s*$", re.I)
_SECOND_SENTENCE = re.compile(r"[.!?][\"'”’)]*\s+(?=[\"'“‘(]?[A-Z가-힣])")
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|etc|vs|cf|Mr|Mrs|Dr)\.", re.I)
_ABOUT_ENGLISH = re.compile(
    r"[\"“”‘’`]|(?<!\w)'|-ing\b|\b(?:verb|noun|adjectiv|adverb|article|determin|preposition|pronoun|conjunction|linking"
    r"|subject|object|plural|singular|count|uncount|tense|past|present|future|perfect|form|spell|spelt|letter|capital"
    r"|comma|full stop|period|question|punctuat|hyphen|apostrophe|space|word|order|sentence|clause|phrase|agree"
    r"|follow|need|use|mean|express|idiom|natural|correct|english|usual|compar|superlat|infinitiv|gerund|particip"
    r"|possess|compound|formal|polite|condition|passive|active|negati|contract)|[가-힣]",
    re.I,
)
# A reason for taking something out says, in some way, that it is not wanted.
_SPARES = re.compile(
    r"\b(?:no|not|never|without|unnecessary|needless|extra|redundant|already|leave|omit|drop|remove|twice|once|only|directly"
    r"|instead|neither|nothing|rather|cannot|double|repeat\w*|also|too)\b|n['’]t\b|없이|없|않|생략|불필요|빼|이미|중복|바로",
    re.I,
)
_SYMBOLS = {
    ",": ("comma", "쉼표"),
    ".": ("full stop", "period", "마침표"),
    "?": ("question mark", "물음표"),
    "!": ("exclamation mark", "느낌표"),
    ";": ("semicolon", "세미콜론"),
    ":": ("colon", "콜론"),
    "'": ("apostrophe", "아포스트로피"),
    "’": ("apostrophe", "아포스트로피"),
    "-": ("hyphen", "하이픈"),
    '"': ("quotation mark", "따옴표"),
}
_TERMS: dict[str, tuple[str, ...]] = {
    "DET": ("article", "determiner", "countable", "관사", "한정사", "셀 수"),
    "PREP": ("preposition", "전치사"),
    "NOUN:NUM": ("plural", "singular", "countable", "복수", "단수", "셀 수"),
    "NOUN:POSS": ("possessive", "소유격"),
    "VERB:SVA": ("agree", "subject", "singular", "plural", "third person", "일치", "주어"),
    "VERB:TENSE": ("tense", "past", "present", "future", "perfect", "시제", "과거", "현재", "미래"),
    "VERB:FORM": ("infinitive", "-ing", "gerund", "participle", "base form", "부정사", "동명사", "분사", "원형"),
    "SPELL": ("spelling", "spelt", "spelled", "철자", "맞춤법"),
    "ORTH": ("capital", "space", "hyphen", "대문자", "소문자", "띄어"),
    "WO": ("word order", "order", "어순"),
    "PUNCT": ("punctuation", "문장 부호"),
    "ADJ:FORM": ("comparative", "superlative", "비교급", "최상급"),
    "MORPH": ("noun", "adjective", "adverb", "verb", "명사", "형용사", "부사", "동사"),
    "PRON": ("pronoun", "대명사"),
    "CONJ": ("conjunction", "linking", "접속사"),
}


def check_model_reason(edit: Edit, reason: str, before: str, after: str, language: ReasonLanguage = "en") -> str | None:
    """Whether a model's reason may be shown.

    Returns:
        None where it may; else why not, in a few words.
    """
    text = reason.strip()
    if not text:
        return "empty"
    if "\n" in text or _TEMPLATE.search(text):
        return "format"
    words = text.split()
    least = 4 if language == "en" else 3
    if not least <= len(words) <= 30:
        return f"{len(words)} words"
    if text[-1] not in ".!?\"'”’)":
        return "unfinished"
    if _SECOND_SENTENCE.search(_ABBREVIATION.sub("abbr", text)):
        return "more than one sentence"
    if not _in_language(text, language):
        return "another language"
    if _repeats(words):
        return "repetition"
    if any(_alike(text, other) for other in (before, after)):
        return "echo"
    if not _ABOUT_ENGLISH.search(text):
        return "says nothing about English"
    if not quotes_occur(text, before, after, edit.was, edit.now):
        return "quotes words that do not occur"
    if not _speaks_of(edit, text):
        return "speaks of another change"
    if names_the_right_kind(text, edit.type) is False or _names_another_mark(edit, text):
        return "names another kind of error"
    if not edit.now.strip() and not _SPARES.search(text):
        return "does not say why it goes"
    if _wrong_number(edit, text) or _turned_around(edit, text):
        return "turned around"
    return "claims what is not so" if language == "en" and untrue_claim(edit, text, after) else None


def _names_another_mark(edit: Edit, text: str) -> bool:
    """Whether a reason speaks of punctuation marks none of which the edit touches ("a comma" where "that" was put in)."""
    low = text.lower()
    named = {mark for mark, names in _SYMBOLS.items() if any(name in low for name in names if name != "period")}
    return bool(named) and not any(mark in edit.was + edit.now for mark in named)


def _in_language(text: str, language: ReasonLanguage) -> bool:
    letters = [character for character in text if character.isalpha()]
    hangul = sum("\uac00" <= character <= "\ud7a3" for character in letters)
    if language == "ko":
        # Quoted English is expected; the sentence around it is not.
        return hangul >= 4 and hangul >= 0.3 * len(letters)
    return hangul == 0 and sum(character < "\u0250" for character in letters) >= 0.95 * len(letters) > 0


def _repeats(words: list[str]) -> bool:
    lower = [word.casefold().strip(".,;:!?\"'“”‘’") for word in words]
    runs = Counter(zip(lower, lower[1:], lower[2:], lower[3:], strict=False))
    doubles = any(a == b and a not in ("had", "that", "") for a, b in pairwise(lower))
    return doubles or (bool(runs) and max(runs.values()) > 1) or bool(_TAUTOLOGY.search(" ".join(words)))


def _wrong_number(edit: Edit, text: str) -> bool:
    """Whether a reason speaks of the plural where the singular came, or the other way round."""
    was, now, folded = edit.was.strip().casefold(), edit.now.strip().casefold(), text.casefold()
    if (
        family(edit.type) != "NOUN:NUM"
        or ("plural" in folded) == ("singular" in folded)
        or re.search(r"\b(?:no|not)\b", folded)
    ):
        return False
    # "Feet" and "men" are plurals that look like singulars, and reasons say so.
    if was[:3] != now[:3] or "irregular" in folded or "already" in folded:
        return False
    to_singular = len(now) < len(was) and was.endswith("s") and not now.endswith("s")
    to_plural = len(now) > len(was) and now.endswith("s") and not was.endswith("s")
    return (to_singular and "plural" in folded) or (to_plural and "singular" in folded)


def _alike(text: str, other: str) -> bool:
    """Whether most of a reason is the sentence itself over again."""
    words, known = ([w.strip(".,;:!?\"'") for w in t.casefold().split()] for t in (text, other))
    shared = sum(block.size for block in SequenceMatcher(None, words, known, autojunk=False).get_matching_blocks())
    return shared >= 0.7 * len(words)


def _speaks_of(edit: Edit, text: str) -> bool:
    """Whether the reason mentions the words that went or came, or calls the change by its name."""
    folded = text.casefold()
    for side in (edit.was.strip(), edit.now.strip()):
        other = edit.now if side == edit.was.strip() else edit.was
        marks = [mark for mark in side if mark in _SYMBOLS and mark not in other]
        if any(name in folded for mark in marks for name in _SYMBOLS[mark]):
            return True
        for part in {side, *_changed_words(edit)} if side else ():
            if part and re.search(rf"(?<!\w){re.escape(part.casefold())}(?!\w)", folded):
                return True
    of = family(edit.type)
    name = ERRANT_TYPES.get(of, "wording").casefold()
    return any(term in folded for term in (*_TERMS.get(of, ()), name) if term != "wording")


def _changed_words(edit: Edit) -> set[str]:
    """Words that stand on one side of the edit only."""
    was, now = ({word.strip(".,;:!?\"'“”()") for word in side.split()} for side in (edit.was, edit.now))
    # Where words only changed places, each of them did.
    return {word for word in (was ^ now or was) if word}


def _turned_around(edit: Edit, text: str) -> bool:
    """Whether the reason tells the reader to use what was taken out, or to drop what was put in."""
    was, now = edit.was.strip().casefold(), edit.now.strip().casefold()
    if was and not now:
        advice = rf"\b(?:use|add|insert|write|be|is) [\"'“‘`]{re.escape(was)}[\"'”’`]"
        return re.search(advice, text.casefold()) is not None
    if not was or not now or set(was.split()) <= set(now.split()) or set(now.split()) <= set(was.split()):
        return False
    quote = "[\"'“”‘’`]"
    folded = text.casefold()
    advice = "use|add|insert|needs?|write|choose|should be|is"
    use_was = re.search(rf"(?<!not )(?:{advice}) {quote}{re.escape(was)}{quote}", folded)
    drop_now = re.search(rf"(?:instead of|rather than|not|remove|delete|drop) {quote}{re.escape(now)}{quote}", folded)
    return bool(drop_now) or (bool(use_was) and not re.search(rf"(?<!\w){re.escape(now)}(?!\w)", folded))
