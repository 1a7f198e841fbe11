"""The inbox: what lands by itself, where files go, and that a kill at any moment loses none."""

from __future__ import annotations

import fcntl
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openpyxl import Workbook

from correctly_assets.core.errors import PermanentError, RetryableError
from correctly_assets.core.landing import LandCounts
from correctly_assets.curation.guards import make_guards
from correctly_assets.curation.inbox import inbox_trouble, ready_files, scan_inbox
from correctly_assets.settings import PROJECT_ROOT
from correctly_assets.store import Store, open_store
from correctly_tests.fault_table import Row

SQL = PROJECT_ROOT / "sql"
GUARDS = make_guards()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path / 'store.sqlite'}", SQL) as opened:
        yield opened


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def put(inbox: Path, name: str, *lines: object, seconds_ago: float = 10) -> Path:
    path = inbox / name
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    os.utime(path, (0.0, time.time() - seconds_ago))
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def test_a_good_file_lands_and_moves_to_done(inbox: Path, store: Store) -> None:
    put(inbox, "rows.jsonl", {"before": "He go.", "after": "He goes."})
    [(name, outcome)] = scan_inbox(inbox, store, GUARDS)
    assert (name, outcome.landed) == ("rows.jsonl", 1)
    assert (names(inbox), names(inbox / "done"), names(inbox / "refused")) == ([], ["rows.jsonl"], [])
    assert next(store.accepted()).source == "inbox"
    assert scan_inbox(inbox, store, GUARDS) == []


def test_a_half_bad_file_goes_to_done_and_its_refused_rows_to_refused(inbox: Path, store: Store) -> None:
    put(inbox, "rows.jsonl", {"before": "He go."}, "not json")
    [(_, outcome)] = scan_inbox(inbox, store, GUARDS)
    assert (outcome.landed, outcome.refused) == (1, 1)
    assert (names(inbox / "done"), names(inbox / "refused")) == (["rows.jsonl"], ["rows.jsonl.refused.jsonl"])


def test_a_file_without_good_rows_or_of_unknown_kind_is_refused_with_why(inbox: Path, store: Store) -> None:
    put(inbox, "bad.jsonl", "not json")
    put(inbox, "letter.docx", "x")
    put(inbox, "other.csv", "text,fixed", "a,b")
    outcomes = scan_inbox(inbox, store, GUARDS)
    assert [outcome.refused for _, outcome in outcomes] == [1, 1, 1]
    assert names(inbox / "done") == []
    assert len(names(inbox / "refused")) == 6
    report = json.loads((inbox / "refused" / "other.csv.refused.jsonl").read_text())
    assert "no column `before`" in report["reason"]


def workbook(rows: int) -> bytes:
    made, file = Workbook(), io.BytesIO()
    sheet = made.active
    assert sheet is not None
    sheet.append(["before", "after"])
    for number in range(rows):
        sheet.append([f"He go to house {number}.", f"He goes to house {number}."])
    made.save(file)
    return file.getvalue()


