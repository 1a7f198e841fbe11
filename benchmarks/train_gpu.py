"""``python -m benchmarks.bench_train --gpu``: Gemma 3 1B's architecture with random weights on one GPU.

Model FLOPs utilisation, tokens a second, the ratio to stock TRL and peak memory, of the trainer as it is set by default; and
what packing and compiling bring, each by itself, on batches of neighbours in length, as the trainer makes them, and mixed ones. FLOPs are those of `planning.model_flops`:
four for a weight of the layers and token, four for a weight of the vocabulary projection and learned token; padding,
attention's scores, LoRA and recomputation count nothing. The rate they are held against is the card's dense bf16 figure
where it is known, and a measured product beside it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from statistics import median
from typing import Any

from benchmarks.common import figure, write_results
from benchmarks.train_models import batched, gemma_1b, make_turns, mixed, random_model, size_of, time_ours

DENSE_BF16 = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "B200": 2250e12}
"""FLOPs a second by the makers' data sheets, without sparsity (SXM where there are several)."""

WARM = 3
PASSES = 3  # a shape is recorded when it comes again, and lengths come again in every pass of a real run
VARIANTS: dict[str, dict[str, Any]] = {
    "padded": {"pack": False, "compile": False, "graphs": False},
    "packed": {"pack": True, "compile": False, "graphs": False},
    "padded_compiled": {"pack": False, "compile": True, "graphs": False},
    "packed_compiled": {"pack": True, "compile": True, "graphs": False},
}
BATCHES = (16, 64)  # beside the one that is asked for, with TRL beside each
NO_GPU = "There is no GPU here, so that nothing was measured: the share of a GPU's rate and the ratio to TRL on it are still owed."


def flops_of(config: Any, batches: list[list[Any]]) -> float:
    from correctly_assets.training.estimates import model_flops

    return model_flops(size_of(config), [turn for batch in batches for turn in batch])


def peak_rate(name: str) -> float | None:
    """The data sheet's figure for a card; None where it is not known. ``L40S`` is not taken for an ``L4``."""
    words = name.replace("-", " ").split()
    return next((rate for card, rate in DENSE_BF16.items() if card in words), None)


def measure_ours(
    config: Any, batches: list[list[Any]], device: Any, *, pack: Any = "auto", **settings: Any
) -> dict[str, Any]:
    """Our plain engine: seconds a timed step, tokens, model FLOPs, padding and peak memory."""
    import torch

    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        torch.compiler.reset()
    passes = PASSES if device.type == "cuda" else 1
    timed = time_ours(random_model(config, device), batches, warm=WARM, passes=passes, pack=pack, **settings)
    widen = device.type == "cuda" and settings.get("graphs") is not False
    result = _result(config, batches, timed["seconds"], timed["losses"], device, pack=pack, widen=widen)
    return result | {"engine": timed["engine"], "said": timed["said"]}


def variants(batches: list[list[Any]], *, compile: bool) -> Iterator[tuple[str, list[list[Any]], dict[str, Any]]]:
    """Name, batches and settings of what is measured beside the default: each of `VARIANTS`, the compiled ones if wanted, and
    on mixed batches those that are not."""
    for name, settings in VARIANTS.items():
        if compile or not settings["compile"]:
            yield name, batches, settings
        if not settings["compile"]:
            yield f"mixed_{name}", mixed(batches), settings


def _result(
    config: Any, batches: list[list[Any]], seconds: list[float], losses: list[float], device: Any, *, pack: Any = False,
    widen: bool = False,
) -> dict[str, Any]:  # fmt: skip
    import torch

    from correctly_assets.training.engines.cuda_graphs import widened
    from correctly_assets.training.engines.packing import choose_rows, row_width
    from correctly_assets.training.reporter import peak_rss_mb

    counted = [[turn.length for turn in batch] for batch in batches[WARM:]]
    laid = [(lengths, choose_rows(lengths, pack, device.type)) for lengths in counted]
    tokens = sum(map(sum, counted))
    computed = 0
    for lengths, rows in laid:
        width = row_width(lengths, rows)
        alone = len(rows) == len(lengths)
        computed += len(rows) * (widened(len(rows), width, config.sliding_window) if widen and alone else width)
    gpu = device.type == "cuda"
    return {
        "seconds": seconds, "losses": losses, "tokens": tokens, "flops": flops_of(config, batches[WARM:]),
        "padding_percent": 100 * (1 - tokens / computed),
        "packed_percent": 100 * sum(len(rows) < len(lengths) for lengths, rows in laid) / len(laid),
        "peak_mb": torch.cuda.max_memory_allocated() / 2**20 if gpu else peak_rss_mb(),
    }  # fmt: skip


