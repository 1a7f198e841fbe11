"""The Batch API's own calls: making a batch, looking at it, fetching its results.

Belongs here: files and batches at an OpenAI-compatible endpoint, each call tried again while that may help. Does not belong
here: which requests go together and what becomes of their answers (batches.py), a single request's way (endpoint.py).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypedDict, TypeVar

from correctly_assets.core.errors import PermanentError, RetryableError, UnreachableError
from correctly_assets.llm_api.endpoint import retry_after
from correctly_assets.llm_api.requests import may_be_answered_later

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI
    from openai.types import Batch

METADATA = "correctly_job"
_TRANSFER_SECONDS = 600.0
_LONGEST_WAIT_SECONDS = 60.0
T = TypeVar("T")


class Trouble(TypedDict, total=False):
    """What an endpoint says of a failure."""

    message: str | None
    code: str | None


class Message(TypedDict, total=False):
    """The message of a choice."""

    content: str | None


class Choice(TypedDict, total=False):
    """A choice of an answer."""

    message: Message | None
    finish_reason: str | None


class TokenCounts(TypedDict, total=False):
    """What an answer took."""

    prompt_tokens: int
    completion_tokens: int


class Body(TypedDict, total=False):
    """The body of an answer, or of a refusal."""

    choices: list[Choice] | None
    usage: TokenCounts | None
    model: str | None
    error: Trouble | None


class Response(TypedDict, total=False):
    """What one request of a batch was answered."""

    status_code: int | None
    body: Body | None


class ResultLine(TypedDict, total=False):
    """A line of a batch's results, as the API documents it: anything may be missing of what an endpoint writes."""

    custom_id: str
    response: Response | None
    error: Trouble | None


class UnknownBatchError(PermanentError):
    """The endpoint knows no such address, batch or file."""


class BatchApi:
    """Batches at ``base_url``.

    Args:
        attempts: tries of one call.
    """

    def __init__(self, client: AsyncOpenAI, base_url: str, *, attempts: int, backoff_seconds: float) -> None:
        self._client = client
        self._transfers = client.with_options(timeout=_TRANSFER_SECONDS)
        self._base_url = base_url
        self._attempts = attempts
        self._backoff = backoff_seconds

    async def make(self, job: str, content: bytes, *, written_at: datetime) -> str:
        """The endpoint's name for the batch that we call ``job``; made there unless it is there already.

        Args:
            content: its requests, a line each.
            written_at: when the job was written down: no batch of its name is older.

        Raises:
            UnreachableError: it may have been made.
            RetryableError, PermanentError: it was not.
        """

        async def make() -> str:
            # Looked for before every try: a lost answer may have been "made".
            there = await self._look_for(job, written_at - timedelta(hours=1))
            if there is None:
                file = await self._transfers.files.create(file=(f"{job}.jsonl", content), purpose="batch")
                there = await self._transfers.batches.create(
                    input_file_id=file.id,
                    endpoint="/v1/chat/completions",
                    completion_window="24h",
                    metadata={METADATA: job},
                    extra_headers={"Idempotency-Key": job},
                )
            return there.id

        return await self._call(make, "make a batch")

    async def _look_for(self, job: str, earliest: datetime) -> Batch | None:
        """The batch that carries our name, if the endpoint has one."""
        # The list is newest first.
        async for one in self._client.batches.list(limit=100):
            if (one.metadata or {}).get(METADATA) == job:
                return one
            if one.created_at < earliest.timestamp():
                return None
        return None

    async def look_at(self, batch_id: str) -> Batch:
        """A batch as it stands.

        Raises:
            UnknownBatchError: there is none.
            RetryableError, PermanentError: the endpoint did not tell.
        """
        return await self._call(lambda: self._client.batches.retrieve(batch_id), f"look at the batch {batch_id}")

    async def results(self, there: Batch) -> list[ResultLine]:
        """The lines of a batch's results, those that went well and those that did not.

        Raises:
            UnknownBatchError: the endpoint no longer has them.
            RetryableError: they came damaged. The batch stays open: asking again for what stands there would pay twice.
            RetryableError, PermanentError: the endpoint did not give them.
        """
        lines: list[ResultLine] = []
        for file_id in filter(None, (there.output_file_id, there.error_file_id)):
            lines += await self._lines(there.id, file_id)
        return lines

    async def _lines(self, batch_id: str, file_id: str) -> list[ResultLine]:
        fetched = await self._call(lambda: self._transfers.files.content(file_id), f"fetch the results of {batch_id}")
        try:
            return [json.loads(line) for line in fetched.content.split(b"\n") if line.strip()]
        except ValueError as error:
            raise RetryableError(
                f"The results of the batch {batch_id} came damaged; run again to fetch them."
            ) from error

    async def _call(self, work: Callable[[], Awaitable[T]], doing: str) -> T:
        """One call to the endpoint, tried again while that may help.

        Raises:
            UnreachableError: it was lost on the way every time.
            RetryableError: it was turned away, and asked to wait too long or every time.
            PermanentError: no further try can help; `UnknownBatchError` when there is no such thing.
        """
        import openai

        lost = False
        failure = ""
        for attempt in range(1, self._attempts + 1):
            wait: float | None = None
            try:
                return await work()
            except openai.APIStatusError as error:
                lost = lost or error.status_code >= 500
                failure, wait = f"status {error.status_code}", retry_after(error.response.headers)
                if not may_be_answered_later(error.status_code):
                    raise self._final(error) from error
            except openai.APIError as error:
                lost, failure = True, str(error.__cause__ or error)
            if wait is not None and wait > _LONGEST_WAIT_SECONDS:
                raise (UnreachableError if lost else RetryableError)(
                    f"{self._base_url} asks to wait {wait:.0f} s ({failure}); try again then."
                )
            if attempt < self._attempts:
                await asyncio.sleep(wait if wait is not None else self._backoff * 2 ** (attempt - 1))
        raise (UnreachableError if lost else RetryableError)(
            f"{self._base_url} did not let us {doing} in {self._attempts} attempts: {failure}."
        )

    def _final(self, error: APIStatusError) -> PermanentError:
        status, url = error.status_code, self._base_url
        if status in {401, 403}:
            return PermanentError(f"{url} refuses the key (status {status}); set CORRECTLY_TEACHER_API_KEY.")
        if status in {404, 405, 501}:
            return UnknownBatchError(f"{url} has no Batch API (status {status}); unset CORRECTLY_TEACHER_BATCH_AT.")
        return PermanentError(f"{url} refuses the batch (status {status}): {str(error.message)[:300]}")
