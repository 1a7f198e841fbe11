"""Recordings at work: a transport that replays one, and what makes one.

Belongs here: replaying and recording. Does not belong here: the file's format (llm_api/requests.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from correctly_assets.core.errors import CorrectlyError, PermanentError
from correctly_assets.llm_api.budget import PromptTooLongError, RequestRefusedError
from correctly_assets.llm_api.requests import (
    ChatAnswer,
    ChatRequest,
    ChatTransport,
    Recorder,
    Recording,
    RequestRecord,
)


def now() -> str:
    """The present time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Replay:
    """Answers from a recording; it needs no key and no network."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self.model = recording.requested

    def begin(self, requests: Sequence[ChatRequest]) -> None:
        """Nothing to prepare: every answer is at hand."""
        return

    async def send(self, request: ChatRequest) -> ChatAnswer:
        """The recorded answer.

        Raises:
            RequestRefusedError: this request was not recorded; others may be.
        """
        try:
            return self._recording.answer(request)
        except PermanentError as error:
            # Others are recorded: an example that landed since must not keep those back.
            raise RequestRefusedError(str(error), code=error.code) from error

    async def close(self) -> None:
        """Nothing to close."""
        return


class RecordingTransport:
    """A transport whose answers enter a recording as they come.

    Attributes:
        model: the model that is asked for.
    """

    def __init__(
        self, transport: ChatTransport, recorder: Recorder, failed: list[Exception], keep: Recording | None = None
    ) -> None:
        """
        Args:
            failed: takes what kept a request from being answered now, and would not keep it from being answered later.
            keep: an earlier recording of the same model; what it answers is not asked again.
        """
        self.model = transport.model
        self._transport = transport
        self._recorder = recorder
        self._failed = failed
        self._kept = keep.entries if keep else {}

    def begin(self, requests: Sequence[ChatRequest]) -> None:
        """Announce the requests that no kept answer serves."""
        self._transport.begin([request for request in requests if request.key not in self._kept])

    async def send(self, request: ChatRequest) -> ChatAnswer:
        """The kept answer, or the endpoint's, which is recorded.

        Raises:
            PromptTooLongError, RequestRefusedError: the request is never answered, in a replay neither.
            CorrectlyError: the endpoint failed; the recording is then incomplete and is not written.
        """
        if request.key in self._kept:
            return ChatAnswer.from_json(self._kept[request.key]["answer"], paid_before=True)
        try:
            answer = await self._transport.send(request)
            self._recorder.add(request, answer)
        except (PromptTooLongError, RequestRefusedError):
            raise  # it is never answered, in a replay neither
        except CorrectlyError as error:
            self._failed.append(error)
            raise
        return answer

    async def close(self) -> None:
        """Close the endpoint that it listens to."""
        await self._transport.close()


def recording_path(directory: Path, model: str) -> Path:
    """Where the recording of a model stands; slashes of a hub name are folded."""
    return directory / f"{model.replace('/', '--')}.jsonl"


async def record(
    transport: ChatTransport,
    requests: Sequence[ChatRequest],
    path: Path,
    *,
    kind: str,
    concurrency: int = 8,
    clock: Callable[[], str] = now,
    keep: Recording | None = None,
) -> Recording:
    """Send requests and write their answers as one recording.

    Args:
        transport: an Endpoint, whose journal keeps what is paid for if this is stopped.
        kind: ``teacher`` or ``comparator``.
        keep: an earlier recording of the same model: its entries stay, and what it answers is not asked again.

    Raises:
        RefusedError: the endpoint answers under another name than was asked for; no file is written.
        RetryableError, PermanentError: a request was not answered; run it again, answers that came are in the journal.
    """
    recorder = Recorder(path, requested=transport.model, kind=kind, now=clock)
    if keep is not None:
        add_kept(recorder, keep)
        requests = [request for request in requests if request.key not in keep.entries]
    gate = asyncio.Semaphore(concurrency)
    transport.begin(requests)

    async def one(request: ChatRequest) -> ChatAnswer:
        async with gate:
            return await transport.send(request)

    try:
        answers = await asyncio.gather(*(one(request) for request in requests))
    finally:
        await transport.close()
    for request, answer in zip(requests, answers, strict=True):
        recorder.add(request, answer)
    return recorder.write()


def add_kept(recorder: Recorder, keep: Recording) -> None:
    """Take over what an earlier recording of the same model holds."""
    for entry in keep.entries.values():
        recorder.add(request_from(entry["request"]), ChatAnswer.from_json(entry["answer"], paid_before=True))


def request_from(record: RequestRecord) -> ChatRequest:
    """A request as an entry holds it, with the same key."""
    messages = tuple((message["role"], message["content"]) for message in record["messages"])
    return ChatRequest(
        record["model"],
        messages,
        record["max_tokens"],
        temperature=record["temperature"],
        seed=record["seed"],
        schema=record["schema"],
    )
