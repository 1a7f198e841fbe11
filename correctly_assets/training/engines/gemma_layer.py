"""One decoder layer of Gemma 3 with LoRA, forward and backward by hand.

Belongs here: the layer's arithmetic. Does not belong here: the model around it, workers, the loss (fast.py, loss.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from correctly_assets.training.engines.packing import Packed

Saved = tuple[Any, ...]
"""What a layer's backward needs of its forward."""

Gradients = dict[Any, Tensor]
"""Gradients of the adapter's compute copies, of one part of a batch."""


@dataclass
class _Group:
    """Matrices that read the same input, and their LoRA.

    ``a`` holds the A matrices one under another; ``b`` are views of the adapter's compute copies.
    """

    weights: list[Tensor]
    a: Tensor
    b: list[Tensor]
    parameters: list[tuple[Any, Any]]
    scale: float

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """[rows, width] → each matrix's output, and the scaled A product that `backward` needs."""
        z = (x @ self.a.t()).mul_(self.scale)
        outputs = []
        for weight, b, part in zip(self.weights, self.b, z.split([b.shape[1] for b in self.b], 1), strict=True):
            outputs.append((x @ weight.t()).addmm_(part, b.t()))
        return outputs, z

    def backward(
        self, x: Tensor, z: Tensor, grads: list[Tensor], store: Gradients, *, need_input: bool = True
    ) -> Tensor | None:
        """Puts the gradients of A and B into the store; returns the input's."""
        ranks = [b.shape[1] for b in self.b]
        dz = torch.empty_like(z)
        for grad, b, part, out, (_, parameter) in zip(
            grads, self.b, z.split(ranks, 1), dz.split(ranks, 1), self.parameters, strict=True
        ):
            torch.mm(grad, b, out=out) if out.is_contiguous() else out.copy_(grad @ b)
            store[parameter] = grad.t() @ part
        dz.mul_(self.scale)
        for da, (parameter, _) in zip((dz.t() @ x).split(ranks, 0), self.parameters, strict=True):
            store[parameter] = da
        if not need_input:
            return None
        dx = dz @ self.a
        for grad, weight in zip(grads, self.weights, strict=True):
            dx.addmm_(grad, weight)
        return dx


