"""What is given from outside is observed, and what landed and is in no decision is warned of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from correctly_assets.core.landing import identified
from correctly_assets.core.types import Example
from correctly_assets.definitions import build_defs
from correctly_assets.defs.event_metadata import DATA_VERSION_TAG
from correctly_assets.defs.given import given, tick_observe
from correctly_assets.resources.store_resource import StoreResource
from correctly_assets.settings import Settings
from correctly_assets.store import open_store
from correctly_assets.training.models.base_model import MANIFEST


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def with_base(settings: Settings, path: Path, revision: str) -> Settings:
    """The settings with a base model of a revision."""
    path.mkdir(exist_ok=True)
    (path / MANIFEST).write_text(json.dumps({"revision": revision}))
    training = settings.training.model_copy(update={"base_model": str(path)})
    return settings.model_copy(update={"training": training})


def tick(instance: dg.DagsterInstance, settings: Settings, cursor: str | None) -> dg.SensorResult:
    """One tick of the sensor, whose events are recorded as the daemon does."""
    settings.platform.home.mkdir(parents=True, exist_ok=True)
    store = StoreResource(url=settings.platform.store_url, sql_dir=str(settings.platform.sql_dir))
    result = tick_observe(dg.build_sensor_context(instance=instance, cursor=cursor), store, settings)
    for event in result.asset_events:
        instance.report_runless_asset_event(event)
    return result


@dg.asset(deps=["base_model"], code_version="1")
def adapter() -> None:
    """Stands for `lora_adapter`, which takes a trainer."""


def is_stale(instance: dg.DagsterInstance) -> bool:
    graph = dg.Definitions(assets=[adapter, given], resources={"settings": None}).resolve_asset_graph()
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    return resolver.get_status(dg.AssetKey("adapter")) == StaleStatus.STALE


def test_an_adapter_is_stale_once_the_base_model_was_changed(
    instance: dg.DagsterInstance, settings: Settings, tmp_path: Path
) -> None:
    first = with_base(settings, tmp_path / "base", "r1")
    cursor = tick(instance, first, None).cursor
    resources = {"settings": first}
    assert dg.materialize([adapter, given], instance=instance, selection=[adapter], resources=resources).success
    again = tick(instance, first, cursor)
    assert again.asset_events == [] and not is_stale(instance)
    second = with_base(settings, tmp_path / "base", "r2")
    changed = tick(instance, second, again.cursor)
    assert [event.asset_key.to_user_string() for event in changed.asset_events] == ["base_model"]
    assert is_stale(instance)


def test_both_can_be_observed_by_hand(instance: dg.DagsterInstance, settings: Settings, tmp_path: Path) -> None:
    made = build_defs(with_base(settings, tmp_path / "base", "r7"))
    job = made.resolve_implicit_global_asset_job_def()
    assert job.execute_in_process(instance=instance, asset_selection=[dg.AssetKey("base_model")]).success
    event = instance.fetch_observations(dg.AssetKey("base_model"), limit=1).records[0].asset_observation
    assert event is not None and event.tags[DATA_VERSION_TAG] == "r7"
    assert not instance.fetch_observations(dg.AssetKey("evaluation_set"), limit=1).records


def test_an_example_that_is_in_no_decision_for_a_day_is_warned_of_once(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    settings.platform.home.mkdir(parents=True)
    two_days_ago = datetime.now(UTC) - timedelta(days=2)
    with open_store(settings.platform.store_url, settings.platform.sql_dir, now=lambda: two_days_ago) as store:
        store.land([identified(Example(id="", before="He go.", after="He goes."))])
    result = tick(instance, settings, None)
    (warning,) = [event for event in result.asset_events if isinstance(event, dg.AssetCheckEvaluation)]
    assert not warning.passed and warning.severity == dg.AssetCheckSeverity.WARN
    assert "landed 48 hours ago" in (warning.description or "")
    again = tick(instance, settings, result.cursor)
    assert again.asset_events == [] and "48 hours" in str(again.skip_reason)
    with open_store(settings.platform.store_url, settings.platform.sql_dir) as store:
        store.record_decision(fingerprint="f", verdict="refused", reasons=["no"], example_ids=None)
    (over,) = tick(instance, settings, again.cursor).asset_events
    assert isinstance(over, dg.AssetCheckEvaluation) and over.passed
