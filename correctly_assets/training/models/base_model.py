"""The base model on disk: the embedded Gemma 3 270M converted once, or whatever directory is configured.

Belongs here: a base model's name and revision, and whether the embedded one stands there as it is made now. Does not belong
here: converting a GGUF file (convert_model.py), a hub's models (hub.py), training or serving it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from correctly_assets.training.models.vocabulary import trimming

MANIFEST = "correctly_base.json"
FORMAT = 2
"""Of the conversion: 2 since the tokenizer begins every text with ``<bos>``, as Gemma was trained."""

TRIMMED = "+"
"""Stands in a revision between the whole model's and the name of the trimming."""


def is_converted(target: Path, *, trim: bool = True) -> bool:
    """Whether the embedded model stands there in this format, with its vocabulary trimmed as it is now, or whole."""
    ending = f"-{FORMAT}{TRIMMED}{trimming()}" if trim else f"-{FORMAT}"
    try:
        return str(json.loads((target / MANIFEST).read_text())["revision"]).endswith(ending)
    except (OSError, ValueError, KeyError):
        return False


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


def base_name(base_model: str) -> str:
    """The name a base model is recorded under: its manifest's, its directory's last part, or the hub name."""
    directory = Path(base_model)
    if (directory / MANIFEST).exists():
        return str(json.loads((directory / MANIFEST).read_text())["name"])
    return directory.name if directory.is_dir() else base_model


def untrimmed(revision: str) -> str:
    """A base model's revision before its vocabulary was trimmed: itself where it was not.

    An adapter changes the linear layers alone, which trimming leaves as they are. So an adapter belongs to every base
    model with the same untrimmed revision, whichever of their vocabularies it was trained with.
    """
    return revision.partition(TRIMMED)[0]
