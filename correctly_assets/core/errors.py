"""The kinds of failure, each one plain sentence with its remedy.

Belongs here: the exception types that rooms raise and faces translate. Does not belong here: printing, HTTP, exit calls.
"""

from __future__ import annotations


class CorrectlyError(Exception):
    """A failure with a sentence for whoever sees it.

    Attributes:
        code: a short machine-readable name, the ``code`` of ``{"error": {...}}``.
        exit_code: what the command line exits with (CONTRACTS: 0 done, 1 internal, 2 usage, 3 rows refused, 4 not
            reachable, 5 refused by the gate).
    """

    code = "internal"
    exit_code = 1

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        if code:
            self.code = code

    def to_json(self) -> dict[str, dict[str, str]]:
        """The error's shape over HTTP and with ``--json``."""
        return {"error": {"message": str(self), "type": type(self).__name__, "code": self.code}}


class PermanentError(CorrectlyError):
    """Trying again unchanged cannot help: something must be set, installed or repaired first."""

    code = "permanent"


class RetryableError(CorrectlyError):
    """The same call may go through later (a busy or absent service, a lost connection)."""

    code = "retryable"


class UsageError(PermanentError):
    """The input cannot be read or the call's words are off."""

    code = "usage"
    exit_code = 2


class UnreachableError(RetryableError):
    """The platform, or a part of it, is not reachable."""

    code = "unreachable"
    exit_code = 4


class RefusedError(PermanentError):
    """The gate, or an adapter's own check, refused."""

    code = "refused"
    exit_code = 5


class AdapterRefused(RefusedError):
    """An adapter breaks one of the rules it must keep to be served.

    Attributes:
        rule: the rule's name, e.g. ``finite``.
    """

    code = "adapter_refused"

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(f"{rule}: {message}")
        self.rule = rule


def passes(error: BaseException | None) -> bool:
    """Whether an error, or one that it was raised from, is a `RetryableError`: what failed may be back by itself."""
    while error is not None:
        if isinstance(error, RetryableError):
            return True
        error = error.__cause__
    return False
