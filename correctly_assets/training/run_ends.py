"""How a run ends without an adapter: stopped, or out of memory.

Belongs here: what both the trainer and the process around it name, which knows nothing of torch. Does not belong here: noticing
it (trainer.py, engines/torch_errors.py), or the exit code (run.py).
"""

from __future__ import annotations

from correctly_assets.core.errors import PermanentError
from correctly_assets.training.config import TrainConfig


class Interrupted(Exception):
    """A signal asked the run to stop; its checkpoint is written."""


def out_of_memory(config: TrainConfig) -> PermanentError:
    """The error for a run that ran out of memory, with the setting to lower."""
    return PermanentError(
        f"Training ran out of memory. Lower CORRECTLY_TRAIN_BATCH_SIZE (now {config.batch_size}) or stop other "
        "programs; the same settings would fail again.",
        code="out_of_memory",
    )
