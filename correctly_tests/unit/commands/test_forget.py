"""`correctly forget`: a person by client or chat, and every place that a sentence stands in."""

# ruff: noqa: F811 - a fixture of another file

from __future__ import annotations

import json
from pathlib import Path

import pytest

from correctly_assets.artifacts.backups import forgotten_in
from correctly_assets.core.types import Correction
from correctly_assets.gateway.access import client_name, client_salt
from correctly_assets.settings import Settings, get_settings
from correctly_assets.store import Store
from correctly_assets.workflows.collect_feedback import settle_feedback
from correctly_assets.workflows.restore_backup import restore_backup
from correctly_assets.workflows.wiring import open_platform_store
from correctly_tests.commands import Run, landed
from correctly_tests.unit.workflows.test_clean_up import Chat, chat  # noqa: F401 - a fixture


def answer(store: Store, id: str, before: str, *, client: str = "ann", chat_id: str | None = None) -> None:
    after = before.replace("go ", "goes ")
    store.journal_correction(Correction(id, before, after, (), "r0001", "a"), client=client, chat_id=chat_id)


@pytest.mark.slow
def test_a_client_is_forgotten_with_the_examples_that_became_of_it(run: Run, settings: Settings) -> None:
    with open_platform_store(settings.platform) as store:
        answer(store, "c_1", "She go to the office every days.")
        answer(store, "c_2", "He go home.", client="bob")
        store.add_feedback(
            source_key="api:ann:c_1", correction_id="c_1", rating=-1, better="She goes to the office every day."
        )
        settle_feedback(store, settings)
        assert store.counts().accepted == 1
    code, out, error = run("forget", "--client", "ann", "--json")
    assert code == 0, error
    gone = json.loads(out)
    assert (gone["answers"], len(gone["examples"])) == (1, 1)
    with open_platform_store(settings.platform) as store:
        assert store.counts().accepted == 0
        [kept] = [entry for entry in store.corrections() if entry.before]
        assert kept.client == "bob"
    files = [path for path in settings.platform.home.rglob("*") if path.is_file()]
    assert not [path for path in files if b"to the office" in path.read_bytes()]
    assert run("forget", "--client", "ann")[0] == 2


def test_a_client_without_a_key_is_forgotten_by_its_address(run: Run, settings: Settings) -> None:
    name = client_name("192.0.2.7", client_salt(settings.platform))
    with open_platform_store(settings.platform) as store:
        answer(store, "c_1", "She go home.", client=name)
    assert json.loads(run("forget", "--client", "192.0.2.7", "--json")[1])["answers"] == 1


@pytest.mark.slow
def test_a_chat_is_forgotten_on_the_chat_page_too(run: Run, settings: Settings, chat: Chat) -> None:
    chat.lists["/api/v1/chats"] = [{"id": "one", "chat": {}}, {"id": "two", "chat": {}}]
    with open_platform_store(get_settings().platform) as store:
        answer(store, "c_1", "She go home.", chat_id="one")
        answer(store, "c_2", "He go home.", chat_id="two")
    gone = json.loads(run("forget", "--chat", "one", "--json")[1])
    assert (gone["answers"], gone["chats"], chat.ids()) == (1, 1, ["two"])
    assert run("forget", "--chat", "nobody's")[0] == 2


def test_what_is_to_be_forgotten_is_said_in_one_way(run: Run) -> None:
    for words in ((), ("abc", "--client", "ann"), ("--client", "ann", "--chat", "one")):
        assert run("forget", *words)[0] == 2


@pytest.mark.slow
def test_a_forgotten_sentence_is_removed_or_named_wherever_it_stands(
    run: Run,
    settings: Settings,
    chat: Chat,
    tmp_path: Path,
) -> None:
    settings = get_settings()
    ids = landed(run, tmp_path)
    secret = "He go to the bus station."
    platform = settings.platform
    with open_platform_store(platform) as store:
        answer(store, "c_1", f"Dear Bob. {secret} Yours, Ann")
        answer(store, "c_2", "Something else that she go to.")
    chat.lists["/api/v1/chats"] = [{"id": "one", "chat": {"messages": [{"content": secret}]}}]
    places = [
        platform.inbox_dir / "refused" / "old.csv.refused.jsonl",
        platform.inbox_dir / "done" / "other.jsonl",
        platform.logs_dir / "inbox.log",
        platform.dagster_home / "logs" / "run" / "compute_logs" / "step.err",
        platform.home / "exports" / "copy.jsonl",
    ]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps({"row": secret}))
    gone = json.loads(run("forget", ids[secret], "--json")[1])
    assert gone["answers"] == 1
    said = " ".join(gone["left"])
    assert all(str(place) in said for place in places)
    assert "`correctly forget --chat one`" in said
    with open_platform_store(platform) as store:
        assert [entry.id for entry in store.corrections() if entry.before] == ["c_2"]


def test_a_restore_brings_no_forgotten_answer_back(
    run: Run, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_platform_store(settings.platform) as store:
        answer(store, "c_1", "She go home.")
        answer(store, "c_2", "He go home.", client="bob")
    assert run("backup", "--to", str(tmp_path / "disk"))[0] == 0
    assert run("forget", "--client", "ann")[0] == 0
    assert forgotten_in(tmp_path / "disk") == {"answer:c_1"}
    monkeypatch.setenv("CORRECTLY_HOME", str(tmp_path / "fresh"))
    restore_backup(get_settings(), tmp_path / "disk")
    with open_platform_store(get_settings().platform) as store:
        assert [(entry.id, entry.before) for entry in store.corrections() if entry.before] == [("c_2", "He go home.")]
