"""Korean particles after quoted words.

Belongs here: choosing 은 or 는, 이 or 가 … by how the word before is read aloud. Does not belong here: any sentence
(prompts/). The libraries for this (tossi, hangeul, korean-glue) know Korean words; none reads a lower-case English word,
and those are what our sentences quote.
"""

from __future__ import annotations

import re

_PAIRS = {
    "은": ("은", "는"),
    "이": ("이", "가"),
    "을": ("을", "를"),
    "과": ("과", "와"),
    "으로": ("으로", "로"),
    "이에요": ("이에요", "예요"),
    "이라": ("이라", "라"),
    "이라는": ("이라는", "라는"),
    "이나": ("이나", "나"),
    "이고": ("이고", "고"),
}
PARTICLES = frozenset(_PAIRS)
_MARK = re.compile(r"\{([가-힣]+)\}")
_VOWELS = "aeiou"
# Read with another ending than their spelling suggests.
_CLOSED = {"good", "one", "someone", "anyone", "everyone", "none", "job", "club", "about", "out", "without", "foot", "gone", "done"}
_OPEN = {"the", "be", "he", "she", "we", "me", "maybe", "recipe", "cafe", "café", "apostrophe", "employee", "colleague"}
_DIGITS = {"1": "ㄹ", "7": "ㄹ", "8": "ㄹ", "0": "ㅇ", "3": "ㅁ", "6": "ㄱ"}


def with_particles(text: str) -> str:
    """Replace every marker such as ``{은}`` by the particle that follows the word before it."""
    while (mark := _MARK.search(text)) is not None:
        text = text[: mark.start()] + particle(text[: mark.start()], mark.group(1)) + text[mark.end() :]
    return text


def particle(before: str, name: str) -> str:
    """The form of a particle after ``before``: ``particle('"book"', '은')`` is ``은``.

    Raises:
        KeyError: the particle is not one of `PARTICLES`.
    """
    closed, open_ = _PAIRS[name]
    end = final_consonant(before)
    if name == "으로" and end == "ㄹ":
        return open_
    return closed if end else open_


def final_consonant(text: str) -> str:
    """The consonant that closes the last syllable as Koreans read it (``ㄹ`` told apart from others); empty for none."""
    words = re.findall(r"[A-Za-z]+|[가-힣]+|\d", text.replace("’", "").replace("'", ""))
    if not words:
        return ""
    last = words[-1]
    if "가" <= last[-1] <= "힣":
        code = (ord(last[-1]) - 0xAC00) % 28
        return "" if code == 0 else "ㄹ" if code == 8 else "ㅇ"
    if last.isdigit():
        return _DIGITS.get(last, "")
    if len(last) == 1:
        return {"l": "ㄹ", "r": "ㄹ", "m": "ㅁ", "n": "ㄴ"}.get(last.lower(), "")
    return _english(last.lower())


def _english(word: str) -> str:
    if word in _CLOSED:
        return "ㄴ"
    if word in _OPEN:
        return ""
    if word.endswith("ng"):
        return "ㅇ"
    if word.endswith(("mb", "lm", "gn")):
        return "ㅁ"
    if word.endswith("e") and len(word) > 2 and word[-2] not in _VOWELS:
        # "line" ends in the sound n, "people" in l; "hope" and "like" get a vowel in Korean.
        return {"l": "ㄹ", "m": "ㅁ", "n": "ㄴ"}.get(word[-2], "")
    last = word[-1]
    if last == "l":
        return "ㄹ"
    if last in "mn":
        return "ㄴ"
    if last in "ptk":
        if word.endswith(("ck", "ook", "oot", "out")):
            return "ㄱ"
        short = len(word) > 1 and word[-2] in _VOWELS and (len(word) < 3 or word[-3] not in _VOWELS or word[-3:-1] == "ui")
        return "ㅅ" if short else ""
    return ""
