"""A state folder that version 0.1.0 left: what becomes of it under this code, with real parts and a fake engine.

Belongs here: starting, serving, landing and training over that folder. Does not belong here: how it was made
(correctly_tests/fixtures/README.md).
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run
from starlette.testclient import TestClient

from correctly_assets.artifacts.backups import backups_in
from correctly_assets.artifacts.reports import read_report
from correctly_assets.core.errors import UnreachableError
from correctly_assets.core.retrain import WHY_TAG
from correctly_assets.definitions import build_defs
from correctly_assets.gateway.app import create_app
from correctly_assets.gateway.options import Options
from correctly_assets.platform.dagster_instance import make_instance
from correctly_assets.resources.ledger import NoLedger
from correctly_assets.settings import EMBEDDED_BASE_MODEL, Settings, get_settings
from correctly_assets.workflows.wiring import open_platform_store
from correctly_tests.commands import invoke
from correctly_tests.defs.test_retrain_sensor import tick
from correctly_tests.faults.engine import Engine
from correctly_tests.faults.place import make_place, running, wait
from correctly_tests.serving_fakes import free_port
from correctly_tests.training_tiny import QUICK_RUN

STATE = Path(__file__).parents[1] / "fixtures" / "state_0_1_0.tar.xz"
LANDED = 38
"""Examples in the store, all accepted; the last two came after the decision."""
ANSWERS, VOTES = 8, {"thumb": 2, "ignored": 1}
BEFORE, AFTER = (
    "I am agree with you, but yesterday I didn't knew it.",
    "I agree with you, but yesterday I didn't know it.",
)
KNOWN, KNOWN_AFTER = "I look forward to meet you.", "I look forward to meeting you."


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    """An engine that corrects the frozen set, and agrees with the canary of every adapter that it loads."""
    made = Engine(free_port(), None)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def old(engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """The settings of the unpacked folder, with those that it was made with. Nothing has looked at it yet."""
    home = tmp_path / "home"
    with tarfile.open(STATE) as state:
        state.extractall(home, filter="data")
    given = {"BASE_MODEL": str(home / "models" / EMBEDDED_BASE_MODEL), "VLLM_PORT": str(engine.port), **QUICK_RUN}
    given |= {f"{name}_PORT": str(free_port()) for name in ("GATEWAY", "DAGSTER", "MLFLOW", "WEBUI")}
    for name, value in given.items():
        monkeypatch.setenv(f"CORRECTLY_{name}", value)
    return get_settings()


@pytest.fixture
def prepared(old: Settings) -> Settings:
    """The folder after what `correctly up` does before any part starts."""
    invoke("prepare")
    return old


@contextmanager
def gateway(settings: Settings) -> Iterator[TestClient]:
    """The gateway with the parts that ship."""
    with TestClient(create_app(settings, Options(poll_seconds=0.05)), base_url="http://localhost") as client:
        yield client


@contextmanager
def dagster_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    instance = make_instance(settings)
    try:
        yield instance
    finally:
        instance.dispose()


def name_base_model(settings: Settings, revision: str) -> None:
    about = Path(settings.base_model_path) / "correctly_base.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"revision": revision}))


def test_its_tables_are_upgraded_after_a_backup_and_nothing_is_lost(old: Settings) -> None:
    with pytest.raises(UnreachableError, match="correctly prepare"):
        invoke("status")
    invoke("prepare")
    (backup,) = backups_in(old.platform.backup_place).values()
    assert (backup.why, backup.migrations[-1]) == ("before a migration: 0006, 0007", "0005")
    status = json.loads(invoke("status", "--json"))
    assert (status["landed"], status["accepted"], status["quarantined"]) == (LANDED, LANDED, 0)
    assert status["champion"]["release"] == "r0001"
    assert status["champion"]["adapter"] == status["last_decision"]["adapter"]
    assert "retrain_sensor" in {sensor["name"] for sensor in status["sensors"]}
    with open_platform_store(old.platform) as store:
        assert {who: seen.answers for who, seen in store.answers_by_release().items()} == {"r0001": ANSWERS}
        assert store.feedback_by_state() == VOTES
    # With nothing left to upgrade nothing is backed up.
    invoke("prepare")
    assert len(backups_in(old.platform.backup_place)) == 1


@pytest.mark.parametrize("revision", ["r1-2", "r1-2+64000"], ids=["whole", "trimmed"])
def test_its_champion_is_served_and_examples_land(prepared: Settings, revision: str) -> None:
    name_base_model(prepared, revision)
    with gateway(prepared) as client:
        wait(lambda: client.get("/readyz").status_code == 200, 60, "ready")
        assert client.get("/readyz").json()["release"] == "r0001"
        answer = client.post("/v1/corrections", json={"text": BEFORE}).json()["corrections"][0]
        assert (answer["release"], answer["after"]) == ("r0001", AFTER)
        landed = client.post("/v1/examples", json=[{"before": BEFORE, "after": AFTER}]).json()
        assert (landed["landed"], landed["duplicates"]) == (1, 0)
        landed = client.post("/v1/examples", json=[{"before": KNOWN, "after": KNOWN_AFTER}]).json()
        assert (landed["landed"], landed["duplicates"]) == (0, 1)
    assert json.loads(invoke("status", "--json"))["landed"] == LANDED + 1


def test_a_champion_of_another_base_model_is_refused_with_a_remedy(prepared: Settings) -> None:
    name_base_model(prepared, "r9-2")
    with gateway(prepared) as client:
        wait(lambda: "another revision" in client.get("/readyz").json()["says"], 60, "refused")
        said = client.get("/readyz").json()
        assert not said["ready"] and "set CORRECTLY_BASE_MODEL to the model that it was trained on" in said["says"]
        refused = client.post("/v1/corrections", json={"text": BEFORE})
        assert refused.status_code == 503 and "CORRECTLY_BASE_MODEL" in refused.text


@pytest.mark.slow
def test_the_run_that_it_queued_is_decided_against_its_champion(prepared: Settings) -> None:
    with dagster_instance(prepared) as instance:
        (queued,) = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))
        assert queued.tags[WHY_TAG] == "Retraining: 2 new examples since the last decision."
        assert f"Run {queued.run_id[:8]} is in flight" in str(tick(instance))
        none = dg.ResourceDefinition.hardcoded_resource(NoLedger())
        job = build_defs(prepared, {"mlflow": none}).resolve_job_def("retrain")
        # As Dagster's daemon takes it from the queue, and the run's worker works on it.
        instance.report_dagster_event(
            dg.DagsterEvent(dg.DagsterEventType.PIPELINE_STARTING.value, "retrain"), queued.run_id
        )
        run = instance.get_run_by_id(queued.run_id)
        assert run is not None
        done = execute_run(InMemoryJob(job), run, instance)
        assert done.success, [event.message for event in done.all_events if event.is_failure]
        assert "already decided" in str(tick(instance))
    with open_platform_store(prepared.platform) as store:
        new, old = store.releases(5)
        decision = store.last_decision()
    assert decision is not None and (decision.verdict, decision.accepted) == ("promoted", LANDED)
    assert (new.id, new.previous, old.id) == ("r0002", "r0001", "r0001") and new.adapter != old.adapter
    report = read_report(prepared.platform.adapters_dir / new.adapter)
    assert report.measured is not None and report.measured.champion == old.adapter
    assert f"against the champion {old.adapter}" in " ".join(decision.reasons)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_the_platform_starts_on_it_and_serves_what_it_trains(old: Settings) -> None:
    given = {"BASE_MODEL": old.training.base_model, "SENSOR_SECONDS": "1", **QUICK_RUN}
    place = make_place(old.platform.home, "vllm,gateway,inbox,code,daemon", **given)
    with running(place):
        assert place.release() == "r0001"
        assert place.correct(BEFORE).json()["corrections"][0]["after"] == AFTER
        wait(lambda: place.release() == "r0002", 600, "serving what was trained anew", every=1)
        assert (last := place.store.last_decision()) is not None
        assert (last.verdict, last.accepted) == ("promoted", LANDED)
