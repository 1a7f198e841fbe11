"""Where rooms are joined into the objects that the command line, the assets and the small processes share.

Belongs here: building a store, guards, a teacher, a corrector, a train set or a training config from the settings. Does
not belong here: work of any room, or decisions. Heavy rooms are imported by the function that needs them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from correctly_assets.core.errors import UsageError
from correctly_assets.core.landing import LandOutcome
from correctly_assets.core.layouts import is_parallel
from correctly_assets.core.ports import Annotator, Completer, Refusal, Teacher, TeacherOutput
from correctly_assets.core.prompts import family_of, load_prompts
from correctly_assets.core.taxonomy import Phrasing
from correctly_assets.core.text import leaks, split_of
from correctly_assets.core.types import Example, TrainPair
from correctly_assets.settings import Settings, get_settings

from . import straddles
from .pool import read_pool
from .progress import progress_writer
from .wanted import recipe, recipe_digest

if TYPE_CHECKING:
    from correctly_assets.core.landing import ExampleGuard
    from correctly_assets.core.teaching import ChatTransport
    from correctly_assets.correction.path import Corrector
    from correctly_assets.curation.inbox import InboxFile
    from correctly_assets.curation.profanity import Profanity
    from correctly_assets.curation.search import Embedding
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

STARTER = "The starter"
"""What the landing of the shipped examples is called: its files land as one."""


def make_guards(settings: Settings) -> ExampleGuard:
    """The guards every row passes before it lands."""
    from correctly_assets.curation.guards import Guards
    from correctly_assets.curation.pii import PersonalData

    return Guards(pii=settings.pii, personal_data=PersonalData(names=settings.pii_names))


def land(settings: Settings, path: Path, *, verified: bool = False) -> LandOutcome:
    """Land a file.

    Args:
        verified: whether a person vouches for its corrections, which are then trained on HUMAN_WEIGHT times.

    Raises:
        UsageError: it cannot be read at all.
    """
    from correctly_assets.curation.landing import land_file

    with open_platform_store(settings) as store:
        return land_file(path, store, make_guards(settings), verified=verified)


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
    """Land the starter examples into an empty store, or the rest of them where that was cut short. Returns how many landed."""
    from correctly_assets.curation.landing import land_file

    with open_platform_store(settings) as store:
        if store.counts().landed and not store.landing_unfinished(STARTER):
            return 0
        guards = make_guards(settings)
        with store.landing(STARTER) as seen:
            return sum(
                land_file(path, store, guards, progress=lambda _: seen()).landed for path in settings.starter_paths
            )


# ------------------------------------------------------------------ train sets


@dataclass(frozen=True, slots=True)
class MadeTrainSet:
    """A train set and how it came about, for the asset's page.

    Attributes:
        cost_usd: what this run paid.
        journalled_usd: what the teacher's answers for this set cost in all, those included that earlier runs paid.
    """

    snapshot: Snapshot
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


_LEAKS = ("decontamination", "the evaluation set holds this sentence or a stretch of it")


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


def make_corrector(
    settings: Settings, completer: Completer, annotator: Annotator, words: Profanity | None = None
) -> Corrector:
    """The one correction path, with its guards and what comes before the model: what is measured is what is served.

    Args:
        words: curation's word list where it is loaded already.

    Raises:
        PermanentError: the stack needs a package that is not installed.
    """
    from correctly_assets.correction.path import Corrector
    from correctly_assets.correction.rules_first import HarperFirst
    from correctly_assets.curation.profanity import Profanity

    prompts = load_prompts(settings.prompts_dir, family_of(settings.base_model))
    return Corrector(
        completer,
        annotator,
        prompts,
        profanity=ProfanityVeto(words or Profanity()),
        edit_confidence=settings.edit_confidence,
        word_confidence=settings.word_confidence,
        first=HarperFirst() if settings.stack == "harper-then-model" else None,
    )


def make_embedding(settings: Settings) -> Embedding:
    """The configured embedding (CORRECTLY_EMBEDDING), by which neighbours are found.

    Raises:
        UsageError: no model is named for the endpoint.
        PermanentError: the base model's files are not there.
    """
    from correctly_assets.curation.search import HashedNgrams

    if settings.embedding == "openai":
        from correctly_assets.curation.embeddings import EndpointEmbedding

        if not settings.embedding_model:
            raise UsageError("CORRECTLY_EMBEDDING=openai needs a model: set CORRECTLY_EMBEDDING_MODEL.")
        key = settings.embedding_api_key
        return EndpointEmbedding(
            base_url=settings.embedding_base_url,
            model=settings.embedding_model,
            api_key=key.get_secret_value() if key else None,
            cache=settings.vectors_path,
        )
    model = Path(settings.base_model_path)
    there = (model / "tokenizer.json").is_file() and any(model.glob("*.safetensors"))
    if settings.embedding == "base" or (settings.embedding is None and there):
        from correctly_assets.curation.embeddings import base_embedding

        rows = (json.loads(line) for path in settings.starter_paths for line in path.open(encoding="utf-8"))
        return base_embedding(model, (row["before"] for row in rows))
    return HashedNgrams()


def make_safety(settings: Settings) -> Callable[[TrainPair], str | None]:
    """Why a pair that a teacher wrote is not safe to train on, or None: personal data, or a profane word.

    Pairs made of landed rows are not looked at: the guards held those that were not safe, or a person released them.
    """
    from correctly_assets.curation.pii import PersonalData, in_words
    from correctly_assets.curation.profanity import Profanity

    personal, profane = PersonalData(names=settings.pii_names), Profanity()

    def unsafe(pair: TrainPair) -> str | None:
        if pair.origin != "teacher":
            return None
        text = "\n".join((pair.before, pair.after, *(edit.reason or "" for edit in pair.edits)))
        kinds = {find.kind for find in personal.find(text)}
        if kinds:
            return f"It holds {in_words(kinds)}."
        return "It holds a profane word." if profane.words(text) else None

    return unsafe


def make_platform_teacher(
    settings: Settings, listen: Callable[[ChatTransport], ChatTransport] | None = None
) -> Teacher:
    """The configured teacher.

    Args:
        listen: put around what the openai teacher asks (recording.py).
    """
    from correctly_assets.curation.search import NeighbourIndex
    from correctly_assets.teachers.factory import make_teacher

    # Made when the first prompt needs it: the embedded teacher shows nobody an example.
    embedding = lru_cache(lambda: make_embedding(settings))
    return make_teacher(
        settings.teacher,
        prompts_dir=settings.prompts_dir,
        reason_language=settings.reason_language,
        first_languages=settings.first_languages,
        annotator=make_annotator(),
        evaluation=read_evaluation_texts(settings),
        base_url=settings.teacher_base_url,
        model=settings.teacher_model,
        api_key=settings.teacher_api_key.get_secret_value() if settings.teacher_api_key else None,
        journal_dir=settings.home / "teacher" / "journal",
        recordings_dir=teacher_recordings_dir(settings),
        budget_usd=settings.teacher_budget_usd,
        prices=settings.teacher_prices,
        round_trip=settings.teacher_round_trip,
        batch_at=settings.teacher_batch_at,
        batch_price_share=settings.teacher_batch_price_share,
        batch_poll_seconds=settings.teacher_batch_poll_seconds,
        progress=progress_writer(settings.progress_path, f"the {settings.teacher} teacher writes pairs"),
        exemplars=lambda: NeighbourIndex(embedding()),
        safety=make_safety(settings),
        phrasings=lambda: read_phrasings(settings),
        listen=listen,
    )


def teacher_recordings_dir(settings: Settings) -> Path:
    """Where recorded teachers stand."""
    return settings.home / "teacher" / "recordings"


def read_phrasings(settings: Settings) -> list[Phrasing]:
    """The taxonomy tables as prompts draw on them."""
    with open_platform_store(settings) as store:
        rows = store.forms_and_tones()
    return [Phrasing(row.form, row.tone, row.form_form, row.feeling) for row in rows]


def read_evaluation_texts(settings: Settings) -> list[str]:
    """Every text of the frozen evaluation set and of those in ``HOME/evaluation``, sources and references: what must never
    be trained on.

    Raises:
        UsageError: a file is no evaluation set.
    """
    from correctly_assets.evaluation.data import read_evaluation_set

    files = [settings.evaluation_path, *registered_files(settings)]
    rows = [row for path in files for row in read_evaluation_set(path).rows]
    return [text for row in rows for text in (row.source, *row.references)]


def registered_files(settings: Settings) -> list[Path]:
    """The user's own evaluation sets: every JSONL and M2 file and parallel text (NAME.src, or its folder) in
    ``HOME/evaluation``, by name."""
    found = (settings.home / "evaluation").glob("*")
    return sorted(path for path in found if path.suffix in (".jsonl", ".m2", ".src") or is_parallel(path))


def write_all_pairs(settings: Settings, teacher: Teacher, examples: list[Example]) -> TeacherOutput:
    """The teacher's pairs, and beside a prompted teacher's what people landed: their corrections and untouched texts.

    A prompted teacher writes new pairs only; without these a human correction would never be trained on, and without bait a
    model over-corrects.
    """
    if teacher.name == "embedded":
        return teacher.write_pairs(examples, count=settings.train_pairs, seed=settings.seed)
    from correctly_assets.teachers.embedded import EmbeddedTeacher
    from correctly_assets.teachers.ladder import Ladder

    own = EmbeddedTeacher(
        prompts_dir=settings.prompts_dir,
        reason_language=settings.reason_language,
        annotator=make_annotator(),
        ladder=Ladder(read_evaluation_texts(settings)),
    )
    landed = own.write_landed(examples, count=settings.train_pairs, seed=settings.seed)
    left = settings.train_pairs - len(landed.pairs)
    if left < 1:
        return landed
    asked = teacher.write_pairs(examples, count=left, seed=settings.seed)
    return replace(asked, pairs=(*landed.pairs, *asked.pairs), refused=(*landed.refused, *asked.refused))


def _confirmations(settings: Settings) -> list[TrainPair]:
    """Thumbs up, as the train set's query takes them: they raise the weight of a pair that is there, and are none."""
    with open_platform_store(settings) as store:
        return [
            TrainPair(f"thumb-{thumb.id}", "", "thumb", thumb.before, thumb.after, (), 1, split_of(thumb.before))
            for thumb in store.thumbs()
        ]


