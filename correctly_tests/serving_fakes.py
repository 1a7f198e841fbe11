"""A small engine that behaves as vLLM 0.32 does, badly too, on a real port of loopback; and parts to join it with.

Belongs here: what the tests of serving and of its gateway share. Does not belong here: a test.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from correctly_assets.core.prompts import load_prompts
from correctly_assets.correction.annotate import ErrantAnnotator
from correctly_assets.correction.path import Corrector
from correctly_assets.correction.points.choose_point import PointReasons
from correctly_assets.curation.guards import Guards
from correctly_assets.curation.land_file import land_rows
from correctly_assets.curation.pii import PersonalData
from correctly_assets.engine.replicas import Replicas
from correctly_assets.engine.vllm_client import VllmClient
from correctly_assets.engine.vllm_plugin.door import KeyRequired
from correctly_assets.gateway.app import create_app
from correctly_assets.gateway.dashboard import dashboard_page
from correctly_assets.gateway.options import Options
from correctly_assets.gateway.server import make_server
from correctly_assets.gateway.service import Parts
from correctly_assets.gateway.token_usage import MeteredCompleter
from correctly_assets.settings import Settings
from correctly_assets.store import Store, open_store
from correctly_assets.workflows.dagster_runs import DagsterRuns
from correctly_assets.workflows.fine_tune import FineTunes
from correctly_assets.workflows.loop_metrics import read_loop
from correctly_assets.workflows.promote import return_to_previous

BASE_LOGPROB, ADAPTER_LOGPROB = -2.0, -0.5


class FakeEngine:
    """The engine's routes over a dictionary of known corrections.

    Attributes:
        fixes: {adapter: {text: corrected text}}; the base model copies. Adapters without an entry use ``default``.
        away: every route answers 503. dying: loads fail as in an engine on its way down. broken: completions fail with 500. hang: seconds before a completion. held: models whose completions wait until
            they are taken out again. nan: adapters that compute NaN; once one of them
            has answered, every model does. like_base: adapters that answer as the base model does.
        context: tokens that an answer may be asked for at most. reasons_status: the status that a question for a reason is answered with.
        drifted: adapters whose log-probabilities are not those of training. base_drift: the same of the base model.
    """

    def __init__(self, key: str | None = None) -> None:
        self.key = key
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.default: dict[str, str] = {}
        self.fixes: dict[str, dict[str, str]] = {}
        self.reasons = ""
        self.reasons_status = 200
        self.context = 1024
        self.registered: dict[str, str] = {}
        self.away = False
        self.dying = False
        self.broken = False
        self.hang = 0.0
        self.held: set[str] = set()
        self.nan: set[str] = set()
        self.like_base: set[str] = set()
        self.drifted: set[str] = set()
        self.base_drift = 0.0
        self.poisoned = False
        self.corrupted = 0
        self.asked: list[dict[str, Any]] = []
        self.running: Counter[str] = Counter()
        self.unload_errors = 0

    # -- the server --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._server = uvicorn.Server(
            uvicorn.Config(self._app(), host="127.0.0.1", port=self.port, log_level="error", lifespan="off")
        )
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:
            assert time.monotonic() < deadline, "the fake engine did not start"
            time.sleep(0.01)

    def stop(self) -> None:
        """End as a killed process does: connections are dropped."""
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(10)

    def restart(self) -> None:
        """Stop, forget every adapter and count, start again on the same port."""
        self.stop()
        self.registered.clear()
        self.poisoned, self.corrupted = False, 0
        self.start()

    def _app(self) -> Any:
        app = Starlette(
            routes=[
                Route("/health", self._health),
                Route("/v1/models", self._models),
                Route("/metrics", self._metrics),
                Route("/tokenize", self._tokenize, methods=["POST"]),
                Route("/v1/completions", self._completions, methods=["POST"]),
                Route("/v1/load_lora_adapter", self._load, methods=["POST"]),
                Route("/v1/unload_lora_adapter", self._unload, methods=["POST"]),
            ]
        )
        return KeyRequired(app, self.key) if self.key else app

    async def _health(self, request: Request) -> Response:
        return Response(status_code=503 if self.away else 200)

    async def _models(self, request: Request) -> Response:
        if self.away:
            return Response(status_code=503)
        known = {"base": "/models/base", **self.registered}
        return JSONResponse({"object": "list", "data": [{"id": name, "root": root} for name, root in known.items()]})

    async def _metrics(self, request: Request) -> Response:
        if self.away:
            return Response(status_code=503)
        lines = [
            "# HELP vllm:corrupted_requests_total Corrupted requests.",
            f'vllm:corrupted_requests_total{{engine="0",model_name="base"}} {float(self.corrupted)}',
            'vllm:corrupted_requests_created{engine="0",model_name="base"} 1.79e+09',
        ]
        return PlainTextResponse("\n".join(lines) + "\n")

    async def _tokenize(self, request: Request) -> Response:
        if self.away:
            return Response(status_code=503)
        text = (await request.json())["prompt"]
        return JSONResponse({"tokens": [ord(c) for c in text], "count": len(text)})

    async def _load(self, request: Request) -> Response:
        body = await request.json()
        name, path = body["lora_name"], Path(body["lora_path"])
        if self.dying:
            return _error(500, "cannot schedule new futures after shutdown")
        assert body.get("load_inplace") is False
        if name in self.registered:
            return _error(400, f"The lora adapter '{name}' has already been loaded. If you want to load in place, …")
        if not path.is_dir():
            return _error(404, f"Loading lora {name} failed: No adapter found for {path}")
        self.registered[name] = str(path)
        return PlainTextResponse("Success")

    async def _unload(self, request: Request) -> Response:
        name = (await request.json())["lora_name"]
        if self.registered.pop(name, None) is None:
            return _error(404, f"The lora adapter '{name}' cannot be found.")
        return PlainTextResponse("Success")

    async def _completions(self, request: Request) -> Response:
        if self.away:
            return _error(503, "The server is busy.")
        if self.broken:
            return _error(500, "Internal server error")
        body = await request.json()
        model = body["model"]
        if model != "base" and model not in self.registered:
            return _error(404, f"The model `{model}` does not exist. Valid aliases: base.")
        self.asked.append(body)
        if body["max_tokens"] > self.context:
            return _error(400, f"max_tokens={body['max_tokens']} cannot be greater than max_model_len={self.context}.")
        if self.reasons_status != 200 and "Say in " in str(body["prompt"]):
            return _error(self.reasons_status, "Not now.")
        self.running[model] += 1
        try:
            if self.hang:
                await asyncio.sleep(self.hang)
            while model in self.held:
                await asyncio.sleep(0.01)
        finally:
            self.running[model] -= 1
        if model in self.nan or self.poisoned:
            self.poisoned = True
            self.corrupted += 1
            if body.get("prompt_logprobs") is not None:
                return _error(400, "Out of range float values are not JSON compliant")
            return self._completion(body, "", 1)
        if body.get("prompt_logprobs") is not None:
            return self._logprobs(body, model)
        text = self.answer(model, body["prompt"])
        return self._completion(body, text, len(text.split()))

    def answer(self, model: str, prompt: str) -> str:
        """The completion of a rendered prompt: a known correction, a copy, or the reason."""
        if "Correct this English:" not in prompt:
            return self.reasons
        text = prompt.split("Correct this English:\n", 1)[1].split("<end_of_turn>", 1)[0]
        if model == "base" or model in self.like_base:
            return text
        return self.fixes.get(model, self.default).get(text, text)

    def _completion(self, body: dict[str, Any], text: str, tokens: int) -> Response:
        prompt = len(body["prompt"].split()) if isinstance(body["prompt"], str) else len(body["prompt"])
        usage = {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens}
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": "stop", "stop_reason": None}
        return JSONResponse({"id": "cmpl", "object": "text_completion", "choices": [choice], "usage": usage})

    def _logprobs(self, body: dict[str, Any], model: str) -> Response:
        each = BASE_LOGPROB + self.base_drift
        if model != "base" and model not in self.like_base:
            each = ADAPTER_LOGPROB - (0.9 if model in self.drifted else 0.0)
        prompt = body["prompt"]
        # Token ids are one prompt; texts are one prompt each, of which every word is a token behind the one that begins it.
        prompts = [[None, *text.split()] for text in prompt] if isinstance(prompt[0], str) else [prompt]
        choices = [
            {
                "index": index,
                "text": "x",
                "finish_reason": "length",
                "prompt_logprobs": [None, *({str(token): {"logprob": each, "rank": 1}} for token in tokens[1:])],
            }
            for index, tokens in enumerate(prompts)
        ]
        return JSONResponse({"id": "cmpl", "choices": choices[::-1], "usage": {}})


def _error(status: int, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": "Error", "code": status}}, status)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def fake_engine(key: str | None = None) -> Iterator[FakeEngine]:
    """A running `FakeEngine`; with ``key`` it asks for one, as the platform's does."""
    engine = FakeEngine(key)
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


