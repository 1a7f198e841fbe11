"""Making a train set of a snapshot of examples, and the trainer's config for one.

Belongs here: what happens to a pair between the teacher and the file it is trained from, in order. Does not belong here: how
pairs are written (teachers/), placed (curation/near.py) or kept (artifacts/train_set.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

from correctly_assets.artifacts.manifests import (
    AdapterManifest,
    ManifestError,
    Provenance,
    TrainSetManifest,
    read_manifest,
)
from correctly_assets.artifacts.rejected_pairs import write_rejected
from correctly_assets.artifacts.snapshots import Snapshot, rows_digest_without
from correctly_assets.artifacts.train_set import TRAIN_FILE, read_train_set, write_train_set
from correctly_assets.core.ports import Refusal, Teacher, TeacherOutput
from correctly_assets.core.prompts import family_of, load_prompts
from correctly_assets.core.taxonomy import family
from correctly_assets.core.text import leaks, split_of
from correctly_assets.core.types import Example, TrainPair
from correctly_assets.correction.annotate import LazyAnnotator
from correctly_assets.curation.near import NearIndex
from correctly_assets.settings import PlatformSettings, Settings, TrainingSettings
from correctly_assets.teachers.embedded.embedded_teacher import EmbeddedTeacher
from correctly_assets.teachers.pair_checks import Ladder
from correctly_assets.training.config import Lora, Replay, Stage, TrainSpec
from correctly_assets.workflows import settle_splits
from correctly_assets.workflows.house_bait import house_bait
from correctly_assets.workflows.house_file import read_house_styles
from correctly_assets.workflows.make_teacher import make_analysis_cache, make_platform_teacher
from correctly_assets.workflows.promote import champion_on_this_base
from correctly_assets.workflows.read_examples import Pool, read_pool, read_recent
from correctly_assets.workflows.retrain_state import recipe, recipe_digest
from correctly_assets.workflows.wiring import open_platform_store, read_evaluation_texts

_LEAKS = ("decontamination", "the evaluation set holds this sentence or a stretch of it")


@dataclass(frozen=True, slots=True)
class MadeTrainSet:
    """A train set and how it came about, for the asset's page.

    Attributes:
        cost_usd: what this run paid.
        journalled_usd: what the teacher's answers for this set cost in all, those included that earlier runs paid.
    """

    snapshot: Snapshot[TrainSetManifest]
    pairs: list[TrainPair]
    leaked: tuple[str, ...]
    refused: tuple[Refusal, ...]
    teacher: str
    cost_usd: float
    by_origin: dict[str, int]
    by_type: dict[str, int]
    straddling: tuple[str, ...] = ()
    journalled_usd: float = 0.0

    @property
    def usd_per_pair(self) -> float:
        """What one pair that a prompted teacher wrote and that was kept cost; what people landed cost nothing."""
        return self.journalled_usd / max(1, self.by_origin.get("teacher", 0))


def write_all_pairs(
    settings: Settings, teacher: Teacher, examples: list[Example], count: int | None = None
) -> TeacherOutput:
    """The teacher's pairs, CORRECTLY_TRAIN_PAIRS of them or ``count``, and beside a prompted teacher's what people landed: their corrections and untouched texts.

    A prompted teacher writes new pairs only; without these a human correction would never be trained on, and without bait a
    model over-corrects.
    """
    count = count or settings.training.pairs
    if teacher.name == "embedded":
        return teacher.write_pairs(examples, count=count, seed=settings.training.seed)

    own = EmbeddedTeacher(
        prompts_dir=settings.platform.prompts_dir,
        reason_language=settings.teacher.reason_language,
        annotator=LazyAnnotator(),
        ladder=Ladder(read_evaluation_texts(settings.platform)),
        analysis_cache=make_analysis_cache(settings.platform),
    )
    landed = own.write_landed(examples, count=count, seed=settings.training.seed)
    left = count - len(landed.pairs)
    if left < 1:
        return landed
    asked = teacher.write_pairs(examples, count=left, seed=settings.training.seed)
    return replace(asked, pairs=(*landed.pairs, *asked.pairs), refused=(*landed.refused, *asked.refused))


def _confirmations(settings: Settings) -> list[TrainPair]:
    """Thumbs up, as the train set's query takes them: they raise the weight of a pair that is there, and are none."""
    with open_platform_store(settings.platform) as store:
        return [
            TrainPair(f"thumb-{thumb.id}", "", "thumb", thumb.before, thumb.after, (), 1, split_of(thumb.before))
            for thumb in store.thumbs()
        ]


