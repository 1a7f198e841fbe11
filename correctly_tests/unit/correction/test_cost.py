"""What a hostile text costs: 60,000 characters, the most that one request may hold, through each step that reads them.

Python lets no other thread run while it searches for a pattern, so that a search that grows with the square of the text stops the
whole gateway. Seconds are those of this thread alone, whatever else the machine does.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from correctly_assets.core.correction import kinds_named, quoted_phrases
from correctly_assets.core.text import normalise
from correctly_assets.correction.markup import blocks
from correctly_assets.correction.segment import protected_spans, segments
from correctly_assets.correction.spelling_candidates import too_many_unknown
from correctly_assets.correction.surface_fixes import in_small_letters, is_in_capitals, put_right
from correctly_assets.curation.file_layouts import detokenise
from correctly_assets.curation.pii import PersonalData
from correctly_assets.curation.profanity import Profanity
from correctly_assets.curation.rows import parse_row
from correctly_assets.gateway.chat_text import edits_of_table, not_english, why_asked
from correctly_assets.language.identify import is_foreign
from correctly_assets.language.korean import with_particles

CHARACTERS = 60_000
SECONDS = 6.0
"""What a step may take: a tenth of this is usual, and what is not linear takes minutes."""
HOSTILE = (
    ("", "a"),
    ("", "{{"),
    ("", "{{a}}. "),
    ("", "\\textbf{"),
    ("", "<!--"),
    ("", "<pre>"),
    ("", "~"),
    ("", "A. "),
    ("", "a_"),
    ("why", "!"),
    ("<a", " "),
    ("On 1", " "),
    ("", "1-1"),
    ("", "'s "),
    ("", '" a'),
    ("", "a. <b>"),
    ("", ": "),
    ("", ' ("a": '),
    ("explain", " 1"),
    ("", "1번 "),
)
"""What stands first, and what is repeated after it."""
PROFANE = Profanity()


def knows(word: str) -> bool:
    return len(word) < 3


STEPS: dict[str, Callable[[str], object]] = {
    "segments": segments,
    "protected spans": protected_spans,
    "blocks": blocks,
    "surface": lambda text: (put_right(text, (), knows), is_in_capitals(text), in_small_letters(text)),
    "words": lambda text: too_many_unknown(text, knows),
    "why": lambda text: (why_asked(text), why_asked(text[:199] + "x"), not_english(text)),
    "table sent back": lambda text: edits_of_table(f"| Was | Now | Why |\n| --- | --- | --- |\n| a | b | {text} |"),
    "language": lambda text: (is_foreign(text), with_particles(text)),
    "reasons": lambda text: (kinds_named(text), quoted_phrases(text)),
    "normal form": normalise,
    "row": lambda text: parse_row({"before": text, "after": "It is."}),
    "profanity": PROFANE.words,
    "parallel text": detokenise,
}


def seconds_of(step: Callable[[str], object], first: str, repeated: str) -> float:
    text = (first + repeated * CHARACTERS)[: CHARACTERS - 1] + "x"
    started = time.thread_time()
    step(text)
    return time.thread_time() - started


@pytest.mark.parametrize("name", STEPS)
def test_no_hostile_text_makes_a_step_slow(name: str) -> None:
    step = STEPS[name]
    step("I has it. ")
    slow = {(first, unit): s for first, unit in HOSTILE if (s := seconds_of(step, first, unit)) > SECONDS}
    assert not slow


@pytest.mark.parametrize("unit", [":", "_", "1.", "www."])
def test_no_hostile_text_makes_the_search_for_personal_data_slow(unit: str) -> None:
    finder = PersonalData()
    finder.warm()
    assert seconds_of(finder.find, "a@b.com 192.168.1.1 ", unit) < 3 * SECONDS


def test_personal_data_is_found_wherever_a_long_text_is_cut() -> None:
    finder = PersonalData()
    words = "Please write to the address that stands here and not to another one. "
    for shift in range(0, 700, 23):
        text = (words * 20)[:shift] + " ann.example@example.com " + words * 20
        assert [find.kind for find in finder.find(text)] == ["EMAIL"], shift
