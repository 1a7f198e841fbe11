"""The base model with a LoRA adapter on it, ready to give losses and gradients.

Belongs here: loading, putting the adapter on, the float32 master weights beside the bf16 copies that compute, and the
plain engine over transformers' own forward. Does not belong here: optimisation (trainer.py), the hand-written forward
(fast.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch

from correctly_assets.core.errors import PermanentError

from .base_model import base_model_revision
from .config import TrainConfig
from .loss import InjectedGradient, VocabularyLoss
from .packing import Rows, choose_rows, lay_rows
from .rendering import Turn
from .torch_errors import is_failed_compile

_GRAPHS = 32  # of a layer: one row or more, masked or not, with its input's gradient or not, and room; torch allows 8


class Engine(Protocol):
    """Computes a batch's loss. Gradients are left at the adapter's masters or at their copies (`pull_gradients`)."""

    name: str

    def train(self, turns: Sequence[Turn]) -> float:
        """Forward and backward of the mean loss per learned token; returns that mean."""
        ...

    def losses(self, turns: Sequence[Turn]) -> list[torch.Tensor]:
        """Per turn the [learned] losses in nats, float32, without gradients."""
        ...


@dataclass
class Adapter:
    """A LoRA adapter: what is computed with and what is optimised.

    Attributes:
        model: the peft model around the base.
        names: the tensors' names as vLLM and peft read them from ``adapter_model.safetensors``.
        copies: compute copies in the base model's dtype; they carry the gradients.
        masters: float32 weights that the optimiser moves; same order.
    """

    model: Any
    names: list[str]
    copies: list[torch.nn.Parameter]
    masters: list[torch.nn.Parameter]

    def push(self) -> None:
        """Copy the masters into the compute copies."""
        with torch.no_grad():
            for copy, master in zip(self.copies, self.masters, strict=True):
                copy.data.copy_(master)

    def pull_gradients(self) -> None:
        """Move gradients that stand at the copies to the masters, in float32."""
        for master, copy in zip(self.masters, self.copies, strict=True):
            if copy.grad is not None:
                master.grad = copy.grad.float()
                copy.grad = None

    def tensors(self) -> dict[str, torch.Tensor]:
        """The masters by name, contiguous on the CPU."""
        return {n: m.detach().cpu().contiguous() for n, m in zip(self.names, self.masters, strict=True)}

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """Set the masters.

        Raises:
            PermanentError: names or shapes differ from this adapter's.
        """
        shapes = {name: master.shape for name, master in zip(self.names, self.masters, strict=True)}
        if {name: tensor.shape for name, tensor in tensors.items()} != shapes:
            raise PermanentError(
                "The adapter to start from does not fit: its rank, targets or base model differ from this run's. "
                "Start from the base model (CORRECTLY_TRAIN_START=base) or use the adapter's own settings."
            )
        with torch.no_grad():
            for name, master in zip(self.names, self.masters, strict=True):
                master.copy_(tensors[name])
        self.push()


def load_base(path: str, device: torch.device) -> Any:
    """The base model, frozen, in bf16 with fused attention.

    Raises:
        PermanentError: it cannot be read.
    """
    from transformers import AutoModelForCausalLM

    try:
        model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16, attn_implementation="sdpa")
    except (OSError, ValueError) as error:
        raise PermanentError(
            f"The base model {path} cannot be read ({error}). Run `make install`, or set CORRECTLY_BASE_MODEL."
        ) from error
    if getattr(model.config, "final_logit_softcapping", None):
        raise PermanentError(f"The base model {path} caps its logits, which this trainer does not do; choose another.")
    return model.to(device).eval()  # pyright: ignore[reportArgumentType]


def put_adapter_on(base: Any, config: TrainConfig) -> Adapter:
    """Wrap the base in a fresh LoRA adapter (A random under the seed, B zero) by peft, with float32 masters."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(config.seed)
    settings = LoraConfig(
        r=config.lora.rank,
        lora_alpha=config.lora.alpha,  # pyright: ignore[reportArgumentType]
        lora_dropout=config.lora.dropout,
        target_modules=config.lora.targets,
        bias="none",
        task_type="CAUSAL_LM",
    )
    return _with_masters(get_peft_model(base, settings), base.dtype)


def read_adapter_on(base: Any, directory: Path) -> Adapter:
    """Wrap the base in an adapter that stands in a directory, whichever modules it is for."""
    from peft import PeftModel

    return _with_masters(PeftModel.from_pretrained(base, str(directory), is_trainable=True), base.dtype)


