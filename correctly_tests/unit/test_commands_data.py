"""The commands over data, from their words to their exit codes, on a real store."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from correctly_assets import cli
from correctly_assets.core.landing import identified
from correctly_assets.core.ports import Refusal
from correctly_assets.core.retrain import RetrainPolicy, RetrainState, decide_retrain, fingerprint
from correctly_assets.core.teaching import ChatAnswer, ChatRequest, Recorder
from correctly_assets.core.types import Example, Reason, TrainPair
from correctly_assets.curation.near import NearIndex
from correctly_assets.curation.search import NeighbourIndex
from correctly_assets.resources.store import StoreResource
from correctly_assets.runtime.generate import generate, thinnest_cells, write_new_examples
from correctly_assets.runtime.join import make_platform_teacher
from correctly_assets.runtime.train_sets import make_train_set
from correctly_assets.runtime.waiting import complete_waiting
from correctly_assets.settings import Settings, get_settings
from correctly_assets.store import Store, open_store
from correctly_assets.store.derived import Derived
from correctly_assets.store.rejected import read_rejected, write_rejected
from correctly_assets.store.search import CellCount
from correctly_assets.store.snapshots import write_examples_snapshot
from correctly_assets.store.train_set import write_train_set
from correctly_assets.teachers.exemplars import Cell
from correctly_assets.teachers.journal import Journal
from correctly_assets.teachers.recorded import request_from
from correctly_tests.loopback import answer
from correctly_tests.teaching_fakes import GOOD, ChatServer, completion, teacher

pytestmark = pytest.mark.slow

Run = Callable[..., tuple[int, str, str]]
ROWS = [
    {"before": "He go to the bus station.", "after": "He goes to the bus station.", "form": "email", "tone": "polite",
     "topic": "Travel by bus", "cefr": "A2", "reasons": [{"was": "go", "now": "goes", "reason": "He is one person."}]},
    {"before": "I am agree with the price.", "after": "I agree with the price.", "form": "email", "tone": "annoyed",
     "topic": "orders", "cefr": "B1"},
    {"before": "The film was bored, 100% of it.", "after": "The film was boring, 100% of it.", "form": "review",
     "tone": "neutral", "topic": "films", "cefr": "B1"},
    {"before": "I wait for correcting.", "form": "diary", "tone": "worried"},
]  # fmt: skip


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `correctly WORDS`: (exit code, standard output, standard error)."""

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["correctly", *words])
        get_settings.cache_clear()
        try:
            cli.main()
            code: Any = 0
        except SystemExit as end:
            code = end.code
        said = capsys.readouterr()
        return int(code or 0), said.out, said.err

    return call


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with open_store(settings.store_url, settings.sql_dir) as opened:
        yield opened


def landed(run: Run, tmp_path: Path, rows: list[dict[str, Any]] = ROWS) -> dict[str, str]:
    """Land rows by the command; {before: id}."""
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, _, error = run("add", str(file))
    assert code == 0, error
    return {row["before"]: row["id"] for row in json.loads(run("examples", "--json")[1])}


def ids(run: Run, *words: str) -> list[str]:
    code, out, error = run("examples", "--json", *words)
    assert code == 0, error
    return [row["before"].split()[0] + " " + row["before"].split()[-1] for row in json.loads(out)]


# -- examples ------------------------------------------------------------------------------------------------------


def test_examples_are_found_by_what_they_are_and_by_their_words(run: Run, tmp_path: Path) -> None:
    landed(run, tmp_path)
    assert sorted(ids(run, "--form", "email")) == ["He station.", "I price."]
    assert ids(run, "--form", "Email", "--tone", "annoyed") == ["I price."]
    assert ids(run, "--topic", "BUS") == ["He station."]
    assert sorted(ids(run, "--level", "b1")) == ["I price.", "The it."]
    assert ids(run, "--status", "waiting") == ["I correcting."]
    assert ids(run, "--text", "station GOES") == ["He station."]
    assert ids(run, "--text", "station price") == []
    assert ids(run, "--text", "100%") == ["The it."]
    assert ids(run, "--text", "%_%") == []
    assert len(ids(run, "--limit", "2")) == 2
    assert ids(run, "--language", "ko") == []
    assert ids(run, "--source", "nowhere") == []
    code, _, error = run("examples", "--status", "lost")
    assert code == 2 and "accepted" in error


