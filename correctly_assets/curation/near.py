"""Near-duplicates: texts that share most of their character 5-grams with an earlier one.

Belongs here: finding them with MinHash and checking each find exactly, and the split that a near-duplicate inherits. Does
not belong here: how they lie on the disk (near_segments.py), equal texts (their hash tells, core/text.py), or similarity of
meaning.

How: shingles are the 5-byte windows of the normalised text; rensa computes 128 MinHash values, of which 21 bands of 6
make two texts candidates when they share two; a candidate counts only when its exact Jaccard similarity reaches the
threshold. The index is a directory of segments, each a handful of
NumPy arrays written once, so that a few new rows against a million old ones cost seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from rensa import RMinHash  # pyright: ignore[reportAttributeAccessIssue] - compiled, without stubs

from correctly_assets.core.text import normalise, split_of
from correctly_assets.curation.near_segments import BANDS, Array, Segment, key_of, load_segments, sorted_bands

Split = Literal["train", "held_out"]
_SPLITS: tuple[Split, Split] = ("train", "held_out")

THRESHOLD = 0.8
_GRAM = 5
_PERMUTATIONS = 128
_BAND_ROWS = 6
_SEED = 20
_BUCKET = 30
"""Rows of one band that a text is held against. A band shared by more is a phrase that everybody uses."""
_SHARED = 2
"""Bands that two texts must share to be compared."""
_TRIED = 40
"""Candidates that a text is compared with exactly, those that share most bands first."""
_MERGE = 12
"""Segments that may pile up before they are made one."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An earlier text and its Jaccard similarity, 0 to 1."""

    id: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a text belongs.

    Attributes:
        split: that of the earlier texts it is near to, else its own (``core.text.split_of``); None when it is near to
            texts of both splits: it straddles, and must go to neither.
        near: the earlier text it is most similar to.
    """

    id: str
    split: Split | None
    near: Neighbour | None


class NearIndex:
    """The texts placed so far, on disk or in memory.

    One writer at a time: whoever builds a train set. A call that is killed leaves whole segments only.

    Args:
        directory: where segments are kept; None keeps them in memory.
        threshold: least Jaccard similarity of a near-duplicate.

    Raises:
        PermanentError: the directory holds an index of another kind.
    """

    def __init__(self, directory: Path | None = None, *, threshold: float = THRESHOLD) -> None:
        self._threshold = threshold
        self._directory = directory
        self._segments: list[Segment] = []
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            self._segments = load_segments(directory)

    def __len__(self) -> int:
        return sum(len(segment.splits) for segment in self._segments)

    def place(self, items: Iterable[tuple[str, str]], *, batch: int = 50_000) -> Iterator[Placed]:
        """Place texts in the order they come, and remember those that do not straddle.

        Args:
            items: (id, text). An id that was placed before keeps its split, whatever the text says now.
        """
        iterator = iter(items)
        while chunk := list(islice(iterator, batch)):
            yield from self._place(chunk)

    def earliest_first(self, ids: Sequence[str]) -> list[str]:
        """Ids in the order in which they were placed, over all calls; those that are not remembered come last."""
        keys = np.array([key_of(id) for id in ids], dtype=np.uint64)
        places = np.full(len(ids), np.iinfo(np.int64).max)
        before = 0
        for segment in self._segments:
            hit, rows = segment.rows_of(keys)
            places[hit] = before + rows.astype(np.int64)
            before += len(segment.splits)
        return [ids[int(number)] for number in np.argsort(places, kind="stable")]

    def remove(self, ids: Iterable[str]) -> int:
        """Take texts out, on disk too, and return how many. The others keep their splits and their order.

        The index is written anew as one segment, which appears whole before the old ones go: a call that is killed leaves
        the old ones or the new one.

        Raises:
            PermanentError: the directory cannot be written.
        """
        gone = set(ids)
        keys = np.array(sorted(key_of(id) for id in gone), dtype=np.uint64)
        if not any(segment.rows_of(keys)[0].any() for segment in self._segments):
            return 0
        parts = [(segment, [row for row, id in enumerate(segment.ids) if id not in gone]) for segment in self._segments]
        before = len(self)
        made = Segment.build(
            [segment.ids[row] for segment, rows in parts for row in rows],
            [segment.text(row) for segment, rows in parts for row in rows],
            [int(segment.splits[row]) for segment, rows in parts for row in rows],
            np.concatenate([segment.bands()[rows] for segment, rows in parts]),
        )
        if self._directory is not None:
            made.save(self._directory, replaces=[segment.path for segment in self._segments if segment.path])
        self._segments = [made]
        return before - len(self)

    def _place(self, chunk: Sequence[tuple[str, str]]) -> list[Placed]:
        known = self._known(np.array([key_of(id) for id, _ in chunk], dtype=np.uint64))
        fresh: list[int] = []
        seen: dict[str, int] = {}
        for number, (id, _) in enumerate(chunk):
            if known[number] < 0 and seen.setdefault(id, number) == number:
                fresh.append(number)
        texts = [normalise(chunk[number][1]).encode() for number in fresh]
        shingles = _Shingles(texts)
        bands = _band_hashes(shingles)
        near = self._near_earlier(shingles, bands)
        own = _candidates(*sorted_bands(bands), bands, only_earlier=True)
        placed: dict[str, Placed] = {}
        splits: dict[int, int] = {}
        for row, number in enumerate(fresh):
            id, text = chunk[number]
            grams = shingles.of(row)
            for other in own.get(row, ()):
                if other in splits and (similarity := _jaccard(grams, shingles.of(other))) >= self._threshold:
                    near.setdefault(row, []).append((similarity, chunk[fresh[other]][0], splits[other]))
            alike = near.get(row, [])
            best = max(alike, default=None)
            neighbour = Neighbour(best[1], best[0]) if best else None
            found = {split for _, _, split in alike}
            if len(found) > 1:
                placed[id] = Placed(id, None, neighbour)
                continue
            splits[row] = found.pop() if found else _SPLITS.index(split_of(text))
            placed[id] = Placed(id, _SPLITS[splits[row]], neighbour)
        if splits:
            kept = list(splits)
            self._add(
                [chunk[fresh[row]][0] for row in kept], [texts[row] for row in kept], list(splits.values()), bands[kept]
            )
        return [
            placed[id] if known[number] < 0 else Placed(id, _SPLITS[known[number]], None)
            for number, (id, _) in enumerate(chunk)
        ]

    def _near_earlier(self, shingles: _Shingles, bands: Array) -> dict[int, list[tuple[float, str, int]]]:
        """For each row, its near-duplicates among the segments: (similarity, id, split)."""
        near: dict[int, list[tuple[float, str, int]]] = {}
        for segment in self._segments:
            candidates = _candidates(segment.hashes, segment.hash_rows, bands)
            others = sorted({other for found in candidates.values() for other in found})
            place_of = {other: place for place, other in enumerate(others)}
            other_shingles = _Shingles([segment.text(other) for other in others])
            for row, found in candidates.items():
                grams = shingles.of(row)
                for other in found:
                    similarity = _jaccard(grams, other_shingles.of(place_of[other]))
                    if similarity >= self._threshold:
                        near.setdefault(row, []).append((similarity, segment.ids[other], int(segment.splits[other])))
        return near

    def _known(self, keys: Array) -> Array:
        """The split of each key that is in the index, -1 for the others."""
        splits = np.full(len(keys), -1, dtype=np.int8)
        for segment in self._segments:
            hit, rows = segment.rows_of(keys)
            splits[hit] = segment.splits[rows]
        return splits

    def _add(self, ids: list[str], texts: list[bytes], splits: list[int], bands: Array) -> None:
        parts = [(ids, texts, splits, bands)]
        merged: list[Segment] = []
        if len(self._segments) + 1 > _MERGE:
            merged = self._segments
            parts = [(s.ids, s.texts(), s.splits.tolist(), s.bands()) for s in merged] + parts
        segment = Segment.build(
            [id for part in parts for id in part[0]],
            [text for part in parts for text in part[1]],
            [split for part in parts for split in part[2]],
            np.concatenate([part[3] for part in parts]),
        )
        if self._directory is not None:
            segment.save(self._directory, replaces=[s.path for s in merged if s.path])
        self._segments = [*([] if merged else self._segments), segment]


# -- texts to bands ------------------------------------------------------------------------------------------------


class _Shingles:
    """The 5-byte windows of many texts at once: unique, mixed 64-bit values, text by text."""

    def __init__(self, texts: Sequence[bytes]) -> None:
        # Padding lets every text have a window, and tells a text's beginning and end from its middle.
        padded = [b"\x01" + text + b"\x02" * (_GRAM - 1) for text in texts]
        lengths = np.array([len(text) for text in padded], dtype=np.int64)
        starts = np.concatenate([[0], np.cumsum(lengths)])
        data = np.frombuffer(b"".join(padded) + b"\x00" * _GRAM, dtype=np.uint8).astype(np.uint64)
        size = int(starts[-1])
        values = np.zeros(size, dtype=np.uint64)
        for offset in range(_GRAM):
            values |= data[offset : offset + size] << np.uint64(8 * offset)
        values = _mixed(values)
        rows = np.repeat(np.arange(len(texts)), lengths)
        inside = np.ones(size, dtype=bool)
        for back in range(1, _GRAM):
            inside[starts[1:] - back] = False
        values, rows = values[inside], rows[inside]
        order = np.lexsort((values, rows))
        values, rows = values[order], rows[order]
        first = np.ones(len(values), dtype=bool)
        first[1:] = (values[1:] != values[:-1]) | (rows[1:] != rows[:-1])
        self.values = np.ascontiguousarray(values[first])
        self.offsets = np.concatenate([[0], np.cumsum(np.bincount(rows[first], minlength=len(texts)))])

    def of(self, row: int) -> Array:
        return self.values[self.offsets[row] : self.offsets[row + 1]]


def _mixed(values: Array) -> Array:
    """splitmix64's finaliser: neighbouring values end far apart."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _band_hashes(shingles: _Shingles) -> Array:
    """One 64-bit value for each band of each text: shape (texts, bands)."""
    count = len(shingles.offsets) - 1
    if not count:
        return np.zeros((0, BANDS), dtype=np.uint64)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        shingles.values, shingles.offsets.astype(np.uint64), num_perm=_PERMUTATIONS, seed=_SEED
    )
    signatures = np.array(matrix.to_rows(), dtype=np.uint64)[:, : BANDS * _BAND_ROWS]
    parts = signatures.reshape(count, BANDS, _BAND_ROWS)
    hashes = np.broadcast_to(np.arange(1, BANDS + 1, dtype=np.uint64), (count, BANDS)).copy()
    for row in range(_BAND_ROWS):
        hashes = _mixed(hashes * np.uint64(0x9E3779B97F4A7C15) + parts[:, :, row])
    return hashes


