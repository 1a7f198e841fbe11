"""Errors over HTTP: which status a failure has.

Belongs here: the one mapping from error types to status codes, and the shape of an error. Does not belong here: raising them.
"""

from __future__ import annotations

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
    "no_candidate": 404,
    "comparator_refused": 502,
}


def status_of(error: CorrectlyError) -> int:
    """The HTTP status of a failure: what the client can mend is 4xx, what time mends is 503."""
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    if isinstance(error, UnauthorizedError):
        return 401
    if isinstance(error, TooManyRequestsError):
        return 429
    if isinstance(error, UsageError):
        return 400
    if isinstance(error, RefusedError):
        return 422
    return 503 if isinstance(error, RetryableError) else 500


def error_answer(error: CorrectlyError, options: Options) -> JSONResponse:
    """An error as CONTRACTS has it; with Retry-After where trying again helps."""
    status = status_of(error)
    headers = {"Retry-After": str(getattr(error, "retry_after", options.retry_after))} if status in (429, 503) else None
    return JSONResponse(error.to_json(), status, headers)