def write_adapter(parent: Path, name: str) -> Path:
    """A directory that passes for an adapter with the fake engine: a manifest with a canary."""
    directory = parent / name
    directory.mkdir(parents=True)
    (directory / "manifest.json").write_text(json.dumps({"id": name, "canary": [canary()]}))
    return directory


def canary() -> dict[str, Any]:
    """A manifest's canary that agrees with the fake engine."""
    completion = "She goes."
    return {
        "prompt": "Correct this English:\nShe go.",
        "completion": completion,
        "base_logprob": BASE_LOGPROB * len(completion),
        "adapter_logprob": ADAPTER_LOGPROB * len(completion),
        "tokens": len(completion),
    }


@cache
def errant_annotator() -> ErrantAnnotator:
    """The real annotator, loaded once for all tests."""
    return ErrantAnnotator()


@dataclass
class Running:
    """A gateway on loopback, with the fake engine and the real store behind it."""

    url: str
    store: Store
    engine: FakeEngine
    app: FastAPI
    adapters: Path
    home: Path

    def release(self, adapter: str, *, write: bool = True) -> str:
        """Write an adapter and make it the newest release. Returns the release's id."""
        if write:
            write_adapter(self.adapters, adapter)
        return self.store.add_release(adapter=adapter, base_model="base", kind="promotion", why="a test").id

    def ready(self) -> dict[str, Any]:
        """What /readyz says now."""
        return httpx.get(f"{self.url}/readyz", trust_env=False).json()

    def until(self, wanted: Callable[[dict[str, Any]], bool], seconds: float = 60.0) -> dict[str, Any]:
        """Wait until /readyz says something."""
        deadline = time.monotonic() + seconds
        while not wanted(said := self.ready()):
            assert time.monotonic() < deadline, f"/readyz still says {said}"
            time.sleep(0.02)
        return said

    def serves(self, release: str) -> None:
        """Wait until the gateway is ready and serves a release."""
        self.until(lambda said: said["ready"] and said["release"] == release)

    def chat(self, *messages: str, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
        """A chat of user and assistant messages in turn."""
        turns = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(messages)]
        return self.post("/v1/chat/completions", {"model": "correctly", "messages": turns} | body, headers)

    def stream(self, body: dict[str, Any]) -> AbstractContextManager[httpx.Response]:
        """A streamed chat answer."""
        url = f"{self.url}/v1/chat/completions"
        return httpx.stream("POST", url, json=body | {"stream": True}, trust_env=False, timeout=60)

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", json=body, headers=headers, timeout=60, trust_env=False)


