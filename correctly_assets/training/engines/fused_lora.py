"""LoRA's products inside the base's, for GPUs: one matrix holds the base's weights and one of the adapter's two.

Belongs here: the joined product, forward and backward, and putting it where peft's stands. Does not belong here: the model or
the engine around it (plain.py).

peft computes y = xWᵀ + s·(xAᵀ)Bᵀ as three products and a sum. The two narrow ones do hardly any arithmetic, but the sum reads
two tensors as wide as y and writes a third, and so does its like in the backward pass, six times the model's own width for
Gemma 3 1B's up and gate projections. With z = s·xAᵀ beside x, and B beside W, the sum happens
inside the one product, in float32:

    y = [x z] [W B]ᵀ           where y is at least as wide as x
    [y z'] = x [W; A]ᵀ         where x is wider (y + s·z'Bᵀ is then a narrow sum)

and the gradient of x, of the wider kind too, comes of one product likewise.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from peft.tuners.lora import Linear
from torch import Tensor

_ALIGNED = 8
"""Ranks must be a multiple: the matrix units read bf16 rows in blocks of 16 bytes."""


class _BesideColumns(torch.autograd.Function):
    """y = [x z][W B]ᵀ with z = s·xAᵀ."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, a: Tensor, b: Tensor, joined: Tensor, scale: float) -> Tensor:
        beside = torch.cat([x, (x @ a.t()) * scale], 1)
        ctx.save_for_backward(beside, a, joined)
        ctx.scale = scale
        return beside @ joined.t()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None, None]:
        (dy,) = grad_outputs
        beside, a, joined = ctx.saved_tensors
        width = a.shape[1]
        both = dy @ joined
        dz = both[:, width:] * ctx.scale
        # Not addmm, which would copy the narrower view first; compiled, the sum is part of the kernel that reads it.
        dx = both[:, :width] + dz @ a if ctx.needs_input_grad[0] else None
        return dx, dz.t() @ beside[:, :width], dy.t() @ beside[:, width:], None, None


class _BelowRows(torch.autograd.Function):
    """y = xWᵀ + s·z'Bᵀ with [y z'] = x[W; A]ᵀ."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, a: Tensor, b: Tensor, joined: Tensor, scale: float) -> Tensor:
        both = x @ joined.t()
        height = b.shape[0]
        z = both[:, height:] * scale
        ctx.save_for_backward(x, z, b, joined)
        ctx.scale = scale
        return both[:, :height] + z @ b.t()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None, None]:
        (dy,) = grad_outputs
        x, z, b, joined = ctx.saved_tensors
        dz = (dy @ b) * ctx.scale
        dx = torch.cat([dy, dz], 1) @ joined if ctx.needs_input_grad[0] else None
        return dx, dz.t() @ x, dy.t() @ z, None, None


class JoinedLinear(torch.nn.Module):
    """What peft's linear layer computes, with the base's and one of the adapter's matrices as views of one.

    Args:
        weight: [out, in] of the base, frozen.
        a, b: [rank, in] and [out, rank], the adapter's parameters. The wider one's data becomes a view; who changes it in
            place changes what is computed, as before.
        scale: the adapter's alpha over its rank.
    """

    def __init__(self, weight: torch.nn.Parameter, a: torch.nn.Parameter, b: torch.nn.Parameter, scale: float) -> None:
        super().__init__()
        self.a, self.b, self.scale = a, b, scale
        height, width = weight.shape
        self.beside = height >= width
        with torch.no_grad():
            self.joined = torch.cat([weight, b], 1) if self.beside else torch.cat([weight, a], 0)
        if self.beside:
            b.data = self.joined[:, width:]
        else:
            a.data = self.joined[height:]
        # Whoever still holds the base's weight reads the same numbers, and they are kept once.
        weight.data = self.joined[:, :width] if self.beside else self.joined[:height]

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [..., inputs] → [..., outputs]: the base matrix and the adapter's in one product."""
        kind = _BesideColumns if self.beside else _BelowRows
        flat = x.reshape(-1, x.shape[-1])
        return cast(Tensor, kind.apply(flat, self.a, self.b, self.joined, self.scale)).view(*x.shape[:-1], -1)


def join_products(model: Any) -> int:
    """Put `JoinedLinear` where peft's linear layers stand.

    Returns:
        How many were replaced; those with a bias, with dropout, with several adapters or with a rank that the matrix units
        cannot read in blocks are left as they are.
    """
    found = {name: module for name, module in model.named_modules() if isinstance(module, Linear) and _fits(module)}
    for name, module in found.items():
        (adapter,) = module.lora_A
        a, b = (cast(torch.nn.Parameter, of[adapter].weight) for of in (module.lora_A, module.lora_B))
        base: Any = module.get_base_layer()
        model.set_submodule(name, JoinedLinear(base.weight, a, b, module.scaling[adapter]))
    return len(found)


def _fits(module: Any) -> bool:
    base = module.get_base_layer()
    if type(base) is not torch.nn.Linear or base.bias is not None or len(module.lora_A) != 1:
        return False
    (adapter,) = module.lora_A
    dropout = module.lora_dropout[adapter]
    plain = isinstance(dropout, torch.nn.Identity) or not dropout.p
    return plain and not module.use_dora.get(adapter) and module.r[adapter] % _ALIGNED == 0
