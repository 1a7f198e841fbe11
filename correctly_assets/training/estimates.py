"""What a run will take on this machine, said before it starts and held against what it took; and parts of train sets.

Belongs here: counting, one short measurement of the machine, and what earlier runs here have taught. Does not belong
here: training.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as parquet

from correctly_assets.core.errors import UsageError
from correctly_assets.core.prompts import load_prompts
from correctly_assets.core.text import text_sha
from correctly_assets.core.types import TrainPair
from correctly_assets.training.config import TrainConfig
from correctly_assets.training.data import TrainData, build_data, completions, read_pairs
from correctly_assets.training.rendering import Renderer, Turn, load_tokenizer, total_tokens
from correctly_assets.training.run_history import Experience, PlanBasis, TrainPlan, learned

_FIXED_BYTES = 2.1e9
"""Beside weights and activations: the libraries, the ledger's client and the held-out measure. With 0.9 GB, whole runs of Gemma
3 270M and of SmolLM2-135M took 4.5 and 4.1 GB where 3.2 and 3.1 were promised."""


def plan_training(config: TrainConfig) -> TrainPlan:
    """Estimate a run, from its tokens, a half-second measurement of this machine's bf16 matrix rate, and earlier runs.

    Raises:
        UsageError, PermanentError: as training itself would, for a train set or base model that cannot be used.
    """
    renderer = Renderer(load_tokenizer(config.base_model), load_prompts(config.prompts_dir, config.chat_family))
    return plan_for(config, build_data(read_pairs(config.train_set), renderer, config))


def plan_for(config: TrainConfig, data: TrainData) -> TrainPlan:
    """`plan_training` for data that is built already."""
    from correctly_assets.training.engines.choose_engine import expected_engine
    from correctly_assets.training.models.lora_model import choose_device

    device = choose_device(config.device).type
    known = learned(config.adapters_dir, base_model=config.base_model, engine=expected_engine(config), device=device)
    return estimate(config, data, matrix_rate(config.threads, device), known)


def estimate(config: TrainConfig, data: TrainData, rate: float, known: Experience | None = None) -> TrainPlan:
    """The plan's arithmetic, for a machine of ``rate`` FLOPs a second."""
    known = known or Experience()
    seen = [data.turns[i] for batch in data.plan for i in batch.turns]
    tokens = total_tokens(seen)
    size = model_size(Path(config.base_model))
    work = model_flops(size, seen)
    # Held-out turns are computed twice, forward only: half of a training step's work each.
    held = model_flops(size, data.held_out)
    effective = rate * known.share
    total = (work + held) / effective + known.fixed_seconds
    limit = config.max_minutes * 60 if config.max_minutes else total
    limited = total > limit
    steps = len(data.plan)
    if limited:
        left = limit - held / effective - known.fixed_seconds
        steps = max(1, round(steps * max(0.0, left) * effective / work))
        tokens = round(tokens * steps / len(data.plan))
    memory = raw_memory(config, data) * known.memory
    basis = PlanBasis(round(rate / 1e9, 1), held, raw_memory(config, data) / 1e9)
    return TrainPlan(
        data.pairs, len(data.turns), tokens, steps, round(min(total, limit) / 60, 2), round(memory / 1e9, 2), limited,
        known.runs, basis,
    )  # fmt: skip


def raw_memory(config: TrainConfig, data: TrainData) -> float:
    """Peak memory in bytes before anything was learned of this machine."""
    body, head = model_size(Path(config.base_model))
    largest = max(sum(data.turns[i].length for i in batch.turns) for batch in data.plan)
    # Weights once as mapped and once as loaded; a token's kept activations are some 60 widths a layer.
    return _FIXED_BYTES + 4 * (body + head) + 160 * 2**20 + largest * _activation_bytes(Path(config.base_model))


def model_flops(size: tuple[int, int], turns: Sequence[Turn]) -> float:
    """Model FLOPs of forward and activation gradient over turns.

    Two for a weight and token in the forward pass (a product and a sum), two in the gradient of the activations; the
    base model's weights have no gradient of their own. The layers' matrices count on every token, the vocabulary
    projection on learned ones only. Attention's scores, LoRA's products and norms are left out: at these lengths they are
    a few per cent, so that a share of the machine's rate made from this number is slightly too low, never too high.
    """
    body, head = size
    return float(sum(4 * body * turn.length + 4 * head * turn.learned for turn in turns))


