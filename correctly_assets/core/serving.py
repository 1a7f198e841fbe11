"""What serving and its gateway need of others: releases, journal, feedback, landing; and the errors they raise.

Belongs here: records and Protocols that cross the rooms around serving. Does not belong here: HTTP, SQL, decisions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from correctly_assets.core.errors import RetryableError
from correctly_assets.core.landing import LandOutcome
from correctly_assets.core.rollback import Signals
from correctly_assets.core.types import Correction, Edit


class UnknownModelError(RetryableError):
    """The engine does not know a name: unloaded, or forgotten when the engine restarted. Ask once more with the current
    name."""

    code = "unknown_model"
    exit_code = 4


class EngineCorruptedError(RetryableError):
    """The engine computed NaN; answers of *every* model on it can no longer be trusted. Restart it, then load again."""

    code = "engine_corrupted"
    exit_code = 4


class ReleaseLike(Protocol):
    """A champion at a time: answers carry its id, the engine knows its adapter by the adapter's ID."""

    @property
    def id(self) -> str: ...
    @property
    def adapter(self) -> str: ...


class ReleaseBook(Protocol):
    """Where releases are written down; the newest one is what everyone serves. The store satisfies it."""

    def releases(self, limit: int = 50) -> Sequence[ReleaseLike]:
        """Newest first. Cheap: the gateway asks twice a second."""
        ...


class WatchedRelease(ReleaseLike, Protocol):
    """A release with what made it."""

    @property
    def kind(self) -> str: ...


class ReleaseWatch(Protocol):
    """What an automatic rollback looks at. Calls block. The store satisfies it."""

    def champion(self) -> WatchedRelease | None: ...
    def previous_release(self) -> WatchedRelease | None: ...

    def signals(self, release: str) -> Signals:
        """What is written down of a release."""
        ...

    def votes(self) -> Mapping[tuple[str, int], int]:
        """How many votes are written down, by (release, rating); the base model's stand under ``base``, a candidate's under
        its adapter."""
        ...


class TurnBack(Protocol):
    """Returns to the release before the champion's: proves it, then writes the new release."""

    async def __call__(self, why: str, instead_of: str, /) -> str:
        """
        Args:
            instead_of: the release that is to give way; one that somebody promoted meanwhile stays.

        Returns:
            The new release's id.

        Raises:
            CorrectlyError: it could not be done; the champion keeps serving.
        """
        ...


class Journalled(Protocol):
    """An answer as it was kept."""

    @property
    def id(self) -> str: ...
    @property
    def release(self) -> str | None: ...
    @property
    def client(self) -> str | None: ...
    @property
    def before(self) -> str: ...
    @property
    def edits(self) -> tuple[Edit, ...]: ...


class FeedbackTaken(Protocol):
    """A piece of feedback as it was kept."""

    @property
    def id(self) -> str: ...


class Journal(Protocol):
    """Where answers and reactions are kept. Calls block, so the gateway makes them off its event loop. The store
    satisfies it."""

    def journal_correction(
        self,
        correction: Correction,
        *,
        client: str | None = None,
        chat_id: str | None = None,
        seconds: float | None = None,
        tokens: int | None = None,
    ) -> None:
        """Keep one answer, scrubbed already; the same id twice is kept once."""
        ...

    def correction(self, prefix: str) -> Journalled | None: ...

    def corrections(self, *, chat_id: str | None = None, limit: int = 100) -> Sequence[Journalled]:
        """Newest first; of one chat when ``chat_id`` is given."""
        ...

    def add_feedback(
        self,
        *,
        source_key: str,
        correction_id: str,
        rating: int,
        better: str | None = None,
        edits: Sequence[Mapping[str, Any]] = (),
        comment: str | None = None,
        giver: str | None = None,
    ) -> FeedbackTaken:
        """Keep one reaction; the same ``source_key`` with the same words counts once. ``giver`` is who gives it."""
        ...


class OutsideModel(Protocol):
    """A model from outside that a reviewer compares with (the comparator), as the gateway asks it."""

    async def correct(self, text: str) -> Correction:
        """What it makes of a text; its edits carry no reasons, for it gives none.

        Raises:
            CorrectlyError: it did not answer, or not to us; one sentence.
        """
        ...

    async def close(self) -> None: ...


class Lander(Protocol):
    """Lands rows through curation's parse and guards (joined in the gateway). Blocks."""

    def __call__(self, rows: Sequence[Mapping[str, Any]], /) -> LandOutcome: ...


class AdapterCheck(Protocol):
    """The static checks of an adapter's files (training/).

    Raises:
        AdapterRefused: a rule is broken.
    """

    def __call__(self, directory: Path, /) -> object: ...
