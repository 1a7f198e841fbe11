"""Systems of the platform as evaluation takes them: models of the engine behind the correction path, and the engine.

Belongs here: making a `SystemUnderTest` of the base model or an adapter, finding an adapter, having an engine run. Does
not belong here: which systems are measured against which (judging.py, full_report.py), or correcting.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from correctly_assets.artifacts.files import sha256_file, write_text_atomically
from correctly_assets.artifacts.manifests import has_manifest
from correctly_assets.core.correction import Mode
from correctly_assets.core.errors import UsageError
from correctly_assets.core.evaluation import Costs
from correctly_assets.core.ports import Annotator, SystemUnderTest
from correctly_assets.core.prompts import family_of, load_prompts
from correctly_assets.core.types import Correction
from correctly_assets.engine.launch import detect_device, engine_dtype, engine_identity
from correctly_assets.evaluation.answer_cache import AnswerCache
from correctly_assets.evaluation.evaluation_set import read_evaluation_set
from correctly_assets.evaluation.systems import AnswerParts, ModelSystem, few_shot
from correctly_assets.language.harper import linter_identity
from correctly_assets.language.points import GRAMMAR_DIR
from correctly_assets.settings import PlatformSettings, Settings
from correctly_assets.training.models.base_model import base_model_revision
from correctly_assets.workflows.make_corrector import adapter_bounds, make_corrector
from correctly_assets.workflows.promote import EngineLike

if TYPE_CHECKING:
    from correctly_assets.engine.vllm_client import VllmClient

EngineSession = Callable[[Settings, Console], AbstractAsyncContextManager[EngineLike]]
"""Gives the running platform's engine, or one that is started for the block (platform/engine_session.py)."""

SHOTS = 6
"""Solved pairs that the few-shot prompt shows; more leave a long text no room in the embedded model's context."""


ANSWERS = 13
"""Raised when the correction path or its checks change what the same model answers: kept answers then no longer count."""


def kept_answers(platform: PlatformSettings) -> AnswerCache:
    """Answers of earlier evaluations here, and those that ship."""
    return AnswerCache(platform.answers_dir, platform.starter_answers_dir)


def answer_parts(
    settings: Settings,
    adapter: str | None,
    *,
    engine: Mapping[str, str | None] | None = None,
    grammar: Path | None = None,
) -> AnswerParts:
    """All that decides what a model or adapter of the engine answers: kept answers of other parts do not count.

    Args:
        engine: `engine_identity` of the one here when None.
        grammar: the folder of grammar points that reasons are made from; the shipped one when None.
    """
    parts: AnswerParts = {
        "base": base_model_revision(settings.base_model_path),
        "adapter": adapter,
        "prompts": load_prompts(settings.platform.prompts_dir, family_of(settings.training.base_model)).sha256,
        "reasons": [sha256_file(path) for path in sorted((grammar or GRAMMAR_DIR).rglob("*.yaml"))],
        "model_reasons": settings.serving.model_reasons,
        "engine": dict(engine or engine_identity()) | computed_in(settings),
        "max_model_len": settings.serving.vllm_max_model_len,
        "path": ANSWERS,
        "bounds": adapter_bounds(settings, adapter).model_dump(),
    }
    if settings.serving.stack != "model":
        parts["stack"] = [settings.serving.stack, linter_identity()]
    return parts


def computed_in(settings: Settings) -> dict[str, str]:
    """What the engine here computes in, where it is not bfloat16: answers in another precision are others."""
    dtype = engine_dtype(settings.serving.vllm_dtype, detect_device())
    return {} if dtype == "bfloat16" else {"dtype": dtype}


def model_system(
    settings: Settings,
    client: VllmClient,
    annotator: Annotator,
    *,
    name: str,
    model: str,
    adapter: str | None = None,
    release: str | None = None,
    mode: Mode = "careful",
    progress: Callable[[int], None] | None = None,
) -> SystemUnderTest:
    """A model or adapter of the engine, behind the same correction path as the chat."""
    return ModelSystem(
        name,
        make_corrector(settings, client, annotator),
        model=model,
        parts=answer_parts(settings, adapter),
        release=release,
        adapter=adapter,
        mode=mode,
        reason_language=settings.teacher.reason_language,
        # As fast as 96 on two cores, at a third of the memory: every sentence in flight holds nine rows of logits.
        at_once=32,
        progress=progress,
    )


def adapter_named(platform: PlatformSettings, prefix: str) -> str:
    """The adapter whose ID begins so.

    Raises:
        UsageError: there is none, or more than one.
    """
    found = [path.name for path in platform.adapters_dir.glob(f"{prefix}*") if has_manifest(path)] if prefix else []
    if len(found) != 1:
        what = "No adapter begins" if not found else f"{len(found)} adapters begin"
        raise UsageError(f"{what} with {prefix!r} in {platform.adapters_dir}.")
    return found[0]


def few_shot_settings(settings: Settings) -> Settings:
    """Settings under which the correction prompt shows solved pairs from the starter examples, and nothing else differs.

    The prompts are written below HOME, so that the same path renders, hashes and caches them as any others.
    """
    family = family_of(settings.training.base_model)
    prompts = load_prompts(settings.platform.prompts_dir, family)
    rows = [
        row for row in read_evaluation_set(settings.platform.starter_paths[0]).rows if row.source not in row.references
    ]
    step = max(1, len(rows) // SHOTS)
    shown = few_shot(prompts, [(row.source, row.references[0]) for row in rows[::step][:SHOTS]])
    directory = settings.platform.home / "evaluation" / "few-shot" / shown.sha256[:12]
    files = {f"chat/{family}.jinja": shown.chat, "correct.txt": shown.correct, "explain.txt": shown.explain}
    for name, text in files.items():
        write_text_atomically(directory / name, text)
    return settings.changed(platform={"prompts_dir": directory})


def weights_gb(settings: Settings, adapter: str | None = None) -> float | None:
    """Size of the files that a model is loaded from, its adapter's included; None where the base is no directory."""
    base = Path(settings.base_model_path)
    if not base.is_dir():
        return None
    directories = [base] if adapter is None else [base, settings.platform.adapters_dir / adapter]
    return sum(file.stat().st_size for place in directories for file in place.glob("*.safetensors")) / 1e9


class PreparedSystem:
    """A system that does something before its first answer: kept answers then need no engine.

    Args:
        before: e.g. loads and proves the adapter.
    """

    def __init__(self, system: SystemUnderTest, before: Callable[[], Awaitable[object]]) -> None:
        self.name = system.name
        self._system, self._before = system, before

    @property
    def guarded(self) -> bool:
        """Whether the correction path's guards are part of the system."""
        return getattr(self._system, "guarded", False)

    @property
    def costs(self) -> Costs:
        """What the answers took so far, of the system behind."""
        return getattr(self._system, "costs", Costs())

    def identity(self) -> str:
        """The identity of the system behind: what is done first changes no answer."""
        return self._system.identity()

    async def correct_all(self, texts: Sequence[str], *, reasons: bool) -> list[Correction]:
        """
        Raises:
            UnreachableError, AdapterRefused: as ``before`` and the system do.
        """
        await self._before()
        return await self._system.correct_all(texts, reasons=reasons)
