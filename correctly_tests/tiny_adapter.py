"""An adapter of a tiny base model, as training leaves one, for the fake engine.

Belongs here: writing base model and adapter. Does not belong here: a test.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from correctly_assets.artifacts.directory import write_artefact
from correctly_assets.artifacts.manifests import AdapterManifest
from correctly_assets.settings import Settings
from correctly_assets.training.adapter import CONTENT
from correctly_assets.training.card import ELSEWHERE
from correctly_tests.serving_fakes import canary


def put_base(settings: Settings, revision: str = "r1") -> None:
    """One layer's one matrix where the settings' base model should be."""
    base = Path(settings.base_model_path)
    base.mkdir(parents=True, exist_ok=True)
    save_file({"model.layers.0.self_attn.q_proj.weight": np.zeros((6, 6), np.float32)}, base / "model.safetensors")
    (base / "correctly_base.json").write_text(json.dumps({"name": "tiny", "revision": revision}))


def put_adapter(settings: Settings, seed: int, revision: str = "r1") -> str:
    """An adapter whose files pass every rule and whose canary agrees with the fake engine; returns its ID."""
    put_base(settings, revision)

    def fill(directory: Path) -> None:
        name = "base_model.model.model.layers.0.self_attn.q_proj"
        tensors = {
            f"{name}.lora_A.weight": np.ones((8, 6), np.float32),
            f"{name}.lora_B.weight": np.full((6, 8), 0.1 + seed, np.float32),
        }
        save_file(tensors, directory / "adapter_model.safetensors")
        config = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "bias": "none", "base_model_name_or_path": "tiny"}
        (directory / "adapter_config.json").write_text(json.dumps(config))

    manifest = AdapterManifest.model_validate(
        {
            "canary": [canary()],
            "base_model": {"name": "tiny", "revision": revision},
            "prompt_sha256": "none",
            "origin": ELSEWHERE,
            "rows_digest": f"rows-{seed}",
            "recipe": {},
            "recipe_digest": "recipe",
        }
    )
    return write_artefact(settings.platform.adapters_dir, fill, content=CONTENT, manifest=manifest)[0]
