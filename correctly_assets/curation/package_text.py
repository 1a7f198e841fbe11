"""Correct sentences that an installed package carries under a permissive licence, read where it stands and never copied.

Belongs here: finding such text and keeping what is good enough to learn from. Does not belong here: text that ships with
the project (starter/), or what people land (checks.py).
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

from correctly_assets.core.text import normalise
from correctly_assets.language.harper import load_linter

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_PLAIN = re.compile(r"[A-Z][A-Za-z ,;:'\"()-]+[.!?]")
"""Letters and ordinary marks alone, from a capital to a full stop: no digits, addresses, emoticons or dots in a row."""
_CHAT = re.compile(
    r"\b(?:lol|haha\w*|omg|u|ur|r|im|ive|id|dont|cant|didnt|doesnt|wont|isnt|thats|whats|lets|gonna|wanna|gotta|kinda|sorta|"
    r"yeah|yep|yup|nah|hey|hi|hello|btw|tho|cuz|cause|idk|ok|aka|dude|guys|chit|shit|fuck\w*|damn|hell|crap|ass|sex\w*|"
    r"survey|chat|stranger|Reddit|BYU)\b",
    re.IGNORECASE,
)
_NAME = re.compile(r"\b(?:my name is|I'm|I am|this is|named) [A-Z]")
_SPACING = re.compile(r" [,.;:!?]|,,| {2}|[,;:][A-Za-z]|\bi\b")
LEAST_WORDS, MOST_WORDS = 8, 30


def chitchat_path() -> Path | None:
    """The data file of the package chitchat-dataset (MIT), if it is installed."""
    found = find_spec("chitchat_dataset")
    path = Path(found.origin).with_name("dataset.json") if found is not None and found.origin else None
    return path if path is not None and path.is_file() else None


def read_chitchat(path: Path) -> Iterator[str]:
    """The sentences of its messages that look correct, each once, in a fixed shuffled order.

    A sentence is kept when it has 8 to 30 words, ordinary characters, no chat slang, nobody's name, and nothing that Harper
    would change.
    """
    linter = load_linter()
    for text in _candidates(path):
        if not any(lint.suggestions for lint in linter.lint(text)):
            yield text


def _candidates(path: Path) -> Iterator[str]:
    seen: set[str] = set()
    sentences = list(_sentences(json.loads(path.read_text(encoding="utf-8")).values()))
    random.Random(0).shuffle(sentences)
    for text in sentences:
        words = text.count(" ") + 1
        odd = _CHAT.search(text) or _NAME.search(text) or _SPACING.search(text)
        if not LEAST_WORDS <= words <= MOST_WORDS or odd or not _PLAIN.fullmatch(text) or normalise(text) in seen:
            continue
        seen.add(normalise(text))
        yield text


def _sentences(conversations: Iterable[dict[str, list[list[dict[str, str]]]]]) -> Iterator[str]:
    for conversation in conversations:
        for turn in conversation["messages"]:
            for message in turn:
                yield from _SENTENCE.split(message["text"].strip())
