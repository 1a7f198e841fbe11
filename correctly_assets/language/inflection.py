"""Lemmas and inflected forms of English words, from lemminflect's dictionary.

Belongs here: calls of that library, which brings spaCy with it and is therefore loaded at the first call. Does not belong
here: what a form says about a sentence (correction/, teachers/).
"""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def _library() -> Any:
    import lemminflect

    return lemminflect


def all_lemmas(word: str) -> dict[str, tuple[str, ...]]:
    """The lemmas that a word can belong to, by universal part of speech; empty for a word that the dictionary lacks."""
    return _library().getAllLemmas(word)


def inflection(lemma: str, tag: str) -> tuple[str, ...]:
    """The spellings of a lemma's form with a Penn tag (``VBZ``, ``NNS`` …), the usual one first; empty when none is known."""
    return _library().getInflection(lemma, tag)


def all_inflections(lemma: str, upos: str) -> dict[str, tuple[str, ...]]:
    """Every form of a lemma of one part of speech, by Penn tag; empty for a lemma that the dictionary lacks."""
    return _library().getAllInflections(lemma, upos=upos)


def inflections_by_rule(lemma: str, upos: str) -> dict[str, tuple[str, ...]]:
    """Every form of a lemma, by Penn tag, as spelling rules make them: for words that no dictionary holds."""
    return _library().getAllInflectionsOOV(lemma, upos=upos)
