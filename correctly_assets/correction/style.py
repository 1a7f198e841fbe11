"""How a sentence is set: its first letter and its last mark, which stay the writer's where the layout decides them.

Belongs here: headings, items of lists, parts of a sentence that was cut. Does not belong here: words.
"""

from __future__ import annotations

import re

from correctly_assets.correction.segment import Segment

_FEW = 6
"""Words up to which a line without a full stop is a heading rather than a sentence that forgot it."""


def as_it_was(asked: str, answer: str, part: Segment, *, fragment: bool) -> str:
    """The answer with the first letter and the end that the sentence's place asks for.

    Args:
        fragment: whether it stands by itself in a text of several sentences.
    """
    single = len(asked.split()) == 1
    if asked[-1:] in (":", ";", ","):
        # "Ingredients:" is closed already.
        answer = re.sub(r"([:;,])[.!?]$", r"\1", answer)
    if part.item or single or part.joins[1] or (fragment and len(asked.split()) <= _FEW):
        answer = _same_end(asked, answer)
    if part.item or single or part.joins[0]:
        answer = _same_first_letter(asked, answer)
    return with_marks_of(asked, answer)


def with_marks_of(asked: str, answer: str) -> str:
    """The answer with the writer's apostrophes and quotation marks, where the writer uses curly ones alone."""
    if "’" in asked and "'" not in asked:
        answer = re.sub(r"(?<=\w)'(?=\w|\s|$)", "’", answer)
    quotes = re.findall("[“”]", asked)
    if quotes and '"' not in asked and answer.count('"') == len(quotes):
        marks = iter(quotes)
        answer = re.sub('"', lambda _: next(marks), answer)
    return answer


def _same_end(asked: str, answer: str) -> str:
    """Without the mark that the answer puts behind a line that has none."""
    if re.search(r"[.!?…:;,]['\"”’)\]*_]*$", asked) or answer.endswith(".."):
        return answer
    return re.sub(r"[.!?;,](?=['\"”’)]*$)", "", answer)


def _same_first_letter(asked: str, answer: str) -> str:
    """With a small first letter where the line has one and the word is still the same."""
    was, now = asked.split(), answer.split()
    if not was or not now or not asked[:1].islower() or not answer[:1].isupper():
        return answer
    if re.fullmatch(r"I(?:['’].*)?", now[0]) or now[0][1:] != now[0][1:].lower():
        return answer
    return answer[0].lower() + answer[1:]
