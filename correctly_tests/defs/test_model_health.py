"""The asset `model_health` as Dagster runs it: its checks warn, and an engine that is away stops nothing."""

from __future__ import annotations

import dagster as dg

from correctly_assets.artifacts.manifests import TrainSetManifest
from correctly_assets.artifacts.train_set import write_train_set
from correctly_assets.core.types import Correction, Edit, TrainPair
from correctly_assets.definitions import build_defs
from correctly_assets.settings import Settings
from correctly_assets.store import open_store


def run(settings: Settings) -> dict[str, tuple[bool, dg.AssetCheckSeverity, str]]:
    """Run the nightly job; its checks' results by name."""
    definitions = build_defs(settings.changed(serving={"vllm_port": 9}))
    with dg.DagsterInstance.ephemeral() as instance:
        done = definitions.resolve_job_def("check_model_health").execute_in_process(instance=instance)
        assert done.success
        (made,) = done.get_asset_materialization_events()
        assert made.asset_key == dg.AssetKey("model_health")
        found = done.get_asset_check_evaluations()
    return {one.check_name: (one.passed, one.severity, one.description or "") for one in found}


def test_a_new_platform_is_looked_at_without_a_warning(settings: Settings) -> None:
    checks = run(settings)
    assert {name: passed for name, (passed, *_) in checks.items()} == {
        "live_sentences_are_like_the_train_set": True,
        "the_champion_scores_as_when_promoted": True,
    }


def test_drift_is_a_warning_that_names_what_to_land(settings: Settings) -> None:
    platform = settings.platform
    edits = (Edit(7, 10, "you", "for you", "R:PREP"),)
    texts = [f"I wait you at station number {number}." for number in range(300)]
    pairs = [TrainPair(f"p{text}", "e", "example", text, text) for text in texts]
    train_set = write_train_set(pairs, platform.snapshots_dir, TrainSetManifest(), sql_dir=platform.sql_dir).id
    with open_store(platform.store_url, platform.sql_dir) as store:
        store.add_release(adapter="a", base_model="b", train_set=train_set, kind="promotion", why="a test")
        for number, text in enumerate(texts):
            store.journal_correction(Correction(f"c{number}", text, text, edits, "r0001", "a"))
    passed, severity, message = run(settings)["live_sentences_are_like_the_train_set"]
    assert not passed and severity == dg.AssetCheckSeverity.WARN
    assert "0 % of the live sentences are left unchanged, 100 % of the train set's" in message
    assert message.endswith("Of so few sentences with edits (0) no error types were compared.")
