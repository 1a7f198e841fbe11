"""The HTTP shapes: OpenAI's chat completions as far as clients rely on them, and our own of CONTRACTS.

Belongs here: request models and response builders. Does not belong here: what an answer says.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired, TypedDict
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, JsonValue, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from correctly_assets.core.correction import Mode, ReasonLanguage
from correctly_assets.core.json_shapes import Json
from correctly_assets.core.types import Fallback
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
    style: dict[str, JsonValue] | None = None


class StreamOptions(Asked):
    include_usage: bool = False


_PART = {
    "type": "object",
    "properties": {"type": {"enum": ["text", "input_text", "output_text", "refusal"]}, "text": {"type": "string"}},
}
_MESSAGE = {
    "type": "object",
    "properties": {
        "role": {"enum": ["user", "assistant", "system", "developer", "tool"]},
        "content": {"anyOf": [{"type": "string"}, {"type": "array", "items": _PART}, {"type": "null"}]},
    },
    "required": ["role"],
}
"""A message as the page of the API shows it, which is what most clients send."""


class Message(BaseModel):
    """A message of a chat. Its content may be anything; what is taken of it is chat_text.py's to say."""

    role: Any = None
    content: Any = None

    @model_validator(mode="before")
    @classmethod
    def _is_object(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise PydanticCustomError("dict_type", "Input should be a valid dictionary")
        return value


class ChatRequest(HowAsked):
    """A chat completion request. What an answer cannot keep to is refused by name (`refuse_unsupported`); whatever else
    clients send (temperature, penalties, limits of tokens, tools, users) is left aside, as docs/clients.md says."""

    model: str = "correctly"
    messages: Annotated[list[Annotated[Message, WithJsonSchema(_MESSAGE)]], Field(min_length=1)]
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
KEPT_TO: dict[str, tuple[tuple[Any, ...], str]] = {
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


def refuse_unsupported(body: Mapping[str, Json], kept_to: Mapping[str, tuple[tuple[Any, ...], str]] = KEPT_TO) -> None:
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


class AnswerFacts(TypedDict, total=False):
    """What stands under ``correctly`` in an answer: who wrote it, and what became of the text. Empty where no model was asked."""

    correction_id: str
    release: str | None
    adapter: str | None
    changed: bool
    fallback: Fallback | None


class Usage(TypedDict):
    """Tokens, as chat completions count them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class _AnswerHead(TypedDict):
    id: str
    object: str
    created: int
    model: str
    service_tier: None
    system_fingerprint: None


class ChatMessage(TypedDict):
    """The one message of a ``chat.completion``."""

    role: Literal["assistant"]
    content: str
    refusal: None
    annotations: list[None]


class Choice(TypedDict):
    """The one choice of a ``chat.completion``."""

    index: int
    message: ChatMessage
    logprobs: None
    finish_reason: Literal["stop"]


class ChatCompletion(_AnswerHead):
    """A whole answer."""

    choices: list[Choice]
    usage: Usage
    correctly: AnswerFacts


class Delta(TypedDict, total=False):
    """What a chunk adds to the message."""

    role: Literal["assistant"]
    content: str
    refusal: None


class ChunkChoice(TypedDict):
    """The one choice of a chunk."""

    index: int
    delta: Delta
    logprobs: None
    finish_reason: Literal["stop"] | None


class ChatChunk(_AnswerHead):
    """One event of a streamed answer."""

    choices: list[ChunkChoice]
    usage: NotRequired[Usage | None]
    correctly: NotRequired[AnswerFacts]


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

    def whole(self, content: str, usage: tuple[int, int], facts: AnswerFacts) -> ChatCompletion:
        """A ``chat.completion``. ``facts`` stands under ``correctly``."""
        choice: Choice = {
            "index": 0,
            "message": {"role": "assistant", "content": content, "refusal": None, "annotations": []},
            "logprobs": None,
            "finish_reason": "stop",
        }
        head = self._head("chat.completion")
        return {**head, "choices": [choice], "usage": _usage(usage), "correctly": facts}

    def first(self) -> str:
        """The first chunk of a stream, with the role."""
        return event(self._chunk({"role": "assistant", "content": "", "refusal": None}))

    def piece(self, text: str) -> str:
        """A chunk with a piece of the text."""
        return event(self._chunk({"content": text}))

    def last(self, facts: AnswerFacts) -> str:
        """The last chunk, with ``finish_reason`` and what stands under ``correctly``."""
        chunk = self._chunk({}, "stop")
        chunk["correctly"] = facts
        return event(chunk)

    def usage(self, usage: tuple[int, int]) -> str:
        """The extra chunk that ``stream_options.include_usage`` asks for."""
        chunk: ChatChunk = {**self._head("chat.completion.chunk"), "choices": [], "usage": _usage(usage)}
        return event(chunk)

    def _chunk(self, delta: Delta, finish: Literal["stop"] | None = None) -> ChatChunk:
        choice: ChunkChoice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        chunk: ChatChunk = {**self._head("chat.completion.chunk"), "choices": [choice]}
        if self.with_usage:
            chunk["usage"] = None
        return chunk

    def _head(self, kind: str) -> _AnswerHead:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "service_tier": None,
            "system_fingerprint": None,
        }


DONE = "data: [DONE]\n\n"


def event(value: object) -> str:
    """One server-sent event over a value that is JSON."""
    return f"data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n"


class ModelFacts(BaseModel):
    """``stack`` says whether a model answers alone or behind a rule checker (CORRECTLY_STACK)."""

    stack: str


class ModelCard(BaseModel):
    """One model of the list."""

    id: str
    object: Literal["model"] = "model"
    created: int = 1735689600
    owned_by: str = "correctly"
    correctly: ModelFacts


class ModelList(BaseModel):
    """``GET /v1/models``."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


def _usage(usage: tuple[int, int]) -> Usage:
    prompt, completion = usage
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
