"""The seven days of a week: what happens on each, what must follow, and how that is seen.

Belongs here: the script. Does not belong here: waiting and asking (week_steps.py), the sums at the end (week_ledger.py).
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.week_ledger import sizes
from benchmarks.week_place import said_at
from benchmarks.week_rows import BAD_LINES, Row
from benchmarks.week_steps import QUIET_START, Sent, Step, Week
from benchmarks.week_traffic import Answer, Person
from correctly_assets.store.database import Database
from correctly_assets.store.migrations import migrate_down, read_migrations
from correctly_assets.workflows.other_tables import DAGSTER, old_tables
from correctly_assets.workflows.upgrade_store import missing_migrations

NIGHTLY = {"clean_up": "daily_clean_up", "back_up": "daily_backup", "check_model_health": "daily_model_health"}
"""The jobs that run each night, and their schedules."""
LOOKS = 25.0
"""Seconds in which whatever watches over releases and alerts has looked several times."""


# ---------------------------------------------------------------- what several days do


def kill(week: Week, name: str) -> None:
    """kill -9 of a part while people use the platform."""
    expected = "it is started again and answers; who asks meanwhile is told to come back; nothing is lost"
    with week.step(f"kill -9 of {name}", expected) as step, week.traffic.outage(f"kill of {name}") as outage:
        old = week.place.part(name)
        old.kill()

        def again() -> bool:
            return week.place.part(name).pid != old.pid and week.place.answers(name) and week.place.ready()

        seconds = week.wait(again, 120, f"{name} running again")
        answer = week.traffic.ask(Person(42), week.rows.asked[0])
        step.saw(
            f"it answered again after {seconds:.0f} s, {outage.failed} requests were not answered meanwhile",
            held=answer is not None,
        )


def night(week: Week, *, backup: bool = True, decided: bool = True) -> None:
    """The clock goes to the same time of the next day, and what is done at night is done.

    Args:
        backup: whether the schedule of backups runs. decided: whether everything that has landed is decided before.
    """
    wanted = [job for job in NIGHTLY if backup or job != "back_up"]
    expected = f"one run each of {', '.join(wanted)}, which succeed" + ("" if backup else "; no backup")
    with week.step("the clock is set to the next day", expected) as step:
        if decided:
            week.wait(week.place.at_rest, 300, "at rest")
        week.disk.append(sizes(week.place))
        before, backups = {job: len(week.place.runs(job)) for job in NIGHTLY}, set(week.backups())
        said = week.place.said().count("was started again")
        with week.traffic.quiet():
            week.place.clock.next_day()
        week.day += 1

        def done() -> bool:
            runs = {job: week.place.runs(job)[before[job] :] for job in wanted}
            return all(ran and ran[-1].is_finished for ran in runs.values())

        week.wait(done, 180, f"{', '.join(wanted)} done")
        ran = {job: [run.status.value for run in week.place.runs(job)[before[job] :]] for job in NIGHTLY}
        made = [why for name, why in week.backups().items() if name not in backups]
        again = week.place.said().count("was started again") - said
        held = all(ran[job] == (["SUCCESS"] if job in wanted else []) for job in NIGHTLY)
        step.saw(
            f"{json.dumps(ran)}; backups made: {made or 'none'}; parts started again after the step of the clock: {again}",
            held=held and made == (["daily"] if backup else []),
        )


def loop_closes(week: Week, step: Step, decisions: int, runs: int, most: int = 1, only: str | None = None) -> str:
    """Wait for the decision on what has landed and see that what serves, and who is told, follows from it.

    Args:
        decisions, runs: how many there were before. most: how many runs there may be. only: the verdict that it must have.

    Returns:
        The verdict.
    """
    served = week.place.store.champion()
    last = week.decided(decisions)
    started = week.runs() - runs
    week.wait(lambda: week.place.store.champion() is not None and week.place.ready(), 60, "serving")
    champion = week.place.store.champion()
    assert champion is not None and served is not None
    week.wait(lambda: week.place.release() == champion.id, 60, "served by the champion")
    follows = champion.adapter == last.adapter if last.verdict == "promoted" else champion.id == served.id
    if last.verdict == "refused":
        week.wait(lambda: week.told("raised", "refused_gate", f"refused_gate:{last.id}"), 30, "told of the refusal")
    step.saw(
        f"{started} run{'' if started == 1 else 's'}; decision {last.id}: {last.verdict}, {champion.id} serves. {last.reasons[0]}",
        held=follows and 1 <= started <= most and last.verdict in ((only,) if only else ("promoted", "refused")),
    )
    return last.verdict


def answers_to(week: Week, person: Person, texts: Sequence[str]) -> list[Answer]:
    """What somebody is answered to each of some texts.

    Raises:
        AssertionError: one was not answered.
    """
    answers = [week.traffic.ask(person, words) for words in texts]
    found = [answer for answer in answers if answer is not None]
    assert len(found) == len(texts), f"{len(texts) - len(found)} of {len(texts)} were not answered"
    return found


# ---------------------------------------------------------------- the days


def day_1(week: Week) -> None:
    """An empty folder becomes a platform, and its first loop closes."""
    with week.step("`correctly up` on an empty folder", "the adapter that ships answers as r0000") as step:
        since = time.monotonic()
        ready = week.start(10 * QUIET_START)
        week.slow = max(1.0, (time.monotonic() - since) / QUIET_START)
        step.saw(f"{week.place.release()} {ready}", held=week.place.release() == "r0000")
    week.traffic.start()
    with week.step(
        "sixty examples that ship land by themselves", "one run; a promotion serves, a refusal is told"
    ) as step:
        loop_closes(week, step, 1, 0)
    kill(week, "gateway")


def day_2(week: Week) -> None:
    """Good examples by four ways."""
    rows, decisions, runs = week.rows, len(week.decisions()), week.runs()
    people = [Person(21 + n) for n in range(len(rows.reactions))]
    answers = [answers_to(week, person, [row.before])[0] for person, row in zip(people, rows.reactions, strict=True)]
    _inbox(week, rows.inbox)
    with week.step(f"{len(rows.http)} examples over HTTP", "all land") as step:
        body = {"rows": [row.to_json() for row in rows.http]}
        said = _said(httpx.post(f"{week.place.gateway}/v1/examples", json=body, timeout=300, trust_env=False).text)
        week.sent.append(Sent("http", rows.http, said.refused))
        step.saw(f"the platform says: {said}; in the store: {dict(week.landed(rows.http))}",
                 held=said.landed == len(rows.http) and not week.landed(rows.http)["missing"])  # fmt: skip
    with week.step(f"{len(rows.added)} examples with `correctly add`, twice", "all land, once") as step:
        said = _add(week, "added.jsonl", [json.dumps(row.to_json()) for row in rows.added] * 2)
        week.sent.append(Sent("added", rows.added, said.refused))
        step.saw(f"the platform says: {said}; in the store: {dict(week.landed(rows.added))}",
                 held=said.landed == said.duplicates == len(rows.added) and not week.landed(rows.added)["missing"])  # fmt: skip
    with week.step(f"{len(rows.reactions)} people give better versions", "each is kept and settled") as step:
        given = [
            week.traffic.react(person, answer, 1, row.after)
            for person, answer, row in zip(people, answers, rows.reactions, strict=True)
        ]
        week.sent.append(Sent("reactions", rows.reactions))
        week.wait(lambda: not week.place.store.pending_feedback(1), 120, "settled")
        step.saw(f"{sum(given)} accepted; in the store: {dict(week.landed(rows.reactions))}",
                 held=all(given) and not week.landed(rows.reactions)["missing"])  # fmt: skip
    with week.step("all of that is trained on", "one run or two; a promotion serves, a refusal is told") as step:
        loop_closes(week, step, decisions, runs, most=2)


def _inbox(week: Week, rows: Sequence[Row]) -> None:
    """A file moved into the inbox, whose process is killed as soon as the file is noticed."""
    expected = "the inbox is started again, and every row lands once"
    with week.step(f"a file of {len(rows)} examples in the inbox, and kill -9 of the inbox", expected) as step:
        written, home = week.place.home.parent / "colleagues.csv", week.place.home
        with written.open("w", newline="") as file:
            table = csv.writer(file)
            table.writerows([("before", "after"), *((row.before, row.after) for row in rows)])
        old = week.place.part("inbox")
        written.rename(home / "inbox" / written.name)
        week.sent.append(Sent("inbox", rows))
        try:
            week.wait(lambda: week.place.store.landing_under_way() or not week.landed(rows)["missing"], 20, "noticed")
        finally:
            there = len(rows) - week.landed(rows)["missing"]
            old.kill()
        week.wait(lambda: week.place.part("inbox").pid != old.pid, 60, "running again")
        week.wait((home / "inbox" / "done" / written.name).exists, 60, "landed")
        step.saw(f"{there} rows were there at the kill; afterwards {dict(week.landed(rows))}",
                 held=not week.landed(rows)["missing"])  # fmt: skip


def day_3(week: Week) -> None:
    """An upgrade in the morning, a bad file at noon, and the engine dies."""
    _upgrade(week)
    refused, held = (sum(what == kind for what, _ in BAD_LINES) for kind in ("refused", "held"))
    expected = f"{refused} rows are refused and {held} are held, each with its reason; nothing is trained"
    with week.step("a bad file: unreadable lines, personal data, foul words", expected) as step:
        accepted, runs = week.place.store.counts().accepted, week.runs()
        said = _add(week, "bad.jsonl", [line for _, line in BAD_LINES])
        time.sleep(float(os.environ["CORRECTLY_RETRAIN_QUIET_SECONDS"]) + LOOKS)
        step.saw(
            f"the platform says: {said}, {json.dumps(said.reasons)}; {week.runs() - runs} runs started",
            held=(said.refused, said.quarantined, said.landed) == (refused, held, held)
            and sum(said.reasons.values()) == len(BAD_LINES)
            and (week.place.store.counts().accepted, week.runs()) == (accepted, runs),
        )
    kill(week, "vllm")


def _upgrade(week: Week) -> None:
    """Stop, tables as the release before has them, start: as docs/upgrading.md has it, with the tables of this code one step back."""
    newest = read_migrations(week.place.settings.platform.sql_dir)[-2:]
    expected = f"a backup, then migration {newest[1].version} and Dagster's tables; every row is there, same release and answers"
    with week.step("an upgrade from tables one step back", expected) as step, week.traffic.outage("upgrade"):
        platform = week.place.settings.platform
        with week.traffic.quiet():
            answers, release = week.canaries(), week.place.release()
            week.wait(lambda: not _unwritten(week), 60, "written down")
            before = week.counts()
            week.place.down()
            database = Database(platform.store_url)
            migrate_down(database, platform.sql_dir, to=newest[0].version)
            database.close()
            _dagster_back(week)
            behind = [one.title for one in old_tables(platform)]
            backups = set(week.backups())
            ready = week.start()
        after, same = week.counts(), week.canaries() == answers
        made = [why for name, why in week.backups().items() if name not in backups]
        database = Database(platform.store_url)
        missing = [*missing_migrations(database, platform.sql_dir), *(one.title for one in old_tables(platform))]
        database.close()
        gone = {name: count - after[name] for name, count in before.items() if after[name] < count}
        step.saw(
            f"behind were {newest[1].version}, {', '.join(behind)}; backup made: {made}; still missing: {missing or 'nothing'}; "
            f"{week.place.release()} {ready}, canary answers {'the same' if same else 'OTHERS'}; rows gone: {gone or 'none'}",
            held=bool(behind and made and same) and made[0].startswith("before a migration") and not missing and not gone
            and week.place.release() == release,
        )  # fmt: skip


def _dagster_back(week: Week) -> None:
    """Take Dagster's tables one step of its own back, as Alembic has it."""
    from dagster._core.storage.runs.sqlite import sqlite_run_storage
    from dagster._core.storage.sql import create_engine, get_alembic_config, run_alembic_downgrade

    for name in DAGSTER.telling:
        engine = create_engine(f"sqlite:///{week.place.home / DAGSTER.folder / name}")
        with engine.begin() as connection:
            run_alembic_downgrade(get_alembic_config(sqlite_run_storage.__file__), connection, "-1")
        engine.dispose()


