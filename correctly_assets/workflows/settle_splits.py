"""Examples that belong to both splits: near to both, or with one source and different corrections.

Belongs here: telling straddling examples among placed texts and putting them into quarantine, and giving examples that share
a source one split. Does not belong here: finding near-duplicates (curation/near.py) or the quarantine's table
(store/quarantine.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from correctly_assets.core.ports import Refusal
from correctly_assets.core.text import split_of, text_sha
from correctly_assets.core.types import Example, TrainPair
from correctly_assets.curation.guards import row_of

if TYPE_CHECKING:
    from correctly_assets.store import Store

Split = Literal["train", "held_out"]

RUNG = "straddles"
REASON = "it is nearly the same as a sentence that is trained on and as one that is held out"


def one_split_per_group(
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


def one_split_a_source(
    splits: Mapping[str, Split | None],
    pairs: Iterable[TrainPair],
    earliest_first: Callable[[Sequence[str]], Sequence[str]],
) -> dict[str, Split | None]:
    """The splits, with those of examples that share a source made one: two people may correct one sentence differently, and
    each correction's own text then asks for its own split.

    All pairs of an example move together, or its corrected text would stand in both splits. The earliest-placed example
    keeps its split: an adapter may have been trained on it.

    Args:
        splits: {example id: split, None where it straddles and its pairs are left out}.
        pairs: the pairs of the examples; sources that are equal when normalised are the same.
        earliest_first: puts example ids in the order in which they were placed.
    """
    group_of: dict[str, list[str]] = {}
    owner: dict[str, str] = {}
    for pair in pairs:
        if splits[pair.example_id] is None:
            continue
        own_group = group_of.setdefault(pair.example_id, [pair.example_id])
        other_group = group_of[owner.setdefault(text_sha(pair.before), pair.example_id)]
        if other_group is not own_group:
            other_group += own_group
            group_of |= dict.fromkeys(own_group, other_group)
    made = dict(splits)
    for group in {id(group): group for group in group_of.values()}.values():
        if len({splits[example_id] for example_id in group}) > 1:
            made |= dict.fromkeys(group, splits[earliest_first(group)[0]])
    return made


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
    sentence = f"{REASON[0].upper()}{REASON[1:]}."
    return sum(store.quarantine_example(example.id, Refusal(RUNG, sentence, row_of(example))) for example in examples)
