"""Snapshots and train sets: what goes into them, that the same rows give the same bytes, and that nothing half-written
is left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from correctly_assets.artifacts import examples_snapshot as increment
from correctly_assets.artifacts.examples_snapshot import write_examples_snapshot
from correctly_assets.artifacts.files import hash_files, sha256_file
from correctly_assets.artifacts.manifests import TrainSetManifest, read_manifest
from correctly_assets.artifacts.snapshots import EXAMPLES_FILE, Snapshot, example_ids
from correctly_assets.artifacts.train_set import TRAIN_FILE, count_train_set, read_train_set, write_train_set
from correctly_assets.core.errors import PermanentError
from correctly_assets.core.hashing import content_id
from correctly_assets.core.text import split_of
from correctly_assets.core.types import Edit, Origin, TrainPair
from correctly_assets.settings import PROJECT_ROOT
from correctly_assets.store import Store, open_store
from correctly_tests.fault_table import Row
from correctly_tests.unit.store.test_tables import SQL, example

EDIT = Edit(3, 5, "go", "goes", "R:VERB:SVA", "The subject is singular.", "rule")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(f"sqlite:///{tmp_path / 'store.sqlite'}", SQL)


def pair(
    id: str, before: str = "He go.", after: str = "He goes.", *, origin: Origin = "injected", example_id: str = "e1",
    weight: int = 1, edits: tuple[Edit, ...] = (),
) -> TrainPair:  # fmt: skip
    return TrainPair(id, example_id, origin, before, after, edits, weight, attributes={"form": "email"})


def write(directory: Path, *pairs: TrainPair, **extra: object) -> Snapshot[TrainSetManifest]:
    return write_train_set(pairs, directory, TrainSetManifest.model_validate(extra), sql_dir=SQL, human_weight=8)


def kept(snapshot: Snapshot[TrainSetManifest]) -> dict[str, TrainPair]:
    return {pair.id: pair for pair in read_train_set(snapshot.path)}


# -- snapshots of examples -----------------------------------------------------------------------------------------


def test_a_snapshot_depends_on_its_rows_and_not_on_when_or_how_they_landed(store: Store, tmp_path: Path) -> None:
    rows = [example(number) for number in range(200)]
    store.land(rows, file="a.csv")
    first = write_examples_snapshot(store, tmp_path / "snapshots")
    with open_store(f"sqlite:///{tmp_path / 'other.sqlite'}", SQL) as other:
        other.land(reversed(rows), file="b.csv", batch_rows=7)
        second = write_examples_snapshot(other, tmp_path / "others")
    assert first.id == second.id
    assert sha256_file(first.path / EXAMPLES_FILE) == sha256_file(second.path / EXAMPLES_FILE)
    assert first.id == content_id(hash_files(first.path, [EXAMPLES_FILE]))
    assert first.row_digest == store.accepted_digest()
    store.land([example(201)])
    assert write_examples_snapshot(store, tmp_path / "snapshots").id != first.id


def test_a_snapshot_holds_the_accepted_rows_in_the_order_of_their_ids(store: Store, tmp_path: Path) -> None:
    store.land([example(1), example(2), example(3, after=None, reasons=()), example(4, form=None, verified=True)])
    snapshot = write_examples_snapshot(store, tmp_path)
    assert list(example_ids(snapshot.path)) == [row.id for row in store.accepted()]
    rows = pq.read_table(snapshot.path / EXAMPLES_FILE).to_pylist()
    assert json.loads(rows[0]["reasons"])[0]["was"] == "go"
    assert {row["before"]: (row["form"], row["verified"]) for row in rows} == {
        "He go to school 1.": ("email", False),
        "He go to school 2.": ("email", False),
        "He go to school 4.": (None, True),
    }


def test_an_empty_store_has_a_snapshot_too(store: Store, tmp_path: Path) -> None:
    snapshot = write_examples_snapshot(store, tmp_path / "snapshots")
    assert snapshot.rows == 0
    assert list(example_ids(snapshot.path)) == []


def test_a_merged_snapshot_is_the_very_file_that_reading_afresh_gives(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(increment, "PAGE", 50)  # several pages, and a last one that is not full
    store.land([example(number) for number in range(930)])
    snapshots = tmp_path / "snapshots"
    before = write_examples_snapshot(store, snapshots)
    ids = list(example_ids(before.path))
    store.land([example(number) for number in range(2000, 2030)])
    store.land([replace(store.get(ids[number]).example, verified=True) for number in (3, 49, 50)])
    store.forget(ids[0])
    store.forget(ids[-1])
    assert increment.merged_pages(store, before.path / EXAMPLES_FILE) is not None
    merged, afresh = write_examples_snapshot(store, snapshots), write_examples_snapshot(store, tmp_path / "others")
    assert merged.rows == 958 and merged.id == afresh.id
    assert sha256_file(merged.path / EXAMPLES_FILE) == sha256_file(afresh.path / EXAMPLES_FILE)
    assert merged.row_digest == store.accepted_digest()


def test_a_snapshot_is_read_afresh_when_much_has_changed(store: Store, tmp_path: Path) -> None:
    store.land([example(number) for number in range(20)])
    before = write_examples_snapshot(store, tmp_path / "snapshots")
    store.land([example(number) for number in range(100, 120)])
    assert increment.merged_pages(store, before.path / EXAMPLES_FILE) is None
    assert write_examples_snapshot(store, tmp_path / "snapshots").rows == 40


def test_a_snapshot_follows_the_newest_though_an_older_one_is_unreadable(store: Store, tmp_path: Path) -> None:
    store.land([example(number) for number in range(20)])
    first = write_examples_snapshot(store, tmp_path / "snapshots")
    (first.path / "manifest.json").write_text("not json")
    store.land([example(50)])
    assert write_examples_snapshot(store, tmp_path / "snapshots").rows == 21


# -- train sets ----------------------------------------------------------------------------------------------------


def test_a_train_set_comes_back_as_it_was_written(tmp_path: Path) -> None:
    written = pair("p1", edits=(EDIT,), weight=3)
    snapshot = write(tmp_path, written, seed=20)
    assert list(read_train_set(snapshot.path)) == [
        TrainPair("p1", "e1", "injected", "He go.", "He goes.", (EDIT,), 3, split_of("He go."), "en", {"form": "email"})
    ]
    assert snapshot.manifest.seed == 20
    columns = pq.read_schema(snapshot.path / TRAIN_FILE).names
    assert columns[:10] == [
        "id", "example_id", "origin", "before", "after", "edits", "weight", "split", "language", "form",
    ]  # fmt: skip


def test_the_same_pairs_in_any_order_give_the_same_bytes(tmp_path: Path) -> None:
    pairs = [pair(f"p{number}", f"He go to {number}.", f"He goes to {number}.") for number in range(500)]
    one = write(tmp_path / "one", *pairs)
    two = write(tmp_path / "two", *reversed(pairs))
    assert (one.id, one.row_digest) == (two.id, two.row_digest)


def test_duplicates_are_one_pair_and_the_better_origin_stays(tmp_path: Path) -> None:
    snapshot = write(
        tmp_path,
        pair("a", "he go!", "He goes."),
        pair("b", "He go.", "He goes.", origin="teacher"),
        pair("c", "HE GO", "He goes.", origin="example"),
        pair("d", "He  runs.", "He runs.", origin="bait"),
    )
    assert set(kept(snapshot)) == {"c", "d"}


def test_bait_and_a_punctuation_error_of_the_same_sentence_both_stay(tmp_path: Path) -> None:
    bait = pair("a", "However, he goes.", "However, he goes.", origin="bait")
    error = pair("b", "However he goes.", "However, he goes.")
    assert set(kept(write(tmp_path, bait, error))) == {"a", "b"}


def test_one_text_has_one_target_unless_people_disagree(tmp_path: Path) -> None:
    snapshot = write(
        tmp_path,
        pair("a", "He go.", "He went.", origin="teacher"),
        pair("b", "He go.", "He goes.", origin="example"),
        pair("c", "I has it.", "I have it.", origin="human"),
        pair("d", "I has it.", "I had it.", origin="human"),
        pair("e", "I has it.", "I've it.", origin="example"),
    )
    assert set(kept(snapshot)) == {"b", "c", "d"}


def test_human_corrections_are_seen_human_weight_times(tmp_path: Path) -> None:
    pairs = kept(
        write(tmp_path, pair("a", "A b.", "A c.", origin="human"), pair("b", "D e.", "D f.", origin="human", weight=20))
    )
    assert (pairs["a"].weight, pairs["b"].weight) == (8, 20)


def test_a_thumb_only_raises_the_weight_of_a_pair_that_exists(tmp_path: Path) -> None:
    others = [pair(f"p{n}", f"He go to {n}.", f"He goes to {n}.") for n in range(20)]
    snapshot = write(
        tmp_path,
        *others,
        pair("t1", "He go to 3.", "He goes to 3.", origin="thumb", weight=2),
        pair("t2", "Nobody wrote this.", "Nobody wrote that.", origin="thumb"),
    )
    pairs = kept(snapshot)
    assert len(pairs) == 20
    assert pairs["p3"].weight == 3
    assert sum(pair.weight for pair in pairs.values()) == 22


def test_thumbs_are_at_most_a_fifth_of_all_weight(tmp_path: Path) -> None:
    texts = [(f"He go to {n}.", f"He goes to {n}.") for n in range(40)]
    pairs = [pair(f"p{n}", *text) for n, text in enumerate(texts)]
    thumbs = [pair(f"t{n}", *text, origin="thumb", weight=3) for n, text in enumerate(texts)]
    weight = sum(pair.weight for pair in kept(write(tmp_path, *pairs, *thumbs)).values())
    assert 40 < weight <= 50


def test_the_split_is_the_normalised_sources_and_no_source_straddles(tmp_path: Path) -> None:
    pairs = [pair(f"p{n}", f"He go to {n}.", f"He goes to {n}.") for n in range(400)]
    pairs += [pair(f"q{n}", f"HE GO, to {n}", f"He goes, to {n}!") for n in range(400)]
    splits: dict[str, set[str]] = {}
    for row in read_train_set(write(tmp_path, *pairs).path):
        assert row.split == split_of(row.before)
        splits.setdefault(row.id[1:], set()).add(row.split)
    assert all(len(found) == 1 for found in splits.values())
    assert {"train", "held_out"} == set.union(*splits.values())


def test_an_inherited_split_precedes_the_hash_and_tears_no_source_apart(tmp_path: Path) -> None:
    pairs = [pair("a", "He go.", "He goes."), pair("b", "he go", "He went!")]
    other = "held_out" if split_of("He go.") == "train" else "train"
    snapshot = write_train_set(pairs, tmp_path, TrainSetManifest(), sql_dir=SQL, splits={"a": other, "b": other})
    assert {row.split for row in read_train_set(snapshot.path)} == {other}
    with pytest.raises(PermanentError, match="stands in both splits"):
        write_train_set(pairs, tmp_path, TrainSetManifest(), sql_dir=SQL, splits={"a": other})


def test_a_train_set_counts_its_pairs_by_origin_and_error_type(tmp_path: Path) -> None:
    article = Edit(0, 0, "", "The ", "M:DET", None, None)
    snapshot = write(
        tmp_path,
        pair("a", "A b.", "A c.", origin="human", edits=(EDIT,)),
        pair("b", "D e.", "D f.", edits=(EDIT, article)),
        pair("c", "G h.", "G h.", origin="bait"),
    )
    counts = count_train_set(snapshot.path, sql_dir=SQL)
    assert (counts.pairs, counts.weight) == (3, 10)
    assert counts.origins == {"human": 1, "injected": 1, "bait": 1}
    assert counts.weights["human"] == 8
    assert list(counts.error_types.items()) == [("VERB:SVA", 2), ("DET", 1)]


def test_two_pairs_with_one_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="share the id p"):
        write(tmp_path, pair("p", "A.", "B."), pair("p", "C.", "D."))
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_no_train_set_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="materialize train_set again"):
        list(read_train_set(tmp_path))


texts = st.text(st.sampled_from("aAbé .,'\"\n\x1f한𝒳|;$"), min_size=1, max_size=12)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(texts, texts), max_size=6))
def test_any_text_survives_the_way_through_parquet_and_duckdb(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    pairs = {f"p{n}": pair(f"p{n}", before, after, edits=(EDIT,)) for n, (before, after) in enumerate(rows)}
    found = kept(write(tmp_path, *pairs.values()))
    assert bool(found) == bool(pairs)
    for id, row in found.items():
        assert (row.before, row.after, row.edits) == (pairs[id].before, pairs[id].after, (EDIT,))


# -- forgetting ----------------------------------------------------------------------------------------------------


def test_forgetting_removes_a_row_everywhere_and_names_the_adapters(store: Store, tmp_path: Path) -> None:
    snapshots, adapters = tmp_path / "snapshots", tmp_path / "adapters"
    store.land([example(1), example(2)])
    first, second = store.accepted()
    seen = write_examples_snapshot(store, snapshots)
    trained = write(
        snapshots,
        pair("a", first.before, "A.", example_id=first.id),
        pair("b", "Unlike it.", "B.", example_id=second.id),
    )
    other = write(snapshots, pair("b", "Unlike it.", "B.", example_id=second.id))
    for adapter, train_set in (("saw", trained.id), ("saw-not", other.id)):
        (adapters / adapter).mkdir(parents=True)
        (adapters / adapter / "manifest.json").write_text(json.dumps({"train_set": train_set}))
    store.add_release(adapter="old", base_model="b", kind="promotion", why="x", train_set=trained.id)
    forgotten = store.forget(first.id, snapshots_dir=snapshots, adapters_dir=adapters)
    assert set(forgotten.snapshots) == {seen.id, trained.id}
    assert forgotten.adapters == ("old", "saw")
    assert list(example_ids(seen.path)) == [second.id]
    assert set(kept(trained)) == {"b"}
    manifest = read_manifest(trained.path, TrainSetManifest)
    assert (manifest.forgotten, manifest.rows) == ([first.id], 1)
    assert manifest.files[TRAIN_FILE] == sha256_file(trained.path / TRAIN_FILE)
    assert first.before.encode() not in b"".join(path.read_bytes() for path in tmp_path.glob("store.sqlite*"))


# -- faults --------------------------------------------------------------------------------------------------------

FAULTY = """
import resource, signal, sys
from pathlib import Path
from correctly_assets.store import open_store
from correctly_assets.artifacts.examples_snapshot import write_examples_snapshot
from correctly_assets.artifacts.train_set import write_train_set
from correctly_assets.artifacts.manifests import TrainSetManifest
from correctly_tests.unit.artifacts.test_train_sets import SQL, example, pair
import random
def text(): return "".join(random.choices("abcdefghij klmnop", k=300))
store = open_store(f"sqlite:///{sys.argv[1]}/store.sqlite", SQL)
target = Path(sys.argv[1]) / "snapshots"
store.land(example(n, before=text(), reasons=()) for n in range(3000))
import duckdb, pyarrow.parquet
print("ready", flush=True)
"""
FULL_DISK = """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    if sys.argv[2] == "examples":
        write_examples_snapshot(store, target)
    else:
        write_train_set((pair(f"p{n}", text(), text()) for n in range(3000)), target, TrainSetManifest(), sql_dir=SQL)
