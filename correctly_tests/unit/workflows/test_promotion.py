"""The third gate: `served_model` holds an adapter's own report against the champion of this very moment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from correctly_assets.artifacts.reports import AdapterReport, read_report
from correctly_assets.core.errors import RefusedError
from correctly_assets.core.gate import EMBEDDED_GATE, Interval, Measured, TypeMeasured
from correctly_assets.workflows.promote import gate_settings, hold_against

BETTER = {"gleu": Interval(5, 3, 7), "errant_f05": Interval(20, 15, 25)}
LEVEL = {"gleu": Interval(0.1, -1, 1), "errant_f05": Interval(-0.2, -2, 2)}
GOOD = Measured("new", "base", "old", 400, BETTER, LEVEL, overcorrected=4.0, run_on=0, edits=100, model_reasons=80)


def report(measured: Measured) -> AdapterReport:
    # As it stands in report.json: through JSON and back.
    made = AdapterReport(adapter=measured.candidate, measured=measured)
    return AdapterReport.model_validate_json(made.to_text())


def test_a_report_that_passes_against_the_serving_champion_is_let_through():
    assert any("base model" in reason for reason in hold_against(report(GOOD), "old", EMBEDDED_GATE))


def test_a_later_run_with_a_worse_adapter_is_refused_by_its_own_report():
    worse = replace(GOOD, versus_champion={**LEVEL, "gleu": Interval(-3, -5, -1)})
    with pytest.raises(RefusedError, match="below the champion old") as caught:
        hold_against(report(worse), "old", EMBEDDED_GATE)
    assert caught.value.exit_code == 5


def test_a_report_made_against_another_champion_does_not_count():
    with pytest.raises(RefusedError, match="was held against old, but newer serves"):
        hold_against(report(GOOD), "newer", EMBEDDED_GATE)


def test_a_first_adapters_report_does_not_count_once_somebody_serves():
    first = replace(GOOD, champion=None, versus_champion=None)
    assert hold_against(report(first), None, EMBEDDED_GATE)
    with pytest.raises(RefusedError, match="the base model alone, but old serves"):
        hold_against(report(first), "old", EMBEDDED_GATE)


def test_an_adapter_that_serves_already_is_held_against_nobody_else():
    assert hold_against(report(GOOD), "new", EMBEDDED_GATE)
    again = replace(GOOD, champion="new", versus_champion=None)
    assert hold_against(report(again), "new", EMBEDDED_GATE)
    with pytest.raises(RefusedError, match="the base model alone, but newer serves"):
        hold_against(report(again), "newer", EMBEDDED_GATE)


def test_an_adapter_without_a_report_or_figures_is_refused(tmp_path: Path):
    with pytest.raises(RefusedError, match="materialize eval_report first"):
        read_report(tmp_path)
    with pytest.raises(RefusedError, match="no measured figures"):
        hold_against(AdapterReport(adapter="new"), None, EMBEDDED_GATE)


def test_what_was_measured_survives_the_report_unchanged():
    full = replace(GOOD, type_differences={"DET": TypeMeasured(21, Interval(-1, -2, 0.5))})
    assert report(full).measured == full


def test_the_limit_on_correct_sentences_is_the_setting_and_ten_for_others(settings):
    assert gate_settings(settings).max_overcorrected == 15
    assert gate_settings(settings.changed(training={"base_model": "some/other"})).max_overcorrected == 10
    assert gate_settings(settings.changed(serving={"max_overcorrected": 8.0})).max_overcorrected == 8
