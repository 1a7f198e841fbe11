"""The journal's writer: nothing is lost when the gateway stops, and a slow store holds nobody up."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from correctly_assets.core.errors import PermanentError, UnreachableError
from correctly_assets.core.types import Correction, Edit
from correctly_assets.gateway.answer_log import BackgroundJournal, Entry

EDIT = Edit(4, 6, "go", "goes", "R:VERB:SVA", "why", "rule")


def correction(name: str) -> Correction:
    return Correction(name, f"She go {name}.", f"She goes {name}.", (EDIT,), "r0001", "a")


class Shelf:
    """A store that fails when told to."""

    def __init__(self) -> None:
        self.kept: list[tuple[Correction, dict[str, Any]]] = []
        self.failures: list[Exception] = []
        self.seconds = 0.0

    def journal_correction(self, correction: Correction, **about: Any) -> None:
        time.sleep(self.seconds)
        if self.failures:
            raise self.failures.pop(0)
        self.kept.append((correction, about))

    def ids(self) -> list[str]:
        return [kept.id for kept, _ in self.kept]


def journal(shelf: Any, tmp_path: Path) -> BackgroundJournal:
    return BackgroundJournal(shelf, lambda c: replace(c, before=c.before.replace("She", "<NAME>")), tmp_path / "spool")


def test_answers_are_written_in_order_scrubbed_with_what_is_known_of_them(tmp_path: Path) -> None:
    shelf = Shelf()

    async def main() -> None:
        writer = journal(shelf, tmp_path)
        writer.start()
        for name in "abc":
            writer.add(Entry(correction(name), "webui", "chat-1", 0.5, 12))
        assert await writer.flush(5)
        await writer.stop()

    asyncio.run(main())
    assert shelf.ids() == ["a", "b", "c"]
    kept, about = shelf.kept[0]
    assert kept.before == "<NAME> go a."
    assert about == {"client": "webui", "chat_id": "chat-1", "seconds": 0.5, "tokens": 12}


def test_a_slow_store_does_not_hold_up_the_loop_and_stopping_writes_all(tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.seconds = 0.02

    async def main() -> float:
        writer = journal(shelf, tmp_path)
        writer.start()
        started = time.perf_counter()
        for n in range(20):
            writer.add(Entry(correction(str(n))))
        taken = time.perf_counter() - started
        await writer.stop()
        return taken

    assert asyncio.run(main()) < 0.02
    assert len(shelf.kept) == 20


def test_a_store_that_comes_back_gets_what_it_missed_once(tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.failures = [UnreachableError("away"), UnreachableError("away")]

    async def main() -> None:
        writer = journal(shelf, tmp_path)
        writer.start()
        writer.add(Entry(correction("a")))
        writer.add(Entry(correction("b")))
        assert await writer.flush(5)
        await writer.stop()

    asyncio.run(main())
    assert shelf.ids() == ["a", "b"]


def test_an_answer_that_can_never_be_written_does_not_hold_up_the_next(tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.failures = [PermanentError("no such column"), ValueError("a bug")]

    async def main() -> None:
        writer = journal(shelf, tmp_path)
        writer.start()
        for name in "abc":
            writer.add(Entry(correction(name)))
        assert await writer.flush(5)
        await writer.stop()

    asyncio.run(main())
    assert shelf.ids() == ["c"]


def test_what_an_absent_store_misses_is_spooled_until_the_next_start(tmp_path: Path) -> None:
    shelf = Shelf()

    class Away:
        def journal_correction(self, correction: Correction, **_: Any) -> None:
            raise UnreachableError("away")

    async def stop() -> None:
        writer = journal(Away(), tmp_path)
        writer.start()
        writer.add(Entry(correction("a"), "webui", "chat-1", 0.5, 12))
        await writer.stop(seconds=0.1)

    async def start() -> None:
        writer = journal(shelf, tmp_path)
        writer.start()
        assert await writer.flush(5)
        await writer.stop()

    asyncio.run(stop())
    assert '"before": "<NAME> go a."' in (tmp_path / "spool").read_text()
    asyncio.run(start())
    kept, about = shelf.kept[0]
    assert (kept.id, kept.edits, about["chat_id"]) == ("a", (EDIT,), "chat-1")
    assert not (tmp_path / "spool").exists()


def test_while_the_store_is_away_answers_are_on_disk_and_not_in_memory(tmp_path: Path) -> None:
    shelf = Shelf()

    class ComesBack:
        away = True

        def journal_correction(self, correction: Correction, **about: Any) -> None:
            if self.away:
                raise UnreachableError("away")
            shelf.journal_correction(correction, **about)

    store = ComesBack()

    async def main() -> None:
        writer = journal(store, tmp_path)
        writer.start()
        for number in range(50):
            writer.add(Entry(correction(str(number))))
        deadline = time.monotonic() + 10
        while writer._pending:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        # As a gateway that is killed here would leave it.
        lines = (tmp_path / "spool").read_text().splitlines()
        assert len(lines) == writer.pending == 50
        assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o600
        store.away = False
        writer.add(Entry(correction("last")))
        assert await writer.flush(15)
        await writer.stop()

    asyncio.run(main())
    assert shelf.ids() == [*map(str, range(50)), "last"]
    assert not (tmp_path / "spool").exists()


def test_a_line_of_the_spool_that_cannot_be_read_is_set_aside(tmp_path: Path) -> None:
    shelf = Shelf()

    async def stop() -> None:
        writer = journal(shelf, tmp_path)
        shelf.failures = [UnreachableError("away")] * 100
        writer.start()
        writer.add(Entry(correction("a")))
        await writer.stop(seconds=0.1)

    async def start() -> None:
        shelf.failures = []
        writer = journal(shelf, tmp_path)
        writer.start()
        assert await writer.flush(5)
        await writer.stop()

    asyncio.run(stop())
    whole = (tmp_path / "spool").read_bytes()
    bad = [b'{"x": 1}\n', b"[]\n", b"\xff\xfe\n", whole[:40]]
    (tmp_path / "spool").write_bytes(b"".join(bad[:2]) + whole + b"".join(bad[2:]))
    asyncio.run(start())
    assert shelf.ids() == ["a"]
    assert (tmp_path / "spool.unreadable").read_bytes() == b"".join(bad) + b"\n"


def test_neither_the_queue_nor_the_spool_grows_without_end(tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.failures = [UnreachableError("away")] * 1000

    async def main() -> None:
        writer = BackgroundJournal(shelf, lambda c: c, tmp_path / "spool", largest_queue=5, largest_spool=1500)
        for number in range(20):
            writer.add(Entry(correction(str(number))))
        assert writer.pending == 5
        writer.start()
        await writer.stop(seconds=0.3)
        assert 0 < writer.pending < 5

    asyncio.run(main())
    kept = [json.loads(line)["correction"]["id"] for line in (tmp_path / "spool").read_text().splitlines()]
    assert kept and kept[0] == "15", "of those that were too many the oldest went"
    assert (tmp_path / "spool").stat().st_size <= 1500


def test_a_chat_of_another_client_shows_nothing_whatever_its_id(tmp_path: Path) -> None:
    async def main() -> None:
        writer = journal(Shelf(), tmp_path)
        writer.add(Entry(correction("a"), "ann", "one"))
        assert writer.last(chat_id="one", text=None, client="bob") is None
        assert writer.last(chat_id="one", text=None, client="ann") is not None

    asyncio.run(main())


def test_the_last_answer_is_found_by_its_text_or_else_by_its_chat(tmp_path: Path) -> None:
    async def main() -> None:
        writer = journal(Shelf(), tmp_path)
        writer.add(Entry(correction("a"), chat_id="one"))
        writer.add(Entry(correction("b"), chat_id="one"))
        found = writer.last(chat_id=None, text="She go a.")
        assert found is not None
        assert found.id == "a"
        latest = writer.last(chat_id="one", text="something else")
        assert latest is not None
        assert latest.id == "b"
        assert writer.last(chat_id="two", text=None) is None

    asyncio.run(main())
