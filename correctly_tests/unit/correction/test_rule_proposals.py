"""What a rule finds with near certainty: each pattern by sentences that it mends and near misses that it leaves."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
import yaml

from correctly_assets.core.edits import apply_edits
from correctly_assets.core.ports import Completion
from correctly_assets.core.prompts import load_prompts
from correctly_assets.core.types import Correction
from correctly_assets.correction.path import Corrector
from correctly_assets.correction.points.choose_point import PointReasons
from correctly_assets.correction.rule_proposals import MOST_CHARACTERS, RuleProposals, load_patterns
from correctly_tests.serving_fakes import errant_annotator

ROOT = Path(__file__).resolve().parents[3]
CASES: dict[str, list[str]] = yaml.safe_load(
    (ROOT / "correctly_tests" / "cases" / "rule_proposals.yaml").read_text(encoding="utf-8")
)
PROMPTS = load_prompts(ROOT / "prompts")


@pytest.fixture(scope="module")
def rules() -> RuleProposals:
    return RuleProposals(errant_annotator())


def mended(rules: RuleProposals, text: str) -> str:
    return apply_edits(text, [edit for edits in rules(text) for edit in edits])


def test_every_pattern_has_sentences_it_mends_and_leaves() -> None:
    assert set(CASES) == {pattern.id for pattern in load_patterns()}
    for name, lines in CASES.items():
        assert (sum(" > " in line for line in lines), len(lines)) == (2, 4), name


def test_each_pattern_mends_its_errors_and_leaves_its_near_misses(rules: RuleProposals) -> None:
    wrong: list[str] = []
    for name, lines in CASES.items():
        for line in lines:
            before, _, after = line.partition(" > ")
            found = rules.named(before)
            mine = {id for id, _ in found}
            now = mended(rules, before)
            if after and (now != after or name not in mine):
                wrong.append(f"{name}: {before} > {now} ({', '.join(mine)})")
            if not after and name in mine:
                wrong.append(f"{name}: {before} > {now}")
    assert not wrong


def test_correct_sentences_of_the_cases_stay_as_they_are(rules: RuleProposals) -> None:
    right = [line.partition(" > ")[2] for lines in CASES.values() for line in lines if " > " in line]
    assert [text for text in right if rules(text)] == []


# -- in the path ---------------------------------------------------------------------------------------------------------


class Answers:
    """A completer that answers with what it is given for a sentence, and with the sentence where nothing is given."""

    def __init__(self, now: dict[str, str] | None = None) -> None:
        self.now = now or {}

    async def complete(self, prompt: str, **_: object) -> Completion:
        text = prompt.split("\n", 2)[2].split("<end_of_turn>")[0]
        return Completion(self.now.get(text, text), "stop")


def corrected(rules: RuleProposals, engine: Answers, text: str) -> Correction:
    annotator = errant_annotator()
    path = Corrector(engine, annotator, PROMPTS, rules_last=rules, explain=PointReasons(annotator))
    return asyncio.run(path.correct(text, model="m", release=None, adapter=None))


def test_rules_mend_what_the_answer_left_and_edits_count_from_the_text(rules: RuleProposals) -> None:
    engine = Answers({"She enjoy to read in this houses.": "She enjoys to read in this houses."})
    text = "She enjoy to read in this houses.  It is fine."
    found = corrected(rules, engine, text)
    assert found.after == "She enjoys reading in these houses.  It is fine."
    assert apply_edits(text, found.edits) == found.after
    assert all(text[edit.start : edit.end] == edit.was and edit.reason for edit in found.edits)


def test_an_answer_that_has_mended_it_leaves_rules_nothing(rules: RuleProposals) -> None:
    engine = Answers({"I am agree with you.": "I do agree with you."})
    assert corrected(rules, engine, "I am agree with you.").after == "I do agree with you."


def test_rules_leave_code_quoted_words_and_addresses_alone(rules: RuleProposals) -> None:
    for text in (
        "Run `he go to home` in the shell.",
        "```\nhe go to home\n```\n",
        'She wrote "informations" on the board.',
    ):
        assert corrected(rules, Answers(), text).after == text


def test_a_hostile_text_costs_next_to_nothing(rules: RuleProposals) -> None:
    rules("He go to home.")
    units = ("he go to ", "much of the ", "I ", "two ", "a? ", "it's ", "one of the most ", "explain me the ")
    texts = [unit * (60_000 // len(unit)) for unit in units] + [
        (unit * 300)[:MOST_CHARACTERS].strip() for unit in units
    ]
    started = time.thread_time()
    for text in texts:
        rules(text)
    assert time.thread_time() - started < 3.0


@pytest.mark.parametrize(
    "text",
    [
        "We caught two salmon.",
        "She has seven offspring.",
        "That is twenty quid for a sandwich.",
        "Many aircraft were late.",
    ],
)
def test_a_noun_that_is_its_own_plural_gets_no_s(rules: RuleProposals, text: str) -> None:
    assert mended(rules, text) == text
