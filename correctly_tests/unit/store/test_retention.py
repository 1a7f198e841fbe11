"""What goes from the store by its age, by a client and by a chat, and what stays."""

# ruff: noqa: F811 - the fixtures are the tables' own
from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from correctly_assets.core.landing import LandRow, identified
from correctly_assets.core.types import Correction
from correctly_assets.store import Store, open_store
from correctly_tests.unit.store.test_tables import SQL, Clock, example, held, store, store_url  # noqa: F401 - fixtures


def answer(store: Store, id: str, text: str, *, client: str = "ann", chat: str | None = None) -> None:
    store.journal_correction(Correction(id, text, f"{text}!", (), "r0001", "a"), client=client, chat_id=chat)


def react(store: Store, id: str, key: str, **said: object) -> str:
    return store.add_feedback(source_key=key, correction_id=id, rating=1, **said).id  # pyright: ignore[reportArgumentType]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(store_url: str, clock: Clock):
    with open_store(store_url, SQL, now=clock) as opened:
        yield opened


def test_what_is_older_goes_and_what_is_younger_or_pending_stays(timed: Store, clock: Clock) -> None:
    def day(name: str) -> None:
        answer(timed, f"c_{name}", f"An {name} sentence.")
        settled = react(timed, f"c_{name}", f"k_{name}", comment=f"An {name} remark.")
        timed.settle_feedback(settled, "thumb", message="It confirms.", thumb=(f"An {name} sentence.", "It."))

    day("old")
    answer(timed, "c_pending", "A pending sentence.")
    react(timed, "c_pending", "k_pending")
    row = identified(example(1))
    timed.land([LandRow(row, held=held()), LandRow(identified(example(2)))])
    released = identified(example(3))
    timed.land([LandRow(released, held=held())])
    timed.release_quarantined(released.id)
    clock.time += timedelta(days=50)
    before = timed.database.now()
    clock.time += timedelta(days=40)
    day("new")

    gone = timed.remove_before(before)
    assert (gone.answers, gone.reactions, gone.confirmed, gone.held) == (1, 1, 1, 1)
    assert timed.correction("c_old") is None
    assert timed.correction("c_new") is not None and timed.correction("c_pending") is not None
    assert [item.source_key for item in timed.pending_feedback()] == ["k_pending"]
    assert [thumb.before for thumb in timed.thumbs()] == ["An new sentence."]
    assert timed.quarantined("open") == [] and timed.get(row.id).status == "forgotten"
    assert timed.get(row.id).example.before == ""
    # Landed examples are not what people wrote in passing: they stay until they are forgotten.
    assert [one.id for one in timed.accepted()] == sorted([identified(example(2)).id, released.id])
    assert [item.row for item in timed.quarantined("released")] == [{}]
    assert timed.remove_before(before) == type(gone)(0, 0, 0, 0)


def test_a_client_is_erased_with_its_own_reactions_and_nobody_else_is(store: Store) -> None:
    answer(store, "c_1", "A sentence of Ann's.", chat="chat-1")
    answer(store, "c_2", "A sentence of Bob's.", client="bob", chat="chat-2")
    react(store, "c_2", "api:ann:c_2", comment="Ann's remark.")
    react(store, "c_2", "api:bob:c_2", comment="Bob's remark.")
    # A name of which hers is the beginning, and one that LIKE would take for it.
    answer(store, "c_3", "A sentence of Anna's.", client="anna")
    react(store, "c_2", "api:a_n:c_2", comment="Another's remark.")
    found = store.answers_of(client="ann")
    assert (found.answers, found.chats, found.examples) == (("c_1",), ("chat-1",), ())
    assert store.erase_person(client="ann") == 1
    erased = store.correction("c_1")
    assert erased is not None and (erased.before, erased.after, erased.client, erased.chat_id) == ("", "", None, None)
    for id, client in (("c_2", "bob"), ("c_3", "anna")):
        kept = store.correction(id)
        assert kept is not None and kept.before and kept.client == client
    remarks = {item.comment for state in ("pending", "ignored") for item in store.feedback(state)}
    assert remarks == {None, "Bob's remark.", "Another's remark."}
    assert store.answers_of(client="ann").answers == ()


def test_the_votes_of_a_person_who_is_erased_still_count_as_one_persons(store: Store) -> None:
    for number in range(12):
        answer(store, f"c_{number}", f"Sentence {number}.", client="bob")
        store.add_feedback(source_key=f"api:ann:c_{number}", correction_id=f"c_{number}", rating=-1, giver="api:ann")
    react(store, "c_0", "api:bob:c_0", giver="api:bob")
    before = store.signals("r0001")
    store.erase_person(client="ann")
    assert (before.ups, before.downs) == (1, 1) and store.signals("r0001") == before


def test_a_chat_is_erased_whoever_asked_in_it(store: Store) -> None:
    answer(store, "c_1", "The first sentence.", chat="one")
    answer(store, "c_2", "The second sentence.", chat="two")
    kept = react(store, "c_1", "open-webui:1", better="Something better.")
    store.settle_feedback(kept, "landed", message="It landed.", example_id="e1")
    assert store.answers_of(chat_id="one").examples == ("e1",)
    assert store.erase_person(chat_id="one") == 1
    second = store.correction("c_2")
    assert second is not None and second.before == "The second sentence."
    assert all(item.better is None for item in store.feedback("landed"))


def test_answers_in_which_a_sentence_stands_are_blanked_with_what_was_said(store: Store) -> None:
    secret = "100% of my_money is gone!"
    answer(store, "c_1", f"Dear Bob. {secret} Yours, Ann")
    answer(store, "c_2", "Dear Bob. 100 of my money is gone! Yours, Ann")
    answer(store, "c_3", "Another text.")
    react(store, "c_3", "k", comment=f"I had written: {secret}")
    assert store.erase_answers_holding([secret]) == 2
    texts = [entry.before for entry in store.corrections()]
    assert sorted(texts) == ["", "", "Dear Bob. 100 of my money is gone! Yours, Ann"]
    assert all(item.comment is None for state in ("pending", "ignored") for item in store.feedback(state))


def test_what_was_erased_stands_in_no_file_of_the_store(store: Store, tmp_path: Path) -> None:
    answer(store, "c_1", "Zanzibar is where I live.")
    store.erase_person(client="ann")
    assert not [path for path in tmp_path.glob("store.sqlite*") if b"Zanzibar" in path.read_bytes()]
