"""The one correction path, built from the settings, and a client of the engine for whoever has no Dagster.

Belongs here: the path's guards, bounds, reasons and what comes before the model. Does not belong here: correcting
(correction/), or talking to the engine (engine/).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from correctly_assets.core.ports import Annotator, Ranker
from correctly_assets.core.prompts import family_of, load_prompts
from correctly_assets.correction.annotate import ErrantAnnotator, LazyAnnotator
from correctly_assets.correction.bounds import DEFAULT_BOUNDS, ModeBounds, overridden, read_bounds
from correctly_assets.correction.path import Corrector
from correctly_assets.correction.points.choose_point import PointReasons
from correctly_assets.correction.rule_proposals import RuleProposals
from correctly_assets.correction.rules_first import HarperFirst
from correctly_assets.curation.profanity import Profanity
from correctly_assets.engine.key import engine_key
from correctly_assets.engine.launch import BASE_NAME
from correctly_assets.engine.vllm_client import VllmClient
from correctly_assets.evaluation.metrics.point_scores import PointsOf
from correctly_assets.settings import Settings


@dataclass(frozen=True, slots=True)
class DirectEngine:
    """The engine without Dagster: what `EngineResource` is to the assets."""

    url: str
    key: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, settings: Settings) -> DirectEngine:
        """The platform's own engine."""
        return cls(settings.serving.vllm_url, engine_key(settings.platform.home))

    @asynccontextmanager
    async def client(self) -> AsyncIterator[VllmClient]:
        """A client of the engine for the block; it is closed at the end."""
        async with VllmClient(self.url, key=self.key) as client:
            yield client


def make_annotator() -> Annotator:
    """ERRANT's annotator."""
    return ErrantAnnotator()


def make_points_of(annotator: Annotator) -> PointsOf | None:
    """What finds the grammar point of each edit; None for an annotator that has no parses."""
    return PointReasons(annotator).by_key if isinstance(annotator, (ErrantAnnotator, LazyAnnotator)) else None


@dataclass(frozen=True, slots=True)
class ProfanityVeto:
    """Curation's word list as the guard that correction asks."""

    words: Profanity

    def added(self, before: str, after: str) -> bool:
        """Whether ``after`` holds a profane word that ``before`` does not."""
        return bool(self.words.added_profanity(before, after))


def make_corrector(
    settings: Settings, engine: Ranker, annotator: Annotator, words: Profanity | None = None
) -> Corrector:
    """The one correction path, with its guards and what comes before the model: what is measured is what is served.

    Args:
        engine: completes and scores: without its scores edits would not be judged, nor misspellings ranked.
        words: curation's word list where it is loaded already.

    Raises:
        PermanentError: the stack needs a package that is not installed.
    """
    prompts = load_prompts(settings.platform.prompts_dir, family_of(settings.training.base_model))
    parses = isinstance(annotator, (ErrantAnnotator, LazyAnnotator))
    return Corrector(
        engine,
        annotator,
        prompts,
        profanity=ProfanityVeto(words or Profanity()),
        explain=PointReasons(annotator) if parses else None,
        model_reasons=settings.serving.model_reasons,
        bounds=partial(adapter_bounds, settings),
        ranker=engine,
        base_model=BASE_NAME,
        first=HarperFirst() if settings.serving.stack == "harper-then-model" else None,
        rules_last=RuleProposals(annotator) if parses else None,
    )


def adapter_bounds(settings: Settings, adapter: str | None) -> ModeBounds:
    """How sure the model must be of an edit: the adapter's own bounds, unless a person set others."""
    own = DEFAULT_BOUNDS if adapter is None else read_bounds(settings.platform.adapters_dir / adapter)
    return overridden(own, settings.serving.edit_confidence, settings.serving.word_confidence)
