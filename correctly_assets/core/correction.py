"""What the correction path shares with those who call it: its pieces, its guard and its own Protocol.

Belongs here: the records and Protocols through which chat, command line, evaluation and canary meet the one correction
path. Does not belong here: the path itself (correction/) or where profanity lists come from (curation/).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal, Protocol

from .types import Correction, Fallback

ReasonLanguage = Literal["en", "ko"]


class ProfanityGuard(Protocol):
    """Knows words that a corrector must not put into a person's mouth."""

    def added(self, before: str, after: str) -> bool:
        """Whether ``after`` holds profanity that ``before`` does not."""
        ...


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the corrected text, in order: the pieces of one text, joined, are its ``after``.

    Attributes:
        fallback: why this sentence was left as the user wrote it, if a guard refused the model's answer.
    """

    text: str
    changed: bool = False
    fallback: Fallback | None = None


@dataclass(slots=True)
class Usage:
    """What a corrector has asked of the engine so far."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def copy(self) -> Usage:
        return Usage(self.requests, self.prompt_tokens, self.completion_tokens)


class CorrectionPath(Protocol):
    """Correct, diff, explain (correction/path.py); the only way to a correction for every face."""

    usage: Usage

    async def correct(
        self,
        text: str,
        *,
        model: str,
        release: str | None,
        adapter: str | None,
        reasons: bool = True,
        reason_language: ReasonLanguage = "en",
        priority: int = 0,
        as_one: bool = False,
    ) -> Correction:
        """Correct one text with the engine's model or adapter named ``model``.

        Raises:
            UnreachableError, RefusedError: as the completer does.
        """
        ...

    def stream(
        self,
        text: str,
        *,
        model: str,
        release: str | None,
        adapter: str | None,
        reasons: bool = True,
        reason_language: ReasonLanguage = "en",
        priority: int = 0,
    ) -> AsyncIterator[Piece | Correction]:
        """The corrected text piece by piece, in order, then one `Correction` of the whole."""
        ...
