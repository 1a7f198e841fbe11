"""A person's review: twenty chats, rated blind, kept at once, gone on with later, and shown in the report."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from correctly_assets.artifacts.manifests import AdapterManifest
from correctly_assets.artifacts.reports import ReviewedSystem
from correctly_assets.cli import app
from correctly_assets.core.errors import PermanentError, UsageError
from correctly_assets.core.evaluation import EvaluationRow, EvaluationSet
from correctly_assets.core.gate import EMBEDDED_GATE, decide_promotion
from correctly_assets.core.review import Review, blind_order, parse_scenarios, summarise
from correctly_assets.evaluation.report.review_section import reviewed_html, reviewed_lines
from correctly_assets.gateway.gateway_client import ask_gateway
from correctly_assets.settings import Settings, get_settings
from correctly_assets.store import Store, open_store
from correctly_assets.store.migrations import migrate_down, migrate_up
from correctly_assets.workflows.retrain_state import recipe
from correctly_assets.workflows.review_answers import Grades, Task, read_scenarios, review, reviews_so_far, split_answer
from correctly_tests.serving_fakes import Running, errant_annotator, fake_engine, running_gateway
from correctly_tests.tiny_adapter import put_base

LANDLORD = "My sister is working in this hospital since five years."
RIGHT = "My sister has been working in this hospital for five years."


def grade(subject: str = "a1", scenario: str = "s1", person: str = "ann", nat: int = 4, at: str = "1") -> Review:
    return Review(person, scenario, "sha", "correctly", "r0001", subject, nat, 3, None, at)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with fake_engine() as engine, running_gateway(tmp_path_factory.mktemp("review") / "home", engine) as running:
        engine.default = {LANDLORD: RIGHT}
        running.serves(running.release("aaaaaaaaaaaa"))
        yield running


@pytest.fixture
def here(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a reviewer on the gateway's machine, with a store of the test's own."""
    monkeypatch.setenv("CORRECTLY_GATEWAY_PORT", gateway.url.rsplit(":", 1)[1])
    settings = get_settings()
    settings.platform.home.mkdir(parents=True, exist_ok=True)
    return settings


@pytest.fixture
def store(here: Settings) -> Iterator[Store]:
    with open_store(here.platform.store_url, here.platform.sql_dir) as opened:
        yield opened


# ---------------------------------------------------------------- scenarios and arithmetic


def test_twenty_scenarios_ship_each_with_what_to_look_at(settings: Settings) -> None:
    scenarios = read_scenarios(settings.platform)
    assert len(scenarios) == 20
    messages = {scenario.id: "\n".join(scenario.messages) for scenario in scenarios}
    assert "```" in messages["code-block"] and "\n- " in messages["bulleted-list"] and "왜?" in messages["korean-why"]
    assert len(messages["long-paragraph"].split()) > 100
    assert all(scenario.look_at.endswith(".") for scenario in scenarios)


def test_a_changed_prompt_trains_anew_and_a_changed_scenario_does_not(settings: Settings, tmp_path: Path) -> None:
    put_base(settings)
    prompts = tmp_path / "prompts"
    shutil.copytree(settings.platform.prompts_dir, prompts)
    ours = settings.changed(platform={"prompts_dir": prompts})
    before = recipe(ours)
    (prompts / "scenarios.yaml").write_text("[]")
    assert recipe(ours) == before
    (prompts / "correct.txt").write_text("Otherwise: {text}")
    assert recipe(ours) != before


@pytest.mark.parametrize(
    "value",
    [
        None, [], ["a"], [{"id": "a"}],
        [{"id": "a", "title": "t", "says": [], "look_at": "l"}],
        [{"id": "a", "title": "t", "says": "He go.", "look_at": "l"}],
        [{"id": "a", "title": "t", "says": ["He go.", 3], "look_at": "l"}],
        [{"id": "a", "title": " ", "says": ["He go."], "look_at": "l"}],
    ],
)  # fmt: skip
def test_a_file_that_holds_no_scenarios_is_refused_in_a_sentence(value: object) -> None:
    with pytest.raises(UsageError, match=r"\.$"):
        parse_scenarios(value)


def test_two_scenarios_of_one_name_are_refused() -> None:
    one = {"id": "a", "title": "t", "says": ["He go."], "look_at": "l"}
    with pytest.raises(UsageError, match="Two scenarios are called a"):
        parse_scenarios([one, one])


def test_the_order_of_systems_is_stable_and_differs_between_scenarios() -> None:
    systems = ["base", "candidate", "correctly"]
    orders = {tuple(blind_order(systems, reviewer="ann", scenario=f"s{n}")) for n in range(40)}
    assert len(orders) == 6
    assert blind_order(systems, reviewer="ann", scenario="s1") == blind_order(
        systems[::-1], reviewer="ann", scenario="s1"
    )


def test_mean_spread_and_n_are_those_counted_by_hand() -> None:
    rows = summarise(
        [grade(nat=5), grade(scenario="s2", nat=3), grade(person="bo", nat=4), grade("b2", nat=2)], total=20
    )
    assert [row["adapter"] for row in rows] == ["a1", "b2"]
    assert rows[0]["naturalness"] == {"mean": 4.0, "sd": 1.0}
    assert (rows[0]["n"], rows[0]["scenarios"], rows[0]["reviewers"]) == (3, 2, 2)
    assert rows[1]["naturalness"] == {"mean": 2.0, "sd": None}


