"""What our engine computes otherwise than vLLM 0.32 ships, on a CPU. vLLM loads it in each of its processes.

Belongs here: whether the pieces are put in place (the entry point ``vllm.general_plugins``). Does not belong here: where each goes
(replacements.py), the pieces (lora.py, logprobs.py, memory.py, norms.py, drafts.py), or starting the engine (launch.py).
"""

from __future__ import annotations

import logging

from correctly_assets.engine.build import vllm_version
from correctly_assets.engine.vllm_plugin.memory import start_trimming

KNOWN = "0.32.0"
"""The version whose internals the pieces were written against, and are tested against."""


def register() -> None:
    """Put the pieces in place, where this is a CPU and a vLLM that they know."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    start_trimming()
    found = vllm_version()
    if found != KNOWN:
        logging.getLogger(__name__).warning(
            "vLLM %s is not %s: LoRA, norms and log-probabilities are computed its own, slower way.", found, KNOWN
        )
        return
    from correctly_assets.engine.vllm_plugin.replacements import replace_in

    replace_in(current_platform)
