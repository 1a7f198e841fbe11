"""LoRA in vLLM on a CPU: two products an adapter and layer instead of one copied matrix a token.

Belongs here: LoRA's products. Does not belong here: when they are used (engine_plugin.py). Only vLLM imports this module:
it needs torch and vLLM.

vLLM's CPU path gathers, for every token and every layer, the whole A and B matrix of the token's adapter, and multiplies
one by one: three fifths of a worker's time went into those copies, on one thread (benchmarks/serve_notes.md). And it takes the
index of "no adapter", -1, for Python's last element, so that a request of the base model answers as an adapter whenever it
shares a batch with one. Here tokens are grouped by adapter once a step, and an adapter's matrices are turned into float32 once:
for a single token, changing their type took longer than multiplying by them.
"""

from __future__ import annotations

from typing import Any

import torch
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

Rows = torch.Tensor | None
"""The rows of one adapter in a batch; None where they are all of them."""
_Matrices = tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]


class GroupedPunicaWrapper(PunicaWrapperCPU):
    """vLLM's wrapper with products grouped by adapter; tokens without one are left as they are."""

    _groups: list[tuple[int, Rows]] = []  # noqa: RUF012 - replaced whole, once a step, never changed
    _ready: dict[tuple[int, int], _Matrices] = {}  # noqa: RUF012 - of the engine's one model; `forget` empties it

    def update_metadata(self, mapping: Any, *args: Any, **kwargs: Any) -> None:
        """Remember which rows belong to which adapter, once for all layers of a step."""
        super().update_metadata(mapping, *args, **kwargs)
        self._groups = group_rows(self.token_lora_indices)

    @classmethod
    def forget(cls) -> None:
        """Read the matrices anew: an adapter was put into a slot."""
        cls._ready.clear()

    def add_lora_linear(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        lora_a_stacked: tuple[torch.Tensor, ...],
        lora_b_stacked: tuple[torch.Tensor, ...],
        scale: float,
        output_slices: tuple[int, ...],
        **_: Any,
    ) -> None:
        """y[rows, slice] += scale · x[rows] Aᵀ Bᵀ for the slices of one layer.

        Args:
            y: (tokens, out), changed in place; x: (tokens, in).
            lora_a_stacked: a slice each, (slots, 1, rank, in); lora_b_stacked: (slots, 1, slice, rank).
        """
        y, x = y.view(-1, y.shape[-1]), x.reshape(-1, x.shape[-1])
        for slot, rows in self._groups:
            a, bs = self._matrices(lora_a_stacked, lora_b_stacked, slot, scale)
            hidden = torch.mm((x if rows is None else x[rows]).float(), a)
            offset = rank = 0
            for b, width in zip(bs, output_slices, strict=True):
                product = torch.mm(hidden[:, rank : rank + b.shape[0]], b)
                part = y[:, offset : offset + width]
                if rows is None:
                    part.add_(product)
                else:
                    part.index_add_(0, rows, product.to(y.dtype))
                offset, rank = offset + width, rank + b.shape[0]

    def _matrices(
        self, a_stacked: tuple[torch.Tensor, ...], b_stacked: tuple[torch.Tensor, ...], slot: int, scale: float
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """An adapter's matrices of one layer as they are multiplied: all A in one, (in, ranks), and each B, (rank, slice)."""
        known = self._ready.get((id(a_stacked[0]), slot))
        if known is None:
            a = torch.cat([_matrix(stacked, slot) for stacked in a_stacked]).float().t().contiguous()
            bs = [(_matrix(stacked, slot).float() * scale).t().contiguous() for stacked in b_stacked]
            # The stacked tensor is kept with them, so that no other can get its identity.
            known = self._ready[id(a_stacked[0]), slot] = (a_stacked[0], a, bs)
        return known[1], known[2]

    def add_lora_logits(self, y: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        """Nothing: an adapter of the vocabulary's projection is refused before it comes here (training/adapter.py).

        Llama's class in vLLM wraps that projection all the same, and its CPU path ends the engine at the first request for
        a prompt's log-probabilities: it takes as many rows as there are requests, where there is one for each token.
        """


def group_rows(indices: torch.Tensor) -> list[tuple[int, Rows]]:
    """(slot, its rows) for every slot in use; -1 is no adapter and in no group.

    Args:
        indices: the slot of each token's adapter, (tokens,).
    """
    slots = [int(slot) for slot in indices.unique().tolist()]
    if len(slots) == 1:
        return [(slots[0], None)] if slots[0] >= 0 else []
    return [(slot, (indices == slot).nonzero().squeeze(1)) for slot in slots if slot >= 0]


def _matrix(stacked: torch.Tensor, slot: int) -> torch.Tensor:
    matrix = stacked[slot]
    return matrix.squeeze(0) if matrix.dim() == 3 else matrix
