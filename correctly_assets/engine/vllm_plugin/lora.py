"""LoRA in vLLM on a CPU: one product an adapter instead of one copied matrix a token.

Belongs here: LoRA's products. Does not belong here: when they are used (engine_plugin.py). Only vLLM imports this module:
it needs torch and vLLM.

vLLM's CPU path gathers, for every token and every layer, the whole A and B matrix of the token's adapter, and multiplies
one by one: three fifths of a worker's time went into those copies, on one thread (benchmarks/serve_notes.md). And it takes the
index of "no adapter", -1, for Python's last element, so that a request of the base model answers as an adapter whenever it
shares a batch with one. Here tokens are grouped by adapter once a step.
"""

from __future__ import annotations

from typing import Any

import torch
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

Rows = torch.Tensor | None
"""The rows of one adapter in a batch; None where they are all of them."""


class GroupedPunicaWrapper(PunicaWrapperCPU):
    """vLLM's wrapper with products grouped by adapter; tokens without one are left as they are."""

    _groups: list[tuple[int, Rows]] = []  # noqa: RUF012 - replaced whole, once a step, never changed

    def update_metadata(self, mapping: Any, *args: Any, **kwargs: Any) -> None:
        """Remember which rows belong to which adapter, once for all layers of a step."""
        super().update_metadata(mapping, *args, **kwargs)
        self._groups = group_rows(self.token_lora_indices)

    def _apply_shrink(self, y: torch.Tensor, x: torch.Tensor, w_t_all: torch.Tensor, scale: float) -> None:
        """y[rows] = scale · x[rows] Aᵀ. y: (tokens, rank) float32; x: (tokens, in); w_t_all: (slots, 1, rank, in)."""
        y = y.view(-1, y.shape[-1])
        for slot, rows in self._groups:
            a = _matrix(w_t_all, slot)
            rank = a.shape[0]
            if rows is None:
                y[:, :rank] = scale * (x.to(y.dtype) @ a.to(y.dtype).t())
            else:
                y[rows, :rank] = scale * (x[rows].to(y.dtype) @ a.to(y.dtype).t())

    def _apply_expand(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        w_t_all: torch.Tensor,
        y_offset: int,
        y_slice_size: int,
        add_inputs: bool = True,
    ) -> None:
        """y[rows, slice] += x[rows] Bᵀ. y: (tokens, out); x: (tokens, rank); w_t_all: (slots, 1, slice, rank)."""
        part = y[:, y_offset : y_offset + y_slice_size]
        for slot, rows in self._groups:
            b = _matrix(w_t_all, slot).to(y.dtype).t()
            if rows is None:
                product = x.to(y.dtype) @ b
                part.copy_(part + product if add_inputs else product)
            else:
                product = x[rows].to(y.dtype) @ b
                part[rows] = part[rows] + product if add_inputs else product

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
