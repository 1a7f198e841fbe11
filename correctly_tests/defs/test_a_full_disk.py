"""A run ends at its first asset when the disk is full, before anything is written."""

from __future__ import annotations

import shutil
from collections import namedtuple

import dagster as dg
import pytest

from correctly_assets.definitions import build_defs
from correctly_assets.resources.ledger import NoLedger
from correctly_assets.settings import Settings
from correctly_assets.store import open_store

Usage = namedtuple("Usage", "total used free")


def run_examples(settings: Settings) -> dg.ExecuteInProcessResult:
    graph = build_defs(settings, {"mlflow": dg.ResourceDefinition.hardcoded_resource(NoLedger())})
    with dg.DagsterInstance.ephemeral() as instance:
        return graph.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance, asset_selection=[dg.AssetKey("examples")], raise_on_error=False
        )


def test_under_five_gigabytes_free_a_run_ends_at_examples_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.platform.home.mkdir(parents=True)
    open_store(settings.platform.store_url, settings.platform.sql_dir).close()
    # The one thing that no test can bring about for real.
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 10**12, 4_900_000_000))
    full = run_examples(settings)
    assert not full.success
    [failed] = [event for event in full.all_events if event.is_step_failure]
    assert failed.step_key == "examples"
    data = failed.step_failure_data.user_failure_data
    said = (data.description if data is not None else None) or ""
    assert "Only 4.9 GB are free" in said and "correctly gc" in said
    assert not settings.platform.snapshots_dir.exists() or not list(settings.platform.snapshots_dir.iterdir())
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, 5_100_000_000))
    assert run_examples(settings).success