def model_size(base_model: Path) -> tuple[int, int]:
    """(weights in the layers' matrices, weights in the vocabulary projection), from the directory's config."""
    config = json.loads((base_model / "config.json").read_text(encoding="utf-8"))
    width, inner = config["hidden_size"], config["intermediate_size"]
    head = config.get("head_dim") or width // config["num_attention_heads"]
    heads = 2 * config["num_attention_heads"] + 2 * config.get("num_key_value_heads", config["num_attention_heads"])
    layer = width * head * heads + 3 * width * inner
    return layer * config["num_hidden_layers"], width * config["vocab_size"]


def _activation_bytes(base_model: Path) -> int:
    config = json.loads((base_model / "config.json").read_text(encoding="utf-8"))
    return 2 * config["num_hidden_layers"] * (20 * config["hidden_size"] + 6 * config["intermediate_size"])


def matrix_rate(threads: int | None = None, device: str = "cpu") -> float:
    """bf16 FLOPs a second of a matrix product on a device, best of a few."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    rows, width = (1024, 2048) if device == "cpu" else (8192, 8192)
    try:
        a = torch.randn(rows, width, device=device).bfloat16()
        b = torch.randn(width, width, device=device).bfloat16()
        best = float("inf")
        for _ in range(12):
            start = time.perf_counter()
            torch.mm(a, b)
            if device != "cpu":
                torch.cuda.synchronize()
            best = min(best, time.perf_counter() - start)
    finally:
        torch.set_num_threads(before)
    return 2 * rows * width * width / best


def write_part(train_set: Path, target: Path, percent: float) -> tuple[int, int]:
    """Write the part of a train set that `part_of` chooses, every column as it is.

    Returns:
        (pairs to train on, examples they come from).

    Raises:
        UsageError: the train set cannot be read, or nothing to train on is left.
    """
    kept = part_of(read_pairs(train_set), percent)
    training = [pair for pair in kept if pair.split == "train"]
    if not training:
        raise UsageError(f"{percent:g} % of this train set leaves nothing to train on; ask for a larger part.")
    names = {pair.id for pair in kept}
    table = parquet.read_table(train_set)
    target.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table.filter([str(name) in names for name in table["id"].to_pylist()]), target)
    return len(training), len({pair.example_id for pair in training})


def held_out_size(config: TrainConfig) -> tuple[int, int, int]:
    """(tokens, characters, UTF-8 bytes) of the held-out answers, so that models with other tokenizers can be compared.

    Characters and bytes are counted on the texts, not on what a tokenizer decodes to, and are thus the same for every
    model. The end token is no character; its cost is part of the loss all the same, for every model.

    Raises:
        UsageError, PermanentError: as training itself would.
    """
    renderer = Renderer(load_tokenizer(config.base_model), load_prompts(config.prompts_dir, config.chat_family))
    pairs = read_pairs(config.train_set)
    turns = build_data(pairs, renderer, config).held_out
    answers = {pair.id: completions(pair, config) for pair in pairs if pair.split == "held_out"}
    texts = [answers[turn.pair_id].pop(0) for turn in turns]
    return sum(t.learned for t in turns), sum(map(len, texts)), sum(len(text.encode()) for text in texts)


def held_out_fitting(config: TrainConfig) -> set[str]:
    """The held-out pairs all of whose turns are short enough for this model's tokenizer.

    A tokenizer that cuts finer would otherwise lose long pairs that another model is measured on.
    """
    renderer = Renderer(load_tokenizer(config.base_model), load_prompts(config.prompts_dir, config.chat_family))
    fitting: set[str] = set()
    for pair in read_pairs(config.train_set):
        if pair.split == "held_out":
            turns = (renderer.correct_turn(pair), *renderer.explain_turns(pair, config.max_explain_per_pair))
            if all(turn.length <= config.max_length for turn in turns):
                fitting.add(pair.id)
    return fitting


def write_comparable(train_set: Path, target: Path, held_out: set[str]) -> None:
    """Write a train set with only these of its held-out pairs, every column as it is."""
    drop = {pair.id for pair in read_pairs(train_set) if pair.split == "held_out" and pair.id not in held_out}
    table = parquet.read_table(train_set)
    target.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table.filter([str(name) not in drop for name in table["id"].to_pylist()]), target)


def part_of(pairs: list[TrainPair], percent: float) -> list[TrainPair]:
    """The part of a train set for one point of a learning curve: ``percent`` of the examples, chosen by hash.

    Held-out pairs stay, so that every point is measured on the same; parts are nested.
    """
    return [p for p in pairs if p.split == "held_out" or int(text_sha(p.example_id)[:8], 16) % 10000 < percent * 100]
