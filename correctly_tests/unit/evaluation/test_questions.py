"""A judge's yes and no: asked once, read strictly, shared out with an interval; and the seconds of a report."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from correctly_assets.artifacts.reports import JudgeSection
from correctly_assets.core.errors import PermanentError, RetryableError
from correctly_assets.core.types import Correction, Edit
from correctly_assets.evaluation.judge.questions import (
    REASON_TRUE,
    SAME_MEANING,
    KeptQuestions,
    reasons_true,
    same_meaning,
    share_of,
    yes_or_no,
)
from correctly_assets.evaluation.report.judge_section import about_the_judge, questions_lines, reasons_rows
from correctly_assets.evaluation.report.stopwatch import Stopwatch, seconds_say
from correctly_assets.llm_api.judge_client import JudgeEndpoint
from correctly_tests.teaching_fakes import ChatServer, answer, completion

FOLDER = Path(__file__).resolve().parents[3] / "prompts"
PROMPTS = {
    SAME_MEANING: (FOLDER / "judge_meaning.txt").read_text(encoding="utf-8"),
    REASON_TRUE: (FOLDER / "judge_reason.txt").read_text(encoding="utf-8"),
}


class Umpire:
    """Says no of a sentence that lost its "not" and of a reason that speaks of magic; mumbles over rain."""

    name = "umpire"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.under_way = self.most = 0

    async def say(self, content: str) -> str:
        self.asked.append(content)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0.002)
        self.under_way -= 1
        before, after = (
            line.split(": ", 1)[1] for line in content.splitlines() if line.startswith(("Before", "After"))
        )
        if "rain" in before:
            return "It depends on the weather"
        return "No." if "magic" in content or (" not " in before and " not " not in after) else "Yes"


def edit(reason: str | None, origin=None) -> Edit:
    return Edit(3, 5, "go", "goes", "R:VERB:SVA", reason, origin)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("Yes", True), ("no.", False), ("**Yes**", True), ("No, yes would be wrong", False), ("The answer is no", False),
        ("", None), ("Perhaps", None), ("Either yes or no", None), ("Nobody knows", None), ("A", None),
    ],
)  # fmt: skip
def test_only_a_plain_yes_or_no_is_read_as_one(said: str, found: bool | None) -> None:
    assert yes_or_no(said) is found


def test_only_changed_sentences_are_asked_about_and_no_sentence_twice(tmp_path: Path) -> None:
    umpire, file = Umpire(), tmp_path / "kept.jsonl"
    corrections = [
        Correction("1", "He go home.", "He goes home."),
        Correction("2", "He go home.", "He goes home."),
        Correction("3", "It is  late.", "It is late."),
        Correction("4", "I do not likes it.", "I like it."),
        Correction("5", "It rain a lot.", "It rains a lot."),
    ]
    found = asyncio.run(same_meaning(KeptQuestions(file, "umpire", PROMPTS, umpire), corrections))
    assert (found["asked"], found["n"], found["yes"], found["unanswered"]) == (4, 3, 2, 1)
    assert found["share"]["point"] == pytest.approx(200 / 3)
    assert len(umpire.asked) == 3
    with file.open("a") as torn:
        torn.write('{"judge": "ump')
    again = asyncio.run(same_meaning(KeptQuestions(file, "umpire", PROMPTS, umpire), corrections))
    assert again == found
    assert len(umpire.asked) == 3  # what could not be read is kept too
    alone = KeptQuestions(file, "umpire", PROMPTS)
    assert asyncio.run(same_meaning(alone, corrections)) == found
    with pytest.raises(PermanentError, match="not recorded; set CORRECTLY_JUDGE_BASE_URL"):
        asyncio.run(same_meaning(alone, [Correction("6", "We was there.", "We were there.")]))
    with pytest.raises(PermanentError, match="not recorded"):
        asyncio.run(same_meaning(KeptQuestions(file, "another", PROMPTS), corrections))


def test_another_wording_or_another_question_is_another_answer(tmp_path: Path) -> None:
    umpire, file = Umpire(), tmp_path / "kept.jsonl"
    content = {"before": "He go home.", "after": "He goes home.", "was": "go", "now": "goes", "reason": "It agrees."}
    judge = KeptQuestions(file, "umpire", PROMPTS, umpire)
    assert asyncio.run(judge.ask_all(SAME_MEANING, [content])) == [True]
    assert asyncio.run(judge.ask_all(REASON_TRUE, [content])) == [True]
    other = KeptQuestions(file, "umpire", {**PROMPTS, SAME_MEANING: PROMPTS[SAME_MEANING] + " Think."}, umpire)
    assert asyncio.run(other.ask_all(SAME_MEANING, [content])) == [True]
    assert len(umpire.asked) == 3
    assert 'Changed: "go" became "goes"\nReason: It agrees.' in umpire.asked[1]


def test_reasons_of_the_model_and_of_the_rules_are_counted_apart(tmp_path: Path) -> None:
    before, after = "He go home.", "He goes home."
    corrections = [
        Correction("1", before, after, (edit("The verb agrees with its subject.", "model"), edit("It is magic.", "model"))),
        Correction("2", before, after, (edit("It is magic.", "rule"), edit(None))),
        Correction("3", "It rain.", "It rains.", (edit("Rain is singular.", "rule"),)),
    ]  # fmt: skip
    found = asyncio.run(reasons_true(KeptQuestions(tmp_path / "k.jsonl", "umpire", PROMPTS, Umpire()), corrections))
    assert (found["model"]["asked"], found["model"]["yes"], found["model"]["share"]["point"]) == (2, 1, 50)
    assert (found["rule"]["asked"], found["rule"]["n"], found["rule"]["unanswered"]) == (2, 1, 1)
    assert found["rule"]["share"]["point"] == 0


def test_questions_in_flight_are_bounded_and_a_failure_is_itself(tmp_path: Path) -> None:
    umpire = Umpire()
    judge = KeptQuestions(tmp_path / "k.jsonl", "umpire", PROMPTS, umpire, at_once=3)
    changes = [Correction(str(n), f"He go to room {n}.", f"He goes to room {n}.") for n in range(20)]
    asyncio.run(same_meaning(judge, changes))
    assert 1 < umpire.most <= 3
    server = ChatServer()
    server.otherwise = lambda handler, body: answer(handler, 503, {"error": {"message": "busy"}})
    try:
        away = JudgeEndpoint(server.url, "umpire", attempts=1)
        with pytest.raises(RetryableError, match="status 503"):
            asyncio.run(same_meaning(KeptQuestions(tmp_path / "x.jsonl", "umpire", PROMPTS, away), changes))
        server.otherwise = lambda handler, body: answer(handler, 200, completion("Yes", model="umpire"))
        found = asyncio.run(same_meaning(KeptQuestions(tmp_path / "x.jsonl", "umpire", PROMPTS, away), changes))
        assert found["yes"] == 20
    finally:
        server.close()


def test_a_share_has_the_interval_of_theory_and_none_without_answers() -> None:
    found = share_of([[True]] * 300 + [[False]] * 100, rounds=4000)
    assert found["share"]["point"] == 75
    assert found["share"]["low"] == pytest.approx(75 - 4.24, abs=0.5)
    assert found["share"]["high"] == pytest.approx(75 + 4.24, abs=0.5)
    # Two edits of one sentence are no two sentences: the same answers in pairs tell less.
    pairs = share_of([[True, True]] * 150 + [[False, False]] * 50, rounds=4000)
    assert pairs["share"]["high"] - pairs["share"]["low"] > 1.3 * (found["share"]["high"] - found["share"]["low"])
    assert share_of([[None], []])["share"] is None
    assert (share_of([])["asked"], share_of([])["share"]) == (0, None)


def test_the_section_says_what_was_asked_and_what_stayed_unanswered() -> None:
    asked = {
        "name": "umpire",
        "against": {},
        "calibration": None,
        "sentences": 100,
        "same_meaning": {"candidate": share_of([[True]] * 9 + [[None]]), "untouched": share_of([])},
        "reasons_true": {"model": share_of([[True]]), "rule": share_of([])},
    }
    judge = JudgeSection.model_validate(asked)
    lines = questions_lines(judge)
    assert "| candidate | 10 | 100.0 (100.0–100.0) %, n = 9 | 1 |" in lines
    assert "| untouched | 0 | – | 0 |" in lines
    assert reasons_rows(judge)[1] == ("rule", "0", "–", "0")
    assert "CORRECTLY_JUDGE_MODEL" in about_the_judge(None)
    away = JudgeSection(name="umpire", questions_say="It is away.")
    assert "could not be asked: It is away." in about_the_judge(away)
    assert questions_lines(away) == []


def test_time_inside_something_else_is_counted_once() -> None:
    watch = Stopwatch()
    with watch.on("page"):
        time.sleep(0.02)
        with watch.on("plots"):
            time.sleep(0.05)
    with watch.on("generation"):
        time.sleep(0.03)
    found = watch.figures()
    assert 0.02 <= found["page"] < 0.05 <= found["plots"]
    assert found["beyond_generation"] == pytest.approx(found["page"] + found["plots"], abs=0.002)
    assert json.loads(json.dumps(found)) == found
    assert "generation 0.0 s" in seconds_say(found)
