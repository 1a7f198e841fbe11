"""An HTTP server on loopback, for fakes of what is asked over the network.

Belongs here: listening, reading a request, writing an answer. Does not belong here: what is answered.
"""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Loopback(ABC):
    """Listens once made, so a subclass sets its attributes first.

    Attributes:
        url: the address of an OpenAI-compatible API on ``port``.
    """

    def __init__(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.do_POST()

            def do_DELETE(self) -> None:
                self.do_POST()

            def do_HEAD(self) -> None:
                self.do_POST()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                try:
                    outer.handle(self, body)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True  # who asked has gone, as some tests mean it to

            def log_message(self, format: str, *args: object) -> None:
                return

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.port = self._http.server_port
        self.url = f"http://127.0.0.1:{self.port}/v1"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    @abstractmethod
    def handle(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        """Answer one request, in a thread of its own."""

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


def answer(handler: BaseHTTPRequestHandler, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
    """Answer with JSON, or with bytes as they are."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(data)))
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(data)
