"""Files on their way into the store, on SQLite. The same tests run on PostgreSQL in integration/test_postgres_store.py, which
gives another ``store_url``."""

# ruff: noqa: F811 - the fixtures are the tables' own
from __future__ import annotations

from datetime import timedelta

import pytest

from correctly_assets.core.errors import RetryableError, UsageError
from correctly_assets.core.landing import LandCounts
from correctly_assets.store import Store, open_store
from correctly_tests.unit.store.test_tables import SQL, Clock, store, store_url  # noqa: F401 - fixtures


def test_a_file_is_under_way_from_its_first_row_until_it_has_landed(store: Store) -> None:
    with store.landing("all"):
        with store.landing("a.csv"):
            assert store.landing_under_way() == "all"
        assert store.landing_under_way() == "all" and not store.landing_unfinished("a.csv")
    assert store.landing_under_way() is None and not store.landing_unfinished("all")


def test_a_landing_silent_for_a_minute_holds_nobody_up_unfinished(store_url: str) -> None:
    clock = Clock()
    with open_store(store_url, SQL, now=clock) as store, store.landing("a.csv") as seen:
        clock.time += timedelta(seconds=50)
        seen()
        clock.time += timedelta(seconds=50)
        assert store.landing_under_way() == "a.csv"
        clock.time += timedelta(seconds=10)
        assert store.landing_under_way() is None and store.landing_unfinished("a.csv")


def test_a_landing_cut_short_is_unfinished_until_the_same_one_succeeds(store: Store) -> None:
    with pytest.raises(RetryableError), store.landing("a.csv"):
        raise RetryableError("The store is away.")
    assert store.landing_unfinished("a.csv")
    with store.landing("b.csv"):
        pass
    assert store.landing_unfinished("a.csv")
    with store.landing("a.csv"):
        pass
    assert not store.landing_unfinished("a.csv") and store.landing_under_way() is None


def test_a_landing_that_failed_for_good_is_over(store: Store) -> None:
    with pytest.raises(UsageError), store.landing("a.csv"):
        raise UsageError("It is damaged.")
    assert store.landing_under_way() is None and not store.landing_unfinished("a.csv")


def test_landings_are_listed_newest_first(store: Store) -> None:
    store.record_landing(file="a.csv", sha="x", counts=LandCounts(2, 1), refused=3)
    store.record_landing(file="b.csv", sha=None, counts=LandCounts(), refused=0)
    landings = store.landings()
    assert [landing.file for landing in landings] == ["b.csv", "a.csv"]
    assert (landings[1].landed, landings[1].duplicates, landings[1].refused) == (2, 1, 3)
