"""Shadow traffic: a share of real requests is answered by a challenger too, for nobody to wait for.

Belongs here: having one challenger loaded, choosing requests, asking, dropping. Does not belong here: which adapter it is
(workflows/find_challenger.py), who won (core/shadow_count.py), writing the answers (answer_log.py).

Nothing of the challenger's reaches a client, a rollback or the count of a release's answers: what fails here is counted and
forgotten.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Collection
from pathlib import Path

from correctly_assets.core.correction import CorrectionPath, Mode
from correctly_assets.core.errors import AdapterRefused, CorrectlyError
from correctly_assets.core.house_style import HouseStyle
from correctly_assets.core.serving import AdapterCheck, EngineCorruptedError, UnknownModelError
from correctly_assets.core.types import Correction
from correctly_assets.engine.launch import BASE_NAME
from correctly_assets.engine.load_adapter import load_proven
from correctly_assets.engine.replicas import Replicas
from correctly_assets.gateway.answer_log import BackgroundJournal, Entry
from correctly_assets.gateway.metrics import Metrics
from correctly_assets.gateway.options import Options
from correctly_assets.gateway.releases import Releases
from correctly_assets.gateway.token_usage import start_meter

log = logging.getLogger(__name__)

PRIORITY = 20
"""Behind evaluation (10) and chat (0) in the engine's queue."""


