"""The table of faults, docs/faults.md: which tests are its rows, what each of them saw, and the page.

Belongs here: the marker `fault`, the fixture `observed`, writing the page. Does not belong here: a test, or any figure that a
test did not measure.

    @pytest.mark.fault(fault="kill -9 of the gateway", stage="serving", expected="answers again within a minute")
    def test_a_killed_gateway_answers_again(observed): ...
        observed("it answered again", seconds=4.2, rows_lost=0)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

STAGES = (
    "start", "landing", "train_set", "teacher", "training", "eval_report", "between gate and flip", "served_model", "serving",
    "upkeep",
)  # fmt: skip
"""Stages in the page's order."""
STUCK_SECONDS = 120.0


@dataclass
class Row:
    """One fault at one stage, and what its test saw; None where a figure does not apply.

    Attributes:
        seconds: from the fault until everything worked again. rows_lost: landed rows, answers or reactions that are gone.
        paid_twice: requests that were paid for more than once. champions: releases that serve at once, at the end.
        passed: whether the test passed; None before its end. test, day: which test it is, and when it last ran.
    """

    fault: str
    stage: str
    expected: str
    remedy: str = ""
    says: str = ""
    seconds: float | None = None
    rows_lost: int | None = None
    paid_twice: int | None = None
    champions: int | None = None
    passed: bool | None = None
    test: str = ""
    day: str = ""

    def __call__(
        self,
        says: str,
        *,
        seconds: float | None = None,
        rows_lost: int | None = None,
        paid_twice: int | None = None,
        champions: int | None = None,
    ) -> None:
        """Note what was seen, then hold it against what no fault may do.

        Raises:
            AssertionError: something was lost or paid twice, two releases serve, or it took over two minutes.
        """
        # Whose machine it ran on is nobody's business.
        self.says = re.sub(r"(?<![\w.])/[\w./-]{6,}", "…", says)
        self.seconds, self.rows_lost = seconds, rows_lost
        self.paid_twice, self.champions = paid_twice, champions
        assert not rows_lost, f"{rows_lost} lost"
        assert not paid_twice, f"{paid_twice} paid twice"
        assert champions in (None, 1), f"{champions} champions"
        assert seconds is None or seconds <= STUCK_SECONDS, f"It took {seconds:.0f} s."


ROWS = pytest.StashKey[dict[str, Row]]()


def add_option(parser: pytest.Parser) -> None:
    parser.addoption("--faults-page", type=Path, help="write the table of faults into this file")
    parser.addoption("--faults-keep", action="store_true", help="keep its rows whose tests do not run now")


def configure(config: pytest.Config) -> None:
    config.stash[ROWS] = {}


