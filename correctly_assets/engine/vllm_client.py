"""The engine's client: completions, log-probabilities, adapters and health over vLLM's HTTP interface.

Belongs here: what is true of vLLM 0.32 on the wire. Does not belong here: which adapter should serve (rollout.py),
starting the process (launch.py).
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NotRequired, TypedDict

import httpx
from pydantic import BaseModel

from correctly_assets.core.errors import PermanentError, RefusedError, UnreachableError
from correctly_assets.core.ports import Completion
from correctly_assets.core.serving import EngineCorruptedError, UnknownModelError
from correctly_assets.engine.key import engine_key
from correctly_assets.settings import Settings

_DYING = re.compile(r"after shutdown|shutting down|EngineDead|engine (core )?(is )?dead|EngineCore encountered", re.I)
_REPEATABLE = ("/v1/completions", "/tokenize")
_AWAY = "The engine (vLLM) is not reachable at {url}: start the platform with `correctly up`, or wait for its restart."
_SLOW = (
    "The engine (vLLM) at {url} took the request and did not answer within {seconds:g} s: it has too much to do, or hangs. "
    "Ask again in a moment; `correctly logs vllm` shows what it does."
)
_FOREIGN = (
    "The engine at {url} does not take this platform's key: it belongs to another HOME, or its key was replaced while it ran. "
    "Stop it and start the platform again, or set CORRECTLY_VLLM_PORT."
)


class CompletionBody(TypedDict):
    """What /v1/completions is asked with: a text, texts, or the ids of a text's tokens."""

    model: str
    prompt: str | list[str] | list[int]
    max_tokens: int
    temperature: float
    priority: int
    stop: NotRequired[list[str]]
    skip_special_tokens: NotRequired[bool]
    logprobs: NotRequired[int]
    prompt_logprobs: NotRequired[int]


class TokenizeBody(TypedDict):
    """What /tokenize is asked with."""

    model: str
    prompt: str
    add_special_tokens: bool


class LoadBody(TypedDict):
    """What /v1/load_lora_adapter is asked with."""

    lora_name: str
    lora_path: str
    load_inplace: bool


class UnloadBody(TypedDict):
    """What /v1/unload_lora_adapter is asked with."""

    lora_name: str


_Body = CompletionBody | TokenizeBody | LoadBody | UnloadBody


class _Chosen(BaseModel):
    """The tokens of an answer, with what each cost."""

    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None


class _Token(BaseModel):
    logprob: float | None = None


class _Choice(BaseModel):
    index: int = 0
    text: str = ""
    finish_reason: str | None = None
    logprobs: _Chosen | None = None
    prompt_logprobs: list[dict[str, _Token] | None] | None = None
    """By place, by token id; nothing at the first place."""


