"""An adapter merged into its base model: one directory that any engine loads without knowing of adapters.

Belongs here: merging through peft, writing the weights with tokenizer and chat template, and the proof that they answer as
the adapter did. Does not belong here: GGUF (gguf_file.py), where the directory stands (workflows/export_adapter.py).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from correctly_assets.artifacts.manifests import AdapterManifest, read_manifest
from correctly_assets.core.errors import PermanentError
from correctly_assets.core.prompts import Prompts
from correctly_assets.core.training import Canary
from correctly_assets.training.models.base_model import MANIFEST
from correctly_assets.training.rendering import Renderer, exported_template, load_tokenizer

AGREES_WITHIN = 0.15
"""Nats a token by which merged weights in bf16 may answer otherwise than base and adapter apart: what serving allows."""


def merge_adapter(base_model: str, adapter_dir: Path, target: Path, prompts: Prompts) -> dict[str, float]:
    """Write ``target``: base plus adapter as bf16 safetensors, the tokenizer and the chat template the adapter knows.

    The sum is made in float32 and rounded once.

    Returns:
        ``{"from_training": nats a token by which the merged model differs from training on the canary}``.

    Raises:
        PermanentError: the weights cannot be read, or the merged model answers otherwise than the adapter.
    """
    manifest = read_manifest(adapter_dir, AdapterManifest)
    try:
        base = AutoModelForCausalLM.from_pretrained(base_model, dtype=torch.float32)
        merged: Any = PeftModel.from_pretrained(base, str(adapter_dir))
        merged = merged.merge_and_unload(safe_merge=True).to(torch.bfloat16).eval()
    except (OSError, ValueError) as error:
        raise PermanentError(f"The adapter {adapter_dir.name} cannot be merged into {base_model}: {error}.") from error
    renderer = Renderer(load_tokenizer(base_model), prompts)
    gap = distance_from_training(merged, renderer, manifest.canary)
    if not gap <= AGREES_WITHIN:
        raise PermanentError(
            f"The merged weights answer otherwise than the adapter {adapter_dir.name} did in training ({gap:.2f} nats a "
            f"token, at most {AGREES_WITHIN:g}); they were not written. Is {base_model} the base it was trained on?"
        )
    tokenizer = renderer.tokenizer
    tokenizer.chat_template = exported_template(renderer)
    merged.save_pretrained(target, safe_serialization=True)
    tokenizer.save_pretrained(target)
    named = manifest.base_model
    # With this the directory can be a base model of ours in turn (CORRECTLY_BASE_MODEL).
    record = {
        "name": f"{named.name}-{manifest.id}",
        "revision": manifest.id,
        "source": f"{named.name} at {named.revision}, adapter {manifest.id} merged",
        "licence": "gemma" if "gemma" in named.name.lower() else "the base model's",
    }
    (target / MANIFEST).write_text(json.dumps(record, indent=1) + "\n")
    return {"from_training": round(gap, 4)}


@torch.no_grad()
def distance_from_training(model: Any, renderer: Renderer, canaries: Sequence[Canary]) -> float:
    """Nats a completion token, averaged, by which a model differs from what training measured on the canary."""
    apart, tokens = 0.0, 0
    for canary in canaries:
        prompt = list(renderer.prompt_ids(canary.prompt))
        answer = list(renderer.completion_ids(canary.completion))[:-1]
        logits = model(torch.tensor([prompt + answer]), use_cache=False).logits[0, len(prompt) - 1 : -1].float()
        chosen = torch.log_softmax(logits, -1).gather(1, torch.tensor(answer)[:, None])
        apart += abs(float(chosen.sum()) - canary.adapter_logprob)
        tokens += len(answer)
    return apart / max(1, tokens)
