"""What serving and its gateway are handed by others, and the errors that the engine's answers become.

Belongs here: the shapes of those calls, and errors that cross the rooms around serving. Does not belong here: HTTP, SQL, decisions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from correctly_assets.core.errors import RetryableError
from correctly_assets.core.json_shapes import Row
from correctly_assets.core.landing import LandOutcome


class UnknownModelError(RetryableError):
    """The engine does not know a name: unloaded, or forgotten when the engine restarted. Ask once more with the current
    name."""

    code = "unknown_model"
    exit_code = 4


class EngineCorruptedError(RetryableError):
    """The engine computed NaN; answers of *every* model on it can no longer be trusted. Restart it, then load again."""

    code = "engine_corrupted"
    exit_code = 4


TurnBack = Callable[[str, str], Awaitable[str]]
"""Returns to the release before the champion's: proves it, then writes the new release.

Called with the reason and the release that is to give way (one that somebody promoted meanwhile stays); gives the new release's ID.
Raises CorrectlyError where it could not be done; the champion keeps serving."""

Lander = Callable[[Sequence[Row]], LandOutcome]
"""Lands rows through curation's parse and guards. Blocks."""

AdapterCheck = Callable[[Path], object]
"""The static checks of an adapter's files (training/adapter.py); raises AdapterRefused where a rule is broken."""
