"""Large jobs through the Batch API (OpenAI's, or whoever speaks it): cheaper, answered within a day.

Belongs here: which requests go together, waiting, and sorting what comes back. Does not belong here: the calls (batch_api.py),
a single request's way (endpoint.py), what is asked (prompted.py), the tables (journal.py).

A batch is written into the journal before it is made, under a name of ours that the endpoint keeps as its metadata. A
run that is killed at any point therefore finds its batch again: by the endpoint's own name for it, or, when it was killed
before it heard that, by ours among the batches that the endpoint lists. It makes a second one only if there is none.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from correctly_assets.core.errors import PermanentError, RetryableError, UnreachableError
from correctly_assets.llm_api.answer_journal import Journal, OpenBatch
from correctly_assets.llm_api.batch_api import BatchApi, Body, ResultLine, UnknownBatchError
from correctly_assets.llm_api.budget import Budget, BudgetReachedError, RequestRefusedError, tokens_at_most
from correctly_assets.llm_api.endpoint import Endpoint, LostError, body_of
from correctly_assets.llm_api.recordings import request_from
from correctly_assets.llm_api.requests import ChatAnswer, ChatRequest

if TYPE_CHECKING:
    from openai.types import Batch

MOST_REQUESTS = 50_000
MOST_BYTES = 190 * 1024 * 1024
"""OpenAI takes 50,000 requests and 200 MB a batch (its Batch API guide)."""
_GOING = {"validating", "in_progress", "finalizing", "cancelling"}
_NEVER_RUN = {"batch_expired", "batch_cancelled"}
_QUEUE_FULL = {"token_limit_exceeded", "rate_limit_exceeded"}
_LONGEST = timedelta(hours=26)
"""The window of 24 hours, and some for an endpoint that is late to say so."""


class Batched:
    """A transport that sends many requests as a batch and few directly.

    Attributes:
        model: the model that is asked for.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        journal: Journal,
        budget: Budget,
        *,
        at: int | None,
        price_share: float = 1.0,
        poll_seconds: float = 30.0,
        attempts: int = 5,
        backoff_seconds: float = 1.0,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """
        Args:
            at: from this many unanswered requests on they are sent as a batch; None for never. Batches that an earlier
                run made are waited for in any case: they are paid for.
            price_share: what a request of a batch costs, as a share of the direct price.
            poll_seconds: between two looks at a batch.
            attempts: tries of one call, and of rounds of batches that answer nothing.
            progress: called with (requests done, requests in the batches) at every look.
        """
        self.model = endpoint.model
        self._endpoint = endpoint
        self._journal = journal
        self._budget = budget
        self._at = at
        self._share = price_share
        self._poll = poll_seconds
        self._attempts = attempts
        self._backoff = backoff_seconds
        self._progress = progress
        self._api = BatchApi(endpoint.client, endpoint.base_url, attempts=attempts, backoff_seconds=backoff_seconds)
        self._requests: dict[str, ChatRequest] = {}
        self._failed: dict[str, Exception] = {}
        self._fresh: set[str] = set()
        self._reserved: set[str] = set()
        self._work: asyncio.Task[None] | None = None

    def begin(self, requests: Sequence[ChatRequest]) -> None:
        """Hear which requests will be sent; what earlier runs spent on them counts against the budget."""
        self._endpoint.begin(requests)
        self._requests |= {request.key: request for request in requests}
        if self._work is not None and self._work.done():
            self._work = None  # these are settled like the ones before them

    async def close(self) -> None:
        """Stop waiting for batches, which go on at the endpoint and are taken up by the next run, and close the connection."""
        if self._work is not None and not self._work.done():
            self._work.cancel()
        await self._endpoint.close()

    async def send(self, request: ChatRequest) -> ChatAnswer:
        """Answer a request from the journal, from a batch, or directly.

        Raises:
            RequestRefusedError: the endpoint refuses this one request, in words.
            RetryableError: the batch is not done, was cancelled, or left the request unanswered too often.
            PromptTooLongError, BudgetReachedError, PermanentError: as `Endpoint.send`.
        """
        known = self._journal.answer(request)
        if known is not None:
            return replace(known, paid_before=request.key not in self._fresh)
        self._requests.setdefault(request.key, request)
        if self._work is None:
            self._work = asyncio.ensure_future(self._settle())
        await asyncio.shield(self._work)
        if request.key in self._failed:
            raise self._failed[request.key]
        known = self._journal.answer(request)
        if known is not None:
            return replace(known, paid_before=request.key not in self._fresh)
        return await self._endpoint.send(request)

    # -------------------------------------------------------------- rounds

    async def _settle(self) -> None:
        """Send batches until every request is answered, refused for good, or left to be sent directly."""
        fruitless = 0
        while True:
            async with self._journal.one_at_a_time():
                batches = [await self._made(batch) for batch in self._open() or self._planned()]
            if not batches:
                return
            settled = sum(await asyncio.gather(*(self._finish(*batch) for batch in batches)))
            fruitless = 0 if settled else fruitless + 1
            if fruitless >= self._attempts:
                left = self._pending()
                unanswered = UnreachableError(
                    f"{self._endpoint.base_url} left {len(left)} requests unanswered in {fruitless} rounds of batches; run "
                    f"again later."
                )
                self._failed |= dict.fromkeys(left, unanswered)
                return
            if fruitless:
                await asyncio.sleep(self._backoff * 2 ** (fruitless - 1))

    def _pending(self) -> list[str]:
        answered = self._journal.answered_among(self._requests)
        return [
            key
            for key, request in self._requests.items()
            if key not in self._failed
            and key not in answered
            and tokens_at_most(request) <= self._endpoint.prompt_token_limit
        ]

    def _open(self) -> list[OpenBatch]:
        return self._journal.open_batches(self._endpoint.base_url, self._pending())

    def _planned(self) -> list[OpenBatch]:
        """New batches, written down, for what is pending and can be paid; none when that is little."""
        if self._at is None:
            return []
        payable: list[tuple[ChatRequest, float]] = []
        for key in self._pending():
            try:
                payable.append((self._requests[key], self._budget.reserve(self._requests[key], self._share)))
            except BudgetReachedError:
                break  # the rest is tried again when it is known what these did cost
        if len(payable) < self._at:
            for _, most in payable:
                self._budget.settle(most, 0.0)
            return []
        made: list[OpenBatch] = []
        for chunk in self._chunks(payable):
            made.append(self._journal.batching(uuid.uuid4().hex, self._endpoint.base_url, chunk))
            self._reserved.add(made[-1].job)
        return made

    def _chunks(self, payable: Iterable[tuple[ChatRequest, float]]) -> list[list[tuple[ChatRequest, float]]]:
        chunks: list[list[tuple[ChatRequest, float]]] = []
        size = 0
        for request, most in payable:
            length = len(self._line(request))
            if not chunks or size + length > MOST_BYTES or len(chunks[-1]) >= MOST_REQUESTS:
                chunks.append([])
                size = 0
            chunks[-1].append((request, most))
            size += length
        return chunks

    def _line(self, request: ChatRequest) -> bytes:
        line = {
            "custom_id": request.key,
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": body_of(request, self._endpoint.structured),
        }
        return json.dumps(line, ensure_ascii=False).encode() + b"\n"

    # -------------------------------------------------------------- one batch

    async def _made(self, batch: OpenBatch) -> tuple[OpenBatch, str, str]:
        """A batch with the endpoint's name for it and the mode it asks in; made there unless it is there already."""
        mode = self._endpoint.structured
        if batch.batch_id is not None:
            return batch, batch.batch_id, mode
        content = b"".join(self._line(request_from(record)) for record in self._journal.requests_of(batch))
        try:
            batch_id = await self._api.make(batch.job, content, written_at=batch.made_at)
        except UnreachableError:
            raise  # it may have been made: it stays open, and the next run looks for it
        except (RetryableError, PermanentError):
            self._end(batch, {}, batch.at_risk_usd)
            raise
        self._journal.batch_named(batch.job, batch_id)
        return batch, batch_id, mode

    async def _finish(self, batch: OpenBatch, batch_id: str, mode: str) -> int:
        """Wait for a batch and write down what it brought; returns how many of its requests are settled by it."""
        while True:
            try:
                there = await self._api.look_at(batch_id)
            except UnknownBatchError:
                return self._gone(batch, batch_id)
            if self._progress is not None and there.request_counts is not None:
                counts = there.request_counts
                self._progress(counts.completed + counts.failed, counts.total)
            if there.status not in _GOING:
                break
            if datetime.now(UTC) - batch.made_at > _LONGEST:
                raise RetryableError(
                    f"The batch {batch_id} is still {there.status} after {_LONGEST}; cancel it at the endpoint or run "
                    f"again later."
                )
            await asyncio.sleep(self._poll)
        if there.status == "failed":
            return self._refused_whole(batch, there)
        answers: dict[str, ChatAnswer] = {}
        free: set[str] = set()
        returned: set[str] = set()
        try:
            lines = await self._api.results(there)
        except UnknownBatchError:
            return self._gone(batch, batch_id)
        for line in lines:
            key = str(line.get("custom_id"))
            if key in batch.at_risk_usd and key not in returned:
                returned.add(key)
                self._sort(key, line, mode, answers, free)
        if there.status != "completed":
            free |= batch.at_risk_usd.keys() - returned  # never run, so never charged
        if there.status == "cancelled":
            for key in batch.at_risk_usd.keys() - answers.keys() - self._failed.keys():
                self._failed[key] = RetryableError(
                    f"The batch {batch_id} was cancelled at the endpoint; run again to ask for what it left."
                )
        self._end(batch, answers, free)
        return len(answers) + len(self._failed.keys() & batch.at_risk_usd.keys())

    def _sort(self, key: str, line: ResultLine, mode: str, answers: dict[str, ChatAnswer], free: set[str]) -> None:
        """One line of the results: an answer, a refusal for good, or a request to be sent again."""
        response, error = line.get("response") or {}, line.get("error") or {}
        status, body = response.get("status_code"), response.get("body") or {}
        if status == 200:
            try:
                answers[key] = self._answer(key, body)
            except LostError:
                return  # charged, perhaps, and sent again
            return
        free.add(key)
        if status is None or error.get("code") in _NEVER_RUN:
            return
        words = str((body.get("error") or {}).get("message") or error.get("message") or body)[:300]
        request = self._requests.get(key)
        if request is None:
            return  # of another run's; that one will hear of it when it asks
        turned = self._endpoint.turned_away(request, mode, status, words, {})
        if turned.final is not None:
            self._failed[key] = RequestRefusedError(str(turned.final))

    def _answer(self, key: str, body: Body) -> ChatAnswer:
        choices = body.get("choices") or []
        if not choices:
            raise LostError("the answer had no choices")
        usage, request = body.get("usage") or {}, self._requests.get(key)
        prompt = usage.get("prompt_tokens", tokens_at_most(request) if request else 0)
        completion = usage.get("completion_tokens", request.max_tokens if request else 0)
        return ChatAnswer(
            text=(choices[0].get("message") or {}).get("content") or "",
            model=body.get("model") or "",
            finish_reason=choices[0].get("finish_reason") or "",
            prompt_tokens=prompt,
            completion_tokens=completion,
            cost_usd=self._share * self._budget.price.cost(prompt, completion),
            latency_ms=0.0,  # nobody tells: the file says when the batch was done, not the request
            at=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def _refused_whole(self, batch: OpenBatch, there: Batch) -> int:
        """The endpoint took nothing of the file, which costs nothing.

        Raises:
            RetryableError: its queue is full.
            PermanentError: it refuses the file.
        """
        errors = (there.errors.data if there.errors else None) or []
        words = "; ".join(sorted({error.message or error.code or "" for error in errors}))[:300] or "no reason given"
        self._end(batch, {}, batch.at_risk_usd)
        if errors and all(error.code in _QUEUE_FULL for error in errors):
            raise RetryableError(f"{self._endpoint.base_url} has no room for the batch now ({words}); run again later.")
        raise PermanentError(f"{self._endpoint.base_url} refuses the batch: {words}")

    def _gone(self, batch: OpenBatch, batch_id: str) -> int:
        if datetime.now(UTC) - batch.made_at <= _LONGEST:
            raise PermanentError(
                f"{self._endpoint.base_url} has no batch {batch_id} or no results of it, made {batch.made_at:%d %B %H:%M} UTC: set the key "
                f"and project it was made with again, or wait a day to have its requests sent anew."
            )
        self._end(batch, {}, ())  # what it cost, nobody can say: it counts in full
        return 0

    def _end(self, batch: OpenBatch, answers: dict[str, ChatAnswer], free: Iterable[str]) -> None:
        free = set(free)
        self._journal.batch_ended(batch, answers, free)
        self._fresh |= answers.keys()
        for key, most in batch.at_risk_usd.items():
            cost = answers[key].cost_usd if key in answers else 0.0 if key in free else most
            if batch.job in self._reserved:
                self._budget.settle(most, cost)
            elif key in self._requests:
                # Counted in full when the run began, for it was under way then.
                self._budget.settle(0.0, cost - most)