def day_4(week: Week) -> None:
    """Somebody teaches wrong corrections; the daemon dies while they are trained on; what they said is forgotten."""
    rows, vandal, most = week.rows.harmful, Person(66), int(os.environ["CORRECTLY_FEEDBACK_PER_DAY"])
    expected = f"{most} of one person land in a day at most, the others are held; none is lost"
    with week.step(f"one person gives wrong versions of {len(rows)} right sentences", expected) as step:
        decisions, runs = len(week.decisions()), week.runs()
        answers = answers_to(week, vandal, [row.before for row in rows])
        given = [week.traffic.react(vandal, answer, -1, row.after) for answer, row in zip(answers, rows, strict=True)]
        week.wait(lambda: not week.place.store.pending_feedback(1), 120, "settled")
        found = week.landed(rows)
        step.saw(f"{sum(given)} accepted; in the store: {dict(found)}",
                 held=all(given) and not found["missing"] and 0 < found["accepted"] <= most)  # fmt: skip
    expected = "the run starts again; the gate refuses what came of it, somebody is told, the champion serves on"
    with week.step("they are trained on, and kill -9 of Dagster's daemon meanwhile", expected) as step:
        week.wait(lambda: _trains(week), 300, "training")
        old = week.place.part("daemon")
        old.kill()
        week.wait(lambda: week.place.part("daemon").pid != old.pid, 120, "running again")
        loop_closes(week, step, decisions, runs, most=2, only="refused")
    refused = week.decisions()[-1]
    expected = "a run without them; the alert on the refusal is over once an adapter passes"
    with week.step(f"`correctly forget --client {vandal.address}`", expected) as step:
        decisions, runs = len(week.decisions()), week.runs()
        done = week.place.run("forget", "--client", vandal.address, "--json")
        assert done.returncode == 0, done.stderr
        week.forgotten.add(vandal.number)
        gone = Counter(week.landed(rows))
        verdict = loop_closes(week, step, decisions, runs)
        if verdict == "promoted":
            week.wait(
                lambda: week.told("resolved", "refused_gate", f"refused_gate:{refused.id}"), 30, "told it is over"
            )
        step.saw(f"of their rows {dict(gone)}; {step.observed}", held=step.held and not gone["accepted"])
    week.place.switch("schedule", "daily_backup", on=False)


