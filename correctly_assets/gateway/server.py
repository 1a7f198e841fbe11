"""The gateway's HTTP server: uvicorn, with patience that ends.

Belongs here: what a connection may cost in time. Does not belong here: anything that a request says.
"""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class PatientProtocol(HttpToolsProtocol):
    """One connection. A client that does not send its headers, or does not read its answer, is cut off."""

    patience = 60.0
    """Seconds."""
    _waiting: asyncio.TimerHandle | None = None
    _writing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_headers()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._wait_for_headers()

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        self._stop_waiting()
        super().handle_websocket_upgrade()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._cut_off_later()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_writing()

    def shutdown(self) -> None:
        super().shutdown()
        if self.transport.is_closing():
            self._cut_off_later()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        # Closing waits for what is still to be read; that, too, has an end.
        self._cut_off_later()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)
        self._stop_writing()

    def _wait_for_headers(self) -> None:
        self._stop_waiting()
        self._waiting = self.loop.call_later(self.patience, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _cut_off_later(self) -> None:
        self._stop_writing()
        self._writing = self.loop.call_later(self.patience, self.transport.abort)

    def _stop_writing(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None


def make_server(app: Any, host: str, port: int, *, patience: float = 60.0, **more: Any) -> uvicorn.Server:
    """The server of an ASGI application.

    Args:
        patience: seconds that a client may take over its headers, or leave an answer unread.
        more: as `uvicorn.Config` takes it.
    """
    protocol = type("Protocol", (PatientProtocol,), {"patience": patience})
    # A client must not choose its own address by a header, so proxies are not believed.
    config = uvicorn.Config(
        app, host=host, port=port, http=protocol, proxy_headers=False, server_header=False, access_log=False, **more
    )
    return uvicorn.Server(config)
