"""The files of labelled edits are whole: offsets, points and, for the frozen set, where its sentences stand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.bench_reasons import FROZEN, HELD_OUT, LABELLED
from benchmarks.common import ROOT
from correctly_assets.core.text import leaks
from correctly_assets.language.points import load_points

EVALUATION = ROOT / "correctly_assets" / "starter" / "evaluation.jsonl"


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("path", [LABELLED, HELD_OUT, FROZEN], ids=lambda path: path.stem)
def test_the_labelled_edits_lead_from_before_to_after(path: Path) -> None:
    for row in rows_of(path):
        text = row["before"]
        for edit in reversed(row["edits"]):
            assert text[edit["start"] : edit["end"]] == edit["was"], row["id"]
            text = text[: edit["start"]] + edit["now"] + text[edit["end"] :]
        assert text == row["after"], row["id"]


@pytest.mark.parametrize("path", [LABELLED, HELD_OUT, FROZEN], ids=lambda path: path.stem)
def test_the_labels_are_known_points_and_never_right_and_false(path: Path) -> None:
    points = load_points().keys()
    for row in rows_of(path):
        for edit in row["edits"]:
            assert {*edit["right"], *edit["false"]} <= points, row["id"]
            assert not {*edit["right"]} & {*edit["false"]}, row["id"]


def test_the_frozen_labels_are_of_awkward_rows_of_the_frozen_set() -> None:
    rows = rows_of(FROZEN)
    frozen = rows_of(EVALUATION)
    assert sum(len(row["edits"]) for row in rows) == 616
    assert len({row["id"] for row in rows}) == len(rows)
    for row in rows:
        source = frozen[int(row["id"].removeprefix("f")) - 1]
        assert (source["kind"], source["source"]) == ("awkward", row["before"])
        assert source["references"][0] == row["after"]


def test_no_example_of_a_point_is_a_sentence_of_the_frozen_set() -> None:
    examples = [text for point in load_points().values() for text in (point.example.wrong, point.example.right)]
    frozen = [text for row in rows_of(EVALUATION) for text in (row["source"], *row["references"])]
    assert leaks(examples, frozen) == {}
