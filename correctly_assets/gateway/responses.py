"""``POST /v1/responses``: OpenAI's newer way to ask for what a chat answers.

Belongs here: its request, its object, its stream of events, and the route. Does not belong here: what an answer says (service.py).
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from typing import Any, Literal, NotRequired, TypedDict
from uuid import uuid4

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import Field, JsonValue, model_validator

from correctly_assets.core.errors import CorrectlyError
from correctly_assets.correction.render import Layout
from correctly_assets.gateway.http_errors import UnsupportedField
from correctly_assets.gateway.routes import ERRORS, ClientOf, ServiceOf, asker_of
from correctly_assets.gateway.service import ChatEnd
from correctly_assets.gateway.shapes import KEPT_TO, AnswerFacts, HowAsked, Message, event, refuse_unsupported

log = logging.getLogger(__name__)
router = APIRouter(prefix="/v1", responses=ERRORS)

_NOT_KEPT = "answers are not kept here, so send the whole conversation in `input`"
_LOGPROBS = "message.output_text.logprobs"
_KEPT_TO: dict[str, tuple[tuple[Any, ...], str]] = KEPT_TO | {
    "previous_response_id": ((), _NOT_KEPT),
    "conversation": ((), _NOT_KEPT),
    "prompt": ((), "no prompts are kept here, so send `input`"),
    "background": ((False,), "ask with `stream` instead"),
    "include": ((False,), f"leave `{_LOGPROBS}` out"),
    "text.format": (({"type": "text"},), 'ask for `"format": "json"` to get edits and reasons as JSON'),
}


class ResponsesRequest(HowAsked):
    """``input`` is a text, or messages as OpenAI has them, of which the last one of the user is corrected."""

    model: str = "correctly"
    input: str | list[Any]
    stream: bool = False
    instructions: Any = None
    metadata: dict[str, JsonValue] = Field(default_factory=dict)
    format: Layout | None = None

    @model_validator(mode="before")
    @classmethod
    def _supported(cls, value: Any) -> Any:
        if isinstance(value, dict):
            text, include = value.get("text"), value.get("include")
            parts = {
                "text.format": text.get("format") if isinstance(text, dict) else text,
                "include": isinstance(include, list) and _LOGPROBS in include,
            }
            refuse_unsupported(value | parts, _KEPT_TO)
        return value

    def messages(self) -> list[Message]:
        """The input as a chat has it; items that are no messages (calls of tools, reasoning) are left out.

        Raises:
            UnsupportedField: there is none.
        """
        if isinstance(self.input, str):
            return [Message(role="user", content=self.input)]
        found = [
            Message(role=item["role"], content=item.get("content"))
            for item in self.input
            if isinstance(item, dict) and "role" in item
        ]
        if not found:
            raise UnsupportedField(
                "input", "`input` holds no message: send a text, or messages with `role` and `content`."
            )
        return found


Progress = Literal["in_progress", "completed", "failed"]


class OutputText(TypedDict):
    """The one part of the message's content."""

    type: Literal["output_text"]
    text: str
    annotations: list[None]
    logprobs: list[None]


class OutputMessage(TypedDict):
    """The one message of the output."""

    id: str
    type: Literal["message"]
    status: Progress
    role: Literal["assistant"]
    content: list[OutputText]


class ResponseUsage(TypedDict):
    """Tokens, as responses count them."""

    input_tokens: int
    input_tokens_details: dict[str, int]
    output_tokens: int
    output_tokens_details: dict[str, int]
    total_tokens: int


class ResponseObject(TypedDict):
    """A ``response``."""

    id: str
    object: Literal["response"]
    created_at: int
    completed_at: int | None
    status: Progress
    background: bool
    error: dict[str, str] | None
    incomplete_details: None
    instructions: Any
    max_output_tokens: None
    metadata: dict[str, JsonValue]
    model: str
    output: list[OutputMessage]
    parallel_tool_calls: bool
    previous_response_id: None
    reasoning: dict[str, None]
    service_tier: str
    store: bool
    temperature: float
    text: dict[str, dict[str, str]]
    tool_choice: str
    tools: list[None]
    top_p: float
    truncation: str
    usage: ResponseUsage | None
    user: None
    correctly: NotRequired[AnswerFacts]


