"""Who may ask, and how often: keys per client, kept hashed, and a rate limit.

Belongs here: reading and writing the keys file, the token buckets. Does not belong here: HTTP headers' names in routes.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import json
import secrets
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from pydantic import BaseModel, ConfigDict, StrictBool, TypeAdapter, ValidationError

from correctly_assets.artifacts.files import kept_secret, write_text_atomically
from correctly_assets.core.correction import Mode, ReasonLanguage
from correctly_assets.core.errors import CorrectlyError, PermanentError, RetryableError, UsageError
from correctly_assets.core.host_check import is_loopback
from correctly_assets.settings import PlatformSettings


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
    """Who asks: a key's name, or the address where no keys are used.

    Attributes:
        may_train: has the right to upload files and start fine-tuning jobs, as everybody has where no keys are used.
        shows_key: is known by a key.
    """

    name: str
    reason_language: ReasonLanguage | None = None
    mode: Mode | None = None
    may_train: bool = True
    shows_key: bool = False


class KeyEntry(BaseModel):
    """What is kept of one key. Fields that are not known here stay in the file."""

    model_config = ConfigDict(extra="allow")

    sha256: str
    reason_language: ReasonLanguage | None = None
    mode: Mode | None = None
    may_train: StrictBool | None = None
    at: str | None = None


_KEYS = TypeAdapter(dict[str, KeyEntry])
"""The keys file: every key by its client's name."""


class Keys:
    """The keys file, read again when it changes, so that a key can be given or taken while the gateway runs.

    Args:
        path: of the keys file.
        required: keys are asked for also where the file is missing, which then knows none.
    """

    def __init__(self, path: Path | None, *, required: bool = False) -> None:
        self._path, self._required = path, required
        self._stamp: tuple[int, int] | None = None
        self._clients: dict[str, Client] = {}

    @property
    def wanted(self) -> bool:
        """Whether clients must show a key: a keys file exists, or they are required."""
        return self._required or (self._path is not None and self._path.exists())

    def client(self, authorization: str | None, otherwise: str) -> Client:
        """Who shows this ``Authorization`` header.

        Args:
            otherwise: the client's name where no keys are used.

        Raises:
            UnauthorizedError: keys are asked for and this is none.
        """
        if not self.wanted:
            return Client(otherwise)
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
        if self._path is None or not self._path.exists():
            self._clients, self._stamp = {}, None
            return
        stat = self._path.stat()
        if (stat.st_mtime_ns, stat.st_size) == self._stamp:
            return
        self._clients = {
            entry.sha256: Client(name, entry.reason_language, entry.mode, entry.may_train is True, shows_key=True)
            for name, entry in known_keys(self._path).items()
        }
        self._stamp = (stat.st_mtime_ns, stat.st_size)


def hash_key(key: str) -> str:
    """What is kept of a key. Keys are 256 random bits, so that a plain hash cannot be searched."""
    return hashlib.sha256(key.encode()).hexdigest()


def as_bearer(authorization: str) -> str:
    """An ``Authorization`` header as a bearer's: a browser's own dialogue sends the key as the password, under any name."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return authorization
    try:
        return f"Bearer {base64.b64decode(value).decode().partition(':')[2]}"
    except ValueError:  # no base64, no ASCII, or no UTF-8 within
        return ""


def key_shown(headers: Mapping[bytes, bytes], *, browsers_password: bool = False) -> str:
    """The key of a request as a bearer's header, wherever its client puts one: ``Authorization`` as a bearer or as the password of
    an address (``http://any:KEY@host``), ``api-key`` or ``x-api-key``. Empty where none is shown.

    Args:
        browsers_password: whether a password that a browser sends counts. It sends one of its own accord with every request to
            an address where it was once asked for it, whichever page makes that request.
    """
    if (shown := headers.get(b"authorization")) is not None:
        scheme = shown.partition(b" ")[0].lower()
        from_browser = b"sec-fetch-site" in headers or b"origin" in headers
        return (
            "" if scheme == b"basic" and from_browser and not browsers_password else as_bearer(shown.decode("latin-1"))
        )
    key = headers.get(b"api-key") or headers.get(b"x-api-key")
    return f"Bearer {key.decode('latin-1')}" if key else ""


def why_closed(platform: PlatformSettings) -> str | None:
    """Why the gateway may not start, in a sentence: it is opened to a network and nobody has a key. None where it may."""
    if is_loopback(platform.host) or platform.keys_path.exists():
        return None
    return (
        f"CORRECTLY_HOST={platform.host} opens the gateway to the network, and no key was made: run `correctly keys new NAME` "
        "first."
    )


def client_name(address: str, salt: str) -> str:
    """What a client is called that shows no key: its address is not kept, and cannot be found by trying all there are."""
    return f"net-{hmac.new(salt.encode(), address.encode(), hashlib.sha256).hexdigest()[:16]}"


def client_salt(platform: PlatformSettings) -> str:
    """What addresses are hashed with; made once."""
    return kept_secret(platform.home / "run" / "client-salt")


def known_as(client: str, platform: PlatformSettings) -> str:
    """What the journal calls a client: a key's name is itself, an address its salted hash."""
    try:
        ip_address(client)
    except ValueError:
        return client
    return client_name(client, client_salt(platform))


def new_key(
    path: Path,
    name: str,
    reason_language: ReasonLanguage | None = None,
    mode: Mode | None = None,
    *,
    key: str | None = None,
    may_train: bool = False,
) -> str:
    """Make a key for a client, keep its hash and return the key, which is shown this once. An old key of it ends.

    Args:
        key: one that was made elsewhere; a new one of 256 random bits when None.
        may_train: whether it has the right to upload files and start fine-tuning jobs.

    Raises:
        PermanentError: the keys file cannot be read.
    """
    key = key or f"correctly-{secrets.token_urlsafe(32)}"
    with _changing(path) as known:
        known[name] = KeyEntry(
            sha256=hash_key(key),
            reason_language=reason_language,
            mode=mode,
            may_train=may_train or None,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
    return key


def revoke_key(path: Path, name: str) -> None:
    """Take a client's key away; it is refused from its next request on.

    Raises:
        UsageError: there is no key of that name.
        PermanentError: the keys file cannot be read.
    """
    with _changing(path) as known:
        if name not in known:
            raise UsageError(
                f"There is no key named {name}; there are: {', '.join(known) or 'none'}.", code="no_such_key"
            )
        del known[name]


def known_keys(path: Path) -> dict[str, KeyEntry]:
    """What is kept of every key, by its client's name; nothing where there is no file.

    Raises:
        PermanentError: the keys file cannot be read.
    """
    if not path.exists():
        return {}
    try:
        return _KEYS.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        why = ": ".join((*map(str, first["loc"]), first["msg"])) if first else str(error)
        raise PermanentError(f"The keys file {path} cannot be read ({why}); repair or remove it.") from error


@contextmanager
def _changing(path: Path) -> Iterator[dict[str, KeyEntry]]:
    """The keys, to be changed by one process at a time and written when the block ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = known_keys(path)
        yield known
        write_text_atomically(
            path, json.dumps(_KEYS.dump_python(known, mode="json", exclude_none=True), indent=1) + "\n"
        )


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