def collect(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Make a row of each test that is marked.

    Raises:
        UsageError: a mark names no stage of ours, or its test observes nothing.
    """
    for item in items:
        for mark in item.iter_markers("fault"):
            row = Row(**mark.kwargs, test=item.nodeid.removeprefix("correctly_tests/"))
            if row.stage not in STAGES or "observed" not in getattr(item, "fixturenames", ()):
                raise pytest.UsageError(
                    f"{item.nodeid}: a fault has one of the stages {STAGES}, and `observed` is used."
                )
            config.stash[ROWS][item.nodeid] = row


@pytest.fixture
def observed(request: pytest.FixtureRequest) -> Iterator[Row]:
    """Notes what a test of the table saw; a test that notes nothing fails. Unmarked tests may use it too."""
    row = request.config.stash[ROWS].get(request.node.nodeid) or Row("", "", "")
    yield row
    failed = getattr(request.node, "failed_call", False)
    assert row.says or failed, "This test is a row of the table of faults and noted nothing."


def report(item: pytest.Item, made: pytest.TestReport) -> None:
    """Take note of how a test ended."""
    row = item.config.stash[ROWS].get(item.nodeid)
    if made.when == "call":
        item.failed_call = made.failed  # pyright: ignore[reportAttributeAccessIssue]
    if row is None or made.skipped:
        return
    if made.when == "call" or made.failed:
        row.passed = made.passed and row.passed is not False
        if made.failed and not row.says:
            row.says = str(made.longrepr).strip().splitlines()[-1][:200]


def write(config: pytest.Config) -> None:
    """Write the page, where it was asked for, from the rows whose tests ran."""
    path: Path | None = config.getoption("--faults-page")
    ran = {row.test: row for row in config.stash[ROWS].values() if row.passed is not None}
    if path is None or not ran:
        return
    for row in ran.values():
        row.day = f"{datetime.now(UTC):%Y-%m-%d}"
    kept = read(path) if config.getoption("--faults-keep") and path.exists() else {}
    rows = sorted((kept | ran).values(), key=lambda row: STAGES.index(row.stage))
    path.write_text(page(rows), encoding="utf-8")
    print(f"\n{len(ran)} faults, {sum(bool(row.passed) for row in ran.values())} as expected: {path}")


INTRODUCTION = """\
# What goes wrong, and what happens then

`make test-full` writes this page from what its tests saw; nobody edits it. Each row is a test over real processes: a fault is
brought about at a stage, and what follows is measured. A dash stands where a figure does not apply; seconds count from the
fault until everything worked again, on a machine that did other work as well. A small model is trained, and an engine that
answers from a list stands in for vLLM, so that every fault comes at its stage and in seconds; gateway, supervisor, inbox,
Dagster, PostgreSQL and the trainer are the real ones.
"""
HEADS = [
    "Fault",
    "Stage",
    "Expected",
    "Observed",
    "Seconds",
    "Lost",
    "Paid twice",
    "Champions",
    "A person",
    "Day",
    "Test",
]
UNEXPECTED = "**Not as expected.** "


def page(rows: list[Row]) -> str:
    """The page in Markdown."""
    from benchmarks.common import commit, machine

    counts = {
        "Rows": len(rows),
        "As expected": sum(bool(row.passed) for row in rows),
        "Rows, answers or reactions lost": sum(row.rows_lost or 0 for row in rows),
        "Requests paid twice": sum(row.paid_twice or 0 for row in rows),
        "Two champions": sum((row.champions or 1) > 1 for row in rows),
        "Stuck over two minutes": sum((row.seconds or 0) > STUCK_SECONDS for row in rows),
    }
    head = f"{INTRODUCTION}\nLast run on {max(row.day for row in rows)}, over commit {commit()}, on {machine()}.\n"
    return "\n".join(
        [head, *table([*counts], [[*counts.values()]]), "", *table(HEADS, [cells(row) for row in rows]), ""]
    )


def cells(row: Row) -> list[object]:
    figures = (row.rows_lost, row.paid_twice, row.champions)
    says = row.says if row.passed else UNEXPECTED + row.says
    seconds = "–" if row.seconds is None else f"{row.seconds:.1f}"
    counted = ["–" if n is None else n for n in figures]
    told = row.remedy or "does nothing"
    return [row.fault, row.stage, row.expected, says, seconds, *counted, told, row.day, f"`{row.test}`"]


def read(path: Path) -> dict[str, Row]:
    """The rows of a page, by test; none of a page of another shape."""
    rows: dict[str, Row] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        found = re.split(r" (?<!\\)\| ", line.removeprefix("| ").removesuffix(" |"))
        if len(found) != len(HEADS) or found[1] not in STAGES:
            continue
        fault, stage, expected, says, seconds, lost, paid, champions, told, day, test = (
            cell.replace("\\|", "|") for cell in found
        )
        counts = [None if cell == "–" else int(cell) for cell in (lost, paid, champions)]
        remedy = "" if told == "does nothing" else told
        passed, took = not says.startswith(UNEXPECTED), None if seconds == "–" else float(seconds)
        says, test = says.removeprefix(UNEXPECTED), test.strip("`")
        rows[test] = Row(fault, stage, expected, remedy, says, took, *counts, passed, test, day)
    return rows


def table(heads: list[str], rows: list[list[object]]) -> list[str]:
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    return lines + [f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
