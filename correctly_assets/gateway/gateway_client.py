"""The command line's client of the gateway.

Belongs here: calls to our own gateway and their failures in words. Does not belong here: correcting.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from correctly_assets.core.errors import CorrectlyError, UnreachableError
from correctly_assets.core.json_shapes import Json
from correctly_assets.core.types import CorrectionJson
from correctly_assets.gateway.own_key import bearer
from correctly_assets.settings import Settings


def correct_texts(
    settings: Settings, texts: list[str], *, reasons: bool, language: str, mode: str | None = None
) -> list[CorrectionJson]:
    """Corrections of texts, in order, as the gateway answers them.

    Raises:
        UnreachableError: no gateway answers, or it has no model to answer with.
        CorrectlyError: it refused the text, in its own words.
    """
    body = {"text": texts, "reasons": reasons, "reason_language": language, "mode": mode}
    return ask_gateway(settings, "POST", "/v1/corrections", body)["corrections"]


def ask_gateway(
    settings: Settings,
    method: str,
    path: str,
    body: Mapping[str, Json] | None = None,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What the gateway answers to one request.

    Raises:
        UnreachableError: no gateway answers, or it has no model to answer with.
        CorrectlyError: it refused the request, in its own words.
    """
    try:
        answer = httpx.request(
            method,
            f"{settings.platform.gateway_url}{path}",
            json=body,
            headers={**bearer(settings), **(headers or {})},
            timeout=600,
            trust_env=False,
        )
    except httpx.HTTPError as error:
        raise UnreachableError(
            f"The gateway does not answer at {settings.platform.gateway_url}: start the platform with `correctly up`."
        ) from error
    if answer.status_code == 200:
        return answer.json()
    try:
        message = answer.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = f"The gateway answered {answer.status_code}."
    if answer.status_code >= 500:
        raise UnreachableError(message)
    error = CorrectlyError(message, code="refused_text")
    error.exit_code = 2
    raise error
