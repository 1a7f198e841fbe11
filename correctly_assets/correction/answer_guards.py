"""Guards: when a model's answer for one sentence is not shown and the user's own sentence stands. All pure.

Belongs here: the decisions and their limits. Does not belong here: single edits of a sound answer (vetoes.py), asking the
model (path.py), word lists (curation/).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from correctly_assets.core.correction import ProfanityGuard
from correctly_assets.core.ports import Completion
from correctly_assets.core.types import Fallback

MIN_RATIO, MAX_RATIO = 0.6, 1.6
MIN_KEPT = 0.25
"""Least share of a longer sentence's words that a correction keeps: less is an answer to the sentence."""

_TEMPLATE = re.compile(r"<(?:start_of_turn|end_of_turn|eos|bos|unk|pad|unused\d+)>|<\|[\w-]+\|>|\[/?INST\]|</?s>")
_PREFACE = re.compile(
    r"^\s*(?:corrected(?: (?:sentence|text|version|english))?|correction|answer|here(?: is|'s) the correct\w*|sure)\b"
    r"[^.]{0,30}:",
    re.I,
)
# An explanation where the correction should stand, as models do that were trained on both.
_TALK = re.compile(
    r"^\s*(?:the|this|a) (?:words?|verb|noun|adjective|adverb|phrase|sentence|preposition|article) [\"“‘'(]", re.I
)
_PAIRS = ("()", "[]", "{}", "“”", "«»")
_WORD = re.compile(r"\w+(?:['’]\w+)*")


def estimate_tokens(text: str) -> int:
    """Tokens of a text, from its characters, a little on the high side for English: words of up to six letters count
    one, digits and every other character one each."""
    pieces = re.findall(r"[A-Za-z]+|[^\sA-Za-z]", text)
    return sum(1 + (len(piece) - 1) // 6 for piece in pieces)


def answer_limit(text: str) -> int:
    """The tightest token limit that no honest correction of the text runs into."""
    return math.ceil(1.5 * estimate_tokens(text)) + 12


def refuse(
    before: str, completion: Completion, *, echoes: Sequence[str] = (), profanity: ProfanityGuard | None = None
) -> Fallback | None:
    """Why the answer for one sentence may not be shown; None where it may.

    Args:
        echoes: phrases of the prompt that no answer repeats, unless the sentence holds them.
    """
    after = completion.text.strip()
    if not after or (_words(before) and not _words(after)):
        return "empty"
    if completion.finish_reason == "length" or loops(before, after):
        return "loop"
    if bad_format(before, after, echoes):
        return "format"
    if not fits_length(before, after):
        return "length"
    if not keeps_words(before, after) or breaks_balance(before, after) or changes_script(before, after):
        return "format"
    if profanity is not None and profanity.added(before, after):
        return "profanity"
    return None


def loops(before: str, after: str) -> bool:
    """Whether the answer repeats itself where the sentence does not: a run of words three times over, or one word four
    times in a row."""
    was, now = _words(before), _words(after)
    for size, most in ((1, 3), (2, 2), (3, 2), (4, 1), (5, 1)):
        if _longest_run(now, size) > max(most, _longest_run(was, size)):
            return True
    had, has = _grams(was, 3), _grams(now, 3)
    # A sentence that repeats itself may do so when it is right, in other words.
    most = max(2, *had.values()) if had else 2
    if any(count > most for count in has.values()):
        return True
    # A run of one character, as in "soooooooooo" or "!!!!!!!!!!!!".
    return any(len(m.group()) > 8 and m.group() not in before for m in re.finditer(r"(\S)\1+", after))


def bad_format(before: str, after: str, echoes: Sequence[str] = ()) -> bool:
    """Template tokens, line breaks, a preface or the prompt's own words."""
    if "\n" in after and "\n" not in before:
        return True
    if any(match.group() not in before for match in _TEMPLATE.finditer(after)):
        return True
    if any(pattern.match(after) and not pattern.match(before) for pattern in (_PREFACE, _TALK)):
        return True
    was, now = before.casefold(), after.casefold()
    return any(echo.casefold() in now and echo.casefold() not in was for echo in echoes if echo)


def fits_length(before: str, after: str) -> bool:
    """Whether the answer's length is within 0.6 to 1.6 of the sentence's, with slack for very short ones."""
    was, now = len(before.strip()), len(after.strip())
    shorter, longer = (8, 14) if was < 60 else (0, 0)
    return was * MIN_RATIO - shorter <= now <= was * MAX_RATIO + longer


def keeps_words(before: str, after: str) -> bool:
    """Whether enough of a longer sentence's words come back, comparing beginnings so that inflection and spelling may
    change."""
    was = [word[:3] for word in _words(before)]
    if len(was) < 6:
        return True
    now = Counter(word[:3] for word in _words(after))
    kept = sum((Counter(was) & now).values())
    return kept >= MIN_KEPT * len(was)


def breaks_balance(before: str, after: str) -> bool:
    """Whether brackets or quotation marks that stood in pairs no longer do: the answer was cut or garbled."""

    def balanced(text: str) -> bool:
        return all(text.count(pair[0]) == text.count(pair[1]) for pair in _PAIRS) and text.count('"') % 2 == 0

    return balanced(before) and not balanced(after)


def changes_script(before: str, after: str) -> bool:
    """Whether letters of another script came in (a small model's slip), unless the sentence holds some."""
    had = before.casefold()
    return any(c.isalpha() and c >= "\u0250" and c.casefold() not in had for c in after)


def settle_end(before: str, after: str) -> str:
    """The answer with the sentence's own end, where the model dropped it altogether."""
    end = re.search(r"[.!?…]+[\"'”’)\]]*$", before)
    if end is None or re.search(r"[.!?…:;][\"'”’)\]]*$", after):
        return after
    return after.rstrip(",") + end.group()


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def _grams(words: Sequence[str], size: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + size]) for i in range(len(words) - size + 1))


def _longest_run(words: Sequence[str], size: int) -> int:
    """The most often that a group of ``size`` words stands again right after itself, counting itself."""
    best = 0
    for start in range(len(words) - size + 1):
        group, runs = words[start : start + size], 1
        while words[start + runs * size : start + (runs + 1) * size] == group:
            runs += 1
        best = max(best, runs)
    return best
