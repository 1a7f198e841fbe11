"""An OpenAI-compatible endpoint as a transport: bounded retries, structured output, the journal and the budget.

Belongs here: one request's way to the endpoint and back. Does not belong here: what is asked (prompted.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NotRequired, TypedDict, cast

from correctly_assets.core.errors import PermanentError, RetryableError, UnreachableError
from correctly_assets.llm_api.answer_journal import Journal
from correctly_assets.llm_api.budget import Budget, PromptTooLongError, tokens_at_most
from correctly_assets.llm_api.requests import ChatAnswer, ChatRequest, may_be_answered_later

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessageParam
    from openai.types.chat.completion_create_params import ResponseFormat

_MODES = ("json_schema", "json_object", "text")


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds that a ``Retry-After`` header asks to wait, given as a number or a date; None without one."""
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - (time.time() if now is None else now))
    except (TypeError, ValueError):
        return None


class RequestBody(TypedDict):
    """A request as the chat completions endpoint takes it."""

    model: str
    messages: list[ChatCompletionMessageParam]
    max_tokens: int
    temperature: float
    seed: NotRequired[int]
    response_format: NotRequired[ResponseFormat]


def body_of(request: ChatRequest, mode: str) -> RequestBody:
    """A request as the chat completions endpoint takes it.

    Args:
        mode: how the answer is asked to be JSON: ``json_schema``, ``json_object`` or ``text``.
    """
    body: RequestBody = {
        "model": request.model,
        # The API has a type for each role; a request has whichever was asked for.
        "messages": cast(
            "list[ChatCompletionMessageParam]",
            [{"role": role, "content": content} for role, content in request.messages],
        ),
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
    }
    if request.seed is not None:
        body["seed"] = request.seed
    if request.schema is not None and mode == "json_schema":
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": dict(request.schema)},
        }
    elif request.schema is not None and mode == "json_object":
        body["response_format"] = {"type": "json_object"}
    return body


