"""Which requests come from a page of ours: the Host, Origin and Sec-Fetch-* headers, and an ASGI middleware that checks them.

A browser lets any web page send requests to this machine. Whatever listens here therefore answers only to its own names (a
foreign name that was made to point here, "DNS rebinding", is refused), and only to pages of its own.

Belongs here: that check, for the gateway, Dagster, MLflow, the engine and Open WebUI. Does not belong here: keys, or anything
that needs more than the standard library: Open WebUI's environment loads this one file.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Iterable
from ipaddress import ip_address
from typing import Any

_App = Callable[[Any, Any, Any], Awaitable[None]]

_SAFE = frozenset({"GET", "HEAD"})
_OWN_SITE = frozenset({None, b"none", b"same-origin"})
_PORTS = {"http": ":80", "https": ":443", "ws": ":80", "wss": ":443"}


def is_loopback(host: str) -> bool:
    """Whether an address can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def host_name(host: str) -> str:
    """The name of a Host header, in small letters and without its port or brackets."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def why_refused(
    method: str,
    headers: Iterable[tuple[bytes, bytes]],
    names: Collection[str],
    *,
    any_address: bool = False,
    origins: Collection[str] = (),
) -> tuple[int, str, str] | None:
    """Why a request is not answered, as (status, code, sentence); None where it may be.

    Args:
        method: in capitals; a websocket is opened by ``GET``.
        headers: as ASGI has them.
        names: names that are ours besides those of loopback.
        any_address: whether every address is one of ours. An address cannot be rebound as a name can, so this is safe where
            the platform listens beyond loopback.
        origins: pages of other sites that may ask all the same, as ``http://localhost:5173``, in small letters.
    """
    found: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        found.setdefault(name.lower(), []).append(value)
    hosts = found.get(b"host", [])
    if len(hosts) != 1 or not _is_own(hosts[0].decode("latin-1"), names, any_address):
        if not hosts:
            return 421, "foreign_host", "The request does not say whom it is for: send it with a Host header."
        shown = host_name(hosts[0].decode("latin-1"))[:80]
        return (
            421,
            "foreign_host",
            f"This is not {shown or 'a host without a name'}: set CORRECTLY_ALLOWED_HOSTS to its names.",
        )
    host = hosts[0].decode("latin-1").strip().lower()
    asking = [origin.decode("latin-1").strip().lower() for origin in found.get(b"origin", [])]
    if any(origin not in origins and not _same_origin(origin, host) for origin in asking):
        return 403, "foreign_origin", "A page of another origin may not ask here."
    site = found.get(b"sec-fetch-site", [None])[0]
    is_named = bool(asking) and all(origin in origins for origin in asking)
    if site not in _OWN_SITE and not is_named and not _is_link(method, found):
        return 403, "foreign_origin", "A page of another site may not ask here."
    return None


def _is_own(host: str, names: Collection[str], any_address: bool) -> bool:
    name = host_name(host)
    if is_loopback(name) or name in names:
        return True
    if not any_address:
        return False
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _same_origin(origin: str, host: str) -> bool:
    scheme, _, place = origin.strip().lower().partition("://")
    port = _PORTS.get(scheme)
    return port is not None and place.removesuffix(port) == host.removesuffix(port)


def _is_link(method: str, found: dict[bytes, list[bytes]]) -> bool:
    # A link on another site may be followed; a picture, a frame or a script of another site is no link.
    destination = found.get(b"sec-fetch-dest", [b"document"])[0]
    return method in _SAFE and found.get(b"sec-fetch-mode") == [b"navigate"] and destination == b"document"


class HostCheck:
    """An ASGI middleware that refuses what `why_refused` names.

    Args:
        names: names that are ours besides those of loopback.
        any_address, origins: see `why_refused`.
    """

    def __init__(
        self, app: _App, names: Collection[str] = (), *, any_address: bool = False, origins: Collection[str] = ()
    ) -> None:
        self.app = app
        self.names = frozenset(name.strip().lower() for name in names if name.strip())
        self.any_address = any_address
        self.origins = frozenset(origin.strip().lower() for origin in origins)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        method = scope.get("method", "GET")
        refused = why_refused(method, scope["headers"], self.names, any_address=self.any_address, origins=self.origins)
        if refused is None:
            return await self.app(scope, receive, send)
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        await refuse(send, *refused)


async def refuse(send: Any, status: int, code: str, message: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Answer an ASGI request with an error in the contract's shape, without reading its body, and end the connection."""
    body = json.dumps({"error": {"message": message, "type": "RefusedError", "code": code}}).encode()
    start = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": [*start, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})
