"""The config of a Gemma 3 text model, as far as a GGUF file repeats it or is silent about it.

Belongs here: reading it, and what of it llama.cpp would compute otherwise. Does not belong here: writing the file (gguf_file.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError, model_validator

from correctly_assets.core.errors import PermanentError

_SLIDING_PATTERN = 6
_SLIDING_ROPE = 10_000.0


class Rope(BaseModel):
    """How one kind of layer encodes positions."""

    rope_theta: float
    rope_type: str | None = None


class GemmaConfig(BaseModel):
    """``config.json`` of a Gemma 3 text model."""

    vocab_size: int
    max_position_embeddings: int
    hidden_size: int
    num_hidden_layers: int
    intermediate_size: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    rms_norm_eps: float
    sliding_window: int
    rope_parameters: dict[str, Rope]
    layer_types: list[str] | None = None
    query_pre_attn_scalar: float
    final_logit_softcapping: float | None = None
    attn_logit_softcapping: float | None = None
    tie_word_embeddings: bool | None = True

    @model_validator(mode="before")
    @classmethod
    def _earlier_rope(cls, config: Any) -> Any:
        """Take the form in which the rotary embeddings stood before transformers 5."""
        if "full_attention" in (config.get("rope_parameters") or {}):
            return config
        full = {"rope_theta": config.get("rope_theta"), "rope_type": "default"}
        sliding = {"rope_theta": config.get("rope_local_base_freq", _SLIDING_ROPE), "rope_type": "default"}
        return {**config, "rope_parameters": {"full_attention": full, "sliding_attention": sliding}}


class _Kind(BaseModel):
    model_type: str | None = None


def read_gemma_config(model_dir: Path) -> GemmaConfig:
    """Read a model's config, and refuse one for which llama.cpp fixes otherwise what it says: it would answer wrongly in silence.

    Raises:
        PermanentError: it is no Gemma 3 text model, or an unusual one; the message names what.
    """
    text = (model_dir / "config.json").read_text(encoding="utf-8")
    try:
        kind = _Kind.model_validate_json(text).model_type
        if kind != "gemma3_text":
            raise PermanentError(
                f"A GGUF file can be written here for Gemma 3 text models, not for {kind}. Export with "
                "--format merged and convert that with llama.cpp's convert_hf_to_gguf.py."
            )
        config = GemmaConfig.model_validate_json(text)
    except ValidationError as error:
        raise PermanentError(
            f"{model_dir / 'config.json'} is no config of a Gemma 3 ({error.errors()[0]['msg']}); write the model again."
        ) from error
    if wrong := _unusual(config):
        raise PermanentError(
            f"This Gemma 3 has {', '.join(wrong)}, which llama.cpp would not compute; export with --format merged."
        )
    return config


def _unusual(config: GemmaConfig) -> list[str]:
    """What llama.cpp would compute otherwise."""
    rope = config.rope_parameters
    layers = config.layer_types or []
    usual = ["full_attention" if (i + 1) % _SLIDING_PATTERN == 0 else "sliding_attention" for i in range(len(layers))]
    sliding = rope.get("sliding_attention")
    return [
        difference
        for difference, usual_value in (
            ("layers of another order", layers == usual),
            ("another sliding rope base", sliding is not None and sliding.rope_theta == _SLIDING_ROPE),
            ("scaled rotary embeddings", all(one.rope_type == "default" for one in rope.values())),
            ("another attention scale", config.query_pre_attn_scalar == config.head_dim),
            ("capped logits", not config.final_logit_softcapping and not config.attn_logit_softcapping),
            ("untied embeddings", config.tie_word_embeddings),
        )
        if not usual_value
    ]
