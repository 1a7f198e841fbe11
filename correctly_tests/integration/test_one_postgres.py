"""Dagster's daemon, our store and MLflow on one real PostgreSQL: a run that the sensor starts, and how it ends in all three.

The base model is a tiny random one and no engine runs, so the run trains for real and fails where it should be judged.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from correctly_assets.platform.processes import BY_NAME
from correctly_assets.platform.supervisor import Supervisor
from correctly_assets.settings import Settings, get_settings
from correctly_tests.integration.postgres import running_postgres
from correctly_tests.serving_fakes import free_port
from correctly_tests.training_tiny import write_base_model

pytestmark = [pytest.mark.timeout(420)]

WRONG = ("I has {} cat in the kitchen.", "She go to the office {} times in week.", "They was late for {} meetings.")
RIGHT = ("I have {} cats in the kitchen.", "She goes to the office {} times a week.", "They were late for {} meetings.")
NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen")


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Settings, str]]:
    write_base_model(tmp_path)
    with running_postgres() as server:
        changes = {
            "DATABASE_URL": server.create_database("team"),
            "BASE_MODEL": str(tmp_path / "base"),
            "MLFLOW_PORT": str(free_port()),
            "VLLM_PORT": str(free_port()),
            "GATEWAY_PORT": str(free_port()),
            "TRAIN_PAIRS": "40",
            "TRAIN_MINUTES": "1",
            "RETRAIN_QUIET_SECONDS": "0",
            "RETRAIN_ATTEMPTS": "1",
            "SENSOR_SECONDS": "1",
        }
        for name, value in changes.items():
            monkeypatch.setenv(f"CORRECTLY_{name}", value)
        settings = get_settings()
        subprocess.run([sys.executable, "-m", "correctly_assets.cli", "prepare"], check=True, env=dict(os.environ))
        supervisor = Supervisor(settings)
        try:
            for name in ("mlflow", "code", "daemon"):
                supervisor.start(BY_NAME[name])
            supervisor.wait_ready(BY_NAME["mlflow"])
            yield settings, changes["DATABASE_URL"]
        finally:
            supervisor.stop()


def rows(url: str, query: str) -> list[tuple]:
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(query)
        found = cursor.fetchall()
    connection.close()
    return found


def test_daemon_store_and_mlflow_share_postgresql_and_agree_on_a_failure(
    platform: tuple[Settings, str], tmp_path: Path
):
    settings, url = platform
    examples = tmp_path / "mine.jsonl"
    pairs = [(w.format(n), r.format(n)) for n in NUMBERS for w, r in zip(WRONG, RIGHT, strict=True)]
    examples.write_text("".join(json.dumps({"before": w, "after": r}) + "\n" for w, r in pairs))
    done = subprocess.run(
        [sys.executable, "-m", "correctly_assets.cli", "add", str(examples), "--json"], capture_output=True, text=True
    )
    assert done.returncode == 0 and json.loads(done.stdout)["landed"] == len(pairs), done.stdout + done.stderr

    # The real daemon ticks the sensor, which starts the run; it trains, and fails because no engine runs. That may pass, so
    # nothing is decided on the examples and the next run waits.
    deadline = time.monotonic() + 300
    while not rows(url, "SELECT 1 FROM dagster.runs WHERE status = 'FAILURE'") or not rows(
        url, "SELECT 1 FROM mlflow.runs WHERE status = 'FAILED'"
    ):
        assert time.monotonic() < deadline, (settings.platform.logs_dir / "daemon.log").read_text()[-3000:]
        time.sleep(1)
    assert rows(url, "SELECT verdict, reasons FROM correctly.decision") == []

    ((status, key),) = rows(
        url,
        "SELECT r.status, t.value FROM dagster.runs r JOIN dagster.run_tags t ON t.run_id = r.run_id "
        "WHERE t.key = 'correctly/why'",
    )
    assert status == "FAILURE" and key.startswith("Retraining: first run over 36")
    made = {
        path for (path,) in rows(url, "SELECT asset_key FROM dagster.asset_keys WHERE last_materialization IS NOT NULL")
    }
    assert {'["examples"]', '["train_set"]', '["lora_adapter"]'} <= made and '["served_model"]' not in made
    (run,) = rows(url, "SELECT run_uuid, status FROM mlflow.runs")
    assert run[1] == "FAILED"
    assert rows(url, f"SELECT count(*) FROM mlflow.metrics WHERE run_uuid = '{run[0]}' AND key LIKE '%loss%'")[0][0] > 0
    # Three schemas, each with a version table of its own.
    versions = rows(url, "SELECT schemaname, tablename FROM pg_tables WHERE tablename LIKE '%version%'")
    assert {("dagster", "alembic_version"), ("mlflow", "alembic_version")} <= set(versions)
    assert ("correctly", "correctly_schema_version") in versions
