"""Requests to a written-language model, their answers, and recordings of both.

Belongs here: the records that teachers and comparators share, the key by which a request is known, and the recording
file's format, what a status means. Does not belong here: sending requests (teachers/), or scoring what was answered (evaluation/).

A recording is a JSONL file. Its first line is the header ``{"format", "version", "model", "requested", "kind",
"recorded_at", "entries", "cost_usd", "sha256"}``; ``sha256`` is over the remaining lines, each one entry: the request's
key, the request itself, the answer, the model that the endpoint reported, tokens, cost, latency and date.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypedDict

from correctly_assets.artifacts.files import write_text_atomically
from correctly_assets.core.errors import PermanentError, RefusedError
from correctly_assets.core.hashing import sha256_of
from correctly_assets.core.json_shapes import Json

FORMAT = "correctly-recording"
FORMAT_VERSION = 1
NOT_RECORDED = "not_recorded"
"""The code of the error of a model, or of one request, that nobody has recorded."""
# A name with a date or a build number behind it is that model's version (gpt-4o-2024-08-06); one with a word is another model.
_VERSION = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{3,8})")


class Said(TypedDict):
    """A message of a chat."""

    role: str
    content: str


class RequestRecord(TypedDict):
    """A request as journals and recordings keep it; its hash is the request's key."""

    model: str
    messages: list[Said]
    max_tokens: int
    temperature: float
    seed: int | None
    schema: Mapping[str, Json] | None


class AnswerRecord(TypedDict):
    """An answer as journals and recordings keep it: whether it was paid for before is true of any that is read again."""

    text: str
    model: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    latency_ms: float
    at: str


class RecordedEntry(TypedDict):
    """A line of a recording."""

    key: str
    request: RequestRecord
    answer: AnswerRecord


