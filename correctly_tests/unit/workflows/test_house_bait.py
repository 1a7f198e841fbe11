"""The house style in a train set: its words stand in correct sentences that are trained as they are."""

from __future__ import annotations

from correctly_assets.core.house_style import NO_STYLE, parse_house_style
from correctly_assets.core.types import TrainPair
from correctly_assets.workflows.house_bait import house_bait

PAIRS = [
    TrainPair("p1", "e1", "example", "We has met Peter in the office.", "We have met Peter in the office."),
    TrainPair("p2", "e2", "example", "You should sign in befor noon.", "You should sign in before noon.", split="held_out"),
    TrainPair("p3", "e3", "bait", "She asked Maria twice.", "She asked Maria twice."),
]  # fmt: skip


def test_the_houses_words_are_trained_as_they_are() -> None:
    style = parse_house_style({"keep": ["Data Vault", "kubectl"], "terms": {"log in": "sign in"}})
    bait = house_bait(PAIRS, style)
    assert all(pair.before == pair.after and pair.origin == "bait" for pair in bait)
    assert [(pair.after, pair.example_id, pair.split) for pair in bait] == [
        ("We have met Data Vault in the office.", "e1", "train"),
        ("We have met kubectl in the office.", "e1", "train"),
        ("You should sign in before noon.", "e2", "held_out"),
    ]
    assert len({pair.id for pair in bait}) == 3


def test_an_ordinary_word_is_put_into_no_sentence() -> None:
    assert house_bait(PAIRS, parse_house_style({"keep": ["beautiful"]})) == []
    assert house_bait(PAIRS, NO_STYLE) == [] == house_bait([], parse_house_style({"keep": ["Data Vault"]}))
