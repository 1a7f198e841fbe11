"""What is measured of a system's answers: correction, restraint, meaning, form, explanations.

Belongs here: turning texts into per-sentence statistics, and those into figures. Does not belong here: intervals
(bootstrap.py), producing answers (systems.py), the gate (core/gate.py).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from correctly_assets.core.correction import names_the_right_kind, quotes_occur
from correctly_assets.core.evaluation import EvaluationSet
from correctly_assets.core.ports import Annotator
from correctly_assets.core.taxonomy import family
from correctly_assets.core.types import Correction, TokenEdit
from correctly_assets.evaluation.metrics.gleu import Tokens, corpus_gleu, gleu_statistics, sentence_gleu

SCORER = "correctly-score 1"
"""Name and version of the scorer; part of every score's provenance. Raise it when a figure may change."""

Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Statistics:
    """Everything about one system on one set that figures and intervals are made from; one row a sentence.

    Attributes:
        gleu: (n, references, 10), see `gleu_statistics`; ``references``: how many each sentence has.
        errant: (n, 3) true positives, false positives, false negatives against the best reference.
        by_type: the same per ERRANT type.
        best: (n,) which reference each sentence is compared with.
        clean: every reference leaves the sentence alone; ``wrong``: none does; ``changed``: the system did something.
        sentence_gleu: smoothed, for choosing examples, never for scores.
    """

    gleu: Counts
    references: Counts
    errant: Counts
    by_type: dict[str, Counts]
    best: Counts
    clean: Flags
    wrong: Flags
    changed: Flags
    exact: Flags
    run_on: Flags
    length_ratio: NDArray[np.float64]
    numbers_lost: Flags
    names_lost: Flags
    negation_lost: Flags
    sentence_gleu: NDArray[np.float64]

    @property
    def n(self) -> int:
        """The number of rows."""
        return len(self.errant)