def make_train_set(settings: Settings, *, examples_snapshot: str, log: Callable[[str], object]) -> MadeTrainSet:
    """Have the teacher write pairs from a snapshot of examples, drop what leaks, and write the train set.

    An example that is near to both splits goes to quarantine, and the train set counts as made of the other rows: the decision
    on it is about the accepted rows as they stand then, so that holding a row starts no run of its own.

    Raises:
        PermanentError, RetryableError: the teacher or the disk.
    """
    from correctly_assets.core.taxonomy import family
    from correctly_assets.curation.near import NearIndex
    from correctly_assets.store.rejected import write_rejected
    from correctly_assets.store.snapshots import rows_digest_without
    from correctly_assets.store.train_set import read_train_set, write_train_set

    pool = read_pool(settings, examples_snapshot)
    examples = pool.examples
    teacher = make_platform_teacher(settings)
    output = write_all_pairs(settings, teacher, examples)
    log(f"{teacher.name} wrote {len(output.pairs)} pairs from {len(examples)} of {pool.among} examples.")
    pairs = [written.pair for written in output.pairs]
    shown = leaks((text for pair in pairs for text in (pair.before, pair.after)), read_evaluation_texts(settings))
    clean = [pair for pair in pairs if pair.before not in shown and pair.after not in shown]
    # Kept on disk: a near-duplicate that lands later inherits the split of what was there before it.
    after_of = {pair.example_id: pair.after for pair in reversed(clean)}
    near = NearIndex(settings.home / "near")
    found: dict[str, straddles.Split | None] = {text.id: text.split for text in near.place(sorted(after_of.items()))}
    with open_platform_store(settings) as store:
        placed = straddles.settled(found, after_of, store.released_examples(straddles.RUNG))
    placed = straddles.one_split_a_source(placed, clean, near.earliest_first)
    kept = [pair for pair in clean if placed[pair.example_id] is not None]
    held = straddles.straddling(placed, after_of, examples)
    held_ids = sorted(example.id for example in held)
    snapshot = write_train_set(
        [*kept, *_confirmations(settings)],
        settings.snapshots_dir,
        {
            "examples_snapshot": examples_snapshot,
            "rows_digest": rows_digest_without(settings.snapshots_dir / examples_snapshot, held_ids),
            "straddling": held_ids,
            "teacher": teacher.identity(),
            "seed": settings.seed,
        },
        sql_dir=settings.sql_dir,
        human_weight=settings.human_weight,
        splits={pair.id: split for pair in kept if (split := placed[pair.example_id]) is not None},
    )
    # Only now: were this stopped before, the next run would find the same rows and hold them again.
    with open_platform_store(settings) as store:
        if newly := straddles.hold(store, held):
            log(f"{newly} examples are near to both splits and went to quarantine.")
        store.keep_edits((pair.example_id, pair.edits) for pair in kept if pair.origin in ("human", "example"))
    dropped = {pair.id for pair in pairs} - {pair.id for pair in kept}
    left_out = [
        Refusal(
            *(_LEAKS if pair.before in shown or pair.after in shown else (straddles.RUNG, straddles.REASON)),
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
        snapshot, written, tuple(shown), refused, teacher.name, output.cost_usd, by_origin, by_type, tuple(held_ids),
        output.journalled_usd,
    )  # fmt: skip


def train_stages(settings: Settings) -> list[dict[str, Any]]:
    """The curriculum's table as the trainer takes it."""
    rate = settings.train_learning_rate
    return [{**stage.model_dump(), "learning_rate": stage.learning_rate or rate} for stage in settings.train_stages]


def _trained_on(settings: Settings, adapter: str) -> Path | None:
    """The train set that an adapter of ours was made from, if it still stands."""
    from correctly_assets.store.train_set import TRAIN_FILE

    try:
        manifest = json.loads((settings.adapters_dir / adapter / "manifest.json").read_text(encoding="utf-8"))
        path = settings.snapshots_dir / str(manifest["train_set"]) / TRAIN_FILE
    except (OSError, ValueError, KeyError):
        return None
    return path if path.is_file() else None


def train_config(settings: Settings, *, train_set: str) -> dict[str, Any]:
    """The trainer's config for a train set, less the paths that differ from run to run."""
    from correctly_assets.store.snapshots import read_manifest
    from correctly_assets.store.train_set import TRAIN_FILE

    directory = settings.snapshots_dir / train_set
    manifest = read_manifest(directory)
    family = family_of(settings.base_model)
    made = recipe(settings)
    warm_start = replay = None
    if settings.train_start == "champion":
        with open_platform_store(settings) as store:
            champion = store.champion()
        if champion is not None and (settings.adapters_dir / champion.adapter).is_dir():
            warm_start = str(settings.adapters_dir / champion.adapter)
            seen = _trained_on(settings, champion.adapter)
            # Without its train set nothing is known to be old, and everything is shown.
            if seen is not None:
                replay = {"seen": str(seen), "share": settings.train_replay}
    return {
        "train_set": str(directory / TRAIN_FILE),
        "base_model": settings.base_model_path,
        "adapters_dir": str(settings.adapters_dir),
        "prompts_dir": str(settings.prompts_dir),
        "chat_family": family,
        "stages": train_stages(settings),
        "explain_share": 0.35,
        "lora": {"rank": settings.lora_rank, "alpha": 2 * settings.lora_rank},
        "batch_size": settings.train_batch_size,
        "max_minutes": settings.train_minutes,
        "seed": settings.seed,
        "warm_start": warm_start,
        "replay": replay,
        "extras": {
            "train_set": train_set,
            # By ID: what it has learnt of that adapter's train set counts as seen in every evaluation (leaks.py).
            "warm_start": Path(warm_start).name if warm_start is not None else None,
            "examples_snapshot": manifest["examples_snapshot"],
            "rows_digest": manifest["rows_digest"],
            "recipe": made,
            "recipe_digest": recipe_digest(settings),
            "prompts": load_prompts(settings.prompts_dir, family).sha256,
        },
    }
