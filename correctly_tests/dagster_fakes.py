"""A web server of Dagster on a real port of loopback, as far as fine-tuning jobs ask it.

Belongs here: its answers, in the shapes of Dagster's GraphQL. Does not belong here: a test.
"""

from __future__ import annotations

import json
import time
import uuid
from http.server import BaseHTTPRequestHandler
from typing import Any

from correctly_tests.loopback import Loopback, answer


class FakeDagster(Loopback):
    """Runs that do nothing.

    Attributes:
        runs: by id: status, tags, events.
        refuses: what is said of a run that does not start; runs start when it is empty.
        page: events of one answer.
    """

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.refuses = ""
        self.page = 500
        self.keys: list[str | None] = []
        super().__init__()
        self.address = self.url.removesuffix("/v1")

    def handle(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        self.keys.append(handler.headers.get("Authorization"))
        asked = json.loads(body)
        query, variables = asked["query"], asked.get("variables") or {}
        for word, reply in (("launchRun", self._start), ("runOrError", self._state), ("terminateRun", self._end)):
            if word in query:
                return answer(handler, 200, {"data": {word: reply(variables)}})
        if "logsForRun" in query:
            return answer(handler, 200, {"data": {"logsForRun": self._events(variables)}})
        return answer(handler, 200, {"data": {"version": "1.13.27"}})

    def becomes(self, run_id: str, status: str, *events: tuple[str, str, str]) -> None:
        """Let a run be in a state, with further events of (type, level, message)."""
        run = self.runs[run_id]
        run["status"] = status
        run["ended"] = time.time() if status in ("SUCCESS", "FAILURE", "CANCELED") else None
        run["events"] += [_event(*event) for event in events]

    def _start(self, variables: dict[str, Any]) -> dict[str, Any]:
        if self.refuses:
            return {"__typename": "PythonError", "message": self.refuses}
        params, id = variables["params"], str(uuid.uuid4())
        assert params["selector"] == {
            "repositoryLocationName": "correctly",
            "repositoryName": "__repository__",
            "jobName": "retrain",
        }
        tags = {tag["key"]: tag["value"] for tag in params["executionMetadata"]["tags"]}
        self.runs[id] = {"status": "QUEUED", "tags": tags, "ended": None, "events": []}
        self.runs[id]["events"].append(_event("RunEnqueuedEvent", "INFO", "The run waits."))
        return {"__typename": "LaunchRunSuccess", "run": {"runId": id}}

    def _state(self, variables: dict[str, Any]) -> dict[str, Any]:
        run = self.runs.get(variables["id"])
        if run is None:
            return {"__typename": "RunNotFoundError", "message": "no run"}
        return {"__typename": "Run", "status": run["status"], "startTime": None, "endTime": run["ended"]}

    def _end(self, variables: dict[str, Any]) -> dict[str, Any]:
        self.becomes(variables["id"], "CANCELED", ("RunCanceledEvent", "ERROR", "The run was canceled."))
        return {"__typename": "TerminateRunSuccess", "run": {"runId": variables["id"]}}

    def _events(self, variables: dict[str, Any]) -> dict[str, Any]:
        run = self.runs.get(variables["id"])
        if run is None:
            return {"__typename": "RunNotFoundError", "message": "no run"}
        first = int(variables.get("after") or 0)
        last = first + self.page
        return {
            "__typename": "EventConnection",
            "events": run["events"][first:last],
            "cursor": str(last),
            "hasMore": last < len(run["events"]),
        }


def _event(kind: str, level: str, message: str) -> dict[str, Any]:
    return {"__typename": kind, "level": level, "message": message, "timestamp": str(int(time.time() * 1000))}
