"""What was not corrected is said in one line: which stretch, and why."""

from __future__ import annotations

import asyncio
from io import StringIO

import pytest
from rich.console import Console

from correctly_assets.core.types import Correction, Skipped
from correctly_assets.correction import markup, path, segment
from correctly_assets.correction.left_alone import IN_KOREAN, NO_PROSE, NOT_CHANGED, NOTHING_TO_CHANGE, without_notice
from correctly_assets.correction.path import Corrector
from correctly_assets.correction.render import below_the_text, chat_answer
from correctly_assets.platform.first_screen import print_corrections
from correctly_tests.oracle import PROMPTS, Oracle
from correctly_tests.serving_fakes import errant_annotator

GERMAN = "Sehr geehrte Frau Schneider, vielen Dank für Ihre Nachricht und das angenehme Gespräch."
CODE = "```\nx = go()\n```"


def corrected(text: str, right: str) -> Correction:
    path = Corrector(Oracle(right), errant_annotator(), PROMPTS)
    return asyncio.run(path.correct(text, model="m", release=None, adapter=None, reasons=False))


def test_a_corrected_text_is_followed_by_what_was_left_alone() -> None:
    answer = chat_answer(corrected(f"{GERMAN}\n\nHe go home.", f"{GERMAN}\n\nHe goes home."))
    text, table, line = answer.rsplit("\n\n", 2)
    assert text == f"{GERMAN}\n\nHe goes home."
    assert table.startswith("| Was | Now | Why |")
    assert line == "Left as it was: “Sehr geehrte Frau Schneider, vielen …” (another language)."
    assert without_notice(answer) == f"{text}\n\n{table}"


@pytest.mark.parametrize(
    ("text", "begins", "names"),
    [
        (f"{GERMAN}\n\nHe goes home.", "What I looked at already reads naturally.", "(another language)"),
        (f"He goes home.\n\n{CODE}", "What I looked at already reads naturally.", "“x = go()” (code)."),
        (CODE, NO_PROSE["en"], "(code)."),
        ("bliffo granzel tropik wuzzle frandip.", NOT_CHANGED["en"], "(too many words that no dictionary knows)."),
        ("apple " * 260, NOT_CHANGED["en"], "(a sentence that is too long)."),
    ],
)
def test_a_text_that_was_skipped_is_never_said_to_read_well(text: str, begins: str, names: str) -> None:
    answer = chat_answer(corrected(text, text))
    assert answer.startswith(begins) and names in answer
    assert "\n" not in answer and "nothing to change" not in answer
    assert without_notice(answer) == ""
    assert without_notice(f"{text}\n\n{answer}") == text.strip()


def test_a_text_that_was_read_to_its_end_has_no_such_line() -> None:
    assert chat_answer(corrected("He goes home.", "He goes home.")) == NOTHING_TO_CHANGE["en"]
    assert "Left as it was" not in below_the_text(corrected("He go home.", "He goes home."))


def test_edits_that_were_all_vetoed_are_no_praise() -> None:
    text = "He has 3 cats."
    skipped = (Skipped(0, len(text), "no safe correction was found"),)
    assert chat_answer(Correction("c", text, text, skipped=skipped)) == NOT_CHANGED["en"]


def test_many_stretches_are_named_in_part_and_counted() -> None:
    text = "He goes home.\n\n" + "\n\nHe sleeps.\n\n".join([CODE] * 5)
    answer = chat_answer(corrected(text, text))
    assert answer.count("(code)") == 3 and answer.endswith("; and 2 more.")


def test_the_line_is_written_in_korean_too() -> None:
    whys = set(markup._WHY.values()) | {
        segment.FOREIGN,
        segment.ALONE,
        *path.LEFT.values(),
        path.NO_SAFE,
    }
    assert whys | {"comment", "table", "mail header", "too many words that no dictionary knows"} <= set(IN_KOREAN)
    answer = chat_answer(corrected(f"{GERMAN}\n\nHe goes home.", f"{GERMAN}\n\nHe goes home."), "ko")
    assert answer.endswith("(다른 언어).")
    assert without_notice(answer) == ""


def test_signs_of_the_text_do_not_act_as_marks_in_the_line() -> None:
    text = "He goes.\n\n> see **[it](x)**"
    answer = chat_answer(corrected(text, text))
    assert r"see \*\*\[it\](x)\*\*" in answer


def test_the_command_line_notes_what_was_left_alone() -> None:
    shown = StringIO()
    item = corrected(f"He go [bold]home[/].\n\n{CODE}", f"He goes [bold]home[/].\n\n{CODE}").to_json()
    print_corrections([item], Console(file=shown, width=120))
    assert "He goes [bold]home[/]." in shown.getvalue()
    assert "Note    Left as it was: “x = go()” (code)." in shown.getvalue()
