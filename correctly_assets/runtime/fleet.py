"""The engines of merged weights, brought in line with what is wanted, look by look.

Belongs here: starting and stopping them through the supervisor, and saying what runs. Does not belong here: the decision
(core/engines.py), the files in between (serving/merged.py), merging (merged.py). The base model's engine is a part as
always and runs on: it answers as `correctly-base` and in evaluations, and every proof asks it; started on demand it would
put a minute before each of them, and before the healing of the champion's engine.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from correctly_assets.core.engines import plan_engines
from correctly_assets.core.errors import CorrectlyError
from correctly_assets.serving.merged import EngineBook, EngineRow
from correctly_assets.settings import Settings

from .processes import LOOPBACK, Process
from .supervisor import Supervisor

if TYPE_CHECKING:
    from correctly_assets.store import Store
    from correctly_assets.store.records import Release

log = logging.getLogger(__name__)

Command = Callable[[Path, int], list[str]]
"""(adapter's directory, port) → the command that merges and serves it."""

_ATTEMPTS = 3
"""Starts in a row that may end before the engine ever answered."""
_TRY_AGAIN = 60.0
"""Seconds until what serves is tried again after it could not be started: memory or disk may be there by then."""


def engine_name(adapter: str) -> str:
    """The part's name, of its log too."""
    return f"engine-{adapter}"


def _command(adapter: Path, port: int) -> list[str]:
    return [sys.executable, "-m", "correctly_assets.runtime.merged", str(adapter), str(port)]


def served_by_gateway(settings: Settings) -> str | None:
    """The adapter that people are answered by.

    Raises:
        httpx.HTTPError, ValueError: nobody knows.
    """
    return httpx.get(f"{settings.gateway_url}/readyz", timeout=2, trust_env=False).json().get("adapter")


@dataclass(slots=True)
class _Engine:
    adapter: str
    port: int
    ready: bool = False
    ready_as: str = ""


@dataclass(slots=True)
class _Broken:
    says: str
    permanent: bool
    at: float


@dataclass(slots=True)
class Fleet:
    """Keeps the wanted engines running; `tick` is called at every look of the supervisor.

    Args:
        store: where releases stand.
        served: who people are answered by.
        command: stands in for merging and vLLM in tests.
    """

    settings: Settings
    supervisor: Supervisor
    store: Store
    served: Callable[[Settings], str | None] = served_by_gateway
    command: Command = _command
    book: EngineBook = field(init=False)
    _engines: dict[str, _Engine] = field(default_factory=dict)
    _broken: dict[str, _Broken] = field(default_factory=dict)
    _releases: tuple[Release | None, Release | None] = (None, None)
    _serves: str | None = None
    _shown: list[EngineRow] | None = None

    def __post_init__(self) -> None:
        self.book = EngineBook(self.settings.engines_dir)
        self.book.clear()
        for left in self.settings.merged_dir.glob(".new-*"):
            shutil.rmtree(left, ignore_errors=True)  # of a merge that was killed

    def tick(self) -> None:
        """Look once: stop what is not wanted, start what is, say what runs. A full disk ends no engine that runs."""
        try:
            self._tick()
        except OSError as error:
            log.warning("engines not looked at", extra={"error": str(error)})

    def _tick(self) -> None:
        now = time.time()
        champion, previous = self._read_releases()
        wishes = self.book.asked()
        for engine in list(self._engines.values()):
            self._look_at(engine, now)
        self._forgive(
            {champion.adapter if champion else None, self._serves}, {one.adapter: one.at for one, _ in wishes}, now
        )
        plan = plan_engines(
            champion=champion.adapter if champion else None,
            served=self._who_serves(),
            previous=previous.adapter if previous else None,
            champion_since=datetime.fromisoformat(champion.at).timestamp() if champion else 0.0,
            asked=[one for one, _ in wishes],
            broken=self._broken,
            now=now,
            warm_seconds=self.settings.rollout_warm_seconds,
        )
        for name in [name for name in self._engines if name not in plan.run]:
            self.supervisor.let_go(engine_name(name))
            del self._engines[name]
        places = {one.adapter: path for one, path in wishes}
        for name in plan.run:
            if name not in self._engines:
                self._start(name, places.get(name, self.settings.adapters_dir / name))
        rows = self._rows(plan.waiting)
        if rows != self._shown:
            self.book.show(rows)
            self._shown = rows

    def _start(self, name: str, adapter: Path) -> None:
        port = _free_port()
        self.book.take_failure(name)
        argv = self.command(adapter, port)
        self.supervisor.start(
            Process(
                engine_name(name),
                f"vLLM of {name}",
                lambda _: (argv, {}),
                lambda _: port,
                "/health",
                stop_seconds=30,
                ends_own_workers=True,
                host=lambda _: LOOPBACK,
            )
        )
        self._engines[name] = _Engine(name, port)

    def _look_at(self, engine: _Engine, now: float) -> None:
        child = self.supervisor.children[engine_name(engine.adapter)]
        if child.popen.poll() is None:
            engine.ready = _answers(engine.port)
            if engine.ready:
                engine.ready_as = _instance(child.popen.pid, child.started)
            return
        engine.ready = False
        failure = self.book.take_failure(engine.adapter)
        if failure is None and (engine.ready_as or child.restarts + 1 < _ATTEMPTS):
            return  # The supervisor starts it again.
        why = f"ended {_ATTEMPTS} times at start: see `correctly logs {engine_name(engine.adapter)}`"
        says, permanent = failure or (f"The engine of {engine.adapter} {why}.", False)
        self._broken[engine.adapter] = _Broken(says, permanent, now)
        self.supervisor.forget(engine_name(engine.adapter))
        del self._engines[engine.adapter]

    def _forgive(self, serving: set[str | None], asked: dict[str, float], now: float) -> None:
        """Let what could not be started be tried again: when it is asked for anew, or serves and a minute has passed."""
        for name, broken in list(self._broken.items()):
            if asked.get(name, 0.0) > broken.at or (name in serving and now - broken.at > _TRY_AGAIN):
                del self._broken[name]

    def _rows(self, waiting: tuple[str, ...]) -> list[EngineRow]:
        rows: list[EngineRow] = []
        for engine in self._engines.values():
            child = self.supervisor.children[engine_name(engine.adapter)]
            says = "" if engine.ready else f"The engine of {engine.adapter} is being merged and started."
            rows.append(
                EngineRow(
                    engine.adapter,
                    "ready" if engine.ready else "starting",
                    f"http://127.0.0.1:{engine.port}",
                    _instance(child.popen.pid, child.started),
                    says,
                )
            )
        room = "waits for room: another adapter's engine is in use."
        return [
            *rows,
            *(EngineRow(name, "waiting", says=f"{name} {room}") for name in waiting),
            *(
                EngineRow(name, "failed", says=broken.says, permanent=broken.permanent, at=broken.at)
                for name, broken in self._broken.items()
            ),
        ]

    def _who_serves(self) -> str | None:
        # Where the gateway restarts, say, what served a moment ago must not be stopped for that.
        with contextlib.suppress(httpx.HTTPError, ValueError):
            self._serves = self.served(self.settings)
        return self._serves

    def _read_releases(self) -> tuple[Release | None, Release | None]:
        # While the database is away nothing is released.
        with contextlib.suppress(CorrectlyError):
            self._releases = self.store.champion(), self.store.previous_release()
        return self._releases


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _instance(pid: int, started: float) -> str:
    return f"{pid}-{started:.3f}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
