"""Several engines behind one client: a request goes to one that has its model, and to another where that one fails.

Belongs here: what is known of each engine, and the order in which they are asked. Does not belong here: the wire (vllm_client.py), which
adapter each should have (gateway/releases.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypedDict, TypeVar

from correctly_assets.core.errors import CorrectlyError, RefusedError, UnreachableError
from correctly_assets.core.ports import Completion
from correctly_assets.core.serving import EngineCorruptedError, UnknownModelError
from correctly_assets.engine.key import engine_key
from correctly_assets.engine.launch import BASE_NAME
from correctly_assets.engine.vllm_client import VllmClient
from correctly_assets.settings import Settings

LOOK_SECONDS = 10.0
"""How long one of several engines may take to say what it has; the others must not wait for one that hangs."""
LONGEST_REST = 60.0
"""Seconds that an engine which keeps failing is asked after all others, at most."""

Answer = TypeVar("Answer")


class ReplicaState(TypedDict):
    """An engine in /readyz."""

    up: bool
    corrupted: bool
    models: list[str]
    adapters: list[str]


class Replica:
    """One engine, as it was last seen.

    Attributes:
        up: it answered the last look. corrupted: it computed NaN and must not be asked until it is restarted.
        known: {name: directory} of its base model and of the adapters that were proved on it.
        lost, poisoned: the last look found that it had gone away, or that it had computed NaN, since the look before.
        seen_sound: it was without NaN when it was last seen; a caller that accounts for NaN itself sets it to False.
    """

    def __init__(self, client: VllmClient) -> None:
        self.client = client
        self.up = self.corrupted = self.lost = self.poisoned = self.seen_sound = False
        self.known: dict[str, str] = {}
        self.in_flight = 0
        self._failures, self._rests_until = 0, 0.0

    @property
    def resting(self) -> bool:
        """Whether it failed a moment ago, so that others are asked before it."""
        return time.monotonic() < self._rests_until

    def failed(self) -> None:
        """Ask it after all others for a while, which doubles with each failure in a row."""
        self._failures = min(self._failures + 1, 7)
        self._rests_until = time.monotonic() + min(LONGEST_REST, 0.5 * 2**self._failures)

    def answered(self) -> None:
        """End its rest."""
        self._failures, self._rests_until = 0, 0.0

    async def look(self, serving: str | None, seconds: float | None = None) -> None:
        """Ask what it has, and whether it has computed NaN.

        Args:
            serving: the adapter whose corruption is meant, where the engine has it.
            seconds: how long it may take; None waits as long as for any answer.

        Raises:
            CorrectlyError: it answers, and not as an engine of ours does.
        """
        was_up, self.lost, self.poisoned = self.up, False, False
        try:
            async with asyncio.timeout(seconds):
                known = await self.client.models()
                count = await self.client.corrupted_requests(serving if serving in known else None)
        except (UnreachableError, TimeoutError):
            # What computed NaN is gone, or will be asked again: said of an engine that is starting, it would have the
            # supervisor end that one too, and the next.
            self.up, self.corrupted, self.lost, self.known = False, False, was_up, {}
            return
        self.up, self.corrupted, self.known = True, count > 0, known
        # Counted once an engine, however often that one goes away and comes back.
        self.poisoned, self.seen_sound = self.corrupted and self.seen_sound, not self.corrupted

    @property
    def adapters(self) -> list[str]:
        """The adapters that it has, by name."""
        return sorted(name for name in self.known if name != BASE_NAME)

    def to_json(self) -> ReplicaState:
        """As /readyz shows it, which asks for no key: without its address."""
        return {
            "up": self.up,
            "corrupted": self.corrupted,
            "models": sorted(self.known),
            "adapters": self.adapters,
        }


class Replicas:
    """The platform's engines. Implements ``core.ports.Ranker``; with one engine it is that engine's client.

    Args:
        clients: one for each engine; the first is the platform's own, on which candidates are measured.
    """

    def __init__(self, clients: Sequence[VllmClient]) -> None:
        self._all = [Replica(client) for client in clients]

    @classmethod
    def of(cls, settings: Settings, *, timeout: float = 120.0) -> Replicas:
        """The engines that the settings name, which all take the platform's key."""
        key = engine_key(settings.platform.home)
        return cls([VllmClient(url, key=key, timeout=timeout) for url in settings.serving.vllm_urls])

    def __iter__(self) -> Iterator[Replica]:
        return iter(self._all)

    @property
    def own(self) -> Replica:
        """The platform's own engine, which its supervisor starts."""
        return self._all[0]

    @property
    def sound(self) -> list[Replica]:
        """The engines that answer and have not computed NaN; those that just failed are left out while others are there."""
        able = [replica for replica in self._all if replica.up and not replica.corrupted]
        return [replica for replica in able if not replica.resting] or able

    @property
    def known(self) -> dict[str, str]:
        """{name: directory} of what any sound engine has, the newest name of the platform's own engine last."""
        merged: dict[str, str] = {}
        for replica in reversed(self._all):
            if replica.up and not replica.corrupted:
                merged = {name: root for name, root in merged.items() if name not in replica.known} | replica.known
        return merged

    async def look(self, serving: str | None) -> None:
        """Look at all engines at once (see `Replica.look`)."""
        seconds = LOOK_SECONDS if len(self._all) > 1 else None
        looks = (replica.look(serving, seconds) for replica in self._all)
        for outcome in await asyncio.gather(*looks, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def complete(
        self,
        prompt: str,
        *,
        model: str,
        max_tokens: int,
        stop: Sequence[str] = (),
        priority: int = 0,
        logprobs: bool = False,
    ) -> Completion:
        """Complete one prompt on the least busy engine that has the model (see `VllmClient.complete`).

        Raises:
            CorrectlyError: as `VllmClient.complete`, where no engine could answer.
        """

        async def ask(client: VllmClient) -> Completion:
            return await client.complete(
                prompt, model=model, max_tokens=max_tokens, stop=stop, priority=priority, logprobs=logprobs
            )

        return await self._ask(model, ask)

    async def text_logprobs(self, model: str, texts: Sequence[str], *, priority: int = 0) -> list[float]:
        """The log-probability of each text, in nats (see `VllmClient.text_logprobs`).

        Raises:
            CorrectlyError: as `VllmClient.text_logprobs`, where no engine could answer.
        """
        return await self._ask(model, lambda client: client.text_logprobs(model, texts, priority=priority))

    async def aclose(self) -> None:
        """Close all connections; nothing may be asked afterwards."""
        for replica in self._all:
            await replica.client.aclose()

    async def _ask(self, model: str, ask: Callable[[VllmClient], Awaitable[Answer]]) -> Answer:
        failures: list[CorrectlyError] = []
        for replica in self._in_order(model):
            replica.in_flight += 1
            try:
                answer = await ask(replica.client)
            except RefusedError as error:
                if error.code != "engine_failed":
                    raise  # it says something of the request, and every engine would say it
                failures.append(error)
            except UnknownModelError as error:
                replica.known.pop(model, None)
                failures.append(error)
            except (UnreachableError, EngineCorruptedError) as error:
                replica.failed()
                failures.append(error)
            else:
                replica.answered()
                return answer
            finally:
                replica.in_flight -= 1
        # After an unknown name the caller looks at the engines and asks once more, which is the better chance.
        raise next((error for error in failures if isinstance(error, UnknownModelError)), failures[0])

    def _in_order(self, model: str) -> list[Replica]:
        """The engines to ask, best first.

        Raises:
            EngineCorruptedError, UnknownModelError: there is none.
        """
        able = [replica for replica in self._all if not replica.corrupted]
        if not able:
            raise EngineCorruptedError("The engine computed NaN and must be restarted before it answers again.")
        # One that is up without the name may be about to prove an adapter under it, so that it is not asked.
        having = [replica for replica in able if model in replica.known or not replica.up]
        if not having:
            raise UnknownModelError(f"The engine does not know the model {model} now.")
        return sorted(having, key=lambda replica: (replica.resting or not replica.up, replica.in_flight))