class Endpoint:
    """Sends requests to ``base_url``.

    Attributes:
        base_url, model: the address and the model that is asked for.
        client: the OpenAI client, for what shares the connection (batches.py).
        structured: how answers are asked to be JSON; falls back by itself when the server does not know a way.
    """

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        api_key: str | None,
        journal: Journal,
        budget: Budget,
        timeout_seconds: float = 120.0,
        attempts: int = 5,
        backoff_seconds: float = 1.0,
        longest_wait_seconds: float = 60.0,
        prompt_token_limit: int = 6000,
    ) -> None:
        from openai import AsyncOpenAI

        self.model = model
        self.structured = _MODES[0]
        self.base_url = base_url
        self._journal = journal
        self._budget = budget
        self._attempts = attempts
        self._backoff = backoff_seconds
        self._longest_wait = longest_wait_seconds
        self._timeout = timeout_seconds
        self.prompt_token_limit = prompt_token_limit
        # Retries are ours: the client's own would not honour a long Retry-After or tell the journal.
        self.client = AsyncOpenAI(base_url=base_url, api_key=api_key or "none", max_retries=0, timeout=timeout_seconds)

    async def close(self) -> None:
        """Close the connection; nothing may be sent afterwards."""
        await self.client.close()

    def begin(self, requests: Sequence[ChatRequest]) -> None:
        """Count what an earlier, killed run of the same requests has spent against the budget."""
        self._budget.spent_usd += self._journal.spent(
            self._budget.not_counted_before(request.key for request in requests)
        )

    async def send(self, request: ChatRequest) -> ChatAnswer:
        """Answer a request from the journal, or by sending it.

        Raises:
            PromptTooLongError, BudgetReachedError: it was not sent.
            RetryableError: no answer within the attempts allowed.
            PermanentError: the endpoint refuses the key, the model or the request.
        """
        known = self._journal.answer(request)
        if known is not None:
            return known
        tokens = tokens_at_most(request)
        if tokens > self.prompt_token_limit:
            raise PromptTooLongError(
                f"The prompt has up to {tokens} tokens, over the limit of {self.prompt_token_limit}; shorten the example."
            )
        failure = ""
        attempt = 0
        while attempt < self._attempts:
            attempt += 1
            most = self._budget.reserve(request)
            self._journal.sending(request, most)
            cost = most  # unless we learn better: a cut or late answer may have been charged
            wait: float | None = None
            try:
                answer = await self._once(request)
                self._journal.answered(request, answer, most)
                cost = answer.cost_usd
                return answer
            except TurnedAwayError as turned:
                cost = 0.0
                self._journal.refused(request, most)
                if turned.final is not None:
                    raise turned.final from turned
                if turned.ask_differently:
                    attempt -= 1  # another way of asking, not another try
                    continue
                failure, wait = str(turned), turned.wait
            except LostError as lost:
                failure = str(lost)
            finally:
                self._budget.settle(most, cost)
            if wait is not None and wait > self._longest_wait:
                raise RetryableError(f"{self.base_url} asks to wait {wait:.0f} s ({failure}); try again then.")
            if attempt < self._attempts:
                await asyncio.sleep(wait if wait is not None else self._backoff * 2 ** (attempt - 1))
        raise UnreachableError(f"{self.base_url} did not answer in {self._attempts} attempts: {failure}.")

    async def _once(self, request: ChatRequest) -> ChatAnswer:
        import openai

        started = time.monotonic()
        mode = self.structured
        try:
            # The client's timeout is for each read; a server that trickles bytes for ever needs one for the whole.
            async with asyncio.timeout(self._timeout):
                reply = await self.client.chat.completions.create(
                    extra_headers={"Idempotency-Key": request.key}, **body_of(request, mode)
                )
        except (TimeoutError, openai.APITimeoutError):
            raise LostError(f"no answer within {self._timeout:g} s") from None
        except openai.APIConnectionError as error:
            raise LostError(f"the connection failed or was cut ({error.__cause__ or error})") from error
        except openai.APIStatusError as error:
            body = str(error.message)[:300]
            raise self.turned_away(request, mode, error.status_code, body, error.response.headers) from error
        except (openai.APIError, ValueError) as error:
            raise LostError(f"the answer was no JSON ({error})") from error
        if not hasattr(reply, "choices") or not reply.choices:
            raise LostError("the answer had no choices")
        usage = reply.usage
        prompt_tokens = usage.prompt_tokens if usage else tokens_at_most(request)
        completion_tokens = usage.completion_tokens if usage else request.max_tokens
        return ChatAnswer(
            text=reply.choices[0].message.content or "",
            model=reply.model or "",
            finish_reason=reply.choices[0].finish_reason or "",
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            cost_usd=self._budget.price.cost(prompt_tokens, completion_tokens),
            latency_ms=round(1000 * (time.monotonic() - started), 1),
            at=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def turned_away(
        self, request: ChatRequest, mode: str, status: int, body: str, headers: Mapping[str, str]
    ) -> TurnedAwayError:
        """What a status other than 200 means for a request that was asked in ``mode``."""
        about_format = any(
            word in body.lower() for word in ("response_format", "json_schema", "json_object", "structured", "guided")
        )
        if status in {400, 422} and request.schema is not None and mode != "text" and about_format:
            if self.structured == mode:
                self.structured = _MODES[_MODES.index(mode) + 1]
            return TurnedAwayError(body, ask_differently=True)
        if may_be_answered_later(status):
            return TurnedAwayError(f"status {status}", wait=retry_after(headers))
        if status in {401, 403}:
            words = f"{self.base_url} refuses the key (status {status}); set CORRECTLY_TEACHER_API_KEY."
        elif status == 404:
            words = f"{self.base_url} knows no model {self.model!r}; set CORRECTLY_TEACHER_MODEL."
        else:
            words = f"{self.base_url} refuses the request (status {status}): {body}"
        return TurnedAwayError(words, final=PermanentError(words))


class LostError(Exception):
    """One attempt brought no answer, and may have been charged all the same."""


class TurnedAwayError(Exception):
    """The endpoint turned one attempt away, which costs nothing.

    Attributes:
        wait: seconds that it asks to wait.
        ask_differently: it does not know this way of asking for JSON.
        final: the error to raise when no further attempt can help.
    """

    def __init__(
        self,
        message: str,
        *,
        wait: float | None = None,
        ask_differently: bool = False,
        final: PermanentError | None = None,
    ) -> None:
        super().__init__(message)
        self.wait = wait
        self.ask_differently = ask_differently
        self.final = final
