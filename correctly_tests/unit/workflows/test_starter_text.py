"""Text of packages for the shipped adapter: what is kept of it, and which injected errors are none."""

from __future__ import annotations

from correctly_assets.workflows.starter_text import clean_sentences, likely

GOOD = ["We walked along the river until it was dark.", "My sister has just opened a small bakery in Leeds."]


def test_sentences_with_errors_slang_or_personal_data_are_left_out():
    texts = [
        GOOD[0] + " lol yeah whatever",
        "Hm. " + GOOD[1],
        "She have never been to the the new museum.",
        "That damn fucking printer has jammed again today.",
        "Please write to ann@example.com if you need me.",
        "Too short a sentence.",
        "He gave me back only {some} of the money I lent.",
    ]
    assert sorted(clean_sentences(texts, 10, seed=1)) == sorted(GOOD)


def test_the_same_seed_draws_the_same_sentences_in_the_same_order():
    texts = [f"We met {name} at the station on the first of May." for name in ("Ann", "Ben", "Cleo", "Dan", "Eve")]
    assert clean_sentences(texts, 3, seed=4) == clean_sentences(reversed(texts), 3, seed=4)
    assert clean_sentences(texts, 3, seed=4) != clean_sentences(texts, 3, seed=5)


def test_stock_phrases_and_odd_sentences_are_cut_off():
    texts = [str(number) for number in range(100)]
    assert likely(texts, [float(number) for number in range(100)]) == texts[5:62]