def test_examples_like_a_text_come_most_alike_first_and_within_the_filters(run: Run, tmp_path: Path) -> None:
    landed(run, tmp_path)
    code, out, _ = run("examples", "--like", "goes to the station by bus", "--json", "--limit", "2")
    found = json.loads(out)
    assert code == 0 and found[0]["before"] == ROWS[0]["before"] and len(found) == 2
    assert found[0]["likeness"] > found[1]["likeness"]
    assert ids(run, "--like", "goes to the station by bus", "--form", "review") == ["The it."]
    assert "→ He goes to the bus station." in run("examples", "--text", "bus")[1]


# -- quarantine ----------------------------------------------------------------------------------------------------


def test_a_row_in_quarantine_is_listed_and_let_back(run: Run, tmp_path: Path, store: Store) -> None:
    landed(
        run, tmp_path, [{"before": "Write at me: jo.bloggs@example.org", "after": "Write to me: jo.bloggs@example.org"}]
    )
    [item] = json.loads(run("quarantine", "list", "--json")[1])
    assert item["rung"] == "pii" and item["row"]["before"].startswith("Write at me")
    assert store.counts().accepted == 0
    code, out, _ = run("quarantine", "release", item["id"][:6], "--json")
    assert code == 0 and json.loads(out)["status"] == "accepted" and store.counts().accepted == 1
    assert json.loads(run("quarantine", "list", "--json")[1]) == []
    assert [row["state"] for row in json.loads(run("quarantine", "list", "--state", "released", "--json")[1])] == [
        "released"
    ]
    code, _, error = run("quarantine", "release", item["id"])
    assert code == 2 and "quarantine list" in error


def test_a_dropped_row_leaves_no_text_behind(run: Run, tmp_path: Path, store: Store, settings: Settings) -> None:
    landed(
        run,
        tmp_path,
        [{"before": "Call Ottilie at ottilie@example.org", "after": "Ring Ottilie at ottilie@example.org"}],
    )
    [item] = json.loads(run("quarantine", "list", "--json")[1])
    assert run("quarantine", "drop", item["example_id"])[0] == 0
    store.close()
    assert b"ottilie" not in b"".join(path.read_bytes() for path in settings.home.glob("store.sqlite*"))
    assert json.loads(run("quarantine", "list", "--state", "dropped", "--json")[1])[0]["row"] == {}


# -- verified ------------------------------------------------------------------------------------------------------


