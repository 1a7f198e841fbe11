"""The gate on a real graph: the shipped assets `eval_report` and `served_model`, a real instance and store, real files.

The engine is the fake one, whose adapters answer as each test wants; everything else is what ships.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import mlflow
import pytest
from dagster_mlflow.resources import MlFlow
from mlflow import MlflowClient

from correctly_assets.definitions import build_defs
from correctly_assets.resources.ledger import EXPERIMENT, Ledger, NoLedger
from correctly_assets.settings import Settings, get_settings
from correctly_assets.store import Store, open_store
from correctly_tests.serving_fakes import FakeEngine, fake_engine
from correctly_tests.tiny_adapter import put_adapter, put_base

pytestmark = pytest.mark.slow

ROWS = 60


@dataclass
class Graph:
    """The shipped graph on a HOME of its own."""

    settings: Settings
    engine: FakeEngine
    store: Store
    instance: dg.DagsterInstance
    rows: list[dict] = field(default_factory=list)
    base: str = "r1"
    ledger: Ledger | NoLedger = field(default_factory=NoLedger)

    def adapter(self, seed: int, *, right: float, meddles: float = 0.0) -> str:
        """An adapter as training leaves it, whose answers are right for a share of the awkward rows and which changes
        a share of the correct ones. Its materialization is reported, as `lora_adapter` would."""

        id = put_adapter(self.settings, seed, self.base)
        awkward = [row for row in self.rows if row["source"] not in row["references"]]
        correct = [row for row in self.rows if row["source"] in row["references"]]
        fixes = {row["source"]: row["references"][0] for row in awkward[: round(right * len(awkward))]}
        fixes |= {row["source"]: f"{row['source'][:-1]} indeed." for row in correct[: round(meddles * len(correct))]}
        self.engine.fixes[id] = fixes
        self.instance.report_runless_asset_event(
            dg.AssetMaterialization("lora_adapter", metadata={"adapter": id, "train_set": "none"})
        )
        return id

    def run(self, *names: str) -> dg.ExecuteInProcessResult:
        ledger = dg.ResourceDefinition.hardcoded_resource(self.ledger)
        definitions = build_defs(self.settings, {"mlflow": ledger})
        job = definitions.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            instance=self.instance, asset_selection=[dg.AssetKey(name) for name in names], raise_on_error=False
        )

    def champion(self) -> str | None:
        champion = self.store.champion()
        return champion.adapter if champion else None

    def why(self) -> str:
        """What the newest release says it was made for."""
        champion = self.store.champion()
        assert champion is not None
        return champion.why

    def decision(self) -> tuple[str, str]:
        decision = self.store.last_decision()
        assert decision is not None
        return decision.verdict, " ".join(decision.reasons)


def failure(result: dg.ExecuteInProcessResult, step: str) -> str:
    """What a failed step says."""
    (event,) = [event for event in result.all_events if event.is_step_failure and event.step_key == step]
    data = event.step_failure_data
    return str(data.user_failure_data.description if data.user_failure_data else data.error)


@pytest.fixture
def graph(monkeypatch: pytest.MonkeyPatch) -> Iterator[Graph]:
    with fake_engine() as engine, dg.DagsterInstance.ephemeral() as instance:
        monkeypatch.setenv("CORRECTLY_VLLM_PORT", str(engine.port))
        monkeypatch.setenv("CORRECTLY_GATEWAY_PORT", "9")
        monkeypatch.setenv("CORRECTLY_EVALUATION_LIMIT", str(ROWS))
        settings = get_settings()
        put_base(settings)
        engine.reasons = "This is how it is said."
        rows = [json.loads(line) for line in settings.platform.evaluation_path.read_text().splitlines()]
        with open_store(settings.platform.store_url, settings.platform.sql_dir) as store:
            yield Graph(settings, engine, store, instance, rows)


def test_the_gate_refuses_a_worse_adapter_in_each_run_and_by_hand(graph: Graph):
    good = graph.adapter(1, right=0.9)
    assert graph.run("eval_report", "served_model").success
    assert graph.champion() == good and graph.decision()[0] == "promoted"

    worse = graph.adapter(2, right=0.3)
    same_run = graph.run("eval_report", "served_model")
    assert not same_run.success
    (check,) = [e for e in same_run.get_asset_check_evaluations() if e.check_name == "the_gate"]
    assert not check.passed and "below the champion" in (check.description or "")
    assert not [e for e in same_run.get_asset_materialization_events() if e.asset_key == dg.AssetKey("served_model")]
    assert graph.champion() == good
    verdict, reasons = graph.decision()
    assert verdict == "refused" and "below the champion" in reasons
    assert list(graph.engine.registered) == [good]

    # A blocking check does not stop a later run of the asset behind it: the asset itself does.
    later = graph.run("served_model")
    assert not later.success and f"The gate refuses adapter {worse}" in failure(later, "served_model")
    assert graph.champion() == good

    # By hand, before anything judged it.
    unjudged = graph.adapter(3, right=0.95)
    by_hand = graph.run("served_model")
    assert not by_hand.success and "materialize eval_report" in failure(by_hand, "served_model")
    assert graph.champion() == good
    assert graph.run("eval_report", "served_model").success
    assert graph.champion() == unjudged


def test_an_adapter_that_meddles_is_refused_however_well_it_corrects(graph: Graph):
    graph.adapter(1, right=0.9, meddles=0.4)
    assert not graph.run("eval_report", "served_model").success
    assert graph.champion() is None
    verdict, reasons = graph.decision()
    assert verdict == "refused" and "correct sentences" in reasons


def test_the_verdict_and_each_of_its_reasons_are_tags_of_the_mlflow_run(graph: Graph, tmp_path: Path):
    uri = f"sqlite:///{tmp_path / 'mlflow.sqlite'}"
    client = MlflowClient(tracking_uri=uri)
    client.create_experiment(EXPERIMENT, artifact_location=str(tmp_path / "artefacts"))
    log = dg.get_dagster_logger()
    before = mlflow.get_tracking_uri()
    seam = SimpleNamespace(
        log=log,
        dagster_run=SimpleNamespace(job_name="retrain"),
        run_id="r",
        resource_config={"experiment_name": EXPERIMENT, "mlflow_tracking_uri": uri, "env": {}, "extra_tags": {}},
    )
    graph.ledger = Ledger(MlFlow(seam), uri, log)
    adapter = graph.adapter(1, right=0.0, meddles=0.4)
    try:
        assert not graph.run("eval_report").success
    finally:
        # MLflow keeps one open run for the process: left open, the next test's ledger would not start.
        graph.ledger.end_run()
        mlflow.set_tracking_uri(before)
    tags = client.get_run(graph.ledger.run_id).data.tags
    assert (tags["verdict"], tags["adapter"]) == ("refused", adapter)
    decision = graph.store.last_decision()
    assert decision is not None and len(decision.reasons) > 1
    assert [tags.get(f"reason_{number}") for number in range(1, len(decision.reasons) + 2)] == [*decision.reasons, None]


def test_a_first_adapter_that_changes_nothing_is_no_better_than_the_base(graph: Graph):
    graph.adapter(1, right=0.0)
    assert not graph.run("eval_report", "served_model").success
    assert graph.decision()[0] == "refused" and graph.champion() is None


def test_an_adapter_of_a_changed_base_is_held_against_that_base_alone(graph: Graph):
    old = graph.adapter(1, right=0.9)
    assert graph.run("eval_report", "served_model").success
    assert graph.champion() == old
    assert graph.why().startswith("Better than the base model: F0.5 against the base model")
    graph.base = "r2"
    # Worse than the old champion, whose answers on another base model say nothing about this one.
    new = graph.adapter(2, right=0.6)
    done = graph.run("eval_report", "served_model")
    assert done.success, failure(done, "served_model")
    assert graph.champion() == new and graph.decision()[0] == "promoted"
    # From here on it is the one to be held against.
    graph.adapter(3, right=0.2)
    assert not graph.run("eval_report", "served_model").success
    assert graph.champion() == new and f"below the champion {new}" in graph.decision()[1]
    graph.adapter(4, right=0.95)
    assert graph.run("eval_report", "served_model").success
    assert graph.why().startswith(f"Better than the base model and no worse than the champion {new}: ")
    # Judged again while it serves, it is neither a first adapter nor better than itself.
    assert graph.run("eval_report").success
    report = json.loads((graph.settings.platform.adapters_dir / str(graph.champion()) / "report.json").read_text())
    assert "It serves already: held against the base model alone." in report["reasons"]
