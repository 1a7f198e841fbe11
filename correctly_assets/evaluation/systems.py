"""Systems under test: untouched text, Harper, a file of predictions, a model through the correction path, and a chat
model from outside.

Belongs here: anything that implements `core.ports.SystemUnderTest`. Does not belong here: the correction path itself,
which is handed in, or scoring (score.py).
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict

from correctly_assets.artifacts.files import sha256_file
from correctly_assets.core.correction import CorrectionPath, Mode, ReasonLanguage
from correctly_assets.core.errors import UsageError
from correctly_assets.core.evaluation import Costs
from correctly_assets.core.hashing import sha256_of
from correctly_assets.core.ports import Annotator
from correctly_assets.core.prompts import Prompts, fill
from correctly_assets.core.types import Correction
from correctly_assets.language.harper import apply_lints, linter_identity, load_linter
from correctly_assets.llm_api.requests import ChatAnswer, ChatRequest, ChatTransport


class IdentitySystem:
    """Leaves every text as it is."""

    name = "identity"

    def __init__(self) -> None:
        self.costs = Costs()

    def identity(self) -> str:
        """A hash that changes when its answers would: never."""
        return sha256_of({"system": self.name})

    async def correct_all(self, texts: Sequence[str], *, reasons: bool) -> list[Correction]:
        """Every text as it is, without edits."""
        return [_plain(number, text, text) for number, text in enumerate(texts)]


class HarperSystem:
    """Harper's rule checker: plain text, the first suggestion of every lint, applied from left to right."""

    name = "harper"

    def __init__(self, annotator: Annotator | None = None) -> None:
        self.costs = Costs()
        self._annotator = annotator

    def identity(self) -> str:
        """A hash over the linter's version and the rules that are on."""
        return sha256_of({"system": self.name, **linter_identity()})

    async def correct_all(self, texts: Sequence[str], *, reasons: bool) -> list[Correction]:
        """Correct each text; Harper gives no reasons of ours, so ``reasons`` changes nothing.

        Raises:
            PermanentError: harper-py is not installed.
        """
        linter = load_linter()
        started = time.perf_counter()
        self.costs = Costs()
        answers: list[Correction] = []
        for number, text in enumerate(texts):
            one = time.perf_counter()
            answers.append(_plain(number, text, apply_lints(linter, text), self._annotator))
            self.costs.seconds.append(time.perf_counter() - one)
        self.costs.wall_seconds = time.perf_counter() - started
        return answers


class FileSystem:
    """One prediction a line, in the set's order.

    Raises:
        UsageError: the file cannot be read.
    """

    def __init__(self, path: Path, annotator: Annotator | None = None) -> None:
        self.name = f"file:{path.name}"
        self.costs = Costs()
        self._path = path
        self._annotator = annotator
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"The predictions {path} cannot be read: {error}.") from error
        self._lines = lines[:-1] if lines and not lines[-1] else lines

    def identity(self) -> str:
        """A hash over the predictions file's bytes."""
        return sha256_of({"system": "file", "sha256": sha256_file(self._path)})

    async def correct_all(self, texts: Sequence[str], *, reasons: bool) -> list[Correction]:
        """
        Raises:
            UsageError: the file has another number of lines than the set has rows.
        """
        if len(self._lines) != len(texts):
            counts = f"{len(self._lines)} lines and the set {len(texts)} rows"
            raise UsageError(f"{self._path.name} has {counts}; write one prediction a line.")
        pairs = zip(texts, self._lines, strict=True)
        return [_plain(number, text, line.strip(), self._annotator) for number, (text, line) in enumerate(pairs)]


class AnswerParts(TypedDict, total=False):
    """What makes the answers of a model or adapter; their hash is part of its identity.

    Attributes:
        base, prompts: revision of the base model, hash of the prompts.
        reasons: hashes of the files of grammar points.
        engine: its version and device, and what it computes in where that is not bfloat16.
        path: version of the correction path.
        bounds: how sure the model must be of an edit (`correction.bounds.ModeBounds` as JSON); here it is only hashed.
        stack: what else stands before the model, and its version; left out where the model is alone.
    """

    base: str
    adapter: str | None
    prompts: str
    reasons: list[str]
    model_reasons: bool
    engine: dict[str, str | None]
    max_model_len: int
    path: int
    bounds: object
    stack: list[str | dict[str, str]]


