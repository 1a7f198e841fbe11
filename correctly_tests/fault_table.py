"""The table of faults, docs/faults.md: which tests are its rows, what each of them saw, and the page.

Belongs here: the marker `fault`, the fixture `observed`, writing the page. Does not belong here: a test, or any figure that a
test did not measure.

    @pytest.mark.fault(fault="kill -9 of the gateway", stage="serving", expected="answers again within a minute")
    def test_a_killed_gateway_answers_again(observed): ...
        observed("it answered again", seconds=4.2, rows_lost=0)
"""

from __future__ import annotations

import re
import time
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
        passed: whether the test passed; None before its end.
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
STARTED = pytest.StashKey[float]()


def add_option(parser: pytest.Parser) -> None:
    parser.addoption("--faults-page", type=Path, help="write the table of faults into this file")


def configure(config: pytest.Config) -> None:
    config.stash[ROWS], config.stash[STARTED] = {}, time.monotonic()


def collect(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Make a row of each test that is marked.

    Raises:
        UsageError: a mark names no stage of ours, or its test observes nothing.
    """
    for item in items:
        for mark in item.iter_markers("fault"):
            row = Row(**mark.kwargs)
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
    ran = [row for row in config.stash[ROWS].values() if row.passed is not None]
    if path is None or not ran:
        return
    ran.sort(key=lambda row: STAGES.index(row.stage))
    path.write_text(page(ran, config.stash[STARTED]), encoding="utf-8")
    print(f"\n{len(ran)} faults, {sum(bool(row.passed) for row in ran)} as expected: {path}")


def page(rows: list[Row], started: float) -> str:
    """The page in Markdown."""
    from benchmarks.common import commit, machine

    took = (time.monotonic() - started) / 60
    counts = {
        "Rows": len(rows),
        "As expected": sum(bool(row.passed) for row in rows),
        "Rows, answers or reactions lost": sum(row.rows_lost or 0 for row in rows),
        "Requests paid twice": sum(row.paid_twice or 0 for row in rows),
        "Two champions": sum((row.champions or 1) > 1 for row in rows),
        "Stuck over two minutes": sum((row.seconds or 0) > STUCK_SECONDS for row in rows),
    }
    lines = [
        "# What goes wrong, and what happens then",
        "",
        "`make test-full` writes this page from what its tests saw; nobody edits it. Each row is a test over real processes: a",
        "fault is brought about at a stage, and what follows is measured. A dash stands where a figure does not apply. A small",
        "model is trained, and an engine that answers from a list stands in for vLLM, so that every fault comes at its stage and",
        "in seconds; gateway, supervisor, inbox, Dagster, PostgreSQL and the trainer are the real ones.",
        "",
        f"Run on {datetime.now(UTC):%d %B %Y} in {took:.0f} minutes; commit {commit()}; {machine()}.",
        "",
        *table([*counts], [[*counts.values()]]),
        "",
        "## Faults",
        "",
        *table(
            ["", "Fault", "Stage", "Expected", "Observed", "Seconds", "Lost", "Paid twice", "Champions"],
            [[number, *cells(row)] for number, row in enumerate(rows, 1)],
        ),
    ]
    remedies = {row.fault: row.remedy for row in rows if row.remedy}
    if remedies:
        lines += ["", "## What a person does", "", "For every other fault: nothing.", ""]
        lines += table(["Fault", "Remedy"], [[fault, remedy] for fault, remedy in remedies.items()])
    return "\n".join(lines) + "\n"


def cells(row: Row) -> list[object]:
    figures = (row.rows_lost, row.paid_twice, row.champions)
    says = row.says if row.passed else f"**Not as expected.** {row.says}"
    seconds = "–" if row.seconds is None else f"{row.seconds:.1f}"
    return [row.fault, row.stage, row.expected, says, seconds, *("–" if n is None else n for n in figures)]


def table(heads: list[str], rows: list[list[object]]) -> list[str]:
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    return lines + [f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
