"""A challenger's answer stands beside the champion's to the same request, and goes wherever that one goes."""

# ruff: noqa: F811 - the fixtures are the tables' own
from __future__ import annotations

from datetime import timedelta

import pytest

from correctly_assets.core.landing import identified
from correctly_assets.core.shadow_count import ShadowPair
from correctly_assets.core.types import Correction
from correctly_assets.store import Store, open_store
from correctly_tests.unit.store.test_tables import SQL, Clock, example, store, store_url  # noqa: F401 - fixtures


def answered(store: Store, id: str, *, text: str = "She go.", client: str | None = None) -> None:
    """The champion's answer and the challenger's."""
    store.journal_correction(Correction(id, text, "She goes.", (), "r0001", "a"), client=client)
    assert store.journal_shadow(id, Correction("own", text, f"{text} Went.", (), None, "ch"), seconds=0.5, gain=2.0)


def count(store: Store) -> int:
    with store.database.read() as connection:
        return connection.exec_driver_sql("SELECT count(*) FROM shadow_answer").scalar_one()


def test_both_answers_and_the_last_reaction_are_read_together(store: Store) -> None:
    for id in ("c1", "c2"):
        answered(store, id)
    store.add_feedback(source_key="k1", correction_id="c1", rating=1)
    store.add_feedback(source_key="k2", correction_id="c1", rating=-1, better="She has gone.")
    pairs = {pair.rating: pair for pair in store.shadow_pairs()}
    assert len(pairs) == 2 and pairs[-1] == ShadowPair("ch", "She goes.", "She go. Went.", -1, "She has gone.", 2.0)
    assert store.shadow_pairs(adapter="other") == [] and len(store.shadow_pairs(limit=1)) == 1


def test_a_request_has_one_challengers_answer_beside_the_champions(store: Store) -> None:
    answered(store, "c1")
    another = Correction("own", "She go.", "She left.", (), None, "ch2")
    assert not store.journal_shadow("c1", another) and not store.journal_shadow("c9", another)
    assert [pair.adapter for pair in store.shadow_pairs()] == ["ch"]


def test_an_answer_that_was_forgotten_takes_no_challengers_that_comes_late(store: Store) -> None:
    store.journal_correction(Correction("c1", "She go.", "She goes.", (), "r0001", "a"), client="ann")
    store.erase_person(client="ann")
    assert not store.journal_shadow("c1", Correction("own", "She go.", "She went.", (), None, "ch"))


def test_what_is_erased_takes_the_challengers_answer_with_it(store: Store) -> None:
    row = identified(example(1))
    store.land([row])
    answered(store, "c1", text=row.before)
    answered(store, "c2", client="ann")
    answered(store, "c3")
    answered(store, "c4", text="They was.")
    assert count(store) == 4
    store.forget(row.id)
    assert count(store) == 3
    store.erase_person(client="ann")
    assert count(store) == 2
    # A text that stands in the challenger's answer alone.
    assert store.erase_answers_holding(["They was. Went."]) == 1 and count(store) == 1
    store.erase_answers(["c3"])
    assert count(store) == 0


def test_old_challengers_answers_go_with_the_journals(store_url: str) -> None:
    clock = Clock()
    with open_store(store_url, SQL, now=clock) as timed:
        answered(timed, "old")
        answered(timed, "pending")
        timed.add_feedback(source_key="k", correction_id="pending", rating=1)
        clock.time += timedelta(days=50)
        before = timed.database.now()
        clock.time += timedelta(days=1)
        answered(timed, "new")
        timed.remove_before(before)
        with timed.database.read() as connection:
            left = connection.exec_driver_sql("SELECT correction_id FROM shadow_answer").scalars()
            assert set(left) == {"pending", "new"}


@pytest.mark.parametrize("adapter", ["ch", None])
def test_a_store_without_challengers_has_no_pairs(store: Store, adapter: str | None) -> None:
    assert store.shadow_pairs(adapter=adapter) == []
