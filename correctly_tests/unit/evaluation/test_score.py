"""Scores agree with what they are defined to be, and intervals with what they are resampled from."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from correctly_assets.core.errors import PermanentError
from correctly_assets.core.evaluation import Answers, Costs, EvaluationRow, EvaluationSet
from correctly_assets.core.gate import EMBEDDED_GATE, GateSettings, decide_promotion
from correctly_assets.core.types import Correction, Edit
from correctly_assets.correction.annotate import ErrantAnnotator
from correctly_assets.evaluation.metrics.bootstrap import Resampler, difference, interval
from correctly_assets.evaluation.metrics.counts import explanation_figures, precision_recall_f
from correctly_assets.evaluation.metrics.gleu import corpus_gleu, gleu_of_sums, gleu_statistics, sentence_gleu
from correctly_assets.evaluation.metrics.score import (
    Evaluation,
    compare,
    compare_pair,
    refuse_leaks,
    resampler_for,
    score,
)

WORDS = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), min_size=1, max_size=9)
TRIPLES = st.lists(st.tuples(WORDS, WORDS, st.lists(WORDS, min_size=1, max_size=3)), min_size=1, max_size=6)


def grams(tokens: list[str], size: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1))


def plain_statistics(source: list[str], answer: list[str], reference: list[str]) -> list[int]:
    """GLEU's definition, counter by counter."""
    values = [len(answer), len(reference)]
    for size in range(1, 5):
        ours, theirs, old = grams(answer, size), grams(reference, size), grams(source, size)
        kept_wrongly = Counter({gram: count for gram, count in old.items() if gram not in theirs})
        hits = (ours & theirs).total() - (ours & kept_wrongly).total()
        values += [max(hits, 0), max(len(answer) + 1 - size, 0)]
    return values


@settings(max_examples=200, deadline=None)
@given(TRIPLES)
def test_gleu_statistics_over_all_sentences_are_those_of_each(rows):
    sources, answers, references = ([row[i] for row in rows] for i in range(3))
    stats = gleu_statistics(sources, answers, references)
    for number, (source, answer, options) in enumerate(rows):
        for column, reference in enumerate(options):
            assert stats[number, column].tolist() == plain_statistics(source, answer, reference)


def test_gleu_is_the_geometric_mean_with_the_brevity_penalty():
    sums = np.array([9, 10, 6, 9, 4, 8, 2, 7, 1, 6])
    precision = math.exp(sum(map(math.log, (6 / 9, 4 / 8, 2 / 7, 1 / 6))) / 4)
    assert gleu_of_sums(sums) == pytest.approx(100 * math.exp(1 - 10 / 9) * precision)
    assert gleu_of_sums(np.array([9, 9, 6, 9, 4, 8, 2, 7, 0, 6])) == 0.0


def test_a_perfect_answer_scores_a_hundred_and_references_count_alike():
    words = ["he", "goes", "to", "school", "every", "day"]
    stats = gleu_statistics([["x", *words]], [words], [[words, words]])
    assert corpus_gleu(stats, np.array([2])) == pytest.approx(100)
    assert sentence_gleu(stats, np.array([2])) == pytest.approx([100])


def test_precision_and_recall_round_their_corners_as_errant_compare_does():
    precision, recall, f = precision_recall_f(np.array([[0, 0, 5], [0, 0, 0], [0, 3, 3], [6, 2, 6]]))
    assert precision.tolist() == [1, 1, 0, 0.75]
    assert recall.tolist() == [0, 1, 0, 0.5]
    assert f.tolist() == pytest.approx([0, 1, 0, 1.25 * 0.75 * 0.5 / (0.25 * 0.75 + 0.5)])


@pytest.fixture(scope="module")
def annotator() -> ErrantAnnotator:
    return ErrantAnnotator()


ROWS = (
    EvaluationRow("He go to school in morning.", ("He goes to school in the morning.", "He goes to school mornings."), "awkward"),
    EvaluationRow("I have 3 cats and Anna does not like them.", ("I have 3 cats, and Anna does not like them.",), "awkward"),
    EvaluationRow("We discussed about it.", ("We discussed it.",), "awkward"),
    EvaluationRow("She lives in Paris.", ("She lives in Paris.",), "correct"),
    EvaluationRow("It is fine.", ("It is fine.", "It's fine."), "correct"),
    EvaluationRow("They were late again.", ("They were late again.",), "correct"),
)  # fmt: skip
SET = EvaluationSet("six", ROWS, "0" * 64)


