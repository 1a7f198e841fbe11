"""A Batch API on loopback: files and batches as OpenAI's guide describes them, and faults as they are told."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from correctly_tests.loopback import Loopback, answer
from correctly_tests.teaching_fakes import GOOD, completion

Line = dict[str, Any]
Each = Callable[[Line], Line]


def answered(line: Line) -> Line:
    body = completion(json.dumps(GOOD))
    return {"custom_id": line["custom_id"], "response": {"status_code": 200, "body": body}, "error": None}


def status(code: int, message: str) -> Each:
    def fail(line: Line) -> Line:
        body = {"error": {"message": message}}
        return {"custom_id": line["custom_id"], "response": {"status_code": code, "body": body}, "error": None}

    return fail


def expired(line: Line) -> Line:
    error = {"code": "batch_expired", "message": "This request could not be executed before the window ended."}
    return {"custom_id": line["custom_id"], "response": None, "error": error}


class BatchServer(Loopback):
    """Keeps files and batches; a batch is over when it was looked at ``looks`` times.

    Attributes:
        each: what becomes of a request, by its number in the job (the first batch's order), or ``otherwise``.
        ends: how batches end, in turn; ``completed`` when there is no more.
        faults: replies given instead of an answer, by ``METHOD /path``, in turn.
    """

    def __init__(self) -> None:
        self.looks = 1
        self.otherwise: Each = answered
        self.each: dict[int, Each] = {}
        self.ends: list[str] = []
        self.whole_errors: list[dict[str, str]] = []
        self.faults: dict[str, list[Callable[[BaseHTTPRequestHandler], None]]] = {}
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.direct: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.times: list[float] = []
        self._lock = threading.Lock()
        super().__init__()

    def handle(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        path = urlsplit(handler.path).path.removeprefix("/v1")
        name = f"{handler.command} {re.sub('(?<=/)(file|batch)-[0-9]+', 'ID', path)}"
        with self._lock:
            self.calls.append(name)
            self.times.append(time.monotonic())
            faults = self.faults.get(name)
            fault = faults.pop(0) if faults else None
        if fault is not None:
            fault(handler)
        else:
            self.reply(handler, name, path, body)

    def sent(self, number: int) -> list[Line]:
        """The requests of the batch that was made as number ``number``."""
        batch = list(self.batches.values())[number]
        return [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]

    def reply(self, handler: BaseHTTPRequestHandler, name: str, path: str, body: bytes) -> None:
        if name == "POST /chat/completions":
            self.direct.append(json.loads(body))
            answer(handler, 200, completion(json.dumps(GOOD)))
        elif name == "POST /files":
            answer(handler, 200, self._keep(body))
        elif name == "POST /batches":
            answer(handler, 200, self.make(json.loads(body)))
        elif name == "GET /batches":
            newest = list(reversed(self.batches.values()))
            answer(handler, 200, {"object": "list", "data": newest, "has_more": False})
        elif name == "GET /batches/ID":
            batch = self.batches.get(path.split("/")[2])
            if batch is None:
                answer(handler, 404, {"error": {"message": "No such batch"}})
            else:
                answer(handler, 200, self._looked_at(batch))
        elif name == "GET /files/ID/content":
            answer(handler, 200, self.files[path.split("/")[2]])
        else:
            answer(handler, 404, {"error": {"message": "not here"}})

    def make(self, wanted: dict[str, Any]) -> dict[str, Any]:
        assert wanted["endpoint"] == "/v1/chat/completions" and wanted["completion_window"] == "24h"
        batch = {
            "id": f"batch-{len(self.batches) + 1}",
            "object": "batch",
            "created_at": int(time.time()),
            "status": "validating",
            "looks": 0,
            **wanted,
        }
        self.batches[batch["id"]] = batch
        return batch

    def _keep(self, form: bytes) -> dict[str, Any]:
        # The form's part that holds the requests: the lines that are JSON objects.
        lines = [line for line in form.split(b"\r\n") if line.startswith(b"{")]
        return self._file(lines[0] if lines else b"")

    def _file(self, content: bytes) -> dict[str, Any]:
        name = f"file-{len(self.files) + 1}"
        self.files[name] = content
        return {
            "id": name, "object": "file", "bytes": len(content), "created_at": 1, "filename": "x.jsonl",
            "purpose": "batch", "status": "processed",
        }  # fmt: skip

    def _looked_at(self, batch: dict[str, Any]) -> dict[str, Any]:
        batch["looks"] += 1
        if batch["status"] == "validating" and batch["looks"] >= self.looks:
            batch["status"] = self.ends.pop(0) if self.ends else "completed"
            if batch["status"] == "failed":
                batch["errors"] = {"object": "list", "data": self.whole_errors}
                return batch
            order = {line["custom_id"]: number for number, line in enumerate(self.sent(0))}
            sent = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
            results = [self.each.pop(order.get(one["custom_id"], -1), self.otherwise)(one) for one in sent]
            good = [r for r in results if (r["response"] or {}).get("status_code") == 200]
            bad = [r for r in results if r not in good]
            for kind, lines in (("output_file_id", good), ("error_file_id", bad)):
                content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
                batch[kind] = self._file(content)["id"] if lines else None
            batch["request_counts"] = {"total": len(sent), "completed": len(good), "failed": len(bad)}
        return batch
