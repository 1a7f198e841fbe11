"""A judge and bounds are fitted to what an adapter proposes, within a share of changed correct sentences."""

from __future__ import annotations

import random
from pathlib import Path

from correctly_assets.core.types import Edit
from correctly_assets.correction.bounds import Bounds, ModeBounds, read_bounds, write_bounds
from correctly_assets.correction.edit_judge import features
from correctly_assets.workflows.choose_bounds import Answered, Proposal, choose_bounds, inherit_bounds

EDIT = Edit(3, 5, "go", "goes", "R:VERB:SVA")


def proposal(right: bool, gain: float, sure: float = 0.8) -> Proposal:
    return Proposal(tuple(features(EDIT, sure, gain, 1)), right)


def rows(count: int = 400) -> list[Answered]:
    """Sentences whose right edits the base model likes and whose false ones it does not, with some noise."""
    draw = random.Random(3)
    made: list[Answered] = []
    for number in range(count):
        correct = number % 4 == 0
        right = not correct and draw.random() < 0.7
        made.append(Answered((proposal(right, draw.gauss(5 if right else -3, 3)),), 0 if correct else 1, correct))
    return made


def test_the_judge_learns_from_the_base_model_which_edits_are_right() -> None:
    judge = choose_bounds(rows()).judge
    assert judge is not None
    assert judge.probability(EDIT, 0.8, 6, 1) > 0.9
    assert judge.probability(EDIT, 0.8, -6, 1) < 0.1


def test_careful_asks_for_more_than_fluent_and_changes_few_correct_ones() -> None:
    answered = rows()
    bounds = choose_bounds(answered)
    assert bounds.judge is not None
    assert bounds.careful.alone > bounds.fluent.alone
    gained = [row.proposals[0].features[2] for row in answered if row.correct]
    changed = [bounds.judge.probability(EDIT, 0.8, g, 1) >= bounds.careful.least(EDIT, 1) for g in gained]
    assert sum(changed) / len(changed) <= 0.05


def test_an_edit_alone_is_asked_for_more_where_correct_sentences_get_one() -> None:
    draw = random.Random(5)

    def noisy(right: bool) -> Proposal:
        return proposal(right, draw.gauss(3 if right else 1, 3))

    learners = [Answered((noisy(True), noisy(True), noisy(draw.random() < 0.5)), 3, False) for _ in range(200)]
    correct = [Answered((noisy(False),), 0, True) for _ in range(200)]
    careful = choose_bounds(learners + correct).careful
    assert careful.alone > careful.edit


def test_with_few_proposals_the_default_bounds_stand() -> None:
    assert choose_bounds(rows(50)) == ModeBounds()


def test_an_adapter_takes_over_the_bounds_of_the_one_it_started_from(tmp_path: Path) -> None:
    theirs, own = choose_bounds(rows()), ModeBounds(careful=Bounds(edit=0.9))
    for name in ("first", "second", "third"):
        (tmp_path / name).mkdir()
    write_bounds(tmp_path / "first", theirs)
    assert inherit_bounds(tmp_path, "second", "first")
    assert read_bounds(tmp_path / "second") == theirs
    write_bounds(tmp_path / "third", own)
    assert not inherit_bounds(tmp_path, "third", "first")
    assert read_bounds(tmp_path / "third") == own


def test_an_adapter_that_started_from_the_base_has_the_default_bounds(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    assert not inherit_bounds(tmp_path, "first", None)
    assert read_bounds(tmp_path / "first") == ModeBounds()
