"""Who may ask, and how often: keys per client, kept hashed, and a rate limit.

Belongs here: reading and writing the keys file, the token buckets. Does not belong here: HTTP headers' names in routes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from correctly_assets.artifacts.files import write_text_atomically
from correctly_assets.core.correction import Mode, ReasonLanguage
from correctly_assets.core.errors import CorrectlyError, PermanentError, RetryableError


class UnauthorizedError(CorrectlyError):
    """No key, or one that nobody was given."""

    code = "invalid_api_key"


class TooManyRequestsError(RetryableError):
    """The client's limit for this minute is used up. ``retry_after`` is in seconds."""

    code = "rate_limit_exceeded"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks: a key's name, or the address where no keys are used."""

    name: str
    reason_language: ReasonLanguage | None = None
    mode: Mode | None = None


class Keys:
    """The keys file, read again when it changes, so that a key can be given or taken while the gateway runs."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._clients: dict[str, Client] = {}

    @property
    def wanted(self) -> bool:
        """Whether clients must show a key: a keys file exists."""
        return self._path is not None and self._path.exists()

    def client(self, authorization: str | None, address: str) -> Client:
        """Who shows this ``Authorization`` header.

        Raises:
            UnauthorizedError: keys are asked for and this is none.
        """
        if not self.wanted:
            return Client(address)
        self._read()
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise UnauthorizedError("Send your key as `Authorization: Bearer KEY`.")
        shown = hash_key(key.strip())
        for known, client in self._clients.items():
            if hmac.compare_digest(known, shown):
                return client
        raise UnauthorizedError("This key is not known here; ask whoever runs the platform for one.")

    def _read(self) -> None:
        assert self._path is not None
        stat = self._path.stat()
        if (stat.st_mtime_ns, stat.st_size) == self._stamp:
            return
        self._clients = {
            str(entry["sha256"]): Client(name, entry.get("reason_language"), entry.get("mode"))
            for name, entry in _load(self._path).items()
        }
        self._stamp = (stat.st_mtime_ns, stat.st_size)


def hash_key(key: str) -> str:
    """What is kept of a key. Keys are 256 random bits, so that a plain hash cannot be searched."""
    return hashlib.sha256(key.encode()).hexdigest()


def new_key(path: Path, name: str, reason_language: ReasonLanguage | None = None) -> str:
    """Make a key for a client, keep its hash and return the key, which is shown this once. An old key of it ends."""
    known = _load(path) if path.exists() else {}
    key = f"correctly-{secrets.token_urlsafe(32)}"
    known[name] = {"sha256": hash_key(key)} | ({"reason_language": reason_language} if reason_language else {})
    write_text_atomically(path, json.dumps(known, indent=1) + "\n")
    return key


def _load(path: Path) -> dict[str, dict[str, Any]]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise PermanentError(f"The keys file {path} cannot be read ({error}); repair or remove it.") from error


class RateLimit:
    """A token bucket per client: ``per_minute`` requests a minute, a sixth of them at once. 0 limits nothing."""

    def __init__(self, per_minute: int, *, clients: int = 10_000) -> None:
        self._rate = per_minute / 60.0
        self._burst = max(1.0, per_minute / 6.0)
        self._clients = clients
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str, now: float | None = None) -> None:
        """Count one request.

        Raises:
            TooManyRequestsError: the client must wait.
        """
        if self._rate <= 0:
            return
        now = time.monotonic() if now is None else now
        tokens, since = self._buckets.pop(client, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * self._rate)
        if tokens < 1:
            self._buckets[client] = (tokens, now)
            wait = max(1, round((1 - tokens) / self._rate))
            raise TooManyRequestsError(f"Too many requests; ask again in {wait} seconds.", wait)
        self._buckets[client] = (tokens - 1, now)
        while len(self._buckets) > self._clients:
            self._buckets.popitem(last=False)
