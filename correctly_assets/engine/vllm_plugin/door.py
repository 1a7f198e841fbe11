"""What stands before the engine's own routes: the check of Host and Origin, and the platform's key.

vLLM itself asks for its key under /v1 alone; /tokenize, /invocations and its other routes are open, and none of them looks at the
Host header. `launch.vllm_command` names `EngineDoor` to it as a middleware.

Belongs here: those checks. Does not belong here: where the key is made (engine/key.py).
"""

from __future__ import annotations

import hmac
import os
from pathlib import Path
from typing import Any

from correctly_assets.core.host_check import HostCheck, is_loopback, refuse
from correctly_assets.engine.key import KEY_FILE


def shown_key() -> str | None:
    """The key that requests must show: VLLM_API_KEY, or what stands in the file; None where the engine was given neither.

    Raises:
        SystemExit: the named file cannot be read; an engine that should ask for a key does not start without one.
    """
    if key := os.environ.get("VLLM_API_KEY"):
        return key
    named = os.environ.get(KEY_FILE)
    if not named:
        return None
    try:
        key = Path(named).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SystemExit(f"The engine's key cannot be read from {named} ({error.strerror}).") from error
    if not key:
        raise SystemExit(f"The engine's key file {named} is empty: delete it and run `correctly prepare`.")
    return key


OPEN = ("/health", "/metrics")
"""What asks for no key: whether it is well, and its counters, which Prometheus reads. No text stands there."""


class KeyRequired:
    """Asks every request for the platform's key as a bearer, but for what is `OPEN`."""

    def __init__(self, app: Any, key: str) -> None:
        self._app, self._shown = app, f"Bearer {key}".encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket") or scope["path"] in OPEN:
            return await self._app(scope, receive, send)
        shown = dict(scope["headers"]).get(b"authorization", b"")
        if hmac.compare_digest(shown, self._shown):
            return await self._app(scope, receive, send)
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        await refuse(send, 401, "no_key", "The engine answers the platform alone.", [(b"www-authenticate", b"Bearer")])


class EngineDoor:
    """The ASGI middleware that vLLM is started with. CORRECTLY_VLLM_HOST is the name or address it is reached at."""

    def __init__(self, app: Any) -> None:
        key, host = shown_key(), os.environ.get("CORRECTLY_VLLM_HOST", "127.0.0.1")
        checked = KeyRequired(app, key) if key else app
        self._app = HostCheck(checked, (host,), any_address=not is_loopback(host))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)
