"""The automatic rollback: the gateway's watch over the release it serves.

Belongs here: when signals are looked at, what this process counted itself, and what is said of it. Does not belong here:
the decision (core/rollback.py), proving the previous release and writing it down (handed in).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace

from correctly_assets.core.errors import CorrectlyError
from correctly_assets.core.rollback import RollbackPolicy, Signals, decide_rollback, seen
from correctly_assets.core.serving import TurnBack
from correctly_assets.core.types import Correction
from correctly_assets.store import Store

log = logging.getLogger(__name__)

_TRY_AGAIN = 60.0
"""Seconds until a rollback that failed is tried again: the engine or a file may have come back."""


class RollbackWatch:
    """Returns to the release before the champion's when live signals turn, without Dagster.

    Args:
        book: releases and what is written down of them.
        turn_back: does it.
        flipped: called after it, so that the next answer is the returned release's.
        harm: what following a release has shown of NaN, counted live.
        seconds: between two looks.
    """

    def __init__(
        self,
        book: Store,
        turn_back: TurnBack,
        flipped: Callable[[], Awaitable[None]],
        harm: Callable[[str], Signals] = lambda release: Signals(),
        *,
        seconds: float,
        policy: RollbackPolicy | None = None,
    ) -> None:
        self._book, self._turn_back, self._flipped, self._harm = book, turn_back, flipped, harm
        self._seconds, self._policy = seconds, policy
        self._answers: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._not_before = 0.0
        self._returned_as: str | None = None
        self.message: str | None = None

    def answered(self, correction: Correction) -> None:
        """Count one answer. Candidates and the base model have no release, and nothing to roll back."""
        if correction.release is not None:
            self._answers[correction.release] += 1
            self._failed[correction.release] += correction.fallback is not None

    async def run(self) -> None:
        """Look until cancelled; no failure ends it."""
        while True:
            await asyncio.sleep(self._seconds)
            try:
                await self.look()
            except CorrectlyError as error:
                # The store is away, say: nothing can be decided, and the answers go on.
                log.warning("release not looked at", extra={"error": str(error)})
            except Exception:
                log.exception("watching the release failed")

    async def look(self) -> str | None:
        """Look once. Returns what was done, in one sentence; None where nothing speaks against the champion.

        Raises:
            CorrectlyError: the store cannot be read.
        """
        champion = await asyncio.to_thread(self._book.champion)
        previous = await asyncio.to_thread(self._book.previous_release)
        # A release that somebody chose (an override, a rollback) is theirs to take back.
        if champion is None or previous is None or champion.kind != "promotion":
            if champion is None or champion.id != self._returned_as:
                self.message = None
            return None
        reason = decide_rollback(await self._signals(champion.id), await self._signals(previous.id), self._policy)
        if reason is None:
            self.message = None
            return None
        if time.monotonic() < self._not_before:
            return None
        try:
            release = await self._turn_back(f"automatically: {reason}", champion.id)
        except CorrectlyError as error:
            self._not_before = time.monotonic() + _TRY_AGAIN
            self.message = (
                f"{champion.id} should give way ({reason}), but the release before could not be returned to: {error}"
            )
            log.error("rollback failed", extra={"release": champion.id, "error": str(error)})
            return None
        self._returned_as = release
        self.message = f"Rolled back from {champion.id} to adapter {previous.adapter} ({release}): {reason}"
        log.error("rolled back", extra={"from": champion.id, "release": release, "reason": reason})
        await self._flipped()
        return self.message

    async def _signals(self, release: str) -> Signals:
        stored = await asyncio.to_thread(self._book.signals, release)
        live = replace(self._harm(release), answers=self._answers[release], failed=self._failed[release])
        return seen(stored, live)