def _trains(week: Week) -> bool:
    """Whether the trainer of a retraining run is some steps in."""
    path = week.place.settings.platform.progress_path
    run = week.place.runs("retrain")[-1]
    said = json.loads(path.read_text())
    # What an earlier run said last still stands there.
    return (
        not run.is_finished
        and time.time() - path.stat().st_mtime < 10
        and said.get("stage") == "train"
        and said.get("step", 0) >= 3
    )


def day_5(week: Week) -> None:
    """The parts that have not died yet do, and people turn against a release."""
    for name in week.place.names():
        if name not in ("gateway", "inbox", "vllm", "daemon"):
            kill(week, name)
    with week.step(
        "one person gives twenty thumbs down", "one person alone raises no alert and turns no release back"
    ) as step:
        angry, release, told = Person(51), week.place.release(), len(week.receiver.told)
        answers = answers_to(week, angry, _some(week.rows.asked, 20))
        given = [week.traffic.react(angry, answer, -1) for answer in answers]
        time.sleep(LOOKS)
        step.saw(
            f"{sum(given)} accepted; {week.place.release()} serves on, {len(week.receiver.told) - told} messages",
            held=all(given) and week.place.release() == release and len(week.receiver.told) == told,
        )
    with week.step("four more people give thumbs down", "an alert on votes; the release serves on") as step:
        release = week.place.release()
        for person in (Person(60 + n) for n in range(4)):
            week.traffic.react(person, answers_to(week, person, _some(week.rows.asked, 1))[0], -1)
        week.alerts.append(("votes", f"votes:{release}"))
        week.wait(lambda: week.told("raised", "votes", f"votes:{release}"), 30, "told of the votes")
        time.sleep(LOOKS)
        step.saw(f"told; {week.place.release()} serves on", held=week.place.release() == release)
    expected = "the release before it serves, somebody is told, and the alert on votes is over"
    with week.step("sixteen people give thumbs down", expected) as step:
        champion, previous = week.place.store.champion(), week.place.store.previous_release()
        assert champion is not None and previous is not None, "only one release has ever served"
        people = [Person(70 + n) for n in range(16)]
        # All are answered before the first of them votes: the last would be answered by the release that follows, and vote on that.
        given = [
            answers_to(week, person, [week.rows.asked[person.number % len(week.rows.asked)]])[0] for person in people
        ]
        for person, answer in zip(people, given, strict=True):
            week.traffic.react(person, answer, -1)
        week.wait(lambda: week.place.store.champion() != champion, 60, "rolled back")
        back = week.place.store.champion()
        assert back is not None
        seconds = week.wait(lambda: week.place.release() == back.id, 60, "served")
        week.wait(lambda: week.told("raised", "rollback", f"rollback:{back.id}"), 30, "told of the rollback")
        week.wait(lambda: week.told("resolved", "votes", f"votes:{champion.id}"), 30, "told that the votes are over")
        step.saw(f"{back.id} ({back.kind}) serves adapter {back.adapter} {seconds:.1f} s after it was written: {back.why}",
                 held=(back.kind, back.adapter) == ("rollback", previous.adapter))  # fmt: skip


