"""Rules before the model: edits count from what the user wrote, and what is measured is what is served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from correctly_assets.core.correction import Piece
from correctly_assets.core.edits import apply_edits
from correctly_assets.core.ports import Completion
from correctly_assets.core.prompts import load_prompts
from correctly_assets.core.types import Correction
from correctly_assets.correction.path import Corrector
from correctly_assets.correction.rules_first import HarperFirst
from correctly_assets.engine.vllm_client import VllmClient
from correctly_assets.gateway.build_parts import build_parts
from correctly_assets.gateway.options import Options
from correctly_assets.settings import Settings
from correctly_assets.workflows.measured_systems import model_system
from correctly_tests.serving_fakes import FakeEngine, errant_annotator, fake_engine, running_gateway

PROMPTS = load_prompts(Path(__file__).resolve().parents[3] / "prompts")


class Says:
    """A completer that puts words of its own for words it is given, and remembers the sentences."""

    def __init__(self, now: dict[str, str], finish: str = "stop") -> None:
        self.now, self.finish = now, finish
        self.asked: list[str] = []

    async def complete(self, prompt: str, **_: object) -> Completion:
        if "Say in " in prompt:
            return Completion("Bananas are yellow.", "stop")
        text = prompt.split("\n", 2)[2].split("<end_of_turn>")[0]
        self.asked.append(text)
        for was, now in self.now.items():
            text = text.replace(was, now)
        return Completion(text, self.finish)


def path(engine: Says, first: Callable[[str], str] | None) -> Corrector:
    return Corrector(engine, errant_annotator(), PROMPTS, first=first)


def correct(engine: Says, first: Callable[[str], str] | None, text: str) -> Correction:
    return asyncio.run(path(engine, first).correct(text, model="m", release="r1", adapter="a"))


@pytest.fixture(scope="module")
def harper() -> HarperFirst:
    return HarperFirst()


def test_the_model_gets_what_rules_mended_and_offsets_fit_the_users_text(harper: HarperFirst) -> None:
    engine = Says({"to my": "for my"})
    text = "I recieve  a letter to my mother. It is fine."
    found = correct(engine, harper, text)
    assert sorted(engine.asked) == ["I receive a letter to my mother.", "It is fine."]
    assert (found.before, found.after) == (text, "I receive  a letter for my mother. It is fine.")
    assert [(edit.was, edit.now) for edit in found.edits] == [("recieve", "receive"), ("to", "for")]
    assert [text[edit.start : edit.end] for edit in found.edits] == ["recieve", "to"]
    assert apply_edits(text, found.edits) == found.after
    assert all(edit.reason and edit.reason_origin == "rule" for edit in found.edits)


def test_an_edit_of_the_rules_alone_stands_when_the_model_changes_nothing(harper: HarperFirst) -> None:
    found = correct(Says({}), harper, "I recieve it.")
    assert (found.after, len(found.edits), found.fallback) == ("I receive it.", 1, None)
    assert correct(Says({}), None, "I recieve it.").after == "I recieve it."


def test_a_model_that_takes_a_rule_back_leaves_no_edit() -> None:
    engine = Says({"goes": "go"})
    found = correct(engine, lambda text: text.replace("go", "goes"), "The men go home.")
    assert engine.asked == ["The men goes home."]
    assert (found.changed, found.edits) == (False, ())


def test_a_refused_answer_leaves_the_sentence_as_the_user_wrote_it(harper: HarperFirst) -> None:
    found = correct(Says({"it": "it it it it it"}, finish="length"), harper, "I recieve it.")
    assert (found.after, found.edits, found.fallback) == ("I recieve it.", (), "loop")


def test_rules_spare_names_addresses_and_what_is_not_prose(harper: HarperFirst) -> None:
    text = "I recieve mail from Sanghee at www.recieve.com now.\n```\nrecieve = 1\n```\n"
    assert correct(Says({}), harper, text).after == text.replace("I recieve", "I receive")


def test_rules_that_swear_are_not_followed() -> None:
    class Swears:
        def added(self, before: str, after: str) -> bool:
            return "damn" in after and "damn" not in before

    engine = Says({})
    swearing = Corrector(
        engine, errant_annotator(), PROMPTS, profanity=Swears(), first=lambda text: text.replace("dam", "damn")
    )
    found = asyncio.run(swearing.correct("The dam is old.", model="m", release=None, adapter=None))
    assert (found.changed, engine.asked) == (False, ["The dam is old."])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.sampled_from(["the", "cat", "go,", "recieve", "home", "it", "naïve", "3", "pm.", "I", "\u200bno"]),
        min_size=1,
        max_size=9,
    ),
    st.dictionaries(
        st.sampled_from(["cat", "go", "home", "it", "pm", "the"]), st.sampled_from(["", "dog", "goes to", "It"])
    ),
    st.dictionaries(
        st.sampled_from(["dog", "goes", "to", "recieve"]), st.sampled_from(["", "dogs", "go", "receive it"])
    ),
)
def test_whatever_rules_and_model_say_the_edits_yield_the_answer(
    words: list[str], rules: dict[str, str], model: dict[str, str]
) -> None:
    def first(text: str) -> str:
        return " ".join(rules.get(word, word) for word in text.split())

    text = " ".join(words) + "."
    found = correct(Says(model), first, text)
    assert apply_edits(text, found.edits) == found.after
    assert all(text[edit.start : edit.end] == edit.was for edit in found.edits)


def test_a_stream_ends_in_the_same_correction(harper: HarperFirst) -> None:
    async def streamed(text: str) -> tuple[str, Correction]:
        pieces, last = "", None
        async for item in path(Says({"to my": "for my"}), harper).stream(text, model="m", release=None, adapter=None):
            if isinstance(item, Piece):
                pieces += item.text
            else:
                last = item
        assert last is not None
        return pieces, last

    text = "I recieve a letter to my mother. It is fine. Their is alot of people."
    pieces, last = asyncio.run(streamed(text))
    assert pieces == last.after != text
    assert apply_edits(text, last.edits) == last.after


@pytest.mark.slow
def test_the_gateway_answers_by_the_stack_that_is_measured(tmp_path: Path) -> None:
    text = "I recieve a letter to my mother."
    with fake_engine() as engine:
        engine.registered["a"] = "/a"
        engine.fixes["a"] = {"I receive a letter to my mother.": "I receive a letter for my mother."}
        alone = Settings().changed(platform={"home": tmp_path}, serving={"vllm_port": engine.port})
        stacked = alone.changed(serving={"stack": "harper-then-model"})
        assert served(alone, text).after == measured(alone, engine, text)[0].after == text
        found, identity = measured(stacked, engine, text)
        assert served(stacked, text).after == found.after == "I receive a letter for my mother."
        assert identity != measured(alone, engine, text)[1]  # kept answers of one stack do not stand for the other's


def served(settings: Settings, text: str) -> Correction:
    parts = build_parts(settings, Options.of(settings))

    async def ask() -> Correction:
        try:
            return await parts.corrector.correct(text, model="a", release="r1", adapter="a")
        finally:
            await parts.engine.aclose()

    try:
        return asyncio.run(ask())
    finally:
        parts.close()


def measured(settings: Settings, engine: FakeEngine, text: str) -> tuple[Correction, str]:
    async def ask() -> tuple[Correction, str]:
        async with VllmClient(engine.url) as client:
            system = model_system(settings, client, errant_annotator(), name="candidate", model="a", adapter="a")
            (found,) = await system.correct_all([text], reasons=False)
            return found, system.identity()

    return asyncio.run(ask())


@pytest.mark.slow
def test_the_list_of_models_and_the_readiness_say_which_stack_answers(tmp_path: Path) -> None:
    settings = Settings().changed(platform={"home": tmp_path}, serving={"stack": "harper-then-model"})
    assert Options.of(settings).stack == "harper-then-model"
    with fake_engine() as engine, running_gateway(tmp_path, engine, Options(stack="harper-then-model")) as gateway:
        listed = httpx.get(f"{gateway.url}/v1/models", trust_env=False).json()["data"]
        assert listed
        assert all(model["correctly"] == {"stack": "harper-then-model"} for model in listed)
        assert httpx.get(f"{gateway.url}/readyz", trust_env=False).json()["stack"] == "harper-then-model"
