"""The metrics of the loop: one table that says what each is called, what it means and how it is read.

Belongs here: the table, and reading it once. Does not belong here: the gateway's own counters (gateway/metrics.py), caching
and Prometheus' format (there too), SQL (store/loop_counts.py).
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Literal

from correctly_assets.artifacts.backups import MANIFEST, read_backup
from correctly_assets.artifacts.health_record import HealthRecord, read_health
from correctly_assets.artifacts.reports import ReleaseScores
from correctly_assets.core.errors import PermanentError, UsageError
from correctly_assets.core.rollback import rollback_kind
from correctly_assets.core.shadow_count import count_shadows
from correctly_assets.llm_api.answer_journal import Journal
from correctly_assets.settings import Settings
from correctly_assets.store import Store
from correctly_assets.workflows.back_up import backup_places
from correctly_assets.workflows.quiet_run import quietest_run

Values = Mapping[tuple[str, ...], float]
"""A metric's value by its labels' values, in the order of the table; ``()`` for a metric without labels."""
Reading = Mapping[str, Values]
"""All metrics of one moment, by name."""
_RELEASES = 50


@dataclass(frozen=True, slots=True)
class Source:
    """What the metrics are read from. ``now`` is in seconds since 1970."""

    store: Store
    settings: Settings
    now: float


@dataclass(frozen=True, slots=True)
class LoopMetric:
    """One metric. Prometheus knows it as ``correctly_NAME``, a counter with ``_total`` behind it.

    Attributes:
        kind: a counter never falls but for a store that was replaced. unit: what one stands for.
        meaning: one sentence. labels: names of its labels. read: its values now.
    """

    name: str
    kind: Literal["counter", "gauge"]
    unit: str
    meaning: str
    labels: tuple[str, ...]
    read: Callable[[Source], Values]

    @property
    def exposed(self) -> str:
        """The name under which Prometheus finds it."""
        return f"correctly_{self.name}{'_total' if self.kind == 'counter' else ''}"


def seconds_of(at: str) -> float:
    """A time of the store (ISO 8601) in seconds since 1970."""
    return datetime.fromisoformat(at).timestamp()


def newest_backup(settings: Settings) -> float | None:
    """When the newest backup of all places of this HOME was begun, in seconds since 1970; None where there is none.

    A backup is as old as what it holds: its file may be younger, where a folder of backups was copied or brought back.
    """
    manifests = (path for place in backup_places(settings.platform) for path in place.glob(f"[!.]*/{MANIFEST}"))
    found = (_begun(path, path.stat().st_mtime_ns) for path in manifests)
    return max((at for at in found if at is not None), default=None)


@lru_cache(maxsize=256)
def _begun(manifest: Path, stamp: int) -> float | None:
    # A manifest names thousands of files: it is read once. ``stamp`` is the time of its writing.
    try:
        return read_backup(manifest.parent).at.timestamp()
    except (UsageError, PermanentError):
        return None


def teacher_usd(settings: Settings) -> float:
    """US dollars that the openai teacher's requests have cost since the first; 0.0 where none was sent."""
    directory = settings.platform.home / "teacher" / "journal"
    stamps = [
        (path.stat().st_mtime_ns, path.stat().st_size)
        for path in (directory / "journal.sqlite", directory / "journal.sqlite-wal")
        if path.exists()
    ]
    return _spent(directory, tuple(stamps)) if stamps else 0.0


@lru_cache(maxsize=4)
def _spent(directory: Path, stamps: tuple[tuple[int, int], ...]) -> float:
    # The sum goes over every answer ever given: it is made anew only when the file has changed.
    return Journal(directory).spent_in_all()


def _one(value: float | None) -> Values:
    return {} if value is None else {(): value}


def _by(counts: Mapping[str, float]) -> Values:
    return {(key,): value for key, value in counts.items()}


def _examples(source: Source) -> Values:
    counts = source.store.counts()
    return _by({"accepted": counts.accepted, "waiting": counts.waiting, "quarantined": counts.quarantined})


