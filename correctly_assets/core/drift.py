"""Whether what people send is unlike what the champion was trained on, and whether it still scores as it did: the decisions.

Belongs here: pure decisions over counts and scores, and the sentences that say what follows. Does not belong here: counting
(workflows/model_health.py), intervals (core/shares.py), the record (artifacts/health_record.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from correctly_assets.core.gate import GateSettings, Interval
from correctly_assets.core.shares import apart, share
from correctly_assets.core.taxonomy import plain_name

Measure = Literal["error_type", "length", "unchanged", "language"]


@dataclass(slots=True)
class SentenceCounts:
    """Sentences, counted.

    Attributes:
        n: English sentences. changed: of them, with an edit.
        types: by ERRANT type without its operation, sentences with an edit of it.
        lengths: sentences by class: short, medium, long.
        languages: stretches of text by language, an English sentence as one.
    """

    n: int = 0
    changed: int = 0
    types: Counter[str] = field(default_factory=Counter)
    lengths: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class DriftPolicy:
    """When a difference counts.

    Attributes:
        min_sentences, min_changed: fewer, on either side, say nothing.
        confidence: that no interval of one look misses its true value; each is widened accordingly (Bonferroni).
        least: points that a share must be apart besides, since with many sentences any difference is certain.
    """

    min_sentences: int = 200
    min_changed: int = 100
    confidence: float = 0.95
    least: Mapping[Measure, float] = field(
        default_factory=lambda: {"error_type": 10.0, "length": 15.0, "unchanged": 20.0, "language": 5.0}
    )


@dataclass(frozen=True, slots=True)
class ShareBeside:
    """One share among live sentences beside the same in the train set, in points from 0 to 100.

    Attributes:
        value: the error type, class of length or language; ``unchanged`` for that measure.
        difference: live − trained.
    """

    measure: Measure
    value: str
    live: Interval
    trained: Interval
    difference: Interval
    drifted: bool


@dataclass(frozen=True, slots=True)
class Drift:
    """What came of a look. ``message`` holds each drift and what to land next, in sentences; without ``enough`` nothing was
    concluded."""

    shares: tuple[ShareBeside, ...]
    message: str
    enough: bool

    @property
    def drifted(self) -> bool:
        """Whether something drifted."""
        return any(one.drifted for one in self.shares)


def decide_drift(live: SentenceCounts, trained: SentenceCounts, policy: DriftPolicy | None = None) -> Drift:
    """Hold live sentences against those of the train set.

    A share that is higher among live sentences counts: it is what the model meets more often than it learned it. A lower one
    does not, for the model's own edits are counted, and it misses some; the unchanged share counts both ways.
    """
    policy = policy or DriftPolicy()
    for counts, what in ((live, "live sentences"), (trained, "sentences in the train set")):
        if counts.n < policy.min_sentences:
            message = f"There are {counts.n:,} {what}; nothing is concluded from fewer than {policy.min_sentences:,}."
            return Drift((), message, False)
    wanted = _wanted(live, trained, policy)
    # Thirty intervals of 95 % each would miss once a day.
    confidence = 1 - (1 - policy.confidence) / len(wanted)
    shares = tuple(_beside(one, confidence, policy) for one in wanted)
    drifts = sorted((one for one in shares if one.drifted), key=lambda one: -abs(one.difference.point))
    if not drifts:
        message = f"The {live.n:,} live sentences are like the {trained.n:,} of the train set, as far as can be told."
    else:
        ways = "one way" if len(drifts) == 1 else f"{len(drifts)} ways"
        message = (
            f"The {live.n:,} live sentences are unlike the train set in {ways}. {' '.join(map(drift_message, drifts))}"
        )
    if min(live.changed, trained.changed) < policy.min_changed:
        message += (
            f" Of so few sentences with edits ({min(live.changed, trained.changed):,}) no error types were compared."
        )
    return Drift(shares, message, True)


@dataclass(frozen=True, slots=True)
class _Wanted:
    measure: Measure
    value: str
    live: tuple[int, int]
    trained: tuple[int, int]


def _wanted(live: SentenceCounts, trained: SentenceCounts, policy: DriftPolicy) -> Sequence[_Wanted]:
    sides = (live, trained)
    enough = min(live.changed, trained.changed) >= policy.min_changed
    return [
        _Wanted("unchanged", "unchanged", *((one.n - one.changed, one.n) for one in sides)),
        *(
            _Wanted("error_type", kind, *((one.types[kind], one.changed) for one in sides))
            for kind in (sorted({*live.types, *trained.types}) if enough else ())
        ),
        *(
            _Wanted("length", length, *((one.lengths[length], one.n) for one in sides))
            for length in ("short", "medium", "long")
        ),
        *(
            _Wanted("language", language, *((one.languages[language], one.languages.total()) for one in sides))
            for language in sorted({*live.languages} - {"en"})
        ),
    ]


def _beside(one: _Wanted, confidence: float, policy: DriftPolicy) -> ShareBeside:
    live, trained = share(*one.live, confidence), share(*one.trained, confidence)
    difference = apart(live, trained)
    more = difference.low > 0 and difference.point >= policy.least[one.measure]
    fewer = difference.high < 0 and -difference.point >= policy.least[one.measure]
    return ShareBeside(
        one.measure, one.value, live, trained, difference, more or (fewer and one.measure == "unchanged")
    )


_LENGTHS = {"short": "short (up to 10 words)", "medium": "of 11 to 25 words", "long": "long (over 25 words)"}


def drift_message(one: ShareBeside) -> str:
    """What drifted, by how much, and what to land next, in two sentences."""
    low, high = one.difference.low, one.difference.high
    by = f"{low:.0f} to {high:.0f} points more" if low > 0 else f"{-high:.0f} to {-low:.0f} points fewer"
    trained = f"{one.trained.point:.0f} % of the train set's: {by}"
    live = f"{one.live.point:.0f} % of the live sentences"
    if one.measure == "error_type":
        kind = f"{one.value} ({plain_name(one.value)})"
        return f"{live} with edits have one of the kind {kind}, {trained}. Land examples with errors of this kind."
    if one.measure == "length":
        return f"{live} are {_LENGTHS[one.value]}, {trained}. Land {one.value} examples."
    if one.measure == "language":
        return f"{live} are in another language ({one.value}), {trained}. Only English is corrected: tell whoever sends them."
    land = "correct sentences, to be left as they are" if low > 0 else "sentences with errors"
    return f"{live} are left unchanged, {trained}. Land {land}."


@dataclass(frozen=True, slots=True)
class FrozenScores:
    """An adapter's scores on the frozen set, from 0 to 100, and the set's hash; None where it is not known."""

    errant_f05: float | None = None
    gleu: float | None = None
    overcorrected: float | None = None
    data_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class ScoresBeside:
    """The champion's scores on the frozen set now and when it was promoted; ``fell`` where a limit of the gate's is passed."""

    message: str
    fell: bool


def decide_scores(promoted: FrozenScores, now: FrozenScores, gate: GateSettings) -> ScoresBeside:
    """Whether the champion scores worse than when it was promoted, by more than the gate lets a candidate lose."""
    if promoted.data_sha256 is not None and promoted.data_sha256 != now.data_sha256:
        return ScoresBeside("It was promoted on another evaluation set, so that its scores cannot be compared.", False)
    parts: list[str] = []
    fell: list[str] = []
    for name, then, score, most in (
        ("F0.5", promoted.errant_f05, now.errant_f05, gate.max_drop_f05),
        ("GLEU", promoted.gleu, now.gleu, gate.max_drop_gleu),
    ):
        if then is None or score is None:
            continue
        parts.append(f"{name} {score:.1f} ({then:.1f} when it was promoted)")
        if then - score > most:
            fell.append(f"{name} fell by {then - score:.1f} points, and {most:g} are allowed.")
    changed, before = now.overcorrected, promoted.overcorrected
    if changed is not None and before is not None:
        parts.append(f"{changed:.1f} % of correct sentences changed ({before:.1f} %)")
        if changed > gate.max_overcorrected >= before:
            fell.append(f"It changes more correct sentences than the {gate.max_overcorrected:g} % that are allowed.")
    if not parts:
        return ScoresBeside("No scores are kept of its promotion.", False)
    remedy = (
        "Its weights are the same: look at what changed in the engine, the prompts and this release (CHANGELOG.md)."
    )
    return ScoresBeside(" ".join([", ".join(parts) + ".", *fell, *([remedy] if fell else [])]), bool(fell))
