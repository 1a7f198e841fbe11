"""The full report: every system on every evaluation set, with an adapter's verdict above it.

Belongs here: which sets and systems there are, and generating only answers that are not kept. Does not belong here: the
verdict, which is the adapter's own report's and is never changed here (judging.py), metrics or pages (evaluation/).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from correctly_assets.artifacts.reports import ReportSection, read_report
from correctly_assets.core.errors import CorrectlyError
from correctly_assets.core.evaluation import FULL, EvaluationSet
from correctly_assets.core.ports import Annotator, SystemUnderTest
from correctly_assets.engine.launch import BASE_NAME
from correctly_assets.engine.load_adapter import load_proven
from correctly_assets.evaluation.answer_cache import AnswerCache
from correctly_assets.evaluation.evaluation_set import read_evaluation_set
from correctly_assets.evaluation.metrics.score import answer, explained_rows, score
from correctly_assets.evaluation.report.report import build_full_report, build_section, write_pages
from correctly_assets.evaluation.report.stopwatch import GENERATION, JUDGE, Stopwatch, seconds_say
from correctly_assets.evaluation.systems import HarperSystem, IdentitySystem
from correctly_assets.settings import Settings
from correctly_assets.training.adapter import check_adapter
from correctly_assets.workflows.check_leaks import refuse_trained_on, without_trained_on
from correctly_assets.workflows.find_challenger import shadow_message
from correctly_assets.workflows.judge_candidate import adapter_manifest, restore_loaded_adapters
from correctly_assets.workflows.make_corrector import DirectEngine, make_annotator, make_points_of
from correctly_assets.workflows.measured_systems import (
    EngineSession,
    PreparedSystem,
    few_shot_settings,
    kept_answers,
    model_system,
    weights_gb,
)
from correctly_assets.workflows.promote import EngineLike, champion_on_this_base
from correctly_assets.workflows.record_comparator import (
    Comparator,
    ask_judge,
    choose_comparator,
    with_comparator_settings,
)
from correctly_assets.workflows.review_answers import reviews_so_far
from correctly_assets.workflows.wiring import open_platform_store, registered_files

if TYPE_CHECKING:
    from correctly_assets.artifacts.manifests import AdapterManifest
    from correctly_assets.engine.vllm_client import VllmClient
    from correctly_assets.evaluation.metrics.score import Evaluation
    from correctly_assets.evaluation.report.report import WrittenReport
    from correctly_assets.store import Store

ORDER = (
    "untouched", "harper", "base", "base-few-shot", "comparator", "champion", "harper-then-candidate", "candidate-alone",
    "candidate",
)  # fmt: skip
"""In which order systems are shown: what anybody has, what a large model does, what this platform made."""

EXPLAINING = ("base", "champion", "candidate")
"""Who is asked for reasons: the others give none, or are one of these on another stack or with another prompt."""

OTHER_STACK = {
    "model": ("harper-then-candidate", "harper-then-model"),
    "harper-then-model": ("candidate-alone", "model"),
}
"""By the stack that serves, the candidate on the other one: its name in the report, and the stack."""

Log = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Registered:
    """A set to measure on; ``path`` None for the frozen one that ships."""

    data: EvaluationSet
    path: Path | None


def registered_sets(settings: Settings) -> list[Registered]:
    """The frozen set, then every JSONL and M2 file and parallel text (NAME.src, or its folder) in ``HOME/evaluation``, by
    name.

    Raises:
        UsageError: a file is no evaluation set.
    """
    frozen = read_evaluation_set(settings.platform.evaluation_path, settings.serving.evaluation_limit)
    files = registered_files(settings.platform)
    return [Registered(frozen, None), *(Registered(read_evaluation_set(path), path) for path in files)]


class Systems:
    """Every system of a full report, by the name it is shown under."""

    def __init__(
        self,
        settings: Settings,
        client: VllmClient,
        annotator: Annotator,
        adapter: str,
        champion: str | None,
        log: Log,
    ) -> None:
        def model(name: str, adapter: str | None = None, under: Settings = settings) -> SystemUnderTest:
            made = model_system(under, client, annotator, name=name, model=adapter or BASE_NAME, adapter=adapter)

            async def before() -> None:
                log(f"{name} answers.")
                if adapter is not None:
                    directory = settings.platform.adapters_dir / adapter
                    await load_proven(client, directory, lambda d: check_adapter(d, Path(settings.base_model_path)))

            return PreparedSystem(made, before)

        name, other = OTHER_STACK[settings.serving.stack]
        self.asked: dict[str, SystemUnderTest] = {
            "base": model("base"),
            "base-few-shot": model("base-few-shot", under=few_shot_settings(settings)),
            **({"champion": model("champion", champion)} if champion is not None else {}),
            name: model(name, adapter, under=settings.changed(serving={"stack": other})),
            "candidate": model("candidate", adapter),
        }
        self.explaining = {name: self.asked[name] for name in EXPLAINING if name in self.asked}
        self.free: dict[str, SystemUnderTest] = {"untouched": IdentitySystem(), "harper": HarperSystem(annotator)}

    def all_kept(self, cache: AnswerCache, data: EvaluationSet) -> bool:
        """Whether no answer to this set has to be generated by the engine."""
        plain = all(cache.get(s.name, s.identity(), data.sha256, reasons=False) for s in self.asked.values())
        return plain and all(
            cache.get(s.name, s.identity(), data.sha256, reasons=True) for s in self.explaining.values()
        )


async def write_full_report(
    settings: Settings,
    store: Store,
    engine: EngineLike,
    *,
    adapter: str,
    log: Log,
    engine_needed: Callable[[], AbstractAsyncContextManager[Any]] = nullcontext,
) -> WrittenReport:
    """Measure every system on every set and write ``report.full.html`` and ``report.full.json`` beside the adapter.

    Args:
        engine_needed: entered before the first answer that is not kept, e.g. to start an engine.

    Raises:
        RefusedError: the adapter was not judged yet, or breaks a rule of serving.
        PermanentError: the adapter's files are gone, or a set shows what it was trained on.
        UnreachableError: answers are missing and the engine is away.
    """
    watch = Stopwatch()
    directory = settings.platform.adapters_dir / adapter
    manifest = adapter_manifest(settings.platform, adapter)
    report = read_report(directory)
    reviews, shadow = reviews_so_far(settings.platform, store), shadow_message(store, adapter)
    with watch.on("checks"):
        sets, notes = await asyncio.to_thread(_measurable, settings, manifest, log)
    with watch.on("parser"):
        annotator = await asyncio.to_thread(make_annotator)
    cache = kept_answers(settings.platform)
    champion = champion_on_this_base(store, settings)
    champion_adapter = champion.adapter if champion is not None and champion.adapter != adapter else None
    sections: list[ReportSection] = []
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(engine.client())
        systems = Systems(settings, client, annotator, adapter, champion_adapter, log)
        if not all(systems.all_kept(cache, one.data) for one in sets):
            with watch.on(GENERATION):
                await stack.enter_async_context(engine_needed())
            loaded = [name for name in (adapter, champion_adapter) if name is not None]
            await stack.enter_async_context(restore_loaded_adapters(settings, client, loaded, log))
        for one, unchecked in zip(sets, notes, strict=True):
            log(f"Measuring on {one.data.name}, {len(one.data.rows)} rows.")
            outside = choose_comparator(settings, one.data, annotator, path=one.path, may_ask=True)
            if outside.system is not None:
                stack.push_async_callback(outside.system.close)
            section = await _section(settings, systems, outside, one.data, annotator, cache, log, watch)
            section.unchecked = unchecked
            sections.append(section)
    full = build_full_report(manifest=manifest, report=report, sections=sections)
    written = await asyncio.to_thread(write_pages, directory, full, FULL, watch, reviews=reviews, shadow=shadow)
    log(f"The report took {seconds_say(written.report.seconds or {})}")
    return written


def _measurable(settings: Settings, manifest: AdapterManifest, log: Log) -> tuple[list[Registered], list[str | None]]:
    """The sets that an adapter is measured on, without rows that it was trained on, and for each what is to be said of that.

    Raises:
        PermanentError: the frozen set shows what it was trained on, or nothing is left of another.
    """
    frozen, *own = registered_sets(settings)
    sets, notes = [frozen], [refuse_trained_on(settings.platform, manifest, [frozen.data], log)]
    for one in own:
        data, note = without_trained_on(settings.platform, manifest, one.data, log)
        sets.append(replace(one, data=data))
        notes.append(note)
    return sets, notes


async def _section(
    settings: Settings,
    systems: Systems,
    outside: Comparator,
    data: EvaluationSet,
    annotator: Annotator,
    cache: AnswerCache,
    log: Log,
    watch: Stopwatch,
) -> ReportSection:
    async def measured(system: SystemUnderTest, cache: AnswerCache | None = None, reasons: bool = False) -> Evaluation:
        with watch.on(GENERATION):
            answers = await answer(system, data, reasons=reasons, cache=cache)
        with watch.on("scoring"):
            return await asyncio.to_thread(score, answers, data, annotator, reasons=reasons)

    found: dict[str, Evaluation] = {}
    for name, system in systems.free.items():
        found[name] = await measured(system)
    for name, system in systems.asked.items():
        found[name] = await measured(system, cache)
    # Latency and scores are those of plain answers, as every other system's; reasons are asked for beside them.
    reasoned = {name: await measured(system, cache, reasons=True) for name, system in systems.explaining.items()}
    for name, one in reasoned.items():
        found[name].scores["explanations"] = explained_rows(one)
    explained = reasoned["candidate"]
    in_its_row = outside.message
    if outside.system is not None:
        try:
            # A recording is a kept answer already; a live endpoint's answers are paid for once.
            found["comparator"] = await measured(outside.system, cache if outside.live else None)
        except CorrectlyError as error:
            # Nobody's report waits for a model from outside: what is wrong with it stands in its row.
            in_its_row = with_comparator_settings(str(error))
            log(in_its_row)
    found = {name: found[name] for name in ORDER if name in found}
    for name, one in found.items():
        if name in systems.asked:
            adapters = {correction.adapter for correction in one.answers.corrections} - {None}
            one.scores["weights_gb"] = weights_gb(settings, next(iter(adapters), None))
    opponents = {name: found.get(name) for name in ("champion", "comparator", "untouched")}
    with watch.on(JUDGE):
        judge = await ask_judge(
            settings, found["candidate"], opponents, systems=found, explained=explained, rows=None, log=log
        )
    with watch.on("bootstrap"):
        return await asyncio.to_thread(
            build_section,
            systems=found,
            explained=explained,
            judge=judge,
            comparator=in_its_row,
            stack=settings.serving.stack,
            points_of=make_points_of(annotator),
        )


def full_report_here(settings: Settings, adapter: str, console: Console, session: EngineSession) -> WrittenReport:
    """`correctly report --full`: on the running platform's engine, or one that is started if an answer is missing.

    Raises:
        as `write_full_report`.
    """

    async def write() -> WrittenReport:
        with open_platform_store(settings.platform) as store:
            return await write_full_report(
                settings,
                store,
                DirectEngine.of(settings),
                adapter=adapter,
                log=lambda message: console.print(message, highlight=False),
                engine_needed=lambda: session(settings, console),
            )

    return asyncio.run(write())
