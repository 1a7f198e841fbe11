"""What torch's exceptions mean, where their types alone do not say it.

Belongs here: telling one cause from another, and its first line. Does not belong here: what is done about it (model.py, trainer.py).
"""

from __future__ import annotations

import torch


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch says that memory ran out: on a CPU it has no type of its own."""
    text = str(error)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text)
    )


def is_failed_compile(error: BaseException) -> bool:
    """Whether torch could not compile, for another reason than that memory ran out."""
    compiler = ("torch._dynamo.", "torch._inductor.")
    return not is_out_of_memory(error) and any(kind.__module__.startswith(compiler) for kind in type(error).__mro__)


def first_line(error: BaseException) -> str:
    """What an error says, without the pages that torch puts beneath."""
    return (str(error).strip().splitlines() or ["no reason given"])[0]
