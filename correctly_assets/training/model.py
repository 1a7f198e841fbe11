"""The base model with a LoRA adapter on it, ready to give losses and gradients.

Belongs here: loading, putting the adapter on, the float32 master weights beside the bf16 copies that compute, and the
plain engine over transformers' own forward. Does not belong here: optimisation (trainer.py), the hand-written forward
(fast.py).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from correctly_assets.core.errors import PermanentError

from .base_model import base_model_revision
from .config import TrainConfig
from .loss import InjectedGradient, VocabularyLoss
from .rendering import Turn


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
    """transformers' forward and autograd for any causal model; only completion positions meet the vocabulary."""

    name = "plain"

    def __init__(self, adapter: Adapter, device: torch.device, *, compiled: bool = False) -> None:
        causal = adapter.model.get_base_model()
        # One graph for batches of all lengths; on a CPU the tracing alone, for inductor needs a C++ compiler there.
        backend = "inductor" if device.type == "cuda" else "aot_eager"
        self._body: Any = torch.compile(causal.model, dynamic=True, backend=backend) if compiled else causal.model
        self._device = device
        self._loss = VocabularyLoss(causal.get_output_embeddings().weight)

    def _pack(self, turns: Sequence[Turn]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Right-padded ids [n, length], flat indices of the positions that predict, and what they predict."""
        length = max(turn.length for turn in turns)
        ids = torch.zeros(len(turns), length, dtype=torch.long)
        positions: list[int] = []
        targets: list[int] = []
        for row, turn in enumerate(turns):
            ids[row, : turn.length] = torch.tensor(turn.ids)
            positions += range(row * length + turn.prompt_length - 1, row * length + turn.length - 1)
            targets += turn.ids[turn.prompt_length :]
        return (
            ids.to(self._device),
            torch.tensor(positions, device=self._device),
            torch.tensor(targets, device=self._device),
        )

    def _hidden(self, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        # No mask: padding stands on the right, where a causal model never looks; a mask would cost the fused kernel.
        hidden = self._body(input_ids=ids, use_cache=False).last_hidden_state
        return hidden.reshape(-1, hidden.shape[-1]).index_select(0, positions)

    def train(self, turns: Sequence[Turn]) -> float:
        ids, positions, targets = self._pack(turns)
        hidden = self._hidden(ids, positions)
        losses, grad = self._loss(hidden.detach(), targets, gradient=True)
        assert grad is not None
        mean = losses.mean()
        injected: Any = InjectedGradient.apply(hidden, grad / len(targets), mean)
        injected.backward()
        return float(mean)

    @torch.no_grad()
    def losses(self, turns: Sequence[Turn]) -> list[torch.Tensor]:
        ids, positions, targets = self._pack(turns)
        self._body.eval()
        losses, _ = self._loss(self._hidden(ids, positions), targets, gradient=False)
        self._body.train()
        return list(losses.split([turn.learned for turn in turns]))


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
