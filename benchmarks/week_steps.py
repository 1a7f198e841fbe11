"""One row of a week's result, and what every row's observation needs: the platform, the people, and how long may be waited.

Belongs here: opening and closing a row, asking the store and Dagster what became of something. Does not belong here: which rows
there are (week_days.py) or the sums at the end (week_ledger.py).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import httpx
import psutil
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from benchmarks.week_place import Receiver, WeekPlace
from benchmarks.week_rows import Row, WeekRows
from benchmarks.week_traffic import Person, Traffic
from correctly_assets.artifacts.backups import backups_in
from correctly_assets.core.errors import CorrectlyError
from correctly_assets.core.landing import identified
from correctly_assets.core.types import Example
from correctly_assets.store.records import Decision
from correctly_tests.faults.place import wait

QUIET_START = 62.0
"""Seconds that a start takes on two cores that do nothing else (results/loop.json): what waits are measured by."""
MOST_STARTS = 6
TABLES = ("correction_script", "landing", "quarantine", "decision", "release", "correction_journal", "feedback")
FAILURES = (
    AssertionError,
    StopIteration,
    OSError,
    httpx.HTTPError,
    psutil.Error,
    subprocess.SubprocessError,
    CorrectlyError,
    DBAPIError,
)
"""What ends one row, as seen differently from what was expected, and not the week."""


@dataclass
class Step:
    """One row: what happened, what must follow, and what did. ``held``: it did."""

    day: int
    event: str
    expected: str
    observed: str = ""
    held: bool = False
    seconds: float = 0.0
    load: float = 0.0

    def saw(self, observed: str, *, held: bool) -> None:
        """Write down what was observed, and whether it is what was expected."""
        self.observed, self.held = observed, held


@dataclass
class Sent:
    """Rows that were sent one way. ``refused``: how many the platform said it did not take."""

    how: str
    rows: Sequence[Row]
    refused: int = 0


@dataclass
class Week:
    """A week under way.

    Attributes:
        alerts: kind and event of alerts that were brought about other than by a decision or a rollback.
        sent: rows, by the way they went. forgotten: numbers of people whose answers were forgotten.
        slow: how many times as long as on a quiet machine the start took.
        disk: bytes by folder at the end of each day.
    """

    place: WeekPlace
    receiver: Receiver
    traffic: Traffic
    rows: WeekRows
    steps: list[Step] = field(default_factory=list)
    alerts: list[tuple[str, str]] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    forgotten: set[int] = field(default_factory=set)
    disk: list[dict[str, int]] = field(default_factory=list)
    slow: float = 1.0
    day: int = 1
    _heard: int = 0

    # -- rows of the result ------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def step(self, event: str, expected: str) -> Iterator[Step]:
        """One row; what fails in it is what was observed."""
        step, since = Step(self.day, event, expected), time.monotonic()
        self.steps.append(step)
        self._heard = len(self.receiver.told)
        try:
            yield step
        except FAILURES as error:
            step.saw(f"{type(error).__name__}: {str(error)[-600:]}", held=False)
        step.seconds, step.load = round(time.monotonic() - since, 1), round(os.getloadavg()[0], 1)
        mark = "as expected" if step.held else "NOT AS EXPECTED"
        print(f"day {step.day} {step.seconds:7.1f} s {mark}: {event}: {step.observed}", flush=True)

    def wait(self, wanted: Callable[[], object], quiet_seconds: float, what: str) -> float:
        """Wait until something is so; the seconds that it took.

        Args:
            quiet_seconds: how long it may take on a quiet machine; six times that, and more on a slow one, is waited.
        """
        load = os.getloadavg()[0] / (os.cpu_count() or 1)
        return wait(wanted, 6 * quiet_seconds * max(1.0, self.slow, load), what, every=0.5)

    def start(self, quiet_seconds: float = QUIET_START) -> str:
        """`correctly up` until the gateway is ready; how long that took, in words.

        On a machine that does much else a part may be given up before it answers: then `correctly up` ends, and is started again.
        """
        since, place, starts = time.monotonic(), self.place, 1
        place.start()

        def ready() -> bool:
            nonlocal starts
            assert place.up is not None
            if place.up.poll() is not None and starts < MOST_STARTS:
                starts += 1
                place.start()
            return place.ready()

        self.wait(ready, 3 * quiet_seconds, "ready")
        seconds = time.monotonic() - since
        return f"ready after {seconds:.0f} s" + (f" and {starts} starts" if starts > 1 else "")

    # -- what became of it -------------------------------------------------------------------------------------------

    def decisions(self) -> list[Decision]:
        """Every decision, oldest first."""
        return list(reversed(self.place.store.decisions(limit=1000)))

    def runs(self) -> int:
        """How many retraining runs have begun. A machine that does much else may fail to launch one, which is tried again."""
        records = self.place.instance.get_run_records()
        return sum(one.dagster_run.job_name == "retrain" and one.start_time is not None for one in records)

    def decided(self, before: int, quiet_seconds: float = 300) -> Decision:
        """Wait until there are more decisions than before and nothing is left to do; the last decision."""
        self.wait(
            lambda: len(self.decisions()) > before and self.place.at_rest(), quiet_seconds, "decided, and all at rest"
        )
        return self.decisions()[-1]

    def landed(self, rows: Sequence[Row]) -> Counter[str]:
        """How many of some rows stand in the store, by status; rows that do not are counted as ``missing``."""
        ids = [identified(Example("", row.before, row.after)).id for row in rows]
        with self.place.store.database.read() as connection:
            known = {row[0]: row[1] for row in connection.execute(text("SELECT id, status FROM correction_script"))}
        return Counter(known.get(id, "missing") for id in ids)

    def counts(self) -> dict[str, int]:
        """Rows of every table that people's data stand in."""
        with self.place.store.database.read() as connection:
            # The names are this module's own.
            return {name: connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in TABLES}  # noqa: S608

    def told(self, state: str, kind: str, event: str | None = None, *, ever: bool = False) -> bool:
        """Whether the webhook was told so, of this event or any of the kind, since the row was opened or (``ever``) since the first."""
        told = self.receiver.told[0 if ever else self._heard :]
        return any(one.state == state and one.kind == kind and event in (None, one.event) for one in told)

    def backups(self) -> dict[str, str]:
        """Why each backup was made, by its name."""
        place = self.place.settings.platform.backup_place
        return {path.name: manifest.why for path, manifest in backups_in(place).items()}

    def canaries(self) -> list[tuple[str, str]]:
        """What the platform answers to the same few sentences, and as which release.

        Raises:
            AssertionError: one was not answered.
        """
        asker, found = Person(41), list[tuple[str, str]]()
        for words in self.rows.asked[:4] + self.rows.asked[-2:]:
            answer = self.traffic.ask(asker, words)
            assert answer is not None, "a canary sentence was not answered"
            found.append((str(answer.release), answer.after))
        return found