def _some(texts: Sequence[str], count: int) -> list[str]:
    """So many of the texts, over and over."""
    return [texts[n % len(texts)] for n in range(count)]


def day_6(week: Week) -> None:
    """The backups have been off for two nights; a person makes one. In the evening somebody stops the retrain sensor."""
    week.alerts.append(("backup", "backup"))
    with week.step(
        "the schedule of backups has been off for two nights", "somebody is told; over after a backup"
    ) as step:
        week.wait(lambda: week.told("raised", "backup", ever=True), 30, "told that there is no recent backup")
        done = week.place.run("backup", "--json")
        assert done.returncode == 0, done.stderr
        week.wait(lambda: week.told("resolved", "backup"), 30, "told that it is over")
        week.place.switch("schedule", "daily_backup", on=True)
        step.saw(f"told, {Path(json.loads(done.stdout)['path']).name} made, told that it is over", held=True)
    expected = "all land; nothing is trained while the sensor is stopped"
    with week.step(f"the retrain sensor is stopped, and {len(week.rows.late)} examples land", expected) as step:
        week.place.switch("sensor", "retrain_sensor", on=False)
        runs = week.runs()
        said = _add(week, "late.jsonl", [json.dumps(row.to_json()) for row in week.rows.late])
        week.sent.append(Sent("late", week.rows.late, said.refused))
        time.sleep(float(os.environ["CORRECTLY_RETRAIN_QUIET_SECONDS"]) + LOOKS)
        step.saw(f"the platform says: {said}; {week.runs() - runs} runs started",
                 held=said.landed == len(week.rows.late) and week.runs() == runs)  # fmt: skip


