"""Corrections of rows that wait: recorded from a real endpoint on loopback, replayed into the store without one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from correctly_assets.artifacts.examples_snapshot import write_examples_snapshot
from correctly_assets.core.errors import PermanentError, RefusedError, RetryableError
from correctly_assets.core.landing import identified
from correctly_assets.core.types import Example
from correctly_assets.settings import Settings, get_settings
from correctly_assets.store import Store, open_store
from correctly_assets.workflows.build_train_set import make_train_set
from correctly_assets.workflows.complete_examples import complete_waiting, rehearse_waiting
from correctly_assets.workflows.make_teacher import make_platform_teacher
from correctly_assets.workflows.record_teacher import record_teacher
from correctly_assets.workflows.waiting_rows import waits_for
from correctly_tests.commands import invoke
from correctly_tests.teaching_fakes import GOOD, ChatServer, answer, completion

pytestmark = pytest.mark.slow
LANDED = [
    Example("", "I has a question about the rent.", "I have a question about the rent.", form="email"),
    Example("", "The ferry leaves from the old pier at noon.", "The ferry leaves from the old pier at noon."),
]
EDITS = {
    "I wait for correcting.": ("for correcting", "to be corrected"),
    "She like to swim in cold lakes.": ("like", "likes"),
    "They was late for the concert.": ("was", "were"),
}
CORRECTED = {before: before.replace(*edit) for before, edit in EDITS.items()}


def corrects(handler: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
    """Corrects the text it is asked for, and writes the good pair for a cell."""
    _, asked, text = request["messages"][0]["content"].rpartition("The text:\n")
    [good] = GOOD["pairs"]
    if not asked:
        found: dict[str, Any] = GOOD
    elif text == good["before"]:
        found = {"after": good["after"], "edits": good["edits"]}
    else:
        was, now = EDITS[text]
        found = {
            "after": CORRECTED[text],
            "edits": [{"was": was, "now": now, "reason": f'"{now}" is the form needed here.'}],
        }
    answer(handler, 200, completion(json.dumps(found)))


@pytest.fixture
def server() -> Iterator[ChatServer]:
    made = ChatServer()
    made.otherwise = corrects
    yield made
    made.close()


@pytest.fixture
def prompted(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return teacher_is(monkeypatch, "openai", TEACHER_MODEL="toy", TEACHER_BASE_URL=server.url, TRAIN_PAIRS="12")


@pytest.fixture
def store(prompted: Settings) -> Iterator[Store]:
    with open_store(prompted.platform.store_url, prompted.platform.sql_dir) as opened:
        waiting = [Example("", before, None, form="diary") for before in CORRECTED]
        opened.land([identified(example) for example in (*LANDED, *waiting)])
        yield opened


def teacher_is(monkeypatch: pytest.MonkeyPatch, kind: str, **more: str) -> Settings:
    for name, value in {"TEACHER": kind, **more}.items():
        monkeypatch.setenv(f"CORRECTLY_{name}", value)
    return get_settings()


def corrections(store: Store) -> dict[str, str | None]:
    return {row.before: row.after for row in store.accepted() if row.before in CORRECTED}


def test_waiting_rows_are_completed_from_a_recording_without_key_or_server(
    prompted: Settings, server: ChatServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = {example.before: example.after for example in rehearse_waiting(store, make_platform_teacher(prompted))}
    assert live == CORRECTED
    header = json.loads(invoke("record", "--kind", "teacher", "--json"))
    assert (header["kind"], header["model"], header["entries"]) == ("teacher", "toy", len(server.requests))
    assert store.counts().waiting == len(CORRECTED)  # recording lands nothing
    server.close()
    shutil.rmtree(prompted.platform.home / "teacher" / "journal")
    replaying = teacher_is(monkeypatch, "recorded", TEACHER_BASE_URL="http://127.0.0.1:9/v1")
    done = complete_waiting(store, replaying)
    assert (done.completed, done.left, done.cost_usd, done.refused) == (3, 0, 0, ())
    assert corrections(store) == live
    # The train set that now follows holds them, and all that its teacher is asked was recorded with them.
    snapshot = write_examples_snapshot(store, replaying.platform.snapshots_dir)
    made = make_train_set(replaying, examples_snapshot=snapshot.id, log=lambda _: None)
    assert made.refused == () and made.by_origin["teacher"] == 1
    assert set(CORRECTED.items()) <= {(pair.before, pair.after) for pair in made.pairs}


def test_rows_that_a_recording_lacks_wait_on_and_a_sentence_says_so(
    prompted: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_teacher(prompted)
    replaying = teacher_is(monkeypatch, "recorded", TEACHER_BASE_URL="http://127.0.0.1:9/v1")
    store.land([identified(Example("", "Nobody recorded this sentences.", None))])
    command = "run `correctly record --kind teacher --model toy`"
    assert "correctly record --kind teacher --model toy" in waits_for(replaying.teacher)
    done = complete_waiting(store, replaying)
    assert (done.completed, done.left) == (3, 1)
    assert f"1 wait still. The recording has no answer for 1 of them: {command}." in (done.message or "")
    again = complete_waiting(store, replaying)
    assert (again.completed, again.left) == (0, 1)
    assert again.message == f"1 examples wait still: What toy answers to this is not recorded; {command}."


def test_more_rows_than_a_call_asks_about_are_recorded_as_calls_will_ask(
    prompted: Settings, server: ChatServer, store: Store
) -> None:
    rehearsed = rehearse_waiting(store, make_platform_teacher(prompted), count=1)
    asked = len(server.requests)
    calls = [complete_waiting(store, prompted, count=1) for _ in CORRECTED]
    assert [call.completed for call in calls] == [1, 1, 1] and len(
        server.requests
    ) == asked  # the journal knows them all
    assert corrections(store) == {example.before: example.after for example in rehearsed} == CORRECTED


def test_a_correction_is_recorded_under_no_other_name_and_not_in_part(
    prompted: Settings, server: ChatServer, store: Store
) -> None:
    folder = prompted.platform.home / "teacher" / "recordings"
    with pytest.raises(RefusedError, match="answered as 'toy', not as 'dear'"):
        record_teacher(prompted, model="dear")
    poor = {"budget_usd": 0.0001, "prices": {"toy": {"prompt": 0.0, "completion": 1000.0}}}
    with pytest.raises(PermanentError, match=r"The budget of 0\.00 USD is reached"):
        record_teacher(prompted.changed(teacher=poor))
    assert not list(folder.glob("*"))
    # What is not answered now ends it before the pairs cost anything; what was paid for is kept, and not asked again.
    asked = len(server.requests)

    def later(handler: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
        if request["messages"][0]["content"].endswith("They was late for the concert."):
            answer(handler, 429, {"error": {"message": "slow down"}}, {"Retry-After": "3600"})
        else:
            corrects(handler, request)

    server.otherwise = later
    with pytest.raises(RetryableError, match="asks to wait 3600 s"):
        record_teacher(prompted)
    assert all("The text:" in request["messages"][0]["content"] for request in server.requests[asked:])
    assert not list(folder.glob("*"))
    server.otherwise = corrects
    recording = record_teacher(prompted)
    texts = [
        entry["request"]["messages"][0]["content"].rpartition("The text:\n")[2] for entry in recording.entries.values()
    ]
    assert {text for text in CORRECTED if texts.count(text) == 2} == set(CORRECTED)  # each with its second pass
    prompts = [json.dumps(request, sort_keys=True) for request in server.requests if request["model"] == "toy"]
    assert sorted(prompts.count(prompt) for prompt in set(prompts))[-2:] == [1, 2]  # only the one that was not answered
    assert store.counts().waiting == len(CORRECTED)


def test_a_row_too_long_to_be_asked_for_keeps_no_other_from_being_recorded(
    prompted: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for example in store.waiting():
        store.complete_waiting(example.id, CORRECTED[example.before])
    store.land([identified(Example("", "It go on and on. " * 1200, None))])
    recording = record_teacher(prompted)
    assert recording.header["entries"] > 0
    done = complete_waiting(store, teacher_is(monkeypatch, "recorded"))
    assert (done.completed, done.left) == (0, 1) and "not recorded" in (done.message or "")
