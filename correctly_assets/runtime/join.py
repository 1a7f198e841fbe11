"""Where rooms are joined into the objects that the command line, the assets and the small processes share.

Belongs here: building a store, guards, a teacher, a corrector, a train set or a training config from the settings. Does
not belong here: work of any room, or decisions. Heavy rooms are imported by the function that needs them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from correctly_assets.core.errors import PermanentError
from correctly_assets.core.landing import LandOutcome
from correctly_assets.core.ports import Annotator, Completer, Refusal, Teacher
from correctly_assets.core.prompts import family_of, load_prompts
from correctly_assets.core.text import leaks
from correctly_assets.core.types import Example, TrainPair
from correctly_assets.settings import Settings, get_settings

from .progress import progress_writer
from .wanted import recipe, recipe_digest

if TYPE_CHECKING:
    from correctly_assets.core.landing import ExampleGuard
    from correctly_assets.correction.path import Corrector
    from correctly_assets.curation.inbox import InboxFile
    from correctly_assets.curation.profanity import Profanity
    from correctly_assets.serving.vllm import VllmClient
    from correctly_assets.store import Store
    from correctly_assets.store.snapshots import Snapshot


def open_platform_store(settings: Settings) -> Store:
    """The platform's store, migrated.

    Raises:
        RetryableError: the database is away.
    """
    from correctly_assets.store import open_store

    from .databases import ensure_schemas

    settings.home.mkdir(parents=True, exist_ok=True)
    ensure_schemas(settings)
    return open_store(settings.store_url, settings.sql_dir)


@dataclass(frozen=True, slots=True)
class DirectEngine:
    """The engine without Dagster: what `EngineResource` is to the assets."""

    url: str

    @asynccontextmanager
    async def client(self) -> AsyncIterator[VllmClient]:
        from correctly_assets.serving.merged import open_client

        async with open_client(get_settings(), self.url) as client:
            yield client


# ------------------------------------------------------------------ landing


def make_guards(settings: Settings) -> ExampleGuard:
    """The guards every row passes before it lands."""
    from correctly_assets.curation.guards import Guards

    return Guards()


def land(settings: Settings, path: Path) -> LandOutcome:
    """Land a file.

    Raises:
        UsageError: it cannot be read at all.
    """
    from correctly_assets.curation.landing import land_file

    with open_platform_store(settings) as store:
        return land_file(path, store, make_guards(settings))


def land_inbox(settings: Settings) -> list[InboxFile]:
    """Land what lies in the inbox; files move to ``done`` or ``refused``."""
    from correctly_assets.curation.inbox import ready_files, scan_inbox

    settings.inbox_dir.mkdir(parents=True, exist_ok=True)
    # One directory listing a second; the store and the guards are opened only for a file that is ready.
    if not ready_files(settings.inbox_dir):
        return []
    with open_platform_store(settings) as store:
        return scan_inbox(settings.inbox_dir, store, make_guards(settings))


def land_starter(settings: Settings) -> int:
    """Land the starter examples into an empty store. Returns how many landed."""
    from correctly_assets.curation.landing import land_file

    with open_platform_store(settings) as store:
        if store.counts().landed:
            return 0
        guards = make_guards(settings)
        return sum(land_file(path, store, guards).landed for path in settings.starter_paths)


# ------------------------------------------------------------------ train sets


@dataclass(frozen=True, slots=True)
class MadeTrainSet:
    """A train set and how it came about, for the asset's page."""

    snapshot: Snapshot
    pairs: list[TrainPair]
    leaked: tuple[str, ...]
    refused: tuple[Refusal, ...]
    teacher: str
    cost_usd: float
    by_origin: dict[str, int]
    by_type: dict[str, int]


_LEAKS = ("decontamination", "the evaluation set holds this sentence or a stretch of it")
_STRADDLES = ("straddles", "it is nearly the same as a sentence that is trained on and as one that is held out")


def make_annotator() -> Annotator:
    """ERRANT's annotator."""
    from correctly_assets.correction.annotate import ErrantAnnotator

    return ErrantAnnotator()


@dataclass(frozen=True, slots=True)
class ProfanityVeto:
    """Curation's word list as the guard that correction asks."""

    words: Profanity

    def added(self, before: str, after: str) -> bool:
        return bool(self.words.added_profanity(before, after))


def make_corrector(settings: Settings, completer: Completer, annotator: Annotator) -> Corrector:
    """The one correction path, with its guards."""
    from correctly_assets.correction.path import Corrector
    from correctly_assets.curation.profanity import Profanity

    prompts = load_prompts(settings.prompts_dir, family_of(settings.base_model))
    return Corrector(
        completer,
        annotator,
        prompts,
        profanity=ProfanityVeto(Profanity()),
        edit_confidence=settings.edit_confidence,
        word_confidence=settings.word_confidence,
    )


def make_platform_teacher(settings: Settings) -> Teacher:
    """The configured teacher."""
    from correctly_assets.curation.search import NeighbourIndex
    from correctly_assets.teachers.factory import make_teacher

    return make_teacher(
        settings.teacher,
        prompts_dir=settings.prompts_dir,
        reason_language=settings.reason_language,
        annotator=make_annotator(),
        evaluation=read_evaluation_texts(settings),
        base_url=settings.teacher_base_url,
        model=settings.teacher_model,
        api_key=settings.teacher_api_key.get_secret_value() if settings.teacher_api_key else None,
        journal_dir=settings.home / "teacher" / "journal",
        recordings_dir=settings.home / "teacher" / "recordings",
        progress=progress_writer(settings.progress_path, f"the {settings.teacher} teacher writes pairs"),
        exemplars=NeighbourIndex,
    )