@contextmanager
def running_gateway(
    home: Path,
    engine: FakeEngine,
    options: Options | None = None,
    *,
    answer_seconds: float = 30.0,
    model_reasons: bool = False,
    cors_origins: str = "",
    dagster: str = "",
    replicas: Sequence[FakeEngine] = (),
    **changed: Any,
) -> Iterator[Running]:
    """A gateway served by uvicorn; ``changed`` replaces fields of its `Parts`.

    Args:
        model_reasons: reasons are the model's, and no grammar point is looked for.
        dagster: URL of the web server that fine-tuning jobs ask for runs.
        replicas: further engines besides ``engine``.
    """
    platform = {"home": home, "cors_origins": cors_origins}
    settings = Settings().changed(platform=platform, serving={"vllm_port": engine.port})
    home.mkdir(parents=True, exist_ok=True)
    store = open_store(settings.platform.store_url, settings.platform.sql_dir)
    personal_data = PersonalData()
    guards = Guards(personal_data=personal_data)
    errant_annotator()  # loaded before any deadline runs

    def parts() -> Parts:
        client = Replicas([VllmClient(one.url, timeout=answer_seconds) for one in (engine, *replicas)])
        prompts = load_prompts(settings.platform.prompts_dir)

        async def turn_back(why: str, instead_of: str) -> str:
            async with VllmClient(engine.url) as asking:
                adapters = settings.platform.adapters_dir
                release, _ = await return_to_previous(store, asking, adapters, None, why, instead_of=instead_of)
            return release.id

        made = Parts(
            engine=client,
            corrector=Corrector(
                MeteredCompleter(client),
                errant_annotator(),
                prompts,
                explain=None if model_reasons else PointReasons(errant_annotator()),
                model_reasons=model_reasons,
            ),
            book=store,
            journal=store,
            scrub=personal_data.scrub,
            scrub_correction=personal_data.scrub_correction,
            lander=lambda rows: land_rows(rows, store, guards)[0],
            adapters_dir=settings.platform.adapters_dir,
            spool=home / "run" / "journal.jsonl",
            check=None,
            watched=store,
            turn_back=turn_back,
            dashboard=lambda losses: dashboard_page(store, settings, engine_losses=losses),
            read_loop=lambda: read_loop(changed.get("watched", store), settings),
            tuning=FineTunes(settings, store, guards, DagsterRuns(dagster)),
        )
        return replace(made, **changed)

    app = create_app(settings, options or Options(poll_seconds=0.05, metrics_seconds=0.0), parts)
    port = free_port()
    server = make_server(app, "127.0.0.1", port, log_level="error")
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    running = Running(f"http://127.0.0.1:{port}", store, engine, app, settings.platform.adapters_dir, home)
    try:
        deadline = time.monotonic() + 120
        while not (server.started and app.state.service is not None):
            assert time.monotonic() < deadline, app.state.message
            time.sleep(0.01)
        yield running
    finally:
        server.should_exit = True
        thread.join(30)
        store.close()
