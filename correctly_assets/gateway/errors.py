"""Errors over HTTP: which status a failure has.

Belongs here: the one mapping from error types to status codes. Does not belong here: raising them.
"""

from __future__ import annotations

from correctly_assets.core.errors import CorrectlyError, RefusedError, RetryableError, UsageError
from correctly_assets.gateway.access import TooManyRequestsError, UnauthorizedError

_BY_CODE = {
    "model_not_found": 404,
    "unknown_correction": 404,
    "text_too_long": 413,
    "too_many_texts": 413,
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