def read_examples(settings: Settings, snapshot: str) -> Iterator[Example]:
    """The examples of a snapshot, in the order of their ids."""
    import pyarrow.parquet as pq

    from correctly_assets.store.records import example_from
    from correctly_assets.store.snapshots import EXAMPLES_FILE

    path = settings.snapshots_dir / snapshot / EXAMPLES_FILE
    if not path.is_file():
        raise PermanentError(f"The snapshot {snapshot} is gone: materialize examples again.")
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches():
            for row in batch.to_pylist():
                yield example_from(row)


def read_evaluation_texts(settings: Settings) -> list[str]:
    """Every text of the frozen evaluation set, sources and references: what must never be trained on."""
    texts: list[str] = []
    with settings.evaluation_path.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            texts += [row["source"], *row["references"]]
    return texts


def make_train_set(settings: Settings, *, examples_snapshot: str, log: Callable[[str], object]) -> MadeTrainSet:
    """Have the teacher write pairs from a snapshot of examples, drop what leaks, and write the train set.

    Raises:
        PermanentError, RetryableError: the teacher or the disk.
    """
    from correctly_assets.core.taxonomy import family
    from correctly_assets.curation.near import NearIndex
    from correctly_assets.store.rejected import write_rejected
    from correctly_assets.store.snapshots import read_manifest
    from correctly_assets.store.train_set import read_train_set, write_train_set

    examples = list(read_examples(settings, examples_snapshot))
    teacher = make_platform_teacher(settings)
    output = teacher.write_pairs(examples, count=settings.train_pairs, seed=settings.seed)
    log(f"{teacher.name} wrote {len(output.pairs)} pairs from {len(examples)} examples.")
    pairs = [written.pair for written in output.pairs]
    shown = leaks((text for pair in pairs for text in (pair.before, pair.after)), read_evaluation_texts(settings))
    clean = [pair for pair in pairs if pair.before not in shown and pair.after not in shown]
    # Kept on disk: a near-duplicate that lands later inherits the split of what was there before it.
    after_of = {pair.example_id: pair.after for pair in reversed(clean)}
    placed = {text.id: text.split for text in NearIndex(settings.home / "near").place(sorted(after_of.items()))}
    kept = [pair for pair in clean if placed[pair.example_id] is not None]
    manifest = read_manifest(settings.snapshots_dir / examples_snapshot)
    snapshot = write_train_set(
        kept,
        settings.snapshots_dir,
        {
            "examples_snapshot": examples_snapshot,
            "rows_digest": manifest["row_digest"],
            "teacher": teacher.identity(),
            "seed": settings.seed,
        },
        sql_dir=settings.sql_dir,
        human_weight=settings.human_weight,
        splits={pair.id: split for pair in kept if (split := placed[pair.example_id]) is not None},
    )
    dropped = {pair.id for pair in pairs} - {pair.id for pair in kept}
    left_out = [
        Refusal(
            *(_LEAKS if pair.before in shown or pair.after in shown else _STRADDLES),
            {"example_id": pair.example_id, "before": pair.before, "after": pair.after},
        )
        for pair in pairs
        if pair.id in dropped
    ]
    refused = (*output.refused, *left_out)
    write_rejected(snapshot.path, refused)
    written = list(read_train_set(snapshot.path))
    by_origin: dict[str, int] = {}
    by_type: dict[str, int] = {}
    for pair in written:
        by_origin[pair.origin] = by_origin.get(pair.origin, 0) + 1
        for edit in pair.edits:
            by_type[family(edit.type)] = by_type.get(family(edit.type), 0) + 1
    return MadeTrainSet(
        snapshot, written, tuple(shown), refused, teacher.name, output.cost_usd, by_origin, by_type
    )  # fmt: skip


def train_config(settings: Settings, *, train_set: str) -> dict[str, Any]:
    """The trainer's config for a train set, less the paths that differ from run to run."""
    from correctly_assets.store.snapshots import read_manifest
    from correctly_assets.store.train_set import TRAIN_FILE

    directory = settings.snapshots_dir / train_set
    manifest = read_manifest(directory)
    family = family_of(settings.base_model)
    made = recipe(settings)
    warm_start = None
    if settings.train_start == "champion":
        with open_platform_store(settings) as store:
            champion = store.champion()
        if champion is not None and (settings.adapters_dir / champion.adapter).is_dir():
            warm_start = str(settings.adapters_dir / champion.adapter)
    return {
        "train_set": str(directory / TRAIN_FILE),
        "base_model": settings.base_model_path,
        "adapters_dir": str(settings.adapters_dir),
        "prompts_dir": str(settings.prompts_dir),
        "chat_family": family,
        # Untouched sentences count double: with each pair seen once they are nearly half of what the model is shown, and
        # what keeps it from meddling with names, British spelling and whatever else is unusual but right.
        "stages": [{"name": "all", "mix": {"bait": 2.0}, "passes": 1, "learning_rate": settings.train_learning_rate}],
        "explain_share": 0.35,
        "lora": {"rank": settings.lora_rank, "alpha": 2 * settings.lora_rank},
        "batch_size": settings.train_batch_size,
        "max_minutes": settings.train_minutes,
        "seed": settings.seed,
        "warm_start": warm_start,
        "extras": {
            "train_set": train_set,
            "examples_snapshot": manifest["examples_snapshot"],
            "rows_digest": manifest["rows_digest"],
            "recipe": made,
            "recipe_digest": recipe_digest(settings),
            "prompts": load_prompts(settings.prompts_dir, family).sha256,
        },
    }