def _undecided_age(source: Source) -> Values:
    since = source.store.undecided_since()
    return _one(max(0.0, source.now - seconds_of(since)) if since else 0.0)


def _scores(source: Source) -> Values:
    found: dict[tuple[str, ...], float] = {}
    for release in source.store.releases(_RELEASES):
        own = ReleaseScores.model_validate(release.scores).own
        shown = {"gleu": own.gleu, "errant_f05": own.errant_f05, "overcorrected": own.overcorrected}
        found |= {(release.id, name): value for name, value in shown.items() if value is not None}
    return found


def _health(source: Source) -> HealthRecord | None:
    return read_health(source.settings.platform.health_path)


def _sentence_shares(source: Source) -> Values:
    found = _health(source)
    return {
        (one.measure, one.value, of): side.point
        for one in (found.shares if found else ())
        for of, side in (("live", one.live), ("train_set", one.trained))
    }


def _drifts(source: Source) -> Values:
    found = _health(source)
    return {(one.measure, one.value): one.difference.point for one in (found.shares if found else ()) if one.drifted}


def _shadows(source: Source) -> Values:
    return {
        (one.adapter, name): float(value)
        for one in count_shadows(source.store.shadow_pairs())
        for name, value in (
            ("win", one.wins), ("loss", one.losses), ("tie", one.ties), ("undecided", one.undecided),
        )
    }  # fmt: skip


def _votes(source: Source) -> Values:
    return {(release, str(rating)): votes for (release, rating), votes in sorted(source.store.votes().items())}


def _voters(source: Source) -> Values:
    champion = source.store.champion()
    if champion is None:
        return {}
    seen = source.store.signals(champion.id)
    return {(champion.id, "1"): seen.ups, (champion.id, "-1"): seen.downs}