def _jaccard(one: Array, two: Array) -> float:
    """Exact similarity of two sorted arrays of unique values."""
    shared = len(np.intersect1d(one, two, assume_unique=True))
    union = len(one) + len(two) - shared
    return shared / union if union else 1.0


def _candidates(hashes: Array, rows: Array, bands: Array, *, only_earlier: bool = False) -> dict[int, list[int]]:
    """{row of ``bands``: rows of an index that share at least two bands with it, those that share most first}.

    Two bands rather than one: at 0.8 a pair still shares so many with probability 0.986, while pairs at 0.5, of which
    there are very many more, do so seven times less often.

    Args:
        hashes: the index's band hashes in order; ``rows``: the row of each.
        only_earlier: the index is ``bands`` itself, and rows are held against earlier ones.
    """
    flat = bands.ravel()
    left = np.searchsorted(hashes, flat, side="left")
    counts = np.minimum(np.searchsorted(hashes, flat, side="right") - left, _BUCKET)
    total = int(counts.sum())
    if not total:
        return {}
    # The places left[i], left[i] + 1, … of every band i, behind one another.
    places = np.repeat(left - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts) + np.arange(total)
    first = np.repeat(np.arange(len(flat)) // BANDS, counts).astype(np.uint64)
    second = rows[places].astype(np.uint64)
    if only_earlier:
        first, second = first[second < first], second[second < first]
    pairs, shared = np.unique((first << np.uint64(32)) | second, return_counts=True)
    pairs, shared = pairs[shared >= _SHARED], shared[shared >= _SHARED]
    order = np.lexsort((-shared, pairs >> np.uint64(32)))
    found: dict[int, list[int]] = {}
    for pair in pairs[order].tolist():
        others = found.setdefault(pair >> 32, [])
        if len(others) < _TRIED:
            others.append(pair & 0xFFFFFFFF)
    return found