def test_corrections_that_a_person_vouches_for_weigh_more_in_the_train_set(
    run: Run, tmp_path: Path, store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORRECTLY_TRAIN_PAIRS", "12")
    known = landed(run, tmp_path)
    assert not any(row.verified for row in store.accepted())
    mine = tmp_path / "mine.jsonl"
    fresh = {"before": "She have two sister in Leeds.", "after": "She has two sisters in Leeds."}
    mine.write_text("".join(json.dumps(row) + "\n" for row in (fresh, ROWS[0], {"before": "It wait here too."})))
    code, out, error = run("add", "--verified", str(mine), "--json")
    assert code == 0, error
    assert {name: json.loads(out)[name] for name in ("landed", "duplicates", "waiting")} == {
        "landed": 2, "duplicates": 1, "waiting": 1,
    }  # fmt: skip
    assert {row.before for row in store.accepted() if row.verified} == {fresh["before"], ROWS[0]["before"]}
    # What waits is corrected by a teacher, for whom nobody vouches.
    assert not any(row.verified for row in store.waiting())
    examples = write_examples_snapshot(store, settings.snapshots_dir)
    made = make_train_set(get_settings(), examples_snapshot=examples.id, log=lambda _: None)
    weights = {pair.before: pair.weight for pair in made.pairs if pair.origin == "human"}
    assert weights == dict.fromkeys((fresh["before"], ROWS[0]["before"]), settings.human_weight)
    assert known[ROWS[0]["before"]] in {pair.example_id for pair in made.pairs if pair.origin == "human"}


# -- forget --------------------------------------------------------------------------------------------------------


def test_forgetting_reaches_everything_made_of_the_row_and_wants_a_new_run(
    run: Run, tmp_path: Path, store: Store, settings: Settings
) -> None:
    known = landed(run, tmp_path)
    source = known[ROWS[0]["before"]]
    child = Example("", "He going to a bus station.", "He goes to the bus station.")
    store.land([child])
    child_id = next(row.id for row in store.accepted() if row.before == child.before)
    # The link is written by hand here, since a row that landed first gets none.
    with store.database.write() as connection:
        connection.exec_driver_sql(f"INSERT INTO derived VALUES ('{child_id}', '{source}', 'embedded', 'now')")
    examples = write_examples_snapshot(store, settings.snapshots_dir)
    pairs = [TrainPair(row.id, row.id, "example", row.before, row.after or "") for row in store.accepted()]
    train_set = write_train_set(pairs, settings.snapshots_dir, {}, sql_dir=settings.sql_dir)
    write_rejected(
        train_set.path,
        [
            Refusal("size", "Too much.", {"example_id": source, "before": "bus"}),
            Refusal("size", "No.", {"id": "other"}),
        ],
    )
    adapter = settings.adapters_dir / "cafe00000001"
    adapter.mkdir(parents=True)
    (adapter / "manifest.json").write_text(json.dumps({"train_set": train_set.id}))
    digest = store.accepted_digest()
    store.record_decision(
        fingerprint=fingerprint(digest, {}), adapter="cafe00000001", verdict="promoted", reasons=("Better.",), run_id=None,
        rows_digest=digest, recipe_digest="r", accepted=4, train_set=train_set.id, example_ids=None,
    )  # fmt: skip
    near = NearIndex(settings.home / "near")
    assert len(list(near.place((row.id, row.after or "") for row in store.accepted()))) == 4
    journal = Journal(settings.home / "teacher" / "journal")
    showing = ChatRequest("m", (("user", json.dumps({"before": ROWS[0]["before"], "say": 'a "quote"'})),), 10)
    other = ChatRequest("m", (("user", "Something else."),), 10)
    for request in (showing, other):
        journal.sending(request, 0.0)
        journal.answered(request, ChatAnswer("{}", "m"), 0.0)

    # `learning-curve` and `bakeoff` that were stopped with Ctrl-C leave their parts of the train set behind.
    curve, bakeoff = (settings.checkpoints_dir / f"{kind}-{train_set.id}" for kind in ("learning-curve", "bakeoff"))
    own = settings.checkpoints_dir / "0123456789abcdef"
    for part in (curve / "25", bakeoff, own):
        part.mkdir(parents=True)
    for part in (curve / "25", bakeoff):
        parquet.write_table(
            arrow.Table.from_pylist([{"before": child.before}]), part / "pairs.parquet", compression=None
        )

    code, out, error = run("forget", source[:10], "--json")
    assert code == 0, error
    assert (curve.exists(), bakeoff.exists(), own.exists()) == (False, False, True)
    gone = json.loads(out)
    assert (gone["example_id"], gone["derived"], gone["adapters"]) == (source, [child_id], ["cafe00000001"])
    assert set(gone["snapshots"]) == {examples.id, train_set.id}
    assert gone["requests"] == 1 and journal.answer(showing) is None and journal.answer(other) is not None
    assert gone["retrain"] is True
    assert any("rows.jsonl" in sentence and "line 1" in sentence for sentence in gone["left"])
    assert [refusal.reason for refusal in read_rejected(train_set.path)] == ["No."]
    assert all("bus station" not in row["before"] for row in json.loads(run("examples", "--json")[1]))
    store.close()
    kept = [path for path in settings.home.rglob("*") if path.is_file()]
    assert not [path for path in kept if b"bus station" in path.read_bytes()]
    assert len(NearIndex(settings.home / "near")) == 2
    # What the sensor decides over: the fingerprint differs, and the removal is the reason it gives.
    decision = decide_retrain(
        RetrainState(
            want=fingerprint(store.accepted_digest(), {}), decided=fingerprint(digest, {}), accepted=2,
            new_examples=store.new_since_decision(), seconds_since_landing=60, in_flight=(), attempts=0,
            removed_examples=store.removed_since_decision(),
        ),
        RetrainPolicy(min_examples=5),
    )  # fmt: skip
    assert decision.action == "run" and "2 examples removed" in decision.says


def test_a_row_that_somebody_landed_is_never_linked_to_another(store: Store) -> None:
    store.land([Example("", "He go.", "He goes."), Example("", "She go.", "She goes.")])
    one, two = store.accepted()
    assert store.link_derived([Derived(one.id, two.id, "embedded")]) == 0
    assert store.link_derived([Derived("f" * 16, two.id, "embedded")]) == 1
    assert store.derived_from(two.id) == []  # nothing has landed under that id
    assert store.forget(two.id).derived == () and store.counts().accepted == 1


def test_forgetting_what_is_not_there_is_said_with_exit_2(run: Run) -> None:
    code, _, error = run("forget", "feed")
    assert code == 2 and "correctly examples" in error


# -- rejected ------------------------------------------------------------------------------------------------------


def test_what_was_refused_is_shown_by_rung_with_its_words(run: Run, tmp_path: Path, settings: Settings) -> None:
    assert run("rejected")[0] == 0
    landed(run, tmp_path, [{"before": "Mail me: jo@example.org", "after": "Email me: jo@example.org"}])
    for name, rungs in (("aaa", ["size"]), ("bbb", ["names", "names", "reasons"])):
        write_rejected(
            settings.snapshots_dir / name, [Refusal(rung, f"It fell at {rung}.", {"before": "Text."}) for rung in rungs]
        )
    shown = json.loads(run("rejected", "--json")[1])
    assert shown["train_set"] == "bbb"
    assert [(rung["rung"], rung["count"]) for rung in shown["pairs"]] == [("names", 2), ("reasons", 1)]
    assert shown["pairs"][0]["reasons"] == [{"reason": "It fell at names.", "count": 2, "row": {"before": "Text."}}]
    assert list(shown["held_by_guards"].values()) == [1]
    assert json.loads(run("rejected", "--train-set", "aaa", "--json")[1])["pairs"][0]["rung"] == "size"
    assert "2 × It fell at names." in run("rejected")[1]
    write_rejected(settings.home / "teacher", [Refusal("differs", "Nothing was changed.", {})])
    assert [rung["rung"] for rung in json.loads(run("rejected", "--json")[1])["new_examples"]] == ["differs"]
    code, _, error = run("rejected", "--train-set", "ccc")
    assert code == 1 and "keeps no refusals" in error


# -- data ----------------------------------------------------------------------------------------------------------


def test_the_rows_of_an_adapter_are_checked_out_by_command(
    run: Run, tmp_path: Path, store: Store, settings: Settings
) -> None:
    landed(run, tmp_path)
    examples = write_examples_snapshot(store, settings.snapshots_dir)
    pairs = [TrainPair(row.id, row.id, "example", row.before, row.after or "") for row in store.accepted()]
    train_set = write_train_set(pairs, settings.snapshots_dir, {}, sql_dir=settings.sql_dir)
    adapter = settings.adapters_dir / "cafe00000001"
    adapter.mkdir(parents=True)
    (adapter / "manifest.json").write_text(json.dumps({"train_set": train_set.id, "examples_snapshot": examples.id}))
    code, out, error = run("data", "checkout", "cafe", "--to", str(tmp_path / "out"), "--json")
    assert code == 0, error
    found = json.loads(out)
    assert (found["train_set"]["rows"], found["examples"]["rows"]) == (3, 3)
    assert (tmp_path / "out" / "train_set" / "train.parquet").read_bytes() == (
        train_set.path / "train.parquet"
    ).read_bytes()
    code, _, error = run("data", "push")
    assert code == 2 and "CORRECTLY_DVC_REMOTE" in error


# -- generate ------------------------------------------------------------------------------------------------------


def test_the_thinnest_cells_come_first_and_the_choice_spreads(store: Store) -> None:
    taxonomy = [row for row in store.forms_and_tones() if row.form in ("email", "diary")]
    tones = {(row.form, row.tone) for row in taxonomy}
    full = [CellCount(form, tone, "travel", 10) for form, tone in sorted(tones)[1:]]
    cells = thinnest_cells(taxonomy, full, 12, topics=["travel", "health"])
    assert sum(cell.wanted for cell in cells) == 12
    assert (cells[0].form, cells[0].tone) == sorted(tones)[0]
    # Three times three fill the empty cell up to the others; the next example goes elsewhere.
    assert [(cell.form, cell.tone) for cell in cells].count(sorted(tones)[0]) == 4
    assert {cell.topic for cell in cells} == {"health"}
    assert len({(c.form, c.tone) for c in thinnest_cells(taxonomy, [], 3 * len(tones))}) == len(tones)


@pytest.mark.slow
def test_the_embedded_teacher_derives_examples_that_know_their_source(run: Run, tmp_path: Path, store: Store) -> None:
    known = landed(run, tmp_path)
    code, out, error = run("generate", "--count", "4", "--json")
    assert code == 0, error
    done = json.loads(out)
    assert done["landed"] == 4 and done["teacher"] == "embedded" and sum(c["landed"] for c in done["cells"]) == 4
    fresh = [row for row in json.loads(run("examples", "--json")[1]) if row["id"] not in known.values()]
    afters = {row["before"]: row.get("after") for row in ROWS}
    for row in fresh:
        assert row["derived_from"] in known.values() and row["source"] == "teacher:embedded" and row["reasons"]
        assert row["before"] != row["after"] and row["after"] in afters.values() and row["form"] and row["tone"]
    # Another run goes on where this one ended, and does not derive from what was derived.
    again = json.loads(run("generate", "--count", "12", "--json")[1])
    assert again["landed"] + again["duplicates"] == 12 and again["landed"] >= 6
    assert {row["derived_from"] for row in json.loads(run("examples", "--json")[1]) if "derived_from" in row} <= set(
        known.values()
    )


def test_a_teacher_that_cannot_write_examples_says_so_with_exit_2(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, error = run("generate")
    assert code == 2 and "no words of its own" in error
    monkeypatch.setenv("CORRECTLY_TEACHER", "recorded")
    code, _, error = run("generate")
    assert code == 2 and "only replays" in error


@pytest.fixture
def server() -> Iterator[ChatServer]:
    made = ChatServer()
    yield made
    made.close()


def test_a_prompted_teacher_lands_an_example_in_an_empty_cell(
    run: Run, tmp_path: Path, store: Store, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = landed(run, tmp_path)
    monkeypatch.setenv("CORRECTLY_TEACHER", "openai")
    monkeypatch.setenv("CORRECTLY_TEACHER_BASE_URL", server.url)
    monkeypatch.setenv("CORRECTLY_TEACHER_MODEL", "toy")
    code, out, error = run("generate", "--count", "1", "--json")
    assert code == 0, error
    done = json.loads(out)
    assert (done["landed"], done["teacher"], done["refused"]) == (1, "toy", 0)
    prompt = server.requests[-2]["messages"][0]["content"]  # the last is the second pass of what it answered
    [cell] = done["cells"]
    there = {(row.get("form"), row.get("tone")) for row in ROWS}
    assert (cell["form"], cell["tone"]) not in there and "{form_form}" not in prompt
    wordings = [r.wording for r in store.forms_and_tones() if (r.form, r.tone) == (cell["form"], cell["tone"])]
    assert any(wording in prompt for wording in wordings)
    fresh = next(row for row in json.loads(run("examples", "--json")[1]) if row["source"] == "teacher:toy")
    assert fresh["derived_from"] in known.values() and fresh["form"] == cell["form"] and fresh["cefr"]


def corrects(handler: Any, body: dict[str, Any]) -> None:
    """A teacher that answers whatever waits, and each cell with a pair."""
    prompt = body["messages"][0]["content"]
    content: dict[str, Any] = GOOD
    if "The text:\n" in prompt:
        text = prompt.rsplit("The text:\n", 1)[1]
        after = text.replace("for correcting", "to be corrected").replace("go to the work", "goes to work")
        edits = [{"was": "for correcting", "now": "to be corrected", "reason": 'The passive needs "to be".'}]
        content = {"after": after, "edits": edits if after != text else []}
    answer(handler, 200, completion(json.dumps(content)))


@pytest.fixture
def prompted(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> ChatServer:
    server.otherwise = corrects
    prices = '{"toy": {"prompt": 10, "completion": 10}}'
    given = {"": "openai", "_BASE_URL": server.url, "_MODEL": "toy", "_PRICES": prices, "_BUDGET_USD": "5"}
    for name, value in given.items():
        monkeypatch.setenv(f"CORRECTLY_TEACHER{name}", value)
    return server


def test_generate_completes_what_waits_with_structured_reasons_edits_and_its_cost(
    run: Run, tmp_path: Path, store: Store, prompted: ChatServer
) -> None:
    landed(run, tmp_path)
    code, out, error = run("generate", "--count", "1", "--json")
    assert code == 0, error
    done = json.loads(out)
    # The correction and its second pass: 150 tokens each.
    assert (done["waiting"]["completed"], done["waiting"]["left"]) == (1, 0)
    assert done["waiting"]["cost_usd"] == pytest.approx(2 * 0.0015) and "0.0030 USD" in done["waiting"]["says"]
    [row] = [r for r in json.loads(run("examples", "--json")[1]) if r["before"].startswith("I wait")]
    assert (row["status"], row["after"]) == ("accepted", "I wait to be corrected.") and "reason" not in row
    assert row["reasons"] == [
        {"was": "for correcting", "now": "to be corrected", "reason": 'The passive needs "to be".'}
    ]
    assert row["edits"] and all(edit["type"] for edit in row["edits"])


def page_of_examples() -> dict[str, Any]:
    """What the page of `examples` shows once it was materialized."""
    from correctly_assets.definitions import defs
    from correctly_assets.defs.resources import make_resources

    get_settings.cache_clear()
    job = dg.define_asset_job("made", selection=dg.AssetSelection.assets("examples"))
    made = dg.Definitions(assets=defs.assets, resources=make_resources(get_settings()), jobs=[job])
    with dg.DagsterInstance.ephemeral() as instance:
        result = made.resolve_job_def("made").execute_in_process(instance=instance)
    [event] = result.get_asset_materialization_events()
    return {name: value.value for name, value in event.materialization.metadata.items()}


def test_a_row_that_waits_is_completed_before_the_snapshot_of_its_train_set(
    run: Run, tmp_path: Path, settings: Settings, prompted: ChatServer
) -> None:
    landed(run, tmp_path)
    shown = page_of_examples()
    assert (shown["examples"], shown["waiting"], shown["completed"]) == (4, 0, 1)
    assert shown["completion_cost_usd"] == pytest.approx(0.003)


def test_a_teacher_that_is_away_leaves_rows_waiting_and_the_snapshot_is_made_of_the_others(
    run: Run, tmp_path: Path, prompted: ChatServer
) -> None:
    landed(run, tmp_path)
    prompted.otherwise = lambda handler, _: answer(handler, 401, {"error": {"message": "no such key"}})
    shown = page_of_examples()
    assert (shown["examples"], shown["waiting"], shown["completed"]) == (3, 1, 0)


def test_without_a_key_a_row_waits_and_add_says_for_what(run: Run, tmp_path: Path, store: Store) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(ROWS[3]) + "\n")
    code, out, _ = run("add", str(file))
    assert code == 0 and "CORRECTLY_TEACHER=openai" in out
    done = complete_waiting(store, get_settings())
    assert (done.completed, done.left) == (0, 1) and "CORRECTLY_TEACHER=openai" in (done.says or "")


def test_the_recorded_teacher_completes_what_its_recording_holds_and_leaves_the_rest(
    run: Run, tmp_path: Path, store: Store, settings: Settings, prompted: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    landed(run, tmp_path)
    live = make_platform_teacher(get_settings())
    shots = [example for example in store.accepted() if example.after != example.before]
    live.complete_examples([*store.waiting(), *shots])
    with sqlite3.connect(settings.home / "teacher" / "journal" / "journal.sqlite") as journal:
        entries = journal.execute("SELECT request, answer FROM request").fetchall()
    path = settings.home / "teacher" / "recordings" / "toy.jsonl"
    path.parent.mkdir(parents=True)
    recorder = Recorder(path, requested="toy", kind="teacher", now=lambda: "2026-01-01T00:00:00+00:00")
    for request, answered in entries:
        recorder.add(request_from(json.loads(request)), ChatAnswer.from_json(json.loads(answered)))
    recorder.write()
    prompted.close()
    monkeypatch.setenv("CORRECTLY_TEACHER", "recorded")
    get_settings.cache_clear()
    store.land([identified(Example("", "Nobody recorded this sentences.", None))])
    done = complete_waiting(store, get_settings())
    assert (done.completed, done.left) == (1, 1) and "not recorded" in done.refused[0].reason
    assert "only replays" in write_new_examples(store, get_settings())
    again = complete_waiting(store, get_settings())
    assert (again.completed, again.left) == (0, 1) and "not recorded" in (again.says or "")


def test_examples_are_found_by_their_length(run: Run, tmp_path: Path) -> None:
    long = {"before": "The long one goes on " + "and on " * 20 + "until it stops.", "form": "essay"}
    landed(run, tmp_path, [*ROWS, {**long, "after": long["before"]}])
    assert ids(run, "--length", "long") == ["The stops."]
    assert len(ids(run, "--length", "short")) == 4 and ids(run, "--length", "medium") == []
    code, _, error = run("examples", "--length", "endless")
    assert code == 2 and "short, medium, long" in error


def test_the_schedule_s_run_completes_what_waits_and_lands_examples(
    run: Run, tmp_path: Path, store: Store, settings: Settings, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from correctly_assets.definitions import defs
    from correctly_assets.defs.automation import write_new_examples

    landed(run, tmp_path)
    assert defs.resolve_schedule_def("write_examples").job_name == write_new_examples.name
    assert defs.resolve_job_def(write_new_examples.name).name == "write_new_examples"
    resource = StoreResource(url=settings.store_url, sql_dir=str(settings.sql_dir))
    with dg.DagsterInstance.ephemeral() as instance:
        done = write_new_examples.execute_in_process(resources={"store": resource}, instance=instance)
    assert done.success and "landed 20 examples" in done.output_for_node("land_new_examples")
    monkeypatch.setenv("CORRECTLY_TEACHER", "openai")
    monkeypatch.setenv("CORRECTLY_TEACHER_BASE_URL", "http://127.0.0.1:9/v1")
    get_settings.cache_clear()
    with dg.DagsterInstance.ephemeral() as instance:
        failed = write_new_examples.execute_in_process(
            resources={"store": resource}, instance=instance, raise_on_error=False
        )
    assert not failed.success


# -- the one shot --------------------------------------------------------------------------------------------------


def shots() -> list[Example]:
    words = ("the weather in spring", "an invoice without tax", "my knee and the doctor", "a train that was late")
    return [
        Example(f"s{n}", f"I am agree about {word}.", f"I agree about {word}.", (Reason("am", "", "It is a verb."),), form="email")
        for n, word in enumerate(words)
    ]  # fmt: skip


def test_the_shot_of_a_completion_is_the_example_most_like_the_text(server: ChatServer, tmp_path: Path) -> None:
    made = teacher(server, tmp_path, exemplars=NeighbourIndex, concurrency=1)
    waiting = [
        Example("w1", "The doctor look at my knee.", None, form="diary"),
        Example("w2", "The train were late again.", None, form="diary"),
    ]
    made.complete_examples([*waiting, *shots()])
    prompts = [request["messages"][0]["content"] for request in server.requests]
    assert "about my knee and the doctor" in prompts[0] and "about a train that was late" in prompts[1]
    plain = teacher(server, tmp_path)
    assert made.identity() != plain.identity()


def test_the_shot_of_a_new_example_is_of_the_cell_s_form_and_like_its_topic(server: ChatServer, tmp_path: Path) -> None:
    made = teacher(server, tmp_path, exemplars=NeighbourIndex, concurrency=1)
    others = [
        Example(f"d{n}", f"Dear diary, trains number {n} is late.", "Trains are late.", form="diary") for n in range(9)
    ]
    far = [Example(f"x{n}", f"Qzx {n} wvu.", f"Qzy {n} wvu.", form="email") for n in range(20)]
    cell = Cell("email", "polite", "late train", "an email", "asks politely")
    output = made.write_examples([cell], [*others, *far, *shots()], seed=3)
    prompt = server.requests[0]["messages"][0]["content"]
    assert "Dear diary" not in prompt and "Qzx" not in prompt and "asks politely" in prompt
    assert output.pairs[0].pair.attributes["topic"] == "late train" and output.pairs[0].pair.example_id.startswith("s")


def test_a_generation_that_is_killed_before_landing_pays_once(
    store: Store, server: ChatServer, tmp_path: Path, settings: Settings
) -> None:
    store.land([Example("", "He go.", "He goes.", form="email", tone="polite")])
    made = teacher(server, tmp_path)
    openai = settings.model_copy(update={"teacher": "openai", "teacher_model": "toy"})
    made.write_examples(
        thinnest_cells(store.forms_and_tones(), store.count_cells(), 1), list(store.accepted()), seed=20
    )
    paid = len(server.requests)
    done = generate(store, openai.model_copy(update={"seed": 20}), 1, teacher=made)
    assert done.counts.landed == 1 and len(server.requests) == paid


def test_the_journal_is_a_sound_database_after_forgetting(settings: Settings) -> None:
    from correctly_assets.teachers.factory import erase_from_journal

    folder = settings.home / "teacher" / "journal"
    assert erase_from_journal(folder, ["anything"]) == 0
    journal = Journal(folder)
    request = ChatRequest("m", (("user", 'Text: She said "hello there" to me.'),), 10)
    journal.sending(request, 0.0)
    assert erase_from_journal(folder, ['said "hello there" to']) == 1
    with sqlite3.connect(folder / "journal.sqlite") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert b"hello there" not in (folder / "journal.sqlite").read_bytes()