def measure_trl(config: Any, batches: list[list[Any]], device: Any) -> dict[str, Any]:
    """Stock TRL's SFTTrainer on the same model and batches, with its defaults."""
    import tempfile

    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast, TrainerCallback
    from trl import SFTConfig, SFTTrainer  # pyright: ignore[reportPrivateImportUsage]

    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    clocks: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            torch.cuda.synchronize()
            clocks.append(time.perf_counter())

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            torch.cuda.synchronize()
            clocks[-1] = time.perf_counter() - clocks[-1]

    class InOrder(SFTTrainer):
        def _get_train_sampler(self, *_: Any, **__: Any) -> Any:
            return torch.utils.data.SequentialSampler(self.train_dataset)  # pyright: ignore

    words = Tokenizer(models.WordLevel({"<pad>": 0, "<eos>": 1, "<unk>": 2}, unk_token="<unk>"))
    rows = [
        {"input_ids": list(t.ids), "completion_mask": [0] * t.prompt_length + [1] * t.learned}
        for b in batches
        for t in b
    ]
    with tempfile.TemporaryDirectory() as out:
        trainer = InOrder(
            model=random_model(config, device),
            args=SFTConfig(
                output_dir=out, per_device_train_batch_size=len(batches[0]), num_train_epochs=1, learning_rate=2e-5,
                lr_scheduler_type="constant", warmup_steps=0, logging_steps=1, save_strategy="no", report_to="none",
                completion_only_loss=True, max_length=512, disable_tqdm=True, bf16=True,
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<eos>", pad_token="<pad>"),
            peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
            callbacks=[Clock()],
        )  # fmt: skip
        trainer.train()
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return _result(config, batches, clocks[WARM:], losses, device)


def summarise(ours: dict[str, Any], rate: float, measured: float, trl: dict[str, Any] | None = None) -> dict[str, Any]:
    """The figures of one run: ``rate`` is what utilisation is counted against, ``measured`` the product beside it."""
    spent = sum(ours["seconds"])
    figures = {
        "mfu": figure(100 * ours["flops"] / spent / rate, "%", goal=45, better="higher"),
        "share_of_measured_rate": figure(100 * ours["flops"] / spent / measured, "%", better="higher"),
        "tokens_per_second": figure(ours["tokens"] / spent, "tokens/s", better="higher"),
        "seconds_per_step": figure(median(ours["seconds"]), "s"),
        "padding": figure(ours["padding_percent"], "%"),
        "packed_batches": figure(ours["packed_percent"], "%"),
        "peak_mb": figure(ours["peak_mb"], "MiB"),
        "matrix_rate": figure(measured / 1e12, "TFLOPS bf16", better="higher"),
    }
    if trl is not None:
        figures["ratio_trl_gpu"] = figure(sum(trl["seconds"]) / spent, "x", goal=1.5, better="higher")
        figures["trl_peak_mb"] = figure(trl["peak_mb"], "MiB")
    return figures


def summarise_variants(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Speed, padding and memory of each variant, and how far the packed ones' step losses are from the padded ones'."""
    figures: dict[str, Any] = {}
    for name, result in found.items():
        speed = result["tokens"] / sum(result["seconds"])
        figures[f"{name}_tokens_per_second"] = figure(speed, "tokens/s", better="higher")
        figures[f"{name}_padding"] = figure(result["padding_percent"], "%")
        figures[f"{name}_peak_mb"] = figure(result["peak_mb"], "MiB", better="lower")
    for prefix in ("", "mixed_"):
        if {f"{prefix}packed", f"{prefix}padded"} <= found.keys():
            pairs = zip(found[f"{prefix}packed"]["losses"], found[f"{prefix}padded"]["losses"], strict=True)
            apart = max(100 * abs(packed - padded) / padded for packed, padded in pairs)
            figures[f"{prefix}packed_loss_difference_max"] = figure(apart, "%", floor=1, better="lower")
    return figures


def main(*, batch: int, steps: int, compile: bool, trl: bool) -> int:
    """Measure and write ``results/train_gpu.json``; 1, and one sentence, where there is no GPU."""
    import torch

    from correctly_assets.training.estimates import matrix_rate

    if not torch.cuda.is_available():
        print(NO_GPU, file=sys.stderr)
        return 1
    device, config = torch.device("cuda"), gemma_1b()
    name, measured = torch.cuda.get_device_name(), max(matrix_rate(device="cuda") for _ in range(3))
    rate = peak_rate(name) or measured
    setting = "auto" if compile else False
    said: dict[str, list[str]] = {}
    figures: dict[str, Any] = {}

    def write() -> None:
        # After every part: a machine that is lent for minutes may be gone before the last. An attempt to compile or to record
        # that failed is no figure of it, which is why what was said is kept.
        write_results(
            "train_gpu", figures, rounds=1, gpu=name, batch=batch, counted_against=peak_rate(name),
            torch=torch.__version__, said=said,
        )  # fmt: skip

    made = {
        size: batched(make_turns(size * (steps + WARM), 32, 96, config.vocab_size), size)
        for size in dict.fromkeys((batch, *BATCHES))
    }
    for size, batches in made.items():
        ours = measure_ours(config, batches, device, compile=setting)
        found = summarise(ours, rate, measured, measure_trl(config, batches, device) if trl else None)
        # The goals are those of full batches; what a small one cannot fill a card with is told beside them.
        figures |= found if size == batch else {f"{k}_batch_{size}": v | {"goal": None} for k, v in found.items()}
        said[f"batch_{size}"] = ours["said"]
        write()
    beside: dict[str, dict[str, Any]] = {}
    for variant, batches, settings in variants(made[batch], compile=compile):
        beside[variant] = measure_ours(config, batches, device, **settings)
        figures |= summarise_variants(beside)
        said[variant] = beside[variant]["said"]
        write()
    return 0
