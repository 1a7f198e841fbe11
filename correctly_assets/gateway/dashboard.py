"""`/dashboard`: the loop at a glance, on one page that works offline.

Belongs here: which figures the page shows. Does not belong here: drawing them (evaluation/report/loop_plots.py), reading them
(store/loop_counts.py), the alerts' decision (core/alerts.py), caching (service.py).
"""

from __future__ import annotations

import base64
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import quote

from jinja2 import Environment
from markupsafe import Markup

from correctly_assets.artifacts.health_record import HealthRecord, read_health
from correctly_assets.artifacts.manifests import AdapterManifest, ManifestError, read_manifest
from correctly_assets.artifacts.reports import ReleaseScores
from correctly_assets.core.alerts import active_alerts
from correctly_assets.core.shadow_count import count_shadows
from correctly_assets.evaluation.report.loop_plots import as_rows, bars, scores_over_releases
from correctly_assets.settings import Settings
from correctly_assets.store import Store
from correctly_assets.store.loop_counts import AnswersSeen
from correctly_assets.store.records import Release
from correctly_assets.workflows.promote import gate_settings
from correctly_assets.workflows.watch_loop import alerts_path, limits_of, read_facts, read_known_alerts

TEMPLATE = Path(__file__).with_name("dashboard.html.j2")
_RELEASES = 30
_SHOWN = 15


@dataclass(frozen=True, slots=True)
class Picture:
    """One plot with the words that say the same."""

    title: str
    message: str
    image: str | None


def dashboard_page(store: Store, settings: Settings, now: float | None = None, *, engine_losses: int = 0) -> str:
    """The page as HTML. Reads the store and draws for some hundred milliseconds: call it off an event loop.

    Args:
        now: seconds since 1970. engine_losses: how often the engine went away in the last hour.

    Raises:
        CorrectlyError: the store cannot be read.
    """
    now = time.time() if now is None else now
    releases = store.releases(_RELEASES)[::-1]
    facts = read_facts(store, settings, now, engine_losses)
    alerts = active_alerts(facts, limits_of(settings), read_known_alerts(alerts_path(settings)))
    health = read_health(settings.platform.health_path)
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["when"] = when
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        made=datetime.fromtimestamp(now, UTC).isoformat(),
        champion=releases[-1] if releases else None,
        counts=store.counts(),
        undecided=store.new_since_decision(),
        alerts=alerts,
        pictures=_pictures(store, settings, releases),
        landings=_landings(store),
        decisions=_decisions(store, settings),
        health=health,
        shares=_shares(health),
        challengers=[one.message for one in count_shadows(store.shadow_pairs())[:_SHOWN]],
        shadow_share=settings.serving.shadow_share,
        releases=[(one.id, when(one.at), one.kind, one.adapter, one.why) for one in releases[::-1][:_SHOWN]],
        dagster=settings.platform.dagster_url,
    )


def when(at: str | None) -> str:
    """A time of the store as people read it: ``2026-05-01 12:00``."""
    return at[:16].replace("T", " ") if at else "–"


def _landings(store: Store) -> list[tuple[object, ...]]:
    return [
        (
            row["day"],
            row["file"] or "chat or HTTP",
            f"{row['rows']:,}",
            when(str(row["decided_at"])) if row["decided_at"] else "–",
            row["verdict"] or "waits",
            row["adapter"] or "–",
        )
        for row in store.training_of_landings(_SHOWN)
    ]


def _shares(health: HealthRecord | None) -> list[tuple[object, ...]]:
    """What stands out among live sentences: what drifted first, then the widest differences."""
    shown = sorted(health.shares if health else (), key=lambda one: (not one.drifted, -abs(one.difference.point)))
    return [
        (
            "unchanged" if one.measure == "unchanged" else f"{one.measure.replace('_', ' ')} {one.value}",
            f"{one.live.point:.0f} %",
            f"{one.trained.point:.0f} %",
            f"{one.difference.low:+.0f} to {one.difference.high:+.0f} points{', drifted' if one.drifted else ''}",
        )
        for one in shown[:_SHOWN]
    ]


def _decisions(store: Store, settings: Settings) -> list[tuple[object, ...]]:
    link = Markup('<a href="{}/runs/{}">{}</a>')
    return [
        (
            one.id,
            when(one.at),
            one.verdict,
            one.adapter or "–",
            machine_use(settings, one.adapter),
            link.format(settings.platform.dagster_url, quote(one.run_id), one.run_id[:8]) if one.run_id else "–",
            " ".join(one.reasons),
        )
        for one in store.decisions(_SHOWN)
    ]


