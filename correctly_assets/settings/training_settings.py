"""What is trained, on how much, for how long, and when a retrain starts.

Belongs here: the base model, the train set's size, the optimiser and the retrain's conditions. Does not belong here: who
writes the pairs (teacher_settings.py), what serves (serving_settings.py).
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_settings import SettingsConfigDict

from correctly_assets.settings.group import SettingsGroup

EMBEDDED_BASE_MODEL = "gemma-3-270m"


class TrainStage(BaseModel):
    """One row of the curriculum's table.

    Attributes:
        mix: per pair origin (human, example, injected, bait, teacher, thumb; ``*`` for the others) how often its pairs are
            seen in one pass; 0 leaves them out, fractions take a fixed part.
        learning_rate: the stage's peak rate; CORRECTLY_TRAIN_LEARNING_RATE where none is given.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    mix: dict[str, float] = Field(default_factory=dict)
    passes: float = Field(default=1.0, gt=0)
    learning_rate: float | None = Field(default=None, gt=0, lt=1)


# Untouched sentences count double: with each pair seen once they are nearly half of what the model is shown, and what keeps
# it from meddling with names, British spelling and whatever else is unusual but right.
DEFAULT_STAGES = (TrainStage(name="all", mix={"bait": 2.0}),)


class TrainingSettings(SettingsGroup):
    """Base model, train set, optimiser and retrains."""

    model_config = SettingsConfigDict(env_prefix="CORRECTLY_TRAIN_")

    base_model: str = Field(
        default=EMBEDDED_BASE_MODEL,
        validation_alias="CORRECTLY_BASE_MODEL",
        description="A directory, a hub's name, the embedded model's name or one made by `correctly prepare --gguf`.",
    )
    trim_vocabulary: bool = Field(
        default=True,
        validation_alias="CORRECTLY_TRIM_VOCABULARY",
        description="Whether `correctly prepare` leaves the embedded model the 64,000 tokens that English needs, of 262,144. "
        "Other base models are never trimmed.",
    )
    starter: Literal["shipped", "none"] = Field(
        default="shipped",
        validation_alias="CORRECTLY_STARTER",
        description="Whether a fresh HOME serves the adapter that ships (shipped) or trains its first one from the starter examples (none).",
    )
    minutes: float = Field(default=6.0, gt=0, description="Minutes of wall-clock time that one training may take.")
    pairs: int = Field(
        default=3000, ge=8, description="Correction pairs that the embedded teacher aims at for one train set."
    )
    batch_size: int = Field(default=16, ge=1, description="Turns in one training step.")
    learning_rate: float = Field(default=4e-4, gt=0, lt=1, description="Peak learning rate, where a stage names none.")
    start: Literal["base", "champion"] = Field(
        default="champion",
        description="What a training starts from: a fresh adapter (base) or the one that serves (champion).",
    )
    stages: tuple[TrainStage, ...] = Field(
        default=DEFAULT_STAGES,
        min_length=1,
        description="The curriculum's stages in order, as JSON: each has a name, the mix (how often a pass shows pairs of each "
        "origin), passes and a learning_rate.",
    )
    replay: float = Field(
        default=0.25,
        ge=0,
        le=1,
        description="When training starts from the champion: share of the pairs it has seen that is shown again.",
    )
    replay_pairs: int = Field(
        default=600,
        ge=0,
        description="Earlier examples that are shown again, beside the new ones, when training starts from the champion.",
    )
    lora_rank: int = Field(
        default=16,
        validation_alias="CORRECTLY_LORA_RANK",
        description="Rank of the adapter, one that vLLM serves: 1, 8, 16, 32, 64, 128 or 256.",
    )
    human_weight: int = Field(
        default=8,
        ge=1,
        validation_alias="CORRECTLY_HUMAN_WEIGHT",
        description="How often a pass shows a verified correction by a person; a pair by the teacher is shown once.",
    )
    seed: int = Field(
        default=20, ge=0, validation_alias="CORRECTLY_SEED", description="Seed of everything that is drawn by chance."
    )
    retrain_min_examples: int = Field(
        default=1,
        ge=1,
        validation_alias="CORRECTLY_RETRAIN_MIN_EXAMPLES",
        description="New accepted examples that a retrain waits for, until the oldest reaches the maximum age.",
    )
    retrain_quiet_seconds: float = Field(
        default=10.0,
        ge=0,
        validation_alias="CORRECTLY_RETRAIN_QUIET_SECONDS",
        description="Seconds without a landing before a retrain starts.",
    )
    retrain_max_age_minutes: float = Field(
        default=60.0,
        gt=0,
        validation_alias="CORRECTLY_RETRAIN_MAX_AGE_MINUTES",
        description="Minutes after which an example is trained on, however few there are and even while more land.",
    )
    retrain_cool_down_seconds: float = Field(
        default=180.0,
        ge=0,
        validation_alias="CORRECTLY_RETRAIN_COOL_DOWN_SECONDS",
        description="Seconds after a decision that reactions to answers wait, so that several are trained together; "
        "what lands from files or over HTTP waits for none.",
    )
    retrain_daily_minutes: float | None = Field(
        default=240.0,
        gt=0,
        validation_alias="CORRECTLY_RETRAIN_DAILY_MINUTES",
        description="Minutes of runs in 24 hours after which the sensor starts none; runs started by hand count too.",
    )
    retrain_daily_usd: float | None = Field(
        default=None,
        gt=0,
        validation_alias="CORRECTLY_RETRAIN_DAILY_USD",
        description="US dollars for the openai teacher in 24 hours after which the sensor starts no run; no limit when unset.",
    )
    retrain_attempts: int = Field(
        default=3,
        ge=1,
        validation_alias="CORRECTLY_RETRAIN_ATTEMPTS",
        description="Failed runs for one fingerprint after which the sensor starts no more.",
    )

    @field_validator("lora_rank")
    @classmethod
    def _servable(cls, value: int) -> int:
        if value not in (1, 8, 16, 32, 64, 128, 256):
            raise ValueError("vLLM serves ranks 1, 8, 16, 32, 64, 128 and 256")
        return value
