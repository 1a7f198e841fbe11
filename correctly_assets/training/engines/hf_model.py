"""The plain engine: transformers' own forward and autograd, for any causal model and any device.

Belongs here: how that forward is laid out, compiled, recorded and fallen back from. Does not belong here: the pieces
(packing.py, joined.py, graphs.py, loss.py), or which engine computes a run (engine.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from correctly_assets.core.errors import PermanentError
from correctly_assets.training.engines.cuda_graphs import Recording, Recordings, sees_all, widened
from correctly_assets.training.engines.fused_lora import join_products
from correctly_assets.training.engines.loss import InjectedGradient, VocabularyLoss
from correctly_assets.training.engines.packing import Rows, choose_rows, lay_rows, row_width
from correctly_assets.training.engines.torch_errors import first_line, is_failed_compile
from correctly_assets.training.models.lora_model import Adapter
from correctly_assets.training.rendering import Turn

_GRAPHS = 32  # of a layer: one row or more, masked or not, with its input's gradient or not, and room; torch allows 8

_MASKLESS = "correctly_maskless"


def _register_maskless() -> None:
    """Give transformers its own fused attention under a name for which no mask is ever made."""
    AttentionInterface.register(_MASKLESS, sdpa_attention_forward)
    AttentionMaskInterface.register(_MASKLESS, lambda *_, **__: None)


class PlainEngine:
    """transformers' forward and autograd for any causal model; only completion positions meet the vocabulary.

    Args:
        compiled: have torch compile the layers. If it cannot, that is said, and training goes on without.
        pack: which batches are laid several turns to a row, as `packing.choose_rows` takes it.
        joined: compute LoRA's products inside the base's (joined.py).
        graphs: record the passes of every shape of padded batch that comes more than once (graphs.py); CUDA only. If that
            cannot be, it is said, and training goes on without.
        backend: what compiles; by default inductor on a GPU. On a CPU the tracing alone, for inductor needs a C++
            compiler there.
        say: takes one line for the log.
    """

    name = "plain"

    def __init__(
        self,
        adapter: Adapter,
        device: torch.device,
        *,
        compiled: bool = False,
        pack: Literal["auto"] | bool = False,
        joined: bool = False,
        graphs: bool = False,
        backend: str | Callable[..., Any] | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        causal = adapter.model.get_base_model()
        self._body: Any = causal.model
        self._adapter, self._device, self._say = adapter, device, say
        self._pack: Literal["auto"] | bool = pack
        self._apart: bool | None = None
        self._compiles = self._has_compiled = compiled
        cuts = (getattr(self._body.config, name, None) for name in ("sliding_window", "attention_chunk_size"))
        self._window = min((cut for cut in cuts if cut), default=None)
        if joined:
            join_products(adapter.model)
        self._recordings: Recordings | None = None
        if graphs:
            _register_maskless()
            self._recordings = Recordings(self._causal_states, adapter.copies, say)
        if compiled:
            # The layers, not the whole: traced, transformers always makes a mask, which costs the flash kernel. One graph
            # serves batches of all lengths and most layers; there are more for a batch of one row, masks, the first layer.
            for layer in getattr(self._body, "layers", None) or [self._body]:
                chosen = backend or ("inductor" if device.type == "cuda" else "aot_eager")
                layer.compile(dynamic=True, backend=chosen, recompile_limit=_GRAPHS)
        self._loss = VocabularyLoss(causal.get_output_embeddings().weight)

    def _rows(self, turns: Sequence[Turn]) -> Rows:
        lengths = [turn.length for turn in turns]
        rows = choose_rows(lengths, self._pack, self._device.type)
        if len(rows) < len(turns) and not self._turns_stay_apart():
            rows = choose_rows(lengths, False, self._device.type)
        width = row_width(lengths, rows)
        if self._recordings and len(rows) == len(turns):
            width = widened(len(rows), width, self._window)
        laid = lay_rows(turns, rows, width=width)
        places = None if laid.places is None else laid.places.to(self._device)
        return Rows(laid.ids.to(self._device), places, laid.predicts.to(self._device), laid.targets.to(self._device))

    def _turns_stay_apart(self) -> bool:
        """Whether this model keeps a row's turns apart; looked at once.

        transformers makes the mask from places that begin anew, but not every architecture that it reads has only
        attention: a convolution or a state runs from one turn into the next.

        Raises:
            PermanentError: it does not, and packing is demanded.
        """
        text = "This base model mixes turns that share a row"
        if self._apart is None:
            self._apart = turns_stay_apart(self._body, self._device)
            if not self._apart and self._pack == "auto":
                self._say(f"{text}, so that batches are padded instead.")
        if not self._apart and self._pack is True:
            raise PermanentError(f"{text}; set pack to auto or false.")
        return self._apart

    def _recordable(self, rows: Rows) -> bool:
        return self._recordings is not None and rows.places is None and sees_all(rows.ids.shape[1], self._window)

    def _states(self, rows: Rows) -> torch.Tensor:
        # No mask where a row holds one turn: padding stands on the right, where a causal model never looks, and a mask
        # would cost the flash kernel. Where it holds several, transformers makes it from places that begin anew.
        if self._recordable(rows):
            return self._causal_states(rows.ids)
        places = {} if rows.places is None else {"position_ids": rows.places}
        return self._body(input_ids=rows.ids, use_cache=False, **places).last_hidden_state

    def _causal_states(self, ids: torch.Tensor) -> torch.Tensor:
        """States of rows that need no mask, without the question on the host whether they do, which cannot be recorded."""
        config = self._body.config
        before = config._attn_implementation
        config._attn_implementation = _MASKLESS
        try:
            return self._body(input_ids=ids, use_cache=False).last_hidden_state
        finally:
            config._attn_implementation = before

    def _hidden(self, rows: Rows) -> torch.Tensor:
        states = self._states(rows)
        return states.reshape(-1, states.shape[-1]).index_select(0, rows.predicts)

    def train(self, turns: Sequence[Turn]) -> float:
        """Forward and backward of the mean loss per learned token; returns that mean, in nats.

        Raises:
            OutOfMemoryError: also after the recorded steps were given up, whose memory is freed first.
        """
        rows = self._rows(turns)
        try:
            return self._attempt(rows)
        except torch.OutOfMemoryError:
            if self._recordings is None or not self._recordings.drop():
                raise
        self._say("Memory ran short, so that steps are recorded no more; training goes on without, more slowly.")
        self._forget_gradients()
        return self._attempt(rows)

    def _attempt(self, rows: Rows) -> float:
        if self._compiles:
            try:
                return self._step(rows)
            except Exception as error:
                if not is_failed_compile(error):
                    raise
                self._compiles = False
                self._forget_gradients()
                cause = getattr(error, "inner_exception", error)
                self._say(
                    f"Compiling failed ({type(cause).__name__}: {first_line(cause)}), so that training goes on without it, more slowly; "
                    "set compile to false to leave out the attempt."
                )
        with self._eager():
            return self._step(rows)

    def _forget_gradients(self) -> None:
        """A backward that failed half-way may have left some."""
        for copy in self._adapter.copies:
            copy.grad = None

    def _eager(self) -> AbstractContextManager[Any]:
        return torch.compiler.set_stance("force_eager") if self._has_compiled else nullcontext()

    def _step(self, rows: Rows) -> float:
        if self._recordings and self._recordable(rows) and (recording := self._recordings.find(rows.ids)):
            return self._replayed(recording, rows)
        hidden = self._hidden(rows)
        losses, grad = self._loss(hidden.detach(), rows.targets, gradient=True)
        assert grad is not None
        mean = losses.mean()
        injected: Any = InjectedGradient.apply(hidden, grad / len(rows.targets), mean)
        injected.backward()
        return float(mean)

    @torch.no_grad()
    def _replayed(self, recording: Recording, rows: Rows) -> float:
        recording.forward()
        width = recording.states.shape[-1]
        losses, grad = self._loss(
            recording.states.view(-1, width).index_select(0, rows.predicts), rows.targets, gradient=True
        )
        assert grad is not None
        recording.gradient.zero_().view(-1, width).index_copy_(0, rows.predicts, grad / len(rows.targets))
        recording.backward()
        for copy, found in zip(self._adapter.copies, recording.gradients, strict=True):
            copy.grad = found
        return float(losses.mean())

    @torch.no_grad()
    def losses(self, turns: Sequence[Turn]) -> list[torch.Tensor]:
        """Per turn the [learned] losses in nats, float32, without gradients."""
        rows = self._rows(turns)
        self._body.eval()
        # The few batches that are measured would not pay for graphs of their own.
        with self._eager():
            losses, _ = self._loss(self._hidden(rows), rows.targets, gradient=False)
        self._body.train()
        return list(losses.split([turn.learned for turn in turns]))


@torch.no_grad()
def turns_stay_apart(body: Any, device: torch.device) -> bool:
    """Whether a turn's states are the same whichever turn stands before it in its row."""
    training = body.training
    body.eval()
    length = 8
    places = torch.arange(length, device=device).repeat(2).unsqueeze(0)
    second = torch.arange(length)
    states: list[torch.Tensor] = []
    for first in (second, second.flip(0)):
        ids = torch.cat([first, second]).unsqueeze(0).to(device)
        with torch.compiler.set_stance("force_eager"):
            hidden = body(input_ids=ids, position_ids=places, use_cache=False).last_hidden_state
        states.append(hidden[0, length:].float())
    body.train(training)
    # Not to the last bit: a kernel may sum in another order.
    return bool((states[0] - states[1]).abs().max() <= 0.01 * states[0].abs().max())
