"""The serving sensor reports, and repairs the record; it decides nothing."""

from __future__ import annotations

import dagster as dg
import pytest

from correctly_assets.defs.automation import tick_serving
from correctly_assets.resources.store_resource import StoreResource
from correctly_assets.settings import get_settings
from correctly_assets.store import open_store


def test_a_rollback_made_by_the_gateway_is_told_on_the_assets_page_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CORRECTLY_GATEWAY_PORT", "9")
    settings = get_settings()
    settings.platform.home.mkdir(parents=True)
    resource = StoreResource(url=settings.platform.store_url, sql_dir=str(settings.platform.sql_dir))

    def tick(instance: dg.DagsterInstance) -> tuple[str, list[dg.AssetMaterialization]]:
        said = tick_serving(dg.build_sensor_context(instance=instance), resource, settings)
        if isinstance(said, dg.SkipReason):
            return said.skip_message or "", []
        assert isinstance(said, dg.SensorResult)
        events = list(said.asset_events or [])
        for event in events:
            instance.report_runless_asset_event(event)  # pyright: ignore[reportArgumentType]
        return str(said.skip_reason), events  # pyright: ignore[reportReturnType]

    with (
        dg.DagsterInstance.ephemeral() as instance,
        open_store(settings.platform.store_url, settings.platform.sql_dir) as store,
    ):
        assert tick(instance) == ("No adapter has been promoted yet.", [])
        for adapter in ("old", "new"):
            store.add_release(adapter=adapter, base_model="b", kind="promotion", why="better")
        message, events = tick(instance)
        assert "does not answer" in message and events == []
        store.add_release(
            adapter="old", base_model="b", kind="rollback", why="Rolled back from r0002: automatically: …"
        )
        _, [event] = tick(instance)
        assert event.metadata["release"].value == "r0003" and event.metadata["adapter"].value == "old"
        assert "automatically" in (event.description or "")
        assert tick(instance)[1] == []
