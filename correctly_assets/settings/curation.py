"""How examples become neighbours, how many land by feedback, and where versions of data go.

Belongs here: embeddings, that bound and DVC's remote. Does not belong here: personal data (privacy.py).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from correctly_assets.settings.group import SettingsGroup


class CurationSettings(SettingsGroup):
    """Embeddings, feedback and versions of data."""

    embedding: Literal["ngrams", "base", "openai"] | None = Field(
        default=None,
        description="What makes neighbours: wording (ngrams), it and the base model's token vectors (base), an endpoint "
        "(openai). When unset: base where the base model is a directory, else ngrams.",
    )
    embedding_base_url: str = Field(
        default="https://api.openai.com/v1",
        description="Base URL of the endpoint for CORRECTLY_EMBEDDING=openai, with /v1.",
    )
    embedding_model: str | None = Field(
        default=None, description="Model that is asked of that endpoint; needed with CORRECTLY_EMBEDDING=openai."
    )
    embedding_api_key: SecretStr | None = Field(
        default=None, description="Key of that endpoint; none is sent when unset."
    )
    feedback_per_day: int = Field(
        default=50,
        ge=1,
        description="Corrections of one person that land within a day by themselves; more are held for a reviewer "
        "(`correctly quarantine`).",
    )
    dvc_remote: str | None = Field(
        default=None, description="URL or folder of a DVC remote that snapshots are pushed to; none are when unset."
    )
