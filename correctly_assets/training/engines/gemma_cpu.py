"""The hand-written engine: Gemma 3's forward and the adapter's backward without autograd, padding or repeated prefixes.

Belongs here: how one batch is computed fast on a CPU. Does not belong here: other architectures (model.PlainEngine
takes those), optimisation. `benchmarks/train_notes.md` tells what each choice brought.

What makes it fast, apart from projecting completion positions only (loss.py):

- Turns are laid out as a prefix tree (`Packed`): no padding, and tokens that several turns of the batch begin with (the
  instruction, a prompt seen twice) are computed once. Under a causal mask their states are equal, so this is exact;
  their gradients add up.
- LoRA's products run in the model's dtype, and matrices that read the same input share one A product.
- Attention has few positions and one key head: two plain products in float32 beat the fused kernel by far.
- Each core computes a part of the batch by itself (`share_out`), and they meet once a step. Threads inside each of a
  step's thousands of operations would meet at each: on two cores that other programs use too, that is a hundred times slower.
- The last layer computes only the rows that predict something; the first takes no gradient of its input.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from correctly_assets.training.engines.gemma_layer import Gradients, Layer, Norm, Saved
from correctly_assets.training.engines.loss import VocabularyLoss
from correctly_assets.training.engines.packing import Packed, pack, share_out
from correctly_assets.training.models.lora_model import Adapter
from correctly_assets.training.rendering import Turn

_MOST_WORKERS = 4
_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class FastEngine:
    """See the module. Check `fits` first."""

    name = "fast"

    def __init__(self, adapter: Adapter, *, workers: int | None = None) -> None:
        self._adapter = adapter
        causal = adapter.model.get_base_model()
        body = causal.model
        self._embed = body.embed_tokens
        self._rotary = body.rotary_emb
        self._norm = Norm(body.norm)
        self._layers = [Layer(layer, body.config) for layer in body.layers]
        self._kinds = sorted({layer.kind for layer in self._layers})
        weight = causal.get_output_embeddings().weight.detach()
        threads = torch.get_num_threads()
        count = min(threads, _MOST_WORKERS) if workers is None else workers
        self._losses = [VocabularyLoss(weight) for _ in range(count)]
        self._pool = ThreadPoolExecutor(
            count, "train", initializer=torch.set_num_threads, initargs=(max(1, threads // count),)
        )

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

    def train(self, turns: Sequence[Turn]) -> float:
        """Forward and backward of the mean loss per learned token, shared out over worker threads; returns that mean, in nats."""
        learned = sum(turn.learned for turn in turns)
        parts = self._share_out(turns)
        jobs = [
            self._pool.submit(self._train_part, [turns[i] for i in part], loss, learned)
            for part, loss in zip(parts, self._losses, strict=False)
        ]
        results = [job.result() for job in jobs]
        with torch.no_grad():
            # Always in the parts' order, whichever worker was first: equal runs give equal sums.
            for copy, master in zip(self._adapter.copies, self._adapter.masters, strict=True):
                total = results[0][1][copy].float()
                for _, store in results[1:]:
                    total += store[copy]
                master.grad = total if master.grad is None else master.grad + total
        return sum(loss for loss, _ in results) / learned

    def losses(self, turns: Sequence[Turn]) -> list[Tensor]:
        """Per turn the [learned] losses in nats, float32, without gradients."""
        parts = self._share_out(turns)
        jobs = [
            self._pool.submit(self._losses_of_part, [turns[i] for i in part], loss)
            for part, loss in zip(parts, self._losses, strict=False)
        ]
        found = {
            i: losses
            for part, job in zip(parts, jobs, strict=True)
            for i, losses in zip(part, job.result(), strict=True)
        }
        return [found[i] for i in range(len(turns))]

    def _share_out(self, turns: Sequence[Turn]) -> list[list[int]]:
        # A part of one turn or two would use the matrix units badly.
        return share_out(turns, min(len(self._losses), max(1, len(turns) // 3)))

    def _forward(self, batch: Packed, saved: list[Saved] | None) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """(last states of the rows that predict, the same normed and once a target, the norm's inverse, which row each
        target needs, those rows); layers' keepsakes are put into ``saved``."""
        x = self._embed(batch.ids)
        rotations = {}
        for kind in self._kinds:
            cos, sin = self._rotary(x.unsqueeze(0), batch.position.unsqueeze(0), kind)
            rotations[kind] = (cos[0].float(), sin[0].float())
        needed, place = torch.unique(batch.predicts, return_inverse=True)
        for layer in self._layers:
            keep = needed if layer is self._layers[-1] else None
            x, kept = layer.forward(x, batch, rotations[layer.kind], keep)
            if saved is not None:
                saved.append(kept)
        hidden, inverse = self._norm.forward(x)
        return x, hidden.index_select(0, place), inverse, place, needed

    @torch.no_grad()
    def _train_part(self, turns: Sequence[Turn], loss: VocabularyLoss, learned: int) -> tuple[float, Gradients]:
        """(sum of the part's losses, the part's share of the gradient of the batch's mean)."""
        batch = pack(turns)
        saved: list[Saved] = []
        last, hidden, inverse, place, needed = self._forward(batch, saved)
        losses, grad = loss(hidden, batch.targets, gradient=True)
        assert grad is not None
        spread = torch.zeros(last.shape).index_add_(0, place, grad.float().div_(learned))
        upstream = self._norm.backward(spread, last, inverse).to(last.dtype)
        store: Gradients = {}
        for layer in reversed(self._layers):
            keep = needed if layer is self._layers[-1] else None
            first = layer is self._layers[0]
            below = layer.backward(upstream, saved.pop(), batch, keep, store, need_input=not first)
            upstream = upstream if below is None else below
        return float(losses.sum()), store

    @torch.no_grad()
    def _losses_of_part(self, turns: Sequence[Turn], loss: VocabularyLoss) -> list[Tensor]:
        batch = pack(turns)
        _, hidden, _, _, _ = self._forward(batch, None)
        losses, _ = loss(hidden, batch.targets, gradient=False)
        return list(losses.split([turn.learned for turn in turns]))
