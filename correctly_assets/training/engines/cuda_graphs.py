"""A model's forward and backward pass as CUDA graphs, so that a step starts two programs instead of thousands of kernels.

Belongs here: recording a shape and replaying it. Does not belong here: the loss between the passes, or when graphs are used
(plain.py).

A step of 64 sentences took an H100 192 ms for Gemma 3 1B, nearly all of it starting kernels, and takes 54 recorded and with what
else was done for it (benchmarks/train_notes.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from correctly_assets.training.engines.torch_errors import first_line

MOST_POSITIONS = 8192
"""Positions of a batch that is recorded. Larger ones keep a GPU busy for longer than it takes to start their kernels (Gemma 3
1B on an H100: 156 of the 160 ms of a step of 16,000 positions), and recordings hold memory of their own."""

MAX_GRAPHS = 64
"""Recordings that are kept: each holds its own states, their gradient and the adapter's; by reckoning at most 65 MB for Gemma 3
1B."""

WIDTHS = 8
"""Rows of a batch that is recorded are widened to a multiple, so that few shapes serve all: by three or four positions on average."""


class Recording:
    """One shape's forward and backward pass.

    Args:
        run: ids [rows, width] → states [rows, width, hidden]; reads and writes nothing on the host.
        parameters: whose gradients are wanted.
        pool: memory shared with other recordings, which are never under way at once.

    Attributes:
        ids: where the next batch is put before `forward`.
        states: what `forward` computed; overwritten by the next.
        gradient: where the gradient of ``states`` is put before `backward`.
        gradients: the parameters', after `backward`; overwritten by the next.

    Raises:
        RuntimeError: the passes cannot be recorded.
    """

    def __init__(self, run: Callable[[Tensor], Tensor], parameters: Sequence[Tensor], ids: Tensor, pool: Any) -> None:
        self.ids = ids.clone()
        # What is made at first use (a library's handles, its choice of kernels) must not be part of a recording.
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            states = run(self.ids)
            torch.autograd.grad(states, parameters, torch.zeros_like(states))
        torch.cuda.current_stream().wait_stream(side)
        del states
        self._forward, self._backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._forward, pool=pool):
            states = run(self.ids)
        self.gradient = torch.zeros_like(states)
        with torch.cuda.graph(self._backward, pool=pool):
            self.gradients = torch.autograd.grad(states, parameters, self.gradient)
        self.states = states.detach()

    def forward(self) -> None:
        """Replay the forward pass over ``ids``; ``states`` holds the result."""
        self._forward.replay()

    def backward(self) -> None:
        """Replay the backward pass from ``gradient``; ``gradients`` holds the result."""
        self._backward.replay()


class Recordings:
    """Recordings by shape, each made when its shape comes a second time.

    Args:
        run, parameters: as `Recording` takes them.
        say: takes one line for the log, should recording fail; there is no more of it then.
    """

    def __init__(
        self, run: Callable[[Tensor], Tensor], parameters: Sequence[Tensor], say: Callable[[str], None]
    ) -> None:
        self._run, self._parameters, self._say = run, parameters, say
        self._seen: Counter[tuple[int, ...]] = Counter()
        self._made: dict[tuple[int, ...], Recording] = {}
        self._pool = torch.cuda.graph_pool_handle()
        self._works = True

    def find(self, ids: Tensor) -> Recording | None:
        """The recording for a batch's shape, with the batch put into it; None where there is none."""
        shape = tuple(ids.shape)
        if ids.numel() > MOST_POSITIONS:
            return None
        self._seen[shape] += 1
        if shape not in self._made and self._works and self._seen[shape] > 1 and len(self._made) < MAX_GRAPHS:
            # What the unrecorded steps have left cached would stand beside what the recording takes.
            torch.cuda.empty_cache()
            try:
                self._made[shape] = Recording(self._run, self._parameters, ids, self._pool)
            except RuntimeError as error:
                self.drop()
                self._say(
                    f"Recording a step failed ({first_line(error)}), so that training goes on without, more slowly; set graphs to false "
                    "to leave out the attempt."
                )
        recording = self._made.get(shape)
        if recording is not None:
            recording.ids.copy_(ids)
        return recording

    def drop(self) -> bool:
        """Give up what was recorded, with its memory, and record no more; whether there was something to give up."""
        held = bool(self._made)
        self._works = False
        self._made.clear()
        torch.cuda.empty_cache()
        return held


def widened(rows: int, width: int, window: int | None) -> int:
    """The width that rows of one turn each are given: a multiple of `WIDTHS` where they can be recorded then, else their own.

    Args:
        window: how far back every layer sees; None for all the way.
    """
    wider = -(-width // WIDTHS) * WIDTHS
    return wider if rows * wider <= MOST_POSITIONS and sees_all(wider, window) else width


def sees_all(width: int, window: int | None) -> bool:
    """Whether no layer's window or chunk cuts rows of this width, so that they need no mask."""
    return window is None or width <= window
