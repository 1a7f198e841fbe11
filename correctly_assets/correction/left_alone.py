"""What a reader is told of the stretches that were not corrected: one line that names each and says why.

Belongs here: that line, in English and Korean, and the sentences that stand in place of a corrected text. Does not belong here:
which stretches those are (segment.py, path.py), or the table of changes (render.py).
"""

from __future__ import annotations

import re

from correctly_assets.core.types import Correction, Skipped

NOTHING_TO_CHANGE = {
    "en": "This already reads naturally; nothing to change.",
    "ko": "이미 자연스러운 문장이라 고칠 것이 없습니다.",
}
NOT_CHANGED = {
    "en": "I could not find a safe correction, so your text stands as you wrote it.",
    "ko": "안전하게 고칠 방법을 찾지 못해 원문을 그대로 두었습니다.",
}
REST_READS_WELL = {
    "en": "What I looked at already reads naturally.",
    "ko": "살펴본 부분은 이미 자연스럽습니다.",
}
NO_PROSE = {
    "en": "There is no English prose here that I could correct.",
    "ko": "고칠 수 있는 영어 문장이 없습니다.",
}
FILES_NOT_READ = {
    "en": "I did not read the attached files: paste the text that I should correct.",
    "ko": "첨부 파일은 읽지 않았습니다. 고칠 글을 붙여 넣어 주세요.",
}
LEFT = {"en": "Left as it was:", "ko": "그대로 둔 부분:"}
"""How the line begins that names what was left alone."""
MORE = {"en": "and {count} more", "ko": "외 {count}곳"}
BY_STYLE_ALONE = {
    "en": "There is nothing to change but what the house style leaves alone.",
    "ko": "하우스 스타일에서 그대로 두기로 한 것 말고는 고칠 것이 없습니다.",
}
NO_SAFE = "no safe correction was found"
UNKNOWN_WORD = "a word that no dictionary knows"
UNKNOWN_WORDS = "too many words that no dictionary knows"
BY_STYLE = "the house style"
NO_SENTENCE = "no sentence"
TRIED = frozenset((NO_SAFE, "a sentence that is too long", UNKNOWN_WORD, UNKNOWN_WORDS))
"""Why English prose is left as it was; every other reason says that a stretch is no English prose."""
IN_KOREAN = {
    NO_SAFE: "안전하게 고칠 방법을 찾지 못함",
    "a sentence that is too long": "너무 긴 문장",
    UNKNOWN_WORD: "사전에 없는 단어",
    UNKNOWN_WORDS: "사전에 없는 단어가 너무 많음",
    BY_STYLE: "하우스 스타일",
    NO_SENTENCE: "문장이 아님",
    "another language": "다른 언어",
    "a word by itself": "단독으로 쓰인 단어",
    "mail header": "메일 머리글",
    "quoted mail": "인용된 메일",
    "table": "표",
    "code": "코드",
    "comment": "주석",
    "formula": "수식",
    "front matter": "문서 머리 정보",
}
MOST_NAMED = 3
"""Stretches that are named; the rest are counted."""
MOST_CHARACTERS = 40
"""Code points of a stretch that are quoted."""

_SPECIAL = re.compile(r"([\\|*_`\[\]~<>#$])")


def left_alone(before: str, skipped: tuple[Skipped, ...], language: str = "en", *, markdown: bool = True) -> str:
    """One line that names what was left alone and why; empty where nothing was.

    Args:
        before: the text that the ranges count in.
        markdown: whether the line is shown as Markdown, in which signs of the quoted text must not act as marks.
    """
    named = []
    for one in skipped[:MOST_NAMED]:
        why = IN_KOREAN.get(one.why, one.why) if language == "ko" else one.why
        named.append(f"“{_quoted(before[one.start : one.end], markdown)}” ({why})")
    if not named:
        return ""
    if len(skipped) > MOST_NAMED:
        named.append(MORE.get(language, MORE["en"]).format(count=len(skipped) - MOST_NAMED))
    return f"{LEFT.get(language, LEFT['en'])} {'; '.join(named)}."


def unchanged_answer(correction: Correction, language: str = "en") -> str:
    """What is said instead of a corrected text: that it reads well, or which parts were left alone and why; one line."""
    language = language if language in LEFT else "en"
    skipped = correction.skipped
    if not skipped:
        return (NOT_CHANGED if correction.fallback else NOTHING_TO_CHANGE)[language]
    line = left_alone(correction.before, skipped, language)
    if _read_some(correction):
        return f"{REST_READS_WELL[language]} {line}"
    whys = {one.why for one in skipped}
    if BY_STYLE in whys and not whys & TRIED:
        return f"{BY_STYLE_ALONE[language]} {line}"
    if whys == {NO_SAFE}:
        return NOT_CHANGED[language]
    return f"{(NOT_CHANGED if whys & TRIED else NO_PROSE)[language]} {line}"


def without_notice(answer: str) -> str:
    """An answer without the sentences that the gateway itself wrote behind or instead of a text."""
    leads = "|".join(map(re.escape, LEFT.values()))
    text = answer.strip()
    for notice in FILES_NOT_READ.values():
        text = text.removesuffix(notice).rstrip()
    text = re.sub(rf"(?:^|\s)(?:{leads}) “[^\n]*\.$", "", text).rstrip()
    for notices in (NOTHING_TO_CHANGE, NOT_CHANGED, REST_READS_WELL, NO_PROSE, BY_STYLE_ALONE):
        for notice in notices.values():
            text = text.removesuffix(notice).rstrip()
    return text


def notice_of(answer: str) -> str:
    """The sentences that the gateway itself wrote behind or instead of a text; empty where it wrote none."""
    text = answer.strip()
    return text[len(without_notice(text)) :].strip()


def _read_some(correction: Correction) -> bool:
    """Whether any letter of the text stands outside what was left alone."""
    position = 0
    for one in sorted(correction.skipped, key=lambda skipped: skipped.start):
        if any(character.isalpha() for character in correction.before[position : one.start]):
            return True
        position = max(position, one.end)
    return any(character.isalpha() for character in correction.before[position:])


def _quoted(text: str, markdown: bool) -> str:
    """The beginning of a stretch on one line, cut between words."""
    line = " ".join(text.split())
    # A fence or a quotation mark says nothing of what stands behind it.
    line = re.sub(r"^[\W_]+(?=\w)|\s+[^\w\s]{3,}$", "", line) or line
    if len(line) > MOST_CHARACTERS:
        line = f"{line[:MOST_CHARACTERS].rsplit(' ', 1)[0]} …"
    return _SPECIAL.sub(r"\\\1", line) if markdown else line
