"""The plan of batches, the schedule over it, and what the config refuses."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from correctly_assets.core.errors import RetryableError, UsageError
from correctly_assets.core.prompts import load_prompts
from correctly_assets.core.training import EXIT_INTERRUPTED, EXIT_PERMANENT, TrainResult, failure_of, got_worse
from correctly_assets.settings import PROJECT_ROOT
from correctly_assets.training import run_history as promise
from correctly_assets.training.config import Stage, TrainConfig, read_config
from correctly_assets.training.data import TrainData, build_data, cut_plan, read_pairs
from correctly_assets.training.engines.choose_engine import expected_engine
from correctly_assets.training.estimates import estimate, model_flops, model_size, part_of, plan_training
from correctly_assets.training.rendering import Renderer, Turn
from correctly_assets.training.schedule import FLOOR, Schedule, steps_that_fit
from correctly_tests.training_tiny import tokenizer, train_config, write_base_model, write_train_set


def data(directory: Path, **changes: object) -> TrainData:
    config = train_config(directory, **changes)
    renderer = Renderer(tokenizer("gemma3"), load_prompts(PROJECT_ROOT / "prompts"))
    return build_data(read_pairs(write_train_set(directory)), renderer, config)


def test_a_pass_shows_every_training_turn_once_and_no_held_out_one(tmp_path: Path) -> None:
    made = data(tmp_path)
    seen = Counter(index for batch in made.plan for index in batch.turns)
    assert seen == Counter(range(len(made.turns)))
    assert not {turn.pair_id for turn in made.turns} & {turn.pair_id for turn in made.held_out}
    assert {turn.task for turn in made.held_out} == {"correct", "explain"}


def test_the_plan_is_the_same_under_a_seed_and_another_under_another(tmp_path: Path) -> None:
    assert data(tmp_path).plan == data(tmp_path).plan
    assert data(tmp_path).plan != data(tmp_path, seed=21).plan


def test_a_stages_mix_multiplies_leaves_out_and_takes_fractions(tmp_path: Path) -> None:
    stages = [Stage(name="one", mix={"human": 2, "bait": 0, "*": 1}, passes=1, learning_rate=1e-3)]
    made = data(tmp_path, stages=stages, explain_share=0)
    seen = Counter(made.turns[index].origin for batch in made.plan for index in batch.turns)
    every = Counter(turn.origin for turn in made.turns)
    assert seen == {"human": 2 * every["human"], "example": every["example"], "injected": every["injected"]}
    half = data(tmp_path, stages=[Stage(name="half", passes=0.5, learning_rate=1e-3)])
    assert sum(len(batch.turns) for batch in half.plan) == round(len(half.turns) / 2)


def test_stages_follow_one_another_and_keep_their_share_when_cut(tmp_path: Path) -> None:
    stages = [Stage(name=name, passes=2, learning_rate=1e-3) for name in "ab"]
    plan = data(tmp_path, stages=stages, batch_size=2).plan
    assert [batch.stage for batch in plan] == sorted(batch.stage for batch in plan)
    kept = cut_plan(plan, len(plan) // 2)
    assert len(kept) == len(plan) // 2
    assert abs(sum(batch.stage for batch in kept) - len(kept) / 2) <= 1
    assert cut_plan(plan, 10**6) == list(plan)


def test_explain_turns_stay_within_their_share_and_human_pairs_come_first(tmp_path: Path) -> None:
    made = data(tmp_path, explain_share=0.2)
    explain = [turn for turn in made.turns if turn.task == "explain"]
    assert len(explain) == round(0.2 * 20)
    assert {turn.origin for turn in explain} == {"human"}


def test_a_warm_start_shows_every_new_pair_and_a_fixed_share_of_seen_ones(tmp_path: Path) -> None:
    whole = write_train_set(tmp_path / "now", 120)
    seen = write_train_set(tmp_path / "then", 90)
    warm = {"warm_start": tmp_path / "adapter", "replay": {"seen": seen, "share": 0.25}}
    renderer = Renderer(tokenizer("gemma3"), load_prompts(PROJECT_ROOT / "prompts"))
    pairs, before = read_pairs(whole), {pair.id for pair in read_pairs(seen) if pair.split == "train"}
    every = build_data(pairs, renderer, train_config(tmp_path))
    some = build_data(pairs, renderer, train_config(tmp_path, **warm))
    shown = {turn.pair_id for turn in some.turns}
    assert shown >= {pair.id for pair in pairs if pair.split == "train"} - before
    assert 0.1 < len(shown & before) / len(before) < 0.4
    assert some.held_out == every.held_out
    assert some.sha256 != every.sha256
    assert build_data(pairs, renderer, train_config(tmp_path, **warm)).plan == some.plan
    # From the base there is nothing to replay, and with nothing new all of it is the work.
    assert build_data(pairs, renderer, train_config(tmp_path, replay=warm["replay"])) == every
    nothing_new = {**warm, "replay": {"seen": whole, "share": 0.25}}
    assert build_data(pairs, renderer, train_config(tmp_path, **nothing_new)).turns == every.turns


def test_a_token_budget_bounds_every_batch_of_more_than_one_turn(tmp_path: Path) -> None:
    made = data(tmp_path, token_budget=400)
    sizes = [(len(batch.turns), sum(made.turns[i].length for i in batch.turns)) for batch in made.plan]
    assert all(tokens <= 400 for count, tokens in sizes if count > 1)
    assert max(count for count, _ in sizes) > 1


def test_turns_beyond_the_maximum_length_are_left_out_and_counted(tmp_path: Path) -> None:
    made = data(tmp_path, max_length=100)
    assert made.too_long > 0
    assert max(turn.length for turn in made.turns) <= 100


def test_a_train_set_without_pairs_or_columns_says_so(tmp_path: Path) -> None:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    parquet.write_table(arrow.table({"id": ["a"], "before": ["x"]}), tmp_path / "a.parquet")
    with pytest.raises(UsageError, match="lacks the column 'after'"):
        read_pairs(tmp_path / "a.parquet")
    with pytest.raises(UsageError, match="cannot be read"):
        read_pairs(tmp_path / "none.parquet")
    with pytest.raises(UsageError, match="nothing to train on"):
        data(tmp_path, stages=[Stage(name="none", mix={"*": 0}, passes=1, learning_rate=1e-3)])


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_a_schedule_warms_up_and_decays_and_a_cut_one_ends_smoothly(kind: str) -> None:
    whole = Schedule(kind, total=200, warmup=10)
    factors = [whole.factor(step) for step in range(200)]
    assert factors[0] == pytest.approx(0.1, rel=0.02)
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[-1] == pytest.approx(FLOOR, abs=0.01)
    cut = whole.cut(50, total=90)
    assert cut.factor(50) == pytest.approx(whole.factor(50))
    rest = [cut.factor(step) for step in range(50, 90)]
    assert rest == sorted(rest, reverse=True)
    assert rest[-1] == pytest.approx(FLOOR, abs=0.06)


def test_the_steps_that_fit_follow_the_time_left() -> None:
    assert steps_that_fit(100, [10] * 20, 0.1) == 20
    assert steps_that_fit(10, [10] * 20, 0.1) == 10
    assert steps_that_fit(-5, [10] * 20, 0.1) == 1


def test_a_config_with_an_unknown_field_or_value_is_refused_by_its_name(tmp_path: Path) -> None:
    good = json.loads(train_config(tmp_path).model_dump_json())
    file = tmp_path / "config.json"
    for change, named in (
        ({"batchsize": 3}, "batchsize"),
        ({"batch_size": 0}, "batch_size"),
        ({"stages": []}, "stages"),
    ):
        file.write_text(json.dumps({**good, **change}))
        with pytest.raises(UsageError, match=named):
            read_config(file)
    file.write_text("{")
    with pytest.raises(UsageError, match="not JSON"):
        read_config(file)
    with pytest.raises(UsageError, match="cannot be read"):
        read_config(tmp_path / "none.json")
    file.write_text(json.dumps(good))
    assert read_config(file) == train_config(tmp_path)


def test_a_checkpoints_fingerprint_follows_what_shapes_the_weights_alone(
    tmp_path: Path,
) -> None:
    def of(data: str = "d", prompts: str = "p", base: str = "b", **changes: Any) -> str:
        config: TrainConfig = train_config(tmp_path, **changes)
        return config.fingerprint(data, prompts=prompts, base_revision=base)

    assert of() == of(max_minutes=3, result_path=tmp_path / "r")
    assert len({of(), of(data="e"), of(prompts="q"), of(base="c"), of(seed=1), of(batch_size=5)}) == 6


def test_an_ended_trainer_is_read_as_done_to_be_retried_or_not_to_be() -> None:
    assert failure_of(0, None, batch_size=16) is None
    for code, outcome, expected, retry in [
        (EXIT_INTERRUPTED, None, "interrupted", True),
        (
            EXIT_PERMANENT,
            {"error": {"message": "m", "type": "PermanentError", "code": "out_of_memory"}},
            "out_of_memory",
            False,
        ),
        (2, {"error": {"message": "m", "type": "UsageError", "code": "usage"}}, "usage", False),
        (-9, None, "out_of_memory", False),
        (1, {"error": {"message": "m", "type": "UnreachableError", "code": "unreachable"}}, "unreachable", True),
        (1, {"error": {"message": "m", "type": "ValueError", "code": "internal"}}, "internal", False),
        (1, None, "internal", False),
    ]:
        failure = failure_of(code, outcome, batch_size=16)
        assert failure is not None
        assert failure.code == expected
        assert isinstance(failure, RetryableError) == retry
    assert "CORRECTLY_TRAIN_BATCH_SIZE (now 16)" in str(failure_of(-9, None, batch_size=16))


def test_a_result_survives_json() -> None:
    result = TrainResult("a", "/p", 2.0, 1.0, None, 3, 4, 5, 6.0, 7.0, 8.0, 9, True, warnings=("w",))
    assert TrainResult.from_json({**json.loads(json.dumps(result.to_json())), "later": 1}) == result


def test_a_plan_counts_the_run_follows_the_machine_and_keeps_the_budget(tmp_path: Path) -> None:
    write_base_model(tmp_path)
    config = train_config(tmp_path)
    made = data(tmp_path)
    slow, fast = estimate(config, made, 1e6), estimate(config, made, 1e12)
    assert (slow.pairs, slow.turns, slow.steps) == (24, len(made.turns), len(made.plan))
    assert slow.tokens == sum(turn.length for turn in made.turns)
    assert slow.minutes > fast.minutes > 0
    assert not slow.limited
    short = estimate(train_config(tmp_path, max_minutes=slow.minutes / 2), made, 1e6)
    assert short.limited
    assert short.minutes == pytest.approx(slow.minutes / 2, abs=0.01)
    assert 1 <= short.steps < slow.steps
    assert plan_training(config).tokens == slow.tokens


def finished(directory: Path, name: str, *, config: TrainConfig, share: float, memory: float, **kind: object) -> None:
    """The manifest of a run that reached ``share`` of 1000 GFLOPS, needed ten seconds beside it, and so much memory."""
    made = estimate(config, data(directory), 1e12)
    flops, held = 6e13, made.basis.held_flops
    loop = flops / (share * 1e12)
    own = promise.RunKind(machine=promise.machine(), engine="fast", device="cpu", base_revision="r1", resumed=False)
    record = promise.record(
        made,
        kind=own.model_copy(update=kind),
        took=promise.Took(
            minutes=(loop + held / (share * 1e12) + 10) / 60, gigabytes=memory * made.basis.raw_gigabytes,
            tokens=made.tokens, steps=made.steps, flops=flops, loop_seconds=loop,
        ),
    )  # fmt: skip
    place = config.adapters_dir / name
    place.mkdir(parents=True)
    (place / "manifest.json").write_text(json.dumps({"figures": {"plan": record.model_dump()}}))


def test_a_plan_learns_from_the_last_runs_on_this_machine_alone(tmp_path: Path) -> None:
    base = write_base_model(tmp_path)
    config = train_config(tmp_path)

    def known() -> promise.Experience:
        return promise.learned(config.adapters_dir, base_model=str(base), engine="fast", device="cpu")

    assert known() == promise.Experience()
    finished(tmp_path, "slow-machine", config=config, share=0.01, memory=9, machine="another")
    finished(tmp_path, "resumed", config=config, share=0.01, memory=9, resumed=True)
    finished(tmp_path, "other-base", config=config, share=0.01, memory=9, base_revision="r2")
    (config.adapters_dir / "adopted").mkdir()
    (config.adapters_dir / "adopted" / "manifest.json").write_text('{"figures": {}}')
    assert known().runs == 0
    # Two runs beside other work, and one whose matrix rate was measured beside some.
    for number, share in enumerate((0.1, 0.3, 0.31, 0.12, 0.9)):
        finished(tmp_path, f"own{number}", config=config, share=share, memory=2)
    learned = known()
    assert learned.runs == 5
    assert learned.share == pytest.approx(0.31, rel=1e-3)
    assert learned.fixed_seconds == pytest.approx(10, abs=0.1)
    assert learned.memory == pytest.approx(2, rel=1e-2)
    made = data(tmp_path)
    first, later = estimate(config, made, 1e12), estimate(config, made, 1e12, learned)
    assert later.gigabytes == pytest.approx(2 * first.gigabytes, rel=0.02)
    assert later.minutes < first.minutes
    assert (first.learned_from, later.learned_from) == (0, 5)


def test_a_promise_is_kept_within_thirty_per_cent_and_broken_beyond(tmp_path: Path) -> None:
    write_base_model(tmp_path)
    made = estimate(train_config(tmp_path), data(tmp_path), 1e6)
    kind = promise.RunKind(machine="m", engine="fast", device="cpu", base_revision="r", resumed=False)
    for factor, kept in ((1.0, True), (1.25, True), (0.75, True), (1.4, False), (0.6, False)):
        took = promise.Took(
            minutes=made.minutes * factor,
            gigabytes=made.gigabytes * factor,
            tokens=round(made.tokens * factor),
            steps=made.steps,
            flops=1.0,
            loop_seconds=1.0,
        )
        record = promise.record(made, kind=kind, took=took)
        assert record.kept is kept
        assert record.minutes_off_percent == pytest.approx(100 * (factor - 1), abs=0.2)


def test_a_broken_promise_says_what_was_further_off() -> None:
    plan = promise.record(
        promise.TrainPlan(9, 9, 20_000, 5, 2.0, 4.0, False, 0, promise.PlanBasis(1.0, 1.0, 1.0)),
        kind=promise.RunKind(machine="m", engine="fast", device="cpu", base_revision="r", resumed=False),
        took=promise.Took(minutes=2.2, gigabytes=3.8, tokens=30_000, steps=5, flops=1.0, loop_seconds=1.0),
    )
    assert plan.tokens_off_percent == 50
    begins = "Took 2.2 of 2.0 promised minutes, 3.8 of 4.0 GB and 30,000 of 20,000 tokens"
    assert promise.plan_summary(plan) == f"{begins}: further off in tokens than a promise should be."
    assert promise.plan_summary(plan.model_copy(update={"tokens_off_percent": 30.0})) == f"{begins}."


def test_the_model_flops_are_two_a_weight_forward_and_two_a_gradient() -> None:
    turn = Turn("p", "example", "correct", (1, 2, 3, 4, 5), 3)
    assert model_flops((100, 10), [turn, turn]) == 2 * (4 * 100 * 5 + 4 * 10 * 2)


def test_the_engine_that_a_plan_expects_is_the_one_that_computes(tmp_path: Path) -> None:
    write_base_model(tmp_path)
    assert expected_engine(train_config(tmp_path)) == "fast"
    assert expected_engine(train_config(tmp_path, engine="plain")) == "plain"
    assert expected_engine(train_config(tmp_path, lora={"dropout": 0.1})) == "plain"
    (tmp_path / "base" / "config.json").write_text('{"model_type": "llama"}')
    assert expected_engine(train_config(tmp_path)) == "plain"


def test_what_got_worse_is_named_worst_first_without_tiny_slices() -> None:
    risen = {
        "all": {"before": 1.0, "after": 0.9, "items": 50},
        "type:VERB": {"before": 1.0, "after": 1.1, "items": 20},
        "bait": {"before": 0.5, "after": 0.75, "items": 9},
        "form:note": {"before": 0.5, "after": 0.9, "items": 2},
        "human": {"before": 1.0, "after": 1.005, "items": 9},
    }
    assert [(name, round(by)) for name, by in got_worse(risen)] == [("bait", 50), ("type:VERB", 10)]


def test_a_learning_curves_parts_are_nested_and_keep_what_is_held_out(tmp_path: Path) -> None:
    pairs = read_pairs(write_train_set(tmp_path, 200))
    quarter, half, whole = (part_of(pairs, percent) for percent in (25, 50, 100))
    assert whole == pairs
    assert {p.id for p in quarter} < {p.id for p in half} < {p.id for p in whole}
    assert 0.35 < sum(p.split == "train" for p in half) / sum(p.split == "train" for p in whole) < 0.65
    assert [p for p in quarter if p.split == "held_out"] == [p for p in pairs if p.split == "held_out"]


def test_the_model_size_is_the_matrices_of_the_layers_and_the_projection(tmp_path: Path) -> None:
    from safetensors import safe_open

    base = write_base_model(tmp_path)
    with safe_open(base / "model.safetensors", framework="np") as tensors:
        shapes = {key: tensors.get_slice(key).get_shape() for key in tensors.keys()}  # noqa: SIM118
    layers = sum(shape[0] * shape[1] for key, shape in shapes.items() if "layers" in key and len(shape) == 2)
    head = shapes["model.embed_tokens.weight"]
    assert model_size(base) == (layers, head[0] * head[1])
