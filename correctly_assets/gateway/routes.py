"""The routes: HTTP in, HTTP out.

Belongs here: reading requests, status codes, streaming. Does not belong here: what an answer says or how it is made.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from correctly_assets.core.correction import REASON_LANGUAGES
from correctly_assets.core.errors import CorrectlyError, UsageError
from correctly_assets.core.house_style import parse_house_style
from correctly_assets.gateway.access import Client
from correctly_assets.gateway.admission import DASHBOARD
from correctly_assets.gateway.http_errors import error_body, status_of
from correctly_assets.gateway.model_names import TUNED
from correctly_assets.gateway.releases import NotReadyError
from correctly_assets.gateway.service import Asker, ChatEnd, Service
from correctly_assets.gateway.shapes import (
    DONE,
    ChatRequest,
    ChatShape,
    CorrectionsRequest,
    ErrorAnswer,
    FeedbackRequest,
    HowAsked,
    ModelCard,
    ModelList,
    event,
)

log = logging.getLogger(__name__)

ERRORS: dict[int | str, dict[str, type[ErrorAnswer]]] = {
    code: {"model": ErrorAnswer} for code in (400, 401, 404, 408, 413, 429, 503)
}
CHAT_ID_HEADERS = ("x-openwebui-chat-id", "x-chat-id")


async def service_of(request: Request) -> Service:
    """The running service. Async like its neighbour, for FastAPI sends plain functions through a thread pool.

    Raises:
        NotReadyError: it is still being put together, or could not be.
    """
    service = request.app.state.service
    if service is None:
        raise NotReadyError(request.app.state.message)
    return service


async def client_of(request: Request) -> Client:
    """Who asks, as admission.py found it."""
    return request.scope["client_of_key"]


ServiceOf = Annotated[Service, Depends(service_of)]
ClientOf = Annotated[Client, Depends(client_of)]


def asker_of(request: Request, client: Client, body: HowAsked) -> Asker:
    """Who asks and how: what a body leaves open is as its header, its client's key or the settings say."""
    header = request.headers.get("x-correctly-reason-language")
    language = body.reason_language or (header if header in REASON_LANGUAGES else None) or client.reason_language
    chat_id = next((value[:200] for name in CHAT_ID_HEADERS if (value := request.headers.get(name))), None)
    how = body.mode or client.mode or request.app.state.mode
    style = request.app.state.house.styles().of(client.name)
    if body.style is not None:
        style = style.with_(parse_house_style(body.style))
    return Asker(client, chat_id, language or request.app.state.reason_language, how, style)


v1 = APIRouter(prefix="/v1", responses=ERRORS)
platform = APIRouter()


@v1.get("/models", summary="Models that can be asked for")
async def list_models(service: ServiceOf, client: ClientOf) -> ModelList:
    """The models that can be asked for now, the main one first."""
    return ModelList(data=[service.card(name) for name in service.names()])


@v1.get("/models/{name}", summary="One model")
async def get_model(name: str, service: ServiceOf, client: ClientOf) -> ModelCard:
    """One model, by its public name or by that of a fine-tuned one."""
    if name.startswith(TUNED):
        service.releases.resolve(name)
    elif name not in service.names():
        raise UsageError(
            f"There is no model {name[:60]!r} here: `/v1/models` lists those that there are.", code="model_not_found"
        )
    return service.card(name)


@v1.post("/chat/completions", summary="Correct the last user message")
async def chat_completions(body: ChatRequest, request: Request, service: ServiceOf, client: ClientOf) -> Response:
    """OpenAI's chat completions. The last user message is the text; the answer is the corrected text, a blank line,
    and a table of changes, streamed in order when ``stream`` is set."""
    with_usage = body.stream and body.stream_options is not None and body.stream_options.include_usage
    shape = ChatShape(body.model, with_usage=with_usage)
    pieces = service.chat(
        body.messages,
        model=body.model,
        asker=asker_of(request, client, body),
        layout=body.format,
    )
    if body.stream:
        # The first piece is waited for, so that a failure before it is an HTTP status and not a broken stream.
        first = await anext(pieces)
        events = _events(shape, first, pieces)
        return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
    content: list[str] = []
    end = ChatEnd()
    async for piece in pieces:
        if isinstance(piece, ChatEnd):
            end = piece
        else:
            content.append(piece)
    return JSONResponse(shape.whole("".join(content), end.usage, end.facts))


