"""The engine, how an answer is made, and what an adapter must reach before it serves.

Belongs here: vLLM's place and size, the bounds on edits, the evaluation and the gate. Does not belong here: the gateway's
own host and port (platform.py).
"""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from correctly_assets.settings.group import SettingsGroup
from correctly_assets.settings.platform import http_url

_ENGINE = re.compile(r"https?://([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:]+\])(:\d{1,5})?/?")


class ServingSettings(SettingsGroup):
    """Engine, answers and gate."""

    vllm_host: str = Field(
        default="127.0.0.1",
        description="Address on which vLLM listens and is reached; loopback or a private network only.",
    )
    vllm_port: int = Field(default=8001, ge=1, le=65535, description="TCP port of vLLM.")
    vllm_replicas: str = Field(
        default="",
        description="Further engines that the gateway asks besides this one, as URLs with commas between, such as "
        "http://10.0.0.6:8001. Each must take the same key and see HOME under the same path.",
    )
    vllm_kvcache_gb: float = Field(
        default=0.25,
        ge=0.0625,
        description="The engine's cache on a CPU, in GiB, held from its start: 0.25 holds some 14,000 tokens of the embedded model.",
    )
    vllm_max_model_len: int = Field(default=1024, ge=256, description="Most tokens of one request, prompt and answer.")
    vllm_dtype: Literal["auto", "bfloat16", "float32"] = Field(
        default="auto",
        description="What the engine computes in; auto is float32 on a CPU without AVX-512, where bfloat16 is many times slower.",
    )
    mode: Literal["careful", "fluent"] = Field(
        default="careful",
        description="How far a correction goes: errors alone (careful), or wording too (fluent).",
    )
    edit_confidence: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Least probability at which a careful edit is taken over, instead of the adapter's own bounds; 0 takes all.",
    )
    word_confidence: float | None = Field(
        default=None, ge=0, le=1, description="The same for edits that choose, bring in or drop words of content."
    )
    model_reasons: bool = Field(
        default=False,
        description="Whether the model writes the reason where no grammar point holds; leave off unless its sentences are true.",
    )
    stack: Literal["model", "harper-then-model"] = Field(
        default="model", description="What answers: the model alone, or Harper's rules first and the model behind them."
    )
    shadow_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of answers, from 0 to 1, to which the adapter that was judged last and never served answers too, for "
        "nobody to wait for; both are compared on `/dashboard`.",
    )
    evaluation_limit: int | None = Field(
        default=None, ge=1, description="Rows of the evaluation set to use; all when unset."
    )
    max_overcorrected: float = Field(
        default=15.0, ge=0, le=100, description="Gate: share of correct sentences that an adapter may change, in %."
    )

    @field_validator("vllm_replicas")
    @classmethod
    def _replicas(cls, value: str) -> str:
        wrong = [url for url in _listed(value) if not _ENGINE.fullmatch(url)]
        if wrong:
            raise ValueError(
                f"name each engine as http://, its host and its port, such as http://10.0.0.6:8001; not {wrong[0]!r}"
            )
        return value

    @property
    def vllm_url(self) -> str:
        """Base URL of the platform's own engine."""
        return http_url(self.vllm_host, self.vllm_port)

    @property
    def vllm_urls(self) -> tuple[str, ...]:
        """Base URLs of all engines that the gateway asks, each once, the platform's own first."""
        return tuple(dict.fromkeys((self.vllm_url, *(url.rstrip("/") for url in _listed(self.vllm_replicas)))))


def _listed(value: str) -> list[str]:
    return [url.strip() for url in value.split(",") if url.strip()]
