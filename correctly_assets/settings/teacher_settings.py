"""Who writes train pairs and completes examples, in which language, and what it may cost.

Belongs here: the teacher's kind, endpoint, prices and batches. Does not belong here: how many pairs are wanted
(training_settings.py).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from correctly_assets.settings.group import SettingsGroup


class TeacherSettings(SettingsGroup):
    """The teacher that writes pairs and reasons."""

    model_config = SettingsConfigDict(env_prefix="CORRECTLY_TEACHER_")

    kind: Literal["embedded", "openai", "recorded"] = Field(
        default="embedded",
        validation_alias="CORRECTLY_TEACHER",
        description="Who teaches: rules that ship (embedded), a model behind an OpenAI-compatible endpoint (openai), or answers "
        "of one that were recorded (recorded).",
    )
    base_url: str = Field(
        default="https://api.openai.com/v1", description="Base URL of the openai teacher's endpoint, with /v1."
    )
    model: str = Field(default="gpt-4o-mini", description="Model that is asked of the endpoint.")
    api_key: SecretStr | None = Field(default=None, description="Key of the endpoint; none is sent when unset.")
    budget_usd: float | None = Field(
        default=None,
        ge=0,
        description="Most US dollars that one call of the openai teacher may spend; needs the model's price. No bound when unset.",
    )
    prices: dict[str, dict[str, float]] = Field(
        default_factory=dict,
        description='US dollars for a million tokens, as JSON: {"MODEL": {"prompt": 0.1, "completion": 0.4}}; none is built in.',
    )
    round_trip: bool = Field(
        default=True,
        description="Keep only pairs that the teacher, shown the sentence alone, corrects in the same way; asks once more a "
        "pair, within the budget.",
    )
    batch_at: int | None = Field(
        default=None,
        ge=1,
        description="Requests of one job from which on they go through the Batch API; never when unset.",
    )
    batch_price_share: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Price of a request in a batch, as a share of the direct price: 0.5 is half of it.",
    )
    batch_poll_seconds: float = Field(default=30.0, gt=0, description="Seconds between two looks at a batch.")
    reason_language: Literal["en", "ko"] = Field(
        default="en",
        validation_alias="CORRECTLY_REASON_LANGUAGE",
        description="Language of reasons, as the teacher writes them and as answers give them unless a request names another.",
    )
    learners: str = Field(
        default="mixed",
        validation_alias="CORRECTLY_LEARNERS",
        description="Whose errors the embedded teacher writes: first languages with commas between (ko, ja, zh, de, romance, "
        "ru, ar, general), or mixed for all of them by their share.",
    )

    @field_validator("prices")
    @classmethod
    def _priced(cls, value: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        for model, price in value.items():
            if set(price) != {"prompt", "completion"} or min(price.values()) < 0:
                raise ValueError(
                    f"the price of {model} is two numbers: prompt and completion, USD for a million tokens"
                )
        return value

    @field_validator("learners")
    @classmethod
    def _listed(cls, value: str) -> str:
        # One spelling of one choice: it is part of what an adapter is made from.
        names = sorted({name for part in value.split(",") if (name := part.strip().lower())})
        if "mixed" in names and len(names) > 1:
            raise ValueError("mixed is all first languages; name it alone or name some")
        return ",".join(names) or "mixed"

    @property
    def first_languages(self) -> tuple[str, ...]:
        """The first languages whose errors are wanted; none for all of them."""
        return () if self.learners == "mixed" else tuple(self.learners.split(","))
