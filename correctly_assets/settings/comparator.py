"""The model that the platform's own corrections are compared with.

Belongs here: the comparator's endpoint. Does not belong here: its recorded answers (workflows).
"""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from correctly_assets.settings.group import SettingsGroup


class ComparatorSettings(SettingsGroup):
    """The comparator; reports show no figures of it without one."""

    model_config = SettingsConfigDict(env_prefix="CORRECTLY_COMPARATOR_")

    base_url: str | None = Field(
        default=None, description="Base URL of the comparator's OpenAI-compatible endpoint, with /v1."
    )
    model: str | None = Field(default=None, description="Model to compare with; nothing is compared when unset.")
    api_key: SecretStr | None = Field(default=None, description="Key of the endpoint; none is sent when unset.")
