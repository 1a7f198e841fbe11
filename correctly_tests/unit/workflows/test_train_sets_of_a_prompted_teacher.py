"""What else is in a train set: people's corrections beside a prompted teacher's pairs, confirmations, and nothing unsafe."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner

from correctly_assets.artifacts.examples_snapshot import write_examples_snapshot
from correctly_assets.cli import app
from correctly_assets.core.errors import PermanentError, RefusedError, UsageError
from correctly_assets.core.landing import identified
from correctly_assets.core.types import Example
from correctly_assets.settings import Settings, get_settings
from correctly_assets.workflows.build_train_set import make_train_set
from correctly_assets.workflows.land_rows import make_guards
from correctly_assets.workflows.record_teacher import record_teacher
from correctly_assets.workflows.wiring import open_platform_store
from correctly_tests.teaching_fakes import GOOD, ChatServer, answer, completion, good, is_second_pass

pytestmark = pytest.mark.slow
MINE = Example("", "I has a question about the rent.", "I have a question about the rent.", verified=True)
SOUND = Example("", "The ferry leaves from the old pier at noon.", "The ferry leaves from the old pier at noon.")


@pytest.fixture
def server() -> Iterator[ChatServer]:
    made = ChatServer()
    yield made
    made.close()


@pytest.fixture
def prompted(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in {
        "TEACHER": "openai",
        "TEACHER_MODEL": "toy",
        "TEACHER_BASE_URL": server.url,
        "TRAIN_PAIRS": "12",
    }.items():
        monkeypatch.setenv(f"CORRECTLY_{name}", value)
    return get_settings()


def build(settings: Settings, *examples: Example):
    with open_platform_store(settings.platform) as store:
        store.land([identified(example) for example in examples])
        snapshot = write_examples_snapshot(store, settings.platform.snapshots_dir)
    return make_train_set(settings, examples_snapshot=snapshot.id, log=lambda _: None)


def test_corrections_and_bait_stand_beside_what_a_prompted_teacher_wrote(prompted: Settings) -> None:
    made = build(prompted, MINE, SOUND)
    weights = {pair.origin: pair.weight for pair in made.pairs}
    assert {"human", "bait", "teacher"} == set(weights)
    assert weights["human"] == prompted.training.human_weight and weights["teacher"] == 1
    assert SOUND.before in {pair.before for pair in made.pairs if pair.origin == "bait"}


def test_a_pair_with_personal_data_or_profanity_fails_the_safety_check(prompted: Settings, server: ChatServer) -> None:
    def with_mail(handler, request) -> None:  # type: ignore[no-untyped-def]
        if is_second_pass(request):
            return good(handler, request)
        pair = {
            "before": "He write to ann.miller@example.org every week.",
            "after": "He writes to ann.miller@example.org every week.",
            "edits": [{"was": "write", "now": "writes", "reason": '"He" takes "writes".'}],
        }
        answer(handler, 200, completion(json.dumps({"pairs": [pair, *GOOD["pairs"]]})))

    server.otherwise = with_mail
    made = build(prompted, MINE, SOUND)
    assert {r.rung for r in made.refused} == {"safety"} and "e-mail" in made.refused[0].reason
    assert [pair.before for pair in made.pairs if pair.origin == "teacher"] == [GOOD["pairs"][0]["before"]]


def test_a_thumb_up_raises_the_weight_of_its_pair_and_adds_none(prompted: Settings) -> None:
    said = Example("", MINE.before, MINE.after)
    before = build(prompted, said, SOUND)
    with open_platform_store(prompted.platform) as store:
        for number, after in enumerate((said.after or "", "Something that no pair holds.")):
            one = store.add_feedback(source_key=f"chat:{number}", correction_id="c1", rating=1)
            store.settle_feedback(one.id, "thumb", message="It confirms the answer.", thumb=(said.before, after))
    after = build(prompted)
    weights = [
        {(pair.before, pair.after): pair.weight for pair in made.pairs if pair.before == said.before}
        for made in (before, after)
    ]
    assert weights == [{(said.before, said.after): 1}, {(said.before, said.after): 2}]
    assert len(after.pairs) == len(before.pairs) and after.snapshot.id != before.snapshot.id


def test_what_is_done_with_personal_data_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    row = identified(Example("", "Write to ann.miller@example.org.", None))
    [(_, held)] = make_guards(get_settings().privacy).check([row])
    assert held is not None and held.rung == "pii"
    monkeypatch.setenv("CORRECTLY_PII", "scrub")
    [(scrubbed, held)] = make_guards(get_settings().privacy).check([row])
    assert held is None and "ann.miller" not in scrubbed.before and scrubbed.before.startswith("Write to ")


def test_a_recorded_teacher_writes_its_models_pairs_without_a_key(
    prompted: Settings, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = build(get_settings(), MINE, SOUND)
    paid = len(server.requests)
    recording = record_teacher(get_settings())
    header = recording.header
    assert (header["kind"], header["model"], header["entries"]) == ("teacher", "toy", paid) and paid > 1
    assert len(server.requests) == paid  # the journal answers what the train set has paid for
    shutil.rmtree(prompted.platform.home / "teacher" / "journal")
    said = CliRunner().invoke(app, ["record", "--kind", "teacher", "--json"])
    assert said.exit_code == 0 and len(server.requests) == paid
    again = json.loads(said.stdout)
    assert (again["sha256"], again["kind"]) == (recording.sha256, "teacher")
    assert again["path"] == str(prompted.platform.home / "teacher" / "recordings" / "toy.jsonl")
    shutil.rmtree(prompted.platform.home / "teacher" / "journal")
    server.close()
    for name, value in {"TEACHER": "recorded", "TEACHER_BASE_URL": "http://127.0.0.1:9/v1"}.items():
        monkeypatch.setenv(f"CORRECTLY_{name}", value)
    replayed = build(get_settings())
    assert {pair.origin for pair in live.pairs} >= {"human", "teacher"}
    assert replayed.pairs == live.pairs and replayed.teacher == "recorded" and replayed.cost_usd == 0
    # What lands later was never asked: it is refused in words, and keeps nothing else back.
    more = build(get_settings(), Example("", "She have a dog and cat.", "She has a dog and a cat."))
    assert {pair.id for pair in live.pairs if pair.origin == "teacher"} <= {pair.id for pair in more.pairs}
    assert "run `correctly record --kind teacher --model toy`" in " ".join(refusal.reason for refusal in more.refused)


def test_nothing_of_a_teacher_is_recorded_under_another_name_or_in_part(prompted: Settings, server: ChatServer) -> None:
    with open_platform_store(prompted.platform) as store:
        store.land([identified(MINE), identified(SOUND)])
    recordings = prompted.platform.home / "teacher" / "recordings"
    with pytest.raises(RefusedError, match="answered as 'toy', not as 'dear'"):
        record_teacher(prompted, model="dear")
    prices: dict[str, Any] = {"toy": {"prompt": 0.0, "completion": 1000.0}}
    poor = prompted.changed(teacher={"budget_usd": 0.0001, "prices": prices})
    with pytest.raises(PermanentError, match=r"The budget of 0\.00 USD is reached"):
        record_teacher(poor)
    assert not list(recordings.glob("*"))
    for words in (["--kind", "teacher", "--data", "set.jsonl"], ["--kind", "judge"]):
        assert isinstance(CliRunner().invoke(app, ["record", *words]).exception, UsageError)


def test_a_pairs_price_is_its_sets_answers_also_in_a_run_that_pays_nothing(
    prompted: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORRECTLY_TEACHER_PRICES", '{"toy": {"prompt": 10, "completion": 10}}')
    first = build(get_settings(), MINE, SOUND)
    # Pairs in two requests and the second pass of the one that is kept: 150 tokens each at 10 USD a million.
    assert first.by_origin["teacher"] == 1 and len(first.pairs) > 2
    assert first.cost_usd == pytest.approx(3 * 0.0015) and first.usd_per_pair == pytest.approx(3 * 0.0015)
    again = build(get_settings())
    assert again.snapshot.id == first.snapshot.id and again.cost_usd == 0
    assert again.usd_per_pair == pytest.approx(first.usd_per_pair) and again.journalled_usd == pytest.approx(0.0045)


def test_the_edits_of_a_landed_correction_are_kept_in_a_train_set(prompted: Settings) -> None:
    with open_platform_store(prompted.platform) as store:
        store.land([identified(MINE)])
        assert store.get(identified(MINE).id).edits is None  # ERRANT does not run when a row lands
    build(prompted, SOUND)
    with open_platform_store(prompted.platform) as store:
        edits = store.get(identified(MINE).id).edits
    assert edits is not None and [(e.was, e.now, e.type) for e in edits] == [("has", "have", "R:VERB:SVA")]


def test_the_prompts_of_train_pairs_draw_on_the_taxonomy_tables(prompted: Settings, server: ChatServer) -> None:
    with open_platform_store(prompted.platform) as store:
        tables = store.forms_and_tones()
    build(prompted, replace(MINE, form="diary", tone="worried"), SOUND)
    prompts = [
        r["messages"][0]["content"] for r in server.requests if not is_second_pass(r)
    ]  # in no order: sent together
    asked = [
        [row for row in tables if f"{row.form_form}\nFeeling and tone: {row.feeling}\n" in prompt] for prompt in prompts
    ]
    assert len(prompts) == 2 and all(asked)
    assert [("diary", "worried")] in [[(row.form, row.tone) for row in rows] for rows in asked]