class ResponseShape:
    """Builds the objects of one answer, whole or streamed, under one id."""

    def __init__(self, request: ResponsesRequest) -> None:
        self._request = request
        self._id, self._item_id = f"resp_{uuid4().hex}", f"msg_{uuid4().hex}"
        self._created = int(time.time())
        self._sent = 0

    def response(
        self, status: Progress, text: str | None = None, end: ChatEnd | None = None, error: CorrectlyError | None = None
    ) -> ResponseObject:
        """A ``response``. What stands under ``correctly`` is release, adapter and correction id."""
        body: ResponseObject = {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "completed_at": int(time.time()) if status == "completed" else None,
            "status": status,
            "background": False,
            "error": {"code": "server_error", "message": str(error)} if error else None,
            "incomplete_details": None,
            "instructions": self._request.instructions,
            "max_output_tokens": None,
            "metadata": self._request.metadata,
            "model": self._request.model,
            "output": [self.item("completed", text)] if text is not None else [],
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "service_tier": "default",
            "store": False,
            "temperature": 0.0,
            "text": {"format": {"type": "text"}},
            "tool_choice": "none",
            "tools": [],
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": _usage(end.usage) if end else None,
            "user": None,
        }
        if end is not None:
            body["correctly"] = end.facts
        return body

    def item(self, status: Progress, text: str | None = None) -> OutputMessage:
        """The one message of the output."""
        content = [] if text is None else [self.part(text)]
        return {"id": self._item_id, "type": "message", "status": status, "role": "assistant", "content": content}

    def part(self, text: str) -> OutputText:
        """The one part of the message's content."""
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    def event(self, kind: str, **fields: Any) -> str:
        """One server-sent event, numbered."""
        value = {"type": kind, "sequence_number": self._sent, **fields}
        self._sent += 1
        return f"event: {kind}\n{event(value)}"

    def of_text(self, kind: str, **fields: Any) -> str:
        """An event that speaks of the output's one text."""
        return self.event(kind, item_id=self._item_id, output_index=0, content_index=0, **fields)


@router.post("/responses", summary="Correct a text, as OpenAI's Responses have it")
async def responses(body: ResponsesRequest, request: Request, service: ServiceOf, client: ClientOf) -> Response:
    """The answer is the one that `/v1/chat/completions` gives. Nothing is kept to be asked for again."""
    shape = ResponseShape(body)
    asker = asker_of(request, client, body)
    pieces = service.chat(body.messages(), model=body.model, asker=asker, layout=body.format)
    # The first piece is waited for, so that a failure before it is an HTTP status and not a broken stream.
    try:
        first = await anext(pieces)
    except UnsupportedField as error:
        raise UnsupportedField("input", str(error)) from error
    if body.stream:
        events = _events(shape, first, pieces)
        return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
    content: list[str] = []
    item: str | ChatEnd = first
    while not isinstance(item, ChatEnd):
        content.append(item)
        item = await anext(pieces)
    return JSONResponse(shape.response("completed", "".join(content), item))


async def _events(shape: ResponseShape, first: str | ChatEnd, rest: AsyncIterator[str | ChatEnd]) -> AsyncIterator[str]:
    yield shape.event("response.created", response=shape.response("in_progress"))
    yield shape.event("response.in_progress", response=shape.response("in_progress"))
    yield shape.event("response.output_item.added", output_index=0, item=shape.item("in_progress"))
    yield shape.of_text("response.content_part.added", part=shape.part(""))
    content: list[str] = []
    item: str | ChatEnd = first
    try:
        while not isinstance(item, ChatEnd):
            content.append(item)
            yield shape.of_text("response.output_text.delta", delta=item, logprobs=[])
            item = await anext(rest)
    except CorrectlyError as error:
        log.warning("stream broken off", extra={"code": error.code})
        yield shape.event("error", code=error.code, message=str(error), param=None)
        yield shape.event("response.failed", response=shape.response("failed", error=error))
        return
    text = "".join(content)
    yield shape.of_text("response.output_text.done", text=text, logprobs=[])
    yield shape.of_text("response.content_part.done", part=shape.part(text))
    yield shape.event("response.output_item.done", output_index=0, item=shape.item("completed", text))
    yield shape.event("response.completed", response=shape.response("completed", text, item))


def _usage(usage: tuple[int, int]) -> ResponseUsage:
    prompt, completion = usage
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + completion,
    }