def _with_masters(model: Any, dtype: torch.dtype) -> Adapter:
    from peft.utils import get_peft_model_state_dict

    model.train()
    by_pointer = {parameter.data_ptr(): parameter for parameter in model.parameters() if parameter.requires_grad}
    # Told that no embedding is trained, peft does not ask a hub whether one has grown.
    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    names, copies, masters = [], [], []
    for name in sorted(state):
        parameter = by_pointer[state[name].data_ptr()]
        masters.append(torch.nn.Parameter(parameter.detach().float().clone()))
        names.append(name)
        copies.append(parameter)
    for parameter in copies:
        # peft makes the adapter float32 and then casts every activation to it and back; the optimiser's float32 masters
        # keep the precision, and the products run in the model's own dtype, which is also how vLLM serves them.
        parameter.data = parameter.data.to(dtype)
    return Adapter(model, names, copies, masters)


class PlainEngine:
    """transformers' forward and autograd for any causal model; only completion positions meet the vocabulary.

    Args:
        compiled: have torch compile the layers. If it cannot, that is said, and training goes on without.
        pack: which batches are laid several turns to a row, as `packing.choose_rows` takes it.
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
        backend: str | Callable[..., Any] | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        causal = adapter.model.get_base_model()
        self._body: Any = causal.model
        self._adapter, self._device, self._say = adapter, device, say
        self._pack: Literal["auto"] | bool = pack
        self._apart: bool | None = None
        self._compiles = self._has_compiled = compiled
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
        laid = lay_rows(turns, rows)
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

    def _hidden(self, rows: Rows) -> torch.Tensor:
        # No mask where a row holds one turn: padding stands on the right, where a causal model never looks, and a mask
        # would cost the flash kernel. Where it holds several, transformers makes it from places that begin anew.
        places = {} if rows.places is None else {"position_ids": rows.places}
        hidden = self._body(input_ids=rows.ids, use_cache=False, **places).last_hidden_state
        return hidden.reshape(-1, hidden.shape[-1]).index_select(0, rows.predicts)

    def train(self, turns: Sequence[Turn]) -> float:
        rows = self._rows(turns)
        if self._compiles:
            try:
                return self._step(rows)
            except Exception as error:
                if not is_failed_compile(error):
                    raise
                self._compiles = False
                # A backward that failed half-way may have left some.
                for copy in self._adapter.copies:
                    copy.grad = None
                cause = getattr(error, "inner_exception", error)
                why = (str(cause).strip().splitlines() or ["no reason given"])[0]
                self._say(
                    f"Compiling failed ({type(cause).__name__}: {why}), so that training goes on without it, more slowly; "
                    "set compile to false to leave out the attempt."
                )
        with self._eager():
            return self._step(rows)

    def _eager(self) -> AbstractContextManager[Any]:
        return torch.compiler.set_stance("force_eager") if self._has_compiled else nullcontext()

    def _step(self, rows: Rows) -> float:
        hidden = self._hidden(rows)
        losses, grad = self._loss(hidden.detach(), rows.targets, gradient=True)
        assert grad is not None
        mean = losses.mean()
        injected: Any = InjectedGradient.apply(hidden, grad / len(rows.targets), mean)
        injected.backward()
        return float(mean)

    @torch.no_grad()
    def losses(self, turns: Sequence[Turn]) -> list[torch.Tensor]:
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


def choose_device(wanted: str) -> torch.device:
    """The device to train on.

    Raises:
        PermanentError: CUDA is asked for and absent.
    """
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise PermanentError("device is cuda but PyTorch sees no GPU; use auto or cpu, or install the GPU extra.")
    return torch.device("cuda" if available and wanted != "cpu" else "cpu")


def read_start(directory: Path, config: TrainConfig) -> dict[str, torch.Tensor]:
    """The tensors of the adapter to start from, of the strength that it has: where its alpha is another than this run's, B
    is scaled. Its rank is the adapter's shape, which `Adapter.load` looks at.

    Raises:
        PermanentError: it was trained on another revision of the base model, or does not say on which.
    """
    settings = json.loads((directory / "adapter_config.json").read_text(encoding="utf-8"))
    try:
        of = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))["base_model"]["revision"]
    except (FileNotFoundError, KeyError) as error:
        raise PermanentError(
            f"The adapter {directory.name} to start from does not say which base model it is of: take it in with "
            "`correctly adopt`, or start from the base model (CORRECTLY_TRAIN_START=base)."
        ) from error
    if of != base_model_revision(config.base_model):
        raise PermanentError(
            f"The adapter {directory.name} to start from was trained on another base model, or another revision of it, than "
            "this run's: start from the base model (CORRECTLY_TRAIN_START=base)."
        )
    strength = float(settings["lora_alpha"]) / config.lora.alpha
    return {n: t * strength if ".lora_B." in n else t for n, t in read_adapter(directory).items()}


def read_adapter(directory: Path) -> dict[str, torch.Tensor]:
    """An adapter's tensors, float32."""
    from safetensors.torch import load_file

    return {name: tensor.float() for name, tensor in load_file(directory / "adapter_model.safetensors").items()}
