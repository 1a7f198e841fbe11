"""Examples like this one: nearest neighbours through FAISS, over any embedding.

Belongs here: the embedding that needs nothing, and the index around any. Does not belong here: other embeddings
(embeddings.py), near-duplicates, which
are counted exactly (near.py), or filters over attributes (store/search.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np

from correctly_assets.core.text import normalise

Vectors = np.ndarray[Any, np.dtype[np.float32]]
_BLOCK = 10_000
"""Texts embedded and searched at a time when there may be more of them than memory."""
_PRIME = np.uint64(0x100000001B3)
_MIX = np.uint64(0x9E3779B97F4A7C15)


class Embedding(Protocol):
    """Turns texts into vectors whose inner product says how alike they are."""

    @property
    def name(self) -> str:
        """What it is and how it is set; two indexes with the same name agree."""
        ...

    @property
    def dimensions(self) -> int:
        """Length of the vectors."""
        ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row of length 1 for each text (of zeros for a text without words)."""
        ...


class HashedNgrams:
    """Character n-grams of the normalised text, hashed into a vector: no model, no download.

    Likeness is that of wording, not of meaning: it finds "informations" beside "information" and the same topic by its
    words, and it does not know that a car is a vehicle.

    Args:
        dimensions: length of the vectors; a power of two.
        shortest, longest: lengths of the n-grams, in bytes.
    """

    def __init__(self, dimensions: int = 1024, shortest: int = 3, longest: int = 5) -> None:
        if dimensions < 2 or dimensions & (dimensions - 1):
            raise ValueError(f"The number of dimensions must be a power of two, not {dimensions}.")
        self._dimensions = dimensions
        self._lengths = range(shortest, longest + 1)
        self._shift = np.uint64(64 - dimensions.bit_length())  # one bit more than the bucket: it is the sign

    @property
    def name(self) -> str:
        """The lengths of the n-grams and of the vectors."""
        return f"hashed-{self._lengths.start}-{self._lengths.stop - 1}-grams-{self._dimensions}"

    @property
    def dimensions(self) -> int:
        """Length of the vectors."""
        return self._dimensions

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row of length 1 for each text (of zeros for a text without words)."""
        vectors = np.zeros((len(texts), self._dimensions), dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            self._fill(row, text)
        return vectors

    def _fill(self, row: Vectors, text: str) -> None:
        words = normalise(text)
        letters = np.frombuffer(f" {words} ".encode() if words else b"", dtype=np.uint8).astype(np.uint64)
        hashes: list[np.ndarray[Any, np.dtype[np.uint64]]] = []
        for length in self._lengths:
            places = len(letters) - length + 1
            if places <= 0:
                continue
            rolled = np.full(places, length, dtype=np.uint64)
            for offset in range(length):
                rolled = rolled * _PRIME + letters[offset : offset + places]  # wraps round, as is meant
            hashes.append(rolled)
        if not hashes:
            return
        distinct, counts = np.unique(np.concatenate(hashes), return_counts=True)
        mixed = (distinct * _MIX) >> self._shift
        # Signs let collisions cancel; the root keeps one repeated word from drowning the others.
        signs = np.where(mixed & np.uint64(1), np.float32(1), np.float32(-1))
        buckets = (mixed >> np.uint64(1)).astype(np.int64)
        row += np.bincount(buckets, weights=signs * np.sqrt(counts), minlength=self._dimensions).astype(np.float32)
        norm = float(np.linalg.norm(row))
        if norm > 0:
            row /= norm


@dataclass(frozen=True, slots=True)
class Hit:
    """A neighbour and how alike it is: 1 for the same text, about 0 for nothing in common."""

    id: str
    likeness: float


class NeighbourIndex:
    """Texts by their vectors, searched exactly (faiss.IndexFlatIP).

    Args:
        embedding: what makes the vectors; the one that needs no download when None.
    """

    def __init__(self, embedding: Embedding | None = None) -> None:
        self._embedding = embedding or HashedNgrams()
        self._index: Any = None  # made with the first text: an endpoint's dimensions cost a request to know
        self._ids: list[str] = []

    @property
    def name(self) -> str:
        """The embedding's name."""
        return self._embedding.name

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, items: Iterable[tuple[str, str]]) -> None:
        """Take in (id, text) pairs."""
        import faiss

        iterator = iter(items)
        while chunk := list(islice(iterator, _BLOCK)):
            vectors = self._embedding.embed([text for _, text in chunk])
            if self._index is None:
                self._index = faiss.IndexFlatIP(vectors.shape[1])
            self._index.add(vectors)
            self._ids += [id for id, _ in chunk]

    def nearest(self, text: str, k: int = 1) -> list[Hit]:
        """The ``k`` most alike, most alike first; those equally alike in the order they came."""
        if not self._ids or k < 1:
            return []
        likeness, places = self._index.search(self._embedding.embed([text]), min(k, len(self._ids)))
        found = sorted(zip(places[0].tolist(), likeness[0].tolist(), strict=True), key=lambda hit: (-hit[1], hit[0]))
        return [Hit(self._ids[place], value) for place, value in found]


def nearest(
    text: str, items: Iterable[tuple[str, str]], k: int, *, embedding: Embedding | None = None, block: int = _BLOCK
) -> list[Hit]:
    """The ``k`` items most like a text, read a block at a time, so that there may be more of them than memory.

    Args:
        items: (id, text).
        block: items held at once.
    """
    chosen = embedding or HashedNgrams()
    best: list[Hit] = []
    for chunk in _blocks(items, block):
        index = NeighbourIndex(chosen)
        index.add(chunk)
        best = sorted([*best, *index.nearest(text, k)], key=lambda hit: -hit.likeness)[:k]
    return best


def _blocks(items: Iterable[tuple[str, str]], size: int) -> Iterator[list[tuple[str, str]]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
