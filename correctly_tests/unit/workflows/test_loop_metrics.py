"""The loop's metrics: what the table reads from a store in which things have happened."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from correctly_assets.core.landing import LandCounts
from correctly_assets.core.rollback import Signals, decide_rollback, rollback_kind
from correctly_assets.core.types import Correction
from correctly_assets.curation.guards import Guards
from correctly_assets.curation.land_file import land_rows
from correctly_assets.llm_api.answer_journal import Journal
from correctly_assets.llm_api.requests import ChatAnswer, ChatRequest
from correctly_assets.settings import Settings
from correctly_assets.store import Store, open_store
from correctly_assets.workflows.back_up import back_up
from correctly_assets.workflows.loop_metrics import TABLE, read_loop

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.time = NOON

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings().changed(platform={"home": tmp_path})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(settings: Settings, clock: Clock) -> Iterator[Store]:
    with open_store(settings.platform.store_url, settings.platform.sql_dir, now=clock) as opened:
        yield opened


def land(store: Store, *rows: dict[str, str]) -> None:
    land_rows(rows, store, Guards(pii="off"), source="file", name="batch.jsonl")


def test_an_empty_store_has_a_value_for_every_metric_that_can_be_zero(store: Store, settings: Settings) -> None:
    reading = read_loop(store, settings)
    assert set(reading) == {metric.name for metric in TABLE}
    assert reading["decisions"] == {("promoted",): 0, ("refused",): 0, ("failed",): 0}
    assert reading["undecided_age_seconds"] == {(): 0.0} and reading["teacher_usd"] == {(): 0.0}
    assert reading["backup_timestamp_seconds"] == {} and reading["disk_free_bytes"][()] > 0


def test_the_age_of_what_waits_for_a_decision_is_that_of_the_oldest(
    store: Store, settings: Settings, clock: Clock
) -> None:
    land(store, {"before": "He go home.", "after": "He goes home."})
    clock.time += timedelta(hours=3)
    land(store, {"before": "She like tea.", "after": "She likes tea."}, {"before": "We was late."})
    reading = read_loop(store, settings, (NOON + timedelta(hours=5)).timestamp())
    assert reading["undecided_examples"] == {(): 2}
    assert reading["undecided_age_seconds"] == {(): 5 * 3600.0}
    assert reading["examples"] == {("accepted",): 2, ("waiting",): 1, ("quarantined",): 0}


def test_rows_of_landings_are_counted_by_what_became_of_them(store: Store, settings: Settings) -> None:
    for file in ("monday.csv", "friday.csv"):
        store.record_landing(file=file, sha=None, counts=LandCounts(landed=3, duplicates=1), refused=2)
    rows = read_loop(store, settings)["landed_rows"]
    assert (rows[("landed",)], rows[("duplicates",)], rows[("refused",)]) == (6, 2, 4)


def test_decisions_releases_and_rollbacks_are_told_apart(store: Store, settings: Settings, clock: Clock) -> None:
    store.record_decision(fingerprint="f1", verdict="promoted", reasons=["better"], adapter="a")
    clock.time += timedelta(hours=1)
    store.record_decision(fingerprint="f2", verdict="refused", reasons=["worse"], adapter="b")
    scores = {"systems": {"candidate": {"gleu": 70.5, "errant_f05": 61.0, "overcorrected": 4.0, "n": 9}}}
    store.add_release(adapter="a", base_model="base", kind="promotion", why="better", scores=scores)
    store.add_release(adapter="z", base_model="base", kind="rollback", why="Rolled back from r0001: it felt wrong")
    reading = read_loop(store, settings)
    assert reading["decisions"] == {("promoted",): 1, ("refused",): 1, ("failed",): 0}
    assert reading["last_decision_timestamp_seconds"][("refused",)] == (NOON + timedelta(hours=1)).timestamp()
    assert reading["rollbacks"] == {("nan",): 0, ("fallbacks",): 0, ("votes",): 0, ("person",): 1}
    assert reading["release_score"] == {
        ("r0001", "gleu"): 70.5,
        ("r0001", "errant_f05"): 61.0,
        ("r0001", "overcorrected"): 4.0,
    }


@pytest.mark.parametrize(
    ("champion", "kind"),
    [
        (Signals(unprovable=True), "nan"),
        (Signals(corrupted=2), "nan"),
        (Signals(answers=400, failed=200), "fallbacks"),
        (Signals(ups=0, downs=40), "votes"),
    ],
)
def test_every_sentence_of_an_automatic_rollback_is_of_its_kind(champion: Signals, kind: str) -> None:
    why = decide_rollback(champion, Signals(answers=400, ups=40))
    assert why is not None
    assert rollback_kind(f"Rolled back from r0002: automatically: {why}") == kind


def test_votes_stand_under_the_release_that_answered(store: Store, settings: Settings) -> None:
    answer = Correction(
        id="c1", before="He go.", after="He goes.", edits=(), release="r0001", adapter="a", fallback=None
    )
    store.journal_correction(answer)
    store.add_feedback(source_key="k", correction_id="c1", rating=-1)
    reading = read_loop(store, settings)
    assert reading["votes"] == {("r0001", "-1"): 1} and reading["feedback"] == {("pending",): 1}


def test_money_is_what_all_requests_cost_and_follows_new_ones(store: Store, settings: Settings) -> None:
    journal = Journal(settings.platform.home / "teacher" / "journal")
    for number in (1, 2):
        request = ChatRequest(model="m", messages=(("user", str(number)),), max_tokens=9)
        journal.sending(request, 0.5)
        journal.answered(request, ChatAnswer(text="yes", model="m", cost_usd=0.25), 0.5)
        assert read_loop(store, settings)["teacher_usd"] == {(): 0.25 * number}
    now = datetime.now(UTC)
    assert journal.spent_in_all(now - timedelta(days=1)) == 0.5 and journal.spent_in_all(now + timedelta(days=1)) == 0


def test_a_backup_is_as_old_as_what_it_holds_wherever_it_stands(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    assert read_loop(store, settings)["backup_timestamp_seconds"] == {}
    first, second = (datetime(2026, 5, day, 2, 30, tzinfo=UTC) for day in (1, 2))
    back_up(settings.platform, now=first)
    half = settings.platform.backup_place / ".half"
    half.mkdir()
    (half / "backup.json").write_text("{}")
    (settings.platform.backup_place / "damaged").mkdir()
    (settings.platform.backup_place / "damaged" / "backup.json").write_text("{")
    # Their files are of today, as those of a copy are.
    assert read_loop(store, settings)["backup_timestamp_seconds"] == {(): first.timestamp()}
    back_up(settings.platform, tmp_path / "other disk", now=second)
    assert read_loop(store, settings)["backup_timestamp_seconds"] == {(): second.timestamp()}


def test_what_landed_is_shown_with_the_decision_that_saw_it(store: Store, clock: Clock) -> None:
    land(store, {"before": "He go home.", "after": "He goes home."})
    clock.time += timedelta(hours=1)
    decision = store.record_decision(fingerprint="f", verdict="promoted", reasons=["x"], adapter="a", example_ids=None)
    land(store, {"before": "She like tea.", "after": "She likes tea."})
    seen = {row["decided_at"]: row for row in store.training_of_landings()}
    assert seen[decision.at]["rows"] == 1 and seen[decision.at]["adapter"] == "a"
    assert seen[None]["rows"] == 1 and seen[None]["verdict"] is None
