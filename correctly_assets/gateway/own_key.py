"""The platform's own key to its gateway.

Belongs here: what the command line and the chat page show where the gateway asks for keys. Does not belong here: keys of
clients (gateway/access.py).
"""

from __future__ import annotations

import json

from correctly_assets.artifacts.files import write_text_atomically
from correctly_assets.gateway.access import hash_key, new_key
from correctly_assets.gateway.options import Options
from correctly_assets.settings import Settings

NAME = "platform"
CHAT_NAME = "open-webui"
"""Whose key CORRECTLY_WEBUI_GATEWAY_KEY is."""


def own_key(settings: Settings) -> str | None:
    """The platform's key; None where the gateway asks for none.

    It is made when keys are first in use, and made anew when it was taken out of the keys file. It stands in a file that only
    its owner can read; the keys file holds its hash, as it does of every client.

    Raises:
        PermanentError: the keys file cannot be read.
    """
    keys, kept = Options.of(settings).keys_file, settings.platform.home / "run" / "own-key"
    if keys is None or not keys.exists():
        return None
    if kept.exists():
        key = kept.read_text(encoding="utf-8").strip()
        try:
            known = json.loads(keys.read_text(encoding="utf-8")).get(NAME, {})
        except ValueError:
            known = {}  # new_key says what is wrong with the file
        if known.get("sha256") == hash_key(key):
            return key
    key = new_key(keys, NAME)
    write_text_atomically(kept, key + "\n")
    kept.chmod(0o600)
    return key


def let_chat_in(settings: Settings) -> None:
    """Keep the hash of the key that Open WebUI was given outside, so that the gateway knows it. Does nothing without one.

    Raises:
        PermanentError: the keys file cannot be read.
    """
    key = settings.platform.webui_gateway_key
    if key is not None:
        new_key(settings.platform.keys_path, CHAT_NAME, key=key.get_secret_value())


def bearer(settings: Settings) -> dict[str, str]:
    """The header that shows the platform's key; empty where none is asked for."""
    key = own_key(settings)
    return {"Authorization": f"Bearer {key}"} if key else {}
