"""Who is let in with what: key, rate, requests at once, and the size and content of a body, before anything is parsed.

Belongs here: the middleware that decides it. Does not belong here: keys and buckets themselves (access.py), the limits'
values (options.py), Host and Origin (core/host_check.py).
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from correctly_assets.core.errors import CorrectlyError, UsageError
from correctly_assets.gateway.access import (
    Keys,
    RateLimit,
    TooManyRequestsError,
    UnauthorizedError,
    client_name,
    key_shown,
)
from correctly_assets.gateway.http_errors import NotAllowedError, error_answer
from correctly_assets.gateway.options import Options
from correctly_assets.gateway.releases import NotReadyError

TRAINING_PATHS = ("/v1/files", "/v1/fine_tuning")
"""How the paths begin that only keys with the right to train may ask."""
OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""What whoever watches the process may ask without a key; neither shows anybody's text."""
DASHBOARD = "/dashboard"
"""The one page for a browser, which shows its key by the dialogue for a name and a password. Nothing can be changed there."""
_SUSPECT = re.compile(rb"\\u(?:[dD][89a-fA-F]|0000)|NaN|Infinity|\d[eE]\+?\d|(?<!\d)\d{309}")
"""What a body may hold that JSON has no value for: half a pair, NUL, and numbers that are none or have no end here."""
_DEEPEST = 200
"""Lists and objects in one another; Python's own limit ends what is read at another depth than what is written."""
_NO_TEXT = "The request holds characters that are in no text (NUL, half a pair)."


class Admission:
    """Lets a request in, with its client under ``scope["client_of_key"]`` and its body read, or answers it at once.

    Args:
        salt: hashed with the addresses of clients that show no key, so that none is kept.
    """

    def __init__(self, app: ASGIApp, keys: Keys, options: Options, salt: str) -> None:
        self._app, self._keys, self._options, self._salt = app, keys, options, salt
        self._limit = RateLimit(options.rate_per_minute)
        self._wrong = RateLimit(options.wrong_keys_per_minute)
        self._at_once: Counter[str] = Counter()
        self._uploads = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            client = self._client(scope)
            scope["client_of_key"] = client
            if scope["path"].startswith(TRAINING_PATHS) and not client.may_train:
                raise NotAllowedError(
                    "This key has no right to train: ask whoever runs the platform for one made with `correctly keys new NAME --may-train`."
                )
            with self._one_more(client.name), self._upload(scope):
                body = await self._body(scope, receive)
                async with asyncio.timeout(self._options.request_seconds):
                    await self._app(scope, _replay(body, receive), noted)
        except TimeoutError:
            if started:
                raise  # the connection is closed: the rest of the answer cannot be told from its end otherwise
            await error_answer(NotReadyError("The answer took too long; send less at once."), self._options)(
                scope, receive, send
            )
        except CorrectlyError as error:
            if started:
                raise
            answer = error_answer(error, self._options)
            if isinstance(error, UnauthorizedError) and scope["path"] == DASHBOARD:
                answer.headers["WWW-Authenticate"] = 'Basic realm="Correctly"'
            await answer(scope, receive, send)

    def _client(self, scope: Scope) -> Any:
        headers = dict(scope["headers"])
        address = scope["client"][0] if scope.get("client") else "local"
        named = client_name(address, self._salt)
        try:
            client = self._keys.client(key_shown(headers, browsers_password=scope["path"] == DASHBOARD), named)
        except UnauthorizedError:
            self._wrong.take(named)
            raise
        self._limit.take(client.name)
        return client

    @contextmanager
    def _one_more(self, name: str) -> Iterator[None]:
        if self._at_once[name] >= self._options.parallel_of_client:
            raise TooManyRequestsError("Too many requests at once; wait for some of your answers.", 1)
        if self._at_once.total() >= self._options.parallel:
            raise NotReadyError("The gateway answers as many requests as it can; ask again.")
        self._at_once[name] += 1
        try:
            yield
        finally:
            self._at_once[name] -= 1
            if not self._at_once[name]:
                del self._at_once[name]

    @contextmanager
    def _upload(self, scope: Scope) -> Iterator[None]:
        """Count a file that arrives: each is held in memory, and may be larger than any other body."""
        if not _is_upload(scope):
            yield
            return
        if self._uploads >= self._options.uploads:
            raise TooManyRequestsError("Other files are on their way; send yours when they have arrived.", 5)
        self._uploads += 1
        try:
            yield
        finally:
            self._uploads -= 1

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body, once its size and content are allowed.

        Raises:
            UsageError: it is packed, too large, or holds what no text does.
        """
        limit = self._options.max_file_bytes if _is_upload(scope) else self._options.max_body_bytes
        headers = dict(scope["headers"])
        if headers.get(b"content-encoding", b"identity").strip().lower() not in (b"", b"identity"):
            raise UsageError("Send the request as it is, without `Content-Encoding`.", code="unsupported_encoding")
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > limit:
            raise _too_large(limit)
        parts: list[bytes] = []
        size, more = 0, True
        try:
            async with asyncio.timeout(self._options.body_seconds):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        break
                    parts.append(message.get("body", b""))
                    size, more = size + len(parts[-1]), message.get("more_body", False)
                    if size > limit:
                        raise _too_large(limit)
        except TimeoutError:
            raise UsageError("The request did not arrive in time.", code="request_timeout") from None
        body = b"".join(parts)
        if not _is_upload(scope):  # a file is read line by line, and each line refused for itself
            check_body(body, self._options.max_items)
        return body


def _is_upload(scope: Scope) -> bool:
    return scope["method"] == "POST" and scope["path"] == "/v1/files"


def check_body(body: bytes, max_items: int) -> None:
    """Refuse a JSON body that holds too many items, or text that cannot be written down.

    Raises:
        UsageError: lone surrogates, NUL, bytes that are no UTF-8, NaN, infinite numbers, or more than ``max_items`` lists and
            objects, or too many of them in one another.
    """
    items = body.count(b"{") + body.count(b"[")
    if items > max_items:
        raise UsageError(f"The request holds more than {max_items:,} lists and objects.", code="too_many_items")
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError("The request is not written in UTF-8.", code="invalid_text") from None
    if b"\0" in body:
        raise UsageError(_NO_TEXT, code="invalid_text")
    if items > _DEEPEST or _SUSPECT.search(body):
        _check_values(body)


def _check_values(body: bytes) -> None:
    try:
        waiting: list[tuple[Any, int]] = [(json.loads(body), 0)]
    except (ValueError, RecursionError):
        return  # whoever parses it says what is wrong
    while waiting:
        value, depth = waiting.pop()
        if depth > _DEEPEST:
            raise UsageError(
                f"The request holds more than {_DEEPEST} lists and objects in one another.", code="too_deep"
            )
        if isinstance(value, dict):
            waiting += [(one, depth + 1) for one in (*value, *value.values())]
        elif isinstance(value, list):
            waiting += [(one, depth + 1) for one in value]
        elif isinstance(value, str) and ("\0" in value or not can_be_written(value)):
            raise UsageError(_NO_TEXT, code="invalid_text")
        elif isinstance(value, float) and not math.isfinite(value):
            raise UsageError(
                "The request holds a number that is none, or too large (NaN, Infinity, 1e999).", code="invalid_number"
            )


def can_be_written(text: str) -> bool:
    """Whether a text has a form in UTF-8; half a pair of surrogates has none."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _too_large(limit: int) -> UsageError:
    return UsageError(f"The request is larger than {limit:,} bytes.", code="request_too_large")


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()  # only its end is still to come: the client has gone
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