except Exception as error:
    print(type(error).__name__, error)
print(sorted(path.name for path in target.rglob("*")))
"""
ENDLESS = """
def pairs():
    n = 0
    while True:
        n += 1
        if n == 50_000: print("staging", flush=True)
        yield pair(f"p{n}", text(), text())
write_train_set(pairs(), target, TrainSetManifest(), sql_dir=SQL)
"""


@pytest.mark.parametrize("kind", ["examples", "train_set"])
@pytest.mark.fault(
    fault="the disk is full (a limit on the size of files)",
    stage="train_set",
    expected="a sentence; nothing half written is left",
    remedy="Make room on the disk; the next run starts by itself.",
)
def test_a_full_disk_ends_in_one_sentence_and_leaves_nothing_behind(tmp_path: Path, kind: str, observed: Row) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAULTY + FULL_DISK, str(tmp_path), kind],
        capture_output=True, text=True, cwd=PROJECT_ROOT, check=True,
    )  # fmt: skip
    ready, sentence, left = done.stdout.splitlines()
    assert ready == "ready"
    assert sentence.startswith("PermanentError There is no room left under")
    observed(f"{kind}: “{sentence.split(' ', 1)[1][:60]} …”; files left behind: {left}")
    assert left == "[]"


@pytest.mark.fault(
    fault="kill -9 while a train set is written",
    stage="train_set",
    expected="no half train set; what is left is removed after a day",
)
@pytest.mark.slow
def test_a_killed_run_leaves_no_train_set_and_its_scraps_are_swept(tmp_path: Path, observed: Row) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", FAULTY + ENDLESS, str(tmp_path)], stdout=subprocess.PIPE, cwd=PROJECT_ROOT
    )
    assert child.stdout is not None
    assert [child.stdout.readline(), child.stdout.readline()] == [b"ready\n", b"staging\n"]
    child.kill()
    child.wait()
    child.stdout.close()
    snapshots = tmp_path / "snapshots"
    scraps = list(snapshots.iterdir())
    assert scraps
    assert all(path.name.startswith((".new-", ".stage-")) for path in scraps)
    write(snapshots, pair("a"))
    assert set(scraps) <= set(snapshots.iterdir())  # they may belong to a run that is at work
    for path in scraps:
        os.utime(path, (0.0, time.time() - 2 * 86_400))
    write(snapshots, pair("a"))
    observed(f"{len(scraps)} unfinished folders were left, {len(set(scraps) & set(snapshots.iterdir()))} after a day")
    assert not set(scraps) & set(snapshots.iterdir())
