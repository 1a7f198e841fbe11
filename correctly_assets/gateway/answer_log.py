"""The journal's writer: answers are kept off the request path, scrubbed, and none is lost when the gateway stops.

Belongs here: the queue and the spool on disk for a store that is away. Does not belong here: SQL (store/), replacing
personal data (curation/).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from correctly_assets.core.errors import CorrectlyError, PermanentError
from correctly_assets.core.text import clean_line, text_sha
from correctly_assets.core.types import Correction, Edit
from correctly_assets.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """One answer on its way into the journal.

    Attributes:
        shadow_of: of a challenger's answer, the id of the champion's to the same request. gain: see `Shadows.journal_shadow`.
    """

    correction: Correction
    client: str | None = None
    chat_id: str | None = None
    seconds: float | None = None
    tokens: int | None = None
    shadow_of: str | None = None
    gain: float | None = None


class BackgroundJournal:
    """Keeps answers behind a queue, in order.

    An answer that the store does not take at once goes to the spool, a file, as soon as its personal data is replaced; from
    then on all that follow go behind it, until the store has taken the whole file. So neither memory nor disk grows without
    end while the store is away, and a gateway that is killed loses what it had not cleaned yet: a fraction of a second.

    Args:
        store: where answers end up; its calls block and run in a thread.
        scrub: replaces personal data; slow, so it runs in the same thread.
        spool: the file; one that an earlier process left is taken up.
        remembered: answers whose reasons are at hand, in memory only, for a "why?" that follows.
        largest_queue: answers in memory that wait to be cleaned; of more, the oldest are given up.
        largest_spool: bytes of the spool, from which on answers are given up.
    """

    def __init__(
        self,
        store: Store,
        scrub: Callable[[Correction], Correction],
        spool: Path,
        *,
        remembered: int = 2000,
        largest_queue: int = 20_000,
        largest_spool: int = 200_000_000,
    ) -> None:
        self._store = store
        self._scrub = scrub
        self._spool = spool
        self._largest_queue, self._largest_spool = largest_queue, largest_spool
        self._pending: deque[Entry] = deque()
        self._spooled = 0
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._remembered = remembered
        self._by_text: OrderedDict[str, Correction] = OrderedDict()
        self._by_chat: OrderedDict[tuple[str | None, str], Correction] = OrderedDict()
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    @property
    def pending(self) -> int:
        """Answers that the store has not taken yet."""
        return len(self._pending) + self._spooled

    def start(self) -> None:
        """Take up what an earlier process left, and begin to write."""
        if self._spool.exists():
            with self._spool.open("rb") as file:
                self._spooled = sum(1 for _ in file)
            log.info("journal spool taken up", extra={"answers": self._spooled})
            self._kick()
        self._task = asyncio.create_task(self._run(), name="journal")

    def add(self, entry: Entry) -> None:
        """Take an answer. Never blocks and never fails."""
        if entry.shadow_of is None:  # nobody was given a challenger's answer, so that nobody asks why
            self._remember(entry)
        self._pending.append(entry)
        if len(self._pending) > self._largest_queue:
            given_up = self._pending.popleft()
            log.error("answer not journalled: too many wait", extra={"correction": given_up.correction.id})
        self._kick()

    def known(self, correction_id: str) -> bool:
        """Whether this process gave that answer lately."""
        return correction_id in self._ids

    def last(self, *, chat_id: str | None, text: str | None, client: str | None = None) -> Correction | None:
        """The answer of this process to that text, or else the last one in that chat of that client's."""
        if text is not None and (found := self._by_text.get(_key(text))) is not None:
            return found
        return self._by_chat.get((client, chat_id)) if chat_id else None

    async def flush(self, seconds: float) -> bool:
        """Wait until everything taken so far is written; False when the time is up first."""
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def stop(self, seconds: float = 10.0) -> None:
        """Write what is left; what the store will not take in time is in the spool when this returns."""
        await self.flush(seconds)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        while self._pending:
            await asyncio.to_thread(self._keep_in_spool, self._pending.popleft())
        if self._spooled:
            log.warning("answers spooled", extra={"answers": self._spooled})

    async def _run(self) -> None:
        delay = 0.2
        while True:
            if not self._pending and not self._spooled:
                self._idle.set()
                self._wake.clear()
                await self._wake.wait()
            try:
                if self._spooled:
                    await asyncio.to_thread(self._empty_spool)
                elif self._pending:
                    await asyncio.to_thread(self._write, self._pending[0])
                    self._pending.popleft()
                delay = 0.2
            except Exception as error:
                log.warning("journal waits for the store", extra={"error": str(error), "pending": self.pending})
                await self._into_spool(delay)
                delay = min(2 * delay, 10.0)

    async def _into_spool(self, seconds: float) -> None:
        """For some seconds, put what comes in into the spool."""
        until = time.monotonic() + seconds
        while True:
            while self._pending:
                # Taken out first: what cannot be cleaned or written down must not be tried for ever.
                await asyncio.to_thread(self._keep_in_spool, self._pending.popleft())
            left = until - time.monotonic()
            if left <= 0:
                return
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), left)

    def _write(self, entry: Entry) -> None:
        """Clean an answer and have the store take it; one that can never be written is logged, and holds up none behind it.

        Raises:
            CorrectlyError: the store is away or busy; the answer waits.
        """
        try:
            self._put(self._clean(entry))
        except PermanentError:
            log.exception("answer not journalled", extra={"correction": entry.correction.id})
        except CorrectlyError:
            raise
        except Exception:
            log.exception("answer not journalled", extra={"correction": entry.correction.id})

    def _put(self, entry: Entry) -> None:
        if entry.shadow_of is not None:
            # In the queue behind the answer that it stands beside.
            self._store.journal_shadow(entry.shadow_of, entry.correction, seconds=entry.seconds, gain=entry.gain)
            return
        self._store.journal_correction(
            entry.correction, client=entry.client, chat_id=entry.chat_id, seconds=entry.seconds, tokens=entry.tokens
        )

    def _keep_in_spool(self, entry: Entry) -> None:
        try:
            line = (_to_line(self._clean(entry)) + "\n").encode()
            self._spool.parent.mkdir(parents=True, exist_ok=True)
            with open(os.open(self._spool, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as file:
                if file.tell() + len(line) > self._largest_spool:
                    raise OSError(f"the spool {self._spool} is full")
                file.write(line)
        except Exception:
            log.exception("answer not journalled", extra={"correction": entry.correction.id})
            return
        self._spooled += 1

    def _empty_spool(self) -> None:
        """Have the store take every line of the spool, then remove it. A line that is no answer is set aside.

        Raises:
            CorrectlyError: the store is away or busy; the whole file is read again, and what is there is written once.
        """
        try:
            with self._spool.open("rb") as file:
                for line in file:
                    try:
                        entry = _from_line(line.decode())
                    except (ValueError, KeyError, TypeError, AttributeError):
                        self._set_aside(line)
                        continue
                    try:
                        self._put(entry)
                    except PermanentError:
                        log.exception("answer not journalled", extra={"correction": entry.correction.id})
            self._spool.unlink()
        except FileNotFoundError:
            pass
        self._spooled = 0

    def _set_aside(self, line: bytes) -> None:
        aside = self._spool.with_name(f"{self._spool.name}.unreadable")
        log.error("a line of the journal's spool cannot be read and is set aside", extra={"file": str(aside)})
        with open(os.open(aside, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as file:
            file.write(line if line.endswith(b"\n") else line + b"\n")

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
            self._by_chat[entry.client, entry.chat_id] = correction
            self._by_chat.move_to_end((entry.client, entry.chat_id))
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
