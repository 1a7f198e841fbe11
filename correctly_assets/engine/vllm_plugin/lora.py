"""LoRA in vLLM on a CPU: two products an adapter and layer instead of one copied matrix a token.

Belongs here: LoRA's products. Does not belong here: when they are used (plugin.py). Only vLLM imports this module:
it needs torch and vLLM.

vLLM's CPU path gathers, for every token and every layer, the whole A and B matrix of the token's adapter, and multiplies
one by one: three fifths of a worker's time went into those copies, on one thread (benchmarks/serve_notes.md). And it takes the
index of "no adapter", -1, for Python's last element, so that a request of the base model answers as an adapter whenever it
shares a batch with one. Here tokens are grouped by adapter once a step, and an adapter's matrices are packed for oneDNN once, which multiplies
them in bfloat16 four times as fast as PyTorch does in float32 (150 and 38 ms for 208 tokens, in one run beside other work).
"""

from __future__ import annotations

from typing import Any

import torch
from vllm._custom_ops import CPUDNNLGEMMHandler, create_onednn_mm, onednn_mm
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

Runs = list[tuple[int, int]]
"""Stretches of a batch, half-open: a request's tokens stand together, and so do those of requests of one adapter, mostly."""
_Matrices = tuple[torch.Tensor, CPUDNNLGEMMHandler, CPUDNNLGEMMHandler]
SHAPES = 32
"""Numbers of tokens for which oneDNN keeps its plan of a product; as many as vLLM keeps for the layer itself."""


class GroupedPunicaWrapper(PunicaWrapperCPU):
    """vLLM's wrapper with products grouped by adapter; tokens without one are left as they are."""

    _groups: list[tuple[int, Runs]] = []  # noqa: RUF012 - replaced whole, once a step, never changed
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
        for slot, runs in self._groups:
            first, second = self._matrices(lora_a_stacked, lora_b_stacked, slot, scale, x.dtype)
            parts = [x[start:end] for start, end in runs]
            rows = parts[0] if len(parts) == 1 else torch.cat(parts)
            product = onednn_mm(second, onednn_mm(first, rows, None), None)
            for (start, end), added in zip(runs, product.split([len(part) for part in parts]), strict=True):
                y[start:end].add_(added)

    def _matrices(
        self,
        a_stacked: tuple[torch.Tensor, ...],
        b_stacked: tuple[torch.Tensor, ...],
        slot: int,
        scale: float,
        dtype: torch.dtype,
    ) -> tuple[CPUDNNLGEMMHandler, CPUDNNLGEMMHandler]:
        """An adapter's matrices of one layer, packed for oneDNN: all A side by side, (in, ranks), and all B on a diagonal,
        (ranks, out)."""
        known = self._ready.get((id(a_stacked[0]), slot))
        if known is None:
            a = torch.cat([_matrix(stacked, slot) for stacked in a_stacked]).t()
            b = torch.block_diag(*[_matrix(stacked, slot).float().t() * scale for stacked in b_stacked])
            packed = [create_onednn_mm(part.to(dtype).contiguous(), SHAPES) for part in (a, b)]
            # The stacked tensor is kept with them, so that no other can get its identity.
            known = self._ready[id(a_stacked[0]), slot] = (a_stacked[0], packed[0], packed[1])
        return known[1], known[2]

    def add_lora_logits(self, y: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        """Nothing: an adapter of the vocabulary's projection is refused before it comes here (training/adapter.py).

        Llama's class in vLLM wraps that projection all the same, and its CPU path ends the engine at the first request for
        a prompt's log-probabilities: it takes as many rows as there are requests, where there is one for each token.
        """


def group_rows(indices: torch.Tensor) -> list[tuple[int, Runs]]:
    """(slot, where its tokens stand) for every slot in use; -1 is no adapter and in no group.

    Args:
        indices: the slot of each token's adapter, (tokens,).
    """
    groups: dict[int, Runs] = {}
    start = 0
    slots, counts = indices.unique_consecutive(return_counts=True)
    for slot, count in zip(slots.tolist(), counts.tolist(), strict=True):
        if slot >= 0:
            groups.setdefault(slot, []).append((start, start + count))
        start += count
    return list(groups.items())


def _matrix(stacked: torch.Tensor, slot: int) -> torch.Tensor:
    matrix = stacked[slot]
    return matrix.squeeze(0) if matrix.dim() == 3 else matrix
