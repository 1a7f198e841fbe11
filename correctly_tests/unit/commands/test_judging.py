"""What was judged can be found, compared, measured in full, and held against a comparator and a judge from outside."""

from __future__ import annotations

import json
import shutil
import webbrowser
from pathlib import Path

import pytest

from correctly_assets.core.errors import PermanentError, RefusedError, UsageError
from correctly_assets.core.types import Correction
from correctly_assets.evaluation.evaluation_set import limited, read_evaluation_set
from correctly_assets.llm_api.requests import Recording
from correctly_assets.settings import Settings, get_settings
from correctly_assets.workflows.record_comparator import choose_comparator, read_calibration
from correctly_assets.workflows.wiring import open_platform_store
from correctly_tests.commands import invoke
from correctly_tests.judging_fakes import (
    PAIRS,
    ROWS,
    decide,
    judge,
    lines,
    prepare,
    put_report,
    under,
    write_adapter,
)
from correctly_tests.serving_fakes import FakeEngine, errant_annotator
from correctly_tests.teaching_fakes import ChatServer, answer, completion

pytestmark = pytest.mark.slow


# ---------------------------------------------------------------- report and leaderboard


def test_the_report_of_the_adapter_judged_last_is_found_and_opened(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    open_platform_store(settings.platform).close()
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


def test_the_report_says_what_came_of_real_requests(settings: Settings) -> None:
    put_report(settings, "aaa111", 40.0)
    with open_platform_store(settings.platform) as store:
        assert json.loads(invoke("report", "aaa", "--json"))["shadow"] is None
        store.journal_correction(Correction("c1", "He go.", "He goes.", (), "r0001", "champion"))
        store.journal_shadow("c1", Correction("c2", "He go.", "He went.", (), None, "aaa111"), gain=3.0)
    said = invoke("report", "aaa")
    assert "Challenger aaa111 answered 1 real request beside" in said and "It won 1 and lost 0" in said


def test_an_adapter_refused_unmeasured_shows_its_decision_and_no_page(settings: Settings) -> None:
    open_platform_store(settings.platform).close()
    directory = settings.platform.adapters_dir / "ccc333"
    directory.mkdir(parents=True)
    (directory / "manifest.json").write_text("{}")
    with pytest.raises(UsageError, match="ccc333 was not judged yet"):
        invoke("report", "ccc")
    decide(settings, "ccc333", "refused", "finite: lora_B holds NaN.")
    found = json.loads(invoke("report", "--json"))
    assert (found["adapter"], found["verdict"], found["html"]) == ("ccc333", "refuse", None)
    assert found["reasons"] == ["finite: lora_B holds NaN."]


def test_the_leaderboard_has_every_adapter_there_has_been_by_f05(settings: Settings) -> None:
    open_platform_store(settings.platform).close()
    assert "no adapter yet" in invoke("leaderboard")
    put_report(settings, "aaa111", 30.0, verdict="refuse")
    put_report(settings, "bbb222", 40.0)
    decide(settings, "bbb222", "promoted", "better")
    decide(settings, "ccc333", "refused", "finite: NaN.")  # its files are gone
    with open_platform_store(settings.platform) as store:
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
    invoke("leaderboard", "--csv", str(settings.platform.home / "all.csv"))
    assert (settings.platform.home / "all.csv").read_text().splitlines()[1].startswith("bbb222,")
    assert "different sets" not in invoke("leaderboard")
    put_report(settings, "eee555", 20.0, sha="d" * 64)
    assert "2 different sets" in invoke("leaderboard")


# ---------------------------------------------------------------- models from outside


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
    kept = json.loads((settings.platform.home / "judge" / "calibration.json").read_text())
    assert (kept["judge"], kept["n"], kept["agreement"], kept["flips"]) == ("umpire", 4, 75, 0)
    asked = len(outside.requests)
    assert asked == 8
    invoke("judge", "calibrate", "--data", str(labels))
    assert len(outside.requests) == asked  # verdicts are kept and not paid for twice
    assert read_calibration(settings) == json.loads((settings.platform.home / "judge" / "calibration.json").read_text())
    assert read_calibration(under(monkeypatch, judge_model="another")) is None


def test_a_comparator_is_recorded_once_grows_by_sets_and_keeps_its_name(
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
    path = get_settings().platform.home / "comparator" / "recordings" / "toy.jsonl"
    first = Recording.load(path)
    assert (first.header["kind"], first.model) == ("comparator", "toy-2026-01-01")
    # The journal may be cleared away; the recording alone keeps what was paid for.
    shutil.rmtree(get_settings().platform.home / "comparator" / "journal")
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


def test_the_report_holds_a_recorded_comparator_and_the_judges_verdicts(
    engine: FakeEngine, outside: ChatServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = prepare(
        engine, monkeypatch, tmp_path,
        comparator_model="toy", comparator_base_url=outside.url, judge_model="umpire", judge_base_url=outside.url,
    )  # fmt: skip
    adapter = write_adapter(settings.platform.adapters_dir)
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
    recording = settings.platform.home / "comparator" / "recordings" / "toy.jsonl"
    recording.write_text(recording.read_text().replace("stop", "length"))
    found = choose_comparator(
        settings, limited(read_evaluation_set(settings.platform.evaluation_path), ROWS), errant_annotator()
    )
    assert found.system is None and "was changed after it was made" in found.message
    assert report["explained"]  # edits with their reasons, from the answers that were asked for with reasons


def test_a_judge_that_is_away_is_a_sentence_in_the_report_and_no_stop(
    engine: FakeEngine, outside: ChatServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = prepare(engine, monkeypatch, tmp_path, judge_model="umpire", judge_base_url=outside.url)
    outside.otherwise = lambda handler, body: answer(handler, 401, {"error": {"message": "no"}})
    judged = judge(settings, write_adapter(settings.platform.adapters_dir))
    page = judged.html.read_text()
    assert "umpire could not be asked, so its verdicts are left out." in page
    assert judged.decision.reasons
