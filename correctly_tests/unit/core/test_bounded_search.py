"""Searching within windows finds what a plain search finds, at a bounded cost."""

from __future__ import annotations

import re
import time

import pytest

from correctly_assets.core.bounded_search import LONGEST, WINDOW, bounded_matches

WORD = re.compile(r"(?<!\w)x\w*y(?!\w)")


@pytest.mark.parametrize("before", [0, 1, WINDOW - 3, WINDOW - 1, WINDOW, WINDOW + 1, 5 * WINDOW - 2])
@pytest.mark.parametrize("length", [2, 50, WINDOW // 2, WINDOW + 30, LONGEST])
def test_a_match_is_found_wherever_the_windows_end(before: int, length: int) -> None:
    pattern = re.compile(r"https?:[^\s]*")
    text = "." * before + " http:" + "a" * (length - 2) + " tail"
    assert [m.span() for m in bounded_matches(pattern, text)][:1] == [
        (before + 1, before + 1 + min(length + 3, LONGEST))
    ]


def test_short_matches_are_those_of_a_plain_search() -> None:
    text = " ".join(f"x{'a' * (n % 40)}{'y' if n % 3 else 'z'}" for n in range(1000))
    assert [m.span() for m in bounded_matches(WORD, text)] == [m.span() for m in WORD.finditer(text)]


def test_a_pattern_that_begins_everywhere_and_ends_nowhere_costs_little() -> None:
    started = time.thread_time()
    assert list(bounded_matches(re.compile(r"\{\{.*?\}\}"), "{{" * 30_000)) == []
    assert time.thread_time() - started < 3
