"""The feedback sensor asks and requests a run; the run reads, lands and settles."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest

from correctly_assets.definitions import build_defs
from correctly_assets.defs.feedback import tick_feedback
from correctly_assets.resources.ledger import NoLedger
from correctly_assets.resources.store_resource import StoreResource
from correctly_assets.settings import Settings, get_settings
from correctly_assets.store import Store, open_store
from correctly_tests.unit.workflows.test_feedback import Chat, journal, row


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Iterator[Chat]:
    made = Chat()
    monkeypatch.setenv("CORRECTLY_WEBUI_PORT", str(made.port))
    yield made
    made.close()


@pytest.fixture
def store(chat: Chat) -> Iterator[Store]:
    platform = get_settings().platform
    platform.home.mkdir(parents=True)
    with open_store(platform.store_url, platform.sql_dir) as opened:
        journal(opened)
        yield opened


def tick(instance: dg.DagsterInstance, settings: Settings) -> dg.RunRequest | dg.SkipReason:
    platform = settings.platform
    resource = StoreResource(url=platform.store_url, sql_dir=str(platform.sql_dir))
    return tick_feedback(dg.build_sensor_context(instance=instance), resource, settings)


def run(instance: dg.DagsterInstance, settings: Settings, request: dg.RunRequest) -> bool:
    made = build_defs(settings, {"mlflow": dg.ResourceDefinition.hardcoded_resource(NoLedger())})
    job = made.resolve_job_def("read_feedback")
    tags, config = dict(request.tags), request.run_config
    return job.execute_in_process(instance=instance, tags=tags, run_config=config, raise_on_error=False).success


def test_a_vote_is_read_by_a_run_of_its_own_and_once(instance: dg.DagsterInstance, chat: Chat, store: Store) -> None:
    settings = get_settings()
    assert "No reaction is waiting" in str(tick(instance, settings))
    chat.rows = [row(-1, comment="She goes to the office every day.")]
    request = tick(instance, settings)
    assert isinstance(request, dg.RunRequest) and "votes in the chat" in request.tags["correctly/why"]
    # Asking writes nothing.
    assert store.pending_feedback(1) == [] and list(store.accepted()) == []
    assert run(instance, settings, request)
    [example] = list(store.accepted())
    assert example.after == "She goes to the office every day." and example.source == "feedback"
    assert "No reaction is waiting" in str(tick(instance, settings))
    chat.rows = [row(1, at=2000)]
    assert isinstance(tick(instance, settings), dg.RunRequest)


def test_a_run_that_cannot_read_the_votes_fails_and_is_repeated_later(
    instance: dg.DagsterInstance, chat: Chat, store: Store
) -> None:
    settings = get_settings()
    chat.rows = [row(-1, comment="She goes to the office every day.")]
    request = tick(instance, settings)
    assert isinstance(request, dg.RunRequest)
    chat.rows = []  # as good as a chat that went away between the question and the run
    assert not run(instance, settings, request)
    assert "are read again in" in str(tick(instance, settings))