class ModelSystem:
    """A model or adapter behind the same correction path as the chat, guards included.

    Args:
        name: as it stands in reports (``base``, ``served``, ``adapter:ID``).
        path: the correction path, e.g. `correction.path.Corrector`.
        model: the engine's name for it.
        parts: what makes its answers.
        at_once: texts in flight; latencies are measured under that load.
        mode: how daring its answers are.
        progress: told after every answer how many there are.
    """

    guarded = True

    def __init__(
        self,
        name: str,
        path: CorrectionPath,
        *,
        model: str,
        parts: AnswerParts,
        release: str | None = None,
        adapter: str | None = None,
        reason_language: ReasonLanguage = "en",
        at_once: int = 32,
        priority: int = 10,
        mode: Mode = "careful",
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self.name = name
        self.costs = Costs()
        self._progress = progress
        self._path = path
        self._model, self._release, self._adapter = model, release, adapter
        self._parts = {"language": reason_language, "mode": mode, **parts}
        self._language: ReasonLanguage = reason_language
        self._at_once, self._priority = at_once, priority
        self._mode: Mode = mode

    def identity(self) -> str:
        """A hash over all that decides the answers: base model, adapter, prompts, engine and correction path."""
        return sha256_of({"system": "model", **self._parts})

    async def correct_all(self, texts: Sequence[str], *, reasons: bool) -> list[Correction]:
        """Correct all texts, ``at_once`` of them in flight; the first failure cancels the others.

        Raises:
            UnreachableError, RefusedError: as the correction path does.
        """
        seconds = [0.0] * len(texts)
        answers: list[Correction | None] = [None] * len(texts)
        limit = asyncio.Semaphore(self._at_once)
        used = self._path.usage.copy()
        started = time.perf_counter()

        async def one(number: int, text: str) -> None:
            async with limit:
                begun = time.perf_counter()
                answers[number] = await self._path.correct(
                    text,
                    model=self._model,
                    release=self._release,
                    adapter=self._adapter,
                    reasons=reasons,
                    reason_language=self._language,
                    priority=self._priority,
                    mode=self._mode,
                )
                seconds[number] = time.perf_counter() - begun
                if self._progress is not None:
                    self._progress(sum(answer is not None for answer in answers))

        try:
            async with asyncio.TaskGroup() as group:
                for number, text in enumerate(texts):
                    group.create_task(one(number, text))
        except ExceptionGroup as failures:
            # The group holds what the first failure cancelled with it; one sentence is enough for whoever reads it.
            raise failures.exceptions[0] from failures
        usage = self._path.usage
        self.costs = Costs(
            seconds,
            time.perf_counter() - started,
            usage.prompt_tokens - used.prompt_tokens,
            usage.completion_tokens - used.completion_tokens,
            self._at_once,
        )
        return [answer for answer in answers if answer is not None]


def comparator_request(prompt: str, model: str, text: str) -> ChatRequest:
    """What a comparator is asked for one text; recording and scoring must ask word for word the same.

    Args:
        prompt: the template with ``{text}`` (prompts/comparator.txt).
    """
    # Half a token a character is twice what English takes, so that no answer is cut that keeps to its text.
    return ChatRequest(model, (("user", fill(prompt, text=text)),), max_tokens=64 + len(text) // 2, temperature=0.0)


class ChatSystem:
    """A chat model from outside, live or replayed, asked with a plain prompt and judged by what it answers.

    Args:
        name: as it stands in reports; says whether it is live or recorded.
        transport: an endpoint with its journal, or a recording.
        source: what else tells its answers apart: the recording's hash, or the endpoint's address.
        at_once: requests in flight.
    """

    def __init__(
        self,
        name: str,
        transport: ChatTransport,
        prompt: str,
        annotator: Annotator,
        *,
        source: str,
        at_once: int = 8,
    ) -> None:
        self.name = name
        self.costs = Costs()
        self._transport, self._prompt, self._annotator = transport, prompt, annotator
        self._source, self._at_once = source, at_once

    async def close(self) -> None:
        """Free what the transport holds."""
        await self._transport.close()

    def identity(self) -> str:
        """A hash over the model's name, the prompt, and the recording or address that answers."""
        parts = {"model": self._transport.model, "prompt": self._prompt, "source": self._source}
        return sha256_of({"system": "chat", **parts})

    async def correct_all(self, texts: Sequence[str], *, reasons: bool) -> list[Correction]:
        """Ask for every text; such a model gives no reasons of ours, so ``reasons`` changes nothing.

        An empty answer leaves the text as it was. Latencies are those that the endpoint took when it was asked, also in
        a replay, and the time for the whole set is their sum: one request after the other.

        Raises:
            RetryableError, PermanentError: as the transport does.
        """
        requests = [comparator_request(self._prompt, self._transport.model, text) for text in texts]
        self._transport.begin(requests)
        limit = asyncio.Semaphore(self._at_once)

        async def one(request: ChatRequest) -> ChatAnswer:
            async with limit:
                return await self._transport.send(request)

        answers = await _gather([one(request) for request in requests])
        seconds = [answer.latency_ms / 1000 for answer in answers]
        # No money is shown where no price was known: an answer then states no cost.
        spent = sum(answer.cost_usd for answer in answers) or None
        self.costs = Costs(
            seconds,
            sum(seconds),
            sum(answer.prompt_tokens for answer in answers),
            sum(answer.completion_tokens for answer in answers),
            usd=spent,
        )
        pairs = zip(texts, answers, strict=True)
        return [
            _chatted(number, text, answer.text.strip(), self._annotator) for number, (text, answer) in enumerate(pairs)
        ]


def _chatted(number: int, text: str, after: str, annotator: Annotator) -> Correction:
    if not after:
        return Correction(f"c_{number}", text, text, (), fallback="empty")
    return _plain(number, text, after, annotator)


async def _gather(work: Sequence[Coroutine[Any, Any, ChatAnswer]]) -> list[ChatAnswer]:
    """All results in order; the first failure cancels the others and is raised as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures
    return [task.result() for task in tasks]


def few_shot(prompts: Prompts, pairs: Sequence[tuple[str, str]]) -> Prompts:
    """The correction prompt with solved pairs before the text: what a base model can do without any training."""
    shown = "\n".join(f"Awkward: {before}\nNatural: {after}" for before, after in pairs)
    correct = f"Rewrite each awkward sentence as natural English.\n{shown}\nAwkward: {{text}}\nNatural:"
    sha = hashlib.sha256("\x00".join((prompts.sha256, correct)).encode()).hexdigest()
    return replace(prompts, correct=correct, sha256=sha)


def _plain(number: int, text: str, after: str, annotator: Annotator | None = None) -> Correction:
    edits = annotator.edits(text, after) if annotator is not None else ()
    return Correction(f"c_{number}", text, after, edits)
