"""`correctly generate` and what a teacher completes, from their words to their exit codes, on a real store."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from correctly_assets.core.landing import identified
from correctly_assets.core.types import Example, Reason
from correctly_assets.curation.vector_search import NeighbourIndex
from correctly_assets.llm_api.recordings import request_from
from correctly_assets.llm_api.requests import ChatAnswer, Recorder
from correctly_assets.resources.store_resource import StoreResource
from correctly_assets.settings import Settings, get_settings
from correctly_assets.store import Store
from correctly_assets.store.search import CellCount
from correctly_assets.teachers.prompted.exemplars import Cell
from correctly_assets.workflows.complete_examples import complete_waiting
from correctly_assets.workflows.generate_examples import generate, thinnest_cells, write_new_examples
from correctly_assets.workflows.make_teacher import make_platform_teacher
from correctly_tests.commands import ROWS, Run, landed
from correctly_tests.loopback import answer
from correctly_tests.teaching_fakes import GOOD, ChatServer, completion, teacher

pytestmark = pytest.mark.slow


def test_the_thinnest_cells_come_first_and_the_choice_spreads(store: Store) -> None:
    taxonomy = [row for row in store.forms_and_tones() if row.form in ("email", "diary")]
    tones = {(row.form, row.tone) for row in taxonomy}
    full = [CellCount(form, tone, "travel", 10) for form, tone in sorted(tones)[1:]]
    cells = thinnest_cells(taxonomy, full, 12, topics=["travel", "health"])
    assert sum(cell.wanted for cell in cells) == 12
    assert (cells[0].form, cells[0].tone) == sorted(tones)[0]
    # Three times three fill the empty cell up to the others; the next example goes elsewhere.
    assert [(cell.form, cell.tone) for cell in cells].count(sorted(tones)[0]) == 4
    assert {cell.topic for cell in cells} == {"health"}
    assert len({(c.form, c.tone) for c in thinnest_cells(taxonomy, [], 3 * len(tones))}) == len(tones)


def test_the_embedded_teacher_derives_examples_that_know_their_source(run: Run, tmp_path: Path, store: Store) -> None:
    known = landed(run, tmp_path)
    code, out, error = run("generate", "--count", "4", "--json")
    assert code == 0, error
    done = json.loads(out)
    assert done["landed"] == 4 and done["teacher"] == "embedded" and sum(c["landed"] for c in done["cells"]) == 4
    fresh = [row for row in json.loads(run("examples", "--json")[1]) if row["id"] not in known.values()]
    afters = {row["before"]: row.get("after") for row in ROWS}
    for row in fresh:
        assert row["derived_from"] in known.values() and row["source"] == "teacher:embedded" and row["reasons"]
        assert row["before"] != row["after"] and row["after"] in afters.values() and row["form"] and row["tone"]
    # Another run goes on where this one ended, and does not derive from what was derived.
    again = json.loads(run("generate", "--count", "12", "--json")[1])
    assert again["landed"] + again["duplicates"] == 12 and again["landed"] >= 6
    assert {row["derived_from"] for row in json.loads(run("examples", "--json")[1]) if "derived_from" in row} <= set(
        known.values()
    )


def test_a_teacher_that_cannot_write_examples_says_so_with_exit_2(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, error = run("generate")
    assert code == 2 and "no words of its own" in error
    monkeypatch.setenv("CORRECTLY_TEACHER", "recorded")
    code, _, error = run("generate")
    assert code == 2 and "only replays" in error


@pytest.fixture
def server() -> Iterator[ChatServer]:
    made = ChatServer()
    yield made
    made.close()


def test_a_prompted_teacher_lands_an_example_in_an_empty_cell(
    run: Run, tmp_path: Path, store: Store, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = landed(run, tmp_path)
    monkeypatch.setenv("CORRECTLY_TEACHER", "openai")
    monkeypatch.setenv("CORRECTLY_TEACHER_BASE_URL", server.url)
    monkeypatch.setenv("CORRECTLY_TEACHER_MODEL", "toy")
    code, out, error = run("generate", "--count", "1", "--json")
    assert code == 0, error
    done = json.loads(out)
    assert (done["landed"], done["teacher"], done["refused"]) == (1, "toy", 0)
    prompt = server.requests[-2]["messages"][0]["content"]  # the last is the second pass of what it answered
    [cell] = done["cells"]
    there = {(row.get("form"), row.get("tone")) for row in ROWS}
    assert (cell["form"], cell["tone"]) not in there and "{form_form}" not in prompt
    wordings = [r.wording for r in store.forms_and_tones() if (r.form, r.tone) == (cell["form"], cell["tone"])]
    assert any(wording in prompt for wording in wordings)
    fresh = next(row for row in json.loads(run("examples", "--json")[1]) if row["source"] == "teacher:toy")
    assert fresh["derived_from"] in known.values() and fresh["form"] == cell["form"] and fresh["cefr"]


def corrects(handler: Any, body: dict[str, Any]) -> None:
    """A teacher that answers whatever waits, and each cell with a pair."""
    prompt = body["messages"][0]["content"]
    content: dict[str, Any] = GOOD
    if "The text:\n" in prompt:
        text = prompt.rsplit("The text:\n", 1)[1]
        after = text.replace("for correcting", "to be corrected").replace("go to the work", "goes to work")
        edits = [{"was": "for correcting", "now": "to be corrected", "reason": 'The passive needs "to be".'}]
        content = {"after": after, "edits": edits if after != text else []}
    answer(handler, 200, completion(json.dumps(content)))


@pytest.fixture
def prompted(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> ChatServer:
    server.otherwise = corrects
    prices = '{"toy": {"prompt": 10, "completion": 10}}'
    given = {"": "openai", "_BASE_URL": server.url, "_MODEL": "toy", "_PRICES": prices, "_BUDGET_USD": "5"}
    for name, value in given.items():
        monkeypatch.setenv(f"CORRECTLY_TEACHER{name}", value)
    return server


def test_generate_completes_what_waits_with_reasons_edits_and_its_cost(
    run: Run, tmp_path: Path, store: Store, prompted: ChatServer
) -> None:
    landed(run, tmp_path)
    code, out, error = run("generate", "--count", "1", "--json")
    assert code == 0, error
    done = json.loads(out)
    # The correction and its second pass: 150 tokens each.
    assert (done["waiting"]["completed"], done["waiting"]["left"]) == (1, 0)
    assert done["waiting"]["cost_usd"] == pytest.approx(2 * 0.0015) and "0.0030 USD" in done["waiting"]["says"]
    [row] = [r for r in json.loads(run("examples", "--json")[1]) if r["before"].startswith("I wait")]
    assert (row["status"], row["after"]) == ("accepted", "I wait to be corrected.") and "reason" not in row
    assert row["reasons"] == [
        {"was": "for correcting", "now": "to be corrected", "reason": 'The passive needs "to be".'}
    ]
    assert row["edits"] and all(edit["type"] for edit in row["edits"])


def page_of_examples() -> dict[str, Any]:
    """What the page of `examples` shows once it was materialized."""
    from correctly_assets.definitions import defs
    from correctly_assets.defs.resources import make_resources

    job = dg.define_asset_job("made", selection=dg.AssetSelection.assets("examples"))
    made = dg.Definitions(assets=defs.assets, resources=make_resources(get_settings()), jobs=[job])
    with dg.DagsterInstance.ephemeral() as instance:
        result = made.resolve_job_def("made").execute_in_process(instance=instance)
    [event] = result.get_asset_materialization_events()
    return {name: value.value for name, value in event.materialization.metadata.items()}


def test_a_waiting_row_is_completed_before_its_train_sets_snapshot(
    run: Run, tmp_path: Path, settings: Settings, prompted: ChatServer
) -> None:
    landed(run, tmp_path)
    shown = page_of_examples()
    assert (shown["examples"], shown["waiting"], shown["completed"]) == (4, 0, 1)
    assert shown["completion_cost_usd"] == pytest.approx(0.003)


def test_a_teacher_that_is_away_leaves_rows_waiting_and_the_others_go_on(
    run: Run, tmp_path: Path, prompted: ChatServer
) -> None:
    landed(run, tmp_path)
    prompted.otherwise = lambda handler, _: answer(handler, 401, {"error": {"message": "no such key"}})
    shown = page_of_examples()
    assert (shown["examples"], shown["waiting"], shown["completed"]) == (3, 1, 0)


def test_without_a_key_a_row_waits_and_add_says_for_what(run: Run, tmp_path: Path, store: Store) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(ROWS[3]) + "\n")
    code, out, _ = run("add", str(file))
    assert code == 0 and "CORRECTLY_TEACHER=openai" in out
    done = complete_waiting(store, get_settings())
    assert (done.completed, done.left) == (0, 1) and "CORRECTLY_TEACHER=openai" in (done.message or "")


def test_the_recorded_teacher_completes_what_it_holds_and_leaves_the_rest(
    run: Run, tmp_path: Path, store: Store, settings: Settings, prompted: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    landed(run, tmp_path)
    live = make_platform_teacher(get_settings())
    shots = [example for example in store.accepted() if example.after != example.before]
    live.complete_examples([*store.waiting(), *shots])
    with sqlite3.connect(settings.platform.home / "teacher" / "journal" / "journal.sqlite") as journal:
        entries = journal.execute("SELECT request, answer FROM request").fetchall()
    path = settings.platform.home / "teacher" / "recordings" / "toy.jsonl"
    path.parent.mkdir(parents=True)
    recorder = Recorder(path, requested="toy", kind="teacher", now=lambda: "2026-01-01T00:00:00+00:00")
    for request, answered in entries:
        recorder.add(request_from(json.loads(request)), ChatAnswer.from_json(json.loads(answered)))
    recorder.write()
    prompted.close()
    monkeypatch.setenv("CORRECTLY_TEACHER", "recorded")
    store.land([identified(Example("", "Nobody recorded this sentences.", None))])
    done = complete_waiting(store, get_settings())
    assert (done.completed, done.left) == (1, 1) and "not recorded" in done.refused[0].reason
    assert "only replays" in write_new_examples(store, get_settings())
    again = complete_waiting(store, get_settings())
    assert (again.completed, again.left) == (0, 1) and "not recorded" in (again.message or "")


def test_the_schedule_s_run_completes_what_waits_and_lands_examples(
    run: Run, tmp_path: Path, store: Store, settings: Settings, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from correctly_assets.definitions import defs
    from correctly_assets.defs.automation import write_new_examples

    landed(run, tmp_path)
    assert defs.resolve_schedule_def("write_examples").job_name == write_new_examples.name
    assert defs.resolve_job_def(write_new_examples.name).name == "write_new_examples"
    resource = StoreResource(url=settings.platform.store_url, sql_dir=str(settings.platform.sql_dir))
    with dg.DagsterInstance.ephemeral() as instance:
        done = write_new_examples.execute_in_process(
            resources={"store": resource, "settings": settings}, instance=instance
        )
    assert done.success and "landed 20 examples" in done.output_for_node("land_new_examples")
    monkeypatch.setenv("CORRECTLY_TEACHER", "openai")
    monkeypatch.setenv("CORRECTLY_TEACHER_BASE_URL", "http://127.0.0.1:9/v1")
    with dg.DagsterInstance.ephemeral() as instance:
        failed = write_new_examples.execute_in_process(
            resources={"store": resource, "settings": get_settings()}, instance=instance, raise_on_error=False
        )
    assert not failed.success


# -- the one shot --------------------------------------------------------------------------------------------------


def shots() -> list[Example]:
    words = ("the weather in spring", "an invoice without tax", "my knee and the doctor", "a train that was late")
    return [
        Example(f"s{n}", f"I am agree about {word}.", f"I agree about {word}.", (Reason("am", "", "It is a verb."),), form="email")
        for n, word in enumerate(words)
    ]  # fmt: skip


def test_the_shot_of_a_completion_is_the_example_most_like_the_text(server: ChatServer, tmp_path: Path) -> None:
    made = teacher(server, tmp_path, exemplars=NeighbourIndex, concurrency=1)
    waiting = [
        Example("w1", "The doctor look at my knee.", None, form="diary"),
        Example("w2", "The train were late again.", None, form="diary"),
    ]
    made.complete_examples([*waiting, *shots()])
    prompts = [request["messages"][0]["content"] for request in server.requests]
    assert "about my knee and the doctor" in prompts[0] and "about a train that was late" in prompts[1]
    plain = teacher(server, tmp_path)
    assert made.identity() != plain.identity()


def test_the_shot_of_a_new_example_is_of_the_cells_form_and_topic(server: ChatServer, tmp_path: Path) -> None:
    made = teacher(server, tmp_path, exemplars=NeighbourIndex, concurrency=1)
    others = [
        Example(f"d{n}", f"Dear diary, trains number {n} is late.", "Trains are late.", form="diary") for n in range(9)
    ]
    far = [Example(f"x{n}", f"Qzx {n} wvu.", f"Qzy {n} wvu.", form="email") for n in range(20)]
    cell = Cell("email", "polite", "late train", "an email", "asks politely")
    output = made.write_examples([cell], [*others, *far, *shots()], seed=3)
    prompt = server.requests[0]["messages"][0]["content"]
    assert "Dear diary" not in prompt and "Qzx" not in prompt and "asks politely" in prompt
    assert output.pairs[0].pair.attributes["topic"] == "late train" and output.pairs[0].pair.example_id.startswith("s")


def test_a_generation_that_is_killed_before_landing_pays_once(
    store: Store, server: ChatServer, tmp_path: Path, settings: Settings
) -> None:
    store.land([Example("", "He go.", "He goes.", form="email", tone="polite")])
    made = teacher(server, tmp_path)
    openai = settings.changed(teacher={"kind": "openai", "model": "toy"})
    made.write_examples(
        thinnest_cells(store.forms_and_tones(), store.count_cells(), 1), list(store.accepted()), seed=20
    )
    paid = len(server.requests)
    done = generate(store, openai.changed(training={"seed": 20}), 1, teacher=made)
    assert done.counts.landed == 1 and len(server.requests) == paid
