"""The journal's writer: answers are kept off the request path, scrubbed, and none is lost when the gateway stops.

Belongs here: the queue and the spool on disk for a store that is away. Does not belong here: SQL (store/), replacing
personal data (curation/).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from correctly_assets.artifacts.files import write_text_atomically
from correctly_assets.core.errors import CorrectlyError, PermanentError
from correctly_assets.core.serving import Journal
from correctly_assets.core.text import clean_line, text_sha
from correctly_assets.core.types import Correction, Edit

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """One answer on its way into the journal."""

    correction: Correction
    client: str | None = None
    chat_id: str | None = None
    seconds: float | None = None
    tokens: int | None = None


class BackgroundJournal:
    """Keeps answers behind a queue, in order.

    Args:
        store: where answers end up; its calls block and run in a thread.
        scrub: replaces personal data; slow, so it runs in the same thread.
        spool: a file for answers that the store would not take before the gateway had to stop; read at the next start.
        remembered: answers whose reasons are at hand, in memory only, for a "why?" that follows.
    """

    def __init__(
        self, store: Journal, scrub: Callable[[Correction], Correction], spool: Path, *, remembered: int = 2000
    ) -> None:
        self._store = store
        self._scrub = scrub
        self._spool = spool
        self._pending: deque[Entry] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._remembered = remembered
        self._by_text: OrderedDict[str, Correction] = OrderedDict()
        self._by_chat: OrderedDict[str, Correction] = OrderedDict()
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    @property
    def pending(self) -> int:
        return len(self._pending)

    def start(self) -> None:
        """Take up what an earlier process left, and begin to write."""
        if self._spool.exists():
            for line in self._spool.read_text(encoding="utf-8").splitlines():
                self._pending.append(_from_line(line))
            log.info("journal spool taken up", extra={"answers": len(self._pending)})
            self._kick()
        self._task = asyncio.create_task(self._run(), name="journal")

    def add(self, entry: Entry) -> None:
        """Take an answer. Never blocks and never fails."""
        self._remember(entry)
        self._pending.append(entry)
        self._kick()

    def known(self, correction_id: str) -> bool:
        """Whether this process gave that answer lately."""
        return correction_id in self._ids

    def last(self, *, chat_id: str | None, text: str | None) -> Correction | None:
        """The answer of this process to that text, or else the last one in that chat."""
        if text is not None and (found := self._by_text.get(_key(text))) is not None:
            return found
        return self._by_chat.get(chat_id) if chat_id else None

    async def flush(self, seconds: float) -> bool:
        """Wait until everything taken so far is written; False when the time is up first."""
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def stop(self, seconds: float = 10.0) -> None:
        """Write what is left; what the store will not take in time goes to the spool."""
        await self.flush(seconds)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._pending:
            lines = [_to_line(await asyncio.to_thread(self._clean, entry)) for entry in self._pending]
            await asyncio.to_thread(write_text_atomically, self._spool, "\n".join(lines) + "\n")
            log.warning("answers spooled", extra={"answers": len(lines)})

    async def _run(self) -> None:
        delay = 0.2
        while True:
            if not self._pending:
                if self._spool.exists():
                    self._spool.unlink()
                self._idle.set()
                self._wake.clear()
                await self._wake.wait()
            entry = self._pending[0]
            try:
                await asyncio.to_thread(self._write, entry)
            except PermanentError:
                log.exception("answer not journalled", extra={"correction": entry.correction.id})
            except CorrectlyError as error:
                log.warning("journal waits for the store", extra={"error": str(error), "pending": len(self._pending)})
                await asyncio.sleep(delay)
                delay = min(2 * delay, 10.0)
                continue
            except Exception:
                # One answer that cannot be written must not hold up all that follow.
                log.exception("answer not journalled", extra={"correction": entry.correction.id})
            delay = 0.2
            self._pending.popleft()

    def _write(self, entry: Entry) -> None:
        entry = self._clean(entry)
        self._store.journal_correction(
            entry.correction, client=entry.client, chat_id=entry.chat_id, seconds=entry.seconds, tokens=entry.tokens
        )

    def _clean(self, entry: Entry) -> Entry:
        return replace(entry, correction=self._scrub(entry.correction))

    def _kick(self) -> None:
        self._idle.clear()
        self._wake.set()

    def _remember(self, entry: Entry) -> None:
        correction = entry.correction
        self._by_text[_key(correction.before)] = correction
        self._by_text.move_to_end(_key(correction.before))
        if entry.chat_id:
            self._by_chat[entry.chat_id] = correction
            self._by_chat.move_to_end(entry.chat_id)
        self._ids[correction.id] = None
        for kept in (self._by_text, self._by_chat, self._ids):
            while len(kept) > self._remembered:
                kept.popitem(last=False)


def _key(text: str) -> str:
    return text_sha(clean_line(text)) + str(len(text.strip()))


def _to_line(entry: Entry) -> str:
    return json.dumps(asdict(entry), ensure_ascii=False)


def _from_line(line: str) -> Entry:
    value = json.loads(line)
    correction = value.pop("correction")
    edits = tuple(Edit(**edit) for edit in correction.pop("edits"))
    return Entry(Correction(**correction, edits=edits), **value)
