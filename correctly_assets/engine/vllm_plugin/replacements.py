"""Where in vLLM each of our pieces goes.

Belongs here: replacing vLLM's methods. Does not belong here: whether they are replaced (plugin.py), or what replaces them. Only
vLLM imports this module: it needs torch and vLLM.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vllm.lora.model_manager import LoRAModelManager
from vllm.model_executor.layers.layernorm import GemmaRMSNorm
from vllm.v1.sample.rejection_sampler import RejectionSampler
from vllm.v1.worker.gpu_model_runner import GPUModelRunner

from correctly_assets.engine.vllm_plugin.logprobs import chosen_logprobs, prompt_logprobs
from correctly_assets.engine.vllm_plugin.lora import GroupedPunicaWrapper
from correctly_assets.engine.vllm_plugin.norms import normalise

_put_in: Callable[[Any, int], bool] = LoRAModelManager.activate_adapter
"""vLLM's own, which stands in its place until `replace_in` is called."""


def _activate(self: Any, lora_id: int) -> bool:
    """As vLLM does it; what was worked out from the adapter that was in that slot before is forgotten."""
    changed = _put_in(self, lora_id)
    if changed:
        GroupedPunicaWrapper.forget()
    return changed


def replace_in(platform: Any) -> None:
    """Put every piece in its place; a second call changes nothing."""
    wrapper = f"{GroupedPunicaWrapper.__module__}.{GroupedPunicaWrapper.__qualname__}"
    type(platform).get_punica_wrapper = classmethod(lambda cls: wrapper)
    RejectionSampler._get_logprobs_tensors = chosen_logprobs
    GPUModelRunner._get_prompt_logprobs_dict = prompt_logprobs
    GemmaRMSNorm.forward_native = normalise
    LoRAModelManager.activate_adapter = _activate
