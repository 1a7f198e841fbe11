"""Systems answer every row in order, kept answers are never made again, and the report can be read."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from matplotlib.figure import Figure

from correctly_assets.artifacts.manifests import AdapterManifest
from correctly_assets.artifacts.reports import read_report
from correctly_assets.core.correction import Usage
from correctly_assets.core.errors import PermanentError, UnreachableError, UsageError
from correctly_assets.core.evaluation import Answers, Costs, EvaluationRow, EvaluationSet
from correctly_assets.core.gate import EMBEDDED_GATE, Interval, decide_promotion
from correctly_assets.core.prompts import load_prompts
from correctly_assets.core.types import Correction, Edit
from correctly_assets.correction.annotate import ErrantAnnotator
from correctly_assets.correction.points.choose_point import PointReasons
from correctly_assets.evaluation.answer_cache import AnswerCache, read_answers
from correctly_assets.evaluation.metrics.score import answer, compare, evaluate
from correctly_assets.evaluation.report.pages import marked
from correctly_assets.evaluation.report.plots import label_apart
from correctly_assets.evaluation.report.report import main_figures, write_pages, write_report
from correctly_assets.evaluation.report.report_wording import clear
from correctly_assets.evaluation.systems import FileSystem, HarperSystem, IdentitySystem, ModelSystem, few_shot
from correctly_assets.language.harper import apply_lints

PROMPTS = Path(__file__).resolve().parents[3] / "prompts"


@pytest.fixture(scope="module")
def annotator() -> ErrantAnnotator:
    return ErrantAnnotator()


DATA = EvaluationSet(
    "shop & <b>son</b>",
    (
        *(
            EvaluationRow(f"He go to shop number {n} <b>.", (f"He goes to shop number {n} <b>.",), "awkward")
            for n in range(30)
        ),
        *(
            EvaluationRow(f"She has read book {n} | twice.", (f"She has read book {n} | twice.",), "correct")
            for n in range(10)
        ),
    ),
    "f" * 64,
)


class FakePath:
    """A correction path that puts "goes" for "go" and counts what it is asked."""

    def __init__(self, annotator: ErrantAnnotator, fail_on: str | None = None) -> None:
        self.usage = Usage()
        self.annotator, self.fail_on = annotator, fail_on
        self.calls = self.running = self.most = 0

    async def correct(
        self, text: str, *, release: str | None, adapter: str | None, reasons: bool = True, **how: object
    ):
        self.calls += 1
        self.usage.completion_tokens += 7
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0.001)
        self.running -= 1
        if self.fail_on and self.fail_on in text:
            raise UnreachableError("The engine is away.")
        after = text.replace("He go ", "He goes ")
        edits = [
            edit.explained("The verb must agree.", "model") if reasons else edit
            for edit in self.annotator.edits(text, after)
        ]
        return Correction("c_1", text, after, tuple(edits), release, adapter)

    def stream(self, text, **how):
        raise AssertionError("evaluation does not stream")


def model(annotator, **options) -> tuple[ModelSystem, FakePath]:
    path = FakePath(annotator, options.pop("fail_on", None))
    return ModelSystem("candidate", path, model="m", parts={"adapter": "a1"}, adapter="a1", at_once=5, **options), path


def test_a_model_answers_in_order_with_bounded_load_and_measured_cost(annotator):
    system, path = model(annotator)
    found = asyncio.run(answer(system, DATA, reasons=True))
    assert [c.before for c in found.corrections] == DATA.sources
    assert found.corrections[0].after == DATA.rows[0].references[0]
    assert path.most == 5
    assert len(found.costs.seconds) == 40
    assert min(found.costs.seconds) > 0
    assert found.costs.completion_tokens == 280


def test_the_identity_changes_with_what_makes_the_answers(annotator):
    one, _ = model(annotator)
    other = ModelSystem("candidate", FakePath(annotator), model="m", parts={"adapter": "a2"})
    renamed = ModelSystem("champion", FakePath(annotator), model="elsewhere", parts={"adapter": "a1"})
    assert one.identity() != other.identity()
    assert one.identity() == renamed.identity()


def test_one_failure_ends_the_evaluation_as_itself(annotator):
    system, _ = model(annotator, fail_on="number 3 ")
    with pytest.raises(UnreachableError, match="away"):
        asyncio.run(answer(system, DATA))


def test_answers_are_made_once_per_system_and_set(annotator, tmp_path):
    cache = AnswerCache(tmp_path)
    first, path = model(annotator)
    made = asyncio.run(answer(first, DATA, reasons=True, cache=cache))
    again, other_path = model(annotator)
    kept = asyncio.run(answer(again, DATA, reasons=True, cache=cache))
    assert (path.calls, other_path.calls) == (40, 0)
    assert kept.cached
    assert kept.corrections == made.corrections
    assert kept.costs == made.costs
    # Answers with reasons serve where none are asked for, not the other way round.
    assert asyncio.run(answer(again, DATA, cache=cache)).cached
    assert cache.get("candidate", again.identity(), "e" * 64, reasons=False) is None


def test_answers_that_ship_are_found_and_never_written_over(annotator, tmp_path):
    shipped, own = tmp_path / "shipped", tmp_path / "own"
    asyncio.run(answer(model(annotator)[0], DATA, cache=AnswerCache(shipped)))
    cache = AnswerCache(own, shipped)
    assert asyncio.run(answer(model(annotator)[0], DATA, cache=cache)).cached
    assert not own.exists()
    cache.put(replace(asyncio.run(answer(model(annotator)[0], DATA)), identity="other"), reasons=False)
    assert len(list(own.iterdir())) == len(list(shipped.iterdir())) == 1


def test_answers_without_reasons_do_not_serve_where_reasons_are_asked_for(annotator, tmp_path):
    cache = AnswerCache(tmp_path)
    asyncio.run(answer(model(annotator)[0], DATA, cache=cache))
    system, path = model(annotator)
    assert not asyncio.run(answer(system, DATA, reasons=True, cache=cache)).cached
    assert path.calls == 40


def test_a_damaged_answer_file_is_made_again_as_a_whole(annotator, tmp_path):
    cache = AnswerCache(tmp_path)
    system, _ = model(annotator)
    asyncio.run(answer(system, DATA, cache=cache))
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text()[:-40])
    assert read_answers(file) is None
    system, path = model(annotator)
    assert not asyncio.run(answer(system, DATA, cache=cache)).cached
    assert path.calls == 40
    assert [entry.name for entry in tmp_path.iterdir()] == [file.name]


def test_harper_takes_the_first_suggestion_and_keeps_the_rest_of_the_text(annotator):
    texts = ["I recieve an letter 😀.", "All is well here."]
    corrected = asyncio.run(HarperSystem(annotator).correct_all(texts, reasons=False))
    assert corrected[0].after == "I receive a letter 😀."
    assert [edit.now for edit in corrected[0].edits] == ["receive", "a"]
    assert corrected[1].after == texts[1]


def test_suggestions_that_overlap_an_earlier_one_are_left_out():
    def lint(start: int, end: int, kind: str, text: str = ""):
        first = SimpleNamespace(kind=SimpleNamespace(name=kind), replacement_text=text)
        return SimpleNamespace(span=SimpleNamespace(start=start, end=end), suggestions=[first])

    lints = [
        lint(6, 9, "REMOVE"),
        lint(0, 3, "REPLACE", "xyz"),
        lint(2, 5, "REPLACE", "no"),
        lint(3, 5, "INSERT_AFTER", "!"),
    ]
    linter = SimpleNamespace(lint=lambda text: lints)
    assert apply_lints(linter, "abcdefghij") == "xyzde!fj"


def test_a_file_of_predictions_must_have_a_line_a_row(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("one\n\nthree\n")
    found = asyncio.run(FileSystem(path).correct_all(["1", "2", "3"], reasons=False))
    assert [correction.after for correction in found] == ["one", "", "three"]
    with pytest.raises(UsageError, match="3 lines and the set 2 rows"):
        asyncio.run(FileSystem(path).correct_all(["1", "2"], reasons=False))
    with pytest.raises(UsageError, match="cannot be read"):
        FileSystem(tmp_path / "none.txt")


def test_the_few_shot_prompt_shows_its_pairs_and_has_a_hash_of_its_own():
    prompts = load_prompts(PROMPTS)
    shown = few_shot(prompts, [("He go.", "He goes.")])
    text = shown.correct_prompt("She go {text}.")
    assert "Awkward: He go.\nNatural: He goes.\nAwkward: She go {text}.\nNatural:" in text
    assert shown.sha256 != prompts.sha256


def test_a_system_that_loses_rows_is_an_error(annotator):
    class Short(IdentitySystem):
        async def correct_all(self, texts, *, reasons):
            return (await super().correct_all(texts, reasons=reasons))[1:]

    with pytest.raises(PermanentError, match="39 of 40"):
        asyncio.run(evaluate(Short(), DATA, annotator))


# ---------------------------------------------------------------- the report


@pytest.fixture(scope="module")
def written(annotator, tmp_path_factory):
    directory = tmp_path_factory.mktemp("adapter")
    candidate = asyncio.run(evaluate(model(annotator)[0], DATA, annotator, reasons=True))
    base = asyncio.run(evaluate(IdentitySystem(), DATA, annotator))
    measured = compare(candidate, base, None, names=("abc", "base", None))
    manifest = {
        "id": "abc",
        "base_model": {"name": "gemma", "revision": "r1"},
        "train_set": "t1",
        "seed": 20,
        "canary": [],
    }
    systems = {"untouched": base, "base": base, "candidate": candidate}
    decision = decide_promotion(measured, EMBEDDED_GATE)
    return write_report(
        directory,
        manifest=AdapterManifest.model_validate(manifest),
        measured=measured,
        decision=decision,
        systems=systems,
        points_of=PointReasons(annotator).by_key,
    )


def test_the_report_holds_what_a_later_gate_decides_from(written):
    report = json.loads(written.json.read_text())
    assert report["verdict"] == "promote"
    measured = read_report(written.json.parent).measured
    assert measured is not None and decide_promotion(measured, EMBEDDED_GATE).promote
    assert report["systems"]["candidate"]["errant_f05"] == 100
    assert report["systems"]["candidate"]["intervals"]["gleu"]["low"] > 90
    assert report["provenance"] == {
        "base model name": "gemma", "base model revision": "r1", "train set": "t1", "seed": "20",
    }  # fmt: skip
    assert all(isinstance(value, float) for value in main_figures(read_report(written.json.parent)).values())


def test_the_page_is_one_file_that_fetches_nothing_with_the_verdict_first(written):
    page = written.html.read_text()
    assert not re.findall(r"(?:src|href)=[\"'](?!data:)", page)
    assert "<script" not in page
    assert page.index("may serve") < page.index("Systems")
    assert page.count("data:image/svg+xml;base64,") >= 2
    assert all(
        f"<h2>{title}" in page
        for title in ("Error types", "Better than", "Worse than", "Explanations", "Cost", "Judge")
    )
    assert page.count('class="sentence"') == 20  # the twenty that got better; none got worse, none was meddled with
    assert "No sentence got worse." in page


def test_the_report_counts_edits_by_grammar_point(written):
    points = json.loads(written.json.read_text())["points"]
    [row] = points["rows"]
    assert (row["point"], row["edits"]) == ("agreement_pronoun", 30)
    assert row["candidate"] == {"edits": 30, "found": 30, "wrong": 0}
    assert row["other"] == {"edits": 30, "found": 0, "wrong": 0}
    assert (points["serves"], points["badly"]) == ("candidate", [])
    cells = ["Pronoun and verb", "A1", "30", "30 of 30", "0", "0 of 30", "0"]
    assert f"| {' | '.join(cells)} |" in written.markdown
    page = written.html.read_text()
    assert re.findall(r"<td[^>]*>(.*?)</td>", page[page.index("<h2>Grammar points") :])[:7] == cells


def test_a_guard_that_refused_nothing_shows_0_and_no_guard_a_dash(written):
    page = written.html.read_text()
    table = page[page.index("answers refused by a guard") : page.index("Correct sentences that the candidate changed")]
    shown = {row[0]: row[8] for row in (re.findall(r"<td[^>]*>(.*?)</td>", line) for line in table.split("<tr")[1:])}
    assert shown == {"untouched": "–", "base": "–", "candidate": "0"}


def test_texts_are_escaped_in_both_pages(written):
    page = written.html.read_text()
    assert "number 3 &lt;b&gt;." in page
    assert "<b>." not in page
    rows = [line for line in written.markdown.splitlines() if line.startswith("| He ")]
    assert rows
    assert all(row.replace("\\|", "").count("|") == 4 for row in rows)


def test_what_was_not_measured_is_said_and_not_invented(written):
    for text in (written.html.read_text(), written.markdown):
        assert "not recorded" in text
        assert "No judge is configured" in text
        assert "small set" in text
    assert written.markdown.startswith("## Adapter abc may serve")


def test_the_same_figures_give_the_same_page(written, annotator, tmp_path):
    from correctly_assets.evaluation.report.pages import to_html

    assert to_html(written.report) == written.html.read_text()


def test_what_came_of_real_requests_stands_in_both_pages_and_in_no_figure(written, tmp_path):
    directory = tmp_path / "abc"
    shutil.copytree(written.json.parent, directory)
    again = write_pages(directory, read_report(directory), shadow="Challenger abc won 3 & lost 1.")
    assert "<h2>Beside the champion on real requests</h2>\n<p>Challenger abc won 3 &amp; lost 1.</p>" in (
        again.html.read_text()
    )
    assert "### Beside the champion on real requests\n\nChallenger abc won 3 " in again.markdown
    assert again.json.read_text() == written.json.read_text()
    assert "real requests" not in written.html.read_text() + written.markdown


def test_no_label_of_a_plot_hides_another_and_none_is_left_out():
    figure = Figure(figsize=(7.6, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.set_xlim(0, 40)
    axes.set_ylim(0, 100)
    points = [("candidate", 20, 60), ("harper-then-candidate", 20.1, 59.5), ("champion", 20, 58), ("base", 3, 9)]
    label_apart(figure, axes, points)
    labels = [text for text in axes.texts if text.get_text()]
    assert sorted(label.get_text() for label in labels) == sorted(name for name, _, _ in points)
    boxes = [label.get_window_extent() for label in labels]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_a_difference_is_called_better_only_where_its_whole_interval_is():
    assert [clear(Interval(0, low, high)) for low, high in ((0.1, 2), (-2, -0.1), (-1, 2), (0, 2), (-2, 0))] == [
        "▲", "▼", "≈", "≈", "≈",
    ]  # fmt: skip


def test_the_page_names_set_scorer_and_the_identity_of_every_system(written):
    page, report = written.html.read_text(), written.report
    assert report.data.sha256 in page
    assert report.scorer in page
    for name, scores in report.systems.items():
        assert f"identity of {name}</dt><dd><code>{scores.identity}" in page
    assert {row.type for row in report.types} <= set(report.types_of["candidate"])


def test_changes_are_marked_word_by_word():
    assert marked("He go home", "He goes home") == [("same", "He"), ("del", "go"), ("ins", "goes"), ("same", "home")]


def test_a_kept_answer_keeps_its_edits(tmp_path):
    edit = Edit(0, 2, "He", "She", "R:PRON", "Because.", "rule")
    answers = Answers(
        "x/../y", "i" * 64, "d" * 64, (Correction("c", "He", "She", (edit,), None, "a", None),), Costs(usd=0.5)
    )
    path = AnswerCache(tmp_path).put(answers, reasons=True)
    assert path.parent == tmp_path
    found = read_answers(path)
    assert found is not None
    assert (found.corrections, found.costs) == (answers.corrections, answers.costs)
