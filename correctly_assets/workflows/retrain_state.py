"""What should be trained, read from what is there: shared by the sensor, `status` and `up`.

Belongs here: the recipe, and gathering the facts that core/retrain.py decides over. Does not belong here: the decision.
Nothing here opens DuckDB or imports torch: it runs at every tick.
"""

from __future__ import annotations

import hashlib
import math
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from correctly_assets.artifacts.manifests import Recipe, StageRecipe, TrainingRecipe
from correctly_assets.core.hashing import sha256_of
from correctly_assets.core.retrain import (
    FAILURE_TAG,
    INTERRUPTED,
    PASSES,
    WANT_TAG,
    RetrainPolicy,
    RetrainState,
    count_ended,
    fingerprint,
)
from correctly_assets.llm_api.answer_journal import Journal
from correctly_assets.settings import DEFAULT_STAGES, Settings, TeacherSettings, TrainingSettings
from correctly_assets.training.models.base_model import base_model_revision, untrimmed

if TYPE_CHECKING:
    from dagster import DagsterInstance, RunRecord

    from correctly_assets.store import Store


BESIDE_JOBS = frozenset(
    {"read_feedback", "write_new_examples", "full_report", "back_up", "clean_up", "check_model_health"}
)
"""Jobs beside the loop: they hold no retraining back."""


CLOCKS_APART = 60.0
"""Seconds by which the clocks of the machines that write to one store may differ."""


def recipe(settings: Settings) -> Recipe:
    """What, besides the rows, makes an adapter: base-model revision, prompt hashes, training settings (CONTRACTS)."""
    prompts = hashlib.sha256()
    for path in sorted(settings.platform.prompts_dir.rglob("*")):
        # Reviewers' scenarios are read by no model, and a reason told in other words is no cause to train again.
        if path.is_file() and path.name != "scenarios.yaml" and path.parent.name != "grammar":
            prompts.update(f"{path.relative_to(settings.platform.prompts_dir)}\0".encode() + path.read_bytes() + b"\0")
    return Recipe(
        # A vocabulary trimmed otherwise is no reason to train again: adapters stay valid.
        base_model=untrimmed(base_model_revision(settings.base_model_path)),
        prompts=prompts.hexdigest(),
        training=_training_recipe(settings.training, settings.teacher),
    )


def _training_recipe(training: TrainingSettings, teacher: TeacherSettings) -> TrainingRecipe:
    made = TrainingRecipe(
        teacher=teacher.kind,
        teacher_model=teacher.model if teacher.kind != "embedded" else None,
        pairs=training.pairs,
        minutes=training.minutes,
        batch_size=training.batch_size,
        learning_rate=training.learning_rate,
        start=training.start,
        lora_rank=training.lora_rank,
        human_weight=training.human_weight,
        reason_language=teacher.reason_language,
        seed=training.seed,
    )
    if training.stages != DEFAULT_STAGES:
        made.stages = [StageRecipe.model_validate(stage.model_dump()) for stage in training.stages]
    if training.start == "champion":
        made.replay = training.replay
    # No other teacher than the embedded one asks whose errors are put in.
    if teacher.kind == "embedded" and teacher.first_languages:
        made.learners = list(teacher.first_languages)
    return made


def recipe_digest(settings: Settings) -> str:
    """One hash of the recipe."""
    return _digest_of(recipe(settings))


def _digest_of(made: Recipe) -> str:
    return sha256_of(made.model_dump(mode="json", exclude_unset=True))


def fingerprint_of(rows: str, made: Recipe | None) -> str:
    """The fingerprint of what an adapter was trained on, from the two halves its manifest records."""
    return fingerprint(rows, made.model_dump(mode="json", exclude_unset=True) if made is not None else {})


def wanted(store: Store, settings: Settings) -> tuple[str, str]:
    """(fingerprint of what should be trained, digest of the recipe)."""
    made = recipe(settings)
    return fingerprint_of(store.accepted_digest(), made), _digest_of(made)


def policy(training: TrainingSettings) -> RetrainPolicy:
    """The retrain policy's thresholds, from the settings."""
    return RetrainPolicy(
        training.retrain_min_examples,
        training.retrain_quiet_seconds,
        training.retrain_attempts,
        max_age_seconds=60 * training.retrain_max_age_minutes,
        cool_down_seconds=training.retrain_cool_down_seconds,
        daily_minutes=training.retrain_daily_minutes,
        daily_usd=training.retrain_daily_usd,
    )


