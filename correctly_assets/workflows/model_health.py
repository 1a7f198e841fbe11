"""A look at the model's health: what people sent in the last week beside what the champion was trained on, and its scores now.

Belongs here: counting sentences, scoring the champion again, keeping what was found. Does not belong here: the decisions
(core/drift.py), the file's shape (artifacts/health_record.py), Dagster (defs/model_health_asset.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from correctly_assets.artifacts.health_record import HealthRecord, write_health
from correctly_assets.artifacts.reports import ReleaseScores
from correctly_assets.artifacts.train_set import TRAIN_FILE, read_train_set
from correctly_assets.core.drift import Drift, FrozenScores, ScoresBeside, SentenceCounts, decide_drift, decide_scores
from correctly_assets.core.errors import CorrectlyError
from correctly_assets.core.shadow_count import count_shadows
from correctly_assets.core.taxonomy import family
from correctly_assets.core.text import text_sha
from correctly_assets.core.types import Edit
from correctly_assets.correction.segment import FOREIGN, segments
from correctly_assets.engine.load_adapter import load_proven
from correctly_assets.evaluation.answer_cache import AnswerCache
from correctly_assets.evaluation.evaluation_set import read_evaluation_set
from correctly_assets.evaluation.metrics.score import Scores, evaluate
from correctly_assets.language.identify import language_named
from correctly_assets.settings import Settings
from correctly_assets.store.examples import length_class
from correctly_assets.training.adapter import check_adapter
from correctly_assets.workflows.make_corrector import make_annotator
from correctly_assets.workflows.measured_systems import PreparedSystem, model_system
from correctly_assets.workflows.promote import EngineLike, champion_on_this_base, gate_settings
from correctly_assets.workflows.review_answers import show_on_pages

if TYPE_CHECKING:
    from correctly_assets.store import Store
    from correctly_assets.store.records import Release

DAYS = 7
MOST_TEXTS = 5_000
"""Texts that are counted on either side, at most: the intervals are a point wide by then."""
SCORES = ("gleu", "errant_f05", "overcorrected")


def count_sentences(texts: Iterable[tuple[str, tuple[Edit, ...]]]) -> tuple[SentenceCounts, list[int]]:
    """Cut texts into sentences as the correction path does, and count each sentence once, however often it was sent.

    Args:
        texts: each with its edits, over code points of it.

    Returns:
        The counts, and each sentence's number of words.
    """
    counts, words, seen = SentenceCounts(), list[int](), set[str]()
    for text, edits in texts:
        position = 0
        for part in segments(text):
            start, position = position, position + len(part.text)
            if not part.prose and part.why != FOREIGN:
                continue
            key = text_sha(part.text)
            if key in seen:
                continue
            seen.add(key)
            if not part.prose:
                counts.languages[language_named(part.text)] += 1
                continue
            counts.languages["en"] += 1
            counts.n += 1
            own = {family(edit.type) for edit in edits if start <= edit.start < position}
            counts.changed += bool(own)
            counts.types.update(own)
            words.append(len(part.text.split()))
            counts.lengths[length_class(words[-1])] += 1
    return counts, words


async def check_health(
    settings: Settings, store: Store, engine: EngineLike, *, log: Callable[[str], object], now: float | None = None
) -> HealthRecord:
    """Look once: hold live sentences against the train set, score the champion on the frozen set, keep what was found, and write
    the pages of challengers' reports anew.

    Args:
        now: seconds since 1970; the time of this call when None.

    Raises:
        CorrectlyError: the store, the train set or the evaluation set cannot be read. An engine that is away is said in the
            record.
    """
    at = datetime.fromtimestamp(time.time() if now is None else now, UTC)
    champion = store.champion()
    record = HealthRecord(at=at.isoformat(timespec="seconds"), days=DAYS, release=champion.id if champion else None)
    since = (at - timedelta(days=DAYS)).isoformat(timespec="milliseconds")
    drift = await asyncio.to_thread(_look_at_sentences, settings, store, champion, since, record)
    record.shares, record.drifted, record.message = list(drift.shares), drift.drifted, drift.message
    log(record.message)
    scores = await _look_at_scores(settings, store, engine, record)
    record.fell, record.scores_message = scores.fell, scores.message
    log(record.scores_message)
    write_health(settings.platform.health_path, record)
    # A report is written before its adapter has answered real requests: its page says since then what came of them.
    challengers = {one.adapter for one in count_shadows(store.shadow_pairs())}
    if challengers:
        await asyncio.to_thread(show_on_pages, settings.platform, store, challengers)
    return record


def _look_at_sentences(
    settings: Settings, store: Store, champion: Release | None, since: str, record: HealthRecord
) -> Drift:
    # What a guard put back was not left unchanged by the model.
    answers = ((one.before, one.edits) for one in store.answers_since(since, MOST_TEXTS) if one.fallback is None)
    live, words = count_sentences(answers)
    record.sentences, record.median_words = live.n, median(words) if words else None
    record.train_set = train_set_here(settings, store, champion)
    if record.train_set is None:
        return Drift((), "No train set is here yet to hold live sentences against.", False)
    pairs = (
        pair for pair in read_train_set(settings.platform.snapshots_dir / record.train_set) if pair.split == "train"
    )
    trained, words = count_sentences((pair.before, pair.edits) for pair in islice(pairs, MOST_TEXTS))
    record.trained, record.trained_median_words = trained.n, median(words) if words else None
    return decide_drift(live, trained)


def train_set_here(settings: Settings, store: Store, champion: Release | None) -> str | None:
    """The champion's train set, or, of one that ships without its own, the newest that was decided on; None where neither is
    here."""
    named = [champion.train_set if champion else None, *(decision.train_set for decision in store.decisions())]
    here = (name for name in named if name and (settings.platform.snapshots_dir / name / TRAIN_FILE).is_file())
    return next(here, None)


async def _look_at_scores(settings: Settings, store: Store, engine: EngineLike, record: HealthRecord) -> ScoresBeside:
    champion = champion_on_this_base(store, settings)
    if champion is None:
        return ScoresBeside("No adapter of this base model serves, so that none was scored again.", False)
    # The shipped adapter's scores name no set: they are of the whole one, which a limit leaves rows out of.
    whole = read_evaluation_set(settings.platform.evaluation_path).sha256
    own = ReleaseScores.model_validate(champion.scores).own
    record.promoted_scores = _plain(own.model_dump(mode="json", exclude_unset=True))
    try:
        now = await score_again(settings, engine, champion.adapter)
    except CorrectlyError as error:
        return ScoresBeside(f"The champion was not scored again: {error}", False)
    record.scores = _plain(now)
    return decide_scores(
        FrozenScores(own.errant_f05, own.gleu, own.overcorrected, own.data_sha256 or whole),
        FrozenScores(now["errant_f05"], now["gleu"], now["overcorrected"], now["data_sha256"]),
        gate_settings(settings),
    )


async def score_again(settings: Settings, engine: EngineLike, adapter: str) -> Scores:
    """An adapter's scores on the frozen set, from kept answers where the same parts answer as then; the engine is asked for
    the others alone.

    Raises:
        UnreachableError: answers are missing and the engine is away.
        PermanentError, AdapterRefused: the adapter's files are gone, or break a rule of serving.
    """
    data = read_evaluation_set(settings.platform.evaluation_path, settings.serving.evaluation_limit)
    annotator = await asyncio.to_thread(make_annotator)
    directory, base_model = settings.platform.adapters_dir / adapter, Path(settings.base_model_path)
    async with engine.client() as client:
        system = PreparedSystem(
            model_system(settings, client, annotator, name="champion", model=adapter, adapter=adapter),
            lambda: load_proven(client, directory, lambda d: check_adapter(d, base_model)),
        )
        return (await evaluate(system, data, annotator, cache=AnswerCache(settings.platform.answers_dir))).scores


def _plain(scores: Any) -> dict[str, float]:
    return {key: float(scores[key]) for key in SCORES if isinstance(scores.get(key), (int, float))}
