"""Telling somebody of an alert: a webhook, a mail.

Belongs here: the channels and what each message looks like. Does not belong here: which message is due (core/alerts.py).
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable
from email.message import EmailMessage

import httpx

from correctly_assets.core.alerts import Message
from correctly_assets.core.errors import UnreachableError
from correctly_assets.settings import Settings

_PATIENCE = 5.0
"""Seconds that a receiver may take for each step."""


def channels(settings: Settings) -> dict[str, Callable[[Message], None]]:
    """Who is told, by name: ``webhook`` and ``mail`` where the settings name them. Each raises `UnreachableError`."""
    alerts, found = settings.alerts, {}
    if alerts.webhook_url is not None:
        found["webhook"] = lambda message: post(settings, message)
    if alerts.smtp_host is not None and alerts.receivers:
        found["mail"] = lambda message: mail(settings, message)
    return found


def post(settings: Settings, message: Message) -> None:
    """Post a message to the webhook.

    Raises:
        UnreachableError: it did not take it.
    """
    alerts = settings.alerts
    assert alerts.webhook_url is not None
    body = slack_body(message, settings) if alerts.webhook_kind == "slack" else json_body(message, settings)
    try:
        httpx.post(alerts.webhook_url.get_secret_value(), json=body, timeout=_PATIENCE).raise_for_status()
    except httpx.HTTPStatusError as error:
        raise UnreachableError(
            f"The webhook answered {error.response.status_code}; correct CORRECTLY_ALERT_WEBHOOK_URL or _KIND."
        ) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        # The URL is a secret of its own, and httpx' sentences hold it.
        raise UnreachableError(f"The webhook could not be reached ({type(error).__name__}).") from None


def json_body(message: Message, settings: Settings) -> dict[str, str]:
    """What a program reads."""
    alert = message.alert
    return {
        "state": message.state,
        "kind": alert.kind,
        "event": alert.event,
        "title": alert.title,
        "says": alert.message,
        "remedy": alert.remedy,
        "since": message.since,
        "platform": settings.platform.gateway_url,
    }


def slack_body(message: Message, settings: Settings) -> dict[str, str]:
    """Slack's message: its three special characters are escaped, so that nothing in a sentence becomes a link or a call."""
    text = f"*{headline(message)}*\n{sentences(message, settings)}"
    return {"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}


def headline(message: Message) -> str:
    """The message in one line."""
    return f"{message.alert.title}: resolved" if message.state == "resolved" else message.alert.title


def sentences(message: Message, settings: Settings) -> str:
    """What happened, what helps and where to look."""
    alert, dashboard = message.alert, f"{settings.platform.gateway_url}/dashboard"
    if message.state == "resolved":
        return f"It is over. It began at {message.since[:16]} UTC: {alert.message}\n{dashboard}"
    return f"{alert.message}\n{alert.remedy}\n{dashboard}"


def mail(settings: Settings, message: Message) -> None:
    """Send a message by SMTP.

    Raises:
        UnreachableError: the mail server did not take it.
    """
    alerts = settings.alerts
    assert alerts.smtp_host is not None
    letter = EmailMessage()
    letter["Subject"] = f"[Correctly] {headline(message)}"
    letter["From"], letter["To"] = alerts.mail_from, ", ".join(alerts.receivers)
    letter.set_content(sentences(message, settings) + "\n")
    context = ssl.create_default_context()
    try:
        if alerts.smtp_security == "tls":
            server = smtplib.SMTP_SSL(alerts.smtp_host, alerts.smtp_port, timeout=_PATIENCE, context=context)
        else:
            server = smtplib.SMTP(alerts.smtp_host, alerts.smtp_port, timeout=_PATIENCE)
        with server:
            if alerts.smtp_security == "starttls":
                server.starttls(context=context)
            if alerts.smtp_user is not None:
                password = alerts.smtp_password.get_secret_value() if alerts.smtp_password else ""
                server.login(alerts.smtp_user, password)
            server.send_message(letter)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise UnreachableError(
            f"The mail server {alerts.smtp_host}:{alerts.smtp_port} did not take an alert ({type(error).__name__}: {error})."
        ) from None
