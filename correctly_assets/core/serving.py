"""What serving and its gateway need of others: releases, journal, feedback, landing; and the errors they raise.

Belongs here: records and Protocols that cross the rooms around serving. Does not belong here: HTTP, SQL, decisions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from .errors import RetryableError
from .landing import LandOutcome
from .types import Edit


class UnknownModelError(RetryableError):
    """The engine does not know a name: the adapter was unloaded, or forgotten when the engine restarted. Callers ask once
    more with the current name."""

    code = "unknown_model"
    exit_code = 4


class EngineCorruptedError(RetryableError):
    """The engine computed NaN and answers of *every* model on it can no longer be trusted: restart it, then load again."""

    code = "engine_corrupted"
    exit_code = 4


@dataclass(frozen=True, slots=True)
class Release:
    """One champion at a time.

    Attributes:
        id: what answers carry as ``release``; adapter: the adapter's ID, its directory's name and its name in the
            engine.
        at: when it was released, seconds since the epoch.
    """

    id: str
    adapter: str
    base_model: str = ""
    at: float = 0.0
    why: str = ""


class ReleaseBook(Protocol):
    """Where releases are written down; the newest one is what everyone serves (store/)."""

    def newest_releases(self, limit: int = 2) -> Sequence[Release]:
        """Newest first. Cheap: the gateway asks twice a second."""
        ...


class Promoter(Protocol):
    """Writes a release in one atomic step; every gateway flips to it within its next poll (store/)."""

    def add_release(self, adapter: str, *, why: str) -> Release: ...


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One answer as it is kept: scrubbed texts, the release that wrote it, its edits.

    Attributes:
        id: the correction's id, which feedback names. text_sha: sha256 of the text as it was sent, so that an answer
            can be found again without keeping the text. chat, client: ids that the client sent or its key's name.
        at: seconds since the epoch. seconds: how long the answer took.
    """

    id: str
    at: float
    release: str | None
    adapter: str | None
    before: str
    after: str
    edits: tuple[Edit, ...]
    fallback: str | None
    text_sha: str
    client: str | None = None
    chat: str | None = None
    channel: Literal["chat", "api"] = "api"
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Feedback:
    """A reaction to one answer, as CONTRACTS has it over HTTP."""

    id: str
    at: float
    correction_id: str
    rating: Literal[1, -1]
    better: str | None = None
    accepted: tuple[tuple[int, bool], ...] = ()
    comment: str | None = None
    client: str | None = None


class Journal(Protocol):
    """Where answers and reactions are kept (store/). Calls block; the gateway makes them off its event loop."""

    def add_answers(self, entries: Sequence[JournalEntry]) -> None:
        """Keep answers; an id that is kept already is left as it is."""
        ...

    def last_answer(self, *, chat: str | None, text_sha: str) -> JournalEntry | None:
        """The newest answer to that text, in that chat when it is known."""
        ...

    def add_feedback(self, feedback: Feedback) -> None:
        """Keep a reaction; an id that is kept already is left as it is."""
        ...


class Lander(Protocol):
    """Lands rows through curation's parse and guards (curation/ and store/, joined in the gateway). Blocks."""

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> LandOutcome: ...


class AdapterCheck(Protocol):
    """The static checks of an adapter's files (training/).

    Raises:
        AdapterRefused: a rule is broken.
    """

    def __call__(self, directory: Path) -> object: ...
