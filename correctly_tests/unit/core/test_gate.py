"""The promotion decision refuses for each of its reasons, and for nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from correctly_assets.core.gate import EMBEDDED_GATE, GateSettings, Interval, Measured, TypeMeasured, decide_promotion

BETTER = {"gleu": Interval(5, 3, 7), "errant_f05": Interval(20, 15, 25)}
LEVEL = {"gleu": Interval(0.1, -1, 1), "errant_f05": Interval(-0.2, -2, 2)}
GOOD = Measured("c", "base", "champ", 400, BETTER, LEVEL, overcorrected=4.0, run_on=0, edits=100, model_reasons=80)


def test_a_candidate_above_base_and_level_with_the_champion_is_promoted():
    decision = decide_promotion(GOOD, GateSettings())
    assert decision.promote
    assert any("base" in reason for reason in decision.reasons)


def test_a_first_adapter_is_held_against_the_base_alone():
    decision = decide_promotion(replace(GOOD, champion=None, versus_champion=None), GateSettings())
    assert decision.promote
    assert "First adapter of this base model: held against the base model alone." in decision.reasons


def test_an_adapter_judged_again_while_it_serves_is_not_called_the_first():
    decision = decide_promotion(replace(GOOD, champion=GOOD.candidate, versus_champion=None), GateSettings())
    assert decision.promote
    assert "It serves already: held against the base model alone." in decision.reasons


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"versus_base": {**BETTER, "gleu": Interval(1, -0.5, 2)}}, "GLEU is not above the base"),
        ({"versus_base": {**BETTER, "errant_f05": Interval(0, 0, 0)}}, "F0.5 is not above the base"),
        ({"versus_champion": {**LEVEL, "gleu": Interval(-1, -2, -0.1)}}, "GLEU is below the champion"),
        ({"versus_champion": {**LEVEL, "errant_f05": Interval(-3.1, -7, 0.5)}}, "F0.5 dropped by more than 3"),
        ({"versus_champion": {**LEVEL, "gleu": Interval(-1.6, -4, 0.5)}}, "GLEU dropped by more than 1.5"),
        ({"overcorrected": 10.1}, "of correct sentences"),
        ({"run_on": 3}, "run on"),
        ({"type_differences": {"DET": TypeMeasured(20, Interval(-9, -15, -2))}}, "type DET got worse"),
        ({"unexplained": 1}, "without a reason"),
        ({"stray_reasons": 1}, "speak of no edit"),
        ({"model_reasons": 59}, "model-written reason"),
        ({"corrupted": 1}, "corrupted"),
    ],
)
def test_each_rule_refuses_alone_and_says_so(change, words):
    decision = decide_promotion(replace(GOOD, **change), GateSettings())
    assert not decision.promote
    assert len(decision.reasons) == 1
    assert words in decision.reasons[0]


def test_two_run_on_answers_of_400_pass_and_rare_types_do_not_gate():
    few = replace(GOOD, run_on=2, type_differences={"DET": TypeMeasured(19, Interval(-9, -15, -2))})
    assert decide_promotion(few, GateSettings()).promote


def test_the_embedded_gate_allows_fifteen_percent_and_only_reports_reasons():
    candidate = replace(GOOD, overcorrected=14.9, model_reasons=0)
    assert decide_promotion(candidate, EMBEDDED_GATE).promote
    assert not decide_promotion(candidate, GateSettings()).promote
    assert not decide_promotion(replace(candidate, overcorrected=15.1), EMBEDDED_GATE).promote


def test_every_broken_rule_is_named_at_once():
    decision = decide_promotion(replace(GOOD, overcorrected=50, run_on=40, unexplained=2), GateSettings())
    assert len(decision.reasons) == 3
