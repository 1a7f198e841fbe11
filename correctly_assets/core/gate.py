"""The promotion decision: whether a candidate may serve, and every reason why not.

Belongs here: the gate's settings and the pure decision over measured numbers. Does not belong here: measuring
(evaluation/), recording (store/), enforcing (defs/).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_READ = {"extra": "ignore"}
"""How pydantic reads these records as part of a report: one of a later version may hold more."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A difference or score with its paired 95 % bootstrap interval, in points (0 to 100)."""

    __pydantic_config__ = _READ

    point: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """``{"point", "low", "high"}``, in points, as a report holds it."""
        return {"point": self.point, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class GateSettings:
    """The gate's thresholds, in one place; percentages and points are 0 to 100.

    Attributes:
        min_model_reasons: least share of edits with a model-written reason; None reports it without gating.
    """

    max_drop_f05: float = 3.0
    max_drop_gleu: float = 1.5
    max_overcorrected: float = 10.0
    min_type_edits: int = 20
    run_on_floor: int = 1
    run_on_share: float = 0.5
    min_model_reasons: float | None = 60.0


EMBEDDED_GATE = GateSettings(max_overcorrected=15.0, min_model_reasons=None)


@dataclass(frozen=True, slots=True)
class TypeMeasured:
    """One ERRANT type: edits of the references, and the difference in F0.5."""

    __pydantic_config__ = _READ

    edits: int
    difference: Interval


@dataclass(frozen=True, slots=True)
class Measured:
    """What the gate looks at, for one candidate on the frozen set; so it stands under ``measured`` in an adapter's report.json,
    from which any later gate decides again.

    Attributes:
        candidate, base, champion: names, for the reasons' wording; ``champion`` None for a base model's first adapter,
            and the candidate's own name where it serves already.
        versus_base, versus_champion: differences candidate − other, by metric (``gleu``, ``errant_f05``);
            ``versus_champion`` None where there is no other.
        overcorrected: share of already correct sentences that it changed.
        run_on: answers that ran to the token limit, of ``n``.
        type_differences: per ERRANT type, against the champion.
        edits, model_reasons, unexplained, stray_reasons: counts over the explanations that were asked for.
        corrupted: requests the engine counted as corrupted (NaN logits).
    """

    __pydantic_config__ = _READ

    candidate: str
    base: str
    champion: str | None
    n: int
    versus_base: Mapping[str, Interval]
    versus_champion: Mapping[str, Interval] | None
    overcorrected: float
    run_on: int
    type_differences: Mapping[str, TypeMeasured] = field(default_factory=dict)
    edits: int = 0
    model_reasons: int = 0
    unexplained: int = 0
    stray_reasons: int = 0
    corrupted: int = 0


@dataclass(frozen=True, slots=True)
class GateDecision:
    promote: bool
    reasons: tuple[str, ...]


_LABEL = {"gleu": "GLEU", "errant_f05": "F0.5"}


def decide_promotion(measured: Measured, settings: GateSettings) -> GateDecision:
    """Decide whether the candidate may replace the champion.

    Returns:
        The verdict; ``reasons`` names every rule that refused, or the figures that carried a promotion.
    """
    no: list[str] = []
    if measured.corrupted:
        no.append(f"{measured.corrupted} answers were corrupted (NaN logits).")
    drops = {"errant_f05": settings.max_drop_f05, "gleu": settings.max_drop_gleu}
    for metric, drop in drops.items():
        name = _LABEL[metric]
        base = measured.versus_base[metric]
        if base.low <= 0:
            no.append(f"{name} is not above the base model: {_show(base)}.")
        if measured.versus_champion is None:
            continue
        champion = measured.versus_champion[metric]
        if champion.high < 0:
            no.append(f"{name} is below the champion {measured.champion}: {_show(champion)}.")
        elif champion.point < -drop:
            no.append(
                f"{name} dropped by more than {drop:g} against the champion {measured.champion}: {_show(champion)}."
            )
    if measured.overcorrected > settings.max_overcorrected:
        no.append(
            f"It changes {measured.overcorrected:.1f} % of correct sentences; at most {settings.max_overcorrected:g} % are allowed."
        )
    allowed = max(float(settings.run_on_floor), settings.run_on_share / 100 * measured.n)
    if measured.run_on > allowed:
        no.append(f"{measured.run_on} of {measured.n} answers run on; at most {allowed:g} are allowed.")
    for kind, one in sorted(measured.type_differences.items(), key=lambda item: item[0]):
        if one.edits >= settings.min_type_edits and one.difference.high < 0:
            no.append(f"Errors of type {kind} got worse ({one.edits} reference edits): {_show(one.difference)}.")
    if measured.unexplained:
        no.append(f"{measured.unexplained} edits ended without a reason.")
    if measured.stray_reasons:
        no.append(f"{measured.stray_reasons} reasons speak of no edit.")
    if settings.min_model_reasons is not None and measured.edits:
        share = 100 * measured.model_reasons / measured.edits
        if share < settings.min_model_reasons:
            no.append(
                f"Only {share:.0f} % of edits got a model-written reason; {settings.min_model_reasons:g} % are asked for."
            )
    if no:
        return GateDecision(False, tuple(no))
    yes = [f"{_LABEL[m]} against the base model: {_show(measured.versus_base[m])}." for m in drops]
    if measured.versus_champion is None:
        who = "First adapter of this base model" if measured.champion is None else "It serves already"
        yes.append(f"{who}: held against the base model alone.")
    else:
        yes += [
            f"{_LABEL[m]} against the champion {measured.champion}: {_show(measured.versus_champion[m])}."
            for m in drops
        ]
    yes.append(f"{measured.overcorrected:.1f} % of correct sentences changed, {measured.run_on} answers ran on.")
    return GateDecision(True, tuple(yes))


def _show(interval: Interval) -> str:
    return f"{interval.point:+.1f} ({interval.low:+.1f} to {interval.high:+.1f})"