class Norm:
    """Gemma's RMS norm: float32 inside, weight plus one."""

    def __init__(self, module: Any) -> None:
        self.weight = 1.0 + module.weight.detach().float()
        self.eps: float = module.eps

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(normed in x's dtype, [rows, 1] inverse root mean square)."""
        full = x.float()
        inverse = torch.rsqrt(full.square().mean(-1, keepdim=True).add_(self.eps))
        return (full * inverse).mul_(self.weight).to(x.dtype), inverse

    def backward(self, grad: Tensor, x: Tensor, inverse: Tensor) -> Tensor:
        """Gradient of the input, float32."""
        g = grad.float() * self.weight
        full = x.float().mul_(inverse)
        inner = torch.linalg.vecdot(g, full).unsqueeze(-1).div_(-x.shape[-1])
        return g.add_(full.mul_(inner)).mul_(inverse)


class HeadNorm:
    """The norm of query or key heads and the rotation after it, as one linear map of the normed head."""

    def __init__(self, module: Any, scale: float) -> None:
        self.weight = (1.0 + module.weight.detach().float()) * scale
        self.eps: float = module.eps

    def tables(self, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        """[rows, 1, head] factors of an element and of its partner in the other half."""
        half = cos.shape[-1] // 2
        w1, w2 = self.weight[:half], self.weight[half:]
        partner = torch.cat((-w2 * sin[:, :half], w1 * sin[:, half:]), -1)
        return (self.weight * cos).unsqueeze(1), partner.unsqueeze(1)

    def forward(self, x: Tensor, own: Tensor, partner: Tensor) -> tuple[Tensor, Tensor]:
        """[rows, heads, head] raw → (rotated float32, inverse root mean square)."""
        full = x.float()
        inverse = torch.rsqrt(full.square().mean(-1, keepdim=True).add_(self.eps))
        half = x.shape[-1] // 2
        out = full * own
        out[..., :half].addcmul_(full[..., half:], partner[..., :half])
        out[..., half:].addcmul_(full[..., :half], partner[..., half:])
        return out.mul_(inverse), inverse

    def backward(self, grad: Tensor, x: Tensor, inverse: Tensor, own: Tensor, partner: Tensor) -> Tensor:
        """Gradient of the raw heads, float32."""
        half = x.shape[-1] // 2
        g = grad * own
        g[..., half:].addcmul_(grad[..., :half], partner[..., :half])
        g[..., :half].addcmul_(grad[..., half:], partner[..., half:])
        full = x.float().mul_(inverse)
        inner = torch.linalg.vecdot(g, full).unsqueeze(-1).div_(-x.shape[-1])
        return g.add_(full.mul_(inner)).mul_(inverse)


class Layer:
    """One decoder layer: forward that keeps what backward needs, and backward."""

    def __init__(self, layer: Any, config: Any) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.qkv = _group([attention.q_proj, attention.k_proj, attention.v_proj])
        self.o = _group([attention.o_proj])
        self.gate_up = _group([mlp.gate_proj, mlp.up_proj])
        self.down = _group([mlp.down_proj])
        self.norms = [
            Norm(layer.input_layernorm),
            Norm(layer.post_attention_layernorm),
            Norm(layer.pre_feedforward_layernorm),
            Norm(layer.post_feedforward_layernorm),
        ]
        self.head = attention.head_dim
        self.kv_heads: int = config.num_key_value_heads
        self.groups: int = config.num_attention_heads // config.num_key_value_heads
        # The scale of the scores is folded into the queries' norm.
        self.q_norm = HeadNorm(attention.q_norm, attention.scaling)
        self.k_norm = HeadNorm(attention.k_norm, 1.0)
        self.kind: str = attention.layer_type
        self.window: int | None = attention.sliding_window

    def forward(
        self, x: Tensor, batch: Packed, rotation: tuple[Tensor, Tensor], keep: Tensor | None
    ) -> tuple[Tensor, Saved]:
        """[rows, width] → [rows, width], or only the rows ``keep`` of it; and what `backward` needs."""
        whole = x
        h1, inverse1 = self.norms[0].forward(x)
        (q, k, v), z1 = self.qkv.forward(h1)
        count = x.shape[0]
        q3, k3 = q.view(count, -1, self.head), k.view(count, -1, self.head)
        tables_q, tables_k = self.q_norm.tables(*rotation), self.k_norm.tables(*rotation)
        q_rot, inverse_q = self.q_norm.forward(q3, *tables_q)
        k_rot, inverse_k = self.k_norm.forward(k3, *tables_k)
        queries, keys, values = (self._spread(t, batch) for t in (q_rot, k_rot, v.view(count, -1, self.head).float()))
        scores = torch.matmul(queries, keys.transpose(-1, -2)).add_(self._mask(batch.rows.shape[1], x.device))
        weights = torch.softmax(scores, -1)
        context = self._gather(torch.matmul(weights, values), batch).to(x.dtype)
        if keep is not None:
            context, x = context.index_select(0, keep), x.index_select(0, keep)
        (attended,), z2 = self.o.forward(context)
        normed, inverse2 = self.norms[1].forward(attended)
        middle = x + normed
        h2, inverse3 = self.norms[2].forward(middle)
        (gate, up), z3 = self.gate_up.forward(h2)
        active = functional.gelu(gate, approximate="tanh")
        product = active * up
        (fed,), z4 = self.down.forward(product)
        normed, inverse4 = self.norms[3].forward(fed)
        saved = (
            whole, h1, inverse1, z1, q3, k3, tables_q, tables_k, inverse_q, inverse_k, queries, keys, values, weights,
            context, z2, attended, inverse2, middle, h2, inverse3, z3, gate, up, active, product, z4, fed, inverse4,
        )  # fmt: skip
        return middle + normed, saved

    def backward(
        self, grad: Tensor, saved: Saved, batch: Packed, keep: Tensor | None, store: Gradients, *, need_input: bool
    ) -> Tensor | None:
        """Gradient of the layer's output (model dtype) → of its input; stores the adapter's on the way."""
        (
            x, h1, inverse1, z1, q3, k3, tables_q, tables_k, inverse_q, inverse_k, queries, keys, values, weights,
            context, z2, attended, inverse2, middle, h2, inverse3, z3, gate, up, active, product, z4, fed, inverse4,
        ) = saved  # fmt: skip
        dtype = x.dtype
        d_product = self.down.backward(product, z4, [self.norms[3].backward(grad, fed, inverse4).to(dtype)], store)
        assert d_product is not None
        d_up = active.mul_(d_product)
        d_gate = torch.ops.aten.gelu_backward(d_product.mul_(up), gate, approximate="tanh")
        d_h2 = self.gate_up.backward(h2, z3, [d_gate, d_up], store)
        assert d_h2 is not None
        d_middle = self.norms[2].backward(d_h2, middle, inverse3).add_(grad).to(dtype)
        d_context = self.o.backward(
            context, z2, [self.norms[1].backward(d_middle, attended, inverse2).to(dtype)], store
        )
        assert d_context is not None
        count = x.shape[0]
        if keep is not None:
            d_context = torch.zeros(count, d_context.shape[1], dtype=dtype).index_add_(0, keep, d_context)
            d_middle = torch.zeros(count, d_middle.shape[1], dtype=dtype).index_add_(0, keep, d_middle)
        d_out = self._scatter(d_context.float(), batch)
        d_values = torch.matmul(weights.transpose(-1, -2), d_out)
        d_weights = torch.matmul(d_out, values.transpose(-1, -2))
        d_scores = d_weights.sub_(torch.linalg.vecdot(d_weights, weights).unsqueeze(-1)).mul_(weights)
        d_queries = self._gather(torch.matmul(d_scores, keys), batch)
        d_keys = torch.matmul(d_scores.transpose(-1, -2), queries)
        dq = self.q_norm.backward(d_queries.view(count, -1, self.head), q3, inverse_q, *tables_q)
        dk = self.k_norm.backward(self._fold(d_keys, batch, count), k3, inverse_k, *tables_k)
        dv = self._fold(d_values, batch, count)
        d_h1 = self.qkv.backward(
            h1, z1, [t.reshape(count, -1).to(dtype) for t in (dq, dk, dv)], store, need_input=need_input
        )
        if d_h1 is None:
            return None
        return self.norms[0].backward(d_h1, x, inverse1).add_(d_middle).to(dtype)

    def _mask(self, length: int, device: torch.device) -> Tensor:
        """[length * groups, length], 0 where a query sees a key, else -inf."""
        place = torch.arange(length, device=device)
        distance = place.repeat_interleave(self.groups).unsqueeze(1) - place.unsqueeze(0)
        hidden = distance < 0
        if self.window is not None and length > self.window:
            hidden |= distance >= self.window
        return torch.zeros(distance.shape, device=device).masked_fill_(hidden, -math.inf)

    def _spread(self, t: Tensor, batch: Packed) -> Tensor:
        """[rows, heads, head] → [turns, key heads, length * queries per key head, head]."""
        turns, length = batch.rows.shape
        out = t.reshape(t.shape[0], -1).index_select(0, batch.rows.view(-1))
        out = out.view(turns, length, self.kv_heads, -1, self.head)
        return out.transpose(1, 2).reshape(turns, self.kv_heads, -1, self.head)

    def _gather(self, t: Tensor, batch: Packed) -> Tensor:
        """[turns, key heads, length * queries per key head, head] → [rows, heads * head], each row from one turn."""
        turns, length = batch.rows.shape
        flat = t.view(turns, self.kv_heads, length, -1).transpose(1, 2).reshape(turns * length, -1)
        return flat.index_select(0, batch.source)

    def _scatter(self, t: Tensor, batch: Packed) -> Tensor:
        """The transpose of `_gather`: each row's gradient goes to the one turn that its value came from."""
        turns, length = batch.rows.shape
        flat = torch.zeros(turns * length, t.shape[1]).index_copy_(0, batch.source, t)
        return (
            flat.view(turns, length, self.kv_heads, -1, self.head)
            .transpose(1, 2)
            .reshape(turns, self.kv_heads, -1, self.head)
        )

    def _fold(self, t: Tensor, batch: Packed, count: int) -> Tensor:
        """The transpose of `_spread` for keys and values: what all turns that share a row ask of it, added up."""
        flat = t.transpose(1, 2).reshape(batch.rows.numel(), -1)
        out = torch.zeros(count, flat.shape[1])
        return out.index_add_(0, batch.rows.view(-1), flat).view(count, self.kv_heads, self.head)


def _group(modules: list[Any]) -> _Group:
    pairs = [(m.lora_A["default"].weight, m.lora_B["default"].weight) for m in modules]
    a = torch.cat([pa.data for pa, _ in pairs])
    start = 0
    for pa, _ in pairs:
        # The compute copies become views of the joined matrix, so that pushing the masters fills it.
        pa.data = a[start : start + pa.shape[0]]
        start += pa.shape[0]
    scale = float(modules[0].scaling["default"])
    return _Group([m.base_layer.weight.detach() for m in modules], a, [pb.data for _, pb in pairs], pairs, scale)
