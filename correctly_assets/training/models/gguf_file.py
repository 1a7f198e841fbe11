"""A merged Gemma 3 as one GGUF file, for llama.cpp and whatever is built on it.

Belongs here: the file's keys and tensors, and the proof that it answers as the weights it was made from. Does not belong
here: merging (merging.py), quantising further (llama-quantize does that from this file).

The package ``gguf`` carries the format and the tensors' names but no converter; the one package that carries llama.cpp's
converter overwrites ``gguf`` itself. So the file is written here, for the one architecture that is checked here. The
vocabulary is copied from a GGUF file of the base model, since a converted tokenizer no longer holds the scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from correctly_assets.core.errors import PermanentError
from correctly_assets.training.models.gemma_config import read_gemma_config
from correctly_assets.training.models.vocabulary import copy_field

CLOSE = 1e-3
"""Greatest difference of any logit in float32. The file holds the very bf16 weights, so that none is expected."""

ANSWER_TOKENS = 16


def write_gguf(model_dir: Path, vocabulary: Path, target: Path, *, name: str) -> None:
    """Write the weights of a Gemma 3 directory as GGUF: matrices in bf16 as they are, norms in float32.

    Args:
        vocabulary: a GGUF file of the same base model; its ``tokenizer.*`` and descriptive ``general.*`` keys are taken.
        name: written as ``general.name``.

    Raises:
        PermanentError: the architecture is not the one llama.cpp computes as ``gemma3``, or the vocabularies differ.
    """
    config = read_gemma_config(model_dir)
    source = gguf.GGUFReader(vocabulary)
    rows = _rows_of_vocabulary(source, model_dir, config.vocab_size)
    writer = gguf.GGUFWriter(target, "gemma3")
    kept = ("general.type", "general.basename", "general.size_label", "general.license", "general.tags")
    for key, field in source.fields.items():
        if key in kept or (key.startswith("tokenizer.") and key != "tokenizer.chat_template"):
            copy_field(writer, key, field, rows)
    writer.add_name(name)
    template = model_dir / "chat_template.jinja"
    if template.is_file():
        writer.add_chat_template(template.read_text(encoding="utf-8"))
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["full_attention"].rope_theta)
    writer.add_sliding_window(config.sliding_window)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.GEMMA3, config.num_hidden_layers)
    for file in sorted(model_dir.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118 - safe_open is no mapping
                named = names.get_name(key, try_suffixes=(".weight",))
                if named is None:
                    raise PermanentError(f"{key} of {model_dir} is no tensor that GGUF knows for Gemma 3.")
                tensor = tensors.get_tensor(key)
                if key.endswith("norm.weight"):
                    # Gemma multiplies by 1 + weight; in GGUF the sum is stored.
                    writer.add_tensor(named, (tensor.float() + 1).numpy())
                else:
                    raw = tensor.to(torch.bfloat16).contiguous().view(torch.uint8).numpy()
                    writer.add_tensor(named, raw, raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def check_gguf(model_dir: Path, file: Path, prompts: Sequence[str]) -> dict[str, float]:
    """Load the file back and compare its greedy answers and all their logits with those of the weights, in float32.

    Returns:
        ``{"prompts", "tokens", "max_logit_difference"}``.

    Raises:
        PermanentError: another token would be chosen somewhere, or a logit is further apart than `CLOSE`.
    """
    tokenizer: Any = AutoTokenizer.from_pretrained(model_dir)
    asked = [list(tokenizer(text)["input_ids"]) for text in prompts]
    answers: list[tuple[list[int], torch.Tensor]] = []
    with torch.no_grad():
        meant: Any = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32).eval()
        for ids in asked:
            answer: list[int] = []
            steps: list[torch.Tensor] = []
            past, fed = None, ids
            while len(answer) < ANSWER_TOKENS:
                out = meant(torch.tensor([fed]), past_key_values=past, use_cache=True, logits_to_keep=1)
                steps.append(out.logits[0, -1].clone())
                answer.append(int(steps[-1].argmax()))
                past, fed = out.past_key_values, answer[-1:]
            answers.append((answer, torch.stack(steps)))
        del meant
        written: Any = AutoModelForCausalLM.from_pretrained(
            file.parent,
            gguf_file=file.name,
            dtype=torch.float32,
            quantization_config=GgufConfig(dequantize=True),
        ).eval()
        furthest = 0.0
        for ids, (answer, expected) in zip(asked, answers, strict=True):
            whole = torch.tensor([ids + answer[:-1]])
            found = written(whole, use_cache=False, logits_to_keep=ANSWER_TOKENS).logits[0]
            apart = float((found - expected).abs().max())
            if not apart <= CLOSE or not torch.equal(found.argmax(-1), expected.argmax(-1)):
                raise PermanentError(
                    f"The GGUF file answers otherwise than the weights it was made from (a logit is {apart:.3g} away); "
                    "it was not kept."
                )
            furthest = max(furthest, apart)
    return {"prompts": len(prompts), "tokens": ANSWER_TOKENS * len(prompts), "max_logit_difference": furthest}


def _rows_of_vocabulary(source: Any, model_dir: Path, size: int) -> list[int]:
    """Where the model's tokens stand in the GGUF file's vocabulary, in ascending order: all of it, or what trimming left.

    Raises:
        PermanentError: they are no part of that vocabulary, or in another order.
    """
    field = source.get_field("tokenizer.ggml.tokens")
    # llama.cpp's converter writes runs of blanks as blanks where the tokenizer has its mark for one.
    tokens = [token.replace("▁", " ") for token in (field.contents() if field is not None else [])]
    tokenizer: Any = AutoTokenizer.from_pretrained(model_dir)
    rows: list[int] = []
    try:
        for token in tokenizer.convert_ids_to_tokens(list(range(size))):
            rows.append(tokens.index(token.replace("▁", " "), rows[-1] + 1 if rows else 0))
    except (ValueError, AttributeError) as error:  # not in the file, or no token at all
        raise PermanentError(
            "The base model's tokens are not those of the packaged GGUF file, from which a vocabulary could be copied. "
            "Export with --format merged and convert that with llama.cpp's convert_hf_to_gguf.py."
        ) from error
    return rows
