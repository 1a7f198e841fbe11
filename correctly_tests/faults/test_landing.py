"""What breaks while files land from the inbox: hostile files, a killed watcher, a full disk."""

from __future__ import annotations

import io
import json
import os
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from correctly_tests.fault_table import Row
from correctly_tests.faults.conftest import fill
from correctly_tests.faults.place import Load, Place, make_place, running, wait

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]
ROW = '{{"before": "He go to the {0} every day.", "after": "He goes to the {0} every day."}}\n'


def put(folder: Path, name: str, seconds_ago: float) -> Path:
    """A file with one good row, as old as it says."""
    path = folder / name
    path.write_text(ROW.format(name.partition(".")[0]))
    os.utime(path, (time.time() - seconds_ago,) * 2)
    return path


def workbook(path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("xl/sharedStrings.xml", "w") as part:
        for _ in range(70):
            part.write(bytes(2**24))
    path.write_bytes(file.getvalue())


def cells(path: Path) -> None:
    column = pa.array(["He go home. " * 400_000]).dictionary_encode()
    pq.write_table(
        pa.table({"before": pa.DictionaryArray.from_arrays(pa.array([0] * 3000, pa.int32()), column.dictionary)}), path
    )


def unended(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"before,after\n")
        file.truncate(2**26)


HOSTILE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a name that is not UTF-8": (os.fsdecode(b"caf\xe9.csv"), lambda path: path.write_text("before,after\n=1,x\n")),
    "a name of 249 bytes": ("a" * 243 + ".jsonl", lambda path: path.write_text("not json\n")),
    "a workbook that unpacks to a gigabyte": ("book.xlsx", workbook),
    "3,000 cells of five megabytes each": ("cells.parquet", cells),
    "a line of 64 megabytes": ("line.csv", unended),
    "a megabyte of blanks in parallel text": ("blanks.src", lambda path: blank(path)),
    "a named pipe and a link to a password file": ("link.jsonl", lambda path: odd_files(path)),
}  # fmt: skip


def blank(path: Path) -> None:
    path.write_text("He go" + " " * 2**20 + ".\n")
    path.with_suffix(".ref0").write_text("He goes.\n")
    os.utime(path.with_suffix(".ref0"), (time.time() - 60,) * 2)


def odd_files(path: Path) -> None:
    path.symlink_to("/etc/passwd")
    os.mkfifo(path.with_name("pipe.jsonl"))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.fault(fault=f"in the inbox, {name}", stage="landing", expected="what lies behind it lands, in less than a gigabyte"))
        for name in HOSTILE
    ],
)  # fmt: skip
def test_a_hostile_file_holds_up_none_behind_it(name: str, place: Place, observed: Row) -> None:
    inbox, (file, make) = place.settings.platform.inbox_dir, HOSTILE[name]
    hostile = place.home / file
    make(hostile)
    for path in (hostile, *place.home.glob("*.ref0"), *place.home.glob("pipe.jsonl")):
        os.utime(path, (time.time() - 60,) * 2, follow_symlinks=False)
        path.rename(inbox / path.name)
    behind = put(place.home, f"shop{abs(hash(name)) % 1000}.jsonl", 30)
    since, most = time.monotonic(), 0
    behind.rename(inbox / behind.name)

    def landed() -> bool:
        nonlocal most
        most = max(most, place.part("inbox").memory_info().rss)
        return (inbox / "done" / behind.name).exists()

    try:
        wait(landed, 110, "landed")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{place.logs()}") from error
    where = (
        "refused/" if (inbox / "refused" / file).exists() else "done/" if (inbox / "done" / file).exists() else "inbox/"
    )
    kept = place.column("SELECT before FROM correction_script WHERE before LIKE 'He go to the shop%'")
    lost = not any(behind.stem in row for row in kept)
    observed(f"the next file landed; this one is in {where}, and the inbox took {most / 1e6:.0f} MB at most",
             seconds=time.monotonic() - since, rows_lost=int(lost))  # fmt: skip
    for left in (inbox / file, inbox / "pipe.jsonl"):
        left.unlink(missing_ok=True)
    assert most < 1e9


