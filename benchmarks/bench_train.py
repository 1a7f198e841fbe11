"""``make bench-train``: our trainer against stock TRL and against the machine's matrix rate, in one run.

Equal work: the same turns in the same batches and order, from the same initial adapter, with the same optimiser settings.
Each system runs in its own process, in alternation over the rounds; the first steps of a process are not timed. The
parity run compares the first 20 step losses and the final held-out loss.

Needs the extra ``bench`` (TRL). Not part of the CI: nothing here passes or fails by a clock.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.common import RESULTS, ROOT, write_results
from benchmarks.common import figure as made

RATE = 2e-5  # TRL's default: at ours, 20 times that, bf16 noise alone moves single steps by several per cent
WARM_STEPS = 2


def build_turns(batch_size: int, batches: int) -> tuple[list[list[Any]], list[Any]]:
    """Batches of turns of the shipped examples, both tasks, length-sorted as training sorts them; and held-out turns."""
    from correctly_assets.core.prompts import load_prompts
    from correctly_assets.core.types import Edit, TrainPair
    from correctly_assets.settings import PROJECT_ROOT, get_settings
    from correctly_assets.training.config import TrainConfig
    from correctly_assets.training.data import build_data
    from correctly_assets.training.rendering import Renderer, load_tokenizer

    pairs: list[TrainPair] = []
    lines = (PROJECT_ROOT / "correctly_assets/starter/examples.jsonl").read_text(encoding="utf-8").splitlines()
    for number, row in enumerate(map(json.loads, lines)):
        edits = []
        for reason in row.get("reasons") or []:
            start = row["before"].find(reason["was"])
            if start >= 0:
                stop = start + len(reason["was"])
                edits.append(Edit(start, stop, reason["was"], reason["now"], "R:OTHER", reason["reason"]))
        split = "held_out" if number % 10 == 9 else "train"
        after = row.get("after") or row["before"]
        pairs.append(TrainPair(f"p{number}", f"p{number}", "example", row["before"], after, tuple(edits), split=split))
    base = get_settings().base_model_path
    nowhere = Path(tempfile.gettempdir())
    config = TrainConfig.model_validate(
        {
            "train_set": nowhere, "base_model": base, "adapters_dir": nowhere, "checkpoint_dir": nowhere,
            "prompts_dir": PROJECT_ROOT / "prompts", "batch_size": batch_size, "stages": [{"passes": 20}],
        }
    )  # fmt: skip
    data = build_data(pairs, Renderer(load_tokenizer(base), load_prompts(config.prompts_dir)), config)
    full = [batch for batch in data.plan if len(batch.turns) == batch_size][:batches]
    return [[data.turns[i] for i in batch.turns] for batch in full], list(data.held_out)


def prepare() -> tuple[Any, Any]:
    """(adapter around the base model with the seed's initial weights, its config)."""
    import torch

    from correctly_assets.settings import get_settings
    from correctly_assets.training.config import TrainConfig
    from correctly_assets.training.models.load_model import load_base, put_adapter_on

    nowhere = Path(tempfile.gettempdir())
    base = get_settings().base_model_path
    config = TrainConfig.model_validate(
        {
            "train_set": nowhere,
            "base_model": base,
            "adapters_dir": nowhere,
            "checkpoint_dir": nowhere,
            "prompts_dir": nowhere,
        }
    )
    return put_adapter_on(load_base(base, torch.device("cpu")), config), config


def held_out_loss(adapter: Any, turns: list[Any]) -> float:
    from correctly_assets.training.engines.gemma_cpu import FastEngine

    engine = FastEngine(adapter)
    losses = [loss for i in range(0, len(turns), 16) for loss in engine.losses(turns[i : i + 16])]
    return float(sum(loss.sum() for loss in losses)) / sum(len(loss) for loss in losses)


def run_ours(batches: list[list[Any]], held_out: list[Any], engine_name: str) -> dict[str, Any]:
    """Our loop: the trainer's own step, with a constant rate."""
    from correctly_assets.training.config import Stage
    from correctly_assets.training.data import Batch, TrainData
    from correctly_assets.training.engines.choose_engine import make_engine
    from correctly_assets.training.reporter import peak_rss_mb
    from correctly_assets.training.run import keep_freed_memory
    from correctly_assets.training.trainer import Trainer

    keep_freed_memory()
    import torch

    adapter, config = prepare()
    config = config.model_copy(
        update={
            "stages": [Stage(name="all", passes=1, learning_rate=RATE)], "schedule": "constant", "warmup_steps": 0,
            "engine": engine_name, "batch_size": len(batches[0]),
        }
    )  # fmt: skip
    turns = tuple(turn for batch in batches for turn in batch)
    size = len(batches[0])
    plan = tuple(Batch(tuple(range(i * size, (i + 1) * size)), 0) for i in range(len(batches)))
    data = TrainData(turns, tuple(held_out), plan, len(turns), 0, "", "")
    clocks: list[float] = []
    trainer = Trainer(
        config, data, adapter, make_engine(adapter, config, torch.device("cpu")),
        started=time.monotonic(), report=lambda point: clocks.append(point.seconds),
    )  # fmt: skip
    trainer.progress.before = {"all": {"loss": 0.0, "items": 0}}
    trainer.run()
    seconds = [after - before for before, after in zip([0.0, *clocks], clocks, strict=False)]
    peak = peak_rss_mb()
    return {
        "losses": trainer.progress.losses,
        "seconds": seconds,
        "held_out": held_out_loss(adapter, held_out),
        "peak_mb": peak,
    }


def run_trl(batches: list[list[Any]], held_out: list[Any], *, tuned: bool) -> dict[str, Any]:
    """TRL's SFTTrainer with its defaults (``tuned``: without gradient checkpointing), fed the same batches."""
    import logging

    import torch
    from datasets import Dataset  # pyright: ignore[reportMissingImports]
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer  # pyright: ignore[reportMissingImports, reportPrivateImportUsage]

    from correctly_assets.settings import get_settings
    from correctly_assets.training.reporter import peak_rss_mb

    logging.disable(logging.WARNING)
    adapter, _ = prepare()
    initial = {name: tensor.clone() for name, tensor in adapter.tensors().items()}
    base = get_settings().base_model_path
    rows = [
        {"input_ids": list(t.ids), "completion_mask": [0] * t.prompt_length + [1] * t.learned}
        for b in batches
        for t in b
    ]
    seconds: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            seconds.append(time.monotonic())

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            seconds[-1] = time.monotonic() - seconds[-1]

    class InOrder(SFTTrainer):
        def _get_train_sampler(self, *_: Any, **__: Any) -> Any:
            return torch.utils.data.SequentialSampler(self.train_dataset)  # pyright: ignore

    with tempfile.TemporaryDirectory() as out:
        settings: dict[str, Any] = {
            "output_dir": out, "per_device_train_batch_size": len(batches[0]), "num_train_epochs": 1, "learning_rate": RATE,
            "lr_scheduler_type": "constant", "warmup_steps": 0, "logging_steps": 1, "save_strategy": "no", "report_to": "none",
            "use_cpu": True, "completion_only_loss": True, "max_length": 512, "disable_tqdm": True, "seed": 20,
        }  # fmt: skip
        if tuned:
            settings["gradient_checkpointing"] = False
        trainer = InOrder(
            model=AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16),
            args=SFTConfig(**settings),
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(base, eos_token="<eos>", pad_token="<pad>"),
            peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
            callbacks=[Clock()],
        )
        set_peft_model_state_dict(trainer.model, initial)
        trainer.train()
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        peak = peak_rss_mb()
        adapter.load({name: tensor.float() for name, tensor in get_peft_model_state_dict(trainer.model).items()})
    return {"losses": losses, "seconds": seconds, "held_out": held_out_loss(adapter, held_out), "peak_mb": peak}


