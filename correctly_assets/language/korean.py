"""Korean particles after quoted words.

Belongs here: choosing 은 or 는, 이 or 가 … by how the word before is read aloud. Does not belong here: any sentence
(prompts/).

The libraries for particles (hangeul 0.2, korean-glue 0.1, tossi 0.3) know Korean words, numbers and single capital letters.
A lower-case English word has no closing consonant for them ("book"는, where Koreans say 북은), and English words are what
our sentences quote.
"""

from __future__ import annotations

import re

_PAIRS = {
    "은": ("은", "는"),
    "이": ("이", "가"),
    "을": ("을", "를"),
    "과": ("과", "와"),
    "으로": ("으로", "로"),
    "이라는": ("이라는", "라는"),
    "이라고": ("이라고", "라고"),
}
PARTICLES = frozenset(_PAIRS)
_MARK = re.compile(r"\{([가-힣]+)\}")
# Words that are read with another ending than their spelling tells; the value is the closing consonant, "" for none.
_READ = {
    **dict.fromkeys(
        ("one", "someone", "anyone", "everyone", "none", "gone", "done", "sign", "design", "foreign"), "ㄴ"
    ),
    **dict.fromkeys(("some", "come", "become", "column", "autumn"), "ㅁ"),
    **dict.fromkeys(("good", "about", "without", "out", "foot", "what"), "ㅅ"),
    **dict.fromkeys(("biscuit", "circuit"), "ㅅ"),
    **dict.fromkeys(("big", "bag"), "ㄱ"),
    **dict.fromkeys(
        (
            "job",
            "club",
            "pub",
            "web",
            "lab",
            "deep",
            "keep",
            "sleep",
            "asleep",
            "steep",
            "weep",
            "cheap",
            "sheep",
            "group",
            "type",
        ),
        "ㅂ",
    ),
    **dict.fromkeys(
        ("be", "the", "he", "she", "we", "me", "maybe", "recipe", "café", "cafe", "apostrophe", "wait", "walk"), ""
    ),
    **dict.fromkeys(("talk", "chalk", "half", "check", "shock", "set", "hit"), ""),
}
# The names of single letters and digits, as far as they close in a consonant.
_NAMES = dict(zip("lmnr013678", "ㄹㅁㄴㄹㅇㄹㅁㄱㄹㄹ", strict=True))
_CLOSED_ENDS = (("mb", "ㅁ"), ("ng", "ㅇ"), ("m", "ㅁ"), ("n", "ㄴ"), ("l", "ㄹ"))
# A stop closes the syllable after one short vowel (at, book, shop), not after a long one or a consonant (eat, root, help).
_SHORT_STOP = re.compile(r"(?:^|[^aeiou])(?:[aeiou]|qu[aeiou]|oo(?=k))(?:ck|[ptkc])$")
# What is quoted may be a mark, which is read by its name: 세미콜론, 콜론, 하이픈 close in n, 쉼표 and 마침표 in nothing.
_QUOTED_MARK = re.compile(r"[\"'‘“]([,.;:?!-])[\"'’”]$")


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
    """The consonant that closes the last syllable as Koreans read it; empty for none.

    Of Hangul only ``ㄹ`` is told apart, because only it matters to a particle; any other is ``ㅇ``.
    """
    if (mark := _QUOTED_MARK.search(text)) is not None:
        return "ㄴ" if mark.group(1) in ";:-" else ""
    words = re.findall(r"[A-Za-zé]+|[가-힣]+|\d", text.replace("’", "").replace("'", ""))
    if not words:
        return ""
    if words[-1].isupper() and len(words[-1]) <= 3:
        # "UK" and "TV" are spelt out.
        words.append(words[-1][-1])
    last = words[-1].lower()
    if "가" <= last[-1] <= "힣":
        code = (ord(last[-1]) - 0xAC00) % 28
        return "" if code == 0 else "ㄹ" if code == 8 else "ㅇ"
    return _NAMES.get(last, "") if len(last) == 1 else _english(last)


def _english(word: str) -> str:
    if word in _READ:
        return _READ[word]
    if word.endswith("e") and len(word) > 2 and word[-2] in "lmn":
        # "line" ends in the sound n and "people" in l.
        word = word[:-1]
    for ending, consonant in _CLOSED_ENDS:
        if word.endswith(ending):
            return consonant
    stop = _SHORT_STOP.search(word)
    return {"p": "ㅂ", "t": "ㅅ", "k": "ㄱ", "c": "ㄱ"}[word[-1]] if stop else ""
