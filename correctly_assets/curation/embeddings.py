"""Embeddings beside the hashed n-grams: the base model's own token vectors, and an endpoint's.

Belongs here: turning texts into vectors by a model's files or an endpoint, and keeping what was paid for. Does not belong
here: the index (vector_search.py), or which one is used (the setting CORRECTLY_EMBEDDING, joined in workflows/).
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Tokenizer

from correctly_assets.core.errors import PermanentError, UnreachableError
from correctly_assets.core.hashing import sha256_of
from correctly_assets.core.text import normalise
from correctly_assets.curation.vector_search import Embedding, HashedNgrams, Vectors
from correctly_assets.llm_api.requests import may_be_answered_later

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_TYPES = {"BF16": np.dtype("<u2"), "F16": np.dtype("<f2"), "F32": np.dtype("<f4")}
_TABLES = ("embed_tokens.weight", "wte.weight")
_SAMPLE = 5000
"""Rows whose mean is taken for what all tokens have in common."""
_AT_ONCE = 256


class TokenVectors:
    """A text as the mean of its tokens' vectors in a language model's input table, the rare ones counting more.

    It reads the table's rows from the safetensors file, so no torch and no more memory than the rows asked for. What all
    rows have in common is taken off, for it says nothing about any text.

    Args:
        directory: a model's, with tokenizer.json and safetensors.
        corpus: texts by which it is told how rare a token is; always the same ones, so that vectors can be compared.
    """

    def __init__(self, directory: Path, corpus: Iterable[str]) -> None:
        """
        Raises:
            PermanentError: the model is not there, or keeps its table in a way that is not known here.
        """
        try:
            self._tokenizer: Tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
            self._table, self._is_bfloat = _open_table(directory)
        except Exception as error:  # tokenizers raises a bare Exception for a file that is not there
            raise PermanentError(
                f"{directory} has no tokenizer.json and token vectors to read ({error}); run `make install`, or set "
                f"CORRECTLY_EMBEDDING=ngrams."
            ) from error
        seen: Counter[int] = Counter()
        texts = 0
        for text in corpus:
            texts += 1
            seen.update(set(self._ids(text)))
        self._texts, self._seen = texts, seen
        places = np.linspace(0, len(self._table) - 1, min(_SAMPLE, len(self._table))).astype(np.int64)
        self._common = _unit(self._rows(places)).mean(axis=0)
        self._name = f"tokens-{sha256_of([directory.name, list(self._table.shape), texts, sorted(seen.items())])[:12]}"

    @property
    def name(self) -> str:
        """The model's directory, the table's shape and the corpus, as a hash."""
        return self._name

    @property
    def dimensions(self) -> int:
        """Length of the vectors: the model's hidden size."""
        return int(self._table.shape[1])

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row of length 1 for each text: the mean of its tokens' vectors, weighted by inverse document frequency."""
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for place, text in enumerate(texts):
            ids = self._ids(text)
            if ids:
                weights = np.array([np.log((self._texts + 1) / (self._seen[id] + 1)) for id in ids], dtype=np.float32)
                vectors[place] = weights @ (_unit(self._rows(np.array(ids))) - self._common)
        return _unit(vectors)

    def _ids(self, text: str) -> list[int]:
        words = normalise(text)
        # The space in front gives the first word the token that it has elsewhere.
        return self._tokenizer.encode(f" {words}", add_special_tokens=False).ids if words else []

    def _rows(self, places: np.ndarray[Any, Any]) -> Vectors:
        rows = np.asarray(self._table[places])
        # numpy has no bfloat16: its bits are the upper half of a float32's.
        return (rows.astype(np.uint32) << 16).view(np.float32) if self._is_bfloat else rows.astype(np.float32)


class Together:
    """Several embeddings as one: likeness is the mean of theirs."""

    def __init__(self, *parts: Embedding) -> None:
        self._parts = parts

    @property
    def name(self) -> str:
        """The names of the parts, joined by ``+``."""
        return "+".join(part.name for part in self._parts)

    @property
    def dimensions(self) -> int:
        """Length of the vectors: the sum over the parts."""
        return sum(part.dimensions for part in self._parts)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row of length 1 for each text: the parts' vectors behind one another, so that likeness is their mean."""
        return np.hstack([part.embed(texts) for part in self._parts]) / np.float32(np.sqrt(len(self._parts)))


def base_embedding(directory: Path, corpus: Iterable[str]) -> Embedding:
    """The base model's token vectors and the n-grams together.

    With Gemma 3 270M a topic finds its text first among 358 for 46 % of them (65 % among the first five), with n-grams alone
    for 40 % (60 %), with token vectors alone for 39 % (60 %): `make bench-data`, part neighbours. It takes seconds to load.
    """
    return Together(HashedNgrams(), TokenVectors(directory, corpus))


