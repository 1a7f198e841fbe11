"""The rules an adapter directory keeps so that vLLM can serve it, checked from its files alone.

Belongs here: the static rules and their names. Does not belong here: loading the adapter into an engine or proving its
answers (engine/). Importable without torch.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel
from safetensors import SafetensorError, safe_open

from correctly_assets.artifacts.files import hash_files
from correctly_assets.artifacts.manifests import AdapterManifest, ManifestError, read_manifest
from correctly_assets.core.errors import AdapterRefused
from correctly_assets.core.hashing import content_id
from correctly_assets.training.config import ALLOWED_RANKS
from correctly_assets.training.models.base_model import base_model_revision, untrimmed

CONTENT = ["adapter_config.json", "adapter_model.safetensors"]
"""The files whose bytes make an adapter's ID."""

_PREFIX = "base_model.model."
_TOKENIZER_FILES = {
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt", "chat_template.jinja",
}  # fmt: skip
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")


class PeftConfig(BaseModel):
    """What is read of ``adapter_config.json``. Any value is taken, so that the rules can say what is wrong with it."""

    peft_type: Any = None
    r: Any = None
    lora_alpha: Any = None
    target_modules: Any = None
    base_model_name_or_path: Any = None
    revision: Any = None
    peft_version: Any = None
    use_dora: Any = None
    use_rslora: Any = None
    bias: Any = "none"
    lora_bias: Any = None
    modules_to_save: Any = None
    rank_pattern: Any = None
    alpha_pattern: Any = None


def check_adapter(directory: Path, base_model_dir: Path) -> AdapterManifest:
    """Check every rule an adapter must keep before vLLM sees it.

    Args:
        directory: ``adapters/ID``.
        base_model_dir: the base model's directory (config and safetensors headers are read, no weights).

    Returns:
        The adapter's manifest.

    Raises:
        AdapterRefused: with the broken rule's name: ``files safetensors_only no_tokenizer config rank no_dora no_bias
        no_rslora no_modules_to_save manifest hashes base keys shapes pairs finite nonzero``.
    """
    config = _check_files(directory)
    _check_config(config)
    manifest = _check_manifest(directory)
    _check_base(config, manifest, base_model_dir)
    modules = _linear_shapes(base_model_dir)
    _check_tensors(directory / "adapter_model.safetensors", int(config.r), modules)
    return manifest


def check_foreign(directory: Path, base_model_dir: Path) -> PeftConfig:
    """Check every rule that an adapter without a manifest of ours can keep, before it gets one.

    Returns:
        The adapter's own config.

    Raises:
        AdapterRefused: as `check_adapter`.
    """
    if not directory.is_dir():
        raise AdapterRefused("files", f"{directory} is no directory; name the one that holds adapter_config.json.")
    config = _check_files(directory)
    _check_config(config)
    if not config.base_model_name_or_path:
        raise AdapterRefused("base", "adapter_config.json names no base model.")
    _check_tensors(directory / "adapter_model.safetensors", int(config.r), _linear_shapes(base_model_dir))
    return config