class _Usage(BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Completions(BaseModel):
    choices: list[_Choice]
    usage: _Usage | None = None


class _Tokens(BaseModel):
    tokens: list[int]


PATIENT_SECONDS = 600.0
"""How long evaluation waits for one answer: behind a batch of its own on a busy CPU, minutes are not a failure."""


class VllmClient:
    """One engine behind HTTP. Implements ``core.ports.Completer``. Use as an async context manager, or call ``aclose``.

    Args:
        url: the engine's root, e.g. ``http://127.0.0.1:8001``.
        key: what the engine asks for (engine/key.py); None for one that asks for none.
        timeout: seconds that one answer may take; a hanging engine counts as away.
        connections: answers in flight at most; more wait here rather than in the engine's queue.
    """

    def __init__(self, url: str, *, key: str | None = None, timeout: float = 120.0, connections: int = 256) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._client = httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            # An engine that is away refuses at once; what takes seconds is this process, busy with parsing.
            timeout=httpx.Timeout(timeout, connect=15.0),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            trust_env=False,  # A proxy for the outside must not see what goes to loopback.
        )

    @classmethod
    def of(cls, settings: Settings, *, timeout: float = 120.0) -> VllmClient:
        """The client of the platform's own engine, with its key."""
        return cls(settings.serving.vllm_url, key=engine_key(settings.platform.home), timeout=timeout)

    async def __aenter__(self) -> VllmClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; nothing may be asked afterwards."""
        await self._client.aclose()

    async def complete(
        self,
        prompt: str,
        *,
        model: str,
        max_tokens: int,
        stop: Sequence[str] = (),
        priority: int = 0,
        logprobs: bool = False,
    ) -> Completion:
        """Complete one rendered prompt greedily (see ``core.ports.Completer``).

        Raises:
            UnreachableError: the engine is away, hangs, or is busy beyond its queue.
            UnknownModelError: the engine does not know ``model`` (any more).
            EngineCorruptedError: the engine computed NaN.
            RefusedError: the engine refuses the request itself, e.g. a prompt beyond its context (code
                ``engine_refused``), or fails at it (``engine_failed``).
        """
        started = time.perf_counter()
        body: CompletionBody = {
            "model": model,
            "prompt": prompt,
            "max_tokens": max_tokens,
            "temperature": 0.0,
            "stop": list(stop),
            "priority": priority,
            # A stop text may be a special token, which would be dropped before stop texts are looked for.
            "skip_special_tokens": False,
        }
        if logprobs:
            body["logprobs"] = 0  # of the chosen tokens alone
        answer = await self._complete(body)
        choice, usage = answer.choices[0], answer.usage or _Usage()
        shown = choice.logprobs or _Chosen()
        tokens: list[tuple[str, float]] = []
        for token, logprob in zip(shown.tokens or (), shown.token_logprobs or (), strict=False):
            if logprob is None or math.isnan(logprob):
                raise _corrupted(model)
            tokens.append((token, logprob))
        return Completion(
            text=choice.text,
            finish_reason=choice.finish_reason or "length",
            prompt_tokens=usage.prompt_tokens or 0,
            completion_tokens=usage.completion_tokens or 0,
            seconds=time.perf_counter() - started,
            tokens=tuple(tokens),
        )

    async def prompt_logprob(self, model: str, prompt: str, completion: str) -> float:
        """The sum, in nats, of the log-probabilities of ``completion``'s tokens after ``prompt``.

        Prompt and completion are tokenised apart and joined, as training does it, so that the boundary is the same.

        Raises:
            EngineCorruptedError: a log-probability is not a number.
        """
        head = await self.tokenize(model, prompt, special=True)
        tail = await self.tokenize(model, completion, special=False)
        body: CompletionBody = {
            "model": model,
            "prompt": head + tail,
            "max_tokens": 1,
            "temperature": 0.0,
            "prompt_logprobs": 0,
            "priority": 0,
        }
        places = (await self._complete(body)).choices[0].prompt_logprobs or []
        total = 0.0
        for token, place in zip(tail, places[len(head) :], strict=True):
            value = (place or {}).get(str(token), _Token()).logprob
            if value is None or not math.isfinite(value):
                raise _corrupted(model)
            total += value
        return total

    async def text_logprobs(self, model: str, texts: Sequence[str], *, priority: int = 0) -> list[float]:
        """The log-probability of each text under a model, in nats, in their order; one request for all of them.

        Raises:
            EngineCorruptedError: a log-probability is not a number.
        """
        body: CompletionBody = {
            "model": model,
            "prompt": list(texts),
            "max_tokens": 1,
            "temperature": 0.0,
            "prompt_logprobs": 0,
            "priority": priority,
        }
        totals: list[float] = []
        for choice in sorted((await self._complete(body)).choices, key=lambda choice: choice.index):
            values: list[float] = []
            # The first token begins every text and is not predicted; of the others each place holds the token's own value.
            for token in (token for place in choice.prompt_logprobs or () if place for token in place.values()):
                if token.logprob is None or not math.isfinite(token.logprob):
                    raise _corrupted(model)
                values.append(token.logprob)
            totals.append(math.fsum(values))
        return totals

    async def tokenize(self, model: str, text: str, *, special: bool) -> list[int]:
        """Token ids of a text; ``special`` adds what the tokenizer begins a prompt with, as /v1/completions does."""
        body: TokenizeBody = {"model": model, "prompt": text, "add_special_tokens": special}
        return _Tokens.model_validate_json(await self._post("/tokenize", body)).tokens

    async def models(self) -> dict[str, str]:
        """{name: directory or hub name} of the base model and every registered adapter."""
        answer = await self._send("GET", "/v1/models")
        return {card["id"]: str(card.get("root") or "") for card in answer.json()["data"]}

    async def is_ready(self) -> bool:
        """Whether the engine answers its health route."""
        try:
            answer = await self._client.get("/health", timeout=3.0)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200

    async def load_adapter(self, name: str, path: Path) -> None:
        """Register an adapter from an immutable directory. Never in place: the engine would re-read the disk on every
        step, and the same path with other bytes answers wrongly with 200.

        Raises:
            RefusedError: the engine cannot load it; its own words are in the message.
        """
        body: LoadBody = {"lora_name": name, "lora_path": str(path), "load_inplace": False}
        answer = await self._send("POST", "/v1/load_lora_adapter", body)
        if answer.status_code == 400 and "already been loaded" in answer.text:
            known = (await self.models()).get(name)
            if known == str(path):
                return
            raise RefusedError(f"The engine serves {name} from {known}, not from {path}: unload it first.")
        if answer.status_code != 200:
            raise RefusedError(f"The engine did not load the adapter {name}: {_words(answer)}")

    async def unload_adapter(self, name: str) -> None:
        """Forget an adapter; one that is not known is already forgotten."""
        answer = await self._send("POST", "/v1/unload_lora_adapter", {"lora_name": name})
        if answer.status_code not in (200, 404):
            raise RefusedError(f"The engine did not unload the adapter {name}: {_words(answer)}")

    async def corrupted_requests(self, model: str | None = None) -> int:
        """Answers computed from NaN logits since the engine started (``vllm:corrupted_requests_total``).

        Args:
            model: whose answers are meant; this one engine's models poison each other, so that all of them count.

        Raises:
            PermanentError: the engine does not count them, because it was started another way than by launch.py.
        """
        counts = self._samples((await self._send("GET", "/metrics")).text, "vllm:corrupted_requests_total")
        if not counts:
            raise PermanentError(
                "The engine does not count corrupted answers: start it with VLLM_COMPUTE_NANS_IN_LOGITS=1, as "
                "`correctly up` does."
            )
        return int(sum(counts))

    async def metric(self, name: str) -> float:
        """The sum of a counter or gauge over its labels; 0 when the engine has no such metric."""
        return sum(self._samples((await self._send("GET", "/metrics")).text, name))

    @staticmethod
    def _samples(text: str, name: str) -> list[float]:
        lines = (line for line in text.splitlines() if line.startswith((f"{name}{{", f"{name} ")))
        return [float(line.rsplit(" ", 1)[1]) for line in lines]

    async def _complete(self, body: CompletionBody) -> _Completions:
        return _Completions.model_validate_json(await self._post("/v1/completions", body))

    async def _post(self, path: str, body: CompletionBody | TokenizeBody) -> bytes:
        """Ask something of the model that ``body`` names; returns the answer's JSON text."""
        answer = await self._send("POST", path, body)
        if answer.status_code == 200:
            return answer.content
        words = _words(answer)
        if answer.status_code == 404:
            raise UnknownModelError(f"The engine does not know the model {body['model']}: {words}")
        if "JSON compliant" in words or "nan" in words.lower().split():
            raise _corrupted(body["model"])
        # Only a refusal speaks of the request: what the engine itself could not do says nothing of its length.
        code = "engine_refused" if answer.status_code < 500 else "engine_failed"
        raise RefusedError(f"The engine refused the request: {words}", code=code)

    async def _request(self, method: str, path: str, body: _Body | None) -> httpx.Response:
        try:
            return await self._client.request(method, path, json=body)
        except (httpx.ReadError, httpx.RemoteProtocolError):
            # An idle connection that the engine closed just as it was used again. Asking twice changes nothing there.
            if path not in _REPEATABLE:
                raise
            return await self._client.request(method, path, json=body)

    async def _send(self, method: str, path: str, body: _Body | None = None) -> httpx.Response:
        try:
            answer = await self._request(method, path, body)
        except (httpx.ReadTimeout, httpx.WriteTimeout, httpx.PoolTimeout) as error:
            raise UnreachableError(_SLOW.format(url=self.url, seconds=self._timeout)) from error
        except httpx.HTTPError as error:
            raise UnreachableError(_AWAY.format(url=self.url)) from error
        if answer.status_code == 401:
            # It says nothing of the request: taken for a refusal it would condemn a sound adapter.
            raise UnreachableError(_FOREIGN.format(url=self.url))
        if answer.status_code in (429, 502, 503, 504):
            raise UnreachableError(f"The engine (vLLM) is busy or starting: {_words(answer)}")
        if answer.status_code >= 500 and (_DYING.search(answer.text) or not await self.is_ready()):
            # Said by an engine on its way down; taken for a refusal it would condemn a sound adapter.
            raise UnreachableError(f"The engine (vLLM) is stopping: {_words(answer)}")
        return answer


def _corrupted(model: str) -> EngineCorruptedError:
    return EngineCorruptedError(f"The engine computed NaN for {model}; restart it before anything it answers is used.")


def _words(answer: httpx.Response) -> str:
    """What the engine says in an error's body, in one line."""
    try:
        error = answer.json()["error"]
        text = error["message"] if isinstance(error, dict) else str(error)
    except (ValueError, KeyError, TypeError):
        text = answer.text
    return " ".join(text.split())[:500] or f"HTTP {answer.status_code}"
