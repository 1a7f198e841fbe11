"""The hand-written engine: Gemma 3's forward and the adapter's backward without autograd, padding or repeated prefixes.

Belongs here: how one batch is computed fast on a CPU. Does not belong here: other architectures (model.PlainEngine
takes those), optimisation. `benchmarks/train_notes.md` tells what each choice brought.

What makes it fast, apart from projecting completion positions only (loss.py):

- Turns are laid out as a prefix tree (`Packed`): no padding, and tokens that several turns of the batch begin with (the
  instruction, a prompt seen twice) are computed once. Under a causal mask their states are equal, so this is exact;
  their gradients add up.
- LoRA's products run in the model's dtype, and matrices that read the same input share one A product.
- Attention has few positions and one key head: two plain products in float32 beat the fused kernel by far.
- The last layer computes only the rows that predict something; the first takes no gradient of its input.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .loss import VocabularyLoss
from .model import Adapter
from .rendering import Turn


@dataclass
class Packed:
    """A batch as a prefix tree.

    Attributes:
        ids, position: [rows] token and place in its turn of each distinct prefix.
        rows: [turns, length] the tree row of each token; padding points at row 0, where a causal mask hides it.
        source: [rows] index into the flattened [turns * length] of one turn that holds the row.
        predicts: [learned] tree row whose state predicts ``targets``.
    """

    ids: Tensor
    position: Tensor
    rows: Tensor
    source: Tensor
    predicts: Tensor
    targets: Tensor


def pack(turns: Sequence[Turn]) -> Packed:
    """Lay out turns as a prefix tree."""
    length = max(turn.length for turn in turns)
    seen: dict[tuple[int, int], int] = {}
    ids: list[int] = []
    position: list[int] = []
    source: list[int] = []
    table: list[list[int]] = []
    predicts: list[int] = []
    targets: list[int] = []
    for number, turn in enumerate(turns):
        row = -1
        path: list[int] = []
        # The last token predicts nothing that is learned, so it is not computed.
        for place, token in enumerate(turn.ids[:-1]):
            key = (row, token)
            if key not in seen:
                seen[key] = len(ids)
                ids.append(token)
                position.append(place)
                source.append(number * (length - 1) + place)
            row = seen[key]
            path.append(row)
        predicts += path[turn.prompt_length - 1 :]
        targets += turn.ids[turn.prompt_length :]
        table.append(path + [0] * (length - 1 - len(path)))
    return Packed(*(torch.tensor(value) for value in (ids, position, table, source, predicts, targets)))


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

    def backward(self, x: Tensor, z: Tensor, grads: list[Tensor], *, need_input: bool = True) -> Tensor | None:
        """Adds the gradients of A and B to the copies; returns the input's."""
        ranks = [b.shape[1] for b in self.b]
        dz = torch.empty_like(z)
        for grad, b, part, out, (_, parameter) in zip(
            grads, self.b, z.split(ranks, 1), dz.split(ranks, 1), self.parameters, strict=True
        ):
            torch.mm(grad, b, out=out) if out.is_contiguous() else out.copy_(grad @ b)
            _accumulate(parameter, grad.t() @ part)
        dz.mul_(self.scale)
        for da, (parameter, _) in zip((dz.t() @ x).split(ranks, 0), self.parameters, strict=True):
            _accumulate(parameter, da)
        if not need_input:
            return None
        dx = dz @ self.a
        for grad, weight in zip(grads, self.weights, strict=True):
            dx.addmm_(grad, weight)
        return dx


def _accumulate(parameter: Any, grad: Tensor) -> None:
    parameter.grad = grad if parameter.grad is None else parameter.grad + grad


class _Norm:
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


class _HeadNorm:
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


