"""Normal forms of text that several rooms must agree on.

Belongs here: the normalised form by which rows are equal, split and checked for leaks. Does not belong here: correction
or scoring rules.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Literal, TypeVar

Item = TypeVar("Item")
_NOT_WORD = re.compile(r"[^\w]+", re.UNICODE)


def normalise(text: str) -> str:
    """Case, width, punctuation and spacing folded away: two rows with one normal form are the same sentence."""
    return _NOT_WORD.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


def unicode_form(start: bytes) -> str:
    """In which form of Unicode a text is, by its first 64 bytes: UTF-16 and UTF-32 with or without a byte-order mark, as PowerShell
    and Excel write them; else utf-8-sig, which any other encoding is taken for too."""
    if start[:4] in (b"\xff\xfe\0\0", b"\0\0\xfe\xff"):
        return "utf-32"
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    zero = [len(start) >= 4 and not any(start[place : len(start) // 4 * 4 : 4]) for place in range(4)]
    for name, wanted in (
        ("utf-32-le", [False, True, True, True]),
        ("utf-32-be", [True, True, True, False]),
        ("utf-16-le", [False, True, False, True]),
        ("utf-16-be", [True, False, True, False]),
    ):
        if zero == wanted:
            return name
    return "utf-8-sig"


def decoding_errors(encoding: str) -> str:
    """How bytes that are no text are read in an encoding, so that they cost one row and not the file: escaped, or as a mark in UTF-16
    and UTF-32, where half a character has no surrogate to escape into."""
    return "replace" if encoding.startswith(("utf-16", "utf-32")) else "surrogateescape"


def clean_line(text: str) -> str:
    """NFC, with runs of blanks as one blank and none at the ends; what a row's text is stored as."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def word_ngrams(text: str, n: int = 8) -> set[tuple[str, ...]]:
    """The set of word n-grams of the normalised text; empty for texts shorter than ``n`` words."""
    words = normalise(text).split()
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


def text_sha(text: str) -> str:
    """sha256 (hex) of the normalised text."""
    return hashlib.sha256(normalise(text).encode()).hexdigest()


def split_of(before: str, held_out_percent: int = 5) -> Literal["train", "held_out"]:
    """The deterministic split of a row, by hash of its normalised source: it never depends on the other rows."""
    return "held_out" if int(text_sha(before)[:8], 16) % 100 < held_out_percent else "train"


def leaks(training: Iterable[str], evaluation: Iterable[str], n: int = 8) -> dict[str, str]:
    """Training texts that show an evaluation text: equal when normalised, or sharing a word ``n``-gram.

    Returns:
        {training text: the evaluation text it shows}.
    """
    whole: dict[str, str] = {}
    grams: dict[tuple[str, ...], str] = {}
    for text in evaluation:
        whole.setdefault(normalise(text), text)
        for gram in word_ngrams(text, n):
            grams.setdefault(gram, text)
    found: dict[str, str] = {}
    for text in training:
        hit = whole.get(normalise(text)) or next((grams[g] for g in word_ngrams(text, n) if g in grams), None)
        if hit is not None:
            found[text] = hit
    return found


_MARKDOWN = re.compile(r"([\\|*_`\[\]<&~])")


def in_cell(text: str) -> str:
    """A text as a cell of a Markdown table shows it: on one line, and without becoming a link, a picture or markup."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def slices(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items in lists of at most ``size``."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