class Shadow:
    """One challenger beside the champion.

    Args:
        find: the adapter that should answer, but for those it is given; blocks.
        adapters_dir: where adapters stand, by ID. check: the static checks of an adapter's files.
        chance: a number from 0 to 1, drawn for each request.
    """

    def __init__(
        self,
        find: Callable[[Collection[str]], str | None],
        engines: Replicas,
        corrector: CorrectionPath,
        adapters_dir: Path,
        check: AdapterCheck | None,
        releases: Releases,
        journal: BackgroundJournal,
        metrics: Metrics,
        options: Options,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._find, self._engines, self._corrector = find, engines, corrector
        self._adapters, self._check = adapters_dir, check
        self._releases, self._journal, self._metrics = releases, journal, metrics
        self._options, self._chance = options, chance
        self._unfit: set[str] = set()
        self._alone: str | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        # A look that fell between a challenger's NaN and the conclusions from it would load the next one into the poisoned
        # engine, and hold that one unfit too.
        self._changing = asyncio.Lock()
        self.adapter: str | None = None
        """The challenger that is loaded and proved."""

    # -- requests ----------------------------------------------------------------------------------------------------

    def offer(self, correction: Correction, *, mode: Mode, style: HouseStyle) -> None:
        """Perhaps have the challenger answer what the champion has just answered. Never blocks and never fails.

        While the gateway is busy a request is dropped, and not kept for later.
        """
        if self.adapter is None or self.adapter != self._releases.challenger or correction.release is None:
            return
        if self._chance() >= self._options.shadow_share:
            return
        if len(self._tasks) >= self._options.shadow_at_once or self._releases.answering > self._options.shadow_quiet:
            self._metrics.shadow.labels("dropped").inc()
            return
        task = asyncio.create_task(self._answer(self.adapter, correction, mode, style), name="shadow")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, adapter: str, correction: Correction, mode: Mode, style: HouseStyle) -> None:
        try:
            # Sooner than the engine's client gives up, which would take the engine for a failing one.
            async with asyncio.timeout(self._options.answer_seconds / 2):
                # A meter of its own: what is asked here is none of the client's tokens.
                start_meter()
                started = time.perf_counter()
                own = await self._corrector.correct(
                    correction.before,
                    model=adapter,
                    release=None,
                    adapter=adapter,
                    reasons=False,
                    priority=PRIORITY,
                    mode=mode,
                    style=style,
                )
                seconds = round(time.perf_counter() - started, 4)
                gain = None if own.after == correction.after else await self._gain(correction.after, own.after)
            if own.fallback == "empty":
                # What a poisoned engine answers: 200 and no text.
                await self._releases.refresh()
                if self._engines.own.corrupted:
                    raise EngineCorruptedError(f"The engine computed NaN while challenger {adapter} answered.")
        except EngineCorruptedError as error:
            self._metrics.shadow.labels("failed").inc()
            async with self._changing:
                await self._take_note(adapter, error)
        except (CorrectlyError, TimeoutError) as error:
            self._metrics.shadow.labels("failed").inc()
            log.info("challenger did not answer", extra={"adapter": adapter, "error": str(error)})
            if isinstance(error, UnknownModelError) and self.adapter == adapter:
                # Unloaded by an evaluation, or forgotten in a restart: loaded again at the next look.
                self.adapter = None
        except Exception:
            self._metrics.shadow.labels("failed").inc()
            log.exception("asking the challenger failed")
        else:
            self._metrics.shadow.labels("answered").inc()
            self._journal.add(Entry(own, seconds=seconds, shadow_of=correction.id, gain=gain))

    async def _gain(self, champion: str, challenger: str) -> float | None:
        """How much likelier the base model finds the challenger's text, in nats; None where it cannot say, as of a text that is
        too long for it."""
        try:
            of_champion, of_challenger = await self._engines.text_logprobs(
                BASE_NAME, [champion, challenger], priority=PRIORITY
            )
        except EngineCorruptedError:
            raise
        except CorrectlyError:
            return None
        return of_challenger - of_champion

    # -- the challenger ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the right challenger loaded, until cancelled; no failure ends it."""
        while True:
            try:
                await self.look()
            except CorrectlyError as error:
                log.warning("no look for a challenger", extra={"error": str(error)})
            except Exception:
                log.exception("looking for a challenger failed")
            await asyncio.sleep(self._options.shadow_look_seconds)

    async def look(self) -> None:
        """Look once for the adapter that should answer, and have the platform's own engine load it in place of another; nothing
        is done while the champion does not answer.

        Raises:
            CorrectlyError: the store or the engine is away.
        """
        async with self._changing:
            await self._look()

    async def _look(self) -> None:
        self._heed_suspicion()
        champion, own = self._releases.champion, self._engines.own
        if not self._releases.ready or champion is None or not own.up or own.corrupted:
            return
        if champion.release == self._alone:
            return
        wanted = await asyncio.to_thread(self._find, frozenset(self._unfit))
        known = await own.client.models()
        held = self._releases.challenger
        if held is not None and held != wanted:
            await self._let_go(held, loaded=held in known)
        if wanted is None or (wanted == self.adapter and wanted in known):
            return
        self.adapter, self._releases.challenger = None, wanted
        try:
            await load_proven(own.client, self._adapters / wanted, self._check)
        except EngineCorruptedError as error:
            await self._take_note(wanted, error)
        except AdapterRefused as error:
            self._unfit.add(wanted)
            self._releases.challenger = None
            log.warning("challenger refused", extra={"adapter": wanted, "error": str(error)})
        else:
            own.known[wanted] = str(self._adapters / wanted)
            self.adapter = wanted
            log.info("challenger answers", extra={"adapter": wanted})

    async def _let_go(self, adapter: str, *, loaded: bool) -> None:
        """Take a challenger out of the engine, unless it was promoted meanwhile."""
        self.adapter = None
        await self._end_tasks()
        if loaded and not await self._releases.served(adapter):
            await self._engines.own.client.unload_adapter(adapter)
        self._releases.challenger = None

    async def _take_note(self, adapter: str, error: EngineCorruptedError) -> None:
        """Never load a challenger again that may have poisoned the engine."""
        log.error("challenger is unfit", extra={"adapter": adapter, "error": str(error)})
        self._unfit.add(adapter)
        # Seen while the challenger still stands beside the champion, so that it is not counted against that one.
        await self._releases.refresh()
        self._heed_suspicion()
        self.adapter = self._releases.challenger = None

    def _heed_suspicion(self) -> None:
        """After NaN nobody stands beside this champion any more: the next time it is known whose it was."""
        if self._releases.suspected is not None:
            adapter, self._alone = self._releases.suspected
            self._unfit.add(adapter)
            self.adapter = self._releases.suspected = None
            log.warning(
                "no challenger beside this release any more", extra={"adapter": adapter, "release": self._alone}
            )

    async def stop(self) -> None:
        """End what is under way, and leave the engine without the challenger where it answers."""
        held = self._releases.challenger
        with contextlib.suppress(CorrectlyError, TimeoutError):
            async with asyncio.timeout(2.0):
                if held is not None:
                    await self._let_go(held, loaded=self.adapter is not None)
        await self._end_tasks()

    async def _end_tasks(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