async def _events(shape: ChatShape, first: str | ChatEnd, rest: AsyncIterator[str | ChatEnd]) -> AsyncIterator[str]:
    yield shape.first()
    item: str | ChatEnd = first
    try:
        while not isinstance(item, ChatEnd):
            yield shape.piece(item)
            item = await anext(rest)
    except CorrectlyError as error:
        # The status is sent already: clients read an error event as the stream's failure.
        log.warning("stream broken off", extra={"code": error.code})
        yield event(error_body(str(error), status_of(error), error.code))
        yield DONE
        return
    yield shape.last(item.facts)
    if shape.with_usage:
        yield shape.usage(item.usage)
    yield DONE


@v1.post("/corrections", summary="Correct texts")
async def corrections(body: CorrectionsRequest, request: Request, service: ServiceOf, client: ClientOf) -> JSONResponse:
    """Corrections with edits and reasons, in order. Offsets are code points into ``before``, half-open."""
    texts = [body.text] if isinstance(body.text, str) else body.text
    asker = asker_of(request, client, body)
    done = await service.correct(texts, model=body.model, reasons=body.reasons, asker=asker)
    return JSONResponse({"corrections": [correction.to_json() for correction in done]})


@v1.post("/feedback", status_code=202, summary="React to a correction")
async def feedback(body: FeedbackRequest, service: ServiceOf, client: ClientOf) -> dict[str, str]:
    """Kept on disk before the answer is sent; what becomes of it is decided later."""
    return {"feedback_id": await service.feedback(body, client)}


@v1.post("/examples", summary="Land examples")
async def examples(
    service: ServiceOf, client: ClientOf, body: Annotated[dict[str, Any] | list[dict[str, Any]], Body()]
) -> JSONResponse:
    """One row, a list of rows, or ``{"rows": [...]}``. The answer counts as ``correctly add --json`` does."""
    rows: Any = body.get("rows", [body]) if isinstance(body, dict) else body
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise UsageError("Send a row, a list of rows, or an object with a list of rows under `rows`.")
    if len(rows) > service.options.max_rows:
        raise UsageError(
            f"{len(rows):,} rows at once; send at most {service.options.max_rows:,}.", code="too_many_rows"
        )
    return JSONResponse((await service.land(rows)).to_json())


@platform.get("/healthz", summary="The process lives")
async def healthz() -> dict[str, str]:
    """Always 200 while the process answers; whether it can correct is `/readyz`'s matter."""
    return {"status": "ok"}


@platform.get(
    "/readyz", summary="The champion answers", responses={503: {"description": "Not ready, with a sentence."}}
)
async def readyz(request: Request) -> JSONResponse:
    """200 when the champion answers, else 503; the body says which release serves and what is waited for."""
    service: Service | None = request.app.state.service
    if service is None:
        return JSONResponse({"ready": False, "says": request.app.state.message, "release": None}, 503)
    state = service.releases
    champion = state.champion
    body = {
        "ready": state.ready,
        "says": state.message,
        "release": champion.release if champion else None,
        "adapter": champion.adapter if champion else None,
        "stack": service.options.stack,
        "engine": state.engine_up,
        # The supervisor starts the platform's own engine alone; others are restarted by whoever runs them.
        "restart_engine": state.engines.own.corrupted,
        "engines": [engine.to_json() for engine in state.engines],
        "rollback": service.watch.message,
        "journal_pending": service.journal.pending,
    }
    return JSONResponse(body, 200 if state.ready else 503)


@platform.get(DASHBOARD, summary="The loop at a glance", response_class=HTMLResponse)
async def dashboard(service: ServiceOf, client: ClientOf) -> HTMLResponse:
    """A page that needs no script and fetches nothing."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-store"}
    return HTMLResponse(await service.dashboard(), headers=headers)


@platform.get("/metrics", summary="Prometheus metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """The metrics of this process and of the loop, in Prometheus's text format."""
    known = request.app.state.metrics
    service: Service | None = request.app.state.service
    if service is not None:
        known.ready.set(service.releases.ready)
        known.pending.set(service.journal.pending)
        known.engine_losses.set(service.releases.losses())
        known.see_engines(service.releases.engines)
        await service.read_loop()
        known.release.clear()
        if (champion := service.releases.champion) is not None:
            known.release.labels(champion.release or "", champion.adapter or "").set(1)
    return Response(generate_latest(known.registry), media_type=CONTENT_TYPE_LATEST)
