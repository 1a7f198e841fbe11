"""What every route answers to besides its own method: HEAD, OPTIONS, and its path with slashes too many.

Belongs here: the two middlewares that do so. Does not belong here: which pages of other origins may ask (core/host_check.py),
any route.
"""

from __future__ import annotations

import re

from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from correctly_assets.gateway.http_errors import nothing_at


class HeadAndSlash:
    """Answers HEAD as GET without the body, and a path with a slash at the end, or two for one, as the one without: clients put
    an address and a path together as they come, and a redirect would lose the body of those that do not follow it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = re.sub("/{2,}", "/", scope["path"]).rstrip("/") or "/"
        if path != scope["path"]:
            scope = {**scope, "path": path, "raw_path": path.encode("utf-8", "surrogateescape")}
        if scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self._app({**scope, "method": "GET"}, receive, without_body)


class AnswerOptions:
    """Answers OPTIONS with the methods of the path. It says nothing that the page of the API does not, so no key is asked for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "OPTIONS":
            await self._app(scope, receive, send)
            return
        methods = methods_of(scope)
        if not methods:
            answer: Response = nothing_at(scope["path"])
        else:
            answer = Response(status_code=204, headers={"Allow": ", ".join(sorted(methods | {"OPTIONS"}))})
        await answer(scope, receive, send)


def methods_of(scope: Scope) -> set[str]:
    """The methods that a path is asked with; none where there is nothing."""
    routes = [route for route in scope["app"].routes if isinstance(route, Route)]
    methods = {
        method for route in routes if route.matches(scope)[0] is not Match.NONE for method in route.methods or ()
    }
    return methods | ({"HEAD"} if "GET" in methods else set())
