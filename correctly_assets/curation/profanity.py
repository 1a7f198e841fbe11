"""Profane words: what keeps a person's row out of training, and what vetoes a model's answer.

Belongs here: finding them, with the library pyobscenity (patterns with known harmless words; no model, no download).
Does not belong here: what follows from a find (guards.py, correction/).
"""

from __future__ import annotations

import re
from typing import Any

from pyobscenity import (
    RegexMatcher,
    english_dataset,
    english_recommended_blacklist_transformers,
    english_recommended_whitelist_transformers,
)

_WORD = re.compile(r"[\w*@$'’-]+", re.UNICODE)
_REMEMBERED = 500_000
_EDGES = "*'’-_@$"


class Profanity:
    """Finds profane words. One object serves all threads; a text without any costs some microseconds.

    Words are looked up one by one and remembered, because a million rows have only so many different words; the library
    sees a whole text only where one of its words is suspect, to clear what is harmless in its place (``cock robin``).
    """

    def __init__(self) -> None:
        built = english_dataset.build()
        self._matcher: Any = RegexMatcher(
            blacklisted_terms=built["blacklisted_terms"],
            whitelisted_terms=built["whitelisted_terms"],
            blacklist_transformers=english_recommended_blacklist_transformers,
            whitelist_transformers=english_recommended_whitelist_transformers,
        )
        self._roots: dict[int, str] = {
            term: (english_dataset.containers[place].metadata or {}).get("originalWord", str(place))
            for term, place in english_dataset.patternIdToContainerIndex.items()
        }
        self._clean: set[str] = set()
        self._profane: dict[str, frozenset[str]] = {}

    def words(self, text: str) -> list[str]:
        """The profane words of a text, as they stand there, in order."""
        return [word for word, _ in self._found(text)]

    def added_profanity(self, before: str, after: str) -> list[str]:
        """Profane words of ``after`` whose root ``before`` does not have (the correction path's `core.correction.ProfanityGuard`).

        A swear word that the person wrote, or misspelt, may stand in the answer; one of another root may not.
        """
        found = self._found(after)
        if not found:
            return []
        roots_before = {root for _, roots in self._found(before) for root in roots}
        return [word for word, roots in found if not roots & roots_before]

    def _found(self, text: str) -> list[tuple[str, frozenset[str]]]:
        unknown = set(_WORD.findall(text.lower())) - self._clean
        if not [word for word in unknown if self._is_profane(word)]:
            return []
        suspects = [
            (match.group().strip(_EDGES), match, roots)
            for match in _WORD.finditer(text)
            if (roots := self._profane.get(match.group().lower()))
        ]
        # Punctuation is blanked first: the library reads "!" as an "i" in disguise, so that "bullshit!" would pass.
        spans = [(hit.startIndex, hit.endIndex) for hit in self._matcher.get_all_matches(_blank_punctuation(text))]
        return [
            (word, roots)
            for word, match, roots in suspects
            if any(start < match.end() and end > match.start() for start, end in spans)
        ]

    def _is_profane(self, word: str) -> bool:
        if word not in self._profane:
            # A number is no word in disguise, though "455" could be read as one.
            bare = "" if word.isdigit() else word.strip(_EDGES)
            hits = {self._roots[hit.termId]: hit.startIndex for hit in self._matcher.get_all_matches(bare)}
            # In the middle of a word only the plain spelling counts: "Terengganu" is a town.
            roots = frozenset(root for root, start in hits.items() if start == 0 or root in bare)
            if not roots:
                if len(self._clean) >= _REMEMBERED:
                    self._clean = set()  # a new set: another thread may be using the old one
                self._clean.add(word)
                return False
            self._profane[word] = roots
        return True


def _blank_punctuation(text: str) -> str:
    return re.sub(r"[!?.,;:()\[\]{}\"“”|/]", " ", text)
