"""Evaluating systems and judging candidates: joins the engine, the correction path, evaluation and the gate.

Belongs here: which systems are measured against which, through what, and where the answers are kept. Does not belong here:
metrics and intervals (evaluation/), the gate's rules (core/gate.py).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from rich.console import Console
from rich.progress import Progress

from correctly_assets.artifacts.files import write_text_atomically
from correctly_assets.artifacts.manifests import AdapterManifest, ManifestMissing, read_manifest
from correctly_assets.artifacts.progress import progress_writer
from correctly_assets.artifacts.reports import ReviewedSystem
from correctly_assets.core.correction import Mode
from correctly_assets.core.errors import AdapterRefused, CorrectlyError, PermanentError, UsageError
from correctly_assets.core.evaluation import EvaluationSet
from correctly_assets.core.gate import GateDecision, Measured, decide_promotion
from correctly_assets.core.hashing import sha256_of
from correctly_assets.core.ports import Annotator, SystemUnderTest
from correctly_assets.core.serving import EngineCorruptedError
from correctly_assets.engine.launch import BASE_NAME
from correctly_assets.engine.load_adapter import load_proven
from correctly_assets.evaluation.answer_cache import AnswerCache
from correctly_assets.evaluation.evaluation_set import read_evaluation_set
from correctly_assets.evaluation.metrics.score import Evaluation, answer, compare, evaluate, explained_rows, score
from correctly_assets.evaluation.report.report import WrittenReport, main_figures, write_report
from correctly_assets.evaluation.systems import FileSystem, HarperSystem, IdentitySystem
from correctly_assets.settings import PlatformSettings, Settings
from correctly_assets.training.adapter import check_adapter
from correctly_assets.training.card import write_card
from correctly_assets.workflows.check_leaks import refuse_trained_on, without_trained_on
from correctly_assets.workflows.choose_bounds import inherit_bounds
from correctly_assets.workflows.find_challenger import shadow_message
from correctly_assets.workflows.make_corrector import make_annotator, make_points_of
from correctly_assets.workflows.measured_systems import EngineSession, adapter_named, kept_answers, model_system
from correctly_assets.workflows.promote import EngineLike, champion_on_this_base, gate_settings, record
from correctly_assets.workflows.record_comparator import ask_judge, choose_comparator
from correctly_assets.workflows.review_answers import reviews_so_far
from correctly_assets.workflows.wiring import open_platform_store

if TYPE_CHECKING:
    from correctly_assets.engine.vllm_client import VllmClient
    from correctly_assets.store import Store

FLAT = (
    "system", "data_sha256", "n", "gleu", "errant_p", "errant_r", "errant_f05", "exact_match", "unchanged", "overcorrected",
    "run_on", "sentences_per_second", "p50_ms", "p95_ms",
)  # fmt: skip
"""The flat object of `evaluate` (CONTRACTS), in its order; further plain figures follow."""

EXPLAINED_ROWS = 60


@dataclass(frozen=True, slots=True)
class Judged:
    """A candidate's report and verdict.

    Attributes:
        figures: plain numbers that plot over time.
        html: the self-contained page kept with the adapter.
    """

    decision: GateDecision
    figures: dict[str, float]
    markdown: str
    html: Path | None
    sha256: str


def explained_sample(data: EvaluationSet, rows: int = EXPLAINED_ROWS) -> EvaluationSet:
    """The rows whose explanations the loop asks for: awkward ones, spread over the set."""
    awkward = tuple(row for row in data.rows if row.source not in row.references)
    step = max(1, len(awkward) // rows)
    return EvaluationSet(f"{data.name}, explained", awkward[::step][:rows], sha256_of([data.sha256, "explained", rows]))


async def judge_candidate(
    settings: Settings,
    store: Store,
    engine: EngineLike,
    *,
    adapter: str,
    run_id: str | None,
    log: Callable[[str], object],
) -> Judged:
    """Measure a candidate against base, champion and untouched text on the frozen set, decide, and write its report.

    A refusal is recorded as a decision here; a promotion is recorded when it is served.

    Raises:
        UnreachableError: the engine is away.
        PermanentError: the adapter's files are gone, or the frozen set shows what it was trained on.
        PermanentError, UsageError: people reviewed answers, and the scenarios they reviewed cannot be read.
    """
    manifest = adapter_manifest(settings.platform, adapter)
    if inherit_bounds(settings.platform.adapters_dir, adapter, manifest.warm_start):
        log(f"The bounds of adapter {manifest.warm_start}, from which training started, hold for {adapter} too.")
    data = read_evaluation_set(settings.platform.evaluation_path, settings.serving.evaluation_limit)
    # Before minutes of answers: a scenarios file that cannot be read says so at once.
    reviews = reviews_so_far(settings.platform, store)
    unchecked = await asyncio.to_thread(refuse_trained_on, settings.platform, manifest, [data], log)
    annotator = await asyncio.to_thread(make_annotator)
    champion = champion_on_this_base(store, settings)
    candidate = _Candidate(settings, store, engine, adapter, manifest, data, annotator, run_id, log)
    champion_adapter = None if champion is None else champion.adapter
    try:
        answered = await candidate.measure(champion_adapter, unchecked)
    except _NotServable as error:
        decision = GateDecision(False, (str(error),))
        candidate.record_refusal(decision)
        await candidate.drop()
        return Judged(decision, {}, f"**Refused.** {error}", None, sha256_of([adapter, str(error)]))
    measured = await asyncio.to_thread(
        compare,
        answered.candidate,
        answered.base,
        answered.champion,
        names=(adapter, "base", champion_adapter),
        corrupted=answered.corrupted,
    )
    decision = decide_promotion(measured, gate_settings(settings))
    log(" ".join(decision.reasons))
    if not decision.promote:
        await candidate.drop()
    written = await candidate.write_report(answered, measured, decision, reviews)
    if not decision.promote:
        candidate.record_refusal(decision)
    return Judged(decision, main_figures(written.report), written.markdown, written.html, written.sha256)


class _NotServable(Exception):
    """The engine cannot serve the candidate; the message says why."""


@dataclass(frozen=True, slots=True)
class _Answered:
    """What the systems behind the engine answered.

    Attributes:
        explained: the candidate's answers with reasons, to a sample of the set.
        champion: None where no other adapter serves.
        corrupted: the candidate's answers that the engine counted as corrupted (NaN logits).
    """

    base: Evaluation
    candidate: Evaluation
    explained: Evaluation
    champion: Evaluation | None
    corrupted: int


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A candidate, and what it is measured with and recorded in."""

    settings: Settings
    store: Store
    engine: EngineLike
    adapter: str
    manifest: AdapterManifest
    data: EvaluationSet
    annotator: Annotator
    run_id: str | None
    log: Callable[[str], object]

    async def measure(self, champion: str | None, unchecked: str | None) -> _Answered:
        """Have base, candidate and champion answer the set.

        Args:
            champion: the adapter that serves on this base model; it is asked where it is another than the candidate.
            unchecked: what could not be checked for leaks; it stands with the candidate's scores.

        Raises:
            _NotServable: the adapter breaks a rule of serving, or corrupts the engine.
            UnreachableError, EngineCorruptedError: the engine is away, or was corrupted before.
        """
        async with self.engine.client() as client:
            base = await self._answers(client, "base")
            before = await client.corrupted_requests(self.adapter)
            try:
                candidate = await self._answers(client, "candidate", self.adapter)
                candidate.scores["unchecked"] = unchecked
                # Explanations cost several times the corrections: the loop asks for a sample's, `report --full` for all.
                explained = await self._explanations(client)
            except (AdapterRefused, EngineCorruptedError) as error:
                if isinstance(error, EngineCorruptedError) and before:
                    raise  # the engine was corrupted before this candidate came: nothing is decided about it
                raise _NotServable(str(error)) from error
            candidate.scores["explanations"] = explained_rows(explained)
            self.log(_line(candidate))
            corrupted = await client.corrupted_requests(self.adapter) - before
            other = None if champion == self.adapter else champion
            champion_adapter = None if other is None else await self._answers(client, "champion", other)
        if corrupted:
            # Its neighbours' answers cannot be trusted either; the supervisor restarts the engine on the gateway's word.
            self.log(f"{corrupted} answers were corrupted while the candidate answered.")
        return _Answered(base, candidate, explained, champion_adapter, corrupted)

    async def _answers(self, client: VllmClient, name: str, adapter: str | None = None) -> Evaluation:
        """A system's answers to the set, kept or new; an adapter is loaded and proved first."""
        if adapter is not None:
            base_model = Path(self.settings.base_model_path)
            directory = self.settings.platform.adapters_dir / adapter
            await load_proven(client, directory, lambda d: check_adapter(d, base_model))
        system = self._system(client, name, adapter, len(self.data.rows))
        answered = await evaluate(system, self.data, self.annotator, cache=self._cache)
        if adapter != self.adapter:
            self.log(_line(answered))
        return answered

    async def _explanations(self, client: VllmClient) -> Evaluation:
        """The candidate's answers with reasons, to a sample of the set."""
        sample = explained_sample(self.data)
        system = self._system(client, "candidate", self.adapter, len(sample.rows))
        return await evaluate(system, sample, self.annotator, reasons=True, cache=self._cache)

    def _system(self, client: VllmClient, name: str, adapter: str | None, sentences: int) -> SystemUnderTest:
        """A model or adapter of the engine, with the progress bar of so many sentences."""
        bar = progress_writer(self.settings.platform.progress_path, f"{name} answers {sentences} sentences")
        return model_system(
            self.settings,
            client,
            self.annotator,
            name=name,
            model=adapter or BASE_NAME,
            adapter=adapter,
            progress=lambda done: bar(done, sentences),
        )

    @property
    def _cache(self) -> AnswerCache:
        return kept_answers(self.settings.platform)

    async def write_report(
        self, answered: _Answered, measured: Measured, decision: GateDecision, reviews: Sequence[ReviewedSystem]
    ) -> WrittenReport:
        """Ask comparator and judge where they are configured, and write the adapter's report and model card."""
        untouched = await evaluate(IdentitySystem(), self.data, self.annotator)
        # The training loop never calls a paid API: a comparator has a row where its answers are recorded.
        outside = choose_comparator(self.settings, self.data, self.annotator)
        comparator = None if outside.system is None else await evaluate(outside.system, self.data, self.annotator)
        opponents = {"champion": answered.champion, "comparator": comparator, "untouched": untouched}
        systems = {
            "untouched": untouched,
            "base": answered.base,
            "champion": answered.champion,
            "comparator": comparator,
            "candidate": answered.candidate,
        }
        explained = answered.explained
        verdicts = await ask_judge(
            self.settings, answered.candidate, opponents, systems=systems, explained=explained, log=self.log
        )
        directory = self.settings.platform.adapters_dir / self.adapter
        written = await asyncio.to_thread(
            write_report,
            directory,
            manifest=self.manifest,
            measured=measured,
            decision=decision,
            systems={name: value for name, value in systems.items() if value is not None},
            explained=explained,
            judge=verdicts,
            comparator=outside.message,
            stack=self.settings.serving.stack,
            points_of=make_points_of(self.annotator),
            reviews=reviews,
            shadow=shadow_message(self.store, self.adapter),
        )
        # The card was written without scores: there were none yet.
        await asyncio.to_thread(write_card, directory)
        return written

    def record_refusal(self, decision: GateDecision) -> None:
        """Record that the gate refuses the candidate, with its reasons."""
        record(
            self.settings.platform,
            self.store,
            self.manifest,
            adapter=self.adapter,
            verdict="refused",
            reasons=decision.reasons,
            run_id=self.run_id,
        )

    async def drop(self) -> None:
        """Take the refused candidate out of the engine."""
        async with self.engine.client() as client:
            await _drop(self.store, client, self.adapter, self.log)


