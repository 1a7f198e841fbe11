"""What our engine computes otherwise than vLLM 0.32 ships, on a CPU. vLLM loads it in each of its processes.

Belongs here: putting the pieces in place (the entry point ``vllm.general_plugins``). Does not belong here: the pieces
(lora.py, logprobs.py, memory.py, norms.py, drafts.py), or starting the engine (launch.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from correctly_assets.engine.build import vllm_version
from correctly_assets.engine.vllm_plugin.memory import start_trimming

KNOWN = "0.32.0"
"""The version whose internals the pieces were written against, and are tested against."""
_put_in: Callable[[Any, int], bool] | None = None
"""vLLM's own `LoRAModelManager.activate_adapter`, once it has been replaced."""


def _activate(self: Any, lora_id: int) -> bool:
    """As vLLM does it; what was worked out from the adapter that was in that slot before is forgotten."""
    from correctly_assets.engine.vllm_plugin.lora import GroupedPunicaWrapper

    assert _put_in is not None
    changed = _put_in(self, lora_id)
    if changed:
        GroupedPunicaWrapper.forget()
    return changed


def register() -> None:
    """Put the pieces in place, where this is a CPU and a vLLM that they know."""
    global _put_in
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
    from vllm.lora.model_manager import LoRAModelManager
    from vllm.model_executor.layers.layernorm import GemmaRMSNorm
    from vllm.v1.sample.rejection_sampler import RejectionSampler
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    from correctly_assets.engine.vllm_plugin.logprobs import chosen_logprobs, prompt_logprobs
    from correctly_assets.engine.vllm_plugin.norms import normalise

    wrapper = "correctly_assets.engine.vllm_plugin.lora.GroupedPunicaWrapper"
    type(current_platform).get_punica_wrapper = classmethod(lambda cls: wrapper)  # pyright: ignore[reportAttributeAccessIssue]
    RejectionSampler._get_logprobs_tensors = chosen_logprobs
    GPUModelRunner._get_prompt_logprobs_dict = prompt_logprobs
    GemmaRMSNorm.forward_native = normalise
    if LoRAModelManager.activate_adapter is not _activate:
        _put_in = LoRAModelManager.activate_adapter
        LoRAModelManager.activate_adapter = _activate
