"""The verification ladder, rung by rung."""

from __future__ import annotations

import pytest

from correctly_assets.core.types import Edit, TrainPair
from correctly_assets.teachers.landed_edits import diff_edits, explained_edits
from correctly_assets.teachers.pair_checks import Ladder


def pair(before: str, after: str, reason: str | None = "It is so.", origin: str = "teacher") -> TrainPair:
    edits = tuple(e.explained(reason, "model") if reason else e for e in diff_edits(before, after))
    return TrainPair("p", "e", origin, before, after, edits)  # type: ignore[arg-type]


def rung(pair: TrainPair, evaluation: tuple[str, ...] = ()) -> str | None:
    refusal = Ladder(evaluation).check(pair)
    return refusal.rung if refusal else None


def test_a_sound_pair_passes_every_rung() -> None:
    assert rung(pair("He go to school by the bus every day.", "He goes to school by bus every day.")) is None


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("", "He goes.", "schema"),
        ("He goes\nhome.", "He went\nhome.", "schema"),
        ("He goes home now.", "He goes home now.", "differs"),
        ("The cats is sleep here.", "Dogs bark loudly outside at night.", "size"),
        ("I was born in 1987 in Lyon city.", "I was born in 1978 in Lyon.", "numbers"),
        ("Yesterday I meet with Karin there.", "Yesterday I met with Bettina there.", "names"),
        ("I does not like the soup here.", "I do like the soup here.", "negation"),
        ("I dont like the soup here.", "I don't like the soup here.", None),
        ("I live in berlin since a year now.", "I have lived in Berlin for a year now.", None),
        ("Yesterday I meet with Katrin there.", "Yesterday I met with Katrina there.", None),
    ],
)
def test_each_rung_refuses_what_it_is_for(before: str, after: str, expected: str | None) -> None:
    assert rung(pair(before, after)) == expected


def test_more_than_eight_edits_are_refused() -> None:
    before = " ".join(f"a{i} the same word here now" for i in "bcdefghij")
    after = " ".join(f"x{i} the same word here now" for i in "bcdefghij")
    refusal = Ladder().check(pair(before, after))
    assert refusal is not None and refusal.rung == "size" and "9 edits" in refusal.reason


def test_bait_must_be_untouched_and_a_pair_that_is_no_bait_must_not() -> None:
    untouched = TrainPair("p", "e", "bait", "It is fine.", "It is fine.")
    assert rung(untouched) is None
    assert rung(pair("It are fine here.", "It is fine here.", origin="bait")) == "differs"


def test_an_edit_without_a_reason_is_refused() -> None:
    assert rung(pair("He go home every day.", "He goes home every day.", reason=None)) == "reasons"


def test_a_reason_may_only_quote_words_of_the_pair() -> None:
    assert rung(pair("He go home every day.", "He goes home every day.", reason='"He" takes "goes".')) is None
    refusal = Ladder().check(pair("He go home every day.", "He goes home every day.", reason='Use "walks" here.'))
    assert refusal is not None and refusal.rung == "reasons" and "walks" in refusal.reason


@pytest.mark.parametrize(
    ("reason", "falls"),
    [
        ("'They' takes 'walks'.", True),
        ("‘He’ takes ‘walks’.", True),
        ("“He” takes ’walks’ or „walks“.", True),
        ("'He' takes 'goes'.", False),
        ("‘He’ takes ‘goes’.", False),
        ("It's the writers' habit; he doesn't say 'every day' twice.", False),
    ],
)
def test_words_in_all_kinds_of_quotes_are_checked_and_apostrophes_not(reason: str, falls: bool) -> None:
    found = rung(pair("He go home every day.", "He goes home every day.", reason=reason))
    assert found == ("reasons" if falls else None)


def test_edits_that_do_not_yield_the_correction_are_refused() -> None:
    wrong = TrainPair("p", "e", "teacher", "He go.", "He goes.", (Edit(3, 5, "go", "went", "R:VERB", "x"),))
    assert rung(wrong) == "schema"


def test_a_pair_that_shows_an_evaluation_text_is_refused_with_that_text() -> None:
    evaluation = "My grandmother lives in a small village near Lublin and bakes bread."
    close = pair(
        "My grandmother lives in a small village near Lublin and sell honey.",
        "My grandmother lives in a small village near Lublin and sells honey.",
    )
    refusal = Ladder((evaluation,)).check(close)
    assert refusal is not None and refusal.rung == "decontamination" and "Lublin" in refusal.reason
    assert refusal.row["before"] == close.before


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("He go home", "He goes home."),
        ("the Cat , sat", "The cat sat"),
        ("alot of  people", "a lot of people"),
        ("", "new"),
        ("old words", ""),
        ("naïve — “quoted” 한국어 text", "naive, 'quoted' 한국 text!"),
        ("a b c", "c b a"),
    ],
)
def test_word_alignment_yields_the_correction_exactly(before: str, after: str) -> None:
    edits = explained_edits(before, after, (), None)
    rebuilt, position = "", 0
    for edit in edits:
        rebuilt += before[position : edit.start] + edit.now
        position = edit.end
    assert rebuilt + before[position:] == after
