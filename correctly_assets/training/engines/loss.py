"""The vocabulary projection and its loss, on completion positions only, with the gradient taken in the forward pass.

Belongs here: cross-entropy over a large vocabulary without keeping logits or their gradient. Does not belong here:
which positions are learned (rendering.py) or the model below the projection.
"""

from __future__ import annotations

from typing import Any

import torch

_CHUNK_BYTES = 160 * 2**20
_GPU_CHUNK_BYTES = 2**30
_COLUMNS = 16384
_BLOCK_ROWS = 16  # 8 MB of Gemma's logits: a block stays in cache through the passes over it


class VocabularyLoss:
    """Sum of cross-entropies of hidden states against a frozen projection.

    The projection of Gemma 3 has 262,144 rows: its logits and their gradient are the largest tensors of a step by far.
    Since the weight is frozen, the gradient of the hidden states follows at once from the probabilities, so that one
    buffer, reused for every chunk and step, holds logits, probabilities and their gradient in turn (the idea of Liger's
    and Apple's cut cross-entropy kernels).

    Args:
        weight: [vocabulary, width], frozen.
    """

    def __init__(self, weight: torch.Tensor) -> None:
        self.weight = weight
        room = _GPU_CHUNK_BYTES if weight.is_cuda else _CHUNK_BYTES
        self.rows = max(1, room // (weight.shape[0] * weight.element_size()))
        # A GPU has no cache to stay in, and pays for every kernel that is started.
        self._block = self.rows if weight.is_cuda else _BLOCK_ROWS
        # The matrix library copies its operands into its own layout: a slice of the weight at a time, not all 335 MB.
        step = weight.shape[0] if weight.is_cuda else _COLUMNS
        self._columns = [slice(start, start + step) for start in range(0, weight.shape[0], step)]
        self._buffer: torch.Tensor | None = None

    @torch.no_grad()
    def __call__(
        self, hidden: torch.Tensor, targets: torch.Tensor, *, gradient: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The losses, and the gradient of their sum.

        Args:
            hidden: [n, width] final hidden states (after the last norm), in the weight's dtype.
            targets: [n] ids.
            gradient: whether the gradient is wanted.

        Returns:
            ([n] float32 losses in nats, [n, width] gradient of their sum in hidden's dtype or None).
        """
        count = hidden.shape[0]
        losses = torch.empty(count, dtype=torch.float32, device=hidden.device)
        grad = torch.empty_like(hidden) if gradient else None
        rows = min(self.rows, count)
        if self._buffer is None or self._buffer.shape[0] < rows or self._buffer.device != hidden.device:
            self._buffer = torch.empty(rows, self.weight.shape[0], dtype=self.weight.dtype, device=hidden.device)
        for start in range(0, count, self.rows):
            part = slice(start, min(start + self.rows, count))
            logits = self._buffer[: part.stop - start]
            for columns in self._columns:
                torch.mm(hidden[part], self.weight[columns].t(), out=logits[:, columns])
            for first in range(start, part.stop, self._block):
                block = slice(first, min(first + self._block, part.stop))
                losses[block] = _probabilities_to_gradient(
                    logits[block.start - start : block.stop - start], targets[block]
                )
            if grad is not None:
                total = torch.zeros(logits.shape[0], hidden.shape[1], dtype=torch.float32, device=hidden.device)
                for columns in self._columns:
                    total += logits[:, columns] @ self.weight[columns]
                grad[part] = total.to(grad.dtype)
        return losses, grad


def _probabilities_to_gradient(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Turns a block of logits into the gradient of its losses, in place; returns the losses."""
    target = targets.unsqueeze(1)
    # Native softmax reads a row into float32, so in place is safe and the probabilities are rounded only once.
    torch.softmax(logits, -1, out=logits)
    chosen = logits.gather(1, target).float().squeeze(1)
    logits.scatter_(1, target, 0.0)
    # 1 - p of the target from the other entries: p itself, rounded to bf16 near 1, would lose all its digits.
    others = logits.sum(-1, dtype=torch.float32)
    logits.scatter_(1, target, -others.unsqueeze(1).to(logits.dtype))
    return torch.where(others < 0.5, -torch.log1p(-others.clamp(max=0.5)), -torch.log(chosen))


class InjectedGradient(torch.autograd.Function):
    """Gives ``hidden`` the gradient that `VocabularyLoss` has computed; the value is the loss it belongs to."""

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, grad: torch.Tensor, loss: torch.Tensor) -> torch.Tensor:
        """Keep ``grad`` for `backward` and give ``loss`` on."""
        ctx.save_for_backward(grad)
        return loss

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        """The kept gradient times that of the loss, for ``hidden`` alone."""
        (grad,) = ctx.saved_tensors
        return grad * grad_outputs[0].to(grad.dtype), None, None
