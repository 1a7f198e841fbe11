"""The labelled edits of benchmarks/reasons.jsonl: what counts as right and false, and how few points are false."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.bench_reasons import HELD_OUT, LABELLED, Label, is_whole, judge, read_labelled, verdict_of
from correctly_assets.core.types import Edit
from correctly_assets.correction.annotate import ErrantAnnotator
from correctly_assets.language.points import load_points

LABEL = Label(Edit(0, 1, "a", "an", "R:DET"), frozenset({"article_form"}), frozenset({"article_new"}))


@pytest.mark.parametrize(
    ("point", "verdict"),
    [("article_form", "right"), ("article_new", "false"), ("gerund", "unlabelled"), (None, "general")],
)
def test_a_point_is_judged_by_the_labels_alone(point: str | None, verdict: str) -> None:
    assert verdict_of(LABEL, point) == verdict


@pytest.mark.parametrize(
    ("reason", "whole"), [('"go" is right.', True), ('"{now}" is right.', False), ('"" is right.', False), ("", False)]
)
def test_a_sentence_with_an_empty_slot_is_not_whole(reason: str, whole: bool) -> None:
    assert is_whole(reason) is whole


@pytest.mark.slow
@pytest.mark.parametrize(("path", "edits"), [(LABELLED, 400), (HELD_OUT, 205)], ids=["mended by", "held out"])
def test_the_labels_apply_to_their_sentences_and_name_known_points(path: Path, edits: int) -> None:
    points = load_points()
    rows = read_labelled(path, ErrantAnnotator(cache_size=4096))
    assert sum(len(row.labels) for row in rows) == edits
    for row in rows:
        for label in row.labels:
            assert row.before[label.edit.start : label.edit.end] == label.edit.was
            assert label.right | label.false <= points.keys()


@pytest.mark.slow
def test_at_most_5_in_100_edits_are_told_a_false_point_and_80_a_point() -> None:
    annotator = ErrantAnnotator(cache_size=4096)
    judged = judge(read_labelled(LABELLED, annotator), annotator)
    count = Counter(each.verdict for each in judged)
    assert len(judged) == 400
    assert all(each.reason for each in judged)
    assert count["false"] <= 20
    assert len(judged) - count["general"] >= 320