def _check_files(directory: Path) -> PeftConfig:
    for name in CONTENT:
        if not (directory / name).is_file():
            raise AdapterRefused("files", f"{directory / name} is missing; train again or adopt a complete adapter.")
    present = sorted(path.name for path in directory.iterdir())
    for name in present:
        if name in _TOKENIZER_FILES:
            # vLLM would take the adapter's tokenizer over the base model's for its requests.
            raise AdapterRefused("no_tokenizer", f"{name} must not lie in an adapter; remove it.")
        if name.endswith(_PICKLES):
            raise AdapterRefused("safetensors_only", f"{name} can hold code; keep weights in safetensors only.")
    try:
        config = json.loads((directory / "adapter_config.json").read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise AdapterRefused("config", f"adapter_config.json is not JSON: {error}.") from error
    if not isinstance(config, dict):
        raise AdapterRefused("config", "adapter_config.json is not an object.")
    return PeftConfig.model_validate(config)


def _check_config(config: PeftConfig) -> None:
    if config.peft_type != "LORA":
        raise AdapterRefused("config", f"peft_type is {config.peft_type!r}; only LORA can be served.")
    if config.r not in ALLOWED_RANKS:
        raise AdapterRefused("rank", f"rank {config.r} is none of {', '.join(map(str, ALLOWED_RANKS))}.")
    alpha = config.lora_alpha
    if not isinstance(alpha, int | float) or not math.isfinite(alpha) or alpha <= 0:
        raise AdapterRefused("config", f"lora_alpha is {alpha!r}, not a positive number.")
    if config.use_dora:
        raise AdapterRefused("no_dora", "vLLM does not serve DoRA; train without it.")
    if config.bias != "none" or config.lora_bias:
        raise AdapterRefused("no_bias", "vLLM does not serve LoRA biases; train with bias none.")
    if config.use_rslora:
        raise AdapterRefused(
            "no_rslora", "rank-stabilised scaling is read differently across versions; set alpha instead."
        )
    if config.modules_to_save:
        raise AdapterRefused("no_modules_to_save", "vLLM does not serve fully trained modules beside LoRA.")
    if config.rank_pattern or config.alpha_pattern:
        raise AdapterRefused(
            "rank", "ranks or alphas that differ by module are not served; use one rank and one alpha."
        )


def _check_manifest(directory: Path) -> AdapterManifest:
    try:
        manifest = read_manifest(directory, AdapterManifest)
    except ManifestError as error:
        raise AdapterRefused("manifest", str(error)) from error
    hashes = hash_files(directory, CONTENT)
    if manifest.files != hashes or manifest.id != content_id(hashes):
        raise AdapterRefused(
            "hashes", f"the files of {directory.name} are not those that its manifest names; they were changed."
        )
    return manifest


def _check_base(config: PeftConfig, manifest: AdapterManifest, base_model_dir: Path) -> None:
    base = manifest.base_model
    if not config.base_model_name_or_path or not base.name or not base.revision:
        raise AdapterRefused("base", "the base model's name or revision is not recorded.")
    if untrimmed(base.revision) != untrimmed(base_model_revision(str(base_model_dir))):
        raise AdapterRefused(
            "base",
            f"it was trained on {base.name} at another revision than {base_model_dir.name}: set CORRECTLY_BASE_MODEL to the "
            "model that it was trained on, or wait until the retrain sensor has had an adapter of this one trained.",
        )


def _linear_shapes(base_model_dir: Path) -> dict[str, tuple[int, int]]:
    """{module name: (out, in)} of the base model's matrices, from the safetensors headers alone."""
    shapes: dict[str, tuple[int, int]] = {}
    for file in sorted(base_model_dir.glob("*.safetensors")):
        with safe_open(file, framework="np") as tensors:
            for key in tensors.keys():  # noqa: SIM118 - safe_open is no mapping
                shape = tensors.get_slice(key).get_shape()
                if (
                    key.endswith(".weight")
                    and len(shape) == 2
                    and "embed_tokens" not in key
                    and not key.startswith("lm_head")
                ):
                    shapes[key.removesuffix(".weight")] = (shape[0], shape[1])
    if not shapes:
        raise AdapterRefused("base", f"no safetensors weights lie in {base_model_dir}.")
    return shapes


def _check_tensors(file: Path, rank: int, modules: dict[str, tuple[int, int]]) -> None:
    found: dict[str, set[str]] = {}
    nonzero = False
    try:
        with safe_open(file, framework="np") as tensors:
            for key in tensors.keys():  # noqa: SIM118
                module, side = _split_key(key)
                if module not in modules:
                    raise AdapterRefused("keys", f"{key} matches no matrix of the base model.")
                out, width = modules[module]
                wanted = [rank, width] if side == "A" else [out, rank]
                if tensors.get_slice(key).get_shape() != wanted:
                    raise AdapterRefused("shapes", f"{key} is {tensors.get_slice(key).get_shape()}, not {wanted}.")
                if tensors.get_slice(key).get_dtype() not in ("F32", "F16"):
                    raise AdapterRefused(
                        "dtype", f"{key} is {tensors.get_slice(key).get_dtype()}; adapters are kept in float32."
                    )
                values = tensors.get_tensor(key)
                if not np.isfinite(values).all():
                    raise AdapterRefused("finite", f"{key} holds NaN or infinite numbers.")
                nonzero = nonzero or (side == "B" and bool(np.any(values)))
                found.setdefault(module, set()).add(side)
    except SafetensorError as error:
        raise AdapterRefused("files", f"{file.name} is damaged: {error}.") from error
    if not found:
        raise AdapterRefused("keys", f"{file.name} holds no tensors.")
    for module, sides in found.items():
        if sides != {"A", "B"}:
            raise AdapterRefused("pairs", f"{module} has lora_{''.join(sides)} without its partner.")
    if not nonzero:
        raise AdapterRefused("nonzero", "every B matrix is zero, so that the adapter changes nothing.")


def _split_key(key: str) -> tuple[str, str]:
    for side in ("A", "B"):
        suffix = f".lora_{side}.weight"
        if key.startswith(_PREFIX) and key.endswith(suffix):
            return key.removeprefix(_PREFIX).removesuffix(suffix), side
    raise AdapterRefused("keys", f"{key} is not named base_model.model.MODULE.lora_A.weight or lora_B.weight.")
