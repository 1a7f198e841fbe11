"""The examples and the frozen evaluation set that ship are what the README says they are."""

from __future__ import annotations

import json
from pathlib import Path

from correctly_assets.core.text import leaks, normalise
from correctly_assets.platform.first_screen import AWKWARD
from correctly_assets.settings import PROJECT_ROOT

STARTER = PROJECT_ROOT / "correctly_assets" / "starter"


FOR_TRAINING = ("examples.jsonl", "sentences.jsonl", "pairs.jsonl", "first_batch.jsonl")


def rows(name: str) -> list[dict]:
    return [json.loads(line) for line in (STARTER / name).read_text(encoding="utf-8").splitlines()]


def test_there_are_300_examples_or_more_a_tenth_correct_and_none_twice():
    examples = rows("examples.jsonl")
    correct = [row for row in examples if row["before"] == row["after"]]
    assert len(examples) >= 300
    assert 0.08 <= len(correct) / len(examples) <= 0.12
    assert len({normalise(row["before"]) for row in examples}) == len(examples)


def test_every_changed_example_has_a_fitting_reason_for_each_edit():
    for row in rows("examples.jsonl"):
        if row["before"] == row["after"]:
            assert not row["reasons"]
            continue
        assert row["reasons"], row
        for reason in row["reasons"]:
            assert reason["was"] in row["before"] and reason["now"] in row["after"], row
            assert 4 <= len(reason["reason"].split()) <= 30, row


def test_forms_and_tones_are_many():
    examples = rows("examples.jsonl")
    assert {"message", "email", "essay", "review", "report", "dialogue"} <= {row["form"] for row in examples}
    assert len({row["tone"] for row in examples}) >= 6


def test_the_frozen_set_is_250_awkward_with_two_references_and_150_correct():
    evaluation = rows("evaluation.jsonl")
    awkward = [row for row in evaluation if row["kind"] == "awkward"]
    correct = [row for row in evaluation if row["kind"] == "correct"]
    assert (len(awkward), len(correct)) == (250, 150)
    assert all(len(row["references"]) == 2 and row["source"] not in row["references"] for row in awkward)
    assert all(row["references"] == [row["source"]] for row in correct)


def test_nothing_that_ships_for_training_shows_an_evaluation_sentence():
    texts = [row[key] for name in FOR_TRAINING for row in rows(name) for key in ("before", "after")]
    evaluation = [text for row in rows("evaluation.jsonl") for text in (row["source"], *row["references"])]
    assert leaks(texts, evaluation) == {}


def test_the_three_sentences_that_up_corrects_are_in_no_example():
    texts = [row[key] for name in FOR_TRAINING for row in rows(name) for key in ("before", "after")]
    assert leaks(texts, AWKWARD) == {}


def test_the_starter_files_are_found_where_the_settings_say(settings):
    assert all(
        isinstance(path, Path) and path.is_file()
        for path in (*settings.platform.starter_paths, settings.platform.evaluation_path)
    )


def test_twelve_thousand_sentences_and_eight_thousand_pairs_ship():
    pairs = [row for name in ("examples.jsonl", "pairs.jsonl") for row in rows(name)]
    assert len(rows("sentences.jsonl")) >= 12_000 and len(pairs) >= 8_000
    assert len({normalise(row["before"]) for row in pairs}) == len(pairs)
    assert all(row["before"] == row["after"] for row in rows("sentences.jsonl"))


def test_pairs_for_bounds_and_the_first_batch_are_trained_on_by_nobody():
    trained = {normalise(row["before"]) for name in FOR_TRAINING[:3] for row in rows(name)}
    assert not trained & {normalise(row["source"]) for row in rows("tuning.jsonl")}
    assert not trained & {normalise(row["before"]) for row in rows("first_batch.jsonl")}
    assert 50 <= len(rows("first_batch.jsonl")) <= 70


def test_no_sentence_of_the_everyday_benchmark_ships_for_training():
    texts = [row[key] for name in FOR_TRAINING for row in rows(name) for key in ("before", "after")]
    lines = (PROJECT_ROOT / "benchmarks" / "everyday.jsonl").read_text(encoding="utf-8").splitlines()
    everyday = [json.loads(line) for line in lines]
    assert leaks(texts, [text for row in everyday for text in (row["source"], *row["answers"])]) == {}
