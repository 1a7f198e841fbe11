"""The daily clean-up over a whole HOME: what is older than CORRECTLY_RETENTION_DAYS goes everywhere, the rest stays."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from correctly_assets.core.errors import UnreachableError
from correctly_assets.core.types import Correction
from correctly_assets.settings import Settings, get_settings
from correctly_assets.store import Store
from correctly_assets.workflows.clean_up import clean_up, purge_runs
from correctly_assets.workflows.openwebui_chats import chats_holding, remove_chats
from correctly_assets.workflows.wiring import open_platform_store
from correctly_tests.loopback import Loopback, answer

LATER = datetime.now(UTC) + timedelta(days=91)
"""When everything that a test makes now is older than 90 days."""


class Chat(Loopback):
    """A server on loopback with the routes of Open WebUI that chats, votes and files are listed and removed by."""

    def __init__(self) -> None:
        self.lists: dict[str, list[dict[str, Any]]] = {
            "/api/v1/chats": [],
            "/api/v1/evaluations/feedback": [],
            "/api/v1/files": [],
        }
        self.closed = False
        super().__init__()

    def handle(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        path = handler.path
        if path == "/api/v1/auths/signin":
            return answer(handler, 200, {"token": "t"})
        if self.closed or handler.headers.get("Authorization") != "Bearer t":
            return answer(handler, 401, {})
        if handler.command == "DELETE":
            place, _, id = path.rpartition("/")
            kept = [row for row in self.lists[place] if row["id"] != id]
            found = len(kept) < len(self.lists[place])
            self.lists[place] = kept
            return answer(handler, 200 if found else 404, found)
        if path == "/api/v1/chats/all/db":
            return answer(handler, 200, self.lists["/api/v1/chats"])
        if path == "/api/v1/evaluations/feedbacks/all/export":
            return answer(handler, 200, self.lists["/api/v1/evaluations/feedback"])
        page = path.rpartition("page=")[2]
        return answer(handler, 200, {"items": self.lists["/api/v1/files"] if page == "1" else []})

    def ids(self) -> list[str]:
        return sorted(row["id"] for rows in self.lists.values() for row in rows)


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Iterator[Chat]:
    made = Chat()
    monkeypatch.setenv("CORRECTLY_WEBUI_PORT", str(made.port))
    webui = get_settings().platform.home / "webui"
    webui.mkdir(parents=True)
    (webui / "webui.db").touch()
    yield made
    made.close()


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with open_platform_store(settings.platform) as opened:
        yield opened


class NoEngine:
    """No engine answers, though the platform runs."""

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Any]:
        raise UnreachableError("The engine is away.")
        yield


class IdleEngine:
    """An engine that knows no adapter."""

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Any]:
        yield self

    async def models(self) -> dict[str, str]:
        return {"base": "/models/base"}


def put(path: Path, text: str = "texts") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_everything_that_is_old_goes_from_every_place(settings: Settings, chat: Chat, store: Store) -> None:
    settings, platform = get_settings(), get_settings().platform
    store.journal_correction(Correction("c_1", "An old sentence.", "It.", (), "r0001", "a"), client="ann")
    young = datetime.now(UTC) + timedelta(days=90)
    chat.lists["/api/v1/chats"] = [
        {"id": "old", "updated_at": 1000},
        {"id": "young", "updated_at": int(young.timestamp())},
    ]
    chat.lists["/api/v1/evaluations/feedback"] = [
        {"id": "old-vote", "updated_at": 1000},
        {"id": "young-vote", "updated_at": int(young.timestamp())},
    ]
    chat.lists["/api/v1/files"] = [{"id": "file", "created_at": 1000}]
    old = [
        put(platform.inbox_dir / "done" / "rows.csv"),
        put(platform.inbox_dir / "refused" / "bad.csv"),
        put(platform.inbox_dir / "refused" / "bad.csv.refused.jsonl"),
        put(platform.logs_dir / "gateway.log.1"),
        put(platform.dagster_home / "logs" / "tick" / "compute_logs" / "a.err"),
    ]
    kept = [put(platform.inbox_dir / "waits.csv"), put(platform.logs_dir / "gateway.log")]
    with dg.DagsterInstance.ephemeral() as instance:
        done = clean_up(settings, store, instance, IdleEngine(), now=LATER)
    assert done.failed == ()
    assert store.correction("c_1") is None
    assert chat.ids() == ["young", "young-vote"]
    assert [path for path in old if path.exists()] == []
    assert all(path.exists() for path in kept)


def test_nothing_young_goes(settings: Settings, chat: Chat, store: Store) -> None:
    platform = get_settings().platform
    store.journal_correction(Correction("c_1", "A sentence.", "It.", (), "r0001", "a"))
    chat.lists["/api/v1/chats"] = [{"id": "one", "updated_at": int(datetime.now(UTC).timestamp())}]
    path = put(platform.inbox_dir / "done" / "rows.csv")
    os.utime(path, (0, 0))  # written long ago, and read today
    with dg.DagsterInstance.ephemeral() as instance:
        done = clean_up(get_settings(), store, instance, IdleEngine())
    assert done.failed == () and store.correction("c_1") is not None
    assert chat.ids() == ["one"] and path.exists()


def test_a_place_that_cannot_be_cleaned_is_named_and_stops_no_other(
    settings: Settings, chat: Chat, store: Store
) -> None:
    chat.closed = True
    store.journal_correction(Correction("c_1", "An old sentence.", "It.", (), "r0001", "a"))
    with dg.DagsterInstance.ephemeral() as instance:
        done = clean_up(get_settings(), store, instance, NoEngine(), now=LATER)
    assert store.correction("c_1") is None
    assert [words.split(":")[0] for words in done.failed] == ["The chat page", "Adapters and snapshots"]


def test_old_runs_go_with_their_files_but_not_those_that_the_loop_looks_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("correctly_assets.workflows.clean_up.KEPT_RUNS", 1)

    @dg.asset
    def made() -> None: ...

    @dg.op
    def nothing() -> None: ...

    @dg.job
    def idle() -> None:
        nothing()

    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        holds_the_asset = dg.materialize([made], instance=instance).run_id
        old, newest = (idle.execute_in_process(instance=instance).run_id for _ in range(2))
        events = put(tmp_path / "storage" / "history" / "runs" / f"{old}.db")
        logs = put(tmp_path / "logs" / old / "compute_logs" / "x.err")
        assert purge_runs(instance, tmp_path, datetime.now(UTC) - timedelta(days=1)) == 0
        assert purge_runs(instance, tmp_path, datetime.now(UTC) + timedelta(days=1)) == 1
        assert {run.run_id for run in instance.get_runs()} == {holds_the_asset, newest}
        assert not events.exists() and not logs.exists()


def test_the_chats_that_hold_a_text_are_found_and_removed_with_their_votes(settings: Settings, chat: Chat) -> None:
    platform = get_settings().platform
    secret = 'She said "go" to Zanzibar.'
    chat.lists["/api/v1/chats"] = [
        {"id": "one", "chat": {"messages": [{"content": f"Please correct: {secret}"}]}},
        {"id": "two", "chat": {"messages": [{"content": "Nothing of it."}]}},
    ]
    chat.lists["/api/v1/evaluations/feedback"] = [
        {"id": "v", "meta": {"chat_id": "three"}, "snapshot": {"content": secret}}
    ]
    assert chats_holding(platform, [secret]) == ["one", "three"]
    assert remove_chats(platform, ["one", "three"]) == 1
    assert chat.ids() == ["two"]
