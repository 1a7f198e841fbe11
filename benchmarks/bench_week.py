"""`make bench-week`: a week in fast motion. Examples, votes, two bad batches, a kill of each part, an upgrade and a restore, on a real
platform whose clock is set ahead from day to day; some twenty minutes on two cores that do nothing else.

    python -m benchmarks.bench_week              seven days
    python -m benchmarks.bench_week --days 2     the first two, to try it; no results are written
    python -m benchmarks.bench_week --fake       an engine that answers from a list, to try the script; it measures nothing

Every row of ``results/week.json`` says what happened, what must follow and what was seen. Sums hold what was sent against what is
there: rows, answers and reactions lost, answers by a release that did not serve, alerts missing and false, and what the disk was
filled with. Waits are as long as the machine is slow. Needs a C compiler, for the library that sets the parts' clock ahead.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from benchmarks.common import figure, write_results
from benchmarks.week_days import DAYS, run_days
from benchmarks.week_ledger import Alerts, Owned, alerts, lost, owners, served
from benchmarks.week_place import SETTINGS, make_week_place, said_at
from benchmarks.week_rows import week_rows
from benchmarks.week_steps import Week
from benchmarks.week_traffic import Traffic


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=len(DAYS), choices=range(1, len(DAYS) + 1))
    parser.add_argument(
        "--keep", type=Path, help="a new folder for the platform, which is left there; a temporary one else"
    )
    parser.add_argument(
        "--fake", action="store_true", help="try it with an engine that answers from a list; no results"
    )
    chosen = parser.parse_args()
    # Ended from outside, it ends its platform too; in the background Ctrl-C would be ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit("Ended from outside: nothing was written."))
    work = chosen.keep or Path(tempfile.mkdtemp(prefix="bench-week-"))
    place, receiver = make_week_place(work.absolute(), fake=chosen.fake)
    rows = week_rows()
    week = Week(place, receiver, Traffic(place.gateway, place.clock, rows.asked), rows)
    started, loads = time.monotonic(), [os.getloadavg()[0]]
    try:
        run_days(week, chosen.days)
        week.traffic.stop()
        figures, more = sums(week)
    except BaseException:
        print(place.logs(), file=sys.stderr)
        raise
    finally:
        place.stop()
        receiver.close()
        if chosen.keep is None:
            shutil.rmtree(work, ignore_errors=True)
    loads += [step.load for step in week.steps]
    figures["minutes"] = figure((time.monotonic() - started) / 60, "min")
    more |= {
        "days": chosen.days,
        "load_before": round(loads[0], 1),
        "load_highest": max(loads),
        "cores": psutil.cpu_count(),
        "priority": os.nice(0),
        "settings": SETTINGS,
    }
    if chosen.days == len(DAYS) and not chosen.fake:
        write_results("week", figures, rounds=1, **more)
    else:
        for key, item in figures.items():
            print(f"tried {key} {item['value']:g} {item['unit']}")
        print(
            more["lost"],
            more["wrong_releases"],
            more["failed_while_nothing_was_broken"],
            more["alerts"],
            more["disk"],
            sep="\n",
        )


def sums(week: Week) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """The figures of the whole week, and what they are made of."""
    # What is not there in time is lost, and counted below.
    with contextlib.suppress(AssertionError):
        week.wait(lambda: not lost(week).says, 20, "written down")
    releases = list(reversed(week.place.store.releases(limit=1000)))
    gone, answered = lost(week), served(week.traffic.answers, releases)
    told = alerts(week.receiver.told, week.decisions(), releases, week.alerts)
    disk, failed = owners(week), week.traffic.failed
    asked = len(week.traffic.answers)
    raised = sum((told.expected & told.raised).values())
    figures = {
        "rows_as_expected": figure(
            sum(step.held for step in week.steps), "rows", floor=len(week.steps), better="higher"
        ),
        "rows": figure(len(week.steps), "rows"),
        "lost": figure(gone.answers + gone.reactions + gone.rows, "rows, answers and reactions", floor=0, goal=0),
        "wrong_release": figure(len(answered.wrong), "answers", floor=0, goal=0),
        "slowest_flip": figure(answered.late_seconds, "s"),
        "alerts_raised": figure(100 * raised / max(1, told.expected.total()), "%", floor=100, better="higher"),
        "alerts_expected": figure(told.expected.total(), "alerts"),
        "alerts_false": figure(told.false.total(), "alerts", floor=0, goal=0),
        "alerts_not_ended": figure(len(told.open), "alerts", floor=0, goal=0),
        "answers": figure(asked, "answers", better="higher"),
        "reactions": figure(len(week.traffic.reactions), "reactions", better="higher"),
        "rows_sent": figure(sum(len(sent.rows) for sent in week.sent), "rows", better="higher"),
        "failed_while_nothing_was_broken": figure(len(failed), "requests", floor=0, goal=0),
        "disk_growth": figure(_growth(week), "MB"),
        "disk_unexplained": figure(disk.unexplained / 1e6, "MB", floor=0, goal=0),
    }
    more = {
        "week": [asdict(step) for step in week.steps],
        "lost": list(gone.says),
        "wrong_releases": list(answered.wrong),
        "failed_while_nothing_was_broken": [f"{said_at(at)} {said}" for at, said in failed],
        "outages": [asdict(outage) for outage in week.traffic.outages],
        "alerts": _alerts(week, told),
        "disk": _disk(week, disk),
    }
    return figures, more


def _growth(week: Week) -> float:
    """MB by which HOME and the backups grew, from the first evening to the last that was measured."""
    return (sum(week.disk[-1].values()) - sum(week.disk[0].values())) / 1e6 if week.disk else 0.0


def _alerts(week: Week, told: Alerts) -> dict[str, Any]:
    """Every message, and how they compare with what there was to tell."""
    return {
        "messages": [{**asdict(one), "at": said_at(one.at)} for one in week.receiver.told],
        "expected": dict(told.expected),
        "missing": dict(told.missing),
        "false": dict(told.false),
        "over_and_not_told": list(told.open),
        "told_over_too_early": list(told.told_too_early),
    }


def _disk(week: Week, disk: Owned) -> dict[str, Any]:
    """MB by folder at the end of each day, and what lies there at the end by what it belongs to."""
    folders = sorted({name for evening in week.disk for name in evening})
    return {
        "by_folder_mb": {name: [round(evening.get(name, 0) / 1e6, 2) for evening in week.disk] for name in folders},
        "at_the_end": [
            {"what": what, "how_many": count, "mb": round(size / 1e6, 2)} for what, (count, size) in disk.by.items()
        ],
        "unexplained": list(disk.strangers),
    }


if __name__ == "__main__":
    main()
