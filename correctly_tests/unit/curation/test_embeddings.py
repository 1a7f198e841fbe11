"""Embeddings beside the n-grams: token vectors from a model's files, an endpoint's on loopback, and the setting."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from correctly_assets.core.errors import PermanentError, UnreachableError, UsageError
from correctly_assets.core.landing import identified
from correctly_assets.core.types import Example
from correctly_assets.curation.embeddings import EndpointEmbedding, TokenVectors, base_embedding
from correctly_assets.curation.vector_search import NeighbourIndex
from correctly_assets.settings import get_settings
from correctly_assets.workflows.forget_example import forget_example
from correctly_assets.workflows.make_embedding import make_embedding
from correctly_assets.workflows.wiring import open_platform_store
from correctly_tests.loopback import Loopback, answer

WORDS = ["the", "car", "vehicle", "soup", "broth", "is", "old"]
# Two directions of meaning, and one that every word shares.
TABLE = np.array([[0, 0, 9], [3, 0, 9], [3, 0.2, 9], [0, 3, 9], [0.2, 3, 9], [0, 0, 9], [1, 1, 9]], dtype=np.float32)
CORPUS = ["the car is old", "the soup is old", "the vehicle", "the broth is"]


def model(directory: Path, kind: str = "F32") -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="the"))
    tokenizer.pre_tokenizer = Whitespace()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.save(str(directory / "tokenizer.json"))
    path, name = directory / "model.safetensors", "model.embed_tokens.weight"
    if kind == "BF16":
        data = (TABLE.view(np.uint32) >> 16).astype("<u2").tobytes()
        head = json.dumps(
            {name: {"dtype": "BF16", "shape": list(TABLE.shape), "data_offsets": [0, len(data)]}}
        ).encode()
        path.write_bytes(len(head).to_bytes(8, "little") + head + data)
    else:
        save_file({name: TABLE.astype(np.float16 if kind == "F16" else np.float32)}, path)
    return directory


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
def test_words_of_like_meaning_are_neighbours_though_they_share_no_letters(tmp_path: Path, kind: str) -> None:
    index = NeighbourIndex(TokenVectors(model(tmp_path, kind), CORPUS))
    index.add([("car", "the car is old"), ("soup", "the soup is old")])
    assert [index.nearest(text)[0].id for text in ("the vehicle", "broth")] == ["car", "soup"]


def test_token_vectors_have_length_one_and_the_name_tells_what_made_them(tmp_path: Path) -> None:
    vectors = TokenVectors(model(tmp_path), CORPUS)
    assert np.linalg.norm(vectors.embed(["the car", "", "…"]), axis=1) == pytest.approx([1, 0, 0], abs=1e-5)
    assert vectors.name == TokenVectors(tmp_path, CORPUS).name != TokenVectors(tmp_path, CORPUS[:2]).name
    both = base_embedding(tmp_path, CORPUS)
    assert both.embed(["the car"]).shape == (1, both.dimensions)
    assert np.linalg.norm(both.embed(["the car"])) == pytest.approx(1, abs=1e-5)


def test_a_model_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="set CORRECTLY_EMBEDDING=ngrams"):
        TokenVectors(tmp_path, CORPUS)


class EmbeddingServer(Loopback):
    """Counts letters; answers ``script`` in turn first."""

    def __init__(self) -> None:
        self.sent: list[list[str]] = []
        self.times: list[float] = []
        self.script: list[tuple[int, dict[str, str]]] = []
        super().__init__()

    def handle(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        self.times.append(time.monotonic())
        if self.script:
            status, headers = self.script.pop(0)
            answer(handler, status, {"error": {"message": "no"}}, headers)
            return
        texts = json.loads(body)["input"]
        self.sent.append(texts)
        rows: list[dict[str, Any]] = [
            {"object": "embedding", "index": n, "embedding": [float(text.lower().count(c)) for c in "aeiou"]}
            for n, text in enumerate(texts)
        ]
        answer(handler, 200, {"object": "list", "data": rows[::-1], "model": "m", "usage": {}})


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    made = EmbeddingServer()
    yield made
    made.close()


def endpoint(server: EmbeddingServer, tmp_path: Path) -> EndpointEmbedding:
    return EndpointEmbedding(base_url=server.url, model="m", api_key="k", cache=tmp_path / "vectors.sqlite", attempts=2)


def test_an_endpoint_is_asked_once_for_each_text_and_never_again(server: EmbeddingServer, tmp_path: Path) -> None:
    index = NeighbourIndex(endpoint(server, tmp_path))
    index.add([("a", "banana"), ("o", "moon"), ("same", "banana")])
    assert index.nearest("Panama", 2)[0].id == "a"
    assert server.sent == [["banana", "moon"], ["Panama"]]
    again = endpoint(server, tmp_path).embed(["moon", "banana"])
    assert len(server.sent) == 2 and np.linalg.norm(again, axis=1) == pytest.approx([1, 1])
    assert again[0].argmax() == 3 and again[1].argmax() == 0  # by index, not by the order of the answer


def test_a_busy_endpoint_is_waited_for_and_a_refusal_names_the_setting(server: EmbeddingServer, tmp_path: Path) -> None:
    server.script = [(429, {"Retry-After": "1"})]
    assert endpoint(server, tmp_path).embed(["moon"]).shape == (1, 5)
    assert server.times[1] - server.times[0] >= 0.9
    server.script = [(500, {"Retry-After": "0"})] * 2
    with pytest.raises(UnreachableError, match="status 500"):
        endpoint(server, tmp_path).embed(["noon"])
    server.script = [(401, {})]
    with pytest.raises(PermanentError, match="CORRECTLY_EMBEDDING_API_KEY"):
        endpoint(server, tmp_path).embed(["noon"])


def test_the_setting_chooses_and_forgetting_takes_the_vectors_along(
    server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert make_embedding(get_settings()).name.startswith("hashed-")
    monkeypatch.setenv("CORRECTLY_BASE_MODEL", str(model(tmp_path / "model")))
    assert "tokens-" in make_embedding(get_settings()).name  # unset: the better one, where it can be had
    monkeypatch.setenv("CORRECTLY_EMBEDDING", "ngrams")
    assert "tokens-" not in make_embedding(get_settings()).name
    monkeypatch.setenv("CORRECTLY_EMBEDDING", "openai")
    with pytest.raises(UsageError, match="CORRECTLY_EMBEDDING_MODEL"):
        make_embedding(get_settings())
    monkeypatch.setenv("CORRECTLY_EMBEDDING_MODEL", "m")
    monkeypatch.setenv("CORRECTLY_EMBEDDING_BASE_URL", server.url)
    settings = get_settings()
    make_embedding(settings).embed(["moon"])
    assert settings.platform.vectors_path.is_file()
    with open_platform_store(settings.platform) as store:
        example = identified(Example("", "He go home.", "He goes home."))
        store.land([example])
        forget_example(settings, store, example.id)
    assert not settings.platform.vectors_path.exists()