def _pool_and_count(settings: Settings, snapshot: str) -> tuple[Pool, int]:
    """The examples to write pairs from, and how many pairs.

    From the base model: a draw over everything. From the champion: what it has not seen, with a replay of what it has. Where
    nothing is new, what the champion itself was made from, so that the same train set comes out again. A changed recipe alone
    brings nothing new, and everything is shown once more.
    """
    if settings.training.start == "champion":
        with open_platform_store(settings.platform) as store:
            champion = champion_on_this_base(store, settings)
            new = store.undecided_ids() if champion is not None else []
            if champion is not None and not new and _made_by(settings, champion.adapter):
                new = store.decided_with(champion.adapter)
        if 0 < len(new) <= settings.training.pairs:
            pool = read_recent(settings, snapshot, new, settings.training.replay_pairs)
            return pool, min(settings.training.pairs, 2 * len(new) + settings.training.replay_pairs)
    return read_pool(settings, snapshot), settings.training.pairs


def make_train_set(settings: Settings, *, examples_snapshot: str, log: Callable[[str], object]) -> MadeTrainSet:
    """Have the teacher write pairs from a snapshot of examples, drop what leaks, and write the train set.

    An example that is near to both splits goes to quarantine, and the train set counts as made of the other rows: the decision
    on it is about the accepted rows as they stand then, so that holding a row starts no run of its own.

    Raises:
        PermanentError, RetryableError: the teacher or the disk.
    """
    pool, count = _pool_and_count(settings, examples_snapshot)
    examples = pool.examples
    teacher = make_platform_teacher(settings)
    output = write_all_pairs(settings, teacher, examples, count)
    log(f"{teacher.name} wrote {len(output.pairs)} pairs from {len(examples)} of {pool.among} examples.")
    pairs = [written.pair for written in output.pairs]
    shown = leaks(
        (text for pair in pairs for text in (pair.before, pair.after)), read_evaluation_texts(settings.platform)
    )
    clean = [pair for pair in pairs if pair.before not in shown and pair.after not in shown]
    placed, held = _place(settings, clean, examples)
    kept = [pair for pair in clean if placed[pair.example_id] is not None]
    held_ids = sorted(example.id for example in held)
    bait = house_bait(kept, read_house_styles(settings.platform.house_style_path).all)
    snapshot = write_train_set(
        [*kept, *bait, *_confirmations(settings)],
        settings.platform.snapshots_dir,
        TrainSetManifest(
            examples_snapshot=examples_snapshot,
            rows_digest=rows_digest_without(settings.platform.snapshots_dir / examples_snapshot, held_ids),
            straddling=held_ids,
            teacher=teacher.identity(),
            seed=settings.training.seed,
        ),
        sql_dir=settings.platform.sql_dir,
        human_weight=settings.training.human_weight,
        splits={pair.id: split for pair in (*kept, *bait) if (split := placed[pair.example_id]) is not None},
    )
    # Only now: were this stopped before, the next run would find the same rows and hold them again.
    with open_platform_store(settings.platform) as store:
        if newly := settle_splits.hold(store, held):
            log(f"{newly} examples are near to both splits and went to quarantine.")
        store.keep_edits((pair.example_id, pair.edits) for pair in kept if pair.origin in ("human", "example"))
    refused = (*output.refused, *_left_out(pairs, kept, shown))
    write_rejected(snapshot.path, refused)
    written = list(read_train_set(snapshot.path))
    return MadeTrainSet(
        snapshot=snapshot,
        pairs=written,
        leaked=tuple(shown),
        refused=refused,
        teacher=teacher.name,
        cost_usd=output.cost_usd,
        by_origin=dict(Counter(pair.origin for pair in written)),
        by_type=dict(Counter(family(edit.type) for pair in written for edit in pair.edits)),
        straddling=tuple(held_ids),
        journalled_usd=output.journalled_usd,
    )


def _place(
    settings: Settings, pairs: list[TrainPair], examples: list[Example]
) -> tuple[dict[str, settle_splits.Split | None], list[Example]]:
    """The split of each pair's example (None for one near to both), and the examples that are to be held for it."""
    # Kept on disk: a near-duplicate that lands later inherits the split of what was there before it.
    after_of = {pair.example_id: pair.after for pair in reversed(pairs)}
    near = NearIndex(settings.platform.home / "near")
    found: dict[str, settle_splits.Split | None] = {
        text.id: text.split for text in near.place(sorted(after_of.items()))
    }
    with open_platform_store(settings.platform) as store:
        placed = settle_splits.one_split_per_group(found, after_of, store.released_examples(settle_splits.RUNG))
    placed = settle_splits.one_split_a_source(placed, pairs, near.earliest_first)
    return placed, settle_splits.straddling(placed, after_of, examples)


