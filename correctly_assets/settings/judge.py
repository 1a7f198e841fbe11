"""The model that says which of two corrections is better.

Belongs here: the judge's endpoint. Does not belong here: what is asked (evaluation).
"""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from correctly_assets.settings.group import SettingsGroup


class JudgeSettings(SettingsGroup):
    """The judge; reports show no preference without one."""

    model_config = SettingsConfigDict(env_prefix="CORRECTLY_JUDGE_")

    base_url: str | None = Field(
        default=None, description="Base URL of the judge's OpenAI-compatible endpoint, with /v1."
    )
    model: str | None = Field(default=None, description="Model that judges; nothing is judged when unset.")
    api_key: SecretStr | None = Field(default=None, description="Key of the endpoint; none is sent when unset.")
