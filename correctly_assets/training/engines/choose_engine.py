"""Which engine computes a run, and which one will, told without loading a model.

Belongs here: the choice. Does not belong here: the engines (model.py, fast.py).
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch

from correctly_assets.core.errors import PermanentError
from correctly_assets.training.config import TrainConfig
from correctly_assets.training.engines.gemma_cpu import FastEngine
from correctly_assets.training.engines.hf_model import PlainEngine
from correctly_assets.training.models.lora_model import Adapter, Engine, choose_device


def expected_engine(config: TrainConfig) -> str:
    """The engine that `make_engine` will most likely choose, from the base model's config alone."""
    try:
        kind = json.loads((Path(config.base_model) / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError):
        kind = None
    fits = kind == "gemma3_text" and not config.lora.dropout and choose_device(config.device).type == "cpu"
    return "fast" if fits and config.engine != "plain" and config.lora.targets == "all-linear" else "plain"


def wants_compile(setting: Literal["auto"] | bool, device: str, *, toolchain: bool) -> bool:
    """Whether the plain engine's layers are compiled: as set, else on a GPU that has what compiling needs."""
    return (device == "cuda" and toolchain) if setting == "auto" else setting


def has_toolchain() -> bool:
    """Whether Triton is installed, which inductor needs on a GPU."""
    return importlib.util.find_spec("triton") is not None


def make_engine(
    adapter: Adapter, config: TrainConfig, device: torch.device, say: Callable[[str], None] = lambda _: None
) -> Engine:
    """The fastest engine that fits the model, the settings and the device.

    Args:
        say: takes one line for the log, should compiling, packing or recording not work with this model.

    Raises:
        PermanentError: the fast engine is asked for and does not fit, or graphs are and there is no GPU.
    """
    if config.engine != "plain" and FastEngine.fits(adapter, config.lora.dropout):
        return FastEngine(adapter)
    if config.engine == "fast":
        raise PermanentError("The fast engine computes Gemma 3 on a CPU without dropout only; set engine to auto.")
    compiled = wants_compile(config.compile, device.type, toolchain=has_toolchain())
    gpu = device.type == "cuda"
    graphs = gpu if config.graphs == "auto" else config.graphs
    if graphs and not gpu:
        raise PermanentError("CUDA graphs need a GPU; set graphs to auto or false.")
    return PlainEngine(adapter, device, compiled=compiled, pack=config.pack, joined=gpu, graphs=graphs, say=say)
