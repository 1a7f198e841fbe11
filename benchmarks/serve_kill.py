"""kill -9 of the engine while people use the gateway: what they are answered meanwhile, and whether a reaction is lost.

Belongs here: the engine under the platform's own supervisor, the load, and what is counted of it. Does not belong here:
starting the gateway, or figures of an engine that lives (bench_serve.py).
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from correctly_assets.platform.processes import Process
from correctly_assets.platform.supervisor import Supervisor
from correctly_assets.settings import Settings
from correctly_assets.store import Store

CLIENTS = 8
REACTIONS_A_SECOND = 2
RETRY = 0.5
"""Seconds that a client waits when it was not answered: far less than it is told, so that the outage stays under load."""


@asynccontextmanager
async def supervised(settings: Settings, process: Process) -> AsyncIterator[Supervisor]:
    """A part run and healed as `correctly up` does it, for the length of the block."""
    supervisor = Supervisor(settings)
    supervisor.start(process)

    async def look() -> None:
        while True:
            await asyncio.to_thread(supervisor.restart_dead)
            await asyncio.sleep(0.5)

    looking = asyncio.create_task(look(), name="heal")
    try:
        yield supervisor
    except SystemExit:
        said = (settings.platform.logs_dir / f"{process.name}.log").read_text(errors="replace")
        print(f"--- {process.title}\n{said[-2000:]}")
        raise
    finally:
        looking.cancel()
        await asyncio.wait({looking})
        await asyncio.to_thread(supervisor.stop)
        if not looking.cancelled():
            looking.result()  # why nobody healed any more


async def kill(supervisor: Supervisor, name: str) -> None:
    """kill -9 of a part's process, as by a person or for want of memory; returns when it is gone. Workers that it leaves
    behind are the supervisor's to find."""
    child = supervisor.children[name].popen
    os.kill(child.pid, signal.SIGKILL)
    await asyncio.to_thread(child.wait)


@dataclass
class Load:
    """What the clients saw.

    Attributes:
        unasked: answers that nobody has reacted to yet. accepted: those whose reaction was answered with 202.
        refused: answers that asked to be patient (503 with Retry-After). others: what should have been no answer.
        healed: the time (perf_counter) of the first answer to a request that was sent when the engine was gone.
    """

    unasked: deque[str] = field(default_factory=deque)
    accepted: set[str] = field(default_factory=set)
    refused: int = 0
    others: list[str] = field(default_factory=list)
    gone: float | None = None
    healed: float | None = None


async def killed_under_load(
    client: httpx.AsyncClient,
    gateway: str,
    texts: list[str],
    store: Store,
    end_engine: Callable[[], Awaitable[None]],
    *,
    answers: int = 300,
    patience: float = 400.0,
    later: float = 10.0,
) -> dict[str, float]:
    """Eight clients send corrections, one sends a reaction twice a second; the engine is killed, and heals.

    Args:
        end_engine: kills it and returns when it is gone; somebody else starts it again.
        answers: how many stand ready to be reacted to before the kill: none come while the engine is away.
        patience: seconds until each stage is given up.
        later: seconds of load after the first answer of the healed engine, for it may still fail.

    Raises:
        SystemExit: it was not healed in time, or nobody noticed that it was gone.
    """
    load, over = Load(), asyncio.Event()
    tasks = [
        asyncio.create_task(_correct(client, gateway, itertools.cycle(texts[n:] + texts[:n]), load, over))
        for n in range(CLIENTS)
    ]
    tasks.append(asyncio.create_task(_react(client, gateway, load, over)))
    try:
        await _wait(lambda: len(load.unasked) >= answers, patience, "There were not enough answers to react to.", tasks)
        killed = time.perf_counter()
        await end_engine()
        load.gone = time.perf_counter()
        await _wait(lambda: load.healed is not None, patience, "The engine was not healed in time.", tasks)
        await asyncio.sleep(later)
    finally:
        over.set()
        await asyncio.gather(*tasks)
    for said in load.others[:5]:
        print(f"other answer: {said}")
    if not (load.refused or load.others):
        raise SystemExit("No request fell into the outage, so nothing was measured.")
    assert load.healed is not None
    return {
        "healed_after_kill": load.healed - killed,
        "killed_other_answers": len(load.others),
        "killed_feedback_lost": feedback_lost(store, load.accepted),
    }


def feedback_lost(store: Store, accepted: set[str]) -> int:
    """How many of the answers whose reaction was accepted have none in the store, which nobody settles meanwhile."""
    return len(accepted - {one.correction_id for one in store.pending_feedback(limit=1_000_000)})


async def _correct(
    client: httpx.AsyncClient, gateway: str, texts: itertools.cycle[str], load: Load, over: asyncio.Event
) -> None:
    while not over.is_set():
        sent = time.perf_counter()
        body = {"text": next(texts), "reasons": False}
        try:
            answer = await client.post(f"{gateway}/v1/corrections", json=body)
        except httpx.HTTPError as error:
            load.others.append(f"a correction: {error!r}")
            await asyncio.sleep(RETRY)
            continue
        if answer.status_code == 200:
            load.unasked.append(answer.json()["corrections"][0]["id"])
            if load.healed is None and load.gone is not None and sent > load.gone:
                load.healed = time.perf_counter()
            continue
        if answer.status_code == 503 and "retry-after" in answer.headers:
            load.refused += 1
        else:
            load.others.append(f"a correction: {answer.status_code} {answer.text[:200]}")
        await asyncio.sleep(RETRY)


async def _react(client: httpx.AsyncClient, gateway: str, load: Load, over: asyncio.Event) -> None:
    started = time.perf_counter()
    for number in itertools.count():
        await asyncio.sleep(max(0.0, started + number / REACTIONS_A_SECOND - time.perf_counter()))
        if over.is_set():
            return
        if not load.unasked:
            continue
        # Each answer once: a second reaction to the same one would replace the first and be no row of its own.
        correction = load.unasked.popleft()
        try:
            answer = await client.post(f"{gateway}/v1/feedback", json={"correction_id": correction, "rating": 1})
        except httpx.HTTPError as error:
            load.others.append(f"a reaction: {error!r}")
            continue
        if answer.status_code == 202:
            load.accepted.add(correction)
        else:
            # Reactions need no engine: being told to come back later is as good as lost.
            load.others.append(f"a reaction: {answer.status_code} {answer.text[:200]}")


async def _wait(done: Callable[[], bool], seconds: float, message: str, tasks: list[asyncio.Task[None]]) -> None:
    deadline = time.perf_counter() + seconds
    while not done():
        for task in tasks:
            if task.done():
                task.result()  # a client that failed in a way nobody thought of
        if time.perf_counter() > deadline:
            raise SystemExit(message)
        await asyncio.sleep(0.05)