@pytest.mark.fault(
    fault="kill -9 of the inbox while a file lands",
    stage="landing",
    expected="it is started again; each row lands once",
)
def test_a_killed_inbox_lands_the_file_once_afterwards(place: Place, observed: Row) -> None:
    inbox = place.settings.platform.inbox_dir
    rows = 4000
    path = place.home / "many.jsonl"
    path.write_text(
        "".join(
            json.dumps({"before": f"He go to room {n}.", "after": f"He goes to room {n}."}) + "\n" for n in range(rows)
        )
    )
    os.utime(path, (time.time() - 30,) * 2)
    path.rename(inbox / path.name)

    def there() -> int:
        return len(place.column("SELECT before FROM correction_script WHERE before LIKE 'He go to room%'"))

    wait(there, 60, "landing")
    since, before = time.monotonic(), there()
    place.part("inbox").kill()
    wait((inbox / "done" / path.name).exists, 110, "landed")
    observed(f"{before} of {rows} rows were there, {there()} afterwards", seconds=time.monotonic() - since,
             rows_lost=rows - there())  # fmt: skip
    assert 0 < before < rows


# ---------------------------------------------------------------- a full disk


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A platform on SQLite whose HOME is a small disk: a file system in memory."""
    disk = tmp_path_factory.mktemp("small")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        place = make_place(disk / "home", "vllm,gateway,inbox")
        fill(place)
        with running(place):
            yield place
    finally:
        subprocess.run(["umount", "-l", disk], check=False)


class Full:
    """While it is open, not a byte is free on the disk of HOME."""

    def __init__(self, place: Place) -> None:
        self._files = [place.home / f"filler{n}" for n in range(3)]

    def __enter__(self) -> None:
        for path, size in zip(self._files, (2**20, 4096, 1), strict=True):
            with path.open("wb", buffering=0) as file:
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    continue

    def __exit__(self, *_: object) -> None:
        for path in self._files:
            path.unlink()


ROOM = "Make room on the disk: `correctly gc` removes what nothing refers to. Nothing has to be started again."


@pytest.mark.fault(
    fault="the disk is full (a small disk)",
    stage="serving",
    expected="answers go on; no reaction is taken that is not kept",
    remedy=ROOM,
)
def test_on_a_full_disk_answers_go_on_and_none_is_lost(small: Place, observed: Row) -> None:
    with Load(small) as load:
        before = len(load.answered)
        with Full(small):
            time.sleep(6)
            meanwhile = len(load.answered) - before
        seconds = load.since(time.monotonic())
    observed(f"{meanwhile} answers while it was full; {load.says()}", seconds=seconds, rows_lost=load.lost(),
             champions=small.champions())  # fmt: skip
    assert meanwhile > 0


@pytest.mark.fault(
    fault="the disk is full (a small disk)",
    stage="landing",
    expected="the file waits and lands once there is room",
    remedy=ROOM,
)
def test_on_a_full_disk_a_file_waits_and_lands_later(small: Place, observed: Row) -> None:
    inbox = small.settings.platform.inbox_dir
    path = put(small.home, "harbour.jsonl", 30)
    with Full(small):
        path.rename(inbox / path.name)
        time.sleep(8)
        early = (inbox / path.name).exists()
    seconds = wait((inbox / "done" / path.name).exists, 60, "landed")
    kept = small.column("SELECT before FROM correction_script WHERE before LIKE 'He go to the harbour%'")
    observed(
        f"{'it waited' if early else 'it had moved on'} and landed afterwards", seconds=seconds, rows_lost=1 - len(kept)
    )
    assert early


@pytest.mark.fault(
    fault="kill -9 of the gateway while the disk is full",
    stage="serving",
    expected="it is started again, the platform stays",
    remedy=ROOM,
)
def test_a_gateway_killed_on_a_full_disk_is_back(small: Place, observed: Row) -> None:
    with Full(small):
        since = time.monotonic()
        small.part("gateway").kill()
        time.sleep(3)
        try:
            wait(lambda: small.correct("She go home.").status_code == 200, 45, "answered")
            says = f"it answered after {time.monotonic() - since:.0f} s, on the full disk"
        except AssertionError:
            says = "it answered once there was room"
    wait(lambda: small.correct("She go out.").status_code == 200, 90, "answered")
    observed(says, seconds=time.monotonic() - since, champions=small.champions())
    assert small.up is not None and small.up.poll() is None and isinstance(small.part("gateway"), psutil.Process)