def day_7(week: Week) -> None:
    """What landed last has waited for a day; then the disk is lost and the platform comes back from a backup."""
    week.alerts.append(("lag", "lag"))
    with week.step("examples have waited for a day", "somebody is told") as step:
        week.wait(lambda: week.told("raised", "lag", ever=True), 30, "told that examples wait")
        step.saw("told", held=True)
    expected = "one run; a promotion serves, a refusal is told; nothing waits any more, which is told"
    with week.step("the retrain sensor is started again", expected) as step:
        decisions, runs = len(week.decisions()), week.runs()
        week.place.switch("sensor", "retrain_sensor", on=True)
        loop_closes(week, step, decisions, runs)
        week.wait(lambda: week.told("resolved", "lag"), 30, "told that nothing waits")
    week.disk.append(sizes(week.place))
    _restore(week)


def _restore(week: Week) -> None:
    """A backup, then HOME is gone; the backup is brought back into an empty one."""
    expected = "every row of the backup is there, the same release gives the same answers, and nothing is trained anew"
    with week.step("the disk is lost, and the backup is restored into an empty folder", expected) as step:
        place, home = week.place, week.place.home
        with week.traffic.quiet(), week.traffic.outage("restore"):
            answers, release, runs = week.canaries(), place.release(), week.runs()
            week.wait(lambda: not _unwritten(week) and place.at_rest(), 120, "written down")
            before = week.counts()
            done = place.run("backup", "--json")
            assert done.returncode == 0, done.stderr
            made = Path(json.loads(done.stdout)["path"])
            place.down()
            shutil.rmtree(home)
            back = place.run("restore", str(made), "--json")
            assert back.returncode == 0, back.stderr
            ready = week.start()
            same, after = week.canaries() == answers, week.counts()
        time.sleep(float(os.environ["CORRECTLY_RETRAIN_QUIET_SECONDS"]) + LOOKS)
        gone = {name: count - after[name] for name, count in before.items() if after[name] < count}
        step.saw(
            f"{json.loads(back.stdout)['files']} files of {made.name} restored, {place.release()} {ready}, canary "
            f"answers {'the same' if same else 'OTHERS'}; rows gone: {gone or 'none'}; {week.runs() - runs} runs started",
            held=same and not gone and week.runs() == runs and place.release() == release,
        )


