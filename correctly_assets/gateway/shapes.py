"""The HTTP shapes: OpenAI's chat completions as far as clients rely on them, and our own of CONTRACTS.

Belongs here: request models and response builders. Does not belong here: what an answer says.
"""

from __future__ import annotations

import json
import time
from typing import Annotated, Any, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field

from correctly_assets.core.correction import Mode, ReasonLanguage


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="ignore")
    include_usage: bool = False


class ChatRequest(BaseModel):
    """A chat completion request. Whatever else clients send (tools, temperature, penalties, users) is dropped."""

    model_config = ConfigDict(extra="ignore")
    model: str = "correctly"
    messages: Annotated[list[dict[str, Any]], Field(min_length=1)]
    stream: bool = False
    stream_options: StreamOptions | None = None
    reason_language: ReasonLanguage | None = None
    mode: Mode | None = None
    style: dict[str, Any] | None = None


class CorrectionsRequest(BaseModel):
    """``POST /v1/corrections``. A string or a list of strings; ``model`` as in chat."""

    model_config = ConfigDict(extra="ignore")
    text: str | list[str]
    reasons: bool = True
    reason_language: ReasonLanguage | None = None
    mode: Mode | None = None
    style: dict[str, Any] | None = None
    model: str = "correctly"


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
    code: str


class ErrorAnswer(BaseModel):
    """Every error, over HTTP and with --json."""

    error: ErrorBody


class ChatShape:
    """Builds the objects of one chat answer, whole or streamed, under one id."""

    def __init__(self, model: str) -> None:
        self.id = f"chatcmpl-{uuid4().hex}"
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
        return self._chunk({"role": "assistant", "content": "", "refusal": None}, None)

    def piece(self, text: str) -> str:
        return self._chunk({"content": text}, None)

    def last(self, extra: dict[str, Any]) -> str:
        return self._chunk({}, "stop", {"correctly": extra})

    def usage(self, usage: tuple[int, int]) -> str:
        """The extra chunk that ``stream_options.include_usage`` asks for."""
        return event(self._object("chat.completion.chunk") | {"choices": [], "usage": _usage(usage)})

    def _chunk(self, delta: dict[str, Any], finish: str | None, extra: dict[str, Any] | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event(self._object("chat.completion.chunk") | {"choices": [choice]} | (extra or {}))

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
