"""The application factory: joins the rooms, starts and stops the service, and gives every failure its shape.

Belongs here: FastAPI's wiring and the middleware. Does not belong here: routes, or what an answer says.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from correctly_assets.core.errors import CorrectlyError, UsageError
from correctly_assets.core.host_check import HostCheck, is_loopback
from correctly_assets.gateway import fine_tuning, languagetool, responses, routes
from correctly_assets.gateway.access import Keys, client_salt
from correctly_assets.gateway.admission import Admission
from correctly_assets.gateway.http_errors import error_answer, error_body, nothing_at, other_method
from correctly_assets.gateway.methods import AnswerOptions, HeadAndSlash, methods_of
from correctly_assets.gateway.metrics import Metrics, request_id
from correctly_assets.gateway.options import Options
from correctly_assets.gateway.service import Parts, Service
from correctly_assets.settings import Settings
from correctly_assets.workflows.house_file import HouseFile

log = logging.getLogger(__name__)

_AS_JSON = "Send the request as JSON, with the header `Content-Type: application/json`."


def create_app(settings: Settings, options: Options | None = None, parts: Callable[[], Parts] | None = None) -> FastAPI:
    """The gateway as an ASGI application.

    Args:
        options: limits and intervals; those that follow from the settings when None.
        parts: puts the rooms together, in a thread, when the application starts; wiring.build_parts when None.
    """
    options = options or Options.of(settings)

    def build() -> Parts:
        if parts is not None:
            return parts()
        from correctly_assets.gateway.build_parts import build_parts

        return build_parts(settings, options)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # The rooms (a parser, the store) take seconds: the gateway listens meanwhile and says that it starts.
        opening = asyncio.create_task(_open(app, build, options), name="opening")
        try:
            yield
        finally:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            if app.state.service is not None:
                await app.state.service.stop()

    # FastAPI's own /docs loads its scripts from a public host, which a platform without a network cannot show.
    app = FastAPIOffline(
        title="Correctly",
        summary="Corrects English; a person's feedback becomes the next adapter.",
        lifespan=lifespan,
        redoc_url=None,
    )
    app.state.service = None
    app.state.message = "The gateway is starting."
    app.state.metrics = Metrics()
    app.state.reason_language = settings.teacher.reason_language
    app.state.mode = settings.serving.mode
    app.state.house = HouseFile(settings.platform.house_style_path)
    app.include_router(routes.v1)
    app.include_router(responses.router)
    app.include_router(fine_tuning.router)
    app.include_router(languagetool.router)
    app.include_router(routes.platform)
    _shape_errors(app, options)
    _add_middleware(app, settings, options)
    return app


def _add_middleware(app: FastAPI, settings: Settings, options: Options) -> None:
    """Who may ask, from which pages and how often, and what every answer carries. The last one added is asked first."""
    beyond = not is_loopback(settings.platform.host)
    keys = Keys(options.keys_file, required=beyond)
    salt = client_salt(settings.platform)
    app.add_middleware(Admission, keys=keys, options=options, salt=salt)
    app.add_middleware(AnswerOptions)
    origins = settings.platform.origins
    if origins:
        # Without credentials: a page shows its key in a header, and no cookie is ever read.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=("GET", "HEAD", "POST", "DELETE", "OPTIONS"),
            allow_headers=("*",),
            allow_private_network=True,
            expose_headers=("x-request-id", "retry-after"),
        )
    app.add_middleware(HostCheck, names=settings.platform.names, any_address=beyond, origins=origins)
    app.add_middleware(Envelope, metrics=app.state.metrics)
    app.add_middleware(HeadAndSlash)


async def _open(app: FastAPI, build: Callable[[], Parts], options: Options) -> None:
    delay = 1.0
    while True:
        try:
            service = Service(await asyncio.to_thread(build), options, app.state.metrics)
            await service.start()
        except CorrectlyError as error:
            app.state.message = str(error)
            log.error("not started", extra={"error": str(error)})
        except Exception as error:
            app.state.message = f"The gateway could not start ({type(error).__name__}); see its log."
            log.exception("not started")
        else:
            app.state.service = service
            return
        await asyncio.sleep(delay)
        delay = min(2 * delay, 30.0)


def _shape_errors(app: FastAPI, options: Options) -> None:
    def own(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, CorrectlyError)
        return error_answer(error, options)

    def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        _, *steps = first["loc"]
        if first["type"] == "json_invalid":
            what = str(first.get("ctx", {}).get("error", "")).rstrip(".")
            message = f"The request is not valid JSON: {what} at character {steps[-1]}."
            return error_answer(UsageError(message, code="invalid_request"), options)
        # A field that may be of two types has the type that was tried among its steps.
        place = ".".join(str(step) for step in steps if step != "str" and not str(step).startswith("list["))
        called_json = "json" in request.headers.get("content-type", "").lower()
        if not place and (first["type"] == "missing" or not called_json):
            return error_answer(UsageError(_AS_JSON, code="invalid_request"), options)
        message = f"{place or 'body'}: {first['msg']}."
        return JSONResponse(error_body(message, 400, "invalid_request", place or None), 400)

    def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        if error.status_code == 404:
            return nothing_at(request.url.path)
        if error.status_code == 405:
            return other_method(request.method, request.url.path, methods_of(request.scope))
        message = f"{str(error.detail).rstrip('.')}."
        body = error_body(message, error.status_code, f"http_{error.status_code}")
        return JSONResponse(body, error.status_code, headers=dict(error.headers or {}))

    def unforeseen(_: Request, error: Exception) -> JSONResponse:
        message = "Something in the gateway broke; its log says what. The request id names the place."
        return JSONResponse(error_body(message, 500, "internal"), 500)

    app.add_exception_handler(CorrectlyError, own)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, unforeseen)


class Envelope:
    """Around every request: an id, a log line without any text, a count."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        shown = headers.get(b"x-request-id", b"").decode("latin-1")
        name = shown if shown.isascii() and shown.replace("-", "").isalnum() and len(shown) <= 64 else uuid.uuid4().hex
        token = request_id.set(name)
        started, status = time.perf_counter(), 500

        async def tagged(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", name.encode())]
            await send(message)

        try:
            await self._app(scope, receive, tagged)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, str(status)).inc()
            if route not in ("/healthz", "/readyz", "/metrics"):
                seconds = round(time.perf_counter() - started, 4)
                log.info("request", extra={"route": route, "status": status, "seconds": seconds})
            request_id.reset(token)
