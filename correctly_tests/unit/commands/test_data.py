"""The commands over data, from their words to their exit codes, on a real store."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from correctly_assets.artifacts.examples_snapshot import write_examples_snapshot
from correctly_assets.artifacts.manifests import TrainSetManifest
from correctly_assets.artifacts.rejected_pairs import read_rejected, write_rejected
from correctly_assets.artifacts.train_set import write_train_set
from correctly_assets.core.ports import Refusal
from correctly_assets.core.retrain import RetrainPolicy, RetrainState, decide_retrain, fingerprint
from correctly_assets.core.types import Correction, Example, TrainPair
from correctly_assets.curation.near import NearIndex
from correctly_assets.llm_api.answer_journal import Journal
from correctly_assets.llm_api.requests import ChatAnswer, ChatRequest
from correctly_assets.settings import Settings, get_settings
from correctly_assets.store import Store
from correctly_assets.store.derived import Derived
from correctly_assets.workflows.build_train_set import make_train_set
from correctly_assets.workflows.wiring import open_platform_store
from correctly_tests.commands import ROWS, Run, landed

pytestmark = pytest.mark.slow


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
    assert b"ottilie" not in b"".join(path.read_bytes() for path in settings.platform.home.glob("store.sqlite*"))
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
    examples = write_examples_snapshot(store, settings.platform.snapshots_dir)
    made = make_train_set(get_settings(), examples_snapshot=examples.id, log=lambda _: None)
    weights = {pair.before: pair.weight for pair in made.pairs if pair.origin == "human"}
    assert weights == dict.fromkeys((fresh["before"], ROWS[0]["before"]), settings.training.human_weight)
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
    examples = write_examples_snapshot(store, settings.platform.snapshots_dir)
    pairs = [TrainPair(row.id, row.id, "example", row.before, row.after or "") for row in store.accepted()]
    train_set = write_train_set(
        pairs, settings.platform.snapshots_dir, TrainSetManifest(), sql_dir=settings.platform.sql_dir
    )
    write_rejected(
        train_set.path,
        [
            Refusal("size", "Too much.", {"example_id": source, "before": "bus"}),
            Refusal("size", "No.", {"id": "other"}),
        ],
    )
    adapter = settings.platform.adapters_dir / "cafe00000001"
    adapter.mkdir(parents=True)
    (adapter / "manifest.json").write_text(json.dumps({"train_set": train_set.id}))
    digest = store.accepted_digest()
    store.record_decision(
        fingerprint=fingerprint(digest, {}), adapter="cafe00000001", verdict="promoted", reasons=("Better.",), run_id=None,
        rows_digest=digest, recipe_digest="r", accepted=4, train_set=train_set.id, example_ids=None,
    )  # fmt: skip
    near = NearIndex(settings.platform.home / "near")
    assert len(list(near.place((row.id, row.after or "") for row in store.accepted()))) == 4
    journal = Journal(settings.platform.home / "teacher" / "journal")
    showing = ChatRequest("m", (("user", json.dumps({"before": ROWS[0]["before"], "say": 'a "quote"'})),), 10)
    other = ChatRequest("m", (("user", "Something else."),), 10)
    for request in (showing, other):
        journal.sending(request, 0.0)
        journal.answered(request, ChatAnswer("{}", "m"), 0.0)

    # `learning-curve` and `bakeoff` that were stopped with Ctrl-C leave their parts of the train set behind.
    curve, bakeoff = (
        settings.platform.checkpoints_dir / f"{kind}-{train_set.id}" for kind in ("learning-curve", "bakeoff")
    )
    own = settings.platform.checkpoints_dir / "0123456789abcdef"
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
    kept = [path for path in settings.platform.home.rglob("*") if path.is_file()]
    assert not [path for path in kept if b"bus station" in path.read_bytes()]
    assert len(NearIndex(settings.platform.home / "near")) == 2
    # What the sensor decides over: the fingerprint differs, and the removal is the reason it gives.
    decision = decide_retrain(
        RetrainState(
            want=fingerprint(store.accepted_digest(), {}), decided=fingerprint(digest, {}), accepted=2,
            new_examples=store.new_since_decision(), seconds_since_landing=60, in_flight=(), attempts=0,
            removed_examples=store.removed_since_decision(),
        ),
        RetrainPolicy(min_examples=5),
    )  # fmt: skip
    assert decision.action == "run" and "2 examples removed" in decision.message


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
    open_platform_store(settings.platform).close()
    assert run("rejected")[0] == 0
    landed(run, tmp_path, [{"before": "Mail me: jo@example.org", "after": "Email me: jo@example.org"}])
    for name, rungs in (("aaa", ["size"]), ("bbb", ["names", "names", "reasons"])):
        write_rejected(
            settings.platform.snapshots_dir / name,
            [Refusal(rung, f"It fell at {rung}.", {"before": "Text."}) for rung in rungs],
        )
    shown = json.loads(run("rejected", "--json")[1])
    assert shown["train_set"] == "bbb"
    assert [(rung["rung"], rung["count"]) for rung in shown["pairs"]] == [("names", 2), ("reasons", 1)]
    assert shown["pairs"][0]["reasons"] == [{"reason": "It fell at names.", "count": 2, "row": {"before": "Text."}}]
    assert list(shown["held_by_guards"].values()) == [1]
    assert json.loads(run("rejected", "--train-set", "aaa", "--json")[1])["pairs"][0]["rung"] == "size"
    assert "2 × It fell at names." in run("rejected")[1]
    write_rejected(settings.platform.home / "teacher", [Refusal("differs", "Nothing was changed.", {})])
    assert [rung["rung"] for rung in json.loads(run("rejected", "--json")[1])["new_examples"]] == ["differs"]
    code, _, error = run("rejected", "--train-set", "ccc")
    assert code == 1 and "keeps no refusals" in error


# -- votes -----------------------------------------------------------------------------------------------------------


def test_a_reviewer_lists_what_people_said_of_answers(run: Run, store: Store) -> None:
    assert "Nobody has said anything" in run("votes")[1]
    store.journal_correction(Correction("c1", "He go [b] home.", "He goes [b] home.", (), "r0001", "abc"))
    store.add_feedback(
        source_key="open-webui:1",
        correction_id="c1",
        rating=-1,
        comment="Too stiff.",
        ticked=["not helpful"],
        giver="x",
    )
    store.add_feedback(source_key="api:me:gone", correction_id="gone", rating=1)
    code, out, _ = run("votes", "--down")
    assert code == 0 and "r0001 · not helpful" in out and "→ He goes [b] home." in out and "comment: Too stiff." in out
    assert "the answer is not in the journal any more" in run("votes", "--up")[1]
    [down] = json.loads(run("votes", "--down", "--json")[1])
    assert (down["ticked"], down["before"], down["state"]) == (["not helpful"], "He go [b] home.", "pending")
    assert run("votes", "--up", "--down")[0] == 2


# -- data ----------------------------------------------------------------------------------------------------------


def test_the_rows_of_an_adapter_are_checked_out_by_command(
    run: Run, tmp_path: Path, store: Store, settings: Settings
) -> None:
    landed(run, tmp_path)
    examples = write_examples_snapshot(store, settings.platform.snapshots_dir)
    pairs = [TrainPair(row.id, row.id, "example", row.before, row.after or "") for row in store.accepted()]
    train_set = write_train_set(
        pairs, settings.platform.snapshots_dir, TrainSetManifest(), sql_dir=settings.platform.sql_dir
    )
    adapter = settings.platform.adapters_dir / "cafe00000001"
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


def test_examples_are_found_by_their_length(run: Run, tmp_path: Path) -> None:
    long = {"before": "The long one goes on " + "and on " * 20 + "until it stops.", "form": "essay"}
    landed(run, tmp_path, [*ROWS, {**long, "after": long["before"]}])
    assert ids(run, "--length", "long") == ["The stops."]
    assert len(ids(run, "--length", "short")) == 4 and ids(run, "--length", "medium") == []
    code, _, error = run("examples", "--length", "endless")
    assert code == 2 and "short, medium, long" in error


def test_the_journal_is_a_sound_database_after_forgetting(settings: Settings) -> None:
    from correctly_assets.llm_api.answer_journal import erase_from_journal

    folder = settings.platform.home / "teacher" / "journal"
    assert erase_from_journal(folder, ["anything"]) == 0
    journal = Journal(folder)
    request = ChatRequest("m", (("user", 'Text: She said "hello there" to me.'),), 10)
    journal.sending(request, 0.0)
    assert erase_from_journal(folder, ['said "hello there" to']) == 1
    with sqlite3.connect(folder / "journal.sqlite") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert b"hello there" not in (folder / "journal.sqlite").read_bytes()