def test_an_answer_is_parted_from_its_table() -> None:
    assert split_answer("She goes.\n\n| Was | Now | Why |\n| --- | --- | --- |\n| go | goes | she |") == (
        "She goes.",
        "| Was | Now | Why |\n| --- | --- | --- |\n| go | goes | she |",
    )
    assert split_answer("Nothing to change.") == ("Nothing to change.", None)


# ---------------------------------------------------------------- the store


def test_the_reviews_table_comes_and_goes_with_its_migration(tmp_path: Path, settings: Settings) -> None:
    with open_store(f"sqlite:///{tmp_path / 's.sqlite'}", settings.platform.sql_dir) as store:
        store.add_review(grade())
        assert [one.naturalness for one in store.reviews()] == [4]
        assert "0004" in migrate_down(store.database, settings.platform.sql_dir, to="0003")
        migrate_up(store.database, settings.platform.sql_dir)
        assert store.reviews() == []


def test_a_person_who_reviews_an_answer_again_replaces_their_grade(store: Store) -> None:
    store.add_review(grade(nat=2))
    store.add_review(grade(nat=5))
    store.add_review(grade(person="bo", nat=1))
    assert [(one.reviewer, one.naturalness) for one in store.reviews()] == [("ann", 5), ("bo", 1)]
    assert [one.naturalness for one in store.reviews(reviewer="bo")] == [1]


def test_a_prompts_folder_without_scenarios_stops_no_unreviewed_report(
    here: Settings, store: Store, tmp_path: Path
) -> None:
    bare = here.changed(platform={"prompts_dir": tmp_path})
    assert reviews_so_far(bare.platform, store) == []
    store.add_review(grade())
    with pytest.raises(PermanentError, match=r"scenarios\.yaml is missing"):
        reviews_so_far(bare.platform, store)


# ---------------------------------------------------------------- the walk


@pytest.mark.slow
def test_a_walk_broken_off_goes_on_where_it_stopped_and_names_who_answered(here: Settings, store: Store) -> None:
    seen: list[tuple[str, str]] = []

    def until_the_fourth(task: Task, index: int) -> Grades:
        if len(seen) == 4:
            raise KeyboardInterrupt
        seen.append((task.scenario.id, task.answers[index][0].text))
        return Grades(4, 5, "fine")

    with pytest.raises(KeyboardInterrupt):
        review(
            here, store, systems=("correctly",), reviewer="ann", rate=until_the_fourth, ask=partial(ask_gateway, here)
        )
    assert seen[3][1].startswith("- **1** ~~"), "the answer to 왜? explains the answer before it"
    kept = store.reviews()
    assert len(kept) == 4
    assert {(one.adapter, one.release, one.system) for one in kept} == {("aaaaaaaaaaaa", "r0001", "correctly")}

    rest: list[str] = []

    def all_of_it(task: Task, index: int) -> Grades:
        rest.append(task.scenario.id)
        return Grades(3, 3)

    assert (
        review(here, store, systems=("correctly",), reviewer="ann", rate=all_of_it, ask=partial(ask_gateway, here))
        == 16
    )
    assert not set(rest) & {id for id, _ in seen}
    assert (
        review(here, store, systems=("correctly",), reviewer="ann", rate=all_of_it, ask=partial(ask_gateway, here)) == 0
    )
    [row] = reviews_so_far(here.platform, store)
    assert (row.n, row.naturalness.mean) == (20, 3.2)


@pytest.mark.slow
def test_equal_answers_of_two_systems_are_rated_once_and_others_apart(here: Settings, store: Store) -> None:
    groups: dict[str, list[list[str]]] = {}

    def rate(task: Task, index: int) -> Grades:
        groups[task.scenario.id] = [[answer.system for answer in group] for group in task.answers]
        return Grades(1 + index, 1 + index)

    assert review(here, store, systems=(), reviewer="bo", rate=rate, ask=partial(ask_gateway, here)) == 40
    assert sorted(map(len, groups["korean-why"])) == [1, 1]
    assert [sorted(group) for group in groups["correct-stays"]] == [["correctly", "correctly-base"]]
    rows = {row.system: row for row in reviews_so_far(here.platform, store)}
    assert rows["correctly"].n == rows["correctly-base"].n == 20
    assert rows["correctly-base"].adapter is None


@pytest.mark.slow
def test_a_system_the_gateway_does_not_list_is_refused_with_those_it_does(here: Settings, store: Store) -> None:
    with pytest.raises(UsageError, match="choose from correctly, correctly-fluent"):
        review(
            here,
            store,
            systems=("wizard",),
            reviewer="ann",
            rate=lambda task, index: Grades(1, 1),
            ask=partial(ask_gateway, here),
        )


# ---------------------------------------------------------------- the report


