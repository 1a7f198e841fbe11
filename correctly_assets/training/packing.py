"""A batch as a prefix tree, and its parts: which rows are computed at all.

Belongs here: laying out turns without padding or repeated prefixes, and sharing them among workers. Does not belong here:
computing anything with them (fast.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .rendering import Turn


@dataclass
class Packed:
    """A batch as a prefix tree.

    Attributes:
        ids, position: [rows] token and place in its turn of each distinct prefix.
        rows: [turns, length] the tree row of each token; padding points at row 0, where a causal mask hides it.
        source: [rows] index into the flattened [turns * length] of one turn that holds the row.
        predicts: [learned] tree row whose state predicts ``targets``.
    """

    ids: Tensor
    position: Tensor
    rows: Tensor
    source: Tensor
    predicts: Tensor
    targets: Tensor


def pack(turns: Sequence[Turn]) -> Packed:
    """Lay out turns as a prefix tree."""
    length = max(turn.length for turn in turns)
    seen: dict[tuple[int, int], int] = {}
    ids: list[int] = []
    position: list[int] = []
    source: list[int] = []
    table: list[list[int]] = []
    predicts: list[int] = []
    targets: list[int] = []
    for number, turn in enumerate(turns):
        row = -1
        path: list[int] = []
        # The last token predicts nothing that is learned, so it is not computed.
        for place, token in enumerate(turn.ids[:-1]):
            key = (row, token)
            if key not in seen:
                seen[key] = len(ids)
                ids.append(token)
                position.append(place)
                source.append(number * (length - 1) + place)
            row = seen[key]
            path.append(row)
        predicts += path[turn.prompt_length - 1 :]
        targets += turn.ids[turn.prompt_length :]
        table.append(path + [0] * (length - 1 - len(path)))
    return Packed(*(torch.tensor(value) for value in (ids, position, table, source, predicts, targets)))


def share_out(turns: Sequence[Turn], parts: int) -> list[list[int]]:
    """The indices of the turns in ``parts`` groups of about equal work, each in the batch's order; none is empty.

    A learned token costs some two and a half times another: the vocabulary projection has 1.7 times the weights of all
    layers of Gemma 3 270M.
    """
    order = sorted(range(len(turns)), key=lambda i: -(turns[i].length + 1.7 * turns[i].learned))
    groups: list[list[int]] = [[] for _ in range(max(1, min(parts, len(turns))))]
    loads = [0.0] * len(groups)
    for index in order:
        lightest = loads.index(min(loads))
        groups[lightest].append(index)
        loads[lightest] += turns[index].length + 1.7 * turns[index].learned
    return [sorted(group) for group in groups]
