"""Examples near to both splits: which they are, and what becomes of them.

Belongs here: telling straddling examples among placed texts, and putting them into quarantine. Does not belong here: finding
near-duplicates (curation/near.py) or the quarantine's table (store/quarantine.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal

from correctly_assets.core.ports import Refusal
from correctly_assets.core.text import split_of
from correctly_assets.core.types import Example

if TYPE_CHECKING:
    from correctly_assets.store import Store

Split = Literal["train", "held_out"]

RUNG = "straddles"
REASON = "it is nearly the same as a sentence that is trained on and as one that is held out"


def settled(
    placed: Mapping[str, Split | None], texts: Mapping[str, str], released: Iterable[str]
) -> dict[str, Split | None]:
    """The splits of examples, with those that a person released out of quarantine back in.

    A released example keeps to the split that the hash of its own text says, whatever it is near to: the person has seen why
    it was held. It is placed anew each time and no later text inherits its split.

    Args:
        placed: {example id: split, None where it straddles}, as the index of near-duplicates placed them.
        texts: {example id: the text it was placed by}.
        released: ids of examples that were held as straddling and let back.
    """
    back = set(released)
    return {id: split_of(texts[id]) if split is None and id in back else split for id, split in placed.items()}


def straddling(
    splits: Mapping[str, Split | None], texts: Mapping[str, str], examples: Iterable[Example]
) -> list[Example]:
    """The examples that straddle by their own corrected text. Where a text that a teacher wrote from an example straddles,
    its pairs are left out and the example, which is near to nothing, stays."""
    return [
        example
        for example in examples
        if example.id in splits and splits[example.id] is None and texts[example.id] == example.after
    ]


def hold(store: Store, examples: Iterable[Example]) -> int:
    """Put straddling examples into quarantine, with the row as it would be written in a file; returns how many were
    accepted until now. One that is held or forgotten already stays as it is."""
    from correctly_assets.curation.guards import row_of

    sentence = f"{REASON[0].upper()}{REASON[1:]}."
    return sum(store.quarantine_example(example.id, Refusal(RUNG, sentence, row_of(example))) for example in examples)
