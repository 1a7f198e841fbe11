"""Bad adapters by kind, answered for by hand over the shipped frozen set: the shipped gate refuses each and says why."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import pytest

from correctly_assets.core.evaluation import Answers, Costs, EvaluationRow, EvaluationSet
from correctly_assets.core.gate import GateDecision, GateSettings, decide_promotion
from correctly_assets.core.types import Correction, Edit
from correctly_assets.evaluation.evaluation_set import read_evaluation_set
from correctly_assets.evaluation.metrics.counts import explanation_figures
from correctly_assets.evaluation.metrics.score import Evaluation, compare, score
from correctly_assets.settings import EMBEDDED_BASE_MODEL, Settings
from correctly_assets.workflows.promote import gate_settings
from correctly_tests.serving_fakes import errant_annotator

pytestmark = pytest.mark.slow

ROWS = 96
ANY_MODEL = GateSettings()
Answer = Callable[[int, EvaluationRow], Correction]


@pytest.fixture(scope="module")
def data() -> EvaluationSet:
    """Every fourth row or so of the frozen set: awkward and correct ones as they are mixed there."""
    path = Settings().platform.evaluation_path
    return read_evaluation_set(path, ROWS)


def right(row: EvaluationRow) -> bool:
    return row.source in row.references


def said(number: int, row: EvaluationRow, after: str) -> Correction:
    return Correction(f"c_{number}", row.source, after, adapter="bad")


def base_model(number: int, row: EvaluationRow) -> Correction:
    """The untrained model by hand: one awkward sentence in twelve comes out right, the rest as it was."""
    return said(number, row, row.references[0] if number % 12 == 0 else row.source)


def good(number: int, row: EvaluationRow) -> Correction:
    """Four awkward sentences in five come out right, and correct ones stay."""
    return said(number, row, row.source if right(row) or number % 5 == 0 else row.references[0])


def answered(name: str, data: EvaluationSet, how: Answer) -> Evaluation:
    corrections = tuple(how(number, row) for number, row in enumerate(data.rows))
    return score(Answers(name, name, data.sha256, corrections, Costs()), data, errant_annotator())


@pytest.fixture(scope="module")
def base(data: EvaluationSet) -> Evaluation:
    return answered("base", data, base_model)


@pytest.fixture(scope="module")
def gate() -> GateSettings:
    """The shipped defaults, as the starter loop is held to them."""
    settings = Settings()
    assert settings.training.base_model == EMBEDDED_BASE_MODEL
    made = gate_settings(settings)
    assert (made.max_overcorrected, made.max_drop_f05, made.max_drop_gleu) == (15.0, 3.0, 1.5)
    assert (made.min_type_edits, made.run_on_floor, made.run_on_share, made.min_model_reasons) == (20, 1, 0.5, None)
    return made


def judged(candidate: Evaluation, base: Evaluation, gate: GateSettings, corrupted: int = 0) -> GateDecision:
    return decide_promotion(compare(candidate, base, None, corrupted=corrupted), gate)


def test_the_set_is_the_frozen_one_with_both_kinds_of_rows(data: EvaluationSet) -> None:
    assert len(data.rows) == ROWS
    assert 20 < sum(map(right, data.rows)) < ROWS - 40


def test_a_good_adapter_passes_so_that_the_refusals_below_mean_something(
    data: EvaluationSet, base: Evaluation, gate: GateSettings
) -> None:
    decision = judged(answered("good", data, good), base, gate)
    assert decision.promote
    assert decision.reasons[-1] == "0.0 % of correct sentences changed, 0 answers ran on."


def test_one_that_answers_at_random_is_refused_for_gleu_and_f05(
    data: EvaluationSet, base: Evaluation, gate: GateSettings
) -> None:
    words = [word for row in data.rows for word in row.source.split()]
    rng = random.Random(3)

    def noise(number: int, row: EvaluationRow) -> Correction:
        return said(number, row, " ".join(rng.choice(words) for _ in row.source.split()))

    candidate = answered("random", data, noise)
    assert candidate.scores["gleu"] < base.scores["gleu"]
    decision = judged(candidate, base, gate)
    assert not decision.promote
    below = [re.match(r"(GLEU|F0\.5) is not above the base model: -\d", reason) for reason in decision.reasons]
    assert {match.group(1) for match in below if match} == {"GLEU", "F0.5"}
    assert "It changes 100.0 % of correct sentences; at most 15 % are allowed." in decision.reasons


def test_one_that_corrects_well_and_meddles_is_refused_for_that_alone(
    data: EvaluationSet, base: Evaluation, gate: GateSettings
) -> None:
    clean = [number for number, row in enumerate(data.rows) if right(row)]

    def meddler(share: float) -> Evaluation:
        meddled = set(clean[: int(share * len(clean))])

        def answer(number: int, row: EvaluationRow) -> Correction:
            return said(number, row, f"Well, {row.source}") if number in meddled else good(number, row)

        return answered("meddler", data, answer)

    much = meddler(0.25)
    decision = judged(much, base, gate)
    assert not decision.promote
    (reason,) = decision.reasons
    assert reason == f"It changes {much.scores['overcorrected']:.1f} % of correct sentences; at most 15 % are allowed."
    assert judged(meddler(0.12), base, gate).promote
    # Any other base model is held to ten per cent.
    assert not judged(meddler(0.12), base, ANY_MODEL).promote


def test_one_that_repeats_its_input_is_refused_as_no_better_than_the_base(
    data: EvaluationSet, base: Evaluation, gate: GateSettings
) -> None:
    decision = judged(answered("echo", data, lambda number, row: said(number, row, row.source)), base, gate)
    assert not decision.promote
    assert len(decision.reasons) == 2
    assert all("is not above the base model" in reason for reason in decision.reasons)
    same = judged(answered("copy", data, base_model), base, gate)
    assert same.reasons == (
        "F0.5 is not above the base model: +0.0 (+0.0 to +0.0).",
        "GLEU is not above the base model: +0.0 (+0.0 to +0.0).",
    )


@pytest.mark.parametrize("guarded", [True, False])
def test_one_that_runs_on_is_refused_whether_or_not_a_guard_hid_it(
    data: EvaluationSet, base: Evaluation, gate: GateSettings, guarded: bool
) -> None:
    def looper(loops: int) -> Evaluation:
        awkward = [number for number, row in enumerate(data.rows) if not right(row)]
        these = set(awkward[:loops])

        def answer(number: int, row: EvaluationRow) -> Correction:
            if number not in these:
                return good(number, row)
            if guarded:  # the path gave the sentence back as it was
                return Correction(f"c_{number}", row.source, row.source, fallback="loop")
            return said(number, row, f"{row.source} " + "and so on " * (3 + len(row.source.split()) // 4))

        return answered("looper", data, answer)

    decision = judged(looper(2), base, gate)
    assert not decision.promote
    assert decision.reasons == (f"2 of {ROWS} answers run on; at most 1 are allowed.",)
    assert judged(looper(1), base, gate).promote


def test_one_whose_engine_computed_nan_is_refused_whatever_it_scores(
    data: EvaluationSet, base: Evaluation, gate: GateSettings
) -> None:
    decision = judged(answered("nan", data, good), base, gate, corrupted=3)
    assert decision.reasons == ("3 answers were corrupted (NaN logits).",)


def test_one_that_leaves_edits_unexplained_or_explains_others_is_refused(
    data: EvaluationSet, base: Evaluation, gate: GateSettings
) -> None:
    def explained(reason: str | None, was: str = "go", origin: str | None = "model") -> Evaluation:
        candidate = answered("silent", data, good)
        edit = Edit(3, 5, was, "goes", "R:VERB:SVA", reason, origin)  # pyright: ignore[reportArgumentType]
        candidate.scores["explanations"] = explanation_figures([Correction("1", "He go.", "He goes.", (edit,))])
        return candidate

    assert judged(explained("The verb must agree."), base, gate).promote
    assert judged(explained(None, origin=None), base, gate).reasons == ("1 edits ended without a reason.",)
    assert judged(explained("The verb must agree.", was="it"), base, gate).reasons == ("1 reasons speak of no edit.",)
    # The embedded default reports who wrote the reasons; any other model is held to it.
    by_rule = explained("The verb must agree.", origin="rule")
    assert judged(by_rule, base, gate).promote
    assert judged(by_rule, base, ANY_MODEL).reasons == (
        "Only 0 % of edits got a model-written reason; 60 % are asked for.",
    )
