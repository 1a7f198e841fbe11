"""The teachers that ask a language model: behind an endpoint (``openai``) or from a recording (``recorded``).

Belongs here: asking, with bounded concurrency, and turning answers into pairs that passed the ladder. Does not belong
here: HTTP (endpoint.py), the prompts' content (asking.py).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ..core.errors import PermanentError, RetryableError
from ..core.hashing import sha256_of
from ..core.ports import Annotator, Refusal, TeacherOutput, WrittenPair
from ..core.teaching import ChatAnswer, ChatTransport, total_cost
from ..core.text import clean_line, split_of
from ..core.types import Example, TrainPair
from .align import explained_edits
from .asking import (
    Asked,
    Templates,
    ask_for_pairs,
    ask_to_complete,
    read_json,
    read_reasons,
)
from .budget import BudgetReachedError, PromptTooLongError, RequestRefusedError
from .exemplars import Cell, Exemplars, ask_for_cell, ask_to_complete_like
from .ladder import Ladder, agreement, as_row

VERSION = "2"
_AGREES = 0.85
T = TypeVar("T")
Answered = tuple[Asked, ChatAnswer]


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, also where a loop is running already (then in a thread of its own)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    box: list[T] = []
    failed: list[BaseException] = []

    def inside() -> None:
        try:
            box.append(asyncio.run(work))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return box[0]


class PromptedTeacher:
    """Writes pairs by asking a model, one shot at a time.

    Attributes:
        name: ``openai`` or ``recorded``.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], ChatTransport],
        *,
        model: str,
        prompts_dir: Path,
        reason_language: str = "en",
        annotator: Annotator | None = None,
        ladder: Ladder | None = None,
        batch: int = 6,
        concurrency: int = 8,
        source: str = "",
        progress: Callable[[int, int], None] | None = None,
        round_trip: bool = False,
        exemplars: Callable[[], Exemplars] | None = None,
    ) -> None:
        """
        Args:
            connect: makes the transport, anew for every call, since its connections belong to one event loop.
            batch: pairs asked for in one request.
            source: what else makes the output, e.g. a recording's hash; part of the identity.
            progress: called with (requests done, requests planned).
            round_trip: have every pair's text corrected once more, unseen, and keep the pair only if both agree.
            exemplars: makes an index of neighbours, by which the one shot is picked; by form and chance when None.
        """
        self.name = name
        self.model = model
        self.templates = Templates.load(prompts_dir)
        self.reason_language = reason_language
        self.annotator = annotator
        self.ladder = ladder or Ladder()
        self._connect = connect
        self._batch = batch
        self._concurrency = concurrency
        self._source = source
        self._progress = progress
        self._round_trip = round_trip
        self._exemplars = exemplars

    def identity(self) -> str:
        """A hash of kind, model, prompts, version and recording."""
        parts = [self.name, VERSION, self.model, self.templates.sha256, self.reason_language, self._batch, self._source]
        parts.append(self._round_trip)
        if self._exemplars is not None:
            parts.append(self._exemplars().name)
        return sha256_of(parts)

    def write_pairs(self, examples: Sequence[Example], *, count: int, seed: int) -> TeacherOutput:
        """Up to ``count`` pairs, each prompted from one of the examples.

        What could not be asked (budget, prompt length) or was not answered is among the refusals, in words.

        Raises:
            RetryableError: no request at all was answered.
            PermanentError: the endpoint refuses the key or model; there is no example to show; nothing is recorded.
        """
        asked = ask_for_pairs(
            self.templates,
            examples,
            model=self.model,
            count=count,
            batch=self._batch,
            seed=seed,
            language=self.reason_language,
        )
        if not asked:
            raise PermanentError("There is no corrected example to prompt from: add one with before and after.")
        answered, refused, requests = run(self._ask(asked))
        pairs: list[WrittenPair] = []
        seen: set[tuple[str, str]] = set()
        for one, answer in answered:
            fresh, fallen = self._read_pairs(one, answer)
            refused += fallen
            share = 0.0 if answer.paid_before else answer.cost_usd / max(1, len(fresh))
            for pair in fresh:
                if (pair.before, pair.after) in seen or len(pairs) >= count:
                    continue
                seen.add((pair.before, pair.after))
                pairs.append(WrittenPair(pair, share, answer.model))
        cost = total_cost(a for _, a in answered)
        if self._round_trip and pairs:
            pairs, fallen, more, paid = self._agreeing(pairs, examples)
            refused, requests, cost = refused + fallen, requests + more, cost + paid
        return TeacherOutput(tuple(pairs), tuple(refused), requests, cost)

    def _agreeing(
        self, pairs: Sequence[WrittenPair], examples: Sequence[Example]
    ) -> tuple[list[WrittenPair], list[Refusal], int, float]:
        """The pairs whose correction a second pass finds again without having seen it; refusals, requests, cost."""
        unseen = [Example(written.pair.id, written.pair.before, None) for written in pairs]
        asked = self._ask_to_complete(unseen, examples)
        try:
            answered, refused, requests = run(self._ask(asked))
        except BudgetReachedError as error:
            # The first pass used it up: what nobody confirmed is not kept, and what people landed still makes a train set.
            return [], [Refusal("budget", str(error), as_row(written.pair)) for written in pairs], 0, 0.0
        found: dict[str, str] = {}
        for one, answer in answered:
            try:
                found[one.example.id] = clean_line(str(self._content(answer).get("after")))
            except ValueError as error:
                refused.append(Refusal("round trip", str(error), {"id": one.example.id}))
        kept: list[WrittenPair] = []
        for written in pairs:
            second = found.get(written.pair.id)
            if second is not None and agreement(written.pair.after, second) >= _AGREES:
                kept.append(written)
            elif second is not None:
                reason = f"A second pass corrected it otherwise: {second!r}."
                refused.append(Refusal("round trip", reason, as_row(written.pair)))
        return kept, refused, requests, total_cost(answer for _, answer in answered)

    def complete_examples(
        self, examples: Sequence[Example]
    ) -> tuple[dict[str, tuple[str, tuple[str, ...]]], tuple[Refusal, ...]]:
        """Corrections for the examples without one; the others serve as shots.

        Returns:
            ({example id: (after, reasons in words)}, refusals). A correction that changes figures, names, negation or
            too much is refused.

        Raises:
            RetryableError, PermanentError: as `write_pairs`.
        """
        waiting = [e for e in examples if e.after is None]
        shots = [e for e in examples if e.after is not None]
        asked = self._ask_to_complete(waiting, shots)
        if not asked:
            return {}, ()
        answered, refused, _ = run(self._ask(asked))
        done: dict[str, tuple[str, tuple[str, ...]]] = {}
        for one, answer in answered:
            try:
                content = self._content(answer)
                reasons = read_reasons(content.get("edits"))
                pair = self._pair(one, answer, one.example.before, content.get("after"), content.get("edits"))
            except ValueError as error:
                refused.append(Refusal("schema", str(error), {"id": one.example.id, "answer": answer.text[:500]}))
                continue
            if pair.before == pair.after:
                pair = replace(pair, origin="bait", edits=())
            fallen = self.ladder.check(pair)
            if fallen is not None:
                refused.append(fallen)
                continue
            done[one.example.id] = (pair.after, tuple(reason.reason for reason in reasons))
        return done, tuple(refused)

    def write_examples(self, cells: Sequence[Cell], examples: Sequence[Example], *, seed: int) -> TeacherOutput:
        """New texts for cells of the taxonomy, each prompted from the landed example most like the cell.

        Args:
            examples: what the one shot of a prompt is picked from.
            seed: another seed asks for other texts; the same one resumes a killed run without paying twice.

        Returns:
            Pairs whose ``example_id`` is the example they were prompted from and whose attributes name their cell.

        Raises:
            RetryableError, PermanentError: as ``write_pairs``.
        """
        shots = sorted((e for e in examples if e.after and e.after != e.before), key=lambda e: e.id)
        if not shots:
            raise PermanentError("There is no corrected example to prompt from: add one with before and after.")
        asked = [
            ask_for_cell(
                self.templates,
                cell,
                shots,
                model=self.model,
                language=self.reason_language,
                seed=seed + number,
                exemplars=self._exemplars,
            )
            for number, cell in enumerate(cells)
        ]
        answered, refused, requests = run(self._ask(asked))
        pairs: dict[tuple[str, str], WrittenPair] = {}
        for one, answer in answered:
            fresh, fallen = self._read_pairs(one, answer)
            refused += fallen
            share = 0.0 if answer.paid_before else answer.cost_usd / max(1, len(fresh))
            for pair in fresh:
                pairs.setdefault((pair.before, pair.after), WrittenPair(pair, share, answer.model))
        return TeacherOutput(tuple(pairs.values()), tuple(refused), requests, total_cost(a for _, a in answered))

    def _ask_to_complete(self, waiting: Sequence[Example], shots: Sequence[Example]) -> list[Asked]:
        ask = ask_to_complete if self._exemplars is None else partial(ask_to_complete_like, exemplars=self._exemplars)
        return ask(self.templates, waiting, shots, model=self.model, language=self.reason_language)

    async def _ask(self, asked: Sequence[Asked]) -> tuple[list[Answered], list[Refusal], int]:
        """Every request's answer in the order asked, refusals for the others, and how many were answered now."""
        transport = self._connect()
        transport.begin([one.request for one in asked])
        gate = asyncio.Semaphore(self._concurrency)
        answers: dict[int, ChatAnswer] = {}
        failures: dict[int, Exception] = {}
        stop = asyncio.Event()

        async def one(number: int) -> None:
            async with gate:
                if stop.is_set():
                    return
                try:
                    answers[number] = await transport.send(asked[number].request)
                except (RetryableError, PromptTooLongError, RequestRefusedError) as error:
                    failures[number] = error
                except PermanentError as error:
                    failures[number] = error
                    stop.set()
                if self._progress is not None:
                    self._progress(len(answers) + len(failures), len(asked))

        try:
            await asyncio.gather(*(one(number) for number in range(len(asked))))
        finally:
            await transport.close()
        if not answers and failures:
            raise failures[min(failures)]
        rungs = {BudgetReachedError: "budget", PromptTooLongError: "prompt"}
        refused = [
            Refusal(rungs.get(type(error), "endpoint"), str(error), {"example_id": asked[number].example.id})
            for number, error in sorted(failures.items())
        ]
        sent = sum(not answer.paid_before for answer in answers.values())
        return [(asked[number], answers[number]) for number in sorted(answers)], refused, sent

    def _content(self, answer: ChatAnswer) -> dict[str, Any]:
        if answer.finish_reason == "length":
            raise ValueError("The answer was cut at the token limit.")
        content = read_json(answer.text)
        if not isinstance(content, dict):
            raise ValueError("The answer is no JSON object.")
        return content

    def _read_pairs(self, asked: Asked, answer: ChatAnswer) -> tuple[list[TrainPair], list[Refusal]]:
        row = {"example_id": asked.example.id, "answer": answer.text[:500]}
        try:
            rows = self._content(answer).get("pairs")
            if not isinstance(rows, list):
                raise ValueError("The answer has no list of pairs.")
        except ValueError as error:
            return [], [Refusal("schema", str(error), row)]
        pairs: list[TrainPair] = []
        refused: list[Refusal] = []
        for item in rows:
            try:
                if not isinstance(item, dict):
                    raise ValueError("A pair is no JSON object.")
                pair = self._pair(asked, answer, item.get("before"), item.get("after"), item.get("edits"))
            except ValueError as error:
                refused.append(Refusal("schema", str(error), {**row, "pair": item}))
                continue
            fallen = self.ladder.check(pair)
            if fallen is not None:
                refused.append(fallen)
            elif pair.before == asked.example.before:
                refused.append(Refusal("copy", "It repeats the example of the prompt.", row))
            else:
                pairs.append(pair)
        return pairs, refused

    def _pair(self, asked: Asked, answer: ChatAnswer, before: Any, after: Any, edits: Any) -> TrainPair:
        if not isinstance(before, str) or not isinstance(after, str) or not after.strip():
            raise ValueError("A pair lacks before or after.")
        reasons = read_reasons(edits)
        before, after = clean_line(before), clean_line(after)
        return TrainPair(
            id=sha256_of([asked.example.id, "teacher", before, after])[:16],
            example_id=asked.example.id,
            origin="teacher",
            before=before,
            after=after,
            edits=explained_edits(before, after, reasons, self.annotator),
            split=split_of(before),
            attributes={**asked.attributes, "teacher": answer.model, "reason_language": self.reason_language},
        )
