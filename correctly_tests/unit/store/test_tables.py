"""The store's tables on SQLite. The same tests run on PostgreSQL in integration/test_postgres_store.py, which gives
another ``store_url``."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest

from correctly_assets.core.errors import PermanentError, UsageError
from correctly_assets.core.landing import LandCounts, LandRow, identified
from correctly_assets.core.ports import Refusal
from correctly_assets.core.retrain import rows_digest
from correctly_assets.core.types import Correction, Edit, Example, Reason
from correctly_assets.settings import PROJECT_ROOT
from correctly_assets.store import Database, Store, open_store
from correctly_assets.store.migrations import migrate_down, migrate_up, read_migrations, split_statements
from correctly_tests.fault_table import Row

SQL = PROJECT_ROOT / "sql"


class Clock:
    """A clock that moves one second whenever it is asked."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.sqlite'}"


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with open_store(store_url, SQL, now=Clock()) as opened:
        yield opened


def example(number: int = 1, **changes: object) -> Example:
    values: dict[str, object] = {
        "id": "",
        "before": f"He go to school {number}.",
        "after": f"He goes to school {number}.",
        "reasons": (Reason("go", "goes", "The subject is singular."),),
        "form": "email",
        "tone": "polite",
        "key_expressions": ("go to school",),
    }
    return Example(**{**values, **changes})  # pyright: ignore[reportArgumentType]


def held(rung: str = "pii", reason: str = "It holds a phone number.") -> Refusal:
    return Refusal(rung, reason, {"before": "Call me."})


# -- schema ------------------------------------------------------------------------------------------------------


def test_the_schema_goes_up_down_and_up_again(store_url: str) -> None:
    versions = [migration.version for migration in read_migrations(SQL)]
    database = Database(store_url)
    assert migrate_up(database, SQL) == versions
    assert migrate_up(database, SQL) == []
    assert migrate_down(database, SQL) == versions[::-1]
    assert migrate_down(database, SQL) == []
    assert migrate_up(database, SQL) == versions
    database.close()


def test_a_migration_that_fails_leaves_the_schema_as_it_was(store_url: str, tmp_path: Path) -> None:
    sql = tmp_path / "sql"
    folder = sql / "migrations"
    folder.mkdir(parents=True)
    (folder / "0001_first.up.sql").write_text("CREATE TABLE one (id TEXT);\nINSERT INTO one VALUES ('a;b -- c');\n")
    (folder / "0001_first.down.sql").write_text("DROP TABLE one;")
    (folder / "0002_second.up.sql").write_text("CREATE TABLE two (id TEXT); INSERT INTO nowhere VALUES (1);")
    (folder / "0002_second.down.sql").write_text("DROP TABLE two;")
    database = Database(store_url)
    with pytest.raises(Exception, match="nowhere"):
        migrate_up(database, sql)
    (folder / "0002_second.up.sql").write_text("CREATE TABLE two (id TEXT);")
    assert migrate_up(database, sql) == ["0002"]
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT id FROM one").scalar_one() == "a;b -- c"
    database.close()