async def _drop(store: Store, client: VllmClient, adapter: str, log: Callable[[str], object]) -> None:
    """Take a refused candidate out of the engine, or stop its own; never what serves or stands by for a rollback."""
    releases = await asyncio.to_thread(lambda: (store.champion(), store.previous_release()))
    if adapter in {release.adapter for release in releases if release is not None}:
        return
    # The verdict stands without it: an engine that is away has forgotten the adapter, or keeps it a little longer.
    try:
        await client.unload_adapter(adapter)
    except CorrectlyError as error:
        log(str(error))


@contextlib.asynccontextmanager
async def restore_loaded_adapters(
    settings: Settings, client: VllmClient, adapters: Collection[str], log: Callable[[str], object]
) -> AsyncIterator[None]:
    """Take adapters that only the block brought to the engine out of it again: left there, they are listed as candidates,
    and fill the room that the engine has for adapters.

    Raises:
        UnreachableError: the engine is away when the block is entered.
    """
    known = await client.models() if adapters else {}
    try:
        yield
    finally:
        # What was measured stands, whether or not it can be tidied up after.
        try:
            with open_platform_store(settings.platform) as store:
                for adapter in set(adapters) - known.keys():
                    await _drop(store, client, adapter, log)
        except CorrectlyError as error:
            log(str(error))