def read_retrain_state(
    store: Store, instance: DagsterInstance, settings: Settings, *, spending: bool = False
) -> RetrainState:
    """Everything the retrain decision looks at, read afresh.

    Args:
        spending: read what the last 24 hours took also where nothing is to be decided; a sensor at rest saves that.
    """
    from dagster import DagsterRunStatus, RunsFilter

    unfinished = [
        DagsterRunStatus.QUEUED,
        DagsterRunStatus.NOT_STARTED,
        DagsterRunStatus.STARTING,
        DagsterRunStatus.STARTED,
        DagsterRunStatus.CANCELING,
    ]
    records = instance.get_run_records(RunsFilter(statuses=unfinished))
    in_flight = tuple(one.dagster_run.run_id for one in records if one.dagster_run.job_name not in BESIDE_JOBS)
    accepted = store.counts().accepted
    made = recipe(settings)
    want = fingerprint_of(store.accepted_digest(), made)
    last = store.last_decision()
    # Counted from tagged runs, never from the cursor, so that a wiped cursor does not start over.
    ended = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
    done = instance.get_run_records(RunsFilter(tags={WANT_TAG: want}, statuses=ended)) if accepted else []
    kinds = [_failure_of(one) for one in done]
    attempts, spared, setbacks = count_ended(kinds)
    minutes, usd = 0.0, 0.0
    if spending or (accepted and (last is None or last.fingerprint != want)):
        minutes, usd = _minutes_today(instance), _usd_today(settings)
    return RetrainState(
        want=want,
        decided=last.fingerprint if last else None,
        accepted=accepted,
        new_examples=store.new_since_decision(),
        seconds_since_landing=_seconds_since(store.last_landed_at()),
        in_flight=in_flight,
        attempts=attempts,
        recipe_changed=bool(last and last.recipe_digest != _digest_of(made)),
        removed_examples=store.removed_since_decision(),
        canceled=_canceled_by_a_person(instance, want) if done else None,
        landing=store.landing_under_way(),
        spared=spared,
        setbacks=setbacks,
        interrupted=bool(kinds) and kinds[0] == INTERRUPTED,
        seconds_since_end=max(0.0, time.time() - done[0].end_time) if done and done[0].end_time else None,
        gave_up=bool(last and last.verdict == "failed" and last.adapter is None and last.run_id is None),
        seconds_since_decision=_seconds_since(last.at) if last else None,
        undecided_seconds=_seconds_since(store.undecided_since()),
        new_reactions=store.new_reactions(),
        minutes_today=minutes,
        usd_today=usd,
    )


def _failure_of(record: RunRecord) -> str | None:
    """What a run is marked with that used up no attempt. One that failed before it began was not launched in time, by a machine
    that did too much else or a daemon that was ended: nothing was tried."""
    from dagster import DagsterRunStatus

    run = record.dagster_run
    never_began = run.status == DagsterRunStatus.FAILURE and record.start_time is None
    return run.tags.get(FAILURE_TAG, PASSES if never_began else None)


def _minutes_today(instance: DagsterInstance) -> float:
    """How long the retraining runs of the last 24 hours took, in minutes."""
    from dagster import RunsFilter

    since = datetime.now(UTC) - timedelta(days=1)
    records = instance.get_run_records(RunsFilter(created_after=since))
    seconds = sum(
        max(0.0, (one.end_time or time.time()) - one.start_time)
        for one in records
        if one.start_time is not None and one.dagster_run.job_name not in BESIDE_JOBS
    )
    return seconds / 60


def _usd_today(settings: Settings) -> float:
    """US dollars that the openai teacher's requests of the last 24 hours cost; 0.0 where no limit is set."""
    directory = settings.platform.home / "teacher" / "journal"
    if settings.training.retrain_daily_usd is None or not directory.is_dir():
        return 0.0
    return Journal(directory).spent_in_all(since=datetime.now(UTC) - timedelta(days=1))


def _canceled_by_a_person(instance: DagsterInstance, want: str) -> str | None:
    """The newest run for this fingerprint, if it ended because a person asked for it.

    A worker that is stopped with the platform fails: Dagster calls a run canceled only where a request stands in its log.
    Such a request whose worker died before it ended counts too. That of the run monitor, which ends what takes too long,
    is nobody's wish.
    """
    from dagster import DagsterEventType, DagsterRunStatus, RunsFilter

    (run,) = instance.get_runs(RunsFilter(tags={WANT_TAG: want}), limit=1)
    if run.status == DagsterRunStatus.CANCELED:
        return run.run_id
    if run.status != DagsterRunStatus.FAILURE:
        return None
    asked = instance.all_logs(run.run_id, of_type=DagsterEventType.RUN_CANCELING)
    by_the_monitor = any("maximum runtime" in (entry.get_dagster_event().message or "") for entry in asked)
    return run.run_id if asked and not by_the_monitor else None


def _seconds_since(at: str | None) -> float | None:
    if at is None:
        return None
    seconds = (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds()
    # A clock that was set back must not hold the loop up until it has caught up: that was long ago. Two machines' clocks are a
    # little apart, and that was now.
    return math.inf if seconds < -CLOCKS_APART else max(0.0, seconds)
