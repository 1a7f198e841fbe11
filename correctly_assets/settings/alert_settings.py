"""Who is told when something is wrong, and from when on it is.

Belongs here: the webhook, the mail server and the limits. Does not belong here: the decision (core/alerts.py), sending
(workflows/send_alerts.py).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from correctly_assets.settings.group import SettingsGroup


class AlertsSettings(SettingsGroup):
    """Alerts; nobody is told without a webhook or a mail server, and `/dashboard` shows them all the same."""

    model_config = SettingsConfigDict(env_prefix="CORRECTLY_ALERT_")

    webhook_url: SecretStr | None = Field(
        default=None, description="URL that alerts are posted to; none are posted when unset."
    )
    webhook_kind: Literal["json", "slack"] = Field(
        default="json",
        description="What is posted: an object with state, kind, event, title, says, remedy, since and platform (json), or "
        "Slack's message (slack), which Mattermost and Discord's /slack addresses read too.",
    )
    smtp_host: str | None = Field(
        default=None,
        description="Mail server; with CORRECTLY_ALERT_MAIL_TO alerts are mailed, and not when either is unset.",
    )
    smtp_port: int = Field(default=587, ge=1, le=65535, description="TCP port of the mail server.")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        default="starttls",
        description="How the connection to the mail server is encrypted; none sends user and password in the clear.",
    )
    smtp_user: str | None = Field(default=None, description="User at the mail server; nobody signs in when unset.")
    smtp_password: SecretStr | None = Field(default=None, description="Password of that user.")
    mail_from: str = Field(default="correctly@localhost", description="Sender of the mails.")
    mail_to: str = Field(default="", description="Receivers of the mails, with commas between.")
    seconds: float = Field(default=30.0, gt=0, description="Seconds between two looks.")
    votes: int = Field(
        default=10,
        ge=1,
        description="People who must have voted on a release before it is an alert that most of them voted it down.",
    )
    engine_losses: int = Field(default=3, ge=1, description="Times that the engine may go away within an hour.")
    undecided_hours: float = Field(
        default=24.0, gt=0, description="Hours that an accepted example may wait for a decision."
    )
    disk_free_gb: float = Field(
        default=5.0, ge=0, description="Free space that the disk of HOME must have, in GB (10^9 bytes)."
    )
    backup_hours: float = Field(
        default=48.0, ge=0, description="Hours that the newest backup may be old; 0 where no backup is expected."
    )
    stuck_minutes: float = Field(
        default=60.0, gt=0, description="Minutes that a run under way may neither log an event nor report progress."
    )

    @field_validator("webhook_url")
    @classmethod
    def _http(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("http://", "https://")):
            raise ValueError("it must begin with http:// or https://")
        return value

    @property
    def receivers(self) -> tuple[str, ...]:
        """Addresses that mails go to."""
        return tuple(address.strip() for address in self.mail_to.split(",") if address.strip())
