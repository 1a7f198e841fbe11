"""Which engine computes a run.

Belongs here: the choice. Does not belong here: the engines (model.py, fast.py).
"""

from __future__ import annotations

import torch

from correctly_assets.core.errors import PermanentError

from .config import TrainConfig
from .fast import FastEngine
from .model import Adapter, Engine, PlainEngine


def make_engine(adapter: Adapter, config: TrainConfig, device: torch.device) -> Engine:
    """The fastest engine that fits the model, the settings and the device.

    Raises:
        PermanentError: the fast engine is asked for and does not fit.
    """
    if config.engine != "plain" and FastEngine.fits(adapter, config.lora.dropout):
        return FastEngine(adapter)
    if config.engine == "fast":
        raise PermanentError("The fast engine computes Gemma 3 on a CPU without dropout only; set engine to auto.")
    return PlainEngine(adapter, device)