def test_a_store_of_a_newer_release_or_an_edited_migration_is_refused(store_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "sql" / "migrations"
    folder.mkdir(parents=True)
    (folder / "0001_first.up.sql").write_text("CREATE TABLE one (id TEXT);")
    (folder / "0001_first.down.sql").write_text("DROP TABLE one;")
    (folder / "0002_second.up.sql").write_text("CREATE TABLE two (id TEXT);")
    (folder / "0002_second.down.sql").write_text("DROP TABLE two;")
    database = Database(store_url)
    migrate_up(database, folder.parent)
    (folder / "0002_second.up.sql").write_text("-- another comment\nCREATE TABLE two (id TEXT);")
    assert migrate_up(database, folder.parent) == []
    (folder / "0002_second.up.sql").write_text("CREATE TABLE two (id TEXT, name TEXT);")
    with pytest.raises(PermanentError, match="0002_second was edited"):
        migrate_up(database, folder.parent)
    (folder / "0002_second.up.sql").unlink()
    (folder / "0002_second.down.sql").unlink()
    with pytest.raises(PermanentError, match="upgrade Correctly"):
        migrate_up(database, folder.parent)
    database.close()


def test_statements_are_split_outside_quotes_and_comments() -> None:
    sql = "-- a; comment\nCREATE TABLE a (x TEXT); /* ; */ INSERT INTO a VALUES ('x;''y'); -- the end;"
    statements = split_statements(sql)
    assert len(statements) == 2
    assert statements[1].endswith("VALUES ('x;''y')")


def _open_and_count(url: str) -> int:
    with open_store(url, SQL) as opened:
        return len(opened.forms_and_tones())


@pytest.mark.fault(
    fault="four processes open a new store at once, twice each",
    stage="start",
    expected="every one of them finds the whole schema",
)
@pytest.mark.slow
def test_starters_that_open_the_store_at_once_all_find_it_ready(store_url: str, observed: Row) -> None:
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(_open_and_count, [store_url] * 8))
    observed(
        f"{len(found)} starters on {store_url.split(':')[0]} saw {len(set(found))} state, of {found[0]} forms and tones"
    )
    assert len(set(found)) == 1
    assert found[0] > 20


def test_the_taxonomy_gives_every_form_a_wording_and_a_tone(store: Store) -> None:
    rows = store.forms_and_tones()
    assert {"message", "email", "essay", "review", "report", "dialogue"} <= {row.form for row in rows}
    assert all(row.form_form and row.tone_name and row.wording for row in rows)
    assert {"en", "ko"} <= store.languages()


# -- landing -----------------------------------------------------------------------------------------------------


def test_an_example_comes_back_as_it_landed(store: Store) -> None:
    full = identified(
        example(topic="school", language="ko", style="plain", speaker="a pupil", cefr="B1", licence="CC0", source="me",
                verified=True, reason="Agreement.")
    )  # fmt: skip
    store.land([LandRow(full, line=7)], file="rows.csv")
    stored = store.get(full.id[:6])
    assert stored.example == full
    assert (stored.status, stored.source_file, stored.source_line) == ("accepted", "rows.csv", 7)
    assert list(store.accepted()) == [full]


def test_landing_the_same_rows_again_changes_nothing(store: Store) -> None:
    rows = [example(1), example(2), example(1), example(3, after=None, reasons=())]
    assert store.land(rows) == LandCounts(landed=3, duplicates=1, waiting=1)
    digest, at = store.accepted_digest(), store.last_landed_at()
    assert store.land(rows, batch_rows=1) == LandCounts(landed=0, duplicates=4)
    assert (store.accepted_digest(), store.last_landed_at()) == (digest, at)
    assert store.counts().landed == 3


def test_rows_are_equal_by_content_and_not_by_label(store: Store) -> None:
    store.land([example(1)])
    assert store.land([example(1, form="essay", tone=None, topic="x", source="other")]).duplicates == 1
    assert store.land([example(1, reasons=())]).landed == 1


def test_accepted_rows_are_read_in_pages_in_the_order_of_their_ids(store: Store) -> None:
    store.land(example(n) for n in range(25))
    ids = [row.id for row in store.accepted()]
    assert ids == sorted(ids)
    assert len(ids) == 25
    first = [row.id for row in store.accepted(limit=10)]
    rest = [row.id for row in store.accepted(after=first[-1])]
    assert first + rest == ids


def _land_numbers(url: str, start: int, stop: int) -> int:
    with open_store(url, SQL) as opened:
        return opened.land((example(n) for n in range(start, stop)), batch_rows=20).landed


@pytest.mark.fault(
    fault="four processes land overlapping rows at once",
    stage="landing",
    expected="every row lands once",
)
@pytest.mark.slow
def test_writers_at_once_land_every_row_exactly_once(store: Store, store_url: str, observed: Row) -> None:
    ranges = [(0, 300), (100, 400), (200, 500), (0, 500)]
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        landed = sum(pool.map(_land_numbers, [store_url] * 4, *zip(*ranges, strict=True)))
    kept = store.counts().accepted
    observed(f"{landed} landed and {kept} kept of 500, on {store_url.split(':')[0]}", rows_lost=500 - kept)
    assert landed == kept == 500


