"""Gemma's normalisation in vLLM on a CPU, by vLLM's own kernels in place of eight PyTorch operations.

Belongs here: that one computation. Does not belong here: when it is used (plugin.py). Only vLLM imports this module: it needs
torch and vLLM.

vLLM's kernels know no weights of another type than the values, and Gemma's weights are 1 + w, which bfloat16 would round; so
values and weights are float32 on the way in, as they are in vLLM's own eight steps (four norms a layer: a quarter of a step).
"""

from __future__ import annotations

import torch
from vllm.ir import ops
from vllm.model_executor.layers.layernorm import GemmaRMSNorm

FEW = 1 << 15
"""Values below which starting vLLM's kernel on every core takes longer than the eight operations."""
rms_norm = ops.rms_norm.impls["native"].impl_fn
fused_add_rms_norm = ops.fused_add_rms_norm.impls["native"].impl_fn


def normalise(
    self: GemmaRMSNorm, x: torch.Tensor, residual: torch.Tensor | None = None
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """As `GemmaRMSNorm.forward_native`: x / rms(x) · (1 + w), of x + residual where there is one, which is returned too.

    Args:
        x, residual: (…, width), any type of number; the answers have the type of ``x``.
    """
    weight = getattr(self, "shifted_weight", None)
    if weight is None:
        weight = self.shifted_weight = (self.weight.data.float() + 1.0).contiguous()
    if x.numel() < FEW:
        if residual is None:
            return rms_norm(x, weight, self.variance_epsilon)
        return fused_add_rms_norm(x, residual, weight, self.variance_epsilon)
    values = x.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    if residual is None:
        out = torch.empty_like(values)
        torch.ops._C.rms_norm(out, values, weight, self.variance_epsilon)
        return out.to(x.dtype)
    total = residual.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    torch.ops._C.fused_add_rms_norm(values, total, weight, self.variance_epsilon)
    return values.to(x.dtype), total.to(x.dtype)
