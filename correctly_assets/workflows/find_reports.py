"""Finding what was judged: an adapter's report, the last one, and all of them as a leaderboard.

Belongs here: reading reports, decisions and releases together. Does not belong here: judging (judging.py), printing.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, NotRequired, TypedDict

import pandas as pd

from correctly_assets.artifacts.manifests import artefacts_in
from correctly_assets.artifacts.reports import AdapterReport, ReleaseScores, SystemScores, find_report
from correctly_assets.core.errors import CorrectlyError, UsageError
from correctly_assets.core.evaluation import FULL
from correctly_assets.evaluation.report.pages import headline
from correctly_assets.settings import Settings
from correctly_assets.workflows.find_challenger import shadow_message
from correctly_assets.workflows.measured_systems import adapter_named
from correctly_assets.workflows.wiring import read_platform_store

if TYPE_CHECKING:
    import pandas as pd

    from correctly_assets.store.records import Decision, Release

ALL_ROWS = 1_000_000
"""More decisions and releases than a platform will have: all of them."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """One adapter on the leaderboard; None where nothing is known. The fields are the columns, in their order.

    Attributes:
        base_f05: the base model's F0.5 on the same set.
        release: the newest that it was.
    """

    adapter: str
    gleu: float | None
    errant_f05: float | None
    overcorrected: float | None
    base_f05: float | None
    n: int | None
    data_sha256: str | None
    verdict: str | None
    reasons: list[str]
    release: str | None
    serves: bool
    judged_at: str | None


def last_judged(settings: Settings) -> str:
    """The adapter that was judged last, by its report or by its decision.

    Raises:
        UsageError: none was judged yet.
    """
    when: dict[str, float] = {}
    for file in settings.platform.adapters_dir.glob("*/report.json"):
        when[file.parent.name] = file.stat().st_mtime
    for adapter, decision in _decisions(settings).items():
        when[adapter] = max(when.get(adapter, 0.0), datetime.fromisoformat(decision.at).timestamp())
    if not when:
        raise UsageError("No adapter has been judged yet: run `correctly up`.")
    return max(when, key=lambda adapter: (when[adapter], adapter))


class ReportDescription(TypedDict):
    """Where an adapter's report is and what it says; the pages' paths are None where there are none."""

    adapter: str
    headline: str
    verdict: str | None
    reasons: list[str]
    html: str | None
    full: str | None
    seconds: NotRequired[dict[str, float] | None]
    shadow: NotRequired[str | None]


def describe_report(settings: Settings, adapter: str | None) -> ReportDescription:
    """Where an adapter's report is and what it says; an ID's beginning is enough, the last judged when None.

    Raises:
        UsageError: there is no such adapter, or it was not judged.
    """
    chosen = last_judged(settings) if adapter is None else adapter_named(settings.platform, adapter)
    directory = settings.platform.adapters_dir / chosen
    report = find_report(directory)
    if report is not None:
        full = directory / f"{FULL}.html"
        return {
            "adapter": chosen,
            "headline": headline(report),
            "verdict": report.verdict,
            "reasons": report.reasons,
            "html": str(directory / "report.html"),
            "full": str(full) if full.exists() else None,
        }
    decision = _decisions(settings).get(chosen)
    if decision is None:
        raise UsageError(f"Adapter {chosen} was not judged yet: materialize eval_report.")
    # Refused before anything could be measured, e.g. because its weights are not finite.
    return {
        "adapter": chosen,
        "headline": f"Adapter {chosen} was {decision.verdict}; nothing was measured, so there is no page",
        "verdict": "promote" if decision.verdict == "promoted" else "refuse",
        "reasons": list(decision.reasons),
        "html": None,
        "full": None,
    }


def shadow_of(settings: Settings, adapter: str) -> str | None:
    """What an adapter's answers to real requests came to, in words; None where it gave none, or there is no store to tell."""
    try:
        with read_platform_store(settings.platform) as store:
            return shadow_message(store, adapter)
    except CorrectlyError:
        return None


def leaderboard(settings: Settings) -> pd.DataFrame:
    """Every adapter there has been, the highest F0.5 first; those without figures last.

    Returns:
        One `Ranked` a row; None where nothing is known.
    """
    decisions = _decisions(settings)
    with read_platform_store(settings.platform) as store:
        releases: dict[str, Release] = {}
        for release in store.releases(limit=ALL_ROWS):
            releases.setdefault(release.adapter, release)
        champion = store.champion()
    present = {path.name for path in artefacts_in(settings.platform.adapters_dir)}
    rows: list[Ranked] = []
    for adapter in sorted({*present, *decisions, *releases}):
        report = find_report(settings.platform.adapters_dir / adapter) or AdapterReport()
        decision, release = decisions.get(adapter), releases.get(adapter)
        systems = report.systems or (ReleaseScores.model_validate(release.scores).systems if release else {})
        scores, base = systems.get("candidate") or SystemScores(), systems.get("base") or SystemScores()
        decided = {"promote": "passed", "refuse": "refused"}.get(str(report.verdict))
        rows.append(
            Ranked(
                adapter=adapter,
                gleu=scores.gleu,
                errant_f05=scores.errant_f05,
                overcorrected=scores.overcorrected,
                base_f05=base.errant_f05,
                n=report.data.n or scores.n,
                data_sha256=report.data.sha256 or scores.data_sha256,
                verdict=decision.verdict if decision else decided,
                reasons=list(decision.reasons) if decision else report.reasons,
                release=release.id if release else None,
                serves=champion is not None and champion.adapter == adapter,
                judged_at=decision.at if decision else None,
            )
        )
    frame = pd.DataFrame(rows, columns=pd.Index([field.name for field in fields(Ranked)]))
    frame = frame.sort_values(["errant_f05", "adapter"], ascending=[False, True], na_position="last", ignore_index=True)
    # None, not NaN, for what is unknown: it is shown to people and written as JSON.
    return frame.astype(object).where(frame.notna(), None)


def _decisions(settings: Settings) -> dict[str, Decision]:
    """The newest decision on each adapter."""
    newest: dict[str, Decision] = {}
    with read_platform_store(settings.platform) as store:
        for decision in store.decisions(limit=ALL_ROWS):
            if decision.adapter is not None:
                newest.setdefault(decision.adapter, decision)
    return newest
