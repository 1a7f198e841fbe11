"""How a batch is laid out: as a prefix tree (fast.py), or in rows of one turn or several (model.py).

Belongs here: laying out turns without padding or repeated prefixes, and sharing them among workers. Does not belong here:
computing anything with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import numpy
import torch
from torch import Tensor

from correctly_assets.training.rendering import Turn

ROW_TOKENS = 512
"""Most tokens of a row of several turns. Attention's scores cost a token in proportion to its row, masked or not: at 512 some
4 % of the layers' products of Gemma 3 1B, whose sliding window is as long, so that it never cuts."""

PACK_FROM = 0.2
"""Share of a padded batch's positions that packing must save. Packed rows need a mask, which rules the flash kernel out; on an
H100 Gemma 3 1B computed 5 % fewer positions a second, and 18 % where the layers are compiled."""

_ALIGNED = 8  # the memory-efficient kernel copies a mask whose rows are no multiple of this


@dataclass
class Rows:
    """A batch in rows.

    Attributes:
        ids: [rows, width], padded on the right.
        places: [rows, width] place of each token in its turn; a row's padding counts as one more turn, so that it too has
            something to attend to. None where every row holds one turn, which needs no mask.
        predicts: [learned] flat index of the positions that predict ``targets``, in the turns' order.
    """

    ids: Tensor
    places: Tensor | None
    predicts: Tensor
    targets: Tensor


def fill_rows(lengths: Sequence[int]) -> list[list[int]]:
    """The turns' indices in about equally long rows of at most `ROW_TOKENS` tokens, or one turn where that is longer.

    As few rows as hold them: longest turns first, each into the shortest row.
    """
    room = max(ROW_TOKENS, *lengths)
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    count = -(-sum(lengths) // room)
    while True:
        rows: list[list[int]] = [[] for _ in range(count)]
        filled = [0] * count
        for index in order:
            shortest = filled.index(min(filled))
            rows[shortest].append(index)
            filled[shortest] += lengths[index]
        if max(filled) <= room:
            return rows
        count += 1


def row_width(lengths: Sequence[int], rows: Sequence[Sequence[int]]) -> int:
    """Positions of each row: the longest turn's, and of rows of several the longest row's, aligned for attention's mask."""
    width = max(sum(lengths[i] for i in row) for row in rows)
    return width if len(rows) == len(lengths) else -(-width // _ALIGNED) * _ALIGNED


def choose_rows(lengths: Sequence[int], pack: Literal["auto"] | bool, device: str) -> list[list[int]]:
    """Which turns share a row: none, unless so set or worth it.

    Args:
        lengths: tokens of each turn.
        pack: ``True`` packs every batch, ``"auto"`` on CUDA what `PACK_FROM` says is worth it.
        device: the device's type.
    """
    alone = [[index] for index in range(len(lengths))]
    if pack is False or (pack == "auto" and device != "cuda"):
        return alone
    packed = fill_rows(lengths)
    if pack is True:
        return packed
    saved = 1 - len(packed) * row_width(lengths, packed) / (len(alone) * row_width(lengths, alone))
    return packed if saved >= PACK_FROM else alone


def lay_rows(turns: Sequence[Turn], rows: Sequence[Sequence[int]], *, width: int | None = None) -> Rows:
    """Lay out turns in the given rows, as wide as they need or as told."""
    lengths = numpy.array([turn.length for turn in turns])
    width = width or row_width(lengths.tolist(), rows)
    begins = numpy.empty(len(turns), dtype=numpy.int64)
    ends = numpy.zeros(len(rows), dtype=numpy.int64)
    for number, row in enumerate(rows):
        for index in row:
            begins[index] = number * width + ends[number]
            ends[number] += lengths[index]
    total = int(lengths.sum())
    tokens = numpy.fromiter(chain.from_iterable(turn.ids for turn in turns), dtype=numpy.int64, count=total)
    within = numpy.arange(total) - numpy.repeat(lengths.cumsum() - lengths, lengths)
    flat = numpy.repeat(begins, lengths) + within
    ids = numpy.zeros(len(rows) * width, dtype=numpy.int64)
    ids[flat] = tokens
    prompts = numpy.repeat([turn.prompt_length for turn in turns], lengths)
    predicting = (within >= prompts - 1) & (within < numpy.repeat(lengths, lengths) - 1)
    places = None
    if len(rows) < len(turns):
        # A row's padding counts from its end; what stands before that is overwritten.
        counted = (numpy.arange(width) - ends[:, None]).reshape(-1)
        counted[flat] = within
        places = torch.from_numpy(counted).view(len(rows), width)
    return Rows(
        torch.from_numpy(ids).view(len(rows), width), places, torch.from_numpy(flat[predicting]),
        torch.from_numpy(tokens[within >= prompts]),
    )  # fmt: skip


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