class EndpointEmbedding:
    """Any OpenAI-compatible ``/v1/embeddings``; every text is sent once and its vector kept.

    Args:
        cache: an SQLite file of vectors by the hash of their text; it holds no text.
    """

    def __init__(
        self, *, base_url: str, model: str, api_key: str | None, cache: Path, timeout_seconds: float = 60.0,
        attempts: int = 5,
    ) -> None:  # fmt: skip
        from openai import OpenAI

        self._url, self._model, self._cache = base_url, model, cache
        # The client waits as long as Retry-After asks, up to a minute.
        self._client = OpenAI(
            base_url=base_url, api_key=api_key or "none", max_retries=attempts - 1, timeout=timeout_seconds
        )
        self._dimensions: int | None = None
        cache.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(cache, timeout=30)) as connection, connection:
            connection.execute("CREATE TABLE IF NOT EXISTS vector (key TEXT PRIMARY KEY, vector BLOB NOT NULL)")

    @property
    def name(self) -> str:
        """The model's name and a hash of the endpoint's address."""
        return f"{self._model}@{hashlib.sha256(self._url.encode()).hexdigest()[:8]}"

    @property
    def dimensions(self) -> int:
        """Known when a text was embedded; one is when nobody did yet."""
        if self._dimensions is None:
            self.embed(["a"])
        return self._dimensions or 0

    def embed(self, texts: Sequence[str]) -> Vectors:
        """
        Raises:
            UnreachableError: the endpoint does not answer.
            PermanentError: it refuses the key, the model or the texts.
        """
        keys = [sha256_of([self.name, text]) for text in texts]
        with closing(sqlite3.connect(self._cache, timeout=30)) as connection:
            known: dict[str, bytes] = {}
            for key in set(keys):
                row = connection.execute("SELECT vector FROM vector WHERE key = ?", (key,)).fetchone()
                if row:
                    known[key] = row[0]
            missing = [key for key in dict.fromkeys(keys) if key not in known]
            text_of = dict(zip(keys, texts, strict=True))
            for first in range(0, len(missing), _AT_ONCE):
                chunk = missing[first : first + _AT_ONCE]
                fresh = {
                    key: row.tobytes() for key, row in zip(chunk, self._ask([text_of[k] for k in chunk]), strict=True)
                }
                with connection:
                    connection.executemany("INSERT OR REPLACE INTO vector VALUES (?, ?)", list(fresh.items()))
                known |= fresh
        vectors = [np.frombuffer(known[key], dtype=np.float32) for key in keys]
        if not vectors:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        if len({len(vector) for vector in vectors}) > 1:
            raise PermanentError(
                f"{self._url} answers {self._model} with vectors of another length than before; remove {self._cache}."
            )
        self._dimensions = len(vectors[0])
        return np.stack(vectors)

    def _ask(self, texts: Sequence[str]) -> Vectors:
        import openai

        try:
            # An empty text is refused by endpoints; a space is as empty to us.
            reply = self._client.embeddings.create(
                model=self._model, input=[text or " " for text in texts], encoding_format="float"
            )
        except openai.APIStatusError as error:
            if may_be_answered_later(error.status_code):
                raise UnreachableError(f"{self._url} did not embed (status {error.status_code}); try again.") from error
            raise PermanentError(
                f"{self._url} refuses to embed (status {error.status_code}: {str(error.message)[:200]}); look at "
                f"CORRECTLY_EMBEDDING_MODEL and CORRECTLY_EMBEDDING_API_KEY."
            ) from error
        except openai.APIError as error:
            raise UnreachableError(f"{self._url} did not embed ({error.__cause__ or error}); try again.") from error
        rows = sorted(reply.data, key=lambda row: row.index)
        if len(rows) != len(texts):
            raise UnreachableError(f"{self._url} embedded {len(rows)} of {len(texts)} texts; try again.")
        return _unit(np.array([row.embedding for row in rows], dtype=np.float32))


def _unit(rows: Vectors) -> Vectors:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(norms > 0, norms, 1)).astype(np.float32)


def _open_table(directory: Path) -> tuple[np.ndarray[Any, Any], bool]:
    """A model's input table as it stands in its file, and whether it is bfloat16.

    The file begins with the length of its header (8 bytes, little-endian) and the header as JSON (safetensors' format).
    """
    for path in sorted(directory.glob("*.safetensors")):
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        for name, entry in header.items():
            if name.endswith(_TABLES):
                kind = _TYPES[entry["dtype"]]
                offset = 8 + length + entry["data_offsets"][0]
                table = np.memmap(path, dtype=kind, mode="r", offset=offset, shape=tuple(entry["shape"]))
                return table, entry["dtype"] == "BF16"
    raise FileNotFoundError("no file holds a table of token vectors")
