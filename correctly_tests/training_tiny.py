"""A whole tiny base model on disk, and runs over it: what the training tests share.

Belongs here: builders. Does not belong here: assertions.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from correctly_assets.core.prompts import load_prompts
from correctly_assets.settings import PROJECT_ROOT
from correctly_assets.training.config import Lora, Stage, TrainConfig
from correctly_assets.training.data import build_data, read_pairs
from correctly_assets.training.engines.choose_engine import make_engine
from correctly_assets.training.models.load_model import load_base, put_adapter_on
from correctly_assets.training.models.lora_model import Adapter
from correctly_assets.training.rendering import Renderer, Turn, load_tokenizer
from correctly_assets.training.trainer import Trainer

VOCABULARY = 97
QUICK_RUN = {
    "TRIM_VOCABULARY": "false",
    "TRAIN_PAIRS": "40",
    "TRAIN_MINUTES": "1",
    "TRAIN_STAGES": '[{"name": "all", "passes": 6}]',
    "LORA_RANK": "8",
    "EVALUATION_LIMIT": "40",
    "RETRAIN_QUIET_SECONDS": "0",
}
"""Settings, without their prefix, by which a run over a tiny model takes seconds. The state of 0.1.0 was made with them."""
PAIRS = (
    ("He go to school.", "He goes to school.", "go", "goes"),
    ("I am agree with you.", "I agree with you.", "am agree", "agree"),
    ("She have two cat.", "She has two cats.", "have two cat", "has two cats"),
    ("We discussed about it.", "We discussed it.", "discussed about", "discussed"),
    ("They is late today.", "They are late today.", "is", "are"),
    ("It depend of you.", "It depends on you.", "depend of", "depends on"),
)
SPECIALS = {
    "gemma3": ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"],
    "chatml": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    "llama3": ["<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"],
}
BOS = {"gemma3": "<bos>", "chatml": None, "llama3": "<|begin_of_text|>"}


def tokenizer(family: str) -> Any:
    """A byte-level tokenizer with the family's special tokens, and its BOS put in front as the real one does."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    specials = SPECIALS[family]
    vocabulary = {token: number for number, token in enumerate([*specials, *alphabet])}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in specials])
    bos = BOS[family]
    if bos is not None:
        inner.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, vocabulary[bos])], pair=None
        )
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token=bos)


def gemma_config(**changes: Any) -> Any:
    from transformers import Gemma3TextConfig

    values: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 24,
        "intermediate_size": 40,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "sliding_window": 512,
        "query_pre_attn_scalar": 16,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        "attn_implementation": "sdpa",
    }
    return Gemma3TextConfig(**{**values, **changes})


def tiny_adapter(**changes: Any) -> Adapter:
    """A random float32 Gemma 3 with a LoRA adapter whose B matrices are random too, so that every gradient flows."""
    from transformers import Gemma3ForCausalLM

    torch.manual_seed(3)
    model = Gemma3ForCausalLM(gemma_config(**changes)).float().eval()
    for name, parameter in model.named_parameters():
        parameter.data.normal_(std=0.3 if "norm" in name else 0.2)
    adapter = put_adapter_on(model, train_config(Path("/nowhere")))
    for master in adapter.masters:
        master.data.normal_(std=0.1)
    adapter.push()
    return adapter


def train_config(directory: Path, **changes: Any) -> TrainConfig:
    values: dict[str, Any] = {
        "train_set": directory / "train_set",
        "base_model": str(directory / "base"),
        "adapters_dir": directory / "adapters",
        "checkpoint_dir": directory / "checkpoint",
        "prompts_dir": PROJECT_ROOT / "prompts",
        "lora": Lora(rank=8, alpha=16, dropout=0),
        "batch_size": 4,
        "max_length": 256,
        "threads": 1,
    }
    return TrainConfig(**{**values, **changes})