def matrix_rate() -> float:
    """bf16 GFLOPS of the model's own largest kind of product (1024 × 640 × 4096), best of many: what a step could reach."""
    import torch

    a, b = torch.randn(1024, 2048).bfloat16(), torch.randn(2048, 2048).bfloat16()
    best = float("inf")
    for _ in range(30):
        start = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - start)
    return 2 * 1024 * 2048 * 2048 / best / 1e9


def flops(batches: list[list[Any]]) -> float:
    """Model FLOPs of forward and activation gradient: body on every token that is not a turn's last, head on the learned."""
    body, head = 100_270_080, 262_144 * 640  # Gemma 3 270M's matrices in the layers, and its vocabulary projection
    return sum(4 * body * (turn.length - 1) + 4 * head * turn.learned for batch in batches for turn in batch)


SYSTEMS = ("ours", "ours_plain", "trl", "trl_tuned")


def worker(system: str, batch_size: int, steps: int, out: Path) -> None:
    import torch

    batches, held_out = build_turns(batch_size, steps)
    before = matrix_rate()
    if system.startswith("ours"):
        result = run_ours(batches, held_out, "plain" if system == "ours_plain" else "auto")
    else:
        result = run_trl(batches, held_out, tuned=system == "trl_tuned")
    result |= {
        "gflops": max(before, matrix_rate()),
        "flops": flops(batches[WARM_STEPS:]),
        "tokens": [sum(turn.length for turn in batch) for batch in batches],
        "pairs": [len(batch) for batch in batches],
        "threads": torch.get_num_threads(),
    }
    out.write_text(json.dumps(result))


