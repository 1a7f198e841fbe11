"""Runs of Dagster, as its web server tells of them and takes orders for them.

Belongs here: GraphQL over HTTP, for whoever has no Dagster instance in its own process. Does not belong here: when a run should
start (core/retrain.py), or what a run means to whoever asked for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from correctly_assets.core.errors import PermanentError, UnreachableError

ALIVE = "{ version }"
START = """mutation Start($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on Error { message } } }"""
STATE = """query State($id: ID!) { runOrError(runId: $id) {
  __typename ... on Run { status startTime endTime } ... on Error { message } } }"""
END = """mutation End($id: String!) { terminateRun(runId: $id) {
  __typename ... on TerminateRunFailure { message } ... on Error { message } } }"""
EVENTS = """query Events($id: ID!, $after: String) { logsForRun(runId: $id, afterCursor: $after, limit: 500) { __typename
  ... on EventConnection { cursor hasMore events { __typename ... on MessageEvent { message timestamp level }
    ... on ExecutionStepFailureEvent { error { message } } ... on RunFailureEvent { error { message } } } }
  ... on Error { message } } }"""
_REPOSITORY = {"repositoryLocationName": "correctly", "repositoryName": "__repository__"}
_SECONDS = 30.0
_MOST_EVENTS = 10_000
_TOLD = frozenset(
    (
        "RunEnqueuedEvent",
        "RunStartingEvent",
        "RunStartEvent",
        "RunCancelingEvent",
        "RunCanceledEvent",
        "RunSuccessEvent",
        "RunFailureEvent",
        "ExecutionStepStartEvent",
        "ExecutionStepSuccessEvent",
        "ExecutionStepFailureEvent",
        "MaterializationEvent",
        "LogMessageEvent",
    )
)
"""The events that say how far a run is; the others are Dagster's own."""


@dataclass(frozen=True, slots=True)
class RunState:
    """Where a run stands. ``status`` is Dagster's word (QUEUED, STARTED, SUCCESS, …); times are seconds since 1970."""

    status: str
    started_at: float | None
    ended_at: float | None


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One thing that happened in a run. ``at`` is seconds since 1970, ``level`` is info, warn or error."""

    at: float
    level: str
    message: str


class DagsterRuns:
    """Starts, ends and reads runs. Blocks; call it in a thread.

    Args:
        url: the web server's.
        headers: what is sent with each request, such as a key; asked for anew each time.
    """

    def __init__(self, url: str, headers: Callable[[], Mapping[str, str]] = dict) -> None:
        self._url, self._headers = url, headers

    def check(self) -> None:
        """See that Dagster answers.

        Raises:
            UnreachableError: it does not.
        """
        self._ask(ALIVE)

    def start(self, job: str, tags: Mapping[str, str]) -> str:
        """Have a job run, behind those that run or wait. Returns the run's id.

        Raises:
            UnreachableError: Dagster does not answer.
            PermanentError: it does not start the job.
        """
        params = {
            "selector": {**_REPOSITORY, "jobName": job},
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        done = self._ask(START, params=params)["launchRun"]
        if done["__typename"] != "LaunchRunSuccess":
            raise PermanentError(f"Dagster did not start {job}: {done.get('message') or done['__typename']}.")
        return done["run"]["runId"]

    def state(self, run_id: str) -> RunState | None:
        """Where a run stands; None where Dagster does not know it.

        Raises:
            UnreachableError: Dagster does not answer.
        """
        run = self._ask(STATE, id=run_id)["runOrError"]
        if run["__typename"] != "Run":
            return None
        return RunState(run["status"], run["startTime"], run["endTime"])

    def end(self, run_id: str) -> None:
        """Ask a run to end.

        Raises:
            UnreachableError: Dagster does not answer.
            PermanentError: the run cannot be ended.
        """
        done = self._ask(END, id=run_id)["terminateRun"]
        if done["__typename"] != "TerminateRunSuccess":
            raise PermanentError(f"The run was not ended: {done.get('message') or done['__typename']}.")

    def events(self, run_id: str) -> list[RunEvent]:
        """What has happened in a run, oldest first; empty where Dagster does not know it.

        Raises:
            UnreachableError: Dagster does not answer.
        """
        found: list[RunEvent] = []
        after: str | None = None
        while len(found) < _MOST_EVENTS:
            page = self._ask(EVENTS, id=run_id, after=after)["logsForRun"]
            if page["__typename"] != "EventConnection":
                return found
            found += [_event(entry) for entry in page["events"] if _is_told(entry)]
            if not page["hasMore"]:
                break
            after = page["cursor"]
        return found

    def _ask(self, query: str, **variables: Any) -> dict[str, Any]:
        try:
            answer = httpx.post(
                f"{self._url}/graphql",
                json={"query": query, "variables": variables},
                headers=dict(self._headers()),
                timeout=_SECONDS,
                trust_env=False,
            )
            body = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise UnreachableError(
                f"Dagster does not answer at {self._url}: start the platform with `correctly up`."
            ) from error
        if not isinstance(body.get("data"), dict):
            message = (body.get("errors") or [body.get("error") or {}])[0].get(
                "message", f"status {answer.status_code}"
            )
            raise PermanentError(f"Dagster at {self._url} refused the question: {message}")
        return body["data"]


def _is_told(entry: Mapping[str, Any]) -> bool:
    # Dagster's own events have the level DEBUG; in what the assets log it means a detail.
    is_detail = entry["__typename"] == "LogMessageEvent" and entry["level"] == "DEBUG"
    return entry["__typename"] in _TOLD and not is_detail


def _event(entry: Mapping[str, Any]) -> RunEvent:
    level = {"ERROR": "error", "CRITICAL": "error", "WARNING": "warn"}.get(entry["level"], "info")
    why = (entry.get("error") or {}).get("message", "").strip()
    message = entry["message"] if not why or why in entry["message"] else f"{entry['message']} {why}"
    return RunEvent(float(entry["timestamp"]) / 1000, level, message)
