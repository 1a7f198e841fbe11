"""What the gateway does with a request, whatever route it came by: choose the release, answer, retry, journal, count.

Belongs here: the life of one answer. Does not belong here: HTTP (routes.py), shapes (shapes.py), SQL.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from correctly_assets.core.correction import CorrectionPath, Mode, Piece, ReasonLanguage
from correctly_assets.core.errors import CorrectlyError, UnreachableError, UsageError
from correctly_assets.core.house_style import NO_STYLE, HouseStyle
from correctly_assets.core.json_shapes import Row
from correctly_assets.core.landing import LandOutcome
from correctly_assets.core.serving import (
    AdapterCheck,
    EngineCorruptedError,
    Lander,
    TurnBack,
    UnknownModelError,
)
from correctly_assets.core.types import Correction
from correctly_assets.correction.left_alone import FILES_NOT_READ, notice_of, unchanged_answer
from correctly_assets.correction.render import Layout, below_the_text, chat_answer, laid_out
from correctly_assets.engine.replicas import Replicas
from correctly_assets.gateway import chat_text as answers
from correctly_assets.gateway.access import Client
from correctly_assets.gateway.answer_log import BackgroundJournal, Entry
from correctly_assets.gateway.live_comparator import LiveComparator
from correctly_assets.gateway.metrics import Metrics
from correctly_assets.gateway.model_names import PUBLIC_COMPARATOR, wanted
from correctly_assets.gateway.options import Options
from correctly_assets.gateway.release_watch import RollbackWatch
from correctly_assets.gateway.releases import Current, Releases
from correctly_assets.gateway.shadow import Shadow
from correctly_assets.gateway.shapes import AnswerFacts, FeedbackRequest, Message, ModelCard, ModelFacts
from correctly_assets.gateway.token_usage import Meter, start_meter
from correctly_assets.store import Store
from correctly_assets.workflows.fine_tune import FineTunes
from correctly_assets.workflows.loop_metrics import Reading

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Parts:
    """The rooms that the gateway joins (joins.py), or a test's stand-ins."""

    engine: Replicas
    corrector: CorrectionPath
    book: Store
    journal: Store
    scrub: Callable[[str], str]
    scrub_correction: Callable[[Correction], Correction]
    lander: Lander
    adapters_dir: Path
    spool: Path
    check: AdapterCheck | None
    watched: Store
    turn_back: TurnBack
    read_loop: Callable[[], Reading]
    watch_loop: Callable[[int], object] | None = None
    dashboard: Callable[[int], str] | None = None
    comparator: LiveComparator | None = None
    tuning: FineTunes | None = None
    find_challenger: Callable[[Collection[str]], str | None] = lambda without: None
    close: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class ChatEnd:
    """The end of a chat answer: tokens used, and what stands under ``correctly``."""

    usage: tuple[int, int] = (0, 0)
    facts: AnswerFacts = field(default_factory=AnswerFacts)


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, in which chat, in which language reasons are wanted, how daring the answer may be, and in which house style."""

    client: Client
    chat_id: str | None
    language: ReasonLanguage
    mode: Mode = "careful"
    style: HouseStyle = NO_STYLE


class Service:
    """The gateway's one object. Call ``start`` before and ``stop`` after use."""

    def __init__(self, parts: Parts, options: Options, metrics: Metrics) -> None:
        self.parts, self.options, self.metrics = parts, options, metrics
        self.releases = Releases(
            parts.engine, parts.book, parts.adapters_dir, parts.check, poll_seconds=options.poll_seconds
        )
        self.journal = BackgroundJournal(parts.journal, parts.scrub_correction, parts.spool)
        self.watch = RollbackWatch(
            parts.watched, parts.turn_back, self.releases.refresh, self.releases.harm, seconds=options.watch_seconds
        )
        self.shadow = self._make_shadow() if options.shadow_share else None
        self._tasks: list[asyncio.Task[None]] = []
        self._reading, self._read_again_at = asyncio.Lock(), 0.0
        self._page, self._drawing, self._draw_again_at = "", asyncio.Lock(), 0.0

    async def start(self) -> None:
        """Start the journal's writer and the tasks that watch releases, votes and alerts."""
        self.journal.start()
        self._tasks = [
            asyncio.create_task(self.releases.run(), name="releases"),
            asyncio.create_task(self.watch.run(), name="watch"),
            asyncio.create_task(self._watch_loop(), name="alerts"),
        ]
        if self.shadow is not None:
            self._tasks.append(asyncio.create_task(self.shadow.run(), name="challenger"))

    def _make_shadow(self) -> Shadow:
        return Shadow(
            self.parts.find_challenger,
            self.parts.engine,
            self.parts.corrector,
            self.parts.adapters_dir,
            self.parts.check,
            self.releases,
            self.journal,
            self.metrics,
            self.options,
        )

    async def stop(self) -> None:
        """Stop following, write the journal to its end, let go of engine and store."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.shadow is not None:
            await self.shadow.stop()
        await self.journal.stop(seconds=5.0)
        await self.parts.engine.aclose()
        if self.parts.comparator is not None:
            await self.parts.comparator.close()
        await asyncio.to_thread(self.parts.close)

    def names(self) -> list[str]:
        """Public model names that can be asked for now."""
        return self.releases.names() + ([PUBLIC_COMPARATOR] if self.parts.comparator is not None else [])

    def card(self, name: str) -> ModelCard:
        """A public model as the list shows it; no rule checker of ours stands before the comparator."""
        stack = "model" if name == PUBLIC_COMPARATOR else self.options.stack
        return ModelCard(id=name, correctly=ModelFacts(stack=stack))

    # -- /v1/corrections -----------------------------------------------------------------------------------------

    async def correct(self, texts: Sequence[str], *, model: str, reasons: bool, asker: Asker) -> list[Correction]:
        """Correct texts, all by one release.

        Raises:
            UsageError: a text is too long, there are too many, or the model is unknown.
            UnreachableError, EngineCorruptedError: nothing can answer now.
        """
        if len(texts) > self.options.max_texts:
            raise UsageError(
                f"{len(texts)} texts at once; send at most {self.options.max_texts}.", code="too_many_texts"
            )
        for text in texts:
            self._check_length(text)
        if (total := sum(map(len, texts))) > self.options.max_total_characters:
            limit = self.options.max_total_characters
            raise UsageError(f"{total:,} characters at once; send at most {limit:,}.", code="text_too_long")
        name = wanted(model)
        mode = name.mode or asker.mode
        outside = self._outside(model)
        if outside is not None:
            return [await outside.correct(text) for text in texts]
        room = asyncio.Semaphore(self.options.parallel_texts)

        async def one(text: str, current: Current) -> Correction:
            async with room:
                started, meter = time.perf_counter(), start_meter()
                correction = await self.parts.corrector.correct(
                    text,
                    model=current.model,
                    release=current.release,
                    adapter=current.adapter,
                    reasons=reasons,
                    reason_language=asker.language,
                    mode=mode,
                    style=asker.style,
                )
                self._keep(correction, meter, time.perf_counter() - started, asker, mode)
                return correction

        async def every(current: Current) -> list[Correction]:
            # A task group, so that the first failure ends the others instead of leaving them to the engine.
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(one(text, current)) for text in texts]
            except ExceptionGroup as failures:
                raise failures.exceptions[0] from None
            return [task.result() for task in tasks]

        for again in (True, False):
            current = self.releases.resolve(name.model)
            try:
                with self.releases.using(current):
                    return await every(current)
            except CorrectlyError as error:
                if not (await self._recover(error) and again):
                    raise
        raise AssertionError("the second attempt returns or raises")

    # -- /v1/chat/completions ------------------------------------------------------------------------------------

    async def chat(
        self, messages: Sequence[Message], *, model: str, asker: Asker, layout: Layout | None = None
    ) -> AsyncIterator[str | ChatEnd]:
        """A chat answer in pieces, ended by a `ChatEnd`. Failures before the first piece are raised as such.

        Args:
            layout: how it is laid out; as the model's name says when None, which is the text and the table for most.

        The answer is made in a task of its own, so that a slow reader holds it back and one who leaves ends it.
        """
        queue: asyncio.Queue[str | ChatEnd | BaseException] = asyncio.Queue(maxsize=32)

        async def make() -> None:
            try:
                async for item in self._chat(messages, model, asker, layout or wanted(model).layout or "table"):
                    await queue.put(item)
            except Exception as error:
                await queue.put(error)

        task = asyncio.create_task(make(), name="chat")
        try:
            while True:
                item = await queue.get()
                if isinstance(item, BaseException):
                    raise item
                yield item
                if isinstance(item, ChatEnd):
                    return
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _chat(
        self, messages: Sequence[Message], model: str, asker: Asker, layout: Layout
    ) -> AsyncIterator[str | ChatEnd]:
        text = answers.text_of(messages)
        # Before anything reads it: patterns are searched in it, and they are not all linear.
        self._check_length(text)
        outside = self._outside(model)
        if outside is not None and layout == "table" and answers.why_asked(text) is not None:
            # What we kept are our own reasons, for our own answer.
            yield answers.COMPARATOR_SAYS_NOT_WHY
            yield ChatEnd()
            return
        without_model = await self._without_model(messages, text, asker, layout)
        if without_model is not None:
            yield without_model
            yield ChatEnd()
            return
        if outside is not None:
            correction = await outside.correct(text)
            yield laid_out(correction, layout, asker.language)
            yield ChatEnd(facts={"changed": correction.changed, "fallback": correction.fallback})
            return
        for again in (True, False):
            current = self.releases.resolve(wanted(model).model)
            started = False
            try:
                with self.releases.using(current):
                    async for item in self._corrected(text, current, asker, wanted(model).mode, layout):
                        if isinstance(item, ChatEnd) and layout == "table" and answers.has_files(messages):
                            yield f"\n\n{FILES_NOT_READ[asker.language]}"
                        started = True
                        yield item
                return
            except CorrectlyError as error:
                # Once something was said, another release must not finish the sentence.
                if not (await self._recover(error) and again and not started):
                    raise

    async def _corrected(
        self, text: str, current: Current, asker: Asker, mode: Mode | None, layout: Layout
    ) -> AsyncIterator[str | ChatEnd]:
        started, meter = time.perf_counter(), start_meter()
        held, opened = "", False
        correction: Correction | None = None
        stream = self.parts.corrector.stream(
            text,
            model=current.model,
            release=current.release,
            adapter=current.adapter,
            reasons=layout in ("table", "json"),
            reason_language=asker.language,
            mode=mode or asker.mode,
            style=asker.style,
        )
        async for item in stream:
            if isinstance(item, Correction):
                correction = item
                continue
            assert isinstance(item, Piece)
            if opened:
                yield item.text
                continue
            if layout in ("diff", "json"):
                continue  # what is shown of a piece is known only when its edits are
            held += item.text
            if item.changed or len(held) > self.options.hold_back:
                self.metrics.first.labels(current.release or current.model).observe(time.perf_counter() - started)
                opened = True
                yield held
        if correction is None:
            raise AssertionError("the path ends with a correction")
        self._keep(correction, meter, time.perf_counter() - started, asker, mode or asker.mode)
        if layout != "table":
            if not opened:
                yield laid_out(correction, layout, asker.language)
        elif not opened:
            yield chat_answer(correction, asker.language)
        elif correction.changed:
            yield f"\n\n{below_the_text(correction, asker.language)}"
        else:
            yield f"\n\n{chat_answer(correction, asker.language)}"
        facts: AnswerFacts = {
            "correction_id": correction.id,
            "release": correction.release,
            "adapter": correction.adapter,
            "changed": correction.changed,
            "fallback": correction.fallback,
        }
        yield ChatEnd((meter.prompt, meter.completion), facts)

    async def _without_model(self, messages: Sequence[Message], text: str, asker: Asker, layout: Layout) -> str | None:
        """The answer to what needs no model; None for a text to correct."""
        if answers.is_task(messages):
            return answers.task_reply(text)
        if layout != "table":
            return None  # a program puts the answer in the text's place: whatever it is, it comes back
        if not text.strip():
            return (FILES_NOT_READ if answers.has_files(messages) else answers.EMPTY)[asker.language]
        if (asked := answers.why_asked(text)) is not None:
            return await self._why(messages, asked, asker)
        if (language := answers.not_english(text)) is not None:
            return answers.ENGLISH_ONLY[language]
        return None

    async def _why(self, messages: Sequence[Message], asked: answers.WhyAsked, asker: Asker) -> str:
        # An English "why?" is typed by everybody; what reasons are wanted in says more.
        language = "ko" if asked.language == "ko" else asker.language
        exchange = answers.previous_exchange(messages)
        client = asker.client.name
        found = self.journal.last(chat_id=asker.chat_id, text=exchange[0] if exchange else None, client=client)
        if found is not None and not found.edits:
            return unchanged_answer(found, language)
        if found is not None:
            return answers.why_answer(found.before, found.edits, asked, language)
        if asker.chat_id:
            kept = await asyncio.to_thread(self.parts.journal.corrections, chat_id=asker.chat_id, limit=1)
            # Another client's chat is none of this one's business, whatever id it names. And the journal does not hold what
            # was skipped; the answer that the client sends back does.
            of_this_client = bool(kept) and kept[0].client == client
            if of_this_client and (kept[0].edits or exchange is None or not exchange[1]):
                return answers.why_answer(kept[0].before, kept[0].edits, asked, language)
        # An answer of another day or gateway: the client sends it back with the chat, table and all.
        if exchange is None or not exchange[1]:
            return answers.NO_ANSWER[language]
        if sent_back := answers.edits_of_table(exchange[1]):
            return answers.why_answer("", sent_back, asked, language)
        return notice_of(exchange[1]) or answers.NO_ANSWER[language]

    # -- /v1/feedback, /v1/examples --------------------------------------------------------------------------------

    async def feedback(self, request: FeedbackRequest, client: Client) -> str:
        """Keep a reaction; it is on disk when this returns. Returns its id.

        Raises:
            UsageError: no such answer was given (code ``unknown_correction``).
        """
        kept = await asyncio.to_thread(self.parts.journal.correction, request.correction_id)
        is_kept = kept is not None and kept.id == request.correction_id
        if not is_kept and not self.journal.known(request.correction_id):
            raise UsageError(f"There is no correction {request.correction_id}.", code="unknown_correction")

        def keep() -> str:
            scrub = self.parts.scrub
            taken = self.parts.journal.add_feedback(
                source_key=f"api:{client.name}:{request.correction_id}",
                giver=f"api:{client.name}",
                correction_id=request.correction_id,
                rating=request.rating,
                better=scrub(request.better) if request.better else request.better,
                edits=[{"index": edit.index, "accepted": edit.accepted} for edit in request.edits],
                comment=scrub(request.comment) if request.comment else request.comment,
            )
            return taken.id

        return await asyncio.to_thread(keep)

    async def read_loop(self) -> Reading:
        """The loop's metrics, at most ``options.metrics_seconds`` old; while the store is away, what was last read stands."""
        async with self._reading:
            if time.monotonic() >= self._read_again_at:
                try:
                    self.metrics.loop.known = await asyncio.to_thread(self.parts.read_loop)
                except (CorrectlyError, OSError, sqlite3.Error) as error:
                    log.warning("metrics of the loop not read", extra={"error": str(error)})
                # After a failure as well: a database that is away is not asked by each scrape.
                self._read_again_at = time.monotonic() + self.options.metrics_seconds
        return self.metrics.loop.known

    async def dashboard(self) -> str:
        """The dashboard as HTML, at most ``options.metrics_seconds`` old; drawn in a thread, once for all who ask.

        Raises:
            CorrectlyError: the store cannot be read.
        """
        async with self._drawing:
            if self.parts.dashboard is not None and time.monotonic() >= self._draw_again_at:
                self._page = await asyncio.to_thread(self.parts.dashboard, self.releases.losses())
                self._draw_again_at = time.monotonic() + self.options.metrics_seconds
        return self._page

    async def land(self, rows: Sequence[Row]) -> LandOutcome:
        """Land rows as ``correctly add`` does."""
        return await asyncio.to_thread(self.parts.lander, rows)

    # -- the comparator ------------------------------------------------------------------------------------------

    def _outside(self, model: str) -> LiveComparator | None:
        """The comparator where it is asked for. Its answers are not journalled: they are none of ours, and a vote on them
        must teach us nothing."""
        return self.parts.comparator if model == PUBLIC_COMPARATOR else None

    async def _watch_loop(self) -> None:
        """Have somebody told of what goes wrong, until cancelled; no failure ends it."""
        while self.parts.watch_loop is not None:
            await asyncio.sleep(self.options.alert_seconds)
            try:
                await asyncio.to_thread(self.parts.watch_loop, self.releases.losses())
            except CorrectlyError as error:
                log.warning("the loop was not looked at", extra={"error": str(error)})
            except Exception:
                log.exception("watching the loop failed")

    # -- within --------------------------------------------------------------------------------------------------

    async def _recover(self, error: CorrectlyError) -> bool:
        """Take note of an engine's failure; True when the same request may be tried once more."""
        self.metrics.engine_errors.labels(error.code).inc()
        if isinstance(error, UnknownModelError):
            await self.releases.refresh()
            return True
        if isinstance(error, (UnreachableError, EngineCorruptedError)):
            self.releases.look()
        return False

    def _keep(self, correction: Correction, meter: Meter, seconds: float, asker: Asker, mode: Mode) -> None:
        self.metrics.answered(correction, seconds, meter.prompt, meter.completion)
        self.watch.answered(correction)
        entry = Entry(correction, asker.client.name, asker.chat_id, round(seconds, 4), meter.prompt + meter.completion)
        self.journal.add(entry)
        if self.shadow is not None:
            self.shadow.offer(correction, mode=mode, style=asker.style)
        if correction.fallback == "empty":
            # What a poisoned engine answers: 200 and no text.
            self.releases.look()

    def _check_length(self, text: str) -> None:
        if len(text) > self.options.max_characters:
            raise UsageError(
                f"The text has {len(text):,} characters; send at most {self.options.max_characters:,} at once.",
                code="text_too_long",
            )
