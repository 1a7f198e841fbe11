"""The merged rollout: every adapter has an engine of its own that serves base and adapter as one set of weights.

Belongs here: the client behind which these engines look like one engine that knows adapters, and the small files through
which those who want an engine and the supervisor, who runs them, speak. Does not belong here: which engines should run
(core/engines.py), starting them (runtime/fleet.py), merging (training/merging.py).

`VllmClient` and `MergedEngines` are the two ways of rolling out behind one interface (`rollout.Engine`): loading is
registering an adapter there, and having an engine started here.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ..core.alive import find_running, this_process
from ..core.engines import Asked
from ..core.errors import RefusedError, UnreachableError
from ..core.hashing import write_text_atomically
from ..core.serving import UnknownModelError
from ..settings import Settings
from .launch import BASE_NAME
from .vllm import PATIENT_SECONDS, VllmClient


@dataclass(frozen=True, slots=True)
class EngineRow:
    """One engine as the supervisor sees it.

    Attributes:
        instance: tells one start of it from the next. says: what is waited for, or why it does not run.
        permanent: it failed, and trying again cannot help. at: when it was started or failed, in seconds since 1970.
    """

    adapter: str
    state: Literal["starting", "ready", "waiting", "failed"]
    url: str = ""
    instance: str = ""
    says: str = ""
    permanent: bool = False
    at: float = 0.0


class EngineBook:
    """What is wanted and what runs, as files in ``HOME/run/engines``, each written atomically.

    A database row would do the same; files need no migration and are there while the database is away, and both sides
    stand on one machine anyway, with the weights.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    # -- those who want an engine --------------------------------------------------------------------------------------

    def ask(self, adapter: str, path: Path) -> float:
        """Ask for an adapter's engine in this process's name; what another living process asked for stays its own.

        Returns:
            When it was asked: a failure from before says nothing about this time.
        """
        known = self._read(f"wanted-{adapter}.json")
        at = time.time()
        if known is None or known["pid"] == os.getpid() or find_running(known) is None:
            self._write(f"wanted-{adapter}.json", {"adapter": adapter, "path": str(path), "at": at, **this_process()})
        return at

    def withdraw(self, adapter: str) -> None:
        """Want an engine no more; another living process's wish stays."""
        known = self._read(f"wanted-{adapter}.json")
        if known is not None and (known["pid"] == os.getpid() or find_running(known) is None):
            (self._directory / f"wanted-{adapter}.json").unlink(missing_ok=True)

    def lapse(self, adapter: str) -> None:
        """Hold on to an engine no more, if it was this process that asked; somebody else may go on with it for a while."""
        known = self._read(f"wanted-{adapter}.json")
        if known is not None and known["pid"] == os.getpid():
            self._write(f"wanted-{adapter}.json", known | {"pid": 0, "let_go": time.time()})

    def note_proved(self, adapter: str, instance: str) -> None:
        """Say that this very start of an engine was proved."""
        self._write(f"proved-{adapter}.json", {"instance": instance})

    def is_proved(self, row: EngineRow) -> bool:
        known = self._read(f"proved-{row.adapter}.json")
        return known is not None and known["instance"] == row.instance

    def rows(self) -> dict[str, EngineRow] | None:
        """Every engine by its adapter; None where no supervisor runs."""
        known = self._read("running.json")
        # A supervisor that is gone has taken its engines with it, whatever it said last.
        if known is None or find_running(known) is None:
            return None
        return {row["adapter"]: EngineRow(**row) for row in known["engines"]}

    # -- the supervisor ------------------------------------------------------------------------------------------------

    def asked(self) -> list[tuple[Asked, Path]]:
        """Every wish, with the adapter's directory."""
        found: list[tuple[Asked, Path]] = []
        for file in self._directory.glob("wanted-*.json"):
            wish = self._read(file.name)
            if wish is not None:
                since = (wish["adapter"], wish["at"], wish.get("let_go", wish["at"]), find_running(wish) is not None)
                found.append((Asked(*since), Path(wish["path"])))
        return found

    def show(self, rows: Iterable[EngineRow]) -> None:
        """Say what runs, in this process's name."""
        self._write("running.json", {"engines": [asdict(row) for row in rows], **this_process()})

    def clear(self) -> None:
        """Forget what an earlier supervisor said, and wishes of processes that are gone."""
        for file in self._directory.glob("*.json"):
            wish = self._read(file.name) if file.name.startswith("wanted-") else None
            if wish is None or find_running(wish) is None:
                file.unlink(missing_ok=True)

    def note_failure(self, adapter: str, says: str, *, permanent: bool) -> None:
        """Why an engine could not be started, said by the process that tried."""
        self._write(f"failed-{adapter}.json", {"says": says, "permanent": permanent})

    def take_failure(self, adapter: str) -> tuple[str, bool] | None:
        """(sentence, permanent) of such a failure, once."""
        known = self._read(f"failed-{adapter}.json")
        (self._directory / f"failed-{adapter}.json").unlink(missing_ok=True)
        return None if known is None else (str(known["says"]), bool(known["permanent"]))

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            return json.loads((self._directory / name).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None

    def _write(self, name: str, value: dict[str, Any]) -> None:
        write_text_atomically(self._directory / name, json.dumps(value))


class MergedEngines(VllmClient):
    """The base model's engine and the merged ones, as one engine that knows adapters by their IDs.

    Args:
        url: the base model's engine.
        asks: loading an adapter asks the supervisor for its engine and waits. The gateway does not ask: champion and
            previous release are started without, and what it holds on to would never be stopped.
        patience: seconds that loading waits for an engine: merging, a start, and room for it.
    """

    def __init__(
        self,
        url: str,
        book: EngineBook,
        *,
        timeout: float = PATIENT_SECONDS,
        asks: bool = True,
        patience: float = 600.0,
        poll: float = 0.25,
    ) -> None:
        super().__init__(url, timeout=timeout)
        self._book, self._timeout = book, timeout
        self._asks, self._patience, self._poll = asks, patience, poll
        self._clients: dict[str, VllmClient] = {}
        self._asked: set[str] = set()
        self._seen: dict[str, str] = {}

    async def aclose(self) -> None:
        for name in self._asked:
            await asyncio.to_thread(self._book.lapse, name)
        await super().aclose()
        for client in self._clients.values():
            await client.aclose()

    async def models(self) -> dict[str, str]:
        """The base model, and every adapter whose engine answers and was proved since it started.

        Raises:
            UnreachableError: no engine at all answers. One that is away takes no other with it.
        """
        found: dict[str, str] = {}
        away: UnreachableError | None = None
        try:
            found |= await super().models()
        except UnreachableError as error:
            away = error
        for row in (self._book.rows() or {}).values():
            if row.state == "ready" and self._book.is_proved(row):
                try:
                    known = await self._client_of(row.url).models()
                except UnreachableError:
                    continue
                self._seen[row.adapter] = row.instance
                found |= {name: root for name, root in known.items() if name == row.adapter}
        if away is not None and not found:
            raise away
        return found

    async def load_adapter(self, name: str, path: Path) -> None:
        """Have an engine with this adapter's merged weights, and wait until it answers.

        Raises:
            RefusedError: its weights cannot be merged or served; trying again cannot help.
            UnreachableError: no supervisor runs, or the engine did not come up in time.
        """
        since = 0.0
        if self._asks:
            since = await asyncio.to_thread(self._book.ask, name, path)
            self._asked.add(name)
        try:
            await self._wait_for(name, since)
        except BaseException:
            # Also when cancelled: nobody holds on to an engine that nobody waits for.
            await asyncio.shield(self.unload_adapter(name))
            raise

    async def _wait_for(self, name: str, since: float) -> None:
        deadline = time.monotonic() + (self._patience if self._asks else 0.0)
        while True:
            rows = await asyncio.to_thread(self._book.rows)
            row = (rows or {}).get(name)
            if row is not None and row.state == "ready" and name in await self._client_of(row.url).models():
                self._seen[name] = row.instance
                return
            if row is not None and row.state == "failed" and row.at >= since:
                raise RefusedError(row.says) if row.permanent else UnreachableError(row.says)
            if time.monotonic() > deadline:
                raise UnreachableError(self._why_not(name, rows))
            await asyncio.sleep(self._poll)

    async def unload_adapter(self, name: str) -> None:
        """Want its engine no more; it runs on where it serves, or served before and is kept warm."""
        if self._asks:
            self._asked.discard(name)
            await asyncio.to_thread(self._book.withdraw, name)

    async def corrupted_requests(self, model: str | None = None) -> int:
        """Answers computed from NaN by the base model's engine and by ``model``'s; other engines are not touched by it."""
        row = (self._book.rows() or {}).get(model or "")
        own = row is not None and row.state == "ready"
        count = await self._client_of(row.url).corrupted_requests() if row is not None and own else 0
        try:
            return count + await super().corrupted_requests()
        except UnreachableError:
            if own:
                return count  # What serves answers without the base model's engine.
            raise

    async def proved(self, name: str) -> None:
        # The start that was proved; there may have been another since.
        if name in self._seen:
            await asyncio.to_thread(self._book.note_proved, name, self._seen[name])

    def waits_for(self, name: str) -> str | None:
        rows = self._book.rows()
        row = (rows or {}).get(name)
        # A failure is no waiting: loading says what it is.
        return None if row is not None and row.state in ("ready", "failed") else self._why_not(name, rows)

    def _why_not(self, name: str, rows: dict[str, EngineRow] | None) -> str:
        if rows is None:
            return f"No supervisor runs that could start an engine for {name}: start the platform with `correctly up`."
        row = rows.get(name)
        return (row.says if row is not None else "") or f"The engine of {name} does not run."

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        # Whatever is asked of a model goes to that model's own engine.
        name = body["model"]
        return await (super()._post(path, body) if name == BASE_NAME else self._engine_of(name)._post(path, body))

    def _engine_of(self, name: str) -> VllmClient:
        row = (self._book.rows() or {}).get(name)
        if row is None or row.state != "ready":
            raise UnknownModelError(f"No engine serves {name} now.")
        return self._client_of(row.url)

    def _client_of(self, url: str) -> VllmClient:
        if url not in self._clients:
            self._clients[url] = VllmClient(url, timeout=self._timeout)
        return self._clients[url]


def open_client(settings: Settings, url: str, *, timeout: float = PATIENT_SECONDS, asks: bool = True) -> VllmClient:
    """A client of the engine as ``CORRECTLY_ROLLOUT`` has it; close it after use.

    Args:
        asks: see `MergedEngines`.
    """
    if settings.rollout == "merged":
        return MergedEngines(url, EngineBook(settings.engines_dir), timeout=timeout, asks=asks)
    return VllmClient(url, timeout=timeout)