def judged(annotator: ErrantAnnotator, answers: list[str], name: str = "one", data: EvaluationSet = SET) -> Evaluation:
    corrections = tuple(
        Correction(f"c_{n}", row.source, text) for n, (row, text) in enumerate(zip(data.rows, answers, strict=True))
    )
    return score(Answers(name, name, data.sha256, corrections, Costs()), data, annotator)


def test_the_figures_of_a_small_set_are_those_counted_by_hand(annotator):
    answers = [
        "He goes to school in morning.",  # one hit, one missed
        "I have 4 cats and Bob does like them.",  # number, name and negation lost
        "We discussed about it.",  # left alone though wrong
        "She lives in the Paris.",  # a correct sentence changed
        "It is fine.",
        "They were late again.",
    ]
    scores = judged(annotator, answers).scores
    assert (scores["tp"], scores["fn"]) == (1, 3)
    assert scores["errant_p"] == pytest.approx(100 / (1 + scores["fp"]))
    assert scores["overcorrected"] == pytest.approx(50)  # of two that every reference leaves alone
    assert (scores["n_clean"], scores["n_wrong"]) == (2, 3)
    assert scores["missed"] == pytest.approx(100 / 3)
    assert scores["unchanged"] == pytest.approx(50)
    assert scores["exact_match"] == pytest.approx(100 * 2 / 6)
    assert scores["numbers_kept"] == scores["names_kept"] == scores["negation_kept"] == pytest.approx(100 * 5 / 6)


def test_the_reference_that_fits_the_answer_best_is_the_one_that_counts(annotator):
    scores = judged(annotator, ["He goes to school mornings.", *(row.references[0] for row in ROWS[1:])]).scores
    assert (scores["errant_f05"], scores["exact_match"], scores["fp"], scores["fn"]) == (100, 100, 0, 0)


def test_untouched_text_has_no_hits_and_spaces_do_not_count(annotator):
    scores = judged(annotator, [f" {row.source} " for row in ROWS]).scores
    assert (scores["errant_f05"], scores["unchanged"], scores["overcorrected"]) == (0, 100, 0)


def test_types_add_up_to_the_totals(annotator):
    one = judged(
        annotator, [row.references[0] for row in ROWS[:2]] + ["We discussed on it."] + [row.source for row in ROWS[3:]]
    )
    assert sum(row["tp"] for row in one.types) == one.scores["tp"]
    assert sum(row["fp"] for row in one.types) == one.scores["fp"]
    assert sum(row["fn"] for row in one.types) == one.scores["fn"]
    assert {"VERB:SVA", "DET", "PREP"} <= {row["type"] for row in one.types}


def test_an_answer_that_repeats_itself_counts_as_run_on(annotator):
    loop = "He goes to school and he goes to school and he goes to school and he goes to school and he goes to school."
    assert judged(annotator, [loop, *(row.source for row in ROWS[1:])]).scores["run_on_count"] == 1


# ---------------------------------------------------------------- intervals


def many(annotator: ErrantAnnotator, name: str, wrong: str, correct: str = "same") -> Evaluation:
    """A set of 120 rows, answered as told: ``fixed``, ``same``, ``loop`` or ``worse``."""
    rows = []
    for number in range(120):
        if number % 3:
            after = f"He goes to school number {number} every day."
            rows.append(EvaluationRow(after.replace("goes", "go"), (after,), "awkward"))
        else:
            rows.append(
                EvaluationRow(f"She reads book {number} at home.", (f"She reads book {number} at home.",), "correct")
            )
    data = EvaluationSet("many", tuple(rows), "1" * 64)

    def answer(row: EvaluationRow, how: str) -> str:
        if how == "random":
            return "The cat sat there."
        if how == "loop":
            return row.source + " and again and again and again and again and again and again and again and again"
        if how == "worse":
            return row.source.replace("book", "a book").replace("school", "the school")
        return row.references[0] if how == "fixed" else row.source

    return judged(annotator, [answer(row, wrong if row.kind == "awkward" else correct) for row in rows], name, data)