def start(system: str, batch_size: int, steps: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "out.json"
        command = [sys.executable, "-m", "benchmarks.bench_train", "--worker", system, "--out", str(out)]
        command += ["--batch-size", str(batch_size), "--steps", str(steps)]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"}
        )
        if done.returncode:
            sys.exit(f"{system} failed:\n{done.stderr[-3000:]}")
        return json.loads(out.read_text())


def pairs_a_second(result: dict[str, Any]) -> float:
    return sum(result["pairs"][WARM_STEPS:]) / sum(result["seconds"][WARM_STEPS:])


def spread(values: list[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f} over {len(values)} rounds"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8, help="steps of a timed run, the first two untimed")
    parser.add_argument("--parity-steps", type=int, default=24)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--part", choices=("trl", "growth"), default="trl", help="growth: time and memory over sizes")
    parser.add_argument("--gpu", action="store_true", help="Gemma 3 1B's architecture on a GPU, against stock TRL")
    parser.add_argument("--gpu-batch", type=int, default=256, help="turns in a batch of --gpu")
    parser.add_argument("--no-compile", action="store_true", help="--gpu without torch.compile")
    parser.add_argument("--no-trl", action="store_true", help="--gpu without TRL beside it")
    parser.add_argument("--grid", action="store_true", help="also our speed over batch sizes")
    parser.add_argument("--worker", choices=SYSTEMS, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker, options.batch_size, options.steps, options.out)
        return
    if options.gpu:
        from benchmarks.train_gpu import main as on_gpu

        sys.exit(
            on_gpu(batch=options.gpu_batch, steps=options.steps, compile=not options.no_compile, trl=not options.no_trl)
        )
    if options.part == "growth":
        from benchmarks import train_growth

        cells = train_growth.measure(train_growth.BATCHES, train_growth.LENGTHS, options.steps, small=False)
        train_growth.report(cells, options.steps)
        return
    systems = options.systems.split(",")
    rounds: dict[str, list[dict[str, Any]]] = {system: [] for system in systems}
    parity: dict[str, dict[str, Any]] = {}
    for number in range(options.rounds):
        for system in systems:
            # The first round of the two that are compared is long: it gives the losses as well as a time.
            long = number == 0 and system in ("ours", "trl")
            result = start(system, options.batch_size, options.parity_steps if long else options.steps)
            rounds[system].append(result)
            if long:
                parity[system] = result
            print(f"round {number + 1} {system}: {pairs_a_second(result):.2f} pairs/s", file=sys.stderr, flush=True)
    report(options, systems, rounds, parity)


def report(options: Any, systems: list[str], rounds: dict[str, Any], parity: dict[str, Any]) -> None:
    speed = {system: [pairs_a_second(result) for result in rounds[system]] for system in systems}
    rate = median(result["gflops"] for results in rounds.values() for result in results)
    figures: dict[str, dict[str, Any]] = {}

    def figure(key: str, value: float, unit: str, floor: Any = None, goal: Any = None, better: Any = "higher") -> None:
        figures[key] = made(value, unit, floor=floor, goal=goal, better=better)

    if "trl" in systems and "ours" in systems:
        # Rounds are paired: a neighbour's load falls on both systems of a round.
        figure("ratio_trl", median(o / t for o, t in zip(speed["ours"], speed["trl"], strict=True)), "x", 6, 10)
        if "trl_tuned" in systems:
            figure(
                "ratio_trl_tuned", median(o / t for o, t in zip(speed["ours"], speed["trl_tuned"], strict=True)), "x"
            )
    for system in systems:
        figure(f"{system}_pairs_per_second", median(speed[system]), "pairs/s")
        figures[f"{system}_pairs_per_second"]["spread"] = spread(speed[system])
        figure(f"{system}_peak_mb", median(r["peak_mb"] for r in rounds[system]), "MiB", None, None, "lower")
    if "ours" in systems:
        figures["ours_peak_mb"] |= {"floor": 6144, "goal": 3072}
        shares = [100 * r["flops"] / sum(r["seconds"][WARM_STEPS:]) / 1e9 / r["gflops"] for r in rounds["ours"]]
        figure("share_of_matrix_rate", median(shares), "%", None, 50)
        tokens = [sum(r["tokens"][WARM_STEPS:]) / sum(r["seconds"][WARM_STEPS:]) for r in rounds["ours"]]
        figure("tokens_per_second", median(tokens), "tokens/s")
    figure("matrix_rate", rate, "GFLOPS bf16")
    if len(parity) == 2:
        ours, trl = parity["ours"], parity["trl"]
        apart = [abs(a - b) / b * 100 for a, b in zip(ours["losses"][:20], trl["losses"][:20], strict=True)]
        figure("step_loss_difference_max", max(apart), "%", 1, None, "lower")
        figure("step_loss_difference_mean", sum(apart) / len(apart), "%", 1, None, "lower")
        figure(
            "held_out_difference",
            abs(ours["held_out"] - trl["held_out"]) / trl["held_out"] * 100,
            "%",
            1,
            None,
            "lower",
        )
    if options.grid:
        for size in (4, 8, 32):
            figure(f"ours_pairs_per_second_batch_{size}", pairs_a_second(start("ours", size, options.steps)), "pairs/s")
    write(options.rounds, figures, rounds)


def write(count: int, figures: dict[str, Any], rounds: dict[str, Any]) -> None:
    write_results("train", figures, rounds=count)
    plot(rounds, figures, RESULTS / "train.png")


def plot(rounds: dict[str, Any], figures: dict[str, Any], path: Path) -> None:
    """Pairs a second of every system over the rounds, as dots over bars of the medians."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.2))
    for place, (system, results) in enumerate(rounds.items()):
        values = [pairs_a_second(result) for result in results]
        axes.bar(place, median(values), color="#4c72b0" if system.startswith("ours") else "#bbbbbb")
        axes.plot([place] * len(values), values, "k.", markersize=4)
    axes.set_xticks(range(len(rounds)), [name.replace("_", " ") for name in rounds])
    axes.set_ylabel("pairs a second")
    if "ratio_trl" in figures:
        axes.set_title(f"{figures['ratio_trl']['value']:.1f} times stock TRL")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
