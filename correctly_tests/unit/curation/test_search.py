"""Nearest neighbours: the embedding without a download, and the index around any embedding."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from correctly_assets.curation.vector_search import HashedNgrams, NeighbourIndex, nearest
from correctly_assets.settings import get_settings

TEXTS = [
    ("bus", "The bus to the airport was late again this morning."),
    ("invoice", "Could you send me the invoice for last month, please?"),
    ("pool", "The hotel pool was closed for the whole week."),
]


def test_the_nearest_text_is_the_one_that_shares_most_wording() -> None:
    index = NeighbourIndex()
    index.add(TEXTS)
    assert [index.nearest(query)[0].id for query in ("invoice of last months", "hotels pools close", "late buses")] == [
        "invoice",
        "pool",
        "bus",
    ]


def test_the_same_text_in_other_case_and_punctuation_is_as_like_as_can_be() -> None:
    index = NeighbourIndex()
    index.add(TEXTS)
    hit = index.nearest("the HOTEL pool was closed, for the whole week")[0]
    assert hit.id == "pool" and hit.likeness == pytest.approx(1, abs=1e-5)
    assert index.nearest("Quizzical zebra jumps")[0].likeness < 0.3


def test_vectors_have_length_one_and_do_not_depend_on_the_process() -> None:
    vectors = HashedNgrams(1024).embed(["A short text.", "…", ""])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 0, 0], abs=1e-6)
    # Fixed once and for all: an index made on another machine must agree.
    assert np.flatnonzero(vectors[0])[:6].tolist() == [20, 80, 172, 212, 244, 249]


def test_every_starter_correction_is_found_from_its_awkward_text() -> None:
    examples, _, sentences = (
        [json.loads(line) for line in path.read_text().splitlines()] for path in get_settings().platform.starter_paths
    )
    index = NeighbourIndex()
    index.add((str(number), row["after"]) for number, row in enumerate(examples))
    index.add((f"s{number}", row["before"]) for number, row in enumerate(sentences))
    found = sum(index.nearest(row["before"])[0].id == str(number) for number, row in enumerate(examples))
    assert found >= 0.99 * len(examples)


def test_reading_in_blocks_finds_what_one_index_finds() -> None:
    items = [(str(n), f"Row {n} speaks of {word}.") for n, word in enumerate(["trains", "soup", "rent", "taxes"] * 30)]
    whole = NeighbourIndex()
    whole.add(items)
    blocks = nearest("Row 7 speaks of taxes.", iter(items), 3, block=7)
    assert [hit.id for hit in blocks] == [hit.id for hit in whole.nearest("Row 7 speaks of taxes.", 3)]
    assert blocks[0].id == "7" and blocks[0].likeness == pytest.approx(1, abs=1e-5)


def test_an_empty_index_and_a_number_beyond_its_size_are_no_errors() -> None:
    index = NeighbourIndex()
    assert index.nearest("anything") == []
    index.add(TEXTS)
    assert len(index.nearest("anything", 10)) == 3
    assert nearest("anything", [], 3) == []


def test_another_embedding_can_be_given() -> None:
    class Lengths:
        name = "lengths"
        dimensions = 2

        def embed(self, texts: Sequence[str]) -> np.ndarray:
            angles = np.array([min(len(text), 90) for text in texts]) * np.pi / 180
            return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)

    index = NeighbourIndex(Lengths())
    index.add([("short", "aa"), ("long", "b" * 80)])
    assert (index.name, index.nearest("b")[0].id, index.nearest("a" * 70)[0].id) == ("lengths", "short", "long")


def test_a_number_of_dimensions_that_is_no_power_of_two_is_refused() -> None:
    with pytest.raises(ValueError, match="power of two"):
        HashedNgrams(1000)