def adapter_manifest(platform: PlatformSettings, adapter: str) -> AdapterManifest:
    """The manifest of an adapter that is to be measured.

    Raises:
        PermanentError: the adapter's files are gone or damaged.
    """
    try:
        return read_manifest(platform.adapters_dir / adapter, AdapterManifest)
    except ManifestMissing as error:
        raise PermanentError(f"The files of adapter {adapter} are gone: materialize lora_adapter again.") from error


def _line(evaluation: Evaluation) -> str:
    scores = evaluation.scores
    kept = ", kept answers" if scores["cached"] else ""
    return (
        f"{evaluation.system}: GLEU {scores['gleu']:.1f}, F0.5 {scores['errant_f05']:.1f}, "
        f"{scores['overcorrected'] or 0:.1f} % of correct sentences changed{kept}."
    )


# ------------------------------------------------------------------ the command line


def evaluate_system(
    settings: Settings,
    *,
    system: str,
    data: Path | None,
    predictions: Path | None,
    reasons: bool,
    limit: int | None,
    console: Console,
    session: EngineSession,
    mode: Mode = "careful",
) -> dict[str, int | float | str | None]:
    """`correctly evaluate`: one flat object of scores.

    Raises:
        UsageError: the set, the system's name or a predictions file cannot be read.
        PermanentError: the set shows what the adapter was trained on, or the adapter's files are gone.
        UnreachableError: a model is wanted and no engine runs or starts.
    """
    shipped = settings.platform.evaluation_path
    frozen = data is None or data.resolve() == shipped.resolve()
    chosen = read_evaluation_set(data or shipped, limit)
    evaluation = asyncio.run(
        _evaluate(settings, system, chosen, frozen, reasons=reasons, console=console, session=session, mode=mode)
    )
    if predictions is not None:
        lines = [" ".join(correction.after.split()) for correction in evaluation.answers.corrections]
        write_text_atomically(predictions, "\n".join(lines) + "\n")
    plain = {name: value for name, value in evaluation.scores.items() if _is_plain(value)}
    flat = {name: plain[name] for name in FLAT}
    if reasons:
        counts = evaluation.scores.get("explanations") or {}
        flat |= {f"explanations_{name}": value for name, value in counts.items() if _is_plain(value)}
    return flat | {name: value for name, value in plain.items() if name not in flat}


