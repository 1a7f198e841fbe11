"""Edits are counted by grammar point against the reference that the scores compare with."""

from __future__ import annotations

from collections import Counter

import pytest

from correctly_assets.artifacts.reports import ReportSection
from correctly_assets.core.evaluation import EvaluationRow, EvaluationSet
from correctly_assets.core.types import Correction, EditKey
from correctly_assets.correction.annotate import ErrantAnnotator
from correctly_assets.correction.points.choose_point import PointReasons
from correctly_assets.evaluation.metrics.counts import measure
from correctly_assets.evaluation.metrics.point_scores import PointCounts, count_points
from correctly_assets.evaluation.report.points_section import (
    badly_served,
    points_lines,
    points_of_section,
    points_rows,
)


@pytest.fixture(scope="module")
def annotator() -> ErrantAnnotator:
    return ErrantAnnotator()


def counts(wanted: dict[str, int], found: dict[str, int], **wrong: int) -> PointCounts:
    return PointCounts(Counter(wanted), Counter(found), Counter(wrong))


def test_found_missed_and_needless_edits_are_told_apart(annotator: ErrantAnnotator) -> None:
    texts = ("She go home.", "He like tea.", "They are here.")
    right = ("She goes home.", "He likes tea.", "They are here.")
    answers = ("She goes home.", "He like tea.", "They is here.")
    data = EvaluationSet(
        "a set", tuple(EvaluationRow(was, (now,)) for was, now in zip(texts, right, strict=True)), "f" * 64
    )
    corrections = [Correction("c", was, now) for was, now in zip(texts, answers, strict=True)]
    best = measure(data, corrections, annotator).best
    found = count_points(data, corrections, map(int, best), PointReasons(annotator).by_key)
    assert found.wanted == Counter(agreement_pronoun=2) and found.found == Counter(agreement_pronoun=1)
    assert sum(found.wrong.values()) == 1


def test_the_reference_that_an_answer_follows_is_the_one_counted(annotator: ErrantAnnotator) -> None:
    data = EvaluationSet("a set", (EvaluationRow("She go home.", ("She went home.", "She goes home.")),), "f" * 64)
    corrections = [Correction("c", "She go home.", "She goes home.")]
    stats = measure(data, corrections, annotator)
    assert list(stats.best) == [1]
    found = count_points(data, corrections, map(int, stats.best), PointReasons(annotator).by_key)
    assert (found.wanted, found.found) == (Counter(agreement_pronoun=1), Counter(agreement_pronoun=1))


def test_an_edit_that_no_point_explains_is_counted_under_none() -> None:
    def points_of(before: str, after: str) -> list[tuple[EditKey, str | None]]:
        return [((0, 1, "x"), None)] if before != after else []

    data = EvaluationSet("a set", (EvaluationRow("a b", ("x b",)),), "f" * 64)
    found = count_points(data, [Correction("c", "a b", "a b")], [0], points_of)
    assert found.wanted == Counter({None: 1}) and not found.found
    [row] = points_of_section("base", found, found).rows
    assert (row.point, row.name, row.edits) == (None, "no grammar point", 1)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("She go to the school since two year.", "She has gone to school for two years."),
        ("Yesterday  he dont like it,  too.", "Yesterday he did not like it, either."),
        ("I am agree with he.", "I agree with him."),
    ],
)
def test_every_scored_edit_has_the_point_that_explains_it(annotator: ErrantAnnotator, before: str, after: str) -> None:
    reasons = PointReasons(annotator)
    keyed = reasons.by_key(before, after)
    assert [key for key, _ in keyed] == [edit.key for edit in annotator.token_edits(before, after)]
    flat, better = " ".join(before.split()), " ".join(after.split())
    told = reasons(flat, better, annotator.edits(flat, better), "en")
    assert {point for _, point in keyed} == {each.point for each in told}


def test_what_the_champion_finds_less_than_half_of_is_named_worst_first() -> None:
    ours = counts({"perfect_since": 4, "article_form": 9, "past_marker": 2}, {"perfect_since": 4, "article_form": 9})
    theirs = counts({"perfect_since": 4, "article_form": 9, "past_marker": 2}, {"perfect_since": 1}, article_form=3)
    points = points_of_section("champion", ours, theirs)
    assert points.badly == ["article_form", "perfect_since"]  # two edits of a point are chance
    assert [row.point for row in points.rows] == ["article_form", "perfect_since", "past_marker"]
    said = badly_served(points)
    assert said.startswith(
        "Served badly by the champion: A before a consonant, an before a vowel (0 of 9), Present perf"
    )
    assert said in points_lines(ReportSection(rival="champion", points=points))
    assert points_rows(points)[0][2:] == ("9", "9 of 9", "0", "0 of 9", "3")


def test_without_a_champion_it_is_the_candidate_that_would_serve_badly() -> None:
    ours, theirs = counts({"perfect_since": 4}, {"perfect_since": 1}), counts({"perfect_since": 4}, {})
    assert "by the candidate" in badly_served(points_of_section("base", ours, theirs))
    good = points_of_section("base", counts({"perfect_since": 4}, {"perfect_since": 4}), theirs)
    assert "Served badly" not in badly_served(good)


def test_a_report_of_an_older_version_has_no_such_section() -> None:
    for old in ({"rival": "base"}, {"rival": "base", "points": None}):
        section = ReportSection.model_validate(old)
        assert not points_rows(section.points) and not points_lines(section) and badly_served(section.points) == ""
