"""The HTTP shapes: OpenAI's chat completions as far as clients rely on them, and our own of CONTRACTS.

Belongs here: request models and response builders. Does not belong here: what an answer says.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from correctly_assets.core.correction import Mode, ReasonLanguage
from correctly_assets.correction.render import Layout
from correctly_assets.gateway.http_errors import UnsupportedField


class Asked(BaseModel):
    """A request in which null means that the field was left out, and fields of no meaning here are left aside."""

    model_config = ConfigDict(extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        return {name: one for name, one in value.items() if one is not None} if isinstance(value, dict) else value


class HowAsked(Asked):
    """What every request may say of how it is to be answered; left out, it is as the client's key or the settings say."""

    reason_language: ReasonLanguage | None = None
    mode: Mode | None = None
    style: dict[str, Any] | None = None


class StreamOptions(Asked):
    include_usage: bool = False


_PART = {
    "type": "object",
    "properties": {"type": {"enum": ["text", "input_text", "output_text", "refusal"]}, "text": {"type": "string"}},
}
Message = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "properties": {
                "role": {"enum": ["user", "assistant", "system", "developer", "tool"]},
                "content": {"anyOf": [{"type": "string"}, {"type": "array", "items": _PART}, {"type": "null"}]},
            },
            "required": ["role"],
        }
    ),
]
"""A message of a chat. The page of the API shows what most clients send; what is taken of others is chat_text.py's to say."""


class ChatRequest(HowAsked):
    """A chat completion request. What an answer cannot keep to is refused by name (`refuse_unsupported`); whatever else
    clients send (temperature, penalties, limits of tokens, tools, users) is left aside, as docs/clients.md says."""

    model: str = "correctly"
    messages: Annotated[list[Message], Field(min_length=1)]
    stream: bool = False
    stream_options: StreamOptions | None = None
    format: Layout | None = None

    @model_validator(mode="before")
    @classmethod
    def _supported(cls, value: Any) -> Any:
        if isinstance(value, dict):
            refuse_unsupported(value)
        return value


class CorrectionsRequest(HowAsked):
    """``POST /v1/corrections``. A string or a list of strings; ``model`` as in chat."""

    text: str | list[str]
    reasons: bool = True
    model: str = "correctly"


_ONLY = "the one answer that there is"
_KEPT_TO: dict[str, tuple[tuple[Any, ...], str]] = {
    "n": ((1,), f"ask for {_ONLY}, or leave `n` out"),
    "logprobs": ((False,), "leave it out"),
    "top_logprobs": ((0,), "leave it out"),
    "response_format": (({"type": "text"},), 'ask for `"format": "json"` to get edits and reasons as JSON'),
    "modalities": ((["text"],), "an answer is text"),
    "audio": ((), "an answer is text"),
    "tool_choice": (("auto", "none"), "no tool is ever called"),
    "function_call": (("auto", "none"), "no function is ever called"),
    "web_search_options": ((), "nothing is searched for"),
}
"""The fields that an answer cannot keep to: the values at which it does so by itself, and what to do instead."""


def refuse_unsupported(body: Mapping[str, Any], kept_to: Mapping[str, tuple[tuple[Any, ...], str]] = _KEPT_TO) -> None:
    """Refuse what a request asks for and would not get.

    Raises:
        UnsupportedField: a field has a value that the answer cannot keep to.
    """
    for name, (values, instead) in kept_to.items():
        value = body.get(name)
        if value is not None and value not in values:
            raise UnsupportedField(name, f"`{name}` cannot be kept to here as it is sent: {instead}.")


class AcceptedEdit(BaseModel):
    index: Annotated[int, Field(ge=0)]
    accepted: bool


class FeedbackRequest(BaseModel):
    """``POST /v1/feedback``."""

    model_config = ConfigDict(extra="forbid")
    correction_id: Annotated[str, Field(min_length=1, max_length=64)]
    rating: Literal[1, -1]
    better: Annotated[str, Field(max_length=60_000)] | None = None
    edits: Annotated[list[AcceptedEdit], Field(max_length=2_000)] = []
    comment: Annotated[str, Field(max_length=10_000)] | None = None


class ErrorBody(BaseModel):
    message: str
    type: str
    param: str | None = None
    code: str


class ErrorAnswer(BaseModel):
    """Every error, over HTTP and with --json."""

    error: ErrorBody


class ChatShape:
    """Builds the objects of one chat answer, whole or streamed, under one id.

    Args:
        with_usage: each chunk of the stream has ``usage``, null but in the last.
    """

    def __init__(self, model: str, *, with_usage: bool = False) -> None:
        self.id = f"chatcmpl-{uuid4().hex}"
        self.with_usage = with_usage
        self.created = int(time.time())
        self.model = model

    def whole(self, content: str, usage: tuple[int, int], extra: dict[str, Any]) -> dict[str, Any]:
        """A ``chat.completion``. ``extra`` stands under ``correctly``: release, adapter, correction id."""
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": content, "refusal": None, "annotations": []},
            "logprobs": None,
            "finish_reason": "stop",
        }
        return self._object("chat.completion") | {"choices": [choice], "usage": _usage(usage), "correctly": extra}

    def first(self) -> str:
        """The first chunk of a stream, with the role."""
        return self._chunk({"role": "assistant", "content": "", "refusal": None}, None)

    def piece(self, text: str) -> str:
        """A chunk with a piece of the text."""
        return self._chunk({"content": text}, None)

    def last(self, extra: dict[str, Any]) -> str:
        """The last chunk, with ``finish_reason`` and what stands under ``correctly``."""
        return self._chunk({}, "stop", {"correctly": extra})

    def usage(self, usage: tuple[int, int]) -> str:
        """The extra chunk that ``stream_options.include_usage`` asks for."""
        return event(self._object("chat.completion.chunk") | {"choices": [], "usage": _usage(usage)})

    def _chunk(self, delta: dict[str, Any], finish: str | None, extra: dict[str, Any] | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        usage = {"usage": None} if self.with_usage else {}
        return event(self._object("chat.completion.chunk") | {"choices": [choice]} | usage | (extra or {}))

    def _object(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "service_tier": None,
            "system_fingerprint": None,
        }


DONE = "data: [DONE]\n\n"


def event(value: dict[str, Any]) -> str:
    """One server-sent event."""
    return f"data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n"


def model_card(name: str, stack: str) -> dict[str, Any]:
    """One model of the list; ``stack`` says whether it answers alone or behind a rule checker (CORRECTLY_STACK)."""
    card = {"id": name, "object": "model", "created": 1735689600, "owned_by": "correctly"}
    return {**card, "correctly": {"stack": stack}}


def _usage(usage: tuple[int, int]) -> dict[str, Any]:
    prompt, completion = usage
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
