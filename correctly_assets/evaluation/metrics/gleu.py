"""GLEU as JFLEG's scorer computes it, over all sentences at once.

Belongs here: the n-gram statistics of every (answer, reference) and the score of sums of them. Does not belong here:
tokenising (the Annotator's), resampling (bootstrap.py).

GLEU (Napoles, Sakaguchi, Post, Tetreault 2015, revised 2016) rewards the reference's n-grams and takes off those that
the answer kept from the source although the reference did not. A corpus score sums the statistics over sentences, each
against one reference drawn at random, and is the mean over 500 such draws.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

ORDER = 4
WIDTH = 2 + 2 * ORDER
DRAWS = 500

Tokens = Sequence[str]


def gleu_statistics(
    sources: Sequence[Tokens], answers: Sequence[Tokens], references: Sequence[Sequence[Tokens]]
) -> NDArray[np.int64]:
    """Statistics of every answer against each of its references.

    Args:
        references: per sentence at least one; sentences may have different numbers of them.

    Returns:
        (sentences, most references, 10): answer length, reference length, then matches and n-grams by order. A missing
        reference's row repeats the first one's and is never drawn.
    """
    rows, width = len(sources), max((len(texts) for texts in references), default=1)
    stats = np.zeros((rows, width, WIDTH), np.int64)
    if not rows:
        return stats
    columns = [[texts[column] if column < len(texts) else texts[0] for texts in references] for column in range(width)]
    texts: list[Tokens] = [*sources, *answers, *(text for column in columns for text in column)]
    tables = _count_tables(texts)
    lengths = np.array([len(text) for text in texts], np.int64)
    answer_lengths = lengths[rows : 2 * rows]
    stats[:, :, 0] = answer_lengths[:, None]
    for column in range(width):
        stats[:, column, 1] = lengths[(2 + column) * rows : (3 + column) * rows]
    for order, (codes, counts, grams) in enumerate(tables, 1):
        blocks = _blocks(codes, counts, grams, rows, 2 + width)
        (s_codes, s_counts), (a_codes, a_counts), *r_blocks = blocks
        kept, in_answer, in_source = np.intersect1d(a_codes, s_codes, assume_unique=True, return_indices=True)
        kept_counts = np.minimum(a_counts[in_answer], s_counts[in_source])
        for column, (r_codes, r_counts) in enumerate(r_blocks):
            both, answer_places, reference_places = np.intersect1d(
                a_codes, r_codes, assume_unique=True, return_indices=True
            )
            matches = _by_row(both, np.minimum(a_counts[answer_places], r_counts[reference_places]), grams, rows)
            wrong = ~np.isin(kept, r_codes, assume_unique=True)
            penalties = _by_row(kept[wrong], kept_counts[wrong], grams, rows)
            stats[:, column, 2 * order] = np.maximum(matches - penalties, 0)
            stats[:, column, 2 * order + 1] = np.maximum(answer_lengths + 1 - order, 0)
    return stats


def gleu_of_sums(sums: NDArray[np.int64]) -> NDArray[np.float64]:
    """GLEU (0 to 100) of summed statistics, over the last axis; 0 where any of them is 0."""
    possible = (sums > 0).all(axis=-1)
    safe = np.where(sums > 0, sums, 1).astype(np.float64)
    precision = np.log(safe[..., 2::2] / safe[..., 3::2]).mean(axis=-1)
    brevity = np.minimum(0.0, 1.0 - safe[..., 1] / safe[..., 0])
    return np.where(possible, 100.0 * np.exp(brevity + precision), 0.0)


def corpus_gleu(stats: NDArray[np.int64], reference_counts: NDArray[np.int64]) -> float:
    """The corpus score: the mean over 500 draws of one reference a sentence."""
    rows = len(stats)
    if not rows:
        return 0.0
    if int(reference_counts.max()) == 1:
        return float(gleu_of_sums(stats[:, 0].sum(axis=0)))
    picks = _draws(tuple(reference_counts.tolist()))
    sums = np.stack([stats[np.arange(rows), pick].sum(axis=0) for pick in picks])
    return float(gleu_of_sums(sums).mean())


@lru_cache(maxsize=4)
def _draws(reference_counts: tuple[int, ...]) -> NDArray[np.int64]:
    """(500, n): which reference each sentence gets in each draw. The seeds are those of JFLEG's scorer, because two
    honest sets of 500 draws lie up to 0.1 apart."""
    picks = np.empty((DRAWS, len(reference_counts)), np.int64)
    for number in range(DRAWS):
        chance = random.Random(number * 101)
        picks[number] = [chance.randint(0, count - 1) for count in reference_counts]
    return picks


def sentence_gleu(stats: NDArray[np.int64], reference_counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """GLEU (0 to 100) of each sentence, smoothed (zero counts as one) and averaged over its references."""
    each = gleu_of_sums(np.maximum(stats, 1))
    present = np.arange(stats.shape[1]) < reference_counts[:, None]
    return (each * present).sum(axis=1) / reference_counts


def _count_tables(texts: Sequence[Tokens]) -> list[tuple[NDArray[np.int64], NDArray[np.int64], int]]:
    """Per order: sorted codes ``text * grams + gram``, how often each occurs, and the number of grams."""
    numbers: dict[str, int] = {}
    flat = np.array([numbers.setdefault(token, len(numbers)) for text in texts for token in text], np.int64)
    lengths = np.array([len(text) for text in texts], np.int64)
    owner = np.repeat(np.arange(len(texts)), lengths)
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(flat))
    vocabulary = len(numbers) + 1
    gram = flat
    tables: list[tuple[NDArray[np.int64], NDArray[np.int64], int]] = []
    for order in range(1, ORDER + 1):
        if order > 1:
            follower = np.zeros_like(flat)
            follower[: len(flat) - order + 1] = flat[order - 1 :]
            # Renumbered at every order, so that a code always fits 64 bits.
            _, gram = np.unique(gram * vocabulary + follower, return_inverse=True)
        whole = left >= order
        grams = int(gram.max(initial=0)) + 1
        codes, counts = np.unique(owner[whole] * grams + gram[whole], return_counts=True)
        tables.append((codes, counts.astype(np.int64), grams))
    return tables


def _blocks(
    codes: NDArray[np.int64], counts: NDArray[np.int64], grams: int, rows: int, blocks: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The table cut into blocks of ``rows`` texts, each with codes that count rows from 0."""
    edges = np.searchsorted(codes, np.arange(blocks + 1) * rows * grams)
    return [(codes[a:b] - number * rows * grams, counts[a:b]) for number, (a, b) in enumerate(pairwise(edges))]


def _by_row(codes: NDArray[np.int64], values: NDArray[np.int64], grams: int, rows: int) -> NDArray[np.int64]:
    return np.bincount(codes // grams, weights=values, minlength=rows).astype(np.int64)
