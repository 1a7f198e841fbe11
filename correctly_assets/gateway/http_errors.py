"""Errors over HTTP: which status a failure has, and OpenAI's shape for it.

Belongs here: the one mapping from error types to status codes, the shape of an error, and the errors that only HTTP knows. Does
not belong here: raising them.
"""

from __future__ import annotations

from collections.abc import Iterable

from fastapi.responses import JSONResponse

from correctly_assets.core.errors import CorrectlyError, RefusedError, RetryableError, UsageError
from correctly_assets.gateway.access import TooManyRequestsError, UnauthorizedError
from correctly_assets.gateway.options import Options

_BY_CODE = {
    "model_not_found": 404,
    "unknown_correction": 404,
    "text_too_long": 413,
    "too_many_texts": 413,
    "too_many_rows": 413,
    "too_many_items": 413,
    "request_too_large": 413,
    "request_timeout": 408,
    "unsupported_encoding": 415,
    "no_candidate": 404,
    "comparator_refused": 502,
    "files_full": 413,
    "no_such_file": 404,
    "no_such_job": 404,
}


def status_of(error: CorrectlyError) -> int:
    """The HTTP status of a failure: what the client can mend is 4xx, what time mends is 503."""
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    if isinstance(error, UnauthorizedError):
        return 401
    if isinstance(error, NotAllowedError):
        return 403
    if isinstance(error, TooManyRequestsError):
        return 429
    if isinstance(error, UsageError):
        return 400
    if isinstance(error, RefusedError):
        return 422
    return 503 if isinstance(error, RetryableError) else 500


class UnsupportedField(UsageError):
    """A request asks for what is not done here; ``param`` names the field."""

    code = "unsupported_parameter"

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


class NotAllowedError(CorrectlyError):
    """A key that is known here, without the right to what was asked for."""

    code = "not_allowed"


def error_body(message: str, status: int, code: str, param: str | None = None) -> dict[str, dict[str, str | None]]:
    """An error as OpenAI's clients read it. Its ``type`` tells who can mend it: the client, patience, or nobody but us."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    if status in (401, 403, 429):
        kind = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}[status]
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


_THERE = {
    "/v1/": "of OpenAI's API there are /v1/chat/completions, /v1/responses, /v1/models, /v1/files and /v1/fine_tuning/jobs",
    "/v2/": "of LanguageTool's API there are /v2/check and /v2/languages",
}
"""What there is of an API that others have more of."""


def nothing_at(path: str) -> JSONResponse:
    """The answer to a path that is no route's."""
    shown = path if len(path) <= 80 else f"{path[:80]}…"
    elsewhere = "OpenAI's clients ask under /v1, LanguageTool's under /v2"
    there = next((said for begin, said in _THERE.items() if path.startswith(begin)), elsewhere)
    message = f"There is nothing at {shown}: {there}; `/docs` lists everything."
    return JSONResponse(error_body(message, 404, "http_404"), 404)


def other_method(method: str, path: str, methods: Iterable[str]) -> JSONResponse:
    """The answer to a method that a path is not asked with."""
    known = ", ".join(sorted(methods))
    body = error_body(f"{path[:80]} is not asked with {method}, but with {known}.", 405, "http_405")
    return JSONResponse(body, 405, {"Allow": known})


def error_answer(error: CorrectlyError, options: Options) -> JSONResponse:
    """An error as CONTRACTS has it; with Retry-After where trying again helps."""
    status = status_of(error)
    body = error_body(str(error), status, error.code, getattr(error, "param", None))
    headers = {"Retry-After": str(getattr(error, "retry_after", options.retry_after))} if status in (429, 503) else None
    return JSONResponse(body, status, headers)
