"""The loop, end to end: the real Gemma 3 270M, real training steps, real vLLM, the real gateway and Dagster's daemon."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import httpx
import openai
import pytest

from correctly_assets.core.edits import apply_edits
from correctly_assets.core.types import Edit
from correctly_assets.correction.annotate import ErrantAnnotator
from correctly_assets.evaluation.evaluation_set import read_evaluation_set
from correctly_assets.settings import get_settings
from correctly_assets.workflows.measured_systems import kept_answers, model_system
from correctly_assets.workflows.starter import copy_adapter, shipped_id
from correctly_tests.integration.conftest import Platform, graphql

if TYPE_CHECKING:
    from correctly_assets.engine.vllm_client import VllmClient

pytestmark = [pytest.mark.model, pytest.mark.timeout(1800)]
LINEAGE = ("examples", "train_set", "lora_adapter", "eval_report", "served_model")


def test_one_command_closes_the_loop_and_shows_three_corrections(platform: Platform):
    said = platform.said()
    for stage in LINEAGE:
        assert f"✓ {stage}" in said
    assert said.count("Before") == 3
    assert "Why" in said
    assert "candidate" in said and "base" in said


def test_the_answers_that_ship_hold_for_what_ships(platform: Platform, tmp_path: Path):
    (tmp_path / "models").symlink_to(platform.home / "models")
    # They were made in bfloat16; a machine that computes in float32 asks for its own.
    settings = get_settings().changed(platform={"home": tmp_path}, serving={"vllm_dtype": "bfloat16"})
    frozen = read_evaluation_set(settings.platform.evaluation_path)
    adapter = shipped_id(settings)
    copy_adapter(settings.platform, adapter)
    for own in (None, adapter):
        system = model_system(settings, cast("VllmClient", None), ErrantAnnotator(), name="any", model="", adapter=own)
        kept = kept_answers(settings.platform).get("any", system.identity(), frozen.sha256, reasons=False)
        assert kept is not None, "What decides the answers was changed: run `make starter-answers`."
        assert [correction.before for correction in kept.corrections] == frozen.sources


def test_a_start_after_a_kill_in_mid_training_waits_for_no_dead_run(
    platform: Platform,
):
    assert platform.killed_at >= 10
    said = platform.said()
    assert "Marked 1 unfinished run as failed" in said
    # Both runs were started over the whole of the starter, never over the part that had landed so far.
    over = f"Retraining: first run over {platform.status()['accepted']} accepted examples"
    told = dict.fromkeys(line for line in said.splitlines() if line.startswith("Run "))
    # A run that ended with the platform uses up no attempt.
    assert [line.partition(": ")[2] for line in told] == [f"{over}.", f"{over}."]
    runs = graphql(
        platform,
        "{ runsOrError { ... on Runs { results { runId status } } } "
        'assetNodeOrError(assetKey: {path: ["lora_adapter"]}) { ... on AssetNode { assetMaterializations { runId '
        "metadataEntries { label ... on TextMetadataEntry { text } } } } } }",
    )
    statuses = [run["status"] for run in runs["runsOrError"]["results"]]
    assert statuses.count("FAILURE") == 1 and statuses.count("SUCCESS") >= 1
    # The killed run left no adapter, and its training was taken up where its last checkpoint stood.
    made = runs["assetNodeOrError"]["assetMaterializations"]
    first = {entry["label"]: entry.get("text") for entry in made[-1]["metadataEntries"]}
    assert first["resumed"] == "True"
    adapters = [path.name for path in (platform.home / "adapters").iterdir()]
    assert adapters == [first["adapter"]]


def test_the_loop_ran_with_loopback_as_its_only_network(platform: Platform):
    """`make test` runs everything in such a namespace where the kernel allows one (deploy/offline.sh)."""
    interfaces = [line.split(":")[0].strip() for line in Path("/proc/self/net/dev").read_text().splitlines()[2:]]
    if interfaces != ["lo"]:
        pytest.skip(
            "This machine's network is visible: run the tests through `make test`, on a kernel with namespaces."
        )
    of_the_engine = Path(f"/proc/{platform.process.pid}/net/dev").read_text().splitlines()[2:]
    assert [line.split(":")[0].strip() for line in of_the_engine] == ["lo"]


def test_the_status_says_what_landed_who_serves_and_why(platform: Platform):
    status = platform.status()
    assert status["landed"] == status["accepted"] + status["quarantined"] and status["accepted"] > 1000
    assert status["last_decision"]["verdict"] == "promoted"
    assert status["champion"]["adapter"] == status["last_decision"]["adapter"]
    assert (
        status["champion"]["scores"]["systems"]["candidate"]["gleu"]
        > status["champion"]["scores"]["systems"]["base"]["gleu"]
    )
    sensors = {sensor["name"]: sensor for sensor in status["sensors"]}
    assert "already decided" in sensors["retrain_sensor"]["says"]
    assert all(service["ready"] for name, service in status["services"].items() if name != "open-webui")


def test_the_run_says_why_it_ran_and_every_asset_says_what_it_made(platform: Platform):
    data = graphql(
        platform,
        "{ runsOrError { ... on Runs { results { status tags { key value } } } } "
        "assetNodes { assetKey { path } description owners { ... on TeamAssetOwner { team } } "
        "assetMaterializations(limit: 1) { metadataEntries { label } } } }",
    )
    runs = [
        (run["status"], {tag["key"]: tag["value"] for tag in run["tags"]}) for run in data["runsOrError"]["results"]
    ]
    status, tags = next((status, tags) for status, tags in runs if "correctly/why" in tags)
    assert status == "SUCCESS"
    assert tags["correctly/why"].startswith("Retraining: first run over")
    labels = {node["assetKey"]["path"][-1]: node for node in data["assetNodes"]}
    for name in LINEAGE:
        entries = {entry["label"] for m in labels[name]["assetMaterializations"] for entry in m["metadataEntries"]}
        assert entries, name
    assert "loss_curve" in {e["label"] for e in labels["lora_adapter"]["assetMaterializations"][0]["metadataEntries"]}


def test_an_openai_client_corrects_through_the_gateway_streaming_and_not(platform: Platform):
    client = openai.OpenAI(base_url=f"{platform.url('GATEWAY')}/v1", api_key="none", max_retries=0)
    assert "correctly" in [model.id for model in client.models.list()]
    messages = [{"role": "user", "content": "She don't likes coffee."}]
    whole = client.chat.completions.create(model="correctly", messages=messages)  # pyright: ignore[reportArgumentType]
    text = whole.choices[0].message.content or ""
    pieces = client.chat.completions.create(model="correctly", messages=messages, stream=True)  # pyright: ignore[reportArgumentType]
    streamed = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    assert text.strip() and streamed.strip()
    assert streamed.split("\n\n")[0].strip() == text.split("\n\n")[0].strip()


def test_applying_an_answers_edits_yields_its_after_and_each_has_a_reason(platform: Platform):
    texts = ["He go to the school every days.", "I am agree with you.", "Nothing is wrong here."]
    answer = httpx.post(f"{platform.url('GATEWAY')}/v1/corrections", json={"text": texts}, timeout=120).json()
    assert [item["before"] for item in answer["corrections"]] == texts
    assert any(item["changed"] for item in answer["corrections"])
    for item in answer["corrections"]:
        edits = [Edit(**edit) for edit in item["edits"]]
        assert apply_edits(item["before"], edits) == item["after"]
        assert all(edit.reason and edit.reason_origin in ("model", "rule") for edit in edits)
        assert item["release"] == "r0001"


def test_the_command_line_answers_in_the_shapes_that_scripts_rely_on(platform: Platform, tmp_path: Path):
    one = platform.run("correct", "--json", "He go home.")
    assert set(json.loads(one.stdout)) >= {
        "id",
        "before",
        "after",
        "changed",
        "release",
        "adapter",
        "edits",
        "fallback",
    }
    lines = platform.run("correct", "--lines", input="He go home.\nShe are here.\n")
    assert [json.loads(line)["before"] for line in lines.stdout.splitlines()] == ["He go home.", "She are here."]
    out = tmp_path / "predictions.txt"
    scores = json.loads(
        platform.run("evaluate", "--system", "served", "--limit", "12", "--predictions", str(out), "--json").stdout
    )
    assert scores["system"] == "served" and scores["n"] == 12 and scores["p50_ms"] > 0
    assert len(out.read_text().splitlines()) == 12
    again = json.loads(platform.run("evaluate", "--system", f"file:{out}", "--limit", "12", "--json").stdout)
    assert again["gleu"] == pytest.approx(scores["gleu"])


def test_a_half_bad_file_lands_its_good_rows_and_exits_3(platform: Platform, tmp_path: Path):
    path = tmp_path / "mine.jsonl"
    good = {
        "before": "I has three cat named Miso, Udon and Ramen.",
        "after": "I have three cats named Miso, Udon and Ramen.",
    }
    path.write_text(json.dumps(good) + "\n" + '{"after": "no before"}\n' + "not json\n")
    done = platform.run("add", str(path), "--json")
    assert done.returncode == 3
    counts = json.loads(done.stdout)
    assert (counts["landed"], counts["refused"]) == (1, 2)
    refused = [json.loads(line) for line in Path(counts["refused_file"]).read_text().splitlines()]
    assert [row["line"] for row in refused] == [2, 3] and all(row["reason"] for row in refused)
    assert json.loads(platform.run("add", str(path), "--json").stdout)["duplicates"] == 1


def test_a_file_in_the_inbox_lands_and_starts_a_run_that_says_why(platform: Platform, tmp_path: Path):
    before = platform.status()["landed"]
    path = tmp_path / "colleagues.csv"
    path.write_text(
        'before,after\n"The printer are broken since Monday morning.","The printer has been broken since Monday morning."\n'
    )
    path.rename(platform.home / "inbox" / "colleagues.csv")
    deadline = time.monotonic() + 60
    while platform.status()["landed"] != before + 1:
        assert time.monotonic() < deadline, platform.run("logs", "inbox").stdout
        time.sleep(1)
    assert (platform.home / "inbox" / "done" / "colleagues.csv").exists()
    deadline = time.monotonic() + 90
    while True:
        runs = graphql(
            platform, "{ runsOrError(limit: 1) { ... on Runs { results { runId status tags { key value } } } } }"
        )
        tags = {tag["key"]: tag["value"] for tag in runs["runsOrError"]["results"][0]["tags"]}
        if "since the last decision" in tags.get("correctly/why", ""):
            break
        assert time.monotonic() < deadline, tags
        time.sleep(2)
    # One whole training run is enough for this test run: the sensor is stopped and its run cancelled where it stands.
    sensors = graphql(
        platform,
        '{ sensorsOrError(repositorySelector: {repositoryName: "__repository__", repositoryLocationName: "correctly"}) '
        "{ ... on Sensors { results { name id } } } }",
    )["sensorsOrError"]["results"]
    sensor = next(item["id"] for item in sensors if item["name"] == "retrain_sensor")
    stopped = graphql(platform, f'mutation {{ stopSensor(id: "{sensor}") {{ __typename }} }}')
    assert stopped["stopSensor"]["__typename"] == "StopSensorMutationResult"
    run_id = runs["runsOrError"]["results"][0]["runId"]
    # Dagster refuses to cancel a run in the seconds before its worker runs, says so, and the person presses again.
    deadline = time.monotonic() + 60
    while True:
        answer = graphql(
            platform,
            f'mutation {{ terminateRun(runId: "{run_id}") {{ __typename ... on TerminateRunFailure {{ message }} }} }}',
        )["terminateRun"]
        if answer["__typename"] == "TerminateRunSuccess":
            break
        too_early = any(status in answer["message"] for status in ("NOT_STARTED", "STARTING"))
        assert too_early and time.monotonic() < deadline, answer
        time.sleep(1)
    started = time.monotonic()
    while True:
        status = graphql(platform, f'{{ runOrError(runId: "{run_id}") {{ ... on Run {{ status }} }} }}')["runOrError"][
            "status"
        ]
        if status in ("CANCELED", "FAILURE", "SUCCESS"):
            break
        assert time.monotonic() - started < 60, status
        time.sleep(1)
    assert status == "CANCELED"


def test_a_second_platform_on_the_same_home_is_not_started(platform: Platform):
    done = platform.run("up")
    assert done.returncode == 0
    assert "already runs" in done.stdout


def test_the_errors_of_the_command_line_are_one_sentence_with_an_exit_code(platform: Platform, tmp_path: Path):
    missing = platform.run("add", str(tmp_path / "nothing.csv"))
    assert missing.returncode == 2 and "Traceback" not in missing.stderr
    unknown = platform.run("evaluate", "--system", "wizard", "--json")
    assert unknown.returncode == 2 and json.loads(unknown.stdout)["error"]["code"] == "usage"
    away = subprocess.run(
        [*platform.process.args[:-1], "correct", "hello"],  # pyright: ignore[reportOperatorIssue, reportIndexIssue]
        env={**platform.env, "CORRECTLY_GATEWAY_PORT": "9"},
        capture_output=True,
        text=True,
    )
    assert away.returncode == 4 and "correctly up" in away.stderr