def test_a_system_against_itself_differs_by_nothing_in_every_draw(annotator):
    one = many(annotator, "one", "fixed")
    pair = compare_pair(one, one, resampler_for(one))
    assert all((i.point, i.low, i.high) == (0, 0, 0) for i in pair.metrics.values())


def test_the_same_seed_gives_the_same_interval_and_another_seed_another(annotator):
    rng = np.random.default_rng(1)
    counts = rng.integers(0, 3, (50, 3))
    ones = np.ones(50, np.int64)
    first, again, other = (interval(*Resampler(50, ones, seed=seed).f05(counts)) for seed in (3, 3, 4))
    assert first == again
    assert first != other
    assert first.low < first.point < first.high


def test_the_bootstrap_of_a_share_has_the_width_that_theory_gives_it():
    flags = np.arange(400) < 100
    found = interval(*Resampler(400, np.ones(400, np.int64), rounds=4000).share(flags, np.ones(400, bool)))
    width = 1.96 * math.sqrt(0.25 * 0.75 / 400) * 100
    assert found.point == 25
    assert found.low == pytest.approx(25 - width, abs=0.5)
    assert found.high == pytest.approx(25 + width, abs=0.5)


def test_sentences_all_alike_leave_no_doubt_and_one_of_two_leaves_it_all():
    ones = np.ones(40, np.int64)
    alike = interval(*Resampler(40, ones).f05(np.tile([2, 1, 1], (40, 1))))
    assert (alike.point, alike.low, alike.high) == pytest.approx((200 / 3, 200 / 3, 200 / 3))
    half = interval(*Resampler(2, np.ones(2, np.int64)).share(np.array([True, False]), np.ones(2, bool)))
    assert (half.point, half.low, half.high) == (50, 0, 100)


def test_a_paired_difference_of_shares_has_the_width_that_theory_gives_it():
    n, all_ = 400, np.ones(400, bool)
    first, second = np.arange(n) < 120, np.arange(n) < 80  # 40 sentences changed sides, none the other way
    draws = Resampler(n, np.ones(n, np.int64), rounds=4000)
    found = difference(draws.share(first, all_), draws.share(second, all_))
    width = 1.96 * math.sqrt(0.1 * 0.9 / n) * 100
    assert found.point == pytest.approx(10)
    assert found.low == pytest.approx(10 - width, abs=0.4)
    assert found.high == pytest.approx(10 + width, abs=0.4)


def test_pairing_makes_a_constant_difference_certain():
    hits = np.stack([np.full(60, 2), np.zeros(60), np.tile([1, 3], 30)], axis=1).astype(np.int64)
    fewer = hits.copy()
    fewer[:, 0], fewer[:, 2] = 1, hits[:, 2] + 1
    draws = Resampler(60, np.ones(60, np.int64))
    assert difference(draws.f05(hits), draws.f05(fewer)).low > 0


def test_gleu_and_f_resample_the_same_sentences(annotator):
    one = many(annotator, "one", "fixed", "worse")
    draws = resampler_for(one, rounds=20)
    rows = draws._rows
    by_hand = [100 * float(precision_recall_f(one.statistics.errant[row].sum(axis=0))[2]) for row in rows]
    assert draws.f05(one.statistics.errant)[1].tolist() == pytest.approx(by_hand)
    gleu = [float(gleu_of_sums(one.statistics.gleu[row, 0].sum(axis=0))) for row in rows]
    assert draws.gleu(one.statistics)[1].tolist() == pytest.approx(gleu)


# ---------------------------------------------------------------- the gate over real measurements


def decide(annotator, candidate, champion=None, gate: GateSettings = EMBEDDED_GATE, corrupted: int = 0):
    base = many(annotator, "base", "same")
    return decide_promotion(compare(candidate, base, champion, corrupted=corrupted, rounds=300), gate)


def test_a_better_adapter_passes_and_the_reasons_hold_its_figures(annotator):
    decision = decide(annotator, many(annotator, "good", "fixed"))
    assert decision.promote
    assert any("GLEU against the base model: +" in reason for reason in decision.reasons)


