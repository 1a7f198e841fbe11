"""What the training benchmarks share: models of random weights, turns of given lengths, and a timed loop over our step.

Belongs here: building and timing. Does not belong here: which sizes are measured (train_growth.py, train_gpu.py).
"""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path
from typing import Any

VOCABULARY = 262_144


def gemma_1b(**changes: Any) -> Any:
    """The configuration of Gemma 3 1B; speed does not depend on what the weights are."""
    from transformers import Gemma3TextConfig

    layers = int(changes.get("num_hidden_layers", 26))
    values: dict[str, Any] = {
        "vocab_size": VOCABULARY, "hidden_size": 1152, "intermediate_size": 6912, "num_hidden_layers": layers,
        "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256, "query_pre_attn_scalar": 256,
        "sliding_window": 512, "max_position_embeddings": 32_768,
        "layer_types": ["full_attention" if (i + 1) % 6 == 0 else "sliding_attention" for i in range(layers)],
        "attn_implementation": "sdpa",
    }  # fmt: skip
    return Gemma3TextConfig(**{**values, **changes})


def tiny() -> Any:
    """The same architecture at a size that a test can afford."""
    return gemma_1b(
        vocab_size=128, hidden_size=32, intermediate_size=48, num_hidden_layers=6, head_dim=16, query_pre_attn_scalar=16
    )


def random_model(config: Any, device: Any) -> Any:
    """A frozen bf16 model of random weights on a device."""
    import torch
    from transformers import Gemma3ForCausalLM

    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            model = Gemma3ForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    return model.eval()


def size_of(config: Any) -> tuple[int, int]:
    """(weights in the layers' matrices, weights in the vocabulary projection), as training/estimates.py counts them."""
    head = config.head_dim * (2 * config.num_attention_heads + 2 * config.num_key_value_heads)
    layer = config.hidden_size * head + 3 * config.hidden_size * config.intermediate_size
    return layer * config.num_hidden_layers, config.hidden_size * config.vocab_size


def make_turns(count: int, shortest: int, longest: int, vocabulary: int, *, learned: float = 1 / 3) -> list[Any]:
    """Turns of random tokens with lengths spread evenly, of which a share is learned; sorted by length, as batches are."""
    from correctly_assets.training.rendering import Turn

    rng = random.Random(7)
    turns: list[Any] = []
    for number in range(count):
        length = rng.randint(shortest, longest)
        ids = tuple(rng.randrange(4, vocabulary) for _ in range(length))
        turns.append(Turn(f"p{number}", "example", "correct", ids, length - max(1, round(length * learned))))
    return sorted(turns, key=lambda turn: turn.length)


def batched(turns: list[Any], size: int) -> list[list[Any]]:
    """Full batches of neighbours in length, in a fixed random order."""
    groups = [turns[i : i + size] for i in range(0, len(turns) - size + 1, size)]
    random.Random(8).shuffle(groups)
    return groups


def run_config(**changes: Any) -> Any:
    from correctly_assets.training.config import TrainConfig

    nowhere = Path(tempfile.gettempdir())
    places = {"train_set": nowhere, "base_model": "random", "adapters_dir": nowhere, "checkpoint_dir": nowhere}
    return TrainConfig.model_validate({**places, "prompts_dir": nowhere, **changes})


def mixed(batches: list[list[Any]]) -> list[list[Any]]:
    """The same turns in as large batches of any length beside any other."""
    turns = [turn for batch in batches for turn in batch]
    random.Random(9).shuffle(turns)
    return [turns[i : i + len(batches[0])] for i in range(0, len(turns), len(batches[0]))]


def time_ours(model: Any, batches: list[list[Any]], *, warm: int, passes: int = 1, **settings: Any) -> dict[str, Any]:
    """Our step over batches: forward, backward, clip, AdamW.

    Only the last of the passes is timed, without its first ``warm`` steps; the losses are the first pass's. ``settings`` are
    the run's (compile, pack, graphs); ``said`` is what the engine had to say of them.
    """
    import torch

    from correctly_assets.training.engines.choose_engine import make_engine
    from correctly_assets.training.models.load_model import put_adapter_on

    config = run_config(**settings)
    said: list[str] = []
    adapter = put_adapter_on(model, config)
    device = adapter.masters[0].device
    engine = make_engine(adapter, config, device, say=said.append)
    optimiser = torch.optim.AdamW(adapter.masters, lr=2e-5, fused=True)
    seconds: list[float] = []
    losses: list[float] = []
    for batch in batches * passes:
        clock = time.perf_counter()
        losses.append(engine.train(batch))
        adapter.pull_gradients()
        torch.nn.utils.clip_grad_norm_(adapter.masters, config.clip_norm)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        adapter.push()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - clock)
    return {
        "engine": engine.name,
        "losses": losses[: len(batches)],
        "seconds": seconds[-len(batches) :][warm:],
        "said": said,
    }