def precision_recall_f(counts: NDArray[Any], beta: float = 0.5) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Precision, recall and F (0 to 1) of (…, 3) counts, as errant_compare rounds the corners: precision is 1 where
    nothing was wrongly changed, recall 1 where nothing was missed, F 0 where both are 0."""
    tp, fp, fn = (counts[..., i].astype(np.float64) for i in range(3))
    precision = np.where(fp > 0, tp / np.maximum(tp + fp, 1), 1.0)
    recall = np.where(fn > 0, tp / np.maximum(tp + fn, 1), 1.0)
    weight = beta * beta
    bottom = weight * precision + recall
    score = np.where(bottom > 0, (1 + weight) * precision * recall / np.where(bottom > 0, bottom, 1), 0.0)
    return precision, recall, score


def measure(data: EvaluationSet, corrections: Sequence[Correction], annotator: Annotator) -> Statistics:
    """Compare answers with references, sentence by sentence.

    Args:
        corrections: one per row, in order.
    """
    answers = [" ".join(correction.after.split()) for correction in corrections]
    rows = data.rows
    _prepare(data, answers, annotator)
    source_tokens = [annotator.tokens(row.source) for row in rows]
    answer_tokens = [annotator.tokens(text) for text in answers]
    reference_tokens = [[annotator.tokens(text) for text in row.references] for row in rows]
    counts = np.array([len(row.references) for row in rows], np.int64)
    gleu = gleu_statistics(source_tokens, answer_tokens, reference_tokens)
    errant, by_type, best = _errant(data, answers, annotator)
    pairs = list(zip(source_tokens, reference_tokens, strict=True))
    changed = [s != a for s, a in zip(source_tokens, answer_tokens, strict=True)]
    return Statistics(
        gleu=gleu,
        references=counts,
        errant=errant,
        by_type=by_type,
        best=best,
        clean=_flags(all(s == r for r in refs) for s, refs in pairs),
        wrong=_flags(all(s != r for r in refs) for s, refs in pairs),
        changed=_flags(changed),
        exact=_flags(a in refs for a, refs in zip(answer_tokens, reference_tokens, strict=True)),
        run_on=_flags(_ran_on(c, s, a) for c, s, a in zip(corrections, source_tokens, answer_tokens, strict=True)),
        length_ratio=np.array([len(a) / max(len(s), 1) for s, a in zip(source_tokens, answer_tokens, strict=True)]),
        numbers_lost=_lost(data, answers, _numbers),
        names_lost=_lost(data, answers, _names),
        negation_lost=_lost(data, answers, _negations),
        sentence_gleu=sentence_gleu(gleu, counts),
    )


class Figures(TypedDict):
    """The flat figures of one system on one set; percentages 0 to 100, counts of rows or of edits."""

    n: int
    gleu: float
    errant_p: float
    errant_r: float
    errant_f05: float
    tp: int
    fp: int
    fn: int
    exact_match: float
    unchanged: float
    overcorrected: float
    n_clean: int
    missed: float
    n_wrong: int
    run_on: float
    run_on_count: int
    empty_count: int
    length_ratio: float
    length_outside: float
    numbers_kept: float
    names_kept: float
    negation_kept: float
    fallbacks: dict[str, int]


class TypeRow(TypedDict):
    """One ERRANT type: hits, slips and misses, and precision, recall and F0.5 in percent."""

    type: str
    tp: int
    fp: int
    fn: int
    p: float
    r: float
    f05: float


class ExplanationFigures(TypedDict):
    """Counts over the explanations of edits; ``rows`` is how many rows they were asked for."""

    edits: int
    explained: int
    unexplained: int
    model_reasons: int
    rule_reasons: int
    stray_reasons: int
    quotes_occur: float | None
    type_named: int
    type_named_rightly: float
    words_per_reason: float | None
    rows: NotRequired[int]


def figures(stats: Statistics, corrections: Sequence[Correction]) -> Figures:
    """The flat figures of CONTRACTS and more; percentages 0 to 100, None where there is nothing to take a share of."""
    total = stats.errant.sum(axis=0)
    precision, recall, score = precision_recall_f(total)
    fallbacks = Counter(correction.fallback for correction in corrections if correction.fallback)
    outside = (stats.length_ratio < 0.6) | (stats.length_ratio > 1.6)
    return {
        "n": stats.n,
        "gleu": corpus_gleu(stats.gleu, stats.references),
        "errant_p": 100 * float(precision),
        "errant_r": 100 * float(recall),
        "errant_f05": 100 * float(score),
        "tp": int(total[0]),
        "fp": int(total[1]),
        "fn": int(total[2]),
        "exact_match": _share(stats.exact),
        "unchanged": _share(~stats.changed),
        "overcorrected": _share(stats.changed[stats.clean]) if stats.clean.any() else 0.0,
        "n_clean": int(stats.clean.sum()),
        "missed": _share(~stats.changed[stats.wrong]) if stats.wrong.any() else 0.0,
        "n_wrong": int(stats.wrong.sum()),
        "run_on": _share(stats.run_on),
        "run_on_count": int(stats.run_on.sum()),
        "empty_count": sum(c.fallback == "empty" or not c.after.strip() for c in corrections),
        "length_ratio": float(stats.length_ratio.mean()) if stats.n else 1.0,
        "length_outside": _share(outside),
        "numbers_kept": 100 - _share(stats.numbers_lost),
        "names_kept": 100 - _share(stats.names_lost),
        "negation_kept": 100 - _share(stats.negation_lost),
        "fallbacks": dict(sorted(fallbacks.items())),
    }


def type_rows(stats: Statistics) -> list[TypeRow]:
    """One row an ERRANT type, those with most reference edits first."""
    rows: list[TypeRow] = []
    for kind, counts in stats.by_type.items():
        tp, fp, fn = (int(value) for value in counts.sum(axis=0))
        precision, recall, score = (100 * float(value) for value in precision_recall_f(np.array([tp, fp, fn])))
        rows.append({"type": kind, "tp": tp, "fp": fp, "fn": fn, "p": precision, "r": recall, "f05": score})
    return sorted(rows, key=lambda row: (-(row["tp"] + row["fn"]), row["type"]))


def explanation_figures(corrections: Sequence[Correction]) -> ExplanationFigures:
    """Counts over the explanations: how many edits have a reason, who wrote it, and whether it speaks of its edit."""
    edits = [(correction, edit) for correction in corrections for edit in correction.edits]
    explained = [(correction, edit) for correction, edit in edits if edit.reason]
    stray = sum(c.before[e.start : e.end] != e.was or e.was == e.now for c, e in explained)
    named = [names_the_right_kind(edit.reason or "", edit.type) for _, edit in explained]
    quoted = sum(quotes_occur(e.reason or "", c.before, c.after, e.was, e.now) for c, e in explained)
    words = [len((edit.reason or "").split()) for _, edit in explained]
    return {
        "edits": len(edits),
        "explained": len(explained),
        "unexplained": len(edits) - len(explained),
        "model_reasons": sum(edit.reason_origin == "model" for _, edit in explained),
        "rule_reasons": sum(edit.reason_origin == "rule" for _, edit in explained),
        "stray_reasons": stray,
        "quotes_occur": 100 * quoted / len(explained) if explained else None,
        "type_named": sum(value is not None for value in named),
        "type_named_rightly": 100 * named.count(True) / max(1, named.count(True) + named.count(False)),
        "words_per_reason": float(np.mean(words)) if words else None,
    }


def _prepare(data: EvaluationSet, answers: Sequence[str], annotator: Annotator) -> None:
    """Parse at once what must be parsed: sentences with an edit on some side."""
    texts: dict[str, None] = {}
    for row, answer in zip(data.rows, answers, strict=True):
        others = [text for text in (answer, *row.references) if text.split() != row.source.split()]
        if others:
            texts.update(dict.fromkeys((row.source, *others)))
    annotator.prepare(texts)


def _errant(
    data: EvaluationSet, answers: Sequence[str], annotator: Annotator
) -> tuple[Counts, dict[str, Counts], Counts]:
    """Counts, and counts by type, against the best reference of each sentence, and which that is. Best means best for the corpus: the reference with which the
    running totals have the highest F0.5, then the most hits and the fewest slips, as errant_compare chooses."""
    counts = np.zeros((len(answers), 3), np.int64)
    chosen = np.zeros(len(answers), np.int64)
    by_type: dict[str, Counts] = {}
    totals = np.zeros(3, np.int64)

    def note(kind: str, row: int, column: int) -> None:
        by_type.setdefault(family(kind), np.zeros((len(answers), 3), np.int64))[row, column] += 1

    for number, (row, answer) in enumerate(zip(data.rows, answers, strict=True)):
        ours = annotator.token_edits(row.source, answer)
        options = [annotator.token_edits(row.source, reference) for reference in row.references]
        tallies = np.array([_tally(ours, theirs) for theirs in options])
        scores = precision_recall_f(totals + tallies)[2]
        ranks = [(float(s), int(t[0]), -int(t[1]), -int(t[2])) for s, t in zip(scores, tallies, strict=True)]
        best = max(range(len(options)), key=lambda index: ranks[index])
        counts[number], chosen[number] = tallies[best], best
        totals += tallies[best]
        expected = {edit.key for edit in options[best]}
        found = {edit.key for edit in ours}
        for edit in ours:
            note(edit.type, number, 0 if edit.key in expected else 1)
        for edit in options[best]:
            if edit.key not in found:
                note(edit.type, number, 2)
    return counts, by_type, chosen


def _tally(ours: Sequence[TokenEdit], theirs: Sequence[TokenEdit]) -> tuple[int, int, int]:
    found, expected = {edit.key for edit in ours}, {edit.key for edit in theirs}
    hits = len(found & expected)
    return hits, len(found) - hits, len(expected) - hits


def _ran_on(correction: Correction, source: Tokens, answer: Tokens) -> bool:
    """The path's guard says so; for answers that came without it, a phrase three times over that the source has not."""
    if correction.fallback == "loop":
        return True
    if len(answer) < 1.6 * len(source) + 6:
        return False
    had, has = _triples(source), _triples(answer)
    return any(count > max(2, had[gram]) for gram, count in has.items()) or len(answer) > 2.5 * len(source) + 12


