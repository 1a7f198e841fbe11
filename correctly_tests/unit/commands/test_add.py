"""`correctly add`: several files at once, columns as a person names them, and what would land."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from correctly_assets.settings import Settings
from correctly_assets.store import Store
from correctly_tests.commands import Run

pytestmark = pytest.mark.slow

GOOD = "before,after\nI has it.,I have it.\nShe go.,She goes.\n"


def test_one_file_that_cannot_be_read_hides_none_of_the_others(run: Run, tmp_path: Path) -> None:
    good, half, missing = (tmp_path / name for name in ("good.csv", "half.csv", "missing.csv"))
    good.write_text(GOOD)
    half.write_text("before,after,colour\nWe was.,We were.,red\n,x,\n123,x,\n")
    code, out, _ = run("add", "--json", str(missing), str(half), str(good), str(tmp_path / "~$good.xlsx"))
    shown = json.loads(out)
    assert code == 2 and (shown["landed"], shown["refused"], shown["error"]["code"]) == (3, 2, "usage")
    by_name = {Path(entry["file"]).name: entry for entry in shown["files"]}
    assert by_name["missing.csv"]["error"]["message"].endswith("missing.csv does not exist.")
    assert (by_name["good.csv"]["landed"], by_name["half.csv"]["landed"], by_name["half.csv"]["refused"]) == (2, 1, 2)
    assert by_name["half.csv"]["lines"] == {
        "`before` is empty; put the text that is to be corrected there.": [3],
        "`before` holds no word; leave the row out.": [4],
    }
    assert by_name["half.csv"]["refused_file"] == shown["refused_file"] == f"{half}.refused.jsonl"
    assert by_name["half.csv"]["ignored_columns"] == {"colour": 1}
    assert "lock" in by_name["~$good.xlsx"]["left_alone"]


def test_a_file_without_a_row_is_said_to_hold_none(run: Run, tmp_path: Path) -> None:
    empty = tmp_path / "empty.csv"
    empty.write_text("before,after\n")
    code, out, _ = run("add", str(empty))
    assert code == 0 and "the file holds no row" in out
    empty.write_text(GOOD)
    assert "holds no row" not in run("add", str(empty))[1]


def test_a_person_reads_the_lines_and_what_was_not_read(run: Run, tmp_path: Path) -> None:
    half = tmp_path / "half.csv"
    half.write_text("before,after\nWe was [/b] here.,We were [/b] here.\n,x\n,y\n")
    code, out, error = run("add", str(half), str(tmp_path / "missing.csv"))
    assert code == 2 and "missing.csv does not exist." in error
    assert "half.csv: 1 landed, 0 duplicates, 2 refused." in out
    assert "2 × `before` is empty; put the text that is to be corrected there. (line 3, 4)" in out


def test_columns_are_named_by_a_person(run: Run, tmp_path: Path, store: Store) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("Learner,Teacher\nI has it.,I have it.\n")
    code, _, error = run("add", str(file))
    assert code == 2 and "its columns are: Learner, Teacher" in error and "--map before=COLUMN" in error
    code, _, error = run("add", str(file), "--map", "before=Learner", "--map", "after=teacher")
    assert code == 0, error
    assert [(row.before, row.after) for row in store.accepted()] == [("I has it.", "I have it.")]
    code, _, error = run("add", str(file), "--map", "before")
    assert code == 2 and "--map takes FIELD=COLUMN" in error


def test_a_dry_run_shows_what_would_land_and_writes_nothing(run: Run, tmp_path: Path, settings: Settings) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(
        GOOD + "I has it.,I have it.\nIt wait here.,\n,x\nWrite jo@example.org now.,Write to jo@example.org.\n"
    )
    code, out, _ = run("add", "--dry-run", "--json", str(file))
    [entry] = json.loads(out)["files"]
    assert code == 3 and json.loads(out)["dry_run"] is True
    counts = {name: entry[name] for name in ("landed", "duplicates", "refused", "waiting", "quarantined")}
    assert counts == {"landed": 4, "duplicates": 1, "refused": 1, "waiting": 1, "quarantined": 1}
    assert [(row["line"], row["before"]) for row in entry["rows"]][:2] == [(2, "I has it."), (3, "She go.")]
    assert [row["line"] for row in entry["refused_rows"]] == [6] and entry["refused_file"] is None
    assert entry["rows"][-1]["held"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["rows.csv"]
    assert not settings.platform.home.exists()


def test_a_dry_run_knows_what_has_landed_and_counts_as_the_landing_does(run: Run, tmp_path: Path, store: Store) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(GOOD)
    assert run("add", str(file))[0] == 0
    file.write_text(GOOD + "We was.,We were.\n")
    code, out, _ = run("add", "--dry-run", str(file))
    assert code == 0 and "rows.csv: 1 would land, 2 duplicates, 0 refused." in out
    assert "line 4: We was.\n    → We were." in out
    assert store.counts().landed == 2


def test_a_file_that_is_read_in_the_encoding_of_windows_is_said_to_be(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes("before;after\r\nThe café are full.;The café is full.\r\n".encode("cp1252"))
    assert json.loads(run("add", "--json", "--dry-run", str(file))[1])["files"][0]["read_as"] == "Windows-1252"
    assert "read as Windows-1252" in run("add", "--dry-run", str(file))[1]