def test_a_damaged_workbook_or_parquet_file_stops_no_newer_file(inbox: Path, store: Store) -> None:
    book, table = workbook(300), io.BytesIO()
    third = len(book) // 3
    pq.write_table(pa.table({"before": [f"He go to town {n}." for n in range(90)]}), table)
    page = pq.ParquetFile(table).metadata.row_group(0).column(0).data_page_offset
    for name, data in {
        "half.xlsx": book[: len(book) // 2],
        "zeroed.xlsx": book[:third] + bytes(third) + book[2 * third :],
        "zeroed.parquet": table.getvalue()[:page] + b"\xff" * 20 + table.getvalue()[page + 20 :],
    }.items():
        (inbox / name).write_bytes(data)
        os.utime(inbox / name, (0.0, time.time() - 20))
    put(inbox, "newer.jsonl", {"before": "He go.", "after": "He goes."})
    outcomes = dict(scan_inbox(inbox, store, GUARDS))
    assert outcomes["newer.jsonl"].landed == 1 == store.counts().landed
    assert (names(inbox), names(inbox / "done")) == ([], ["newer.jsonl"])
    assert {"half.xlsx", "zeroed.xlsx", "zeroed.parquet"} < set(names(inbox / "refused"))
    assert "its part xl/worksheets/sheet1.xml is damaged" in outcomes["zeroed.xlsx"].reasons[0][0]
    assert "zeroed.parquet is damaged after row 0" in outcomes["zeroed.parquet"].reasons[0][0]


def test_the_rows_before_a_files_damage_have_landed_as_its_refusal_says(inbox: Path, store: Store) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook(600))) as good, zipfile.ZipFile(file, "w") as cut:
        for name in good.namelist():
            content = good.read(name)
            cut.writestr(name, content[: len(content) // 2] if name.endswith("sheet1.xml") else content)
    (inbox / "cut.xlsx").write_bytes(file.getvalue())
    os.utime(inbox / "cut.xlsx", (0.0, time.time() - 20))
    [(_, outcome)] = scan_inbox(inbox, store, GUARDS)
    landed = store.counts().landed
    assert landed > 0 and names(inbox / "done") == []
    assert f"cut.xlsx is damaged after row {landed + 1}: the rows before it have landed" in outcome.reasons[0][0]


def test_dotfiles_folders_links_and_files_that_still_grow_are_left_alone(inbox: Path, store: Store) -> None:
    for name in (".hidden.jsonl", "~$rows.xlsx", ".~lock.rows.csv#", ".DS_Store", "Thumbs.db", "rows.csv~"):
        put(inbox, name, {"before": "He go."})
    put(inbox, "half.jsonl.part", {"before": "He go."})
    growing = put(inbox, "growing.jsonl", {"before": "He go."}, seconds_ago=0)
    (inbox / "folder.jsonl").mkdir()
    (inbox / "link.jsonl").symlink_to(growing)
    assert scan_inbox(inbox, store, GUARDS) == []
    assert ready_files(inbox, now=lambda: time.time() + 10) == [growing]
    assert ready_files(inbox / "nothing") == []


def test_a_second_file_of_the_same_name_does_not_overwrite_the_first(inbox: Path, store: Store) -> None:
    for number in range(3):
        put(inbox, "rows.jsonl", {"before": f"He go {number}."})
        scan_inbox(inbox, store, GUARDS)
    assert names(inbox / "done") == ["rows-2.jsonl", "rows-3.jsonl", "rows.jsonl"]


def test_files_land_oldest_first_and_only_as_many_as_asked(inbox: Path, store: Store) -> None:
    put(inbox, "a.jsonl", {"before": "He go a."}, seconds_ago=20)
    put(inbox, "b.jsonl", {"before": "He go b."}, seconds_ago=30)
    assert [name for name, _ in scan_inbox(inbox, store, GUARDS, limit=1)] == ["b.jsonl"]
    assert names(inbox) == ["a.jsonl"]


class Appending:
    """A sink during whose work the file goes on growing."""

    def __init__(self, store: Store, path: Path) -> None:
        self.store, self.path = store, path

    def land(self, rows: object, **how: object) -> LandCounts:
        with self.path.open("a") as file:
            file.write(json.dumps({"before": "A late row."}) + "\n")
        return self.store.land(rows, **how)  # pyright: ignore[reportArgumentType]

    def landing(self, file: str) -> AbstractContextManager[Callable[[], None]]:
        return self.store.landing(file)

    def record_landing(self, **how: object) -> None:
        self.store.record_landing(**how)  # pyright: ignore[reportArgumentType]

    def languages(self) -> frozenset[str]:
        return self.store.languages()


def test_a_file_that_grows_while_it_lands_stays_and_is_landed_again(inbox: Path, store: Store) -> None:
    path = put(inbox, "rows.jsonl", {"before": "An early row."})
    scan_inbox(inbox, Appending(store, path), GUARDS)
    assert names(inbox) == ["rows.jsonl"]
    scan_inbox(inbox, store, GUARDS, quiet_seconds=0)
    assert names(inbox) == []
    assert {row.before for row in store.waiting()} == {"An early row.", "A late row."}


class Away(Appending):
    def land(self, rows: object, **how: object) -> LandCounts:
        raise RetryableError("The store is busy.")


def test_a_store_that_is_away_leaves_the_file_for_the_next_scan(inbox: Path, store: Store) -> None:
    path = put(inbox, "rows.jsonl", {"before": "He go."}, "not json")
    with pytest.raises(RetryableError):
        scan_inbox(inbox, Away(store, path), GUARDS)
    assert (names(inbox), names(inbox / "refused")) == (["rows.jsonl"], [])
    assert not list((inbox / "refused").iterdir())
    scan_inbox(inbox, store, GUARDS)
    assert names(inbox / "done") == ["rows.jsonl"]


def test_two_scans_do_not_work_at_once(inbox: Path, store: Store) -> None:
    put(inbox, "rows.jsonl", {"before": "He go."})
    with (inbox / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert scan_inbox(inbox, store, GUARDS) == []
    assert len(scan_inbox(inbox, store, GUARDS)) == 1


SCAN = """
import sys
from pathlib import Path
from correctly_assets.curation.guards import make_guards
from correctly_assets.curation.inbox import scan_inbox
from correctly_assets.store import open_store
from correctly_tests.unit.curation.test_inbox import SQL
store = open_store(sys.argv[1], SQL)
land = store.land
def slow(rows, **how):
    counts = land(rows, **how)
    print("batch", flush=True)
    sys.stdin.readline()
    return counts
store.land = slow
scan_inbox(Path(sys.argv[2]), store, make_guards())
"""


@pytest.mark.fault(
    fault="kill -9 of the inbox in the middle of a file",
    stage="landing",
    expected="the file lies there still and lands again, each row once",
)
def test_a_killed_scan_loses_no_row_and_no_file(inbox: Path, store: Store, observed: Row) -> None:
    put(inbox, "rows.jsonl", "not json", *({"before": f"He go {n}."} for n in range(5000)))
    child = subprocess.Popen(
        [sys.executable, "-c", SCAN, str(store.database.url), str(inbox)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=PROJECT_ROOT,
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdin is not None
    assert child.stdout.readline() == b"batch\n"
    child.kill()
    child.wait()
    child.stdout.close()
    child.stdin.close()
    assert names(inbox) == ["rows.jsonl"]
    before = store.counts().waiting
    assert 0 < before < 5000
    [(_, outcome)] = scan_inbox(inbox, store, GUARDS)
    observed(
        f"{before} of 5000 rows were there, {outcome.landed} landed afterwards", rows_lost=5000 - store.counts().waiting
    )
    assert (outcome.landed, outcome.duplicates, outcome.refused) == (5000 - before, before, 1)
    assert (names(inbox), names(inbox / "done")) == ([], ["rows.jsonl"])
    assert names(inbox / "refused") == ["rows.jsonl.refused.jsonl"]
    assert not [path for path in (inbox / "refused").iterdir() if path.name.startswith(".")]


def test_parallel_text_lands_once_all_its_files_are_there_and_quiet(inbox: Path, store: Store) -> None:
    put(inbox, "dev.src", "He go .")
    assert scan_inbox(inbox, store, GUARDS) == [] and names(inbox) == ["dev.src"]  # its references may be on the way
    put(inbox, "dev.ref0", "He goes .")
    put(inbox, "dev.ref1", "He went .", seconds_ago=0)
    assert scan_inbox(inbox, store, GUARDS) == []
    put(inbox, "dev.ref1", "He went .")
    [(name, outcome)] = scan_inbox(inbox, store, GUARDS)
    assert (name, outcome.landed, outcome.refused) == ("dev.src", 2, 0)
    assert (names(inbox), names(inbox / "done")) == ([], ["dev.ref0", "dev.ref1", "dev.src"])


def test_a_file_of_parallel_text_that_stays_alone_is_refused_with_a_remedy(inbox: Path, store: Store) -> None:
    put(inbox, "dev.ref0", "He goes .")
    put(inbox, "dev.spellchecked.src", "He goes .")
    assert scan_inbox(inbox, store, GUARDS) == []
    refused = dict(scan_inbox(inbox, store, GUARDS, now=lambda: time.time() + 40))
    assert set(refused) == {"dev.ref0", "dev.spellchecked.src"} and names(inbox) == []
    assert "correctly add FOLDER" in refused["dev.ref0"].reasons[0][0]
    assert "only the source itself" in refused["dev.spellchecked.src"].reasons[0][0]


def test_a_folder_of_parquet_files_lands_once_nothing_in_it_changes(inbox: Path, store: Store) -> None:
    (inbox / "corpus" / "data").mkdir(parents=True)
    table = pa.table({"input": ["He go.", "She go."], "output": ["He goes.", "She goes."]})
    pq.write_table(table, inbox / "corpus" / "data" / "train-00000-of-00001.parquet")
    assert scan_inbox(inbox, store, GUARDS) == []  # its other files may be on the way
    [(name, outcome)] = scan_inbox(inbox, store, GUARDS, now=lambda: time.time() + 40)
    assert (name, outcome.landed, outcome.refused) == ("corpus", 2, 0)
    assert (inbox / "done" / "corpus" / "data").is_dir() and not (inbox / "corpus").exists()
    (inbox / "letters").mkdir()
    (inbox / "letters" / "one.docx").write_text("x")
    [(name, outcome)] = scan_inbox(inbox, store, GUARDS, now=lambda: time.time() + 40)
    assert "The folder letters holds neither" in outcome.reasons[0][0] and (inbox / "refused" / "letters").is_dir()


def test_one_bad_file_holds_up_none_behind_it(inbox: Path, store: Store) -> None:
    """Bad by its name, its size, what it unpacks to, its encoding, or a line of a megabyte."""
    long, odd = "x" * 249 + ".jsonl", os.fsdecode(b"caf\xe9\n.jsonl")
    put(inbox, long, "not json", seconds_ago=90)
    put(inbox, odd, "not json", {"before": "He go."}, seconds_ago=80)
    put(inbox, "line.jsonl", json.dumps({"before": "x" * 2**20}), "y" * 2**20, seconds_ago=70)
    (inbox / "bomb.xlsx").write_bytes(unpacking_to_more_than_may_be())
    # Neither UTF-8 nor Windows-1252, which has no character 0x81.
    (inbox / "odd.csv").write_bytes(b"before,after\ncaf\xe9\x81,caf\xe9\x81\n")
    with (inbox / "huge.jsonl").open("wb") as file:
        file.truncate(2**33)
    for name in ("bomb.xlsx", "odd.csv", "huge.jsonl"):
        os.utime(inbox / name, (0.0, time.time() - 60))
    put(inbox, "good.jsonl", {"before": "She go."})
    outcomes = dict(scan_inbox(inbox, store, GUARDS))
    assert names(inbox) == [] and names(inbox / "done") == [odd, "good.jsonl"]
    refused = names(inbox / "refused")
    assert {long, "line.jsonl", "bomb.xlsx", "odd.csv", "huge.jsonl"} < set(refused)
    reports = list((inbox / "refused").glob("*.refused.jsonl"))
    assert len(reports) == 6 and all(json.loads(path.read_text().splitlines()[0])["reason"] for path in reports)
    assert outcomes["good.jsonl"].landed == 1 and outcomes["caf??.jsonl"].landed == 1


def unpacking_to_more_than_may_be() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("xl/sheet.xml", "w") as part:
        for _ in range(65):
            part.write(bytes(2**24))
    return file.getvalue()


class Failing(Appending):
    """A sink in which a row fails as only a fault of the program's own would."""

    def land(self, rows: object, **how: object) -> LandCounts:
        [*kept] = rows  # pyright: ignore[reportGeneralTypeIssues]
        if "bad" in kept[0].example.before:
            raise KeyError("no such thing")
        return self.store.land(kept, **how)  # pyright: ignore[reportArgumentType]


def test_a_file_on_which_the_program_fails_is_refused_and_others_land(inbox: Path, store: Store) -> None:
    path = put(inbox, "first.jsonl", {"before": "A bad row."}, seconds_ago=20)
    put(inbox, "second.jsonl", {"before": "He go."})
    sink = Failing(store, path.with_name("elsewhere"))
    outcomes = dict(scan_inbox(inbox, sink, GUARDS))
    assert "could not be read (KeyError" in outcomes["first.jsonl"].reasons[0][0]
    assert outcomes["second.jsonl"].landed == 1 and names(inbox) == []


@pytest.fixture
def nobody() -> Iterator[Path]:
    """A folder of an unprivileged user's, as whom the test then runs; of no use where it runs as such a user already."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o777)
        if os.geteuid() == 0:
            os.setegid(65534)
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if os.getuid() == 0:
                os.seteuid(0)
                os.setegid(0)


def test_a_file_without_rights_is_refused_and_those_behind_land(nobody: Path) -> None:
    inbox = nobody / "inbox"
    inbox.mkdir()
    put(inbox, "secret.jsonl", {"before": "He go."}, seconds_ago=20).chmod(0)
    put(inbox, "good.jsonl", {"before": "She go."})
    with open_store(f"sqlite:///{nobody / 'store.sqlite'}", SQL) as store:
        outcomes = dict(scan_inbox(inbox, store, GUARDS))
    assert "give yourself the right to read it" in outcomes["secret.jsonl"].reasons[0][0]
    assert outcomes["good.jsonl"].landed == 1
    assert "secret.jsonl" in names(inbox / "refused")


def test_an_inbox_that_cannot_be_written_is_said_and_nothing_is_lost(nobody: Path) -> None:
    inbox = nobody / "inbox"
    inbox.mkdir()
    put(inbox, "rows.jsonl", {"before": "He go."})
    assert inbox_trouble(inbox) is None
    inbox.chmod(0o500)
    with open_store(f"sqlite:///{nobody / 'store.sqlite'}", SQL) as store:
        with pytest.raises(PermanentError, match="cannot be written and files could not move on"):
            scan_inbox(inbox, store, GUARDS)
        assert names(inbox) == ["rows.jsonl"] and store.counts().landed == 0
        inbox.chmod(0o000)
        with pytest.raises(PermanentError, match="give yourself the right to read it"):
            ready_files(inbox)
        inbox.chmod(0o700)
        assert len(scan_inbox(inbox, store, GUARDS)) == 1