@pytest.mark.parametrize(
    ("wrong", "correct", "says"),
    [
        ("same", "same", "not above the base model"),
        ("random", "random", "not above the base model"),
        ("fixed", "worse", "100.0 % of correct sentences"),
        ("fixed", "loop", "answers run on"),
    ],
)
def test_a_bad_adapter_is_refused_for_the_right_reason(annotator, wrong, correct, says):
    decision = decide(annotator, many(annotator, "bad", wrong, correct))
    assert not decision.promote
    assert any(says in reason for reason in decision.reasons)


def test_an_adapter_below_the_champion_is_refused_naming_champion_and_type(annotator):
    candidate = many(annotator, "half", "fixed")
    answers = list(candidate.answers.corrections)
    for number in range(0, 120, 2):
        answers[number] = replace(answers[number], after=answers[number].before)
    half = score(replace(candidate.answers, corrections=tuple(answers)), candidate.data, annotator)
    decision = decide(annotator, half, champion=many(annotator, "reigning", "fixed"))
    assert not decision.promote
    assert any("below the champion reigning" in reason for reason in decision.reasons)
    assert any("VERB:SVA got worse" in reason for reason in decision.reasons)


def test_corrupted_answers_refuse_whatever_the_scores(annotator):
    decision = decide(annotator, many(annotator, "nan", "fixed"), corrupted=2)
    assert not decision.promote
    assert "corrupted" in decision.reasons[0]


def test_systems_on_different_sets_are_not_compared(annotator):
    with pytest.raises(PermanentError, match="different sets"):
        compare(many(annotator, "one", "fixed"), judged(annotator, [row.source for row in ROWS]), None)


def test_a_leak_names_the_rows_that_were_trained_on():
    with pytest.raises(PermanentError, match="rows 3 of six"):
        refuse_leaks(["we discussed   ABOUT it", "something else"], SET)
    refuse_leaks(["something else"], SET)


@pytest.mark.parametrize(
    ("trained", "leaks"),
    [
        ("we met them on the first day of school", True),  # eight words in a row of the reference
        ("they left on the first day of school", False),  # five of them
        ("I MET THEM, on the ﬁrst day of - and it rained", False),  # seven, normalised
        ("Yesterday we met THEM on the ﬁrst  day, of spring", True),  # eight, normalised: case, width, comma
        ("They meet us on first day.", True),  # the source itself, short as it is
        ("they MEET us, on first day", True),
        ("They meet us on first", False),
    ],
)
def test_decontamination_finds_equal_rows_and_eight_words_in_a_row_alone(trained: str, leaks: bool):
    row = EvaluationRow("They meet us on first day.", ("We met them on the first day of spring.",), "awkward")
    other = EvaluationRow("It is late.", ("It is late.",), "correct")
    data = EvaluationSet("two", (other, row), "2" * 64)
    if leaks:
        with pytest.raises(PermanentError, match="1 training texts show rows 2 of two"):
            refuse_leaks([trained], data)
    else:
        refuse_leaks([trained], data)


# ---------------------------------------------------------------- explanations


def test_explanations_are_counted_by_what_they_are():
    def edit(reason: str | None, origin=None, was: str = "go", kind: str = "R:VERB:SVA") -> Edit:
        return Edit(3, 5, was, "goes", kind, reason, origin)

    before, after = "He go home.", "He goes home."
    corrections = [
        Correction("1", before, after, (edit('The verb must agree, so "goes".', "model"),)),
        Correction("2", before, after, (edit("The past tense of goes is needed.", "rule", kind="R:PREP"),)),
        Correction("3", before, after, (edit('It says "banana" here.', "model"),)),
        Correction("4", before, after, (edit(None),)),
        Correction("5", before, after, (edit("The verb must agree.", "model", was="xx"),)),
    ]
    found = explanation_figures(corrections)
    assert (found["edits"], found["explained"], found["unexplained"]) == (5, 4, 1)
    assert (found["model_reasons"], found["rule_reasons"], found["stray_reasons"]) == (3, 1, 1)
    assert found["quotes_occur"] == 75
    assert (found["type_named"], found["type_named_rightly"]) == (3, pytest.approx(200 / 3))
    assert explanation_figures([])["quotes_occur"] is None