def machine_use(settings: Settings, adapter: str | None) -> str:
    """What the training of an adapter took, in words; a dash where its manifest does not say or is gone."""
    if adapter is None:
        return "–"
    try:
        figures = read_manifest(settings.platform.adapters_dir / adapter, AdapterManifest).figures
    except ManifestError:
        return "–"
    took = figures.plan.get("took", {}) if figures is not None else {}
    shown = [f"{took[key]:.1f} {unit}" for key, unit in (("minutes", "min"), ("gigabytes", "GB")) if key in took]
    return ", ".join(shown) or "–"


def _pictures(store: Store, settings: Settings, releases: Sequence[Release]) -> list[Picture]:
    answers = store.answers_by_release()
    return [*_quality(releases, settings), _votes(store.votes()), *_live(answers)]


def _quality(releases: Sequence[Release], settings: Settings) -> list[Picture]:
    names = [release.id for release in releases]
    kept = [ReleaseScores.model_validate(release.scores) for release in releases]
    gleu, f05 = [one.own.gleu for one in kept], [one.own.errant_f05 for one in kept]
    changed = [one.own.overcorrected for one in kept]
    bases = [one.systems["base"].errant_f05 for one in kept if "base" in one.systems]
    beaten = next((value for value in reversed(bases) if value is not None), None)
    bound = gate_settings(settings).max_overcorrected
    line = ("gate: the base model's F0.5", beaten) if beaten is not None else None
    has_scores, has_changed = any(v is not None for v in f05), any(v is not None for v in changed)
    return [
        Picture(
            "Quality over releases",
            f"F0.5 and GLEU on the frozen evaluation set, 0 to 100, higher is better; newest release: {_number(f05)} and "
            f"{_number(gleu)}. The gate also wants a candidate that is no worse than the champion.",
            _image(scores_over_releases(names, {"F0.5": f05, "GLEU": gleu}, line, "points")) if has_scores else None,
        ),
        Picture(
            "Correct sentences changed",
            f"Share of correct sentences that a release changes, lower is better; newest release: {_number(changed)} %. "
            f"The gate refuses above {bound:.0f} %.",
            _image(scores_over_releases(names, {"changed": changed}, ("gate: most allowed", bound), "%"))
            if has_changed
            else None,
        ),
    ]


def _number(values: Sequence[float | None]) -> str:
    return "–" if not values or values[-1] is None else f"{values[-1]:.1f}"


def _votes(votes: Mapping[tuple[str, int], int]) -> Picture:
    who = sorted({release for release, _ in votes})[-_SHOWN:]
    rows = [(name, (votes.get((name, 1), 0), votes.get((name, -1), 0))) for name in who]
    ups, downs = (sum(counts[index] for _, counts in rows) for index in (0, 1))
    image = _image(bars(rows, ("up", "down"), "votes")) if rows else None
    return Picture("Votes", f"Ratings of answers by release: {ups:,} up, {downs:,} down.", image)


def _live(answers: Mapping[str, AnswersSeen]) -> list[Picture]:
    shown = {name: of for name, of in sorted(answers.items()) if of.answers}
    total, types = sum(of.answers for of in shown.values()), Counter[str]()
    for of in shown.values():
        types.update(of.types)
    latency = [(name, _latency(of.seconds)) for name, of in shown.items() if of.seconds]
    unchanged = [(name, (100 * of.unchanged / of.answers,)) for name, of in shown.items()]
    tokens = [(name, (of.tokens / of.answers,)) for name, of in shown.items()]
    last = f"of the last {total:,} answers, by release"
    return [
        Picture(
            "Latency",
            f"Milliseconds from request to whole answer, {last}.",
            _image(bars(latency, ("median", "95 %"), "milliseconds", "{:,.0f}")) if latency else None,
        ),
        Picture(
            "Left unchanged",
            f"Share without an edit {last}.",
            _image(bars(unchanged, ("unchanged",), "% of answers", "{:.0f} %")) if unchanged else None,
        ),
        Picture(
            "Tokens",
            f"Tokens asked of the engine for one, {last}.",
            _image(bars(tokens, ("tokens",), "tokens an answer", "{:,.0f}")) if any(t for _, (t,) in tokens) else None,
        ),
        Picture(
            "Edits by type",
            f"{types.total():,} edits {last}; types are ERRANT's (R replaces, M adds what is missing, U removes).",
            _image(bars(as_rows(types, 12), ("edits",), "edits", "{:,.0f}")) if types else None,
        ),
    ]


def _latency(seconds: Sequence[float]) -> tuple[float, float]:
    """Median and 95th percentile in milliseconds."""
    late = quantiles(seconds, n=20, method="inclusive")[-1] if len(seconds) > 1 else seconds[0]
    return 1000 * median(seconds), 1000 * late


def _image(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
