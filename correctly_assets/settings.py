"""Every knob of the platform, in one typed class read from ``CORRECTLY_*``.

Belongs here: a setting's name, type, default and the paths derived from it. Does not belong here: anything that
imports another module of ours, opens a file or talks to the network. Reading the settings must stay free.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_ROOT = Path(__file__).resolve().parent.parent
EMBEDDED_BASE_MODEL = "gemma-3-270m"
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


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


class Settings(BaseSettings):
    """The platform's settings. The embedded defaults need no key, no GPU and no download from a model hub.

    Raises:
        pydantic.ValidationError: a variable holds something its type does not allow.
    """

    model_config = SettingsConfigDict(env_prefix="CORRECTLY_", extra="ignore")

    home: Path = Field(
        default_factory=lambda: PROJECT_ROOT / ".correctly", description="Holds everything that changes."
    )
    database_url: str | None = Field(
        default=None, description="PostgreSQL URL of a team's store; SQLite under HOME when unset."
    )

    host: str = "127.0.0.1"
    gateway_port: int = 8080
    vllm_port: int = 8001
    dagster_port: int = 3000
    mlflow_port: int = 5000
    webui_port: int = 8380

    base_model: str = Field(
        default=EMBEDDED_BASE_MODEL,
        description="A directory, a hub name, the embedded model's name or one made by `prepare --gguf`.",
    )
    teacher: Literal["embedded", "openai", "recorded"] = "embedded"
    teacher_base_url: str = "https://api.openai.com/v1"
    teacher_model: str = "gpt-4o-mini"
    teacher_api_key: SecretStr | None = None
    teacher_budget_usd: float | None = Field(
        default=None, ge=0, description="Most that one call of the openai teacher may spend; needs the model's price."
    )
    teacher_prices: dict[str, dict[str, float]] = Field(
        default_factory=dict,
        description='USD for a million tokens, as JSON: {"MODEL": {"prompt": 0.1, "completion": 0.4}}; none is built in.',
    )
    teacher_round_trip: bool = Field(
        default=True,
        description="Keep only what a prompted teacher, unseen, corrects alike; asks once more a pair, within the budget.",
    )
    teacher_batch_at: int | None = Field(
        default=None,
        ge=1,
        description="Requests of one job from which on they go through the Batch API; never when unset.",
    )
    teacher_batch_price_share: float = Field(
        default=1.0, ge=0, le=1, description="What a request in a batch costs of the direct price: 0.5 is half of it."
    )
    teacher_batch_poll_seconds: float = Field(default=30.0, gt=0, description="Between two looks at a batch.")
    embedding: Literal["ngrams", "base", "openai"] | None = Field(
        default=None,
        description="What makes neighbours: wording (ngrams), it and the base model's token vectors (base), an endpoint. "
        "When unset: base where the base model is a directory, else ngrams.",
    )
    embedding_base_url: str = "https://api.openai.com/v1"
    embedding_model: str | None = None
    embedding_api_key: SecretStr | None = None
    judge_base_url: str | None = None
    judge_model: str | None = None
    judge_api_key: SecretStr | None = None
    comparator_base_url: str | None = None
    comparator_model: str | None = None
    comparator_api_key: SecretStr | None = None

    reason_language: Literal["en", "ko"] = "en"
    learners: str = Field(
        default="mixed",
        description="Whose errors the embedded teacher writes: first languages with commas between (ko, ja, zh, de, romance, "
        "ru, ar, general), or mixed for all of them by their share.",
    )
    retrain_min_examples: int = Field(
        default=1, ge=1, description="New accepted examples that make a retrain worth while."
    )
    retrain_quiet_seconds: float = Field(
        default=10.0, ge=0, description="Silence after the last landing before a run starts."
    )
    retrain_attempts: int = Field(
        default=3, ge=1, description="Failed runs for one fingerprint before the sensor gives up."
    )
    train_minutes: float = Field(default=6.0, gt=0, description="Wall-clock budget of one training run.")
    train_pairs: int = Field(
        default=3000, ge=8, description="Correction pairs the embedded teacher aims at for one train set."
    )
    train_batch_size: int = Field(default=16, ge=1)
    train_learning_rate: float = Field(default=4e-4, gt=0)
    train_start: Literal["base", "champion"] = "base"
    train_stages: tuple[TrainStage, ...] = Field(
        default=DEFAULT_STAGES, min_length=1, description="The curriculum, in order; JSON in the environment."
    )
    train_replay: float = Field(
        default=0.25,
        ge=0,
        le=1,
        description="When training starts from the champion: share of the pairs it has seen that is shown again.",
    )
    lora_rank: int = Field(default=16, description="A rank that vLLM serves: 1, 8, 16, 32, 64, 128 or 256.")
    human_weight: int = Field(default=8, ge=1)
    seed: int = 20
    sensor_seconds: int = Field(default=5, ge=1, description="Interval between two ticks of each sensor.")

    vllm_host: str = Field(
        default="127.0.0.1", description="Where vLLM listens and is reached; loopback or a private network only."
    )
    mlflow_host: str | None = Field(
        default=None, description="Where MLflow is reached; where the platform itself listens when unset."
    )
    webui_host: str | None = Field(
        default=None, description="Where Open WebUI is reached; where the platform itself listens when unset."
    )
    webui_admin_password: SecretStr | None = Field(
        default=None,
        description="Open WebUI's admin beyond loopback; made once and kept in HOME/webui/admin-password when unset.",
    )
    vllm_kvcache_gb: int = Field(
        default=1,
        ge=1,
        description="The engine's cache on a CPU, in GiB: 1 holds some 56,000 tokens of the embedded model.",
    )
    vllm_max_model_len: int = Field(default=1024, ge=256)
    edit_confidence: float = Field(
        default=0.55, ge=0, le=1, description="Least probability at which an edit is taken over; 0 takes all."
    )
    word_confidence: float = Field(
        default=0.95, ge=0, le=1, description="The same for edits that choose, bring in or drop words of content."
    )
    stack: Literal["model", "harper-then-model"] = Field(
        default="model", description="What answers: the model alone, or Harper's rules first and the model behind them."
    )
    evaluation_limit: int | None = Field(default=None, description="Rows of the evaluation set to use; all when unset.")
    max_overcorrected: float = Field(
        default=15.0, description="Gate: share of correct sentences an adapter may change, in %."
    )

    pii: Literal["quarantine", "scrub", "off"] = Field(
        default="quarantine", description="A landed row with personal data is held, lands with placeholders, or lands."
    )
    pii_names: bool = Field(
        default=False,
        description="Whether people's names count as personal data; a small model finds them, and takes other words for them.",
    )
    dvc_remote: str | None = None
    retention_days: int = Field(default=90, ge=1)
    prompts_dir: Path = PROJECT_ROOT / "prompts"
    sql_dir: Path = PROJECT_ROOT / "sql"

    @field_validator("home", "prompts_dir", "sql_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @field_validator("teacher_prices")
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

    @field_validator("lora_rank")
    @classmethod
    def _servable(cls, value: int) -> int:
        if value not in (1, 8, 16, 32, 64, 128, 256):
            raise ValueError("vLLM serves ranks 1, 8, 16, 32, 64, 128 and 256")
        return value

    @property
    def first_languages(self) -> tuple[str, ...]:
        """The first languages whose errors are wanted; none for all of them."""
        return () if self.learners == "mixed" else tuple(self.learners.split(","))

    @property
    def snapshots_dir(self) -> Path:
        return self.home / "snapshots"

    @property
    def adapters_dir(self) -> Path:
        return self.home / "adapters"

    @property
    def models_dir(self) -> Path:
        return self.home / "models"

    @property
    def worked_out_path(self) -> Path:
        """What the embedded teacher found in texts, by their hash."""
        return self.home / "teacher" / "worked-out.sqlite"

    @property
    def vectors_path(self) -> Path:
        """Vectors that an endpoint made, by the hash of their text (CORRECTLY_EMBEDDING=openai)."""
        return self.home / "vectors.sqlite"

    @property
    def logs_dir(self) -> Path:
        return self.home / "logs"

    @property
    def inbox_dir(self) -> Path:
        return self.home / "inbox"

    @property
    def dagster_home(self) -> Path:
        return self.home / "dagster"

    @property
    def answers_dir(self) -> Path:
        """Cached answers of systems under test, by system and evaluation set."""
        return self.home / "answers"

    @property
    def checkpoints_dir(self) -> Path:
        return self.home / "checkpoints"

    @property
    def progress_path(self) -> Path:
        """Where long work says how far it is, for the bar that `up` shows."""
        return self.home / "run" / "progress.json"

    @property
    def evaluation_path(self) -> Path:
        """The frozen evaluation set that ships."""
        return PROJECT_ROOT / "correctly_assets" / "starter" / "evaluation.jsonl"

    @property
    def starter_paths(self) -> tuple[Path, Path]:
        """The examples that ship: awkward sentences with reasons, and correct ones."""
        starter = PROJECT_ROOT / "correctly_assets" / "starter"
        return starter / "examples.jsonl", starter / "sentences.jsonl"

    @property
    def store_url(self) -> str:
        """SQLAlchemy URL of the relational store; a bare ``postgresql://`` is driven by psycopg2."""
        return self.database_url or f"sqlite:///{self.home / 'store.sqlite'}"

    @property
    def base_model_path(self) -> str:
        """What transformers and vLLM are given: always a directory. Those of the embedded model and of a hub's appear with
        `correctly prepare`."""
        if self.base_model == EMBEDDED_BASE_MODEL:
            return str(self.models_dir / EMBEDDED_BASE_MODEL)
        # `correctly prepare --gguf FILE --name NAME` puts other models there; a name with a slash is a path or a hub's.
        prepared = self.models_dir / self.base_model
        if "/" not in self.base_model and (prepared / "config.json").is_file():
            return str(prepared)
        if self.is_hub_base:
            return str(self.models_dir / self.base_model.replace("/", "--"))
        return self.base_model

    @property
    def is_hub_base(self) -> bool:
        """Whether the base model is named as a hub names it (``google/gemma-3-1b-it``), and is no directory."""
        return bool(_HUB_NAME.fullmatch(self.base_model)) and not Path(self.base_model).is_dir()

    @property
    def is_embedded_base(self) -> bool:
        """Whether the base model is the embedded one, by name or by its converted directory."""
        return self.base_model in (EMBEDDED_BASE_MODEL, str(self.models_dir / EMBEDDED_BASE_MODEL))

    @property
    def _reached(self) -> str:
        # From here, a part that listens everywhere is on loopback.
        return "127.0.0.1" if self.host == "0.0.0.0" else self.host

    @property
    def gateway_url(self) -> str:
        return f"http://{self.host}:{self.gateway_port}"

    @property
    def vllm_url(self) -> str:
        return f"http://{self.vllm_host}:{self.vllm_port}"

    @property
    def mlflow_url(self) -> str:
        return f"http://{self.mlflow_host or self._reached}:{self.mlflow_port}"

    @property
    def webui_url(self) -> str:
        return f"http://{self.webui_host or self._reached}:{self.webui_port}"

    @property
    def dagster_url(self) -> str:
        return f"http://{self.host}:{self.dagster_port}"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The process's settings, read once."""
    return Settings()  # pyright: ignore[reportCallIssue]