def _triples(tokens: Tokens) -> Counter[tuple[str, ...]]:
    return Counter(zip(tokens, tokens[1:], tokens[2:], strict=False))


_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_NAME = re.compile(r"(?<![.!?:\"“”] )(?<!^)\b[A-Z][a-z]{2,}\b")
_NEGATION = re.compile(r"\b(?:not|never|no|none|nobody|nothing|neither|nor|without|cannot|can't)\b|n['’]t\b", re.I)
_PERIODS = frozenset(
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday", "The", "This", "That"]
)


def _numbers(text: str) -> Counter[str]:
    return Counter(_NUMBER.findall(text))


def _names(text: str) -> Counter[str]:
    return Counter(set(_NAME.findall(text)) - _PERIODS)


def _negations(text: str) -> Counter[str]:
    # Whether the sentence is negated at all; two negations that became one are good English.
    return Counter({"negated": 1} if _NEGATION.search(text) else {})


def _lost(data: EvaluationSet, answers: Sequence[str], find: Any) -> Flags:
    """Sentences whose answer lost something that every reference kept, or negates what no reference negates."""
    found: list[bool] = []
    for row, answer in zip(data.rows, answers, strict=True):
        wanted = find(row.source)
        kept = wanted.copy()
        for reference in row.references:
            kept &= find(reference)
        missing = kept - find(answer)
        if find is _names:
            missing = Counter({name: 1 for name in missing if name.casefold() not in answer.casefold()})
        added = find is _negations and not wanted and find(answer) and not any(find(r) for r in row.references)
        found.append(bool(missing) or bool(added))
    return np.array(found, np.bool_)


def _flags(values: Any) -> Flags:
    return np.array(list(values), np.bool_)


def _share(flags: Flags) -> float:
    return 100 * float(flags.mean()) if len(flags) else 0.0
