"""``python merged_engine.py ADAPTER_DIR PORT``: one engine of merged weights as the fleet starts it, without any weights.

Belongs here: the routes of vLLM 0.32 that rolling out uses, and ways of failing, told by the file ``mode`` in the adapter's
directory: ``like_base`` (answers as the base model), ``broken`` (cannot be merged), ``dies`` (ends at start). The file ``starts`` there counts starts. Nothing but
the standard library, so that it is up in a moment. Does not belong here: a test.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

BASE_LOGPROB, ADAPTER_LOGPROB = -2.0, -0.5


class Handler(BaseHTTPRequestHandler):
    adapter: Path
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/health":
            self._answer(200, {})
        elif self.path == "/v1/models":
            self._answer(200, {"data": [{"id": self.adapter.name, "root": str(self.adapter)}]})
        else:
            self._answer(200, "vllm:corrupted_requests_total 0.0\n")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body["model"] != self.adapter.name:
            self._answer(404, {"error": {"message": f"The model `{body['model']}` does not exist."}})
        elif self.path == "/tokenize":
            self._answer(200, {"tokens": [ord(character) for character in body["prompt"]]})
        elif body.get("prompt_logprobs") is not None:
            each = BASE_LOGPROB if mode(self.adapter) == "like_base" else ADAPTER_LOGPROB
            places = [None] + [{str(token): {"logprob": each}} for token in body["prompt"][1:]]
            choice = {"text": "x", "finish_reason": "length", "prompt_logprobs": places}
            self._answer(200, {"choices": [choice], "usage": {}})
        else:
            text = body["prompt"].split("Correct this English:\n", 1)[-1].split("<end_of_turn>", 1)[0]
            choice = {"text": text.replace(" go ", " goes "), "logprobs": None, "finish_reason": "stop"}
            self._answer(200, {"choices": [choice], "usage": {}})

    def _answer(self, status: int, value: Any) -> None:
        data = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None: ...


def mode(adapter: Path) -> str:
    file = adapter / "mode"
    return file.read_text().strip() if file.exists() else ""


if __name__ == "__main__":
    Handler.adapter = Path(sys.argv[1])
    with (Handler.adapter / "starts").open("a") as starts:
        starts.write(".")
    if mode(Handler.adapter) == "broken":
        # As runtime/merged.py does: the reason first, then the end.
        engines = Path(sys.argv[3])
        why = {"says": "The merged weights answer otherwise than the adapter.", "permanent": True}
        (engines / f"failed-{Handler.adapter.name}.json").write_text(json.dumps(why))
        sys.exit(5)
    if mode(Handler.adapter) == "dies":
        sys.exit(1)
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