def _is_plain(value: object) -> TypeGuard[int | float | str | None]:
    return isinstance(value, int | float | str) or value is None


async def _evaluate(
    settings: Settings,
    system: str,
    data: EvaluationSet,
    frozen: bool,
    *,
    reasons: bool,
    console: Console,
    session: EngineSession,
    mode: Mode,
) -> Evaluation:
    annotator = await asyncio.to_thread(make_annotator)
    alone = _without_engine(system, annotator)
    if alone is not None:
        return await evaluate(alone, data, annotator, reasons=reasons)
    adapter, release = _adapter_of(settings, system)
    unchecked: str | None = None
    if adapter is not None:
        # Before an engine is started: an adapter that was trained on the set is not measured on it.
        manifest = adapter_manifest(settings.platform, adapter)
        if frozen:
            unchecked = await asyncio.to_thread(refuse_trained_on, settings.platform, manifest, [data], console.print)
        else:
            data, unchecked = await asyncio.to_thread(
                without_trained_on, settings.platform, manifest, data, console.print
            )
    loaded = [] if adapter is None else [adapter]
    async with (
        session(settings, console) as engine,
        engine.client() as client,
        restore_loaded_adapters(settings, client, loaded, lambda message: console.print(message, highlight=False)),
    ):
        if adapter is not None:
            directory = settings.platform.adapters_dir / adapter
            await load_proven(client, directory, lambda d: check_adapter(d, Path(settings.base_model_path)))
        with _bar(console, len(data.rows)) as progress:
            chosen = model_system(
                settings,
                client,
                annotator,
                name=system,
                model=adapter or BASE_NAME,
                adapter=adapter,
                release=release,
                mode=mode,
                progress=progress,
            )
            # Speed is part of what is asked for here, so the answers are made anew; they are kept all the same.
            answers = await answer(chosen, data, reasons=reasons)
            kept_answers(settings.platform).put(answers, reasons=reasons)
            found = score(answers, data, annotator, reasons=reasons)
            if unchecked:
                found.scores["unchecked"] = unchecked
            return found


def _without_engine(system: str, annotator: Annotator) -> SystemUnderTest | None:
    """A system that needs no engine, by its name on the command line; None for the others.

    Raises:
        UsageError: a predictions file cannot be read.
    """
    if system == "identity":
        return IdentitySystem()
    if system == "harper":
        return HarperSystem(annotator)
    return FileSystem(Path(system[5:]), annotator) if system.startswith("file:") else None


def _adapter_of(settings: Settings, system: str) -> tuple[str | None, str | None]:
    """The adapter and the release behind a system's name; (None, None) for the base model.

    Raises:
        UsageError: no system or adapter has this name.
        PermanentError: what is served is asked for, and nothing has been promoted.
    """
    if system == "base":
        return None, None
    if system.startswith("adapter:"):
        return adapter_named(settings.platform, system[8:]), None
    if system != "served":
        raise UsageError(
            f"There is no system {system!r}: choose identity, base, served, harper, adapter:ID or file:PATH."
        )
    with open_platform_store(settings.platform) as store:
        champion = store.champion()
    if champion is None:
        raise PermanentError("No adapter has been promoted yet: run `correctly up`.")
    return champion.adapter, champion.id


@contextlib.contextmanager
def _bar(console: Console, total: int) -> Iterator[Callable[[int], None]]:
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("Correcting", total=total)
        yield lambda done: progress.update(task, completed=done)