TABLE: tuple[LoopMetric, ...] = (
    LoopMetric(
        "decisions",
        "counter",
        "decisions",
        "Decisions on what was trained: promoted, refused by the gate, or failed.",
        ("verdict",),
        lambda s: _by({"promoted": 0, "refused": 0, "failed": 0} | s.store.decisions_by_verdict()),
    ),
    LoopMetric(
        "last_decision_timestamp_seconds",
        "gauge",
        "seconds since 1970",
        "When the loop's last run with this verdict ended in a decision.",
        ("verdict",),
        lambda s: _by({verdict: seconds_of(at) for verdict, at in s.store.last_decisions_at().items()}),
    ),
    LoopMetric(
        "rollbacks",
        "counter",
        "rollbacks",
        "Returns to the release before: for NaN, answers that had to be replaced (fallbacks), votes, or by a person.",
        ("reason",),
        lambda s: _by(
            {"nan": 0, "fallbacks": 0, "votes": 0, "person": 0}
            | Counter(rollback_kind(why) for why in s.store.rollback_sentences())
        ),
    ),
    LoopMetric(
        "release_timestamp_seconds",
        "gauge",
        "seconds since 1970",
        "When each of the last 50 releases was made: by promotion, rollback or override.",
        ("release", "kind"),
        lambda s: {(r.id, r.kind): seconds_of(r.at) for r in s.store.releases(_RELEASES)},
    ),
    LoopMetric(
        "release_score",
        "gauge",
        "points from 0 to 100, overcorrected in %",
        "Scores of each of the last 50 releases on the frozen evaluation set when it was judged.",
        ("release", "score"),
        _scores,
    ),
    LoopMetric(
        "examples", "gauge", "examples", "Examples by state: accepted, waiting, quarantined.", ("state",), _examples
    ),
    LoopMetric(
        "landed_rows",
        "counter",
        "rows",
        "Rows of all files that landed, by what became of them; rows over HTTP count in examples alone.",
        ("outcome",),
        lambda s: _by(s.store.landed_rows()),
    ),
    LoopMetric(
        "undecided_examples",
        "gauge",
        "examples",
        "Accepted examples that no decision has seen.",
        (),
        lambda s: _one(s.store.new_since_decision()),
    ),
    LoopMetric(
        "undecided_age_seconds",
        "gauge",
        "seconds",
        "Age of the oldest accepted example that no decision has seen; 0 when there is none.",
        (),
        _undecided_age,
    ),
    LoopMetric(
        "feedback",
        "gauge",
        "pieces of feedback",
        "Feedback by state; pending is what nothing was made of yet.",
        ("state",),
        lambda s: _by({"pending": 0} | s.store.feedback_by_state()),
    ),
    LoopMetric(
        "votes",
        "counter",
        "votes",
        "Ratings of answers, 1 or -1, by the release that gave them.",
        ("release", "rating"),
        _votes,
    ),
    LoopMetric(
        "voters",
        "gauge",
        "people",
        "People who voted for (1) and against (-1) the release in service; somebody counts once, however often they vote.",
        ("release", "rating"),
        _voters,
    ),
    LoopMetric(
        "quiet_run_seconds",
        "gauge",
        "seconds",
        "Time since the run under way last logged an event or reported progress; 0 when none is under way.",
        (),
        lambda s: _one(found[1] if (found := quietest_run(s.settings.platform, s.now)) else 0.0),
    ),
    LoopMetric(
        "teacher_usd",
        "counter",
        "US dollars",
        "Money spent on the openai teacher since the first request.",
        (),
        lambda s: _one(teacher_usd(s.settings)),
    ),
    LoopMetric(
        "disk_free_bytes",
        "gauge",
        "bytes",
        "Free space of the disk that holds HOME.",
        (),
        lambda s: _one(shutil.disk_usage(s.settings.platform.home).free),
    ),
    LoopMetric(
        "disk_size_bytes",
        "gauge",
        "bytes",
        "Size of the disk that holds HOME.",
        (),
        lambda s: _one(shutil.disk_usage(s.settings.platform.home).total),
    ),
    LoopMetric(
        "backup_timestamp_seconds",
        "gauge",
        "seconds since 1970",
        "When the newest backup was finished; absent while there is none.",
        (),
        lambda s: _one(newest_backup(s.settings)),
    ),
    LoopMetric(
        "sentence_share",
        "gauge",
        "% of sentences",
        "Shares of the last week's live sentences and of the train set's, by error type, length, unchanged and language.",
        ("measure", "value", "of"),
        _sentence_shares,
    ),
    LoopMetric(
        "drift_points",
        "gauge",
        "points",
        "How far a share that drifted lies from the train set's; absent for those that did not.",
        ("measure", "value"),
        _drifts,
    ),
    LoopMetric(
        "champion_score",
        "gauge",
        "points from 0 to 100, overcorrected in %",
        "The champion's scores on the frozen evaluation set as they were last measured.",
        ("score",),
        lambda s: _by(found.scores) if (found := _health(s)) else {},
    ),
    LoopMetric(
        "champion_score_fell",
        "gauge",
        "1 or 0",
        "1 where the champion scores worse than when it was promoted, by more than the gate allows.",
        (),
        lambda s: _one(float(found.fell)) if (found := _health(s)) else {},
    ),
    LoopMetric(
        "model_health_timestamp_seconds",
        "gauge",
        "seconds since 1970",
        "When live sentences and the champion's scores were last looked at; absent before.",
        (),
        lambda s: _one(seconds_of(found.at)) if (found := _health(s)) else {},
    ),
    LoopMetric(
        "shadow_answers",
        "gauge",
        "answers",
        "The last 5,000 answers of challengers to real requests, by how they stand against the champion's.",
        ("adapter", "outcome"),
        _shadows,
    ),
)


def read_loop(store: Store, settings: Settings, now: float | None = None) -> Reading:
    """Every metric of the table now. Blocks for some dozen short queries; call it off an event loop.

    Raises:
        CorrectlyError: the store cannot be read.
    """
    source = Source(store, settings, time.time() if now is None else now)
    return {metric.name: metric.read(source) for metric in TABLE}
