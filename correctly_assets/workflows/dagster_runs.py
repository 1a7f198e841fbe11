"""Runs of Dagster, as its web server tells of them and takes orders for them.

Belongs here: GraphQL over HTTP, for whoever has no Dagster instance in its own process. Does not belong here: when a run should
start (core/retrain.py), or what a run means to whoever asked for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import httpx
from pydantic import BaseModel, Field, TypeAdapter

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


class _Told(BaseModel):
    """A part of an answer; ``message`` is what Dagster says where it is no good one."""

    typename: str = Field(alias="__typename")
    message: str = ""

    @property
    def why(self) -> str:
        return self.message or self.typename


class _StartedRun(BaseModel):
    id: str = Field(alias="runId")


class _Started(_Told):
    run: _StartedRun | None = None


class _Run(_Told):
    status: str = ""
    started_at: float | None = Field(default=None, alias="startTime")
    ended_at: float | None = Field(default=None, alias="endTime")


class _Failure(BaseModel):
    message: str = ""


class _Entry(_Told):
    timestamp: float = 0.0  # milliseconds since 1970, as text
    level: str = ""
    error: _Failure | None = None


class _Page(_Told):
    cursor: str = ""
    has_more: bool = Field(default=False, alias="hasMore")
    events: list[_Entry] = Field(default_factory=list)


T = TypeVar("T")


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
        self._ask(ALIVE, "version", str)

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
        done = self._ask(START, "launchRun", _Started, params=params)
        if done.typename != "LaunchRunSuccess" or done.run is None:
            raise PermanentError(f"Dagster did not start {job}: {done.why}.")
        return done.run.id

    def state(self, run_id: str) -> RunState | None:
        """Where a run stands; None where Dagster does not know it.

        Raises:
            UnreachableError: Dagster does not answer.
        """
        run = self._ask(STATE, "runOrError", _Run, id=run_id)
        return RunState(run.status, run.started_at, run.ended_at) if run.typename == "Run" else None

    def end(self, run_id: str) -> None:
        """Ask a run to end.

        Raises:
            UnreachableError: Dagster does not answer.
            PermanentError: the run cannot be ended.
        """
        done = self._ask(END, "terminateRun", _Told, id=run_id)
        if done.typename != "TerminateRunSuccess":
            raise PermanentError(f"The run was not ended: {done.why}.")

    def events(self, run_id: str) -> list[RunEvent]:
        """What has happened in a run, oldest first; empty where Dagster does not know it.

        Raises:
            UnreachableError: Dagster does not answer.
        """
        found: list[RunEvent] = []
        after: str | None = None
        while len(found) < _MOST_EVENTS:
            page = self._ask(EVENTS, "logsForRun", _Page, id=run_id, after=after)
            if page.typename != "EventConnection":
                return found
            found += [_event(entry) for entry in page.events if _is_told(entry)]
            if not page.has_more:
                break
            after = page.cursor
        return found

    def _ask(self, query: str, field: str, kind: type[T], **variables: object) -> T:
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
        return TypeAdapter(kind).validate_python(body["data"][field])


def _is_told(entry: _Entry) -> bool:
    # Dagster's own events have the level DEBUG; in what the assets log it means a detail.
    is_detail = entry.typename == "LogMessageEvent" and entry.level == "DEBUG"
    return entry.typename in _TOLD and not is_detail


def _event(entry: _Entry) -> RunEvent:
    level = {"ERROR": "error", "CRITICAL": "error", "WARNING": "warn"}.get(entry.level, "info")
    why = entry.error.message.strip() if entry.error is not None else ""
    message = entry.message if not why or why in entry.message else f"{entry.message} {why}"
    return RunEvent(entry.timestamp / 1000, level, message)