def run_config(home: Path, place: Path, **changes: Any) -> TrainConfig:
    """A run over the base model and train set of ``home`` in two stages, that writes below ``place``."""
    stages = [
        Stage(name="one", passes=3, learning_rate=3e-3),
        Stage(name="two", mix={"bait": 2}, passes=1, learning_rate=1e-3),
    ]
    places = {"adapters_dir": place / "adapters", "checkpoint_dir": place / "checkpoint", "stages": stages}
    return train_config(home, **{**places, **changes})


def trainer_for(
    config: TrainConfig, stop: Callable[[], bool] = lambda: False, say: Any = lambda _: None, device: str = "cpu"
) -> Trainer:
    renderer = Renderer(load_tokenizer(config.base_model), load_prompts(config.prompts_dir, config.chat_family))
    data = build_data(read_pairs(config.train_set), renderer, config)
    torch.set_num_threads(1)
    adapter = put_adapter_on(load_base(config.base_model, torch.device(device)), config)
    engine = make_engine(adapter, config, torch.device(device))
    return Trainer(config, data, adapter, engine, started=time.monotonic(), stop=stop, say=say)


def turns(count: int = 6, *, longest: int = 14) -> list[Turn]:
    """Turns that share a prefix of four tokens; the last two are equal throughout."""
    rng = random.Random(1)
    made: list[Turn] = []
    for number in range(count):
        prompt = [2, 5, 6, 7] + [rng.randrange(3, VOCABULARY) for _ in range(rng.randint(1, longest))]
        answer = [rng.randrange(3, VOCABULARY) for _ in range(rng.randint(1, longest))] + [1]
        made.append(Turn(f"p{number}", "example", "correct", tuple(prompt + answer), len(prompt)))
    return [*made, made[-1]]


def write_train_set(directory: Path, count: int = 24) -> Path:
    """``directory/train_set/pairs.parquet`` with ``count`` pairs of four origins, every sixth held out."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    rows: list[dict[str, Any]] = []
    for number in range(count):
        before, after, was, now = PAIRS[number % len(PAIRS)]
        before, after = f"{number}: {before}", f"{number}: {after}"
        start = before.index(was)
        edit = {
            "start": start,
            "end": start + len(was),
            "was": was,
            "now": now,
            "type": "R:OTHER",
            "reason": f"It is {now}.",
        }
        bait = number % 5 == 4
        rows.append(
            {
                "id": f"p{number}",
                "example_id": f"e{number}",
                "origin": "bait" if bait else ("human", "example", "injected")[number % 3],
                "before": after if bait else before,
                "after": after,
                "edits": json.dumps([] if bait else [edit]),
                "weight": 1,
                "split": "held_out" if number % 6 == 5 else "train",
                "language": "en",
                "form": "message",
            }
        )
    target = directory / "train_set"
    target.mkdir(parents=True, exist_ok=True)
    parquet.write_table(arrow.Table.from_pylist(rows), target / "pairs.parquet")
    return target


def write_base_model(directory: Path) -> Path:
    """``directory/base``: a random bf16 Gemma 3 with its tokenizer, as `training.base_model` leaves the real one."""
    from transformers import Gemma3ForCausalLM

    target = directory / "base"
    words = tokenizer("gemma3")
    torch.manual_seed(5)
    model = Gemma3ForCausalLM(gemma_config(vocab_size=len(words), initializer_range=0.1))
    model.to(torch.bfloat16).save_pretrained(target)  # pyright: ignore[reportArgumentType]
    words.save_pretrained(target)
    (target / "correctly_base.json").write_text(json.dumps({"name": "tiny", "revision": "r1", "licence": "none"}))
    return target


def start_training(config: TrainConfig, directory: Path) -> subprocess.Popen[str]:
    """``python -m correctly_assets.training`` on the config, as Dagster or a person would start it."""
    file = directory / "config.json"
    file.write_text(config.model_dump_json())
    return subprocess.Popen(
        [sys.executable, "-m", "correctly_assets.training", str(file)],
        cwd=PROJECT_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