class RecordingHeader(TypedDict):
    """A recording's first line."""

    format: str
    version: int
    kind: str
    model: str
    requested: str
    recorded_at: str
    entries: int
    cost_usd: float
    sha256: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request to a chat model.

    Attributes:
        schema: the JSON schema that the answer must fit; None for plain text.
        seed: passed on to the endpoint, and part of the key, so that equal prompts can be asked for again.
    """

    model: str
    messages: tuple[tuple[str, str], ...]
    max_tokens: int
    temperature: float = 1.0
    seed: int | None = None
    schema: Mapping[str, Json] | None = field(default=None, compare=False)

    @property
    def key(self) -> str:
        """sha256 over everything that shapes the answer; where it is sent to is not part of it."""
        return sha256_of(self.to_json())

    def to_json(self) -> RequestRecord:
        """As journals and recordings keep it."""
        return {
            "model": self.model,
            "messages": [{"role": role, "content": content} for role, content in self.messages],
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "seed": self.seed,
            "schema": self.schema,
        }


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """What an endpoint answered.

    Attributes:
        model: the name that the endpoint itself reported.
        paid_before: the answer came from a journal or recording and cost nothing now.
    """

    text: str
    model: str
    finish_reason: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    latency_ms: float = 0.0
    at: str = ""
    paid_before: bool = False

    def to_json(self) -> AnswerRecord:
        """As journals and recordings keep it."""
        return {
            "text": self.text,
            "model": self.model,
            "finish_reason": self.finish_reason,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "cost_usd": self.cost_usd,
            "latency_ms": self.latency_ms,
            "at": self.at,
        }

    @classmethod
    def from_json(cls, record: AnswerRecord, *, paid_before: bool = False) -> ChatAnswer:
        """The inverse of `to_json`; unknown keys are ignored.

        Args:
            paid_before: whether an earlier run paid for it, so that it costs this one nothing.
        """
        known = {name: record[name] for name in cls.__dataclass_fields__ if name in record}
        return cls(**{**known, "paid_before": paid_before})


class ChatTransport(Protocol):
    """Answers requests: an endpoint over HTTP, or a recording."""

    model: str

    def begin(self, requests: Sequence[ChatRequest]) -> None:
        """Hear which requests will be sent, before the first one."""
        ...

    async def send(self, request: ChatRequest) -> ChatAnswer:
        """Answer one request.

        Raises:
            RetryableError: the endpoint did not answer within the attempts allowed.
            PermanentError: it refuses such requests, or the recording holds no answer.
        """
        ...

    async def close(self) -> None:
        """Free what the transport holds."""
        ...


def may_be_answered_later(status: int) -> bool:
    """Whether a status of an endpoint says that the same request may be answered later."""
    return status in {408, 409, 425, 429} or status >= 500


def record_command(model: str, kind: str) -> str:
    """The command that records a model, as messages show it.

    Args:
        kind: ``teacher`` or ``comparator``.
    """
    return (
        f"`correctly record --kind teacher --model {model}`"
        if kind == "teacher"
        else (f"`correctly record --model {model} --data FILE`")
    )


def not_recorded(model: str, kind: str = "comparator") -> PermanentError:
    """The error of whatever would show figures of a model that nobody has recorded."""
    return PermanentError(f"{model} is not recorded; run {record_command(model, kind)}.", code=NOT_RECORDED)


class Recording:
    """A recording that was read and whose hash was checked."""

    def __init__(self, header: RecordingHeader, entries: dict[str, RecordedEntry]) -> None:
        self.header = header
        self.entries = entries

    @property
    def model(self) -> str:
        """The name under which the endpoint answered."""
        return self.header["model"]

    @property
    def requested(self) -> str:
        """The name that was asked for, which request keys hold."""
        return self.header["requested"]

    @property
    def sha256(self) -> str:
        """Hash of the recorded lines, as the header states it and `load` checked it."""
        return self.header["sha256"]

    @classmethod
    def load(cls, path: Path, *, requested: str | None = None, kind: str = "comparator") -> Recording:
        """Read a recording.

        Args:
            requested: the model whose recording it must be; any when None.
            kind: what is read for, ``teacher`` or ``comparator``: which command an error names.

        Raises:
            PermanentError: there is none, it is of another version or another model, or its lines do not have the hash that
                it states.
        """
        try:
            head, _, body = path.read_text(encoding="utf-8").partition("\n")
        except FileNotFoundError:
            raise not_recorded(requested or path.stem, kind) from None
        try:
            header = json.loads(head)
            entries = [json.loads(line) for line in body.splitlines() if line.strip()]
        except json.JSONDecodeError as error:
            raise PermanentError(f"The recording {path} is damaged: {error}. Record it again.") from error
        if header.get("format") != FORMAT or header.get("version") != FORMAT_VERSION:
            raise PermanentError(f"{path} is no recording of version {FORMAT_VERSION}; record it again.")
        if header.get("sha256") != hashlib.sha256(body.encode()).hexdigest():
            raise PermanentError(f"The recording {path} was changed after it was made; restore it or record it again.")
        if requested is not None and header.get("requested") != requested:
            raise PermanentError(
                f"{path} is a recording of {header.get('requested')}, not of {requested}; put it back under its own name "
                f"and run {record_command(requested, kind)}."
            )
        return cls(header, {entry["key"]: entry for entry in entries})

    def answer(self, request: ChatRequest) -> ChatAnswer:
        """The recorded answer to a request.

        Raises:
            PermanentError: this request was not recorded.
        """
        entry = self.entries.get(request.key)
        if entry is None:
            command = record_command(self.requested, str(self.header.get("kind")))
            raise PermanentError(
                f"What {self.requested} answers to this is not recorded; run {command}.", code=NOT_RECORDED
            )
        return ChatAnswer.from_json(entry["answer"], paid_before=True)


class Recorder:
    """Collects answers for one recording.

    Nothing enters under a name that was not reported: each answer's own model name must be the requested one or a dated
    version of it, and the same throughout.
    """

    def __init__(self, path: Path, *, requested: str, kind: str, now: Callable[[], str]) -> None:
        """
        Args:
            kind: what was recorded, ``teacher`` or ``comparator``.
            now: the clock (ISO 8601), passed in because core has none.
        """
        self._path = path
        self._requested = requested
        self._kind = kind
        self._now = now
        self._model: str | None = None
        self._entries: dict[str, RecordedEntry] = {}

    def add(self, request: ChatRequest, answer: ChatAnswer) -> None:
        """Take one answer in.

        Raises:
            RefusedError: the endpoint reported no name, another model's, or a different one than before.
        """
        reported = answer.model
        dated = reported.startswith(self._requested) and _VERSION.fullmatch(reported[len(self._requested) :])
        if reported != self._requested and not dated:
            raise RefusedError(
                f"The endpoint answered as {reported or 'nobody'!r}, not as {self._requested!r}; "
                f"record it under the name that it reports."
            )
        if self._model not in (None, reported):
            raise RefusedError(f"The endpoint changed from {self._model!r} to {reported!r} while recording.")
        self._model = reported
        self._entries[request.key] = {"key": request.key, "request": request.to_json(), "answer": answer.to_json()}

    def write(self) -> Recording:
        """Write the file atomically and return what it holds.

        Raises:
            PermanentError: nothing was recorded.
        """
        if self._model is None:
            raise PermanentError(f"Nothing was recorded for {self._requested}; no file was written.")
        lines = [json.dumps(self._entries[key], sort_keys=True, ensure_ascii=False) for key in sorted(self._entries)]
        body = "".join(f"{line}\n" for line in lines)
        header: RecordingHeader = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "kind": self._kind,
            "model": self._model,
            "requested": self._requested,
            "recorded_at": self._now(),
            "entries": len(lines),
            "cost_usd": round(sum(e["answer"]["cost_usd"] for e in self._entries.values()), 6),
            "sha256": hashlib.sha256(body.encode()).hexdigest(),
        }
        write_text_atomically(self._path, json.dumps(header, sort_keys=True, ensure_ascii=False) + "\n" + body)
        return Recording.load(self._path)


def total_cost(answers: Iterable[ChatAnswer]) -> float:
    """What the answers cost now, in USD; those paid before cost nothing again."""
    return sum(answer.cost_usd for answer in answers if not answer.paid_before)
