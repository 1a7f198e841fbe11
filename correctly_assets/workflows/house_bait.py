"""The house style in a train set: correct sentences that hold its words, trained as they are.

Belongs here: which sentences these are. Does not belong here: the style (core/house_style.py), or how a train set is made
(build_train_set.py).

The style holds without training; a model that has seen its words proposes fewer edits that then have to be refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from correctly_assets.core.house_style import HouseStyle
from correctly_assets.core.types import TrainPair
from correctly_assets.correction.spelling_candidates import load_dictionary

MAX_PHRASES = 200
PER_PHRASE = 3
"""Most phrases of a house style that a train set shows, and most sentences for each."""
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{2,}(?![\w'’]| [A-Z])")
"""A name of one word inside a sentence: the house's names stand where it stands."""


def house_bait(pairs: Sequence[TrainPair], style: HouseStyle) -> list[TrainPair]:
    """Pairs that change nothing, made of the corrected texts of other pairs.

    A text that holds a phrase is taken as it is. For a name that no text holds, it is put in the place of another name.

    Args:
        pairs: the pairs of the train set, whose texts have been checked already.
        style: its kept words and preferred terms are shown.

    Returns:
        Pairs with the example of the pair that they were made from, so that they stay in its split.
    """
    phrases = list(dict.fromkeys([*style.keep, *(right for _, right in style.terms)]))[:MAX_PHRASES]
    sources = {pair.after: pair for pair in reversed(pairs) if pair.before != pair.after}
    named = [text for text in sources if _NAME.search(text)] if phrases else []
    found: dict[str, TrainPair] = {}
    turn = 0
    for phrase in phrases:
        pattern = re.compile(rf"(?<!\w){re.escape(phrase)}(?!\w)")
        texts = [(text, sources[text]) for text in sources if pattern.search(text)][:PER_PHRASE]
        if not texts and named and _is_name(phrase):
            chosen = [named[(turn + step) % len(named)] for step in range(min(PER_PHRASE, len(named)))]
            turn += PER_PHRASE
            texts = [(_NAME.sub(lambda _, phrase=phrase: phrase, text, count=1), sources[text]) for text in chosen]
        found |= {text: pair for text, pair in texts if text not in found}
    return list(_as_pairs(found))


def _as_pairs(found: dict[str, TrainPair]) -> Iterator[TrainPair]:
    for number, (text, pair) in enumerate(found.items()):
        yield TrainPair(
            f"house-{number}", pair.example_id, "bait", text, text, (), 1, pair.split, pair.language, pair.attributes
        )


def _is_name(phrase: str) -> bool:
    """Whether a phrase names something: it holds a capital or a digit, or is a word that no dictionary holds."""
    return phrase != phrase.lower() or any(c.isdigit() for c in phrase) or phrase not in load_dictionary().words