class _Layer:
    """One decoder layer: forward that keeps what backward needs, and backward."""

    def __init__(self, layer: Any, config: Any, scaling: dict[str, float]) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.qkv = _group([attention.q_proj, attention.k_proj, attention.v_proj])
        self.o = _group([attention.o_proj])
        self.gate_up = _group([mlp.gate_proj, mlp.up_proj])
        self.down = _group([mlp.down_proj])
        self.norms = [
            _Norm(layer.input_layernorm),
            _Norm(layer.post_attention_layernorm),
            _Norm(layer.pre_feedforward_layernorm),
            _Norm(layer.post_feedforward_layernorm),
        ]
        self.head = attention.head_dim
        self.kv_heads: int = config.num_key_value_heads
        self.groups: int = config.num_attention_heads // config.num_key_value_heads
        # The scale of the scores is folded into the queries' norm.
        self.q_norm = _HeadNorm(attention.q_norm, attention.scaling)
        self.k_norm = _HeadNorm(attention.k_norm, 1.0)
        self.kind: str = attention.layer_type
        self.window: int | None = attention.sliding_window
        self.saved: tuple[Any, ...] = ()

    def forward(
        self, x: Tensor, batch: Packed, rotation: tuple[Tensor, Tensor], keep: Tensor | None, train: bool
    ) -> Tensor:
        """[rows, width] → [rows, width], or only the rows ``keep`` of it."""
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
        if train:
            self.saved = (
                x, h1, inverse1, z1, q3, k3, tables_q, tables_k, inverse_q, inverse_k, queries, keys, values, weights,
                context, z2, attended, inverse2, middle, h2, inverse3, z3, gate, up, active, product, z4, fed, inverse4,
            )  # fmt: skip
        return middle + normed

    def backward(self, grad: Tensor, batch: Packed, keep: Tensor | None, x: Tensor, need_input: bool) -> Tensor | None:
        """Gradient of the layer's output (model dtype) → of its input ``x``; adds the adapter's on the way."""
        (
            _, h1, inverse1, z1, q3, k3, tables_q, tables_k, inverse_q, inverse_k, queries, keys, values, weights,
            context, z2, attended, inverse2, middle, h2, inverse3, z3, gate, up, active, product, z4, fed, inverse4,
        ) = self.saved  # fmt: skip
        self.saved = ()
        dtype = x.dtype
        d_product = self.down.backward(product, z4, [self.norms[3].backward(grad, fed, inverse4).to(dtype)])
        assert d_product is not None
        d_up = active.mul_(d_product)
        d_gate = torch.ops.aten.gelu_backward(d_product.mul_(up), gate, approximate="tanh")
        d_h2 = self.gate_up.backward(h2, z3, [d_gate, d_up])
        assert d_h2 is not None
        d_middle = self.norms[2].backward(d_h2, middle, inverse3).add_(grad).to(dtype)
        d_context = self.o.backward(context, z2, [self.norms[1].backward(d_middle, attended, inverse2).to(dtype)])
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
        d_h1 = self.qkv.backward(h1, z1, [t.reshape(count, -1).to(dtype) for t in (dq, dk, dv)], need_input=need_input)
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


_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class FastEngine:
    """See the module. Check `fits` first."""

    name = "fast"

    def __init__(self, adapter: Adapter) -> None:
        causal = adapter.model.get_base_model()
        body = causal.model
        self._embed = body.embed_tokens
        self._rotary = body.rotary_emb
        self._norm = _Norm(body.norm)
        self._layers = [_Layer(layer, body.config, {}) for layer in body.layers]
        self._kinds = sorted({layer.kind for layer in self._layers})
        self._loss = VocabularyLoss(causal.get_output_embeddings().weight.detach())

    @staticmethod
    def fits(adapter: Adapter, dropout: float) -> bool:
        """Whether this engine can compute the model: Gemma 3 text on a CPU, LoRA on all linear layers, no dropout."""
        causal = adapter.model.get_base_model()
        if (
            getattr(causal.config, "model_type", "") != "gemma3_text"
            or dropout
            or adapter.copies[0].device.type != "cpu"
        ):
            return False
        config = causal.config
        if config.attention_bias or config.attn_logit_softcapping or config.hidden_activation != "gelu_pytorch_tanh":
            return False
        if getattr(config, "use_bidirectional_attention", False):
            return False
        modules = [
            getattr(p, n)
            for x in causal.model.layers
            for p in (x.self_attn, x.mlp)
            for n in _PROJECTIONS
            if hasattr(p, n)
        ]
        return all(hasattr(m, "lora_A") and "default" in m.lora_A for m in modules)

    def _forward(self, batch: Packed, train: bool) -> tuple[Tensor, Tensor, Tensor, list[Tensor], Tensor]:
        x = self._embed(batch.ids)
        rotations = {}
        for kind in self._kinds:
            cos, sin = self._rotary(x.unsqueeze(0), batch.position.unsqueeze(0), kind)
            rotations[kind] = (cos[0].float(), sin[0].float())
        needed, place = torch.unique(batch.predicts, return_inverse=True)
        inputs: list[Tensor] = []
        for layer in self._layers:
            if train:
                inputs.append(x)
            keep = needed if layer is self._layers[-1] else None
            x = layer.forward(x, batch, rotations[layer.kind], keep, train)
        hidden, inverse = self._norm.forward(x)
        return x, hidden.index_select(0, place), inverse, inputs, place

    @torch.no_grad()
    def train(self, turns: Sequence[Turn]) -> float:
        batch = pack(turns)
        last, hidden, inverse, inputs, place = self._forward(batch, train=True)
        losses, grad = self._loss(hidden, batch.targets, gradient=True)
        assert grad is not None
        mean = float(losses.mean())
        spread = torch.zeros(last.shape).index_add_(0, place, grad.float().div_(len(losses)))
        upstream = self._norm.backward(spread, last, inverse).to(last.dtype)
        needed = torch.unique(batch.predicts)
        for layer, x in zip(reversed(self._layers), reversed(inputs), strict=True):
            keep = needed if layer is self._layers[-1] else None
            below = layer.backward(upstream, batch, keep, x, need_input=layer is not self._layers[0])
            if below is not None:
                upstream = below
        return mean

    @torch.no_grad()
    def losses(self, turns: Sequence[Turn]) -> list[Tensor]:
        batch = pack(turns)
        _, hidden, _, _, _ = self._forward(batch, train=False)
        losses, _ = self._loss(hidden, batch.targets, gradient=False)
        return list(losses.split([turn.learned for turn in turns]))
