"""The training benchmarks' code paths on a tiny model: that they measure what they say, not how fast it is."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from benchmarks import bench_loop, bench_train, train_growth
from benchmarks.train_gpu import NO_GPU, WARM, measure_ours, peak_rate, summarise, summarise_variants, variants
from benchmarks.train_models import batched, gemma_1b, make_turns, mixed, random_model, size_of, tiny
from correctly_assets.settings import PROJECT_ROOT
from correctly_assets.training import run_history as promise
from correctly_assets.training.engines.hf_model import PlainEngine
from correctly_assets.training.models.load_model import put_adapter_on
from correctly_tests.training_tiny import tiny_adapter, train_config, turns

pytestmark = pytest.mark.slow


def test_the_1b_architecture_has_the_weights_of_gemma_3_1b() -> None:
    body, head = size_of(gemma_1b())
    assert head == 262_144 * 1152
    # 1.0 thousand million in all, of which the embedding is 302 million.
    assert 0.99e9 < body + head < 1.01e9
    kinds = gemma_1b().layer_types
    assert [i for i, kind in enumerate(kinds) if kind == "full_attention"] == [5, 11, 17, 23]


def test_the_counted_weights_are_those_of_the_model_that_is_built() -> None:
    model = random_model(tiny(), torch.device("cpu"))
    matrices = sum(p.numel() for n, p in model.named_parameters() if "layers" in n and p.dim() == 2)
    assert size_of(tiny()) == (matrices, model.get_output_embeddings().weight.numel())
    assert model.dtype == torch.bfloat16


def test_the_gpu_part_measures_steps_on_a_tiny_model_and_counts_rightly() -> None:
    config = tiny()
    batches = batched(make_turns(4 * (WARM + 2), 8, 16, config.vocab_size), 4)
    found = measure_ours(config, batches, torch.device("cpu"), compile=False)
    assert len(found["seconds"]) == 2
    assert len(found["losses"]) == WARM + 2
    assert found["tokens"] == sum(turn.length for batch in batches[WARM:] for turn in batch)
    assert 0 <= found["padding_percent"] < 20
    found["seconds"] = [1.0, 1.0]
    trl = {**found, "seconds": [2.0, 2.0]}
    figures = summarise(found, rate=found["flops"], measured=2 * found["flops"], trl=trl)
    assert figures["mfu"]["value"] == 50
    assert figures["share_of_measured_rate"]["value"] == 25
    assert figures["ratio_trl_gpu"]["value"] == 2
    assert peak_rate("NVIDIA H100 80GB HBM3") == 989e12
    assert peak_rate("NVIDIA L40S") == 362e12
    assert peak_rate("Some Other Card") is None


def test_the_gpu_part_measures_padded_and_packed_batches_of_the_same_turns() -> None:
    config = tiny()
    config.attention_bias = True  # what the fast engine does not compute, so that the plain one does, as on a GPU
    batches = batched(make_turns(16 * (WARM + 1), 8, 90, config.vocab_size), 16)
    assert sorted(t.pair_id for b in mixed(batches) for t in b) == sorted(t.pair_id for b in batches for t in b)
    found = {
        name: measure_ours(config, batches_of, torch.device("cpu"), **settings)
        for name, batches_of, settings in variants(batches, compile=False)
    }
    assert set(found) == {"padded", "packed", "mixed_padded", "mixed_packed"}
    assert {result["engine"] for result in found.values()} == {"plain"}
    assert [found[name]["packed_percent"] for name in ("mixed_padded", "mixed_packed")] == [0, 100]
    assert found["mixed_padded"]["padding_percent"] > 30 > 10 > found["mixed_packed"]["padding_percent"]
    assert found["padded"]["padding_percent"] < found["mixed_padded"]["padding_percent"]
    figures = summarise_variants(found)
    assert 0 < figures["mixed_packed_loss_difference_max"]["value"] < 1
    assert figures["mixed_packed_padding"]["value"] == pytest.approx(found["mixed_packed"]["padding_percent"], 1e-3)
    found["packed"]["losses"][2] *= 1.1
    assert summarise_variants(found)["packed_loss_difference_max"]["value"] > 5


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what is said without a GPU")
def test_without_a_gpu_the_gpu_part_says_that_its_figure_is_still_owed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench_train", "--gpu"])
    with pytest.raises(SystemExit) as ended:
        bench_train.main()
    assert ended.value.code == 1
    assert NO_GPU in capsys.readouterr().err


def test_the_compiled_engine_has_the_plain_ones_loss_and_gradients() -> None:
    # One adapter each: compiling changes the layers in place.
    adapter, other = tiny_adapter(), tiny_adapter()
    plain = PlainEngine(adapter, torch.device("cpu"))
    compiled = PlainEngine(other, torch.device("cpu"), compiled=True)
    for batch in (turns(4), turns(3, longest=6)):
        assert compiled.train(batch) == pytest.approx(plain.train(batch), rel=1e-4)
        for copy, expected in zip(other.copies, adapter.copies, strict=True):
            torch.testing.assert_close(copy.grad, expected.grad, rtol=1e-3, atol=1e-5)
            copy.grad = expected.grad = None


def test_unpadded_causal_batches_reach_attention_without_a_mask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[bool, bool]] = []
    inner = torch.nn.functional.scaled_dot_product_attention

    def watched(*arguments: object, **options: object) -> torch.Tensor:
        seen.append((options.get("attn_mask") is None, bool(options.get("is_causal"))))
        return inner(*arguments, **options)  # pyright: ignore[reportArgumentType, reportCallIssue]

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    config = train_config(Path("/nowhere"))
    model = random_model(tiny(), torch.device("cpu"))
    PlainEngine(put_adapter_on(model, config), torch.device("cpu")).train(turns())
    assert len(seen) == 6
    assert set(seen) == {(True, True)}


def test_growth_is_measured_cell_by_cell_and_drawn(tmp_path: Path) -> None:
    cells = train_growth.measure((4,), (8,), 2, small=True)
    cells.append(train_growth.cell(2, 8, 2, small=True))
    assert [(c["batch"], c["tokens"]) for c in cells] == [(4, 8), (2, 8)]
    assert all(c["seconds"] > 0 and c["peak_mb"] >= c["loaded_mb"] > 0 for c in cells)
    train_growth.plot(cells, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
    made = [{"batch": b, "tokens": t, "seconds": 0.01 * (b * t) ** 1.5} for b in (2, 4) for t in (8, 32)]
    assert train_growth.growth(made, "seconds") == pytest.approx(1.5)


def test_the_loops_figures_hold_a_run_to_thirty_per_cent_of_its_promise() -> None:
    plan = promise.record(
        promise.TrainPlan(9, 9, 1000, 5, 4.0, 3.0, False, 0, promise.PlanBasis(1.0, 1.0, 1.0)),
        kind=promise.RunKind(machine="m", engine="fast", device="cpu", base_revision="r", resumed=False),
        took=promise.Took(minutes=3.0, gigabytes=4.5, tokens=1000, steps=5, flops=1.0, loop_seconds=1.0),
    )
    figures = bench_loop.kept_promise(plan.model_dump())
    off = {key: figures[f"plan_{key}_off_percent"] for key in ("minutes", "gigabytes", "tokens")}
    assert [value["value"] for value in off.values()] == [25, 50, 0]
    assert {(value["floor"], value["better"]) for value in off.values()} == {(30, "lower")}
    assert (figures["plan_minutes_promised"]["value"], figures["plan_minutes_took"]["value"]) == (4, 3)


def test_make_installs_what_the_benchmark_compares_with_and_no_other_pin() -> None:
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
    lines = (PROJECT_ROOT / "deploy/requirements-bench.lock").read_text().splitlines()
    pins = [line.split()[0] for line in lines if line[:1].isalnum()]
    assert set(project["optional-dependencies"]["bench"]) <= set(pins)
    locked = (PROJECT_ROOT / "deploy/requirements-cpu.lock").read_text()
    names = [pin.split("==")[0] for pin in pins]
    assert "torch" not in names and not [name for name in names if f"\n{name}==" in locked]
    # -W: as on a fresh clone, whatever is installed here.
    command = ["make", "-n", "-W", "deploy/requirements-bench.lock", "bench-train"]
    said = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True).stdout
    install = said.index("install -q --no-deps --require-hashes -r deploy/requirements-bench.lock")
    assert said.rindex("cli prepare") < install < said.index("-m benchmarks.bench_train")
    grown = subprocess.run(["make", "-n", "bench-growth"], cwd=PROJECT_ROOT, capture_output=True, text=True).stdout
    assert "benchmarks.bench_train --part growth" in grown and "requirements-bench" not in grown
