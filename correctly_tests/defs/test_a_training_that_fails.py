"""What becomes of a training that cannot succeed unchanged: the shipped asset, the real trainer's child, a real store."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psutil
import pytest
from rich.console import Console

from correctly_assets.artifacts.examples_snapshot import write_examples_snapshot
from correctly_assets.artifacts.manifests import TrainSetManifest
from correctly_assets.artifacts.train_set import write_train_set
from correctly_assets.core.landing import identified
from correctly_assets.core.retrain import WHY_TAG
from correctly_assets.core.types import Example, TrainPair
from correctly_assets.definitions import build_defs
from correctly_assets.platform.up import LoopFailed, close_loop
from correctly_assets.resources.ledger import NoLedger
from correctly_assets.resources.trainer_resource import TrainerResource
from correctly_assets.settings import Settings, get_settings
from correctly_assets.store import Store, open_store
from correctly_tests.defs.test_retrain_sensor import started, tick
from correctly_tests.training_tiny import PAIRS, write_base_model

pytestmark = pytest.mark.slow


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Store]:
    """A store with a landed row; the settings name a tiny base model."""
    monkeypatch.setenv("CORRECTLY_BASE_MODEL", str(write_base_model(tmp_path)))
    monkeypatch.setenv("CORRECTLY_RETRAIN_QUIET_SECONDS", "0")
    monkeypatch.setenv("CORRECTLY_TRAIN_BATCH_SIZE", "4")
    settings = get_settings()
    settings.platform.home.mkdir(parents=True)
    with open_store(settings.platform.store_url, settings.platform.sql_dir) as opened:
        opened.land([identified(Example(id="", before=before, after=after)) for before, after, *_ in PAIRS])
        yield opened


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def report_train_set(settings: Settings, store: Store, instance: dg.DagsterInstance) -> None:
    """A train set of the rows that have landed, as the asset leaves one."""
    rows = write_examples_snapshot(store, settings.platform.snapshots_dir)
    pairs = [
        TrainPair(f"p{n}", f"e{n}", "example", before, after, (), 1, "held_out" if n == 5 else "train")
        for n, (before, after, *_) in enumerate(PAIRS)
    ]
    extra = TrainSetManifest(examples_snapshot=rows.id, rows_digest=rows.row_digest)
    made = write_train_set(pairs, settings.platform.snapshots_dir, extra, sql_dir=settings.platform.sql_dir)
    instance.report_runless_asset_event(dg.AssetMaterialization("train_set", metadata={"snapshot": made.id}))


def run_adapter(
    settings: Settings, instance: dg.DagsterInstance, trainer: TrainerResource | None = None
) -> dg.ExecuteInProcessResult:
    none = dg.ResourceDefinition.hardcoded_resource(NoLedger())
    made = build_defs(settings, {"mlflow": none, "trainer": trainer or TrainerResource()})
    job = made.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        instance=instance, asset_selection=[dg.AssetKey("lora_adapter")], raise_on_error=False
    )


def put_nan_into_the_base_model(settings: Settings) -> None:
    from safetensors.torch import load_file, save_file

    path = Path(settings.base_model_path) / "model.safetensors"
    tensors = load_file(path)
    tensors["model.norm.weight"][0] = float("nan")
    save_file(tensors, path, metadata={"format": "pt"})


def test_a_loss_that_is_no_number_is_decided_once_and_not_retried(store: Store, instance: dg.DagsterInstance) -> None:
    settings = get_settings()
    put_nan_into_the_base_model(settings)
    report_train_set(settings, store, instance)
    assert isinstance(tick(instance), dg.RunRequest)
    result = run_adapter(settings, instance)
    assert not result.success
    decision = store.last_decision()
    assert decision is not None and (decision.verdict, decision.adapter) == ("failed", None)
    assert decision.run_id == result.run_id and decision.accepted == len(PAIRS)
    assert "CORRECTLY_TRAIN_LEARNING_RATE" in decision.reasons[0]
    assert "already decided" in (tick(instance).skip_message or "")  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(LoopFailed, match="not a number"):
        close_loop(settings, instance, store, Console(quiet=True), lambda: None)
    # What landed is seen: the next row alone is what is new.
    store.land([identified(Example(id="", before="It rain.", after="It rains."))])
    assert "1 new example since" in str(tick(instance))


def test_up_does_not_wait_for_a_run_that_a_person_canceled(store: Store, instance: dg.DagsterInstance) -> None:
    run = started(instance, tick(instance))  # pyright: ignore[reportArgumentType]
    instance.report_run_canceling(run)
    instance.report_run_canceled(run)
    with pytest.raises(LoopFailed, match="canceled by a person"):
        close_loop(get_settings(), instance, store, Console(quiet=True), lambda: None)
    assert store.decisions() == []


def test_up_tells_of_no_run_that_only_reads_reactions_meanwhile(store: Store, instance: dg.DagsterInstance) -> None:
    run = started(instance, tick(instance))  # pyright: ignore[reportArgumentType]
    instance.report_run_canceling(run)
    instance.report_run_canceled(run)
    instance.add_run(dg.DagsterRun(job_name="read_feedback", tags={WHY_TAG: "New: reactions."}))
    console = Console(record=True, file=io.StringIO())
    with pytest.raises(LoopFailed):
        close_loop(get_settings(), instance, store, console, lambda: None)
    said = console.export_text()
    assert f"Run {run.run_id[:8]}" in said and "reactions" not in said


def test_a_hubs_model_that_was_not_downloaded_is_named_before_training(
    store: Store, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORRECTLY_BASE_MODEL", "tiny-team/tiny-gemma")
    settings = get_settings()
    report_train_set(settings, store, instance)
    assert not run_adapter(settings, instance).success
    (decision,) = store.decisions()
    assert decision.verdict == "failed" and "correctly prepare" in decision.reasons[0]
    assert not settings.platform.checkpoints_dir.exists()


def test_a_canceled_child_that_goes_on_is_killed_and_counts_as_canceled(
    store: Store, instance: dg.DagsterInstance
) -> None:
    settings = get_settings()
    report_train_set(settings, store, instance)
    stuck: list[psutil.Process] = []
    niceness: list[int] = []

    def cancel() -> None:
        deadline = time.monotonic() + 120
        while not stuck and time.monotonic() < deadline:
            for child in psutil.Process().children():
                if "correctly_assets.training" in " ".join(child.cmdline()):
                    niceness.append(child.nice())
                    child.suspend()  # no signal but SIGKILL reaches it now
                    stuck.append(child)
            time.sleep(0.02)
        (run,) = instance.get_runs(limit=1)
        instance.report_run_canceling(run)
        os.kill(os.getpid(), signal.SIGINT)

    helper = threading.Thread(target=cancel)
    helper.start()
    result = run_adapter(settings, instance, TrainerResource(termination_seconds=0.5))
    helper.join()
    (child,) = stuck
    assert niceness == [max(10, psutil.Process().nice())]
    assert not child.is_running()
    ended = instance.get_run_by_id(result.run_id)
    assert ended is not None and ended.status == dg.DagsterRunStatus.CANCELED
    assert store.decisions() == []


def test_the_child_reports_adapter_and_check_and_is_asked_once_a_training(
    store: Store, instance: dg.DagsterInstance
) -> None:
    settings = get_settings()
    report_train_set(settings, store, instance)
    first = run_adapter(settings, instance)
    assert first.success
    (made,) = first.asset_materializations_for_node("lora_adapter")
    shown = {name: value.value for name, value in made.metadata.items()}
    adapter = settings.platform.adapters_dir / str(shown["adapter"])
    assert (made.tags or {})["dagster/data_version"] == adapter.name
    assert isinstance(made.metadata["path"], dg.PathMetadataValue) and shown["path"] == str(adapter)
    assert shown["loss_last"] < shown["loss_first"] and "core_minutes" in shown and "loss_curve" in shown  # pyright: ignore[reportOperatorIssue]
    (check,) = first.get_asset_check_evaluations()
    assert check.check_name == "the_adapter_can_be_served" and check.passed

    trained_at = (adapter / "adapter_model.safetensors").stat().st_mtime_ns
    again = run_adapter(settings, instance)
    assert again.success and (adapter / "adapter_model.safetensors").stat().st_mtime_ns == trained_at
    (same,) = again.asset_materializations_for_node("lora_adapter")
    assert same.metadata["adapter"] == made.metadata["adapter"]
    said = [entry.user_message for entry in instance.all_logs(again.run_id)]
    assert any("was trained from this very config" in words for words in said)

    (adapter / "tokenizer.json").write_text("{}")  # a rule is broken behind the platform's back
    broken = run_adapter(settings, instance)
    assert not broken.success
    (check,) = broken.get_asset_check_evaluations()
    assert not check.passed and "tokenizer" in str(check.metadata["why"].value)
    assert "tokenizer" in store.decisions()[0].reasons[0]
