"""What was judged can be found, compared, measured in full, and held against a comparator and a judge from outside."""

from __future__ import annotations

import asyncio
import json
import shutil
import webbrowser
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import save_file

from correctly_assets.core.errors import CorrectlyError, PermanentError, RefusedError, UsageError
from correctly_assets.core.hashing import content_id, hash_files
from correctly_assets.core.teaching import Recording
from correctly_assets.core.types import TrainPair
from correctly_assets.defs.full_report import report_full
from correctly_assets.defs.resources import make_resources
from correctly_assets.evaluation.data import limited, read_evaluation_set
from correctly_assets.runtime.comparator import choose_comparator, read_calibration
from correctly_assets.runtime.full_report import Systems, full_report_here, registered_sets
from correctly_assets.runtime.join import DirectEngine, open_platform_store
from correctly_assets.runtime.judging import judge_candidate
from correctly_assets.runtime.leaks import refuse_trained_on
from correctly_assets.settings import Settings, get_settings
from correctly_assets.store.records import Verdict
from correctly_assets.store.train_set import write_train_set
from correctly_assets.training.adapter import CONTENT
from correctly_tests.commands import invoke
from correctly_tests.serving_fakes import ADAPTER_LOGPROB, BASE_LOGPROB, FakeEngine, errant_annotator, fake_engine
from correctly_tests.teaching_fakes import ChatServer, answer, completion

pytestmark = pytest.mark.slow

RANK, ROWS = 8, 12
MODULES = {"model.layers.0.self_attn.q_proj": (12, 6), "model.layers.0.mlp.down_proj": (6, 20)}


def under(monkeypatch: pytest.MonkeyPatch, **changes: object) -> Settings:
    for name, value in changes.items():
        monkeypatch.setenv(f"CORRECTLY_{name.upper()}", str(value))
    get_settings.cache_clear()
    return get_settings()


def write_base(directory: Path) -> Path:
    directory.mkdir()
    weights = {f"{name}.weight": np.zeros(shape, np.float32) for name, shape in MODULES.items()}
    save_file(weights, directory / "model.safetensors")
    (directory / "correctly_base.json").write_text(json.dumps({"name": "tiny", "revision": "r1"}))
    return directory


