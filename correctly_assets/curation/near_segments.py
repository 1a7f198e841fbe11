"""The index of near-duplicates as it lies on the disk: segments, each a handful of NumPy arrays written once.

Belongs here: building, reading and writing segments, and merging that survives a kill. Does not belong here: what is near to what
(near.py).
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from correctly_assets.core.errors import PermanentError

BANDS = 21
"""MinHash bands of a text; a segment keeps one hash of each."""
_FORMAT = 1

Array = np.ndarray[Any, np.dtype[Any]]


def sorted_bands(bands: Array) -> tuple[Array, Array]:
    """(band hashes in order, the row of each); equal hashes stand in the order of their rows."""
    flat = bands.ravel()
    order = np.argsort(flat, kind="stable")
    return flat[order], (order // BANDS).astype(np.uint32)


def key_of(id: str) -> int:
    """The 64-bit key of an ID, by which a segment finds its row."""
    return int.from_bytes(blake2b(id.encode(), digest_size=8).digest(), "big")


class Segment:
    """Texts that were placed together. Arrays may be memory-mapped files: only what is looked at is read."""

    _ARRAYS = ("hashes", "hash_rows", "keys", "key_rows", "splits", "data", "offsets", "id_data", "id_offsets")

    def __init__(self, arrays: dict[str, Array], path: Path | None = None, replaces: Sequence[str] = ()) -> None:
        self.path = path
        self.replaces = tuple(replaces)
        self._arrays = arrays
        self.hashes, self.hash_rows = arrays["hashes"], arrays["hash_rows"]
        self.keys, self.key_rows = arrays["keys"], arrays["key_rows"]
        self.splits, self._data, self._offsets = arrays["splits"], arrays["data"], arrays["offsets"]
        self.ids = _Ids(arrays["id_data"], arrays["id_offsets"])

    @classmethod
    def build(cls, ids: list[str], texts: list[bytes], splits: list[int], bands: Array) -> Segment:
        """A segment of new texts.

        Args:
            ids, texts, splits: one each a row; a text is the bytes that similarity is measured on.
            bands: MinHash band hashes, an array of shape (rows, `BANDS`).
        """
        hashes, hash_rows = sorted_bands(bands)
        keys = np.array([key_of(id) for id in ids], dtype=np.uint64)
        key_order = np.argsort(keys, kind="stable")
        data, offsets = _packed(texts)
        id_data, id_offsets = _packed([id.encode() for id in ids])
        arrays: dict[str, Array] = {
            "hashes": hashes,
            "hash_rows": hash_rows,
            "keys": keys[key_order],
            "key_rows": key_order.astype(np.uint32),
            "splits": np.array(splits, dtype=np.int8),
            "data": data,
            "offsets": offsets,
            "id_data": id_data,
            "id_offsets": id_offsets,
        }
        return cls(arrays)

    def rows_of(self, keys: Array) -> tuple[Array, Array]:
        """Which of the keys are here, as a mask, and the rows of those that are."""
        if not len(self.keys):
            return np.zeros(len(keys), dtype=bool), np.zeros(0, dtype=np.uint32)
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        hit = self.keys[places] == keys
        return hit, self.key_rows[places[hit]]

    def texts(self) -> list[bytes]:
        """The texts of all rows, in order."""
        return [self.text(row) for row in range(len(self.splits))]

    def text(self, row: int) -> bytes:
        """The text of one row, as bytes."""
        return self._data[int(self._offsets[row]) : int(self._offsets[row + 1])].tobytes()

    def bands(self) -> Array:
        """The band hashes again, row by row; their order within a row does not matter."""
        order = np.argsort(self.hash_rows, kind="stable")
        return np.asarray(self.hashes)[order].reshape(len(self.splits), BANDS)

    def save(self, directory: Path, *, replaces: Sequence[Path] = ()) -> None:
        """Write the segment as a directory that appears whole, and then remove those it replaces."""
        number = max((int(path.name.split("-")[0]) for path in directory.glob("[0-9]*")), default=0) + 1
        work = Path(tempfile.mkdtemp(prefix=".new-", dir=directory))
        try:
            for name, array in self._arrays.items():
                with (work / f"{name}.npy").open("wb") as file:
                    np.save(file, array, allow_pickle=False)
                    file.flush()
                    os.fsync(file.fileno())
            about = {"format": _FORMAT, "replaces": [path.name for path in replaces]}
            (work / "about.json").write_text(json.dumps(about))
            self.path = directory / f"{number:08}"
            work.replace(self.path)
        except OSError as error:
            shutil.rmtree(work, ignore_errors=True)
            raise PermanentError(
                f"The index under {directory} cannot be written ({error.strerror or error})."
            ) from error
        for path in replaces:
            shutil.rmtree(path, ignore_errors=True)

    @classmethod
    def load(cls, path: Path) -> Segment:
        """A saved segment, its arrays mapped from the files.

        Raises:
            PermanentError: the directory holds no index of this format.
        """
        try:
            about = json.loads((path / "about.json").read_text())
            if about["format"] != _FORMAT:
                raise ValueError("another format")
            arrays: dict[str, Array] = {
                name: np.load(path / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in cls._ARRAYS
            }
        except (OSError, ValueError, KeyError) as error:
            raise PermanentError(
                f"{path} is no index of near-duplicates; remove {path.parent} to build it again."
            ) from error
        return cls(arrays, path, about["replaces"])


def load_segments(directory: Path) -> list[Segment]:
    """The segments of an index, oldest first; those that a merge has replaced are removed.

    Raises:
        PermanentError: one of them cannot be read.
    """
    segments = [Segment.load(path) for path in sorted(directory.glob("[0-9]*"))]
    # A merge that was killed before it removed what it merged: the merged segment holds all of it.
    merged = {name for segment in segments for name in segment.replaces}
    for segment in segments:
        if segment.path and segment.path.name in merged:
            shutil.rmtree(segment.path, ignore_errors=True)
    return [segment for segment in segments if not (segment.path and segment.path.name in merged)]


class _Ids(Sequence[str]):
    def __init__(self, data: Array, offsets: Array) -> None:
        self._data, self._offsets = data, offsets

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, row: Any) -> Any:
        return self._data[int(self._offsets[row]) : int(self._offsets[row + 1])].tobytes().decode()


def _packed(texts: Sequence[bytes]) -> tuple[Array, Array]:
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
    return np.frombuffer(b"".join(texts), dtype=np.uint8), offsets
