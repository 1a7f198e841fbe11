"""Open WebUI's account and secrets, for whoever starts it and whoever reads its votes.

Belongs here: who signs in, and the secrets that are made once and kept. Does not belong here: how it is started
(platform/openwebui.py), or its votes (read_votes.py).
"""

from __future__ import annotations

import secrets

from correctly_assets.artifacts.files import kept_secret
from correctly_assets.core.host_check import is_loopback
from correctly_assets.settings import PlatformSettings

ADMIN_EMAIL = "admin@localhost"


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
