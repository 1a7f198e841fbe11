"""Where the platform keeps its state, and where its parts listen.

Belongs here: HOME, the store, hosts and ports, and the paths and URLs that follow from them. Does not belong here: the
engine's host and port (serving_settings.py).
"""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from correctly_assets.settings.group import PROJECT_ROOT, SettingsGroup, default_home, shipped

_ORIGIN = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*://[A-Za-z0-9.-]+(:\d{1,5})?|[A-Za-z][A-Za-z0-9+.-]*://\[[0-9A-Fa-f:]+\](:\d{1,5})?"
)
_STARTER = PROJECT_ROOT / "correctly_assets" / "starter"


class PlatformSettings(SettingsGroup):
    """State, hosts and ports."""

    home: Path = Field(
        default=default_home(), description="Folder that holds everything that changes, called HOME below."
    )
    database_url: str | None = Field(
        default=None, description="PostgreSQL URL of a team's store; when unset, SQLite in HOME."
    )
    host: str = Field(
        default="127.0.0.1",
        description="Address that the gateway and Open WebUI listen on; beyond loopback the gateway starts with keys alone.",
    )
    allowed_hosts: str = Field(
        default="",
        description="Names by which the platform is reached beyond loopback, with commas between; addresses need none.",
    )
    cors_origins: str = Field(
        default="",
        description="Web pages of other origins that may ask the gateway, with commas between, such as http://localhost:5173; "
        "none when empty.",
    )
    gateway_port: int = Field(default=8080, ge=1, le=65535, description="TCP port of the gateway.")
    gateway_host: str | None = Field(
        default=None,
        description="Address at which the gateway is reached; when unset, the one that the platform listens on.",
    )
    dagster_host: str = Field(
        default="127.0.0.1",
        description="Address that Dagster's web server listens on; beyond loopback it asks for a key of the gateway's.",
    )
    dagster_web_host: str | None = Field(
        default=None,
        description="Address at which other parts reach Dagster's web server; when unset, the one that it listens on.",
    )
    dagster_port: int = Field(default=3000, ge=1, le=65535, description="TCP port of Dagster's web server.")
    mlflow_port: int = Field(default=5000, ge=1, le=65535, description="TCP port of MLflow.")
    mlflow_host: str | None = Field(
        default=None,
        description="Address at which MLflow is reached; when unset, loopback, on which it listens.",
    )
    webui_port: int = Field(default=8380, ge=1, le=65535, description="TCP port of Open WebUI.")
    webui_host: str | None = Field(
        default=None,
        description="Address at which Open WebUI is reached; when unset, the one that the platform listens on.",
    )
    webui_admin_password: SecretStr | None = Field(
        default=None,
        description="Password of Open WebUI's admin when the platform listens beyond loopback; when unset, one is made once "
        "and kept in HOME/webui/admin-password.",
    )
    webui_gateway_key: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="Key, of 32 characters or more, that Open WebUI shows the gateway where it runs in a container of its own; "
        "`correctly prepare` lets it in.",
    )
    backup_dir: Path | None = Field(
        default=None, description="Folder of the backups, best on another disk; HOME/backups when unset."
    )
    backup_daily: bool = Field(
        default=True, description="Whether Dagster's schedule `daily_backup` runs from the start, at 02:30 each night."
    )
    sensor_seconds: int = Field(default=5, ge=1, description="Seconds between two ticks of each sensor.")
    prompts_dir: Path = Field(
        default=shipped("prompts"), description="Folder of the prompts and the tables of grammar points."
    )
    sql_dir: Path = Field(default=shipped("sql"), description="Folder of the SQL that migrates and reads the store.")

    @field_validator("home", "prompts_dir", "sql_dir", "backup_dir")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return value and value.expanduser().resolve()

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: str) -> str:
        wrong = [one.strip() for one in value.split(",") if one.strip() and not _ORIGIN.fullmatch(one.strip())]
        if wrong:
            raise ValueError(
                f"name each origin as a scheme, a host and its port if it has one, such as http://localhost:5173; not {wrong[0]!r}"
            )
        return value

    @property
    def snapshots_dir(self) -> Path:
        """Snapshots of examples and train sets, a folder each."""
        return self.home / "snapshots"

    @property
    def adapters_dir(self) -> Path:
        """Adapters, a folder each."""
        return self.home / "adapters"

    @property
    def models_dir(self) -> Path:
        """Base models that `correctly prepare` made or fetched."""
        return self.home / "models"

    @property
    def served_model_path(self) -> Path:
        """A link to the base model that `correctly prepare` made sure of last."""
        return self.models_dir / "served"

    @property
    def backup_place(self) -> Path:
        """The folder that holds the backups, a folder each."""
        return self.backup_dir or self.home / "backups"

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
        """The processes' logs, NAME.log each."""
        return self.home / "logs"

    @property
    def inbox_dir(self) -> Path:
        """Files that are renamed into this folder land by themselves."""
        return self.home / "inbox"

    @property
    def dagster_home(self) -> Path:
        """Dagster's instance: dagster.yaml, runs and events."""
        return self.home / "dagster"

    @property
    def answers_dir(self) -> Path:
        """Cached answers of systems under test, by system and evaluation set."""
        return self.home / "answers"

    @property
    def checkpoints_dir(self) -> Path:
        """Checkpoints of trainings, a folder a run."""
        return self.home / "checkpoints"

    @property
    def progress_path(self) -> Path:
        """Where long work says how far it is, for the bar that `up` shows."""
        return self.home / "run" / "progress.json"

    @property
    def health_path(self) -> Path:
        """What the last look at the model's health found."""
        return self.home / "run" / "model-health.json"

    @property
    def evaluation_path(self) -> Path:
        """The frozen evaluation set that ships."""
        return _STARTER / "evaluation.jsonl"

    @property
    def starter_adapter_dir(self) -> Path:
        """The adapter that ships."""
        return _STARTER / "adapter"

    @property
    def starter_answers_dir(self) -> Path:
        """What the base model and the shipped adapter answered to the frozen set."""
        return _STARTER / "answers"

    @property
    def first_batch_path(self) -> Path:
        """A few examples that the shipped adapter was not trained on, over which the first loop closes."""
        return _STARTER / "first_batch.jsonl"

    @property
    def tuning_path(self) -> Path:
        """Pairs that no adapter is trained on, on which its bounds are chosen."""
        return _STARTER / "tuning.jsonl"

    @property
    def starter_paths(self) -> tuple[Path, Path, Path]:
        """The examples that ship: awkward sentences with reasons, and correct ones."""
        return _STARTER / "examples.jsonl", _STARTER / "pairs.jsonl", _STARTER / "sentences.jsonl"

    @property
    def keys_path(self) -> Path:
        """The gateway's keys, hashed."""
        return self.home / "gateway-keys.json"

    @property
    def house_style_path(self) -> Path:
        """What the house leaves alone, and how it wants things spelt and called."""
        return self.home / "house-style.yaml"

    @property
    def store_url(self) -> str:
        """SQLAlchemy URL of the relational store; a bare ``postgresql://`` is driven by psycopg2."""
        return self.database_url or f"sqlite:///{self.home / 'store.sqlite'}"

    @property
    def origins(self) -> frozenset[str]:
        """The origins of other pages that may ask the gateway, in small letters, as browsers write them."""
        return frozenset(one.strip().lower() for one in self.cors_origins.split(",") if one.strip())

    @property
    def names(self) -> frozenset[str]:
        """The names, beside those of loopback, that requests may come in under."""
        hosts = (self.gateway_host, self.dagster_web_host, self.mlflow_host, self.webui_host, self.host)
        named = (*self.allowed_hosts.split(","), *hosts)
        return frozenset(name.strip().lower() for name in named if name and name.strip())

    @property
    def gateway_url(self) -> str:
        """Base URL at which the gateway is reached."""
        return http_url(self.gateway_host or self.host, self.gateway_port)

    @property
    def mlflow_url(self) -> str:
        """Base URL at which MLflow is reached."""
        return http_url(self.mlflow_host or "127.0.0.1", self.mlflow_port)

    @property
    def webui_url(self) -> str:
        """Base URL at which Open WebUI is reached."""
        return http_url(self.webui_host or self.host, self.webui_port)

    @property
    def dagster_url(self) -> str:
        """Base URL at which people reach Dagster's pages."""
        return http_url(self.dagster_host, self.dagster_port)

    @property
    def dagster_api_url(self) -> str:
        """Base URL at which other parts reach Dagster's web server."""
        return http_url(self.dagster_web_host or self.dagster_host, self.dagster_port)


def http_url(host: str, port: int) -> str:
    """The URL at which a part that listens on an address is reached from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
