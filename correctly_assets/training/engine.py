"""Which engine computes a run.

Belongs here: the choice. Does not belong here: the engines (model.py, fast.py).
"""

from __future__ import annotations

import torch

from .config import TrainConfig
from .model import Adapter, Engine, PlainEngine


def make_engine(adapter: Adapter, config: TrainConfig, device: torch.device) -> Engine:
    """The fastest engine that fits the model, the settings and the device."""
    return PlainEngine(adapter, device)
