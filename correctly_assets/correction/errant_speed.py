"""ERRANT's alignment, cell for cell, some three times faster.

Belongs here: the one hot loop of ERRANT, with its token attributes read once instead of in every cell. Does not belong
here: any change of what it finds; a test holds it against ERRANT's own on random sentences.

The recurrence is errant.alignment.Alignment.align of ERRANT 3.0.2 (MIT licence, Bryant, Felice and Briscoe 2017):
Damerau-Levenshtein with a linguistic substitution cost and transpositions of any length.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rapidfuzz.distance import Indel

if TYPE_CHECKING:
    from spacy.tokens import Doc


def fast_alignment(before: Doc, after: Doc) -> Any:
    """An ``errant.alignment.Alignment`` of two parsed texts."""
    return _alignment_type()(before, after)


@lru_cache(maxsize=1)
def _alignment_type() -> type[Any]:
    from errant.alignment import Alignment

    open_classes: set[int] = Alignment._open_pos
    distance = Indel.normalized_distance

    class FastAlignment(Alignment):
        def align(self, lev: bool) -> tuple[list[list[float]], list[list[str]]]:
            original = [(t.orth, t.lower, t.lemma, t.pos, t.pos in open_classes, t.text) for t in self.orig]
            corrected = [(t.orth, t.lower, t.lemma, t.pos, t.pos in open_classes, t.text) for t in self.cor]
            width = len(corrected) + 1
            cost: list[list[float]] = [[0.0] * width for _ in range(len(original) + 1)]
            op = [["O"] * width for _ in range(len(original) + 1)]
            for i in range(1, len(original) + 1):
                cost[i][0], op[i][0] = cost[i - 1][0] + 1, "D"
            for j in range(1, width):
                cost[0][j], op[0][j] = cost[0][j - 1] + 1, "I"
            low, c_low = [token[1] for token in original], [token[1] for token in corrected]
            shared = set(low) & set(c_low)
            for i, (orth, lower, lemma, pos, is_open, text) in enumerate(original):
                above, row, row_op = cost[i], cost[i + 1], op[i + 1]
                for j, (c_orth, c_lower, c_lemma, c_pos, c_open, c_text) in enumerate(corrected):
                    if orth == c_orth:
                        row[j + 1], row_op[j + 1] = above[j], "M"
                        continue
                    if lower == c_lower:
                        substitute = above[j]
                    else:
                        lemmas = 0 if lemma == c_lemma else 0.499
                        classes = 0 if pos == c_pos else 0.25 if is_open and c_open else 0.5
                        substitute = above[j] + (lemmas + classes + distance(text, c_text))
                    transpose, length = float("inf"), 1
                    # Both last words must stand on the other side, or no transposition can end here.
                    while lower in shared and c_lower in shared and i - length >= 0 and j - length >= 0:
                        if cost[i - length + 1][j - length + 1] == cost[i - length][j - length]:
                            break
                        if sorted(low[i - length : i + 1]) == sorted(c_low[j - length : j + 1]):
                            transpose = cost[i - length][j - length] + length
                            break
                        length += 1
                    # The first cheapest wins: transposition, substitution, insertion, deletion.
                    best, name = transpose, f"T{length + 1}"
                    if substitute < best:
                        best, name = substitute, "S"
                    if row[j] + 1 < best:
                        best, name = row[j] + 1, "I"
                    if above[j + 1] + 1 < best:
                        best, name = above[j + 1] + 1, "D"
                    row[j + 1], row_op[j + 1] = best, name
            return cost, op

    return FastAlignment
