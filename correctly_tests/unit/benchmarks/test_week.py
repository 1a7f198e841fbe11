"""The sums of a week in fast motion: that they count what is wrong, seen on weeks in which something is."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks.week_ledger import alerts, served
from benchmarks.week_place import Clock, Told
from benchmarks.week_rows import BAD_LINES, week_rows
from benchmarks.week_traffic import Answer, Person, Traffic
from correctly_assets.core.ports import Refusal
from correctly_assets.curation.rows import parse_row
from correctly_assets.store.records import Decision, Release

FIRST = Release("r0000", "a0", "base", None, {}, "promotion", "", None, "2026-03-01T10:00:00.000+00:00")
SECOND = replace(FIRST, id="r0001", adapter="a1", at="2026-03-01T10:10:00.000+00:00")
BACK = replace(FIRST, id="r0002", adapter="a0", kind="rollback", at="2026-03-01T10:20:00.000+00:00")
START = 1772359200.0  # 2026-03-01T10:00:00Z


def answer(release: Release | None, sent: float, got: float, adapter: str | None = None) -> Answer:
    name = release.id if release else "r0009"
    given = adapter or (release.adapter if release else "a9")
    return Answer(f"c_{sent:.0f}", 11, name, given, "He go.", "He goes.", START + sent, START + got)


def decision(id: str, verdict: str) -> Decision:
    return Decision(id, "f", "a", verdict, (), None, 1, "r", "r", 1, None, "2026-03-01T10:00:00+00:00")  # pyright: ignore[reportArgumentType]


def told(state: str, event: str) -> Told:
    return Told(state, event.partition(":")[0], event, "", START)


def test_answers_by_the_release_that_served_are_right_also_across_a_flip() -> None:
    given = [answer(FIRST, 1, 2), answer(FIRST, 601, 605), answer(SECOND, 602, 604), answer(BACK, 1300, 1301)]
    found = served(given, [FIRST, SECOND, BACK])
    assert found.wrong == () and found.late_seconds == 1.0


def test_an_answer_by_a_release_that_did_not_serve_is_counted() -> None:
    releases = [FIRST, SECOND]
    assert len(served([answer(None, 1, 2)], releases).wrong) == 1
    assert len(served([answer(FIRST, 1, 2, adapter="a1")], releases).wrong) == 1
    early = served([answer(SECOND, 590, 599)], releases).wrong
    assert len(early) == 1 and "before that was written" in early[0]
    late = served([answer(SECOND, 601, 602), answer(FIRST, 603, 604)], releases).wrong
    assert len(late) == 1 and "after r0001 had answered" in late[0]


def test_alerts_that_were_not_told_or_told_for_nothing_are_counted() -> None:
    decisions = [decision("d1", "promoted"), decision("d2", "refused"), decision("d3", "promoted")]
    both = [told("raised", "refused_gate:d2"), told("resolved", "refused_gate:d2")]
    right = alerts(both, decisions, [FIRST], [])
    assert not right.missing and not right.false and not right.open and not right.told_too_early
    assert alerts([], decisions, [FIRST], []).missing == {"refused_gate:d2": 1}
    assert alerts([*both, *both], decisions, [FIRST], []).false == {"refused_gate:d2": 1}
    assert alerts([*both, told("raised", "disk")], decisions, [FIRST], []).false == {"disk": 1}
    assert alerts(both[:1], decisions, [FIRST], []).open == ("refused_gate:d2",)
    assert alerts(both, decisions, [FIRST], [("lag", "lag")]).missing == {"lag": 1}


def test_an_alert_lasts_while_its_cause_does_or_a_newer_one_replaces_it() -> None:
    decisions = [decision("d1", "refused"), decision("d2", "refused")]
    messages = [told("raised", "refused_gate:d1"), told("raised", "refused_gate:d2"), told("raised", "rollback:r0002")]
    found = alerts(messages, decisions, [FIRST, SECOND, BACK], [])
    assert not found.missing and not found.false and not found.open
    early = alerts([*messages, told("resolved", "rollback:r0002")], decisions, [FIRST, SECOND, BACK], [])
    assert early.told_too_early == ("rollback:r0002",)


def test_the_rows_of_a_week_are_as_many_as_it_says_and_all_different() -> None:
    rows = week_rows()
    groups = (rows.inbox, rows.http, rows.added, rows.reactions, rows.late, rows.harmful)
    assert [len(group) for group in groups] == [40, 15, 10, 6, 20, 100]
    texts = [row.before for group in groups for row in group]
    assert len(set(texts)) == len(texts) and len(set(rows.asked)) == 60
    # Of 200 different sentences a drift would be concluded.
    assert len({*texts, *rows.asked}) - len(rows.inbox + rows.http + rows.added + rows.late) < 200
    assert all(row.before != row.after for group in groups for row in group)


def test_the_bad_file_holds_lines_that_no_row_can_be_made_of() -> None:
    for what, line in BAD_LINES:
        try:
            refused = isinstance(parse_row(json.loads(line)), Refusal)
        except ValueError:
            refused = True
        assert refused == (what == "refused"), line


def test_the_clock_of_a_week_goes_on_by_whole_days(tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock")
    before = clock.now()
    clock.next_day()
    clock.next_day()
    assert 2 * 86_400 <= clock.now() - before < 2 * 86_400 + 60
    assert (tmp_path / "clock").stat().st_size == 8


def test_who_is_not_answered_counts_with_what_was_broken_or_for_itself(tmp_path: Path) -> None:
    class Busy(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Busy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    traffic = Traffic(f"http://127.0.0.1:{server.server_port}", Clock(tmp_path / "clock"), ["He go."])
    with traffic.outage("a test") as outage:
        assert traffic.ask(Person(2), "He go.") is None
    assert outage.failed == 1 and traffic.failed == []
    assert traffic.ask(Person(2), "He go.") is None
    server.shutdown()
    assert outage.failed == 1 and len(traffic.failed) == 1 and "503" in traffic.failed[0][1]