@pytest.mark.fault(
    fault="kill -9 of a process that lands rows",
    stage="landing",
    expected="whole batches are kept; landing again adds what is missing, once",
)
def test_a_killed_landing_keeps_whole_batches_and_is_completed_by_another(
    store: Store, store_url: str, observed: Row
) -> None:
    script = (
        "import sys\n"
        "from correctly_tests.unit.store.test_tables import SQL, example\n"
        "from correctly_assets.store import open_store\n"
        "def rows():\n"
        "    for n in range(10**6):\n"
        "        if n == 500: print('ready', flush=True)\n"
        "        yield example(n)\n"
        "open_store(sys.argv[1], SQL).land(rows(), batch_rows=100)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script, store_url], stdout=subprocess.PIPE, cwd=PROJECT_ROOT)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    child.kill()
    child.wait()
    child.stdout.close()
    kept = store.counts().accepted
    assert kept >= 400
    assert kept % 100 == 0
    again = store.land((example(n) for n in range(kept + 50)), batch_rows=100)
    lost = kept + 50 - store.counts().accepted
    observed(f"{kept} rows kept, 50 landed behind them, on {store_url.split(':')[0]}", rows_lost=lost)
    assert again == LandCounts(landed=50, duplicates=kept)


def test_the_digest_is_that_of_the_accepted_rows_and_follows_each_change(store: Store) -> None:
    empty = store.accepted_digest()
    store.land([example(1), example(2)])
    both = store.accepted_digest()
    assert both == rows_digest(store.accepted_hashes()) != empty
    waiting = identified(example(3, after=None, reasons=()))
    store.land([waiting])
    assert store.accepted_digest() == both
    store.complete_waiting(waiting.id, "Done.")
    assert store.accepted_digest() == rows_digest(store.accepted_hashes()) != both
    store.forget(waiting.id)
    assert store.accepted_digest() == both


def test_a_waiting_example_is_completed_once(store: Store) -> None:
    waiting = identified(example(1, after=None, reasons=()))
    store.land([waiting])
    assert [row.id for row in store.waiting()] == [waiting.id]
    assert store.complete_waiting(waiting.id, "He goes to school 1.", [Reason("go", "goes", "Agreement.")])
    assert not store.complete_waiting(waiting.id, "Something else.")
    done = store.get(waiting.id).example
    assert (done.after, done.reasons[0].now) == ("He goes to school 1.", "goes")
    assert list(store.waiting()) == []
    assert store.land([waiting]).duplicates == 1


def test_an_id_that_is_unknown_or_stands_for_several_is_said_so(store: Store) -> None:
    store.land(example(n) for n in range(40))
    with pytest.raises(UsageError, match="No example"):
        store.get("zzz")
    with pytest.raises(UsageError, match="No example"):
        store.get("")
    with pytest.raises(UsageError, match="No example"):
        store.get("%")
    letter = next(c for c in "0123456789abcdef" if sum(row.id[0] == c for row in store.accepted()) > 1)
    with pytest.raises(UsageError, match="More than one"):
        store.get(letter)


def test_a_correction_that_lands_again_as_verified_is_verified_from_then(store: Store) -> None:
    store.land([example(1), example(2)])
    first = next(store.accepted())
    assert store.land([replace(first, verified=True)]) == LandCounts(duplicates=1)
    assert [row.verified for row in store.accepted()] == [True, False]
    store.land([first])
    assert [row.verified for row in store.accepted()] == [True, False]


# -- decisions ---------------------------------------------------------------------------------------------------


def test_rows_are_new_until_a_decision_whose_snapshot_held_them(store: Store) -> None:
    store.land([example(1), example(2)])
    assert store.new_since_decision() == 2
    snapshot = [row.id for row in store.accepted()]
    store.land([example(3)])  # lands during training
    store.record_decision(fingerprint="f1", verdict="promoted", reasons=["Good."], example_ids=snapshot)
    assert store.new_since_decision() == 1
    store.record_decision(fingerprint="f2", verdict="failed", reasons=["Gave up."], example_ids=None)
    assert store.new_since_decision() == 0
    assert store.get(snapshot[0]).decided_in == "f1"


def test_a_removed_row_counts_until_a_decision_without_it(store: Store) -> None:
    store.land([example(1), example(2), example(3)])
    first, second, third = (row.id for row in store.accepted())
    store.record_decision(fingerprint="f1", verdict="promoted", reasons=[], example_ids=[first, second, third])
    store.forget(first)
    assert (store.new_since_decision(), store.removed_since_decision()) == (0, 1)
    # Its snapshot was written before the second row was taken away, so that removal is still to be decided.
    store.forget(second)
    store.record_decision(fingerprint="f2", verdict="refused", reasons=[], example_ids=[second, third])
    assert store.removed_since_decision() == 1
    store.record_decision(fingerprint="f3", verdict="promoted", reasons=[], example_ids=[third])
    assert store.removed_since_decision() == 0


def test_a_row_released_from_quarantine_after_a_decision_without_it_is_new(store: Store) -> None:
    store.land([example(1), example(2)])
    first, second = (row.id for row in store.accepted())
    store.record_decision(fingerprint="f1", verdict="promoted", reasons=[], example_ids=[first, second])
    store.quarantine_example(first, held())
    store.record_decision(fingerprint="f2", verdict="promoted", reasons=[], example_ids=[second])
    store.release_quarantined(first)
    assert (store.new_since_decision(), store.removed_since_decision()) == (1, 0)


def test_decisions_are_kept_in_order(store: Store) -> None:
    assert store.last_decision() is None
    for number in range(3):
        store.record_decision(
            fingerprint=f"f{number}", verdict="refused", reasons=["Worse.", "Longer."], adapter="a1", run_id="run",
            attempt=2, rows_digest="r", recipe_digest="c", accepted=5, train_set="t1",
        )  # fmt: skip
    last = store.last_decision()
    assert last is not None
    assert (last.id, last.fingerprint, last.reasons) == ("d0003", "f2", ("Worse.", "Longer."))
    assert (last.attempt, last.rows_digest, last.recipe_digest, last.accepted, last.train_set) == (2, "r", "c", 5, "t1")
    assert [decision.id for decision in store.decisions(2)] == ["d0003", "d0002"]


def test_the_newest_release_is_champion_and_rollback_returns_to_the_last(store: Store) -> None:
    assert store.champion() is None
    assert store.previous_release() is None
    for adapter, kind in (("A", "promotion"), ("B", "promotion"), ("B", "override"), ("A", "rollback")):
        store.add_release(adapter=adapter, base_model="gemma", kind=kind, why="x", scores={"gleu": 50.5})  # pyright: ignore[reportArgumentType]
    champion, previous = store.champion(), store.previous_release()
    assert champion is not None
    assert previous is not None
    assert (champion.id, champion.adapter, champion.previous, champion.scores) == (
        "r0004",
        "A",
        "r0003",
        {"gleu": 50.5},
    )
    assert (previous.id, previous.adapter) == ("r0003", "B")
    assert store.release_named("r0002") is not None
    assert store.release_named("r0009") is None


def test_releases_made_at_once_get_numbers_of_their_own(store: Store) -> None:
    def release(number: int) -> str:
        return store.add_release(adapter=f"A{number}", base_model="b", kind="promotion", why="x").id

    with ThreadPoolExecutor(8) as pool:
        ids = sorted(pool.map(release, range(24)))
    assert ids == [f"r{number:04}" for number in range(1, 25)]


# -- quarantine --------------------------------------------------------------------------------------------------


def test_a_held_row_stays_out_until_it_is_released(store: Store) -> None:
    counts = store.land(
        [LandRow(example(1), held=held()), LandRow(example(2, after=None, reasons=()), held=held("x", "Y."))]
    )
    assert counts == LandCounts(landed=2, quarantined=2)
    assert list(store.accepted()) == []
    assert store.quarantine_reasons() == {"It holds a phone number.": 1, "Y.": 1}
    for item in store.quarantined():
        store.release_quarantined(item.id)
    assert store.counts().accepted == 1
    assert store.counts().waiting == 1
    assert store.quarantined() == []
    assert len(store.quarantined("released")) == 2


def test_a_dropped_row_loses_its_text_and_does_not_land_again(store: Store) -> None:
    row = identified(example(1))
    store.land([LandRow(row, held=held())])
    dropped = store.drop_quarantined(row.id[:8])
    assert dropped.example_id == row.id
    assert store.get(row.id).status == "forgotten"
    assert store.get(row.id).example.before == ""
    assert store.quarantined("dropped")[0].row == {}
    assert store.land([row]).duplicates == 1
    with pytest.raises(UsageError, match="Nothing in quarantine"):
        store.drop_quarantined(row.id[:8])


def test_rows_that_are_no_examples_can_be_kept_in_quarantine(store: Store) -> None:
    [id] = store.quarantine([Refusal("straddles", "It straddles both splits.", {"before": "x"})])
    assert store.quarantined()[0].id == id
    assert store.quarantined()[0].example_id is None
    store.release_quarantined(id)
    assert store.counts().landed == 0


# -- journal and feedback ----------------------------------------------------------------------------------------


def correction(id: str = "c1", before: str = "He go.") -> Correction:
    return Correction(
        id, before, "He goes.", (Edit(3, 5, "go", "goes", "R:VERB:SVA", "Agreement.", "rule"),), "r0001", "A"
    )


def test_an_answer_is_journalled_once_and_found_by_the_beginning_of_its_id(store: Store) -> None:
    store.journal_correction(correction("abc1"), client="cli", chat_id="chat", seconds=0.5, tokens=12)
    store.journal_correction(correction("abc1", "Something else."))
    entry = store.correction("abc")
    assert entry is not None
    assert (entry.before, entry.edits[0].type, entry.client, entry.seconds) == ("He go.", "R:VERB:SVA", "cli", 0.5)
    assert store.correction("zzz") is None
    assert store.correction("") is None
    store.journal_correction(correction("abc2"))
    with pytest.raises(UsageError, match="More than one"):
        store.correction("abc")
    assert [entry.id for entry in store.corrections(chat_id="chat")] == ["abc1"]


def test_the_same_feedback_counts_once_and_a_turned_thumb_is_pending_again(store: Store) -> None:
    key, about = "chat:1", "c1"
    first = store.add_feedback(source_key=key, correction_id=about, rating=1)
    assert store.add_feedback(source_key=key, correction_id=about, rating=1) == first
    assert store.settle_feedback(first.id, "thumb", message="Counted.", thumb=("He go.", "He goes."))
    assert not store.settle_feedback(first.id, "ignored", message="Again.")
    assert store.add_feedback(source_key=key, correction_id=about, rating=1).state == "thumb"
    assert [thumb.before for thumb in store.thumbs()] == ["He go."]
    turned = store.add_feedback(
        source_key=key, correction_id=about, rating=-1, better="He went.", edits=[{"index": 0, "accepted": False}]
    )
    assert (turned.id, turned.state, turned.edits) == (first.id, "pending", ({"index": 0, "accepted": False},))
    assert list(store.thumbs()) == []
    assert [item.id for item in store.pending_feedback()] == [first.id]


def test_a_person_who_votes_often_counts_once_for_the_side_they_took(store: Store) -> None:
    def vote(giver: str | None, *ratings: int) -> None:
        for number, rating in enumerate(ratings):
            id = f"c{giver}{number}"
            store.journal_correction(correction(id))
            store.add_feedback(source_key=f"k{id}", correction_id=id, rating=rating, giver=giver)

    vote("api:pupil", *[-1] * 10)
    vote("api:teacher", 1, 1, -1)
    vote("api:torn", 1, -1)
    vote("api:silent", 0)
    vote(None, -1, -1, -1)
    signals = store.signals("r0001")
    assert (signals.ups, signals.downs) == (1, 2)
    assert store.votes() == {("r0001", 1): 3, ("r0001", -1): 15}


def test_what_was_taken_back_counts_no_more(store: Store) -> None:
    store.journal_correction(correction("c1"))
    for key in ("open-webui:1", "open-webui:2", "api:me:c1"):
        one = store.add_feedback(source_key=key, correction_id="c1", rating=1, giver=key)
        store.settle_feedback(one.id, "thumb", message="Counted.", thumb=("He go.", "He goes."))
    assert store.feedback_keys("open-webui:") == {"open-webui:1", "open-webui:2"}
    assert store.withdraw_feedback(["open-webui:1", "open-webui:9"]) == 1
    assert (store.signals("r0001").ups, len(list(store.thumbs()))) == (2, 2)


def test_a_reviewer_reads_what_people_ticked_and_wrote_beside_the_answer(store: Store) -> None:
    store.journal_correction(correction("c1"))
    store.add_feedback(source_key="1", correction_id="c1", rating=-1, comment="Too stiff.", ticked=["not helpful"])
    store.add_feedback(source_key="2", correction_id="gone", rating=1)
    [down] = store.reactions(rating=-1)
    assert (down.before, down.after, down.release) == ("He go.", "He goes.", "r0001")
    assert (down.feedback.comment, down.feedback.ticked) == ("Too stiff.", ("not helpful",))
    assert {one.after for one in store.reactions()} == {"He goes.", None}
    again = store.add_feedback(source_key="1", correction_id="c1", rating=-1, comment="Too stiff.", ticked=["other"])
    assert again.ticked == ("other",) and store.reactions(rating=-1)[0].feedback.ticked == ("other",)


def test_old_answers_are_pruned_but_not_those_that_feedback_waits_for(store: Store) -> None:
    for id in ("c1", "c2", "c3"):
        store.journal_correction(correction(id))
    store.add_feedback(source_key="k", correction_id="c2", rating=1)
    entry = store.correction("c3")
    assert entry is not None
    assert store.prune_journal(entry.at) == 1
    assert {entry.id for entry in store.corrections()} == {"c2", "c3"}


# -- forgetting --------------------------------------------------------------------------------------------------


def test_a_forgotten_example_leaves_no_text_in_any_table(store: Store) -> None:
    secret = identified(
        example(1, before="My Secretword go home.", after="My Secretword goes home.", topic="Secretword")
    )
    store.land([LandRow(secret, line=1, held=held())], file="Secretword.csv")
    store.release_quarantined(secret.id)
    store.journal_correction(correction("c1", before="My secretword go home"))
    store.add_feedback(source_key="k", correction_id="c1", rating=1, better="Secretword", comment="Secretword")
    store.settle_feedback(
        store.pending_feedback()[0].id, "thumb", message="x", thumb=(secret.before, secret.after or "")
    )
    forgotten = store.forget(secret.id[:8])
    assert (forgotten.example_id, forgotten.answers) == (secret.id, 1)
    tables = ("text_repository", "correction_script", "quarantine", "correction_journal", "feedback", "thumb")
    with store.database.read() as connection:
        for table in tables:
            for row in connection.exec_driver_sql(f"SELECT * FROM {table}"):
                assert "secretword" not in str(tuple(row)).lower(), table
    assert store.counts().forgotten == 1
    assert store.land([secret]).duplicates == 1


def test_forgetting_waits_for_nothing_and_can_be_asked_twice(store: Store) -> None:
    row = identified(example(1))
    store.land([row])
    store.forget(row.id)
    assert store.forget(row.id).answers == 0
    with pytest.raises(UsageError, match="No example"):
        store.forget("nope")
