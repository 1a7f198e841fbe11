"""Fixed phrases and collocations, from data/phrases.yaml.

Belongs here: finding the phrases of the table in a sentence. Does not belong here: the phrases themselves
(data/phrases.yaml).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NotRequired, TypedDict

from correctly_assets.teachers.embedded.rules import rule
from correctly_assets.teachers.embedded.sentence import Sentence, Slip, inflect, load_data


class Phrase(TypedDict):
    """An entry of data/phrases.yaml."""

    right: str
    wrong: list[str]
    type: str
    weight: NotRequired[float]


@lru_cache(maxsize=1)
def _by_first() -> dict[str, list[tuple[list[str], Phrase]]]:
    table: dict[str, list[tuple[list[str], Phrase]]] = {}
    for entry in load_data("phrases.yaml"):
        words = entry["right"].split()
        table.setdefault(words[0].lower(), []).append((words, entry))
    return table


def _matches(s: Sentence, i: int, words: list[str]) -> bool:
    if i + len(words) > len(s.doc):
        return False
    for token, word in zip(s.doc[i : i + len(words)], words, strict=True):
        if word.startswith("~"):
            if token.lemma_.lower() != word[1:] or not token.tag_.startswith("V"):
                return False
        elif token.lower_ != word.lower():
            return False
    return True


def _wrong(s: Sentence, i: int, right: list[str], wrong: str) -> str | None:
    """The wrong phrase with its verb inflected as the right one was."""
    first = wrong.split(" ", 1)[0]
    if not first.startswith("~"):
        return wrong
    verb = s.doc[i]
    rest = wrong[len(first) :]
    tag = "VB" if verb.tag_ == "VBP" else verb.tag_
    form = inflect(first[1:], tag) if tag != "VB" else first[1:]
    return f"{form}{rest}" if form and right[0].startswith("~") else None


@rule
def phrase(s: Sentence) -> Iterator[Slip]:
    """A fixed phrase with a word of another: "make a photo", each with its verb inflected as the right one is."""
    table = _by_first()
    for t in s:
        entries = [*table.get(t.lower_, ()), *(table.get(f"~{t.lemma_.lower()}", ()) if t.tag_.startswith("V") else ())]
        for words, entry in entries:
            if not _matches(s, t.i, words):
                continue
            wrongs = [w for w in (_wrong(s, t.i, words, wrong) for wrong in entry["wrong"]) if w]
            last = t.i + len(words) - 1
            right = s.text[t.idx : s.doc[last].idx + len(s.doc[last].text)]
            yield from s.swap(t.i, last, wrongs, entry["type"], "phrase", phrase=right, weight=entry.get("weight", 1.0))