def _unwritten(week: Week) -> set[str]:
    """Answers that are not in the journal yet, but for those that were forgotten."""
    given = {answer.id for answer in list(week.traffic.answers) if answer.person not in week.forgotten}
    return given - week.place.column("SELECT id FROM correction_journal")


@dataclass(frozen=True)
class _Said:
    """What the platform says became of rows."""

    landed: int
    duplicates: int
    quarantined: int
    refused: int
    reasons: dict[str, int]

    def __str__(self) -> str:
        counts = ("landed", "duplicates", "quarantined", "refused")
        return ", ".join(f"{getattr(self, name)} {name}" for name in counts)


def _said(text: str) -> _Said:
    said = json.loads(text)
    reasons = Counter[str]()
    for one in said.get("files", [said]):
        reasons.update(one["reasons"])
    return _Said(said["landed"], said["duplicates"], said["quarantined"], said["refused"], dict(reasons))


def _add(week: Week, name: str, lines: Sequence[str]) -> _Said:
    """`correctly add` of a file with some lines; what it says."""
    path = week.place.home.parent / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = week.place.run("add", str(path), "--json")
    assert done.returncode in (0, 3), done.stderr
    return _said(done.stdout)


DAYS: tuple[Callable[[Week], None], ...] = (day_1, day_2, day_3, day_4, day_5, day_6, day_7)


def run_days(week: Week, count: int) -> None:
    """The first days of the script, with a night between two."""
    for number, day in enumerate(DAYS[:count], start=1):
        print(f"--- day {number}, {said_at(week.place.clock.now())}: {(day.__doc__ or '').splitlines()[0]}", flush=True)
        day(week)
        if number < count:
            # The schedule of backups is off from the evening of the fourth day to the sixth, and on the sixth evening examples wait.
            night(week, backup=number not in (4, 5), decided=number != 6)
