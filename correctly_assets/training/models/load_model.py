"""Loading a base model and putting a LoRA adapter on it.

Belongs here: what needs transformers and PEFT, which take seconds to load. Does not belong here: what an adapter and an engine
are (lora_model.py), which whoever only plans a run asks too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict
from transformers import AutoModelForCausalLM

from correctly_assets.core.errors import PermanentError
from correctly_assets.training.config import TrainConfig
from correctly_assets.training.models.lora_model import Adapter


def load_base(path: str, device: torch.device) -> Any:
    """The base model, frozen, in bf16 with fused attention.

    Raises:
        PermanentError: it cannot be read.
    """
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
    return _with_masters(PeftModel.from_pretrained(base, str(directory), is_trainable=True), base.dtype)


def _with_masters(model: Any, dtype: torch.dtype) -> Adapter:
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
