"""The promotion decision: whether a candidate may serve, and every reason why not.

Belongs here: the gate's settings and the pure decision over measured numbers. Does not belong here: measuring
(evaluation/), recording (store/), enforcing (defs/).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Interval:
    """A difference or score with its paired 95 % bootstrap interval, in points (0 to 100)."""

    point: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """``{"point", "low", "high"}``, in points, as a report holds it."""
        return {"point": self.point, "low": self.low, "high": self.high}

    @classmethod
    def from_json(cls, value: Mapping[str, float]) -> Interval:
        """The inverse of `to_json`.

        Raises:
            KeyError: one of the three is missing.
        """
        return cls(value["point"], value["low"], value["high"])


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
class Measured:
    """What the gate looks at, for one candidate on the frozen set.

    Attributes:
        candidate, base, champion: names, for the reasons' wording; ``champion`` None for a base model's first adapter,
            and the candidate's own name where it serves already.
        versus_base, versus_champion: differences candidate − other, by metric (``gleu``, ``errant_f05``);
            ``versus_champion`` None where there is no other.
        overcorrected: share of already correct sentences that it changed.
        run_on: answers that ran to the token limit, of ``n``.
        type_differences: per ERRANT type, (reference edits, difference in F0.5 against the champion).
        edits, model_reasons, unexplained, stray_reasons: counts over the explanations that were asked for.
        corrupted: requests the engine counted as corrupted (NaN logits).
    """

    candidate: str
    base: str
    champion: str | None
    n: int
    versus_base: Mapping[str, Interval]
    versus_champion: Mapping[str, Interval] | None
    overcorrected: float
    run_on: int
    type_differences: Mapping[str, tuple[int, Interval]] = field(default_factory=dict)
    edits: int = 0
    model_reasons: int = 0
    unexplained: int = 0
    stray_reasons: int = 0
    corrupted: int = 0

    def to_json(self) -> dict[str, Any]:
        """As it stands under ``measured`` in an adapter's report.json, from which any later gate decides again."""
        value = {name: getattr(self, name) for name in self.__dataclass_fields__}
        value["versus_base"] = {name: item.to_json() for name, item in self.versus_base.items()}
        value["versus_champion"] = (
            None
            if self.versus_champion is None
            else {name: item.to_json() for name, item in self.versus_champion.items()}
        )
        value["type_differences"] = {
            name: {"edits": count, "difference": item.to_json()}
            for name, (count, item) in self.type_differences.items()
        }
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Measured:
        """The inverse of `to_json`; unknown keys are ignored.

        Raises:
            KeyError, TypeError: the report is not one of ours.
        """
        known = {name: value[name] for name in cls.__dataclass_fields__ if name in value}
        known["versus_base"] = {name: Interval.from_json(item) for name, item in value["versus_base"].items()}
        champion = value["versus_champion"]
        known["versus_champion"] = champion and {name: Interval.from_json(item) for name, item in champion.items()}
        known["type_differences"] = {
            name: (int(item["edits"]), Interval.from_json(item["difference"]))
            for name, item in value.get("type_differences", {}).items()
        }
        return cls(**known)


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
    for kind, (count, difference) in sorted(measured.type_differences.items()):
        if count >= settings.min_type_edits and difference.high < 0:
            no.append(f"Errors of type {kind} got worse ({count} reference edits): {_show(difference)}.")
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