def _left_out(pairs: list[TrainPair], kept: list[TrainPair], shown: Collection[str]) -> list[Refusal]:
    """Why each written pair that is not in the train set was left out: it leaks (``shown``), or is near to both splits."""
    kept_ids = {pair.id for pair in kept}
    return [
        Refusal(
            *(_LEAKS if pair.before in shown or pair.after in shown else (settle_splits.RUNG, settle_splits.REASON)),
            {"example_id": pair.example_id, "before": pair.before, "after": pair.after},
        )
        for pair in pairs
        if pair.id not in kept_ids
    ]


def train_stages(training: TrainingSettings) -> list[Stage]:
    """The curriculum's table as the trainer takes it."""
    rate = training.learning_rate
    return [
        Stage(name=stage.name, mix=stage.mix, passes=stage.passes, learning_rate=stage.learning_rate or rate)
        for stage in training.stages
    ]


def _made_by(settings: Settings, adapter: str) -> bool:
    """Whether an adapter of ours was made by today's recipe."""
    try:
        made = read_manifest(settings.platform.adapters_dir / adapter, AdapterManifest)
    except ManifestError:
        return False
    return made.recipe_digest == recipe_digest(settings)


def _trained_on(platform: PlatformSettings, adapter: str) -> Path | None:
    """The train set that an adapter of ours was made from, if it still stands."""
    try:
        train_set = read_manifest(platform.adapters_dir / adapter, AdapterManifest).train_set
    except ManifestError:
        return None
    path = platform.snapshots_dir / str(train_set) / TRAIN_FILE
    return path if path.is_file() else None


def _start_of_its_train_set(settings: Settings, adapter: str, train_set: str) -> tuple[str | None] | None:
    """Where the training of an adapter started (None in the tuple: from the base model), if it was on this train set and by
    today's recipe; None otherwise."""
    try:
        made = read_manifest(settings.platform.adapters_dir / adapter, AdapterManifest)
    except ManifestError:
        return None
    same = made.train_set == train_set and made.recipe_digest == recipe_digest(settings)
    return (made.warm_start,) if same and made.names_its_start else None


def train_config(settings: Settings, *, train_set: str) -> TrainSpec:
    """What the trainer does with a train set, less the places of the run.

    Raises:
        ManifestError: the train set is not there, or its manifest cannot be read.
    """
    platform, training = settings.platform, settings.training
    manifest = read_manifest(platform.snapshots_dir / train_set, TrainSetManifest)
    family = family_of(training.base_model)
    warm_start = replay = None
    if training.start == "champion":
        with open_platform_store(platform) as store:
            champion = store.champion()
        start = champion.adapter if champion is not None else None
        if start is not None and (known := _start_of_its_train_set(settings, start, train_set)):
            # The same train set again starts where it started, and the same adapter comes out.
            start = known[0]
        if start is not None and (platform.adapters_dir / start).is_dir():
            warm_start = platform.adapters_dir / start
            seen = _trained_on(platform, start)
            # Without its train set nothing is known to be old, and everything is shown.
            if seen is not None:
                replay = Replay(seen=seen, share=training.replay)
    return TrainSpec(
        train_set=platform.snapshots_dir / train_set / TRAIN_FILE,
        base_model=settings.base_model_path,
        adapters_dir=platform.adapters_dir,
        prompts_dir=platform.prompts_dir,
        chat_family=family,
        stages=train_stages(training),
        # Reasons come from the catalogue of grammar points; a small model's own sentences are seldom true.
        explain_share=0.0,
        lora=Lora(rank=training.lora_rank, alpha=2 * training.lora_rank),
        batch_size=training.batch_size,
        max_minutes=training.minutes,
        seed=training.seed,
        warm_start=warm_start,
        replay=replay,
        extras=Provenance(
            train_set=train_set,
            # By ID: what it has learnt of that adapter's train set counts as seen in every evaluation (check_leaks.py).
            warm_start=warm_start.name if warm_start is not None else None,
            examples_snapshot=manifest.examples_snapshot,
            rows_digest=manifest.rows_digest,
            recipe=recipe(settings),
            recipe_digest=recipe_digest(settings),
            prompts=load_prompts(platform.prompts_dir, family).sha256,
        ),
    )
