"""What the store says when SQLite cannot go on, and what it never loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from correctly_assets.core.errors import PermanentError, RetryableError, UsageError
from correctly_assets.settings import PROJECT_ROOT
from correctly_assets.store import Database, Store, open_store
from correctly_tests.fault_table import Row
from correctly_tests.unit.store.test_tables import SQL, example


def test_a_writer_that_waits_too_long_is_told_so_while_readers_go_on(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    with open_store(url, SQL) as store, store.database.write():
        other = Store(Database(url, busy_seconds=0.1))
        assert other.counts().landed == 0
        with pytest.raises(RetryableError, match="busy with another writer; try again"):
            other.land([example()])
        other.close()
    with open_store(url, SQL) as store:
        assert store.land([example()]).landed == 1


def test_readers_see_one_state_while_a_writer_is_at_work(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path / 'store.sqlite'}", SQL) as store:
        store.land([example(1)])
        reading = store.accepted_columns(1)
        next(reading)
        store.land([example(2), example(3)])
        assert list(reading) == []
        assert store.counts().accepted == 3


@pytest.mark.parametrize("url", ["nonsense", "mysql://localhost/db"])
def test_a_url_that_is_none_of_ours_is_said_so(url: str) -> None:
    with pytest.raises(UsageError, match="CORRECTLY_DATABASE_URL"):
        open_store(url, SQL)


def test_a_file_that_is_no_database_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    path.write_text("This is a letter and no database. " * 100)
    with pytest.raises(PermanentError, match="not a sound SQLite database"):
        open_store(f"sqlite:///{path}", SQL)


def test_a_folder_without_migrations_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="no migrations"):
        open_store(f"sqlite:///{tmp_path / 'store.sqlite'}", tmp_path)


FULL = """
import resource, signal, sys
from correctly_assets.store import open_store
from correctly_tests.unit.store.test_tables import SQL, example
store = open_store(sys.argv[1], SQL)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
try:
    store.land((example(n, before=f"{n} " + "word " * 100, reasons=()) for n in range(5000)), batch_rows=100)
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.fault(
    fault="the disk is full (a limit on the size of files)",
    stage="landing",
    expected="a sentence; whole batches are kept; landing again adds the rest",
    remedy="Make room on the disk (`correctly gc` removes what nothing refers to) and land the file again.",
)
def test_a_full_disk_while_landing_is_said_so_and_keeps_whole_batches(tmp_path: Path, observed: Row) -> None:
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    done = subprocess.run(
        [sys.executable, "-c", FULL, url], capture_output=True, text=True, cwd=PROJECT_ROOT, check=True
    )
    assert done.stdout.startswith("RetryableError The disk that holds"), done.stdout + done.stderr
    with open_store(url, SQL) as store:
        kept = store.counts().accepted
        assert kept > 0
        assert kept % 100 == 0
        rows = (example(n, before=f"{n} " + "word " * 100, reasons=()) for n in range(5000))
        assert store.land(rows).landed == 5000 - kept
        lost = 5000 - store.counts().accepted
    observed(f"“{done.stdout.split(' ', 1)[1][:60]} …”; {kept} rows kept, {5000 - kept} landed later", rows_lost=lost)


LIGHT = """
import sys
from correctly_assets.store import open_store
from correctly_tests.unit.store.test_tables import SQL, example
store = open_store(sys.argv[1], SQL)
store.land([example()])
store.counts(), store.accepted_digest(), store.last_landed_at(), store.new_since_decision(), store.removed_since_decision()
store.last_decision(), store.champion(), store.previous_release(), store.pending_feedback(), store.quarantine_reasons()
print(sorted({"duckdb", "pyarrow", "pandas", "numpy", "torch", "spacy", "dagster"} & set(sys.modules)))
"""


def test_what_a_sensor_asks_loads_neither_duckdb_nor_anything_heavy(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, url], capture_output=True, text=True, cwd=PROJECT_ROOT, check=True
    )
    # pytest and hypothesis, which the helper module imports, bring none of them either.
    assert done.stdout.strip() == "[]"