def test_the_report_says_not_reviewed_until_somebody_did() -> None:
    assert "not reviewed; run `correctly review`" in reviewed_lines("a1", [])
    assert "not reviewed; run <code>correctly review</code>" in reviewed_html("a1", [])
    rows = summarise([grade(nat=5), grade(scenario="s2", nat=4)], total=20)
    reviews = [ReviewedSystem.model_validate(row) for row in rows]
    text = "\n".join(reviewed_lines("a1", reviews))
    assert "| **this adapter** | 4.5 (0.7) | 3.0 (0.0) | 2 | 2 of 20 | 1 |" in text
    assert "4.5 (0.7)" in reviewed_html("a1", reviews) and "not reviewed" not in reviewed_html("a1", reviews)
    assert "| adapter a1 |" in "\n".join(reviewed_lines("z9", reviews))
    assert "This adapter itself was not reviewed yet." in reviewed_html("z9", reviews)


@pytest.mark.slow
def test_a_review_shows_on_an_earlier_reports_page_and_leaves_its_figures(here: Settings, store: Store) -> None:
    from correctly_assets.evaluation.metrics.score import compare, evaluate
    from correctly_assets.evaluation.report.report import write_report
    from correctly_assets.evaluation.systems import IdentitySystem

    rows = tuple(
        EvaluationRow(f"He go to town {n} times.", (f"He goes to town {n} times.",), "awkward") for n in range(5)
    )
    untouched = asyncio.run(evaluate(IdentitySystem(), EvaluationSet("five", rows, "0" * 64), errant_annotator()))
    measured = compare(untouched, untouched, None, names=("aaaaaaaaaaaa", "base", None))
    directory = here.platform.adapters_dir / "aaaaaaaaaaaa"
    directory.mkdir(parents=True)
    written = write_report(
        directory,
        manifest=AdapterManifest(id="aaaaaaaaaaaa"),
        measured=measured,
        decision=decide_promotion(measured, EMBEDDED_GATE),
        systems={"base": untouched, "candidate": untouched},
    )
    assert "not reviewed" in written.html.read_text() and "not reviewed" in written.markdown
    figures = written.json.read_text()
    review(
        here,
        store,
        systems=("correctly",),
        reviewer="ann",
        rate=lambda task, index: Grades(4, 5),
        ask=partial(ask_gateway, here),
    )
    assert written.json.read_text() == figures
    page = written.html.read_text()
    assert "this adapter" in page and "20 of 20" in page and "not reviewed" not in page


# ---------------------------------------------------------------- the command


def test_input_that_is_no_terminal_is_refused_and_results_are_shown(store: Store) -> None:
    store.add_review(grade())
    done = CliRunner().invoke(app, ["review"])
    assert isinstance(done.exception, UsageError) and "--results" in str(done.exception)
    shown = CliRunner().invoke(app, ["review", "--results", "--json"])
    assert json.loads(shown.stdout)["systems"] == []  # a grade of a scenario that is no more does not count


def test_results_are_shown_as_a_table_too(store: Store, here: Settings) -> None:
    scenario = read_scenarios(here.platform)[0]
    store.add_review(replace(grade(scenario=scenario.id), scenario_sha=scenario.sha))
    shown = CliRunner().invoke(app, ["review", "--results"])
    assert shown.exit_code == 0, shown.exception
    assert "4.0" in shown.stdout and "1 of" in shown.stdout


@pytest.mark.slow
def test_a_terminal_asks_takes_only_grades_and_keeps_them_at_ctrl_c(gateway: Running, here: Settings) -> None:
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "correctly_assets.cli", "review", "--system", "correctly", "--as", "cy", "--json"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "CORRECTLY_HOME": str(here.platform.home), "COLUMNS": "100", "TERM": "dumb"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    os.close(theirs)
    said = bytearray()

    def listen() -> None:
        try:
            while piece := os.read(ours, 4096):
                said.extend(piece)
        except OSError:
            return  # the terminal is gone with the child

    threading.Thread(target=listen, daemon=True).start()

    def when(words: str, times: int, answer: str) -> None:
        deadline = time.monotonic() + 60
        while len(re.findall(words, said.decode(errors="ignore"))) < times:
            assert time.monotonic() < deadline and child.poll() is None, said.decode(errors="replace")
            time.sleep(0.05)
        os.write(ours, answer.encode())

    try:
        when(r"Naturalness.*?\[1-5\]", 1, "nine\n")
        when(r"Naturalness.*?\[1-5\]", 2, "5\n")
        when(r"Clarity.*?\[1-5\]", 1, "4\n")
        when("A note", 1, "reads well\n")
        when(r"Naturalness.*?\[1-5\]", 3, "")
        child.send_signal(signal.SIGINT)
        out, _ = child.communicate(timeout=60)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 0
    value = json.loads(out)
    assert (value["rated"], value["stopped"], value["left"]) == (1, True, {"aaaaaaaaaaaa": 19})
    assert value["systems"][0]["naturalness"] == {"mean": 5.0, "sd": None}
    with open_store(here.platform.store_url, here.platform.sql_dir) as store:
        [kept] = store.reviews(reviewer="cy")
    assert (kept.naturalness, kept.clarity, kept.note) == (5, 4, "reads well")
