"""What a run will take on this machine, said before it starts; and smaller train sets for a learning curve.

Belongs here: counting, and one short measurement of the machine. Does not belong here: training.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from correctly_assets.core.errors import UsageError
from correctly_assets.core.prompts import load_prompts
from correctly_assets.core.text import text_sha
from correctly_assets.core.types import TrainPair

from .config import TrainConfig
from .data import TrainData, build_data, read_pairs
from .rendering import Renderer, load_tokenizer, total_tokens

_SHARE_OF_RATE = 0.5
"""The part of the bf16 matrix rate that a step reaches (benchmarks/train_notes.md)."""

_FIXED_SECONDS = 25.0
"""Loading libraries and the base model, the canary and writing."""

_FIXED_BYTES = 0.9e9


@dataclass(frozen=True, slots=True)
class TrainPlan:
    """What a run will take.

    Attributes:
        pairs, turns: in the train set; turns count each once.
        tokens: over all steps.
        steps: as planned, or as the time budget will leave.
        minutes: wall-clock time of the whole process; never above ``max_minutes``.
        gigabytes: peak memory, 10⁹ bytes.
        limited: whether the time budget will cut the plan.
    """

    pairs: int
    turns: int
    tokens: int
    steps: int
    minutes: float
    gigabytes: float
    limited: bool

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def plan_training(config: TrainConfig) -> TrainPlan:
    """Estimate a run, from its tokens and a half-second measurement of this machine's bf16 matrix rate.

    Raises:
        UsageError, PermanentError: as training itself would, for a train set or base model that cannot be used.
    """
    renderer = Renderer(load_tokenizer(config.base_model), load_prompts(config.prompts_dir, config.chat_family))
    data = build_data(read_pairs(config.train_set), renderer, config)
    return estimate(config, data, matrix_rate(config.threads))


def estimate(config: TrainConfig, data: TrainData, rate: float) -> TrainPlan:
    """The plan's arithmetic, for a machine of ``rate`` FLOPs a second."""
    body, head = model_size(Path(config.base_model))
    seen = [data.turns[i] for batch in data.plan for i in batch.turns]
    learned = sum(turn.learned for turn in seen)
    tokens = total_tokens(seen)
    effective = rate * _SHARE_OF_RATE
    seconds = (4 * body * tokens + 4 * head * learned) / effective
    # Held-out turns are computed twice, forward only; so are the canaries, which the fixed part holds.
    held = 2 * sum(2 * body * turn.length + 2 * head * turn.learned for turn in data.held_out) / effective
    total = seconds + held + _FIXED_SECONDS
    limit = config.max_minutes * 60 if config.max_minutes else total
    limited = total > limit
    steps = len(data.plan)
    if limited:
        steps = max(1, round(steps * max(0.0, limit - held - _FIXED_SECONDS) / seconds))
    largest = max(sum(data.turns[i].length for i in batch.turns) for batch in data.plan)
    # Weights once as mapped and once as loaded; a token's kept activations are some 60 widths a layer.
    memory = _FIXED_BYTES + 4 * (body + head) + 160 * 2**20 + largest * _activation_bytes(Path(config.base_model))
    return TrainPlan(
        data.pairs, len(data.turns), tokens, steps, round(min(total, limit) / 60, 2), round(memory / 1e9, 2), limited
    )


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


def matrix_rate(threads: int | None = None) -> float:
    """bf16 FLOPs a second of a matrix product, best of a few."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        a, b = torch.randn(1024, 2048).bfloat16(), torch.randn(2048, 2048).bfloat16()
        best = float("inf")
        for _ in range(12):
            start = time.perf_counter()
            torch.mm(a, b)
            best = min(best, time.perf_counter() - start)
    finally:
        torch.set_num_threads(before)
    return 2 * 1024 * 2048 * 2048 / best


def write_part(train_set: Path, target: Path, percent: float) -> tuple[int, int]:
    """Write the part of a train set that `part_of` chooses, every column as it is.

    Returns:
        (pairs to train on, examples they come from).

    Raises:
        UsageError: the train set cannot be read, or nothing to train on is left.
    """
    import pyarrow.parquet as parquet

    kept = part_of(read_pairs(train_set), percent)
    training = [pair for pair in kept if pair.split == "train"]
    if not training:
        raise UsageError(f"{percent:g} % of this train set leaves nothing to train on; ask for a larger part.")
    names = {pair.id for pair in kept}
    table = parquet.read_table(train_set)
    target.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table.filter([str(name) in names for name in table["id"].to_pylist()]), target)
    return len(training), len({pair.example_id for pair in training})


def held_out_size(config: TrainConfig) -> tuple[int, int]:
    """(tokens, characters) of the held-out answers, so that models with other tokenizers can be compared.

    Raises:
        UsageError, PermanentError: as training itself would.
    """
    renderer = Renderer(load_tokenizer(config.base_model), load_prompts(config.prompts_dir, config.chat_family))
    turns = build_data(read_pairs(config.train_set), renderer, config).held_out
    # Without the end token, which is no character; its cost is part of the loss all the same, for every model.
    characters = sum(len(renderer.tokenizer.decode(list(t.ids[t.prompt_length : -1]))) for t in turns)
    return sum(turn.learned for turn in turns), characters


def part_of(pairs: list[TrainPair], percent: float) -> list[TrainPair]:
    """The part of a train set for one point of a learning curve: ``percent`` of the examples, chosen by hash.

    Held-out pairs stay, so that every point is measured on the same; parts are nested.
    """
    return [p for p in pairs if p.split == "held_out" or int(text_sha(p.example_id)[:8], 16) % 10000 < percent * 100]
