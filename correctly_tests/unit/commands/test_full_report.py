"""The full report, and what may not be judged at all: sets that an adapter was trained on."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from rich.console import Console

from correctly_assets.artifacts.manifests import AdapterManifest, TrainSetManifest
from correctly_assets.artifacts.train_set import write_train_set
from correctly_assets.core.errors import CorrectlyError, PermanentError, RefusedError
from correctly_assets.core.types import TrainPair
from correctly_assets.definitions import build_defs
from correctly_assets.defs.full_report_asset import FullReportConfig
from correctly_assets.evaluation.evaluation_set import limited, read_evaluation_set
from correctly_assets.platform.engine_session import running_engine
from correctly_assets.settings import Settings
from correctly_assets.workflows.check_leaks import refuse_trained_on
from correctly_assets.workflows.full_report import Systems, full_report_here, registered_sets
from correctly_assets.workflows.make_corrector import DirectEngine
from correctly_assets.workflows.wiring import open_platform_store
from correctly_tests.commands import invoke
from correctly_tests.judging_fakes import (
    ROWS,
    judge,
    lines,
    prepare,
    write_adapter,
)
from correctly_tests.serving_fakes import FakeEngine, errant_annotator
from correctly_tests.teaching_fakes import ChatServer

pytestmark = pytest.mark.slow


def test_the_full_report_measures_all_systems_on_all_sets_once(
    engine: FakeEngine, outside: ChatServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = prepare(engine, monkeypatch, tmp_path, comparator_model="toy", comparator_base_url=outside.url)
    lines(
        settings.platform.home / "evaluation" / "ours.jsonl",
        {"before": "He go to the pool.", "after": "He goes to the pool."},
    )
    old, new = write_adapter(settings.platform.adapters_dir), write_adapter(settings.platform.adapters_dir, 0.2)

    def asked_of_old() -> list[str]:
        return [str(b["prompt"]) for b in engine.asked if b.get("prompt_logprobs") is None and b["model"] == old]

    judge(settings, old)
    asked = len(asked_of_old())
    with open_platform_store(settings.platform) as store:
        store.add_release(adapter=old, base_model="tiny", kind="promotion", why="first")
    judge(settings, new)
    verdict = json.loads((settings.platform.adapters_dir / new / "report.json").read_text())
    engine.registered.pop(new, None)
    invoke("report", new, "--full")
    assert set(engine.registered) == {old}  # what serves; the candidate was there for its answers alone
    full = json.loads((settings.platform.adapters_dir / new / "report.full.json").read_text())
    assert (full["verdict"], full["reasons"]) == (verdict["verdict"], verdict["reasons"])
    assert [(one["data"]["name"], one["data"]["n"]) for one in full["sets"]] == [
        ("evaluation.jsonl", ROWS),
        ("ours.jsonl", 1),
    ]
    names = [
        "untouched", "harper", "base", "base-few-shot", "comparator", "champion", "harper-then-candidate", "candidate",
    ]  # fmt: skip
    for one in full["sets"]:
        assert list(one["systems"]) == names
        assert list(one["explanations_of"]) == ["base", "champion", "candidate"]
        assert all(counts["rows"] == one["data"]["n"] for counts in one["explanations_of"].values())
        assert one["systems"]["candidate"]["explanations"]["rows"] == one["data"]["n"]
    frozen, ours = (one["systems"] for one in full["sets"])
    assert (ours["candidate"]["errant_f05"], ours["untouched"]["errant_f05"]) == (100, 0)
    assert frozen["comparator"]["system"] == "toy, live"
    assert frozen["candidate"]["weights_gb"] > frozen["base"]["weights_gb"] > 0
    assert frozen["base"]["identity"] != frozen["base-few-shot"]["identity"]
    few = [b for b in engine.asked if b["model"] == "base" and "Awkward:" in str(b["prompt"])]
    assert len(few) >= ROWS
    # The champion's plain answers to the frozen set were kept when it was the candidate: now that is asked for reasons, as
    # the other set is, and the other set's plain answers are made beside them.
    corrected = Counter(one for one in asked_of_old()[asked:] if "Correct this English:" in one)
    assert sorted(corrected.values()) == [*[1] * ROWS, 2]
    assert "He go to the pool." in max(corrected, key=lambda prompt: corrected[prompt])
    seconds = full["seconds"]
    assert {"generation", "scoring", "bootstrap", "plots", "page", "checks", "parser"} < set(seconds)
    own = sum(seconds[name] for name in ("checks", "parser", "scoring", "bootstrap", "plots", "page"))
    assert seconds["beyond_generation"] == pytest.approx(own, abs=0.01)
    assert [one["draws"] for one in full["sets"]] == [1000, 1000]
    page = (settings.platform.adapters_dir / new / "report.full.html").read_text()
    assert page.count("<h2>Systems</h2>") == 2
    assert f"Asked about all {ROWS} sentences." in page and "the candidate alone was asked" not in page
    counts = full["sets"][0]["explanations_of"]["champion"]
    assert counts["edits"] > 0
    share = f"{100 * counts['explained'] / counts['edits']:.0f} %"
    assert f'<td>champion</td><td class="n">{counts["edits"]}</td><td class="n">{share}</td>' in page
    assert "The gate" in page[: page.index("<h2>")]
    paid = len(outside.requests)
    engine.stop()  # every answer is kept now, so the job needs nobody
    (settings.platform.adapters_dir / new / "report.full.json").unlink()
    done = (
        build_defs(settings)
        .resolve_job_def("full_report")
        .execute_in_process(run_config=dg.RunConfig({"write_full_report": FullReportConfig(adapter=new[:6])}))
    )
    assert done.success
    assert len(outside.requests) == paid
    again_full = json.loads((settings.platform.adapters_dir / new / "report.full.json").read_text())
    assert [one["types"] for one in again_full["sets"]] == [one["types"] for one in full["sets"]]
    engine.start()


def test_the_other_stack_of_a_report_is_the_system_served_when_chosen(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    alone = prepare(engine, monkeypatch, tmp_path)
    stacked = alone.changed(serving={"stack": "harper-then-model"})
    adapter = write_adapter(alone.platform.adapters_dir)

    async def identities(settings: Settings) -> dict[str, str]:
        async with DirectEngine(settings.serving.vllm_url).client() as client:
            made = Systems(settings, client, errant_annotator(), adapter, None, lambda _: None)
            return {name: system.identity() for name, system in made.asked.items()}

    one, two = asyncio.run(identities(alone)), asyncio.run(identities(stacked))
    assert one["harper-then-candidate"] == two["candidate"]
    assert one["candidate"] == two["candidate-alone"]
    assert one["candidate"] != two["candidate"]
    assert one["base"] != two["base"]


def test_an_evaluated_adapter_stays_in_the_engine_only_where_it_belongs(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = prepare(engine, monkeypatch, tmp_path)
    serving, held, other = (write_adapter(settings.platform.adapters_dir, strength) for strength in (0.1, 0.2, 0.3))
    with open_platform_store(settings.platform) as store:
        store.add_release(adapter=serving, base_model="tiny", kind="promotion", why="first")
    engine.registered[held] = str(settings.platform.adapters_dir / held)
    for adapter in (serving, held, other):
        scores = json.loads(invoke("evaluate", "--system", f"adapter:{adapter}", "--limit", "4", "--json"))
        assert scores["n"] == 4
        assert {body["model"] for body in engine.asked} >= {adapter}
    assert set(engine.registered) == {serving, held}

    class Fails(dict[str, str]):
        def get(self, text: str, otherwise: Any = None) -> Any:
            raise RuntimeError("the engine fails this answer")

    # The same where it breaks off.
    engine.fixes[other] = Fails()
    with pytest.raises(CorrectlyError):
        invoke("evaluate", "--system", f"adapter:{other}", "--limit", "4", "--json")
    assert set(engine.registered) == {serving, held}


def test_an_adapter_without_a_verdict_has_no_full_report(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = prepare(engine, monkeypatch, tmp_path)
    adapter = write_adapter(settings.platform.adapters_dir)
    open_platform_store(settings.platform).close()
    with pytest.raises(CorrectlyError, match="materialize eval_report"):
        invoke("report", adapter, "--full")
    with pytest.raises(RefusedError, match="has no report"):
        full_report_here(settings, adapter, Console(stderr=True), running_engine)


def test_a_set_that_shows_what_the_adapter_was_trained_on_is_refused(settings: Settings) -> None:
    pair = TrainPair("p1", "e1", "example", "He go to the pool.", "He goes to the pool.")
    snapshot = write_train_set(
        [pair],
        settings.platform.snapshots_dir,
        TrainSetManifest(seed=1),
        sql_dir=settings.platform.sql_dir,
        human_weight=8,
    )
    lines(settings.platform.home / "evaluation" / "ours.jsonl", {"before": "It is.", "after": "It is."}, {"before": "He go to  the pool", "after": "He went to the pool."})  # fmt: skip
    sets = registered_sets(settings)
    assert [one.data.name for one in sets] == ["evaluation.jsonl", "ours.jsonl"]
    assert limited(sets[0].data, 10_000) is sets[0].data
    read = [one.data for one in sets]
    with pytest.raises(PermanentError, match=r"rows 2 of ours\.jsonl"):
        refuse_trained_on(settings.platform, AdapterManifest(id="a", train_set=snapshot.id), read)
    said: list[str] = []
    message = refuse_trained_on(settings.platform, AdapterManifest(id="a", train_set="gone"), read, said.append)
    assert message is not None and message.endswith("in full: the train set of adapter a is not here.")
    assert said == [message]


def test_the_loop_judges_no_adapter_that_was_trained_on_the_frozen_set(settings: Settings) -> None:
    row = read_evaluation_set(settings.platform.evaluation_path).rows[2]
    pair = TrainPair("p1", "e1", "example", row.source.upper(), row.references[0])
    snapshot = write_train_set(
        [pair],
        settings.platform.snapshots_dir,
        TrainSetManifest(seed=1),
        sql_dir=settings.platform.sql_dir,
        human_weight=8,
    )
    adapter = write_adapter(settings.platform.adapters_dir)
    manifest = settings.platform.adapters_dir / adapter / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "train_set": snapshot.id}))
    # No engine runs here: the refusal comes before anything is asked.
    with pytest.raises(PermanentError, match=r"rows 3 of evaluation\.jsonl"):
        judge(settings, adapter)
