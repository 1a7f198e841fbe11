"""A train set as the platform makes it: the teacher's pairs less what leaks or straddles, and why, beside it."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest

from correctly_assets.artifacts.examples_snapshot import write_examples_snapshot
from correctly_assets.artifacts.manifests import AdapterManifest, TrainSetManifest
from correctly_assets.artifacts.rejected_pairs import read_rejected
from correctly_assets.artifacts.train_set import write_train_set
from correctly_assets.core.landing import identified
from correctly_assets.core.retrain import decide_retrain
from correctly_assets.core.text import split_of
from correctly_assets.core.types import Example, TrainPair
from correctly_assets.definitions import defs
from correctly_assets.defs.resources import make_resources
from correctly_assets.settings import Settings, get_settings
from correctly_assets.training.child import training_key
from correctly_assets.training.config import TrainSpec
from correctly_assets.workflows.build_train_set import MadeTrainSet, make_train_set, train_config
from correctly_assets.workflows.check_leaks import refuse_trained_on
from correctly_assets.workflows.full_report import registered_sets
from correctly_assets.workflows.promote import record
from correctly_assets.workflows.retrain_state import policy, read_retrain_state
from correctly_assets.workflows.wiring import open_platform_store

pytestmark = pytest.mark.slow


def build(settings: Settings, *examples: Example):
    settings.platform.home.mkdir(parents=True, exist_ok=True)
    with open_platform_store(settings.platform) as store:
        store.land([identified(example) for example in examples])
        snapshot = write_examples_snapshot(store, settings.platform.snapshots_dir)
    return make_train_set(settings, examples_snapshot=snapshot.id, log=lambda _: None)


def correct(text: str) -> Example:
    return Example(id="", before=text, after=text)


def wanted(split: str, text: str) -> str:
    """The text with a number in it that makes its own hash choose a split."""
    return next(made for n in range(2, 900) if split_of(made := text.format(n)) == split)


def test_a_sentence_of_the_evaluation_set_is_left_out_and_said_to_be(monkeypatch, settings: Settings):
    monkeypatch.setenv("CORRECTLY_TRAIN_PAIRS", "12")
    settings = get_settings()
    shown = json.loads(settings.platform.evaluation_path.read_text().splitlines()[0])["references"][0]
    made = build(settings, correct(shown), correct("The ferry to the island leaves from the old stone pier at noon."))
    assert made.pairs and all(shown not in (pair.before, pair.after) for pair in made.pairs)
    assert "decontamination" in {refusal.rung for refusal in read_rejected(made.snapshot.path)}
    assert "decontamination" in {refusal.rung for refusal in made.refused}


def test_a_sentence_of_a_set_that_the_user_registered_is_left_out_too(few_pairs: Settings):
    """Or the full report would refuse the adapter as trained on that set, after the training."""
    mine, theirs = "The ferry to the island leaves from the old stone pier.", "Nobody told the tenants about the roof."
    folder = few_pairs.platform.home / "evaluation"
    folder.mkdir(parents=True)
    (folder / "mine.jsonl").write_text(json.dumps({"source": "The ferry leave.", "references": [mine]}) + "\n")
    (folder / "theirs.m2").write_text(
        f"S {theirs.replace('.', ' .')}\nA -1 -1|||noop|||-NONE-|||REQUIRED|||-NONE-|||0\n"
    )
    (folder / "notes.txt").write_text("No set.")
    made = build(few_pairs, correct(mine), correct(theirs), correct("Both of my sisters learned to swim in the lake."))
    assert made.pairs and not {mine, theirs} & {text for pair in made.pairs for text in (pair.before, pair.after)}
    sets = [one.data for one in registered_sets(few_pairs)]
    assert [one.name for one in sets][1:] == ["mine.jsonl", "theirs.m2"]
    refuse_trained_on(few_pairs.platform, AdapterManifest(id="A", train_set=made.snapshot.id), sets)


def test_the_houses_words_stand_in_the_train_set(few_pairs: Settings):
    path = few_pairs.platform.house_style_path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("keep: [Data Vault]\n")
    wrong, right = "We has met Peter in the office on the hill.", "We have met Peter in the office on the hill."
    made = build(
        few_pairs, Example(id="", before=wrong, after=right), correct("The ferry leaves from the old stone pier.")
    )
    bait = [pair for pair in made.pairs if "Data Vault" in pair.after]
    assert bait and all(pair.origin == "bait" and pair.before == pair.after for pair in bait)


def test_a_near_duplicate_goes_where_the_earlier_one_went(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("CORRECTLY_TRAIN_PAIRS", "30")
    text = "The committee that met in the town hall on Thursday evening wants {} more benches along the river walk."
    held, trained = correct(wanted("held_out", text)), correct(wanted("train", text))
    first = build(
        get_settings(), held, correct("Nobody told the new tenants about the leaking roof above the kitchen.")
    )
    assert {pair.split for pair in first.pairs if "committee" in pair.after} == {"held_out"}
    second = build(get_settings(), trained)
    splits = {pair.split for pair in second.pairs if "committee" in pair.after}
    assert splits == {"held_out"}


STEM = "he committee that met in the town hall on Thursday evening wants more benches along the river walk"


def land_a_straddler(settings: Settings) -> Example:
    """Make a train set with a held-out and a trained sentence that are no near-duplicates of each other; then land, and
    return, a third sentence that is near to both."""
    held = correct(wanted("held_out", "By 7 May {}, t" + STEM + "."))
    trained = correct(wanted("train", "T" + STEM + ", by gate {}, too."))
    between = identified(correct(f"T{STEM}."))
    build(settings, held, trained, correct("Nobody told the new tenants about the leaking roof above the kitchen."))
    with open_platform_store(settings.platform) as store:
        store.land([between])
    return between


def straddle(settings: Settings) -> tuple[MadeTrainSet, Example]:
    """A train set in whose making an example was held as straddling, and that example."""
    between = land_a_straddler(settings)
    return build(settings), between


@pytest.fixture
def few_pairs(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("CORRECTLY_TRAIN_PAIRS", "30")
    monkeypatch.setenv("CORRECTLY_RETRAIN_QUIET_SECONDS", "0")
    return get_settings()


def test_an_example_near_to_both_splits_goes_to_quarantine(few_pairs: Settings):
    made, between = straddle(few_pairs)
    assert made.straddling == (between.id,)
    assert made.pairs and between.id not in {pair.example_id for pair in made.pairs}
    assert {r.row["example_id"] for r in read_rejected(made.snapshot.path) if r.rung == "straddles"} == {between.id}
    with open_platform_store(few_pairs.platform) as store:
        [item] = store.quarantined()
        assert (item.example_id, item.rung, item.row["before"]) == (between.id, "straddles", between.before)
        assert store.counts().quarantined == 1 and between.id not in {e.id for e in store.accepted()}
    again = build(few_pairs)
    assert again.straddling == () and between.id not in {pair.example_id for pair in again.pairs}


def test_the_decision_on_a_run_that_held_a_straddler_starts_no_other_run(few_pairs: Settings):
    made, between = straddle(few_pairs)
    extras = train_config(few_pairs, train_set=made.snapshot.id).extras
    with open_platform_store(few_pairs.platform) as store, dg.DagsterInstance.ephemeral() as instance:
        assert (
            decide_retrain(read_retrain_state(store, instance, few_pairs), policy(few_pairs.training)).action == "run"
        )
        record(few_pairs.platform, store, extras, adapter="A", verdict="promoted", reasons=("Better.",), run_id=None)
        state = read_retrain_state(store, instance, few_pairs)
        assert decide_retrain(state, policy(few_pairs.training)).message.startswith("Nothing new")
        assert (state.new_examples, state.removed_examples) == (0, 0)
        store.release_quarantined(between.id)
        state = read_retrain_state(store, instance, few_pairs)
        assert "1 new example since" in decide_retrain(state, policy(few_pairs.training)).message


def test_rows_that_give_no_pair_are_decided_without_another_training(few_pairs: Settings):
    """Or the sensor would want them for ever: the train set, and so the adapter, is the one there was."""
    build(few_pairs, correct("The ferry to the island leaves from the old stone pier at noon."))

    def same_pairs_of_the_rows_now(*more: Example) -> TrainSpec:
        with open_platform_store(few_pairs.platform) as store:
            store.land(more)
            rows = write_examples_snapshot(store, few_pairs.platform.snapshots_dir)
        pair = TrainPair("p1", "e1", "injected", "The ferry leave.", "The ferry leaves.", (), 1)
        extra = TrainSetManifest(examples_snapshot=rows.id, rows_digest=rows.row_digest)
        made = write_train_set([pair], few_pairs.platform.snapshots_dir, extra, sql_dir=few_pairs.platform.sql_dir)
        return train_config(few_pairs, train_set=made.id)

    first = same_pairs_of_the_rows_now()
    second = same_pairs_of_the_rows_now(identified(correct("Both of my sisters learned to swim in the lake.")))
    assert first.extras.train_set == second.extras.train_set
    assert training_key(first) == training_key(second)
    assert training_key(first) != training_key(second.model_copy(update={"seed": 99}))
    with open_platform_store(few_pairs.platform) as store, dg.DagsterInstance.ephemeral() as instance:
        record(
            few_pairs.platform,
            store,
            second.extras,
            adapter="A",
            verdict="promoted",
            reasons=("Same.",),
            run_id=None,
        )
        state = read_retrain_state(store, instance, few_pairs)
        assert decide_retrain(state, policy(few_pairs.training)).message.startswith("Nothing new")


def test_a_run_that_held_a_straddler_is_the_first_attempt_at_what_is_left(few_pairs: Settings):
    land_a_straddler(few_pairs)
    with dg.DagsterInstance.ephemeral() as instance:
        with open_platform_store(few_pairs.platform) as store:
            request = decide_retrain(read_retrain_state(store, instance, few_pairs), policy(few_pairs.training))
        job = dg.define_asset_job("retrain", selection=dg.AssetSelection.assets("examples", "train_set"))
        made = dg.Definitions(assets=defs.assets, resources=make_resources(few_pairs), jobs=[job])
        result = made.resolve_job_def("retrain").execute_in_process(instance=instance, tags=dict(request.tags))
        assert result.success
        with open_platform_store(few_pairs.platform) as store:
            assert store.counts().quarantined == 1
            again = decide_retrain(read_retrain_state(store, instance, few_pairs), policy(few_pairs.training))
    assert "attempt 2 of 3" in again.message and again.run_key != request.run_key


def test_a_released_straddler_keeps_to_the_split_of_its_own_hash(few_pairs: Settings):
    _, between = straddle(few_pairs)
    with open_platform_store(few_pairs.platform) as store:
        store.release_quarantined(between.id)
    again = build(few_pairs)
    assert again.straddling == ()
    assert {p.split for p in again.pairs if p.example_id == between.id} == {split_of(between.after or "")}
    with open_platform_store(few_pairs.platform) as store:
        assert store.quarantined() == [] and store.counts().quarantined == 0


def test_a_dropped_straddler_is_forgotten_and_does_not_land_again(few_pairs: Settings):
    _, between = straddle(few_pairs)
    with open_platform_store(few_pairs.platform) as store:
        store.drop_quarantined(between.id)
    again = build(few_pairs, between)
    assert again.straddling == () and between.id not in {pair.example_id for pair in again.pairs}


def test_two_people_may_correct_one_sentence_differently_in_one_split(few_pairs: Settings):
    """Equal sources, also such that are equal only when normalised, stand in one split with all pairs of their examples."""
    before = "Nobody in house {} know where the old miller have hidden his money"
    afters = (
        "Nobody in house {} knows where the old miller has hidden his money.",
        "Nobody in house {} knew where the old miller hid the money.",
        "No one in house {} could know where the old miller had hidden his money.",
    )
    asked = ["held_out", "train", "train"]
    n = next(n for n in range(900) if [split_of(text.format(n)) for text in afters] == asked)
    first, other, spelled = (
        Example("", (before + end).format(n), after.format(n), verified=True)
        for end, after in zip((".", ".", " !"), afters, strict=True)
    )
    assert {pair.split for pair in build(few_pairs, first).pairs} == {"held_out"}
    made = build(few_pairs, other, spelled)
    assert sorted(pair.before for pair in made.pairs if pair.origin == "human") == sorted(
        example.before for example in (first, other, spelled)
    )
    assert {pair.origin for pair in made.pairs} > {"human"}
    assert {pair.split for pair in made.pairs} == {"held_out"}
