"""Which of very many examples a train set is made from: bounded, by the seed, and all of them where they are few."""

from __future__ import annotations

from pathlib import Path

import pytest

from correctly_assets.artifacts.examples_snapshot import write_examples_snapshot
from correctly_assets.core.errors import PermanentError
from correctly_assets.core.landing import identified
from correctly_assets.core.pool import Standing, drawn
from correctly_assets.core.types import Example
from correctly_assets.settings import Settings, get_settings
from correctly_assets.workflows.build_train_set import make_train_set
from correctly_assets.workflows.read_examples import read_pool
from correctly_assets.workflows.wiring import open_platform_store

ROWS: list[tuple[str, Standing]] = [
    (f"{n:06d}", "verified" if n % 100 == 0 else "corrected" if n % 3 else "untouched") for n in range(60_000)
]


def test_a_draw_keeps_as_many_of_each_standing_as_pairs_may_want() -> None:
    standing = dict(ROWS)
    kept = [standing[id] for id in drawn(iter(ROWS), 3000, 20)]
    assert (kept.count("verified"), kept.count("corrected"), kept.count("untouched")) == (600, 6000, 6000)


def test_a_draw_depends_on_its_seed_and_on_no_order() -> None:
    first = drawn(ROWS, 1500, 20)
    assert first == drawn(reversed(ROWS), 1500, 20)
    assert len(first & drawn(ROWS, 1500, 21)) < 0.5 * len(first)


def test_another_example_moves_at_most_one_of_those_drawn() -> None:
    more: list[tuple[str, Standing]] = [*ROWS, ("one more", "corrected")]
    assert len(drawn(ROWS, 1500, 20) - drawn(more, 1500, 20)) <= 1


def test_all_examples_are_taken_where_they_are_few() -> None:
    assert drawn(ROWS[:2000], 8, 20) == {id for id, _ in ROWS[:2000]}


def test_a_snapshot_is_drawn_from_as_its_rows_one_by_one_would_be() -> None:
    settings = get_settings()
    made = [
        Example(
            "", f"Row {n} was wrote.", f"Row {n} was written." if n % 3 else f"Row {n} was wrote.", verified=n % 7 == 0
        )
        for n in range(9000)
    ]
    with open_platform_store(settings.platform) as store:
        store.land(map(identified, made))
        snapshot = write_examples_snapshot(store, settings.platform.snapshots_dir)
        rows: list[tuple[str, Standing]] = [
            (e.id, "untouched" if e.before == e.after else "verified" if e.verified else "corrected")
            for e in store.accepted()
        ]
    more = [identified(Example("", f"More {n} was wrote.", f"More {n} was written.")) for n in range(500)]
    for count in (8, 1200):
        few = settings.changed(training={"pairs": count})
        assert [e.id for e in read_pool(few, snapshot.id).examples] == sorted(drawn(rows, count, few.training.seed))
        both = [*rows, *((e.id, "corrected") for e in more)]
        assert [e.id for e in read_pool(few, snapshot.id, more).examples] == sorted(
            drawn(both, count, few.training.seed)
        )


@pytest.mark.slow
def test_a_train_set_holds_a_part_of_many_examples_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORRECTLY_TRAIN_PAIRS", "40")
    settings: Settings = get_settings()
    texts = [f"The ferry number {n} leaves from the old stone pier at noon." for n in range(3000)]
    with open_platform_store(settings.platform) as store:
        store.land(identified(Example("", text.replace("leaves", "leave"), text)) for text in texts)
        snapshot = write_examples_snapshot(store, settings.platform.snapshots_dir)
    pool = read_pool(settings, snapshot.id)
    assert (len(pool.examples), pool.among) == (2000, 3000)
    assert [e.id for e in pool.examples] == sorted(e.id for e in pool.examples)
    said: list[str] = []
    made = make_train_set(settings, examples_snapshot=snapshot.id, log=said.append)
    assert 0 < len(made.pairs) <= 40 and any("from 2000 of 3000 examples" in sentence for sentence in said)
    assert {pair.example_id for pair in made.pairs} <= {e.id for e in pool.examples}


def test_a_snapshot_that_is_gone_is_said_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="materialize examples again"):
        read_pool(get_settings(), "0123456789ab")
