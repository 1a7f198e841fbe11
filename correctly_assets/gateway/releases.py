"""Which release answers, and whether it can: the gateway's view of the store and of the engines.

Belongs here: following the newest release, healing after an engine's restart, draining what is old. Does not belong
here: HTTP, choosing an engine for a request (engine/replicas.py), or deciding which adapter is good (the gate did).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from correctly_assets.core.errors import AdapterRefused, CorrectlyError, UnreachableError, UsageError
from correctly_assets.core.rollback import Signals
from correctly_assets.core.serving import AdapterCheck, EngineCorruptedError
from correctly_assets.engine.launch import BASE_NAME
from correctly_assets.engine.load_adapter import load_proven, retire
from correctly_assets.engine.replicas import Replica, Replicas
from correctly_assets.gateway.model_names import FLUENT, PUBLIC, PUBLIC_BASE, PUBLIC_CANDIDATE, TEXT_ONLY, TUNED
from correctly_assets.store import Store
from correctly_assets.store.records import Release

log = logging.getLogger(__name__)

"""Listed where one is configured; answered by the service, for no engine of ours knows it."""
NO_RELEASE = "no adapter has been promoted yet"
_SERVED_LOOK_BACK = 12
_TRY_AGAIN = 60.0
"""Seconds until a refused release is tried again: its files may have been restored."""


@dataclass(frozen=True, slots=True)
class Current:
    """What one request is answered by, from its first sentence to its last.

    Attributes:
        model: the name in the engine. release, adapter: None for the base model; a candidate has no release yet.
    """

    model: str
    release: str | None
    adapter: str | None


class NotReadyError(UnreachableError):
    """Nothing can answer now; the sentence says what is waited for."""

    code = "not_ready"


class Releases:
    """Follows the newest release and keeps it, and the one before, loaded and proved in every engine.

    Args:
        engines: with several, a release serves once all that answer have proved it; one that comes back is asked for it once
            it has proved it too.
        adapters_dir: where adapters stand, by ID.
        check: the static checks of an adapter's files.
    """

    def __init__(
        self,
        engines: Replicas,
        book: Store,
        adapters_dir: Path,
        check: AdapterCheck | None,
        *,
        poll_seconds: float = 0.5,
        drain_seconds: float = 10.0,
    ) -> None:
        self._engines = engines
        self._book = book
        self._adapters = adapters_dir
        self._check = check
        self._poll = poll_seconds
        self._drain = drain_seconds
        self._wake = asyncio.Event()
        self._lock = asyncio.Lock()
        self._in_flight: Counter[str] = Counter()
        self._refused: dict[str, tuple[str, float]] = {}
        # Unlike a refusal these outlive the engine: trying again would take the next one down as well.
        self._makes_nan: dict[str, str] = {}
        self._suspected: dict[str, str] = {}
        self._unprovable: set[str] = set()
        self._corruptions: Counter[str] = Counter()
        self._lost_at: deque[float] = deque(maxlen=1000)
        self._flipped_at = 0.0
        self._candidate: str | None = None
        self._champion: Current | None = None
        self._has_release = False
        self._previous_settled = False
        self.challenger: str | None = None
        """An adapter that answers beside the champion on the platform's own engine, or is being loaded to (shadow.py); no
        candidate that is listed."""
        self.suspected: tuple[str, str | None] | None = None
        """The last challenger beside which that engine computed NaN, and the release in service then."""
        self.engine_up = False
        self.corrupted = False
        self.message = "The gateway is starting."

    # -- what requests ask -------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether the champion answers, and the release before it stands by for a rollback."""
        return self.engine_up and not self.corrupted and self._champion is not None and self._previous_settled

    @property
    def champion(self) -> Current | None:
        """The release in service; None until one has been loaded and proved."""
        return self._champion

    def names(self) -> list[str]:
        """Public model names that can be asked for now, the main one always among them."""
        return [PUBLIC, FLUENT, TEXT_ONLY, PUBLIC_BASE] + ([PUBLIC_CANDIDATE] if self._candidate else [])

    def resolve(self, name: str) -> Current:
        """What answers to a public name at this moment.

        Raises:
            UsageError: there is no such name (code ``model_not_found``).
            NotReadyError: nothing can answer to it now.
        """
        if name.startswith(TUNED):
            return self._tuned(name)
        if name not in (PUBLIC, PUBLIC_BASE, PUBLIC_CANDIDATE):
            raise UsageError(
                f"There is no model {name[:60]!r} here: ask for one of {', '.join(self.names())}.",
                code="model_not_found",
            )
        if self.corrupted:
            raise EngineCorruptedError("The engine computed NaN and must be restarted before it answers again.")
        if not self.engine_up:
            raise NotReadyError("The engine (vLLM) is away or starting; ask again in a moment.")
        if name == PUBLIC_BASE:
            return Current(BASE_NAME, None, None)
        if name == PUBLIC_CANDIDATE:
            if self._candidate is None:
                raise NotReadyError("No candidate is loaded now.", code="no_candidate")
            return Current(self._candidate, None, self._candidate)
        if self._champion is None:
            if not self._has_release:
                raise NotReadyError(NO_RELEASE, code="no_release")
            raise NotReadyError(self.message)
        return self._champion

    def _tuned(self, name: str) -> Current:
        """What answers to an adapter's own name, as long as it is loaded: the champion or the candidate."""
        adapter = name.removeprefix(TUNED)
        if self._candidate is not None and adapter == self._candidate:
            return self.resolve(PUBLIC_CANDIDATE)
        current = self.resolve(PUBLIC)
        if current.adapter != adapter:
            raise UsageError(
                f"Adapter {adapter[:40]} is not served now; {current.adapter} is, as `{PUBLIC}`.",
                code="model_not_found",
            )
        return current

    @contextmanager
    def using(self, current: Current) -> Iterator[None]:
        """Count an answer under way, so that its adapter is not unloaded beneath it."""
        self._in_flight[current.model] += 1
        try:
            yield
        finally:
            self._in_flight[current.model] -= 1
            if not self._in_flight[current.model]:
                del self._in_flight[current.model]

    @property
    def engines(self) -> Replicas:
        """The engines as they were last seen."""
        return self._engines

    def harm(self, release: str) -> Signals:
        """What this process saw of NaN under a release."""
        return Signals(corrupted=self._corruptions[release], unprovable=release in self._unprovable)

    def losses(self, seconds: float = 3600.0) -> int:
        """How often an engine went away in the last so many seconds."""
        since = time.monotonic() - seconds
        return sum(at >= since for at in self._lost_at)

    def look(self) -> None:
        """Look at the engines at once: a request found something wrong with one."""
        self._wake.set()

    @property
    def answering(self) -> int:
        """Requests that are being answered."""
        return self._in_flight.total()

    async def served(self, adapter: str) -> bool:
        """Whether an adapter is one of the last releases'."""
        releases = await asyncio.to_thread(self._book.releases, _SERVED_LOOK_BACK)
        return adapter in {release.adapter for release in releases}

    # -- the loop ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Follow until cancelled. No failure ends it: each is logged once, and said by /readyz."""
        while True:
            self._wake.clear()
            try:
                await self.refresh()
            except CorrectlyError as error:
                self._say(str(error))
            except Exception:
                # A bug or an odd answer must not freeze the gateway on an old release for ever.
                log.exception("following the newest release failed")
                self._say("Following the newest release failed; see the gateway's log.")
            try:
                await asyncio.wait_for(self._wake.wait(), self._poll)
            except TimeoutError:
                continue
            await asyncio.sleep(0.05)

    async def refresh(self) -> None:
        """Look once at store and engines, and bring these in line with the store."""
        async with self._lock:
            await self._refresh()

    async def _refresh(self) -> None:
        releases = list(await asyncio.to_thread(self._book.releases, _SERVED_LOOK_BACK))
        self._has_release = bool(releases)
        if not await self._look_at_engines():
            return
        if not releases:
            self._champion, self._previous_settled, self._candidate = None, True, self._find_candidate(releases)
            self._say("Not ready: " + NO_RELEASE + ".")
            return
        await self._follow(releases)
        served = [release.adapter for release in releases]
        serving = self._champion.adapter if self._champion else None
        if serving == served[0] and time.monotonic() - self._flipped_at > self._drain:
            for engine in self._engines.sound:
                with suppress(UnreachableError):  # it has forgotten them anyway; the next look says that it is away
                    await retire(engine.client, served, set(self._in_flight))
        self._candidate = self._find_candidate(releases)

    async def _look_at_engines(self) -> bool:
        """Whether any engine can answer; where none can, it is said."""
        serving = self._champion.model if self._champion is not None else None
        await self._engines.look(serving)
        for engine in self._engines:
            if engine.lost:
                self._lost_at.append(time.monotonic())
                self._refused.clear()  # A restarted engine starts afresh.
            if engine.poisoned:
                log.error("engine corrupted", extra={"engine": engine.client.url})
            if engine.poisoned and self._champion is not None and self._candidate not in engine.known:
                # Beside a candidate nobody can tell which of the two it was.
                if engine is self._engines.own and self.challenger is not None:
                    # Nor beside a challenger, which then stands beside this champion no more.
                    self.suspected, self.challenger = (self.challenger, self._champion.release), None
                else:
                    self._corruptions[self._champion.release or ""] += 1
        up = [engine for engine in self._engines if engine.up]
        self.engine_up = bool(up)
        self.corrupted = bool(up) and all(engine.corrupted for engine in up)
        if not up:
            self._previous_settled = False
            self._say("The engine (vLLM) is away or starting.")
        elif self.corrupted:
            self._say("The engine computed NaN; restart it (the supervisor does), it answers nothing until then.")
        return bool(up) and not self.corrupted

    async def _follow(self, releases: list[Release]) -> None:
        champion = releases[0]
        previous = next((release for release in releases if release.adapter != champion.adapter), None)
        if self._champion is not None and self._champion.model not in self._engines.known:
            # Forgotten by a restart: nobody may ask for it until it is loaded and proved again.
            self._champion, self._previous_settled = None, False
            self._say("The engine restarted; the adapter is being loaded and proved again.")
        if await self._bring(champion):
            self._flip(champion)
        elif self._champion is None and previous is not None and await self._bring(previous):
            self._flip(previous)
        if previous is not None:
            await self._bring(previous)
        self._previous_settled = True
        if self._champion is None:
            self._say(self._why_not(champion))
        elif self._champion.release != champion.id:
            is_refused = champion.adapter in self._refused or champion.adapter in self._makes_nan
            refused = "was refused" if is_refused else "does not answer yet"
            self._say(f"Serving {self._champion.release}, for {champion.id} {refused}: {self._why_not(champion)}")
        else:
            self._say(f"Serving {champion.id}.")

    async def _bring(self, release: Release) -> bool:
        """Have every engine that answers load and prove a release's adapter; True when all of them have it."""
        sound = self._engines.sound
        missing = [engine for engine in sound if release.adapter not in engine.known]
        if len(missing) == len(sound):
            # One proves it before the others are asked: an adapter that makes NaN takes one engine down, and not all.
            first, *missing = missing
            if not await self._bring_to(first, release):
                return False
        brought = await asyncio.gather(*(self._bring_to(each, release) for each in missing), return_exceptions=True)
        for failure in brought:
            # One that went away meanwhile is no longer waited for: it proves the adapter when it is back.
            if isinstance(failure, BaseException) and not isinstance(failure, UnreachableError):
                raise failure
        return all(brought)

    async def _bring_to(self, engine: Replica, release: Release) -> bool:
        """Have one engine load and prove a release's adapter. A released name that it knows was proved when loaded."""
        alone = not set(engine.known) - {BASE_NAME}
        if release.adapter in self._makes_nan or (release.adapter in self._suspected and not alone):
            return False
        if release.adapter in self._refused and time.monotonic() < self._refused[release.adapter][1]:
            return False
        try:
            await load_proven(engine.client, self._adapters / release.adapter, self._check)
        except AdapterRefused as error:
            self._refused[release.adapter] = (str(error), time.monotonic() + _TRY_AGAIN)
            log.error("released adapter refused", extra={"release": release.id, "error": str(error)})
            return False
        except EngineCorruptedError as error:
            # With others in the engine it may have been one of them: it is tried again where it is alone, and not before.
            (self._makes_nan if alone else self._suspected)[release.adapter] = str(error)
            if alone:
                self._unprovable.add(release.id)
            engine.corrupted, engine.seen_sound = True, False  # accounted for: not the serving release's
            log.error("engine corrupted by a proof", extra={"release": release.id, "alone": alone, "error": str(error)})
            raise
        except UnreachableError:
            engine.failed()
            raise
        engine.known[release.adapter] = str(self._adapters / release.adapter)
        self._suspected.pop(release.adapter, None)
        return True

    def _why_not(self, release: Release) -> str:
        if release.adapter in self._refused:
            return self._refused[release.adapter][0]
        nan = self._makes_nan.get(release.adapter) or self._suspected.get(release.adapter)
        if nan is not None:
            return nan
        return "It is being loaded."

    def _flip(self, release: Release) -> None:
        if self._champion is None or self._champion.release != release.id:
            self._champion = Current(release.adapter, release.id, release.adapter)
            self._flipped_at = time.monotonic()
            log.info("serving release", extra={"release": release.id, "adapter": release.adapter})

    def _find_candidate(self, releases: list[Release]) -> str | None:
        served = {release.adapter for release in releases} | {BASE_NAME, self.challenger}
        return next((name for name in reversed(list(self._engines.known)) if name not in served), None)

    def _say(self, sentence: str) -> None:
        if sentence != self.message:
            log.info("state", extra={"says": sentence})
            self.message = sentence
