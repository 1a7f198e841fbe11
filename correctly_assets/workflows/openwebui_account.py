"""Open WebUI's account and secrets, for whoever starts it and whoever reads its votes.

Belongs here: who signs in, and the secrets that are made once and kept. Does not belong here: how it is started
(platform/openwebui.py), or its votes (read_votes.py).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from correctly_assets.artifacts.files import kept_secret
from correctly_assets.core.errors import PermanentError, UnreachableError
from correctly_assets.core.host_check import is_loopback
from correctly_assets.settings import PlatformSettings

ADMIN_EMAIL = "admin@localhost"
_TOKENS: dict[tuple[str, str], str] = {}
"""By address and password, what this process signed in with last; to sign in anew costs the chat a password's hash each time."""


def secret_key(platform: PlatformSettings) -> str:
    """The 32-byte key that signs sessions."""
    return kept_secret(platform.home / "webui" / "secret-key", lambda: secrets.token_hex(32))


def admin(platform: PlatformSettings) -> dict[str, str]:
    """Who signs in: nobody on loopback; beyond it a preset admin whose password stands in a file, never a default one."""
    if is_loopback(platform.host):
        return {"WEBUI_AUTH": "False"}
    return {
        "WEBUI_AUTH": "True",
        "WEBUI_ADMIN_EMAIL": ADMIN_EMAIL,
        "WEBUI_ADMIN_PASSWORD": _admin_password(platform),
        "ENABLE_SIGNUP": "False",
    }


def _admin_password(platform: PlatformSettings) -> str:
    if platform.webui_admin_password is not None:
        return platform.webui_admin_password.get_secret_value()
    return kept_secret(platform.home / "webui" / "admin-password", lambda: secrets.token_urlsafe(18))


@contextmanager
def signed_in(platform: PlatformSettings, *, timeout: float = 10.0) -> Iterator[httpx.Client]:
    """A client of Open WebUI's API as its administrator.

    Args:
        timeout: seconds that one answer may take.

    Raises:
        UnreachableError: Open WebUI is away, or stops answering within the block.
        PermanentError: it does not let us in.
    """
    who, url = admin(platform), platform.webui_url
    credentials = {"email": who.get("WEBUI_ADMIN_EMAIL", ""), "password": who.get("WEBUI_ADMIN_PASSWORD", "")}
    try:
        with httpx.Client(base_url=url, timeout=timeout, trust_env=False) as client:
            known = url, credentials["password"]
            if not _takes(client, _TOKENS.get(known)):
                signed = client.post("/api/v1/auths/signin", json=credentials)
                if signed.status_code != 200:
                    raise PermanentError(
                        f"Open WebUI does not let us sign in to read its votes ({signed.status_code}); restart the platform, "
                        "which sets the administrator's password."
                    )
                _TOKENS[known] = signed.json()["token"]
            client.headers["Authorization"] = f"Bearer {_TOKENS[known]}"
            yield client
    except httpx.HTTPError as error:
        raise UnreachableError(
            f"Open WebUI does not answer at {url}: start the platform with `correctly up`."
        ) from error


def _takes(client: httpx.Client, token: str | None) -> bool:
    """Whether the chat still takes a token: its key may be another since, or the token too old."""
    if token is None:
        return False
    return client.get("/api/v1/auths/", headers={"Authorization": f"Bearer {token}"}).status_code == 200