def write_adapter(adapters: Path, strength: float = 0.1) -> str:
    """An adapter that keeps every rule of serving, named by its content. Returns its ID."""
    weights: dict[str, np.ndarray] = {}
    for name, (out, width) in MODULES.items():
        weights[f"base_model.model.{name}.lora_A.weight"] = np.ones((RANK, width), np.float32)
        weights[f"base_model.model.{name}.lora_B.weight"] = np.full((out, RANK), strength, np.float32)
    work = adapters / "work"
    work.mkdir(parents=True)
    save_file(weights, work / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": 16, "bias": "none", "base_model_name_or_path": "tiny"}
    (work / "adapter_config.json").write_text(json.dumps(config))
    hashes = hash_files(work, CONTENT)
    said = "She goes."
    canary = {
        "prompt": "Correct this English:\nShe go.",
        "completion": said,
        "base_logprob": BASE_LOGPROB * len(said),
        "adapter_logprob": ADAPTER_LOGPROB * len(said),
        "tokens": len(said),
    }
    manifest = {
        "id": content_id(hashes),
        "files": hashes,
        "base_model": {"name": "tiny", "revision": "r1"},
        "train_set": "t1",
        "canary": [canary],
    }
    (work / "manifest.json").write_text(json.dumps(manifest))
    work.rename(adapters / manifest["id"])
    return manifest["id"]


def decide(settings: Settings, adapter: str, verdict: Verdict, reason: str) -> None:
    with open_platform_store(settings) as store:
        store.record_decision(
            fingerprint=f"f-{adapter}",
            adapter=adapter,
            verdict=verdict,
            reasons=(reason,),
            run_id=None,
            rows_digest="d",
            recipe_digest="r",
            accepted=1,
            train_set=None,
            example_ids=None,
        )


def put_report(settings: Settings, adapter: str, f05: float, *, verdict: str = "promote", sha: str = "e" * 64) -> Path:
    directory = settings.adapters_dir / adapter
    directory.mkdir(parents=True)
    (directory / "manifest.json").write_text(json.dumps({"id": adapter}))
    scores = {"gleu": 61.25, "errant_f05": f05, "overcorrected": 8.0}
    systems = {"candidate": scores, "base": {"errant_f05": 9.5}}
    page = {"adapter": adapter, "verdict": verdict, "reasons": ["F0.5 against the base model: +9.0."]}
    page |= {"systems": systems, "data": {"n": 400, "sha256": sha}}
    (directory / "report.json").write_text(json.dumps(page))
    (directory / "report.html").write_text("<!doctype html>")
    return directory


# ---------------------------------------------------------------- report and leaderboard


def test_the_report_of_the_adapter_judged_last_is_found_and_opened(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="No adapter has been judged yet"):
        invoke("report")
    first = put_report(settings, "aaa111", 40.0)
    second = put_report(settings, "bbb222", 30.0, verdict="refuse")
    decide(settings, "bbb222", "refused", "x")
    said = invoke("report")
    assert "Adapter bbb222 is refused: GLEU 61.2, F0.5 30.0." in said
    assert str(second / "report.html") in said
    assert str(first / "report.html") in invoke("report", "aaa")
    with pytest.raises(UsageError, match="No adapter begins with 'zzz'"):
        invoke("report", "zzz")
    # A browser of our own, chosen as a person chooses theirs: it writes down what it was asked to open.
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    monkeypatch.setattr(webbrowser, "_tryorder", None)
    invoke("report", "aaa", "--open")
    assert (tmp_path / "opened").read_text().strip() == (first / "report.html").as_uri()


def test_an_adapter_refused_before_it_was_measured_shows_its_decision_and_claims_no_page(settings: Settings) -> None:
    directory = settings.adapters_dir / "ccc333"
    directory.mkdir(parents=True)
    (directory / "manifest.json").write_text("{}")
    with pytest.raises(UsageError, match="ccc333 was not judged yet"):
        invoke("report", "ccc")
    decide(settings, "ccc333", "refused", "finite: lora_B holds NaN.")
    found = json.loads(invoke("report", "--json"))
    assert (found["adapter"], found["verdict"], found["html"]) == ("ccc333", "refuse", None)
    assert found["reasons"] == ["finite: lora_B holds NaN."]


def test_the_leaderboard_has_every_adapter_there_has_been_by_f05(settings: Settings) -> None:
    assert "no adapter yet" in invoke("leaderboard")
    put_report(settings, "aaa111", 30.0, verdict="refuse")
    put_report(settings, "bbb222", 40.0)
    decide(settings, "bbb222", "promoted", "better")
    decide(settings, "ccc333", "refused", "finite: NaN.")  # its files are gone
    with open_platform_store(settings) as store:
        store.add_release(adapter="ddd444", base_model="m", kind="promotion", why="w", scores={"systems": {"candidate": {"errant_f05": 35.0}}})  # fmt: skip
        release = store.add_release(adapter="bbb222", base_model="m", kind="promotion", why="w")
    rows = json.loads(invoke("leaderboard", "--json"))
    assert [(row["adapter"], row["errant_f05"]) for row in rows] == [
        ("bbb222", 40.0),
        ("ddd444", 35.0),
        ("aaa111", 30.0),
        ("ccc333", None),
    ]
    assert [row["verdict"] for row in rows] == ["promoted", None, "refused", "refused"]
    assert (rows[0]["release"], rows[0]["serves"], rows[1]["serves"]) == (release.id, True, False)
    assert rows[3]["reasons"] == ["finite: NaN."]
    invoke("leaderboard", "--csv", str(settings.home / "all.csv"))
    assert (settings.home / "all.csv").read_text().splitlines()[1].startswith("bbb222,")
    assert "different sets" not in invoke("leaderboard")
    put_report(settings, "eee555", 20.0, sha="d" * 64)
    assert "2 different sets" in invoke("leaderboard")


# ---------------------------------------------------------------- models from outside


def reply(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    """A comparator that writes "goes" for "go"; and a judge that takes the text which says "goes", else calls it even."""
    said = body["messages"][-1]["content"]
    if "Which correction is better" in said:
        a, b = (line[3:] for line in said.splitlines() if line.startswith(("A: ", "B: ")))
        text = "T" if ("goes" in a) == ("goes" in b) else "A" if "goes" in a else "B"
    elif "yes or no" in said:
        text = "Yes"
    else:
        text = said.rsplit("\n\n", 1)[1].replace(" go ", " goes ")
    answer(handler, 200, completion(text, model=f"{body['model']}-2026-01-01"))


@pytest.fixture
def outside() -> Iterator[ChatServer]:
    server = ChatServer()
    server.otherwise = reply
    yield server
    server.close()


def lines(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


PAIRS = [
    {"source": "He go home.", "first": "He goes home.", "second": "He go home!", "label": "first"},
    {"source": "He go out.", "first": "He go out!", "second": "He goes out.", "label": "second"},
    {"source": "He go in.", "first": "He goes in.", "second": "He go in!", "label": "tie"},
    {"source": "It is.", "first": "It is!", "second": "It's.", "label": "tie"},
]
PAIRS_AS_ROWS = [{"source": "They go out.", "target": "They went out."}]


def test_without_a_judge_calibration_is_one_sentence_and_exit_2(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No judge is configured: set CORRECTLY_JUDGE_MODEL") as caught:
        invoke("judge", "calibrate", "--data", str(lines(tmp_path / "labels.jsonl", *PAIRS)))
    assert caught.value.exit_code == 2


def test_the_judge_is_measured_against_people_and_the_agreement_is_kept(
    outside: ChatServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = under(monkeypatch, judge_base_url=outside.url, judge_model="umpire", judge_api_key="k")
    labels = lines(tmp_path / "labels.jsonl", *PAIRS)
    assert "umpire agrees with people in 75 % of 4 pairs" in invoke("judge", "calibrate", "--data", str(labels))
    kept = json.loads((settings.home / "judge" / "calibration.json").read_text())
    assert (kept["judge"], kept["n"], kept["agreement"], kept["flips"]) == ("umpire", 4, 75, 0)
    asked = len(outside.requests)
    assert asked == 8
    invoke("judge", "calibrate", "--data", str(labels))
    assert len(outside.requests) == asked  # verdicts are kept and not paid for twice
    assert read_calibration(settings) == json.loads((settings.home / "judge" / "calibration.json").read_text())
    assert read_calibration(under(monkeypatch, judge_model="another")) is None


def test_a_comparator_is_recorded_once_grows_by_sets_and_never_under_another_name(
    outside: ChatServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    one = lines(tmp_path / "one.jsonl", {"source": "We go there.", "references": ["We went there."]})
    two = lines(tmp_path / "two.jsonl", {"source": "He go home.", "target": "He goes home."}, *PAIRS_AS_ROWS)
    with pytest.raises(UsageError, match="--model NAME"):
        invoke("record", "--data", str(one))
    with pytest.raises(UsageError, match="--base-url URL"):
        invoke("record", "--model", "toy", "--data", str(one))
    said = invoke("record", "--model", "toy", "--data", str(one), "--base-url", outside.url)
    assert "toy-2026-01-01: 1 answers recorded" in said
    assert "CORRECTLY_COMPARATOR_MODEL=toy" in said
    path = get_settings().home / "comparator" / "recordings" / "toy.jsonl"
    first = Recording.load(path)
    assert (first.header["kind"], first.model) == ("comparator", "toy-2026-01-01")
    # The journal may be cleared away; the recording alone keeps what was paid for.
    shutil.rmtree(get_settings().home / "comparator" / "journal")
    header = json.loads(invoke("record", "--model", "toy", "--data", str(two), "--base-url", outside.url, "--json"))
    assert header["entries"] == 3
    assert first.entries.items() <= Recording.load(path).entries.items()
    invoke("record", "--model", "toy", "--data", str(two), "--base-url", outside.url)
    assert len(outside.requests) == 3
    outside.otherwise = lambda handler, body: answer(handler, 200, completion("x", model="cheaper"))
    with pytest.raises(RefusedError, match="answered as 'cheaper', not as 'dear'"):
        invoke("record", "--model", "dear", "--data", str(one), "--base-url", outside.url)
    assert not path.with_name("dear.jsonl").exists()
    # Asked again at another address, the wrong one's answers are not believed.
    outside.otherwise = lambda handler, body: answer(handler, 401, {"error": {"message": "no"}})
    with pytest.raises(PermanentError, match="set CORRECTLY_COMPARATOR_API_KEY"):
        invoke("record", "--model", "dear", "--data", str(one), "--base-url", f"{outside.url}/")


# ---------------------------------------------------------------- the loop's report and the full one


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    with fake_engine() as made:
        yield made


def prepare(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **more: object) -> Settings:
    """A base model, an engine whose adapters know the frozen set's answers, and a small part of that set."""
    settings = under(
        monkeypatch,
        vllm_port=engine.port,
        base_model=write_base(tmp_path / "base"),
        evaluation_limit=ROWS,
        **more,
    )
    rows = read_evaluation_set(settings.evaluation_path).rows
    engine.default = {row.source: row.references[0] for row in rows}
    engine.default["He go to the pool."] = "He goes to the pool."
    engine.reasons = "This is how it is said."
    return settings


def judge(settings: Settings, adapter: str) -> Any:
    with open_platform_store(settings) as store:
        return asyncio.run(
            judge_candidate(
                settings, store, DirectEngine(settings.vllm_url), adapter=adapter, run_id=None, log=lambda _: None
            )
        )


def test_the_loops_report_holds_a_recorded_comparator_and_the_judges_verdicts_with_its_agreement(
    engine: FakeEngine, outside: ChatServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = prepare(
        engine, monkeypatch, tmp_path,
        comparator_model="toy", comparator_base_url=outside.url, judge_model="umpire", judge_base_url=outside.url,
    )  # fmt: skip
    adapter = write_adapter(settings.adapters_dir)
    judged = judge(settings, adapter)
    page = judged.html.read_text()
    # No train set stands here, and the page says so.
    assert f"could not be checked in full: the train set of adapter {adapter} is not here." in page
    # The loop asks nobody for money: not recorded is not measured, and the row says how.
    assert "toy is not recorded on evaluation.jsonl; run <code>correctly record --model toy</code>" in page
    assert "umpire, both orders, ties allowed." in page
    assert "It has not been measured against people" in page
    invoke("record")
    invoke("judge", "calibrate", "--data", str(lines(tmp_path / "labels.jsonl", *PAIRS)))
    asked = len(outside.requests)
    report = json.loads(judge(settings, adapter).html.with_suffix(".json").read_text())
    comparator = report["systems"]["comparator"]
    assert comparator["system"].startswith("toy-2026-01-01, recorded 20")
    assert comparator["n"] == ROWS
    assert comparator["usd_per_thousand"] is None  # no price is known, so no money is shown
    assert {"untouched", "comparator"} == set(report["judge"]["against"])
    against = report["judge"]["against"]["untouched"]
    assert against["n"] == ROWS == against["win"] + against["tie"] + against["loss"]
    assert report["judge"]["calibration"]["agreement"] == 75
    said = [request["messages"][0]["content"] for request in outside.requests[asked:]]
    assert all("Which correction" in one or "yes or no" in one for one in said)
    meaning, true = report["judge"]["same_meaning"], report["judge"]["reasons_true"]
    assert set(meaning) == set(report["systems"])
    assert (meaning["untouched"]["asked"], meaning["untouched"]["share"]) == (0, None)
    assert meaning["candidate"]["share"]["point"] == 100
    assert meaning["candidate"]["n"] == meaning["candidate"]["asked"] > 0
    counts = report["explanations"]
    assert [true[origin]["asked"] for origin in ("model", "rule")] == [counts["model_reasons"], counts["rule_reasons"]]
    explained, page = counts["rows"], judged.html.read_text()
    assert 0 < explained < ROWS and list(report["explanations_of"]) == ["candidate"]
    assert f"Asked about {explained} sentences, a sample of the {ROWS}." in page
    assert "Here the candidate alone was asked; <code>correctly report --full</code>" in page
    recording = settings.home / "comparator" / "recordings" / "toy.jsonl"
    recording.write_text(recording.read_text().replace("stop", "length"))
    found = choose_comparator(
        settings, limited(read_evaluation_set(settings.evaluation_path), ROWS), errant_annotator()
    )
    assert found.system is None and "was changed after it was made" in found.says
    assert report["explained"]  # edits with their reasons, from the answers that were asked for with reasons


def test_a_judge_that_is_away_is_a_sentence_in_the_report_and_stops_nothing(
    engine: FakeEngine, outside: ChatServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = prepare(engine, monkeypatch, tmp_path, judge_model="umpire", judge_base_url=outside.url)
    outside.otherwise = lambda handler, body: answer(handler, 401, {"error": {"message": "no"}})
    judged = judge(settings, write_adapter(settings.adapters_dir))
    page = judged.html.read_text()
    assert "umpire could not be asked, so its verdicts are left out." in page
    assert judged.decision.reasons


def test_the_full_report_measures_every_system_on_every_set_and_generates_nothing_twice(
    engine: FakeEngine, outside: ChatServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = prepare(engine, monkeypatch, tmp_path, comparator_model="toy", comparator_base_url=outside.url)
    lines(
        settings.home / "evaluation" / "ours.jsonl", {"before": "He go to the pool.", "after": "He goes to the pool."}
    )
    old, new = write_adapter(settings.adapters_dir), write_adapter(settings.adapters_dir, 0.2)

    def asked_of_old() -> list[str]:
        return [str(b["prompt"]) for b in engine.asked if b.get("prompt_logprobs") is None and b["model"] == old]

    judge(settings, old)
    asked = len(asked_of_old())
    with open_platform_store(settings) as store:
        store.add_release(adapter=old, base_model="tiny", kind="promotion", why="first")
    judge(settings, new)
    verdict = json.loads((settings.adapters_dir / new / "report.json").read_text())
    engine.registered.pop(new, None)
    invoke("report", new, "--full")
    assert set(engine.registered) == {old}  # what serves; the candidate was there for its answers alone
    full = json.loads((settings.adapters_dir / new / "report.full.json").read_text())
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
    page = (settings.adapters_dir / new / "report.full.html").read_text()
    assert page.count("<h2>Systems</h2>") == 2
    assert f"Asked about all {ROWS} sentences." in page and "the candidate alone was asked" not in page
    counts = full["sets"][0]["explanations_of"]["champion"]
    assert counts["edits"] > 0
    share = f"{100 * counts['explained'] / counts['edits']:.0f} %"
    assert f'<td>champion</td><td class="n">{counts["edits"]}</td><td class="n">{share}</td>' in page
    assert "The gate" in page[: page.index("<h2>")]
    paid = len(outside.requests)
    engine.stop()  # every answer is kept now, so the job needs nobody
    (settings.adapters_dir / new / "report.full.json").unlink()
    config = {"ops": {"write_report_full": {"config": {"adapter": new[:6]}}}}
    made = make_resources(settings)
    done = report_full.execute_in_process(
        run_config=config, resources={name: made[name] for name in ("store", "engine")}
    )
    assert done.success
    assert len(outside.requests) == paid
    again_full = json.loads((settings.adapters_dir / new / "report.full.json").read_text())
    assert [one["types"] for one in again_full["sets"]] == [one["types"] for one in full["sets"]]
    engine.start()


def test_the_other_stack_of_a_report_is_the_very_system_that_is_served_when_it_is_chosen(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    alone = prepare(engine, monkeypatch, tmp_path)
    stacked = alone.model_copy(update={"stack": "harper-then-model"})
    adapter = write_adapter(alone.adapters_dir)

    async def identities(settings: Settings) -> dict[str, str]:
        async with DirectEngine(settings.vllm_url).client() as client:
            made = Systems(settings, client, errant_annotator(), adapter, None, lambda _: None)
            return {name: system.identity() for name, system in made.asked.items()}

    one, two = asyncio.run(identities(alone)), asyncio.run(identities(stacked))
    assert one["harper-then-candidate"] == two["candidate"]
    assert one["candidate"] == two["candidate-alone"]
    assert one["candidate"] != two["candidate"]
    assert one["base"] != two["base"]


def test_an_evaluated_adapter_is_in_the_engine_afterwards_only_where_it_was_before_or_serves(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = prepare(engine, monkeypatch, tmp_path)
    serving, held, other = (write_adapter(settings.adapters_dir, strength) for strength in (0.1, 0.2, 0.3))
    with open_platform_store(settings) as store:
        store.add_release(adapter=serving, base_model="tiny", kind="promotion", why="first")
    engine.registered[held] = str(settings.adapters_dir / held)
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
    adapter = write_adapter(settings.adapters_dir)
    with pytest.raises(CorrectlyError, match="materialize eval_report"):
        invoke("report", adapter, "--full")
    with pytest.raises(RefusedError, match="has no report"):
        full_report_here(settings, adapter, Console(stderr=True))


def test_a_set_that_shows_what_the_adapter_was_trained_on_is_refused_by_name(settings: Settings) -> None:
    pair = TrainPair("p1", "e1", "example", "He go to the pool.", "He goes to the pool.")
    snapshot = write_train_set([pair], settings.snapshots_dir, {"seed": 1}, sql_dir=settings.sql_dir, human_weight=8)
    lines(settings.home / "evaluation" / "ours.jsonl", {"before": "It is.", "after": "It is."}, {"before": "He go to  the pool", "after": "He went to the pool."})  # fmt: skip
    sets = registered_sets(settings)
    assert [one.data.name for one in sets] == ["evaluation.jsonl", "ours.jsonl"]
    assert limited(sets[0].data, 10_000) is sets[0].data
    read = [one.data for one in sets]
    with pytest.raises(PermanentError, match=r"rows 2 of ours\.jsonl"):
        refuse_trained_on(settings, {"id": "a", "train_set": snapshot.id}, read)
    said: list[str] = []
    says = refuse_trained_on(settings, {"id": "a", "train_set": "gone"}, read, said.append)
    assert says is not None and says.endswith("in full: the train set of adapter a is not here.")
    assert said == [says]


def test_the_loop_judges_no_adapter_that_was_trained_on_the_frozen_set(settings: Settings) -> None:
    row = read_evaluation_set(settings.evaluation_path).rows[2]
    pair = TrainPair("p1", "e1", "example", row.source.upper(), row.references[0])
    snapshot = write_train_set([pair], settings.snapshots_dir, {"seed": 1}, sql_dir=settings.sql_dir, human_weight=8)
    adapter = write_adapter(settings.adapters_dir)
    manifest = settings.adapters_dir / adapter / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "train_set": snapshot.id}))
    # No engine runs here: the refusal comes before anything is asked.
    with pytest.raises(PermanentError, match=r"rows 3 of evaluation\.jsonl"):
        judge(settings, adapter)
