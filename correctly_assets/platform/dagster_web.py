"""Dagster's web server behind the platform's own checks.

Dagster itself looks at neither Host nor Origin, runs mutations that come by GET, and asks for no key.

Belongs here: those checks, and how its application is put together with them. Does not belong here: any page of Dagster's, or
the settings' reading (commands/serve_dagster.py).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import uvicorn
from dagster import DagsterInstance
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from dagster_webserver.version import __version__

from correctly_assets.core.host_check import HostCheck, is_loopback, refuse
from correctly_assets.gateway.access import Keys, UnauthorizedError, as_bearer
from correctly_assets.settings import Settings


class GraphQLByPost:
    """Lets GraphQL in as a POST of JSON alone, which no page of another origin can send, and never by an address."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not scope["path"].endswith("/graphql"):
            return await self._app(scope, receive, send)
        kind = dict(scope["headers"]).get(b"content-type", b"").split(b";")[0].strip().lower()
        if b"query=" in scope.get("query_string", b""):
            return await refuse(send, 405, "by_post_alone", "Send GraphQL in the body of a POST, as JSON.")
        if scope["method"] == "POST" and kind != b"application/json":
            return await refuse(send, 415, "json_alone", "Send GraphQL with the content type application/json.")
        await self._app(scope, receive, send)


class KeyRequired:
    """Asks for a key of the gateway's, as a bearer or as the password of a browser's own dialogue."""

    def __init__(self, app: Any, keys: Keys) -> None:
        self._app, self._keys = app, keys

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket") or scope["path"] == "/server_info":
            return await self._app(scope, receive, send)
        shown = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        try:
            if not self._keys.wanted:
                raise UnauthorizedError("No key was made yet: run `correctly keys new NAME`.")
            self._keys.client(as_bearer(shown), "")
        except UnauthorizedError as error:
            if scope["type"] == "websocket":
                return await send({"type": "websocket.close", "code": 1008})
            return await refuse(send, 401, error.code, str(error), [(b"www-authenticate", b'Basic realm="Correctly"')])
        await self._app(scope, receive, send)


def guarded(app: Any, settings: Settings) -> Any:
    """Dagster's application behind the checks; beyond loopback it asks for a key besides."""
    platform = settings.platform
    app = GraphQLByPost(app)
    beyond = not is_loopback(platform.dagster_host)
    if beyond:
        app = KeyRequired(app, Keys(platform.keys_path))
    return HostCheck(app, platform.names, any_address=beyond)


def serve_dagster(settings: Settings, workspace: Path) -> None:
    """Serve Dagster's pages until SIGTERM; DAGSTER_HOME names the instance.

    Args:
        workspace: the file that says where the definitions are.
    """
    os.umask(0o077)
    with DagsterInstance.get() as instance:
        # What `dagster-webserver` itself does by default.
        instance.optimize_for_webserver(statement_timeout=15_000, pool_recycle=3600, max_overflow=20)
        target = WorkspaceFileTarget([str(workspace)])
        with WorkspaceProcessContext(instance, version=__version__, workspace_load_target=target) as context:
            app = create_app_from_workspace_process_context(context, "", live_data_poll_rate=2000)
            uvicorn.run(
                guarded(app, settings),
                host=settings.platform.dagster_host,
                port=settings.platform.dagster_port,
                log_level="warning",
                proxy_headers=False,
            )
