"""The teachers that ask a language model: behind an endpoint (``openai``) or from a recording (``recorded``).

Belongs here: asking, with bounded concurrency, and turning answers into pairs that passed the ladder. Does not belong
here: HTTP (endpoint.py), the prompts' content (asking.py).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

from correctly_assets.core.errors import PermanentError, RetryableError
from correctly_assets.core.hashing import sha256_of
from correctly_assets.core.json_shapes import Json
from correctly_assets.core.ports import Annotator, Completed, Completions, Refusal, TeacherOutput, WrittenPair
from correctly_assets.core.taxonomy import Phrasing
from correctly_assets.core.text import clean_line, split_of
from correctly_assets.core.types import Example, TrainPair
from correctly_assets.llm_api.budget import PromptTooLongError, RequestRefusedError
from correctly_assets.llm_api.requests import ChatAnswer, ChatTransport
from correctly_assets.teachers.landed_edits import explained_edits
from correctly_assets.teachers.pair_checks import Ladder, agreement, as_row
from correctly_assets.teachers.prompted.batch_sizes import Sums, Wave, no_phrasings, refusal_of, unseen
from correctly_assets.teachers.prompted.exemplars import Cell, Exemplars, ask_for_cell, ask_to_complete_like
from correctly_assets.teachers.prompted.prompt_requests import (
    Asked,
    Templates,
    ask_for_pairs,
    ask_to_complete,
    read_json,
    read_reasons,
)

VERSION = "2"
_AGREES = 0.85
T = TypeVar("T")


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
        wave: int | None = None,
        exemplars: Callable[[], Exemplars] | None = None,
        phrasings: Callable[[], Sequence[Phrasing]] | None = None,
    ) -> None:
        """
        Args:
            connect: makes the transport, anew for every call, since its connections belong to one event loop.
            batch: pairs asked for in one request.
            source: what else makes the output, e.g. a recording's hash; part of the identity.
            progress: called with (requests done, requests planned).
            round_trip: have every pair's text corrected once more, unseen, and keep the pair only if both agree.
            wave: requests whose pairs are proved before more are asked for; all at once when None, as batch jobs want it.
            exemplars: makes an index of neighbours, by which the one shot is picked; by form and chance when None.
            phrasings: reads the taxonomy tables, whose words prompts take; plain names of forms and tones when None.
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
        self._wave = wave
        self._exemplars = exemplars
        self._phrasings = lru_cache(maxsize=1)(phrasings or no_phrasings)

    def identity(self) -> str:
        """A hash of kind, model, prompts, version and recording."""
        parts = [self.name, VERSION, self.model, self.templates.sha256, self.reason_language, self._batch, self._source]
        parts.append(self._round_trip)
        if self._exemplars is not None:
            parts.append(self._exemplars().name)
        parts.append([[p.form, p.tone, p.form_form, p.feeling] for p in self._phrasings()])
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
            phrasings=self._phrasings(),
        )
        if not asked:
            raise PermanentError("There is no corrected example to prompt from: add one with before and after.")
        return run(self._with_transport(partial(self._write, asked, examples, count)))

    def complete_examples(self, examples: Sequence[Example]) -> Completions:
        """Corrections for the examples without one; the others serve as shots.

        A correction that changes figures, names, negation or too much is refused, and with the round trip one that a second
        pass, shown no example, does not find again.

        Raises:
            RetryableError, PermanentError: as `write_pairs`.
        """
        waiting = [e for e in examples if e.after is None]
        shots = [e for e in examples if e.after is not None]
        asked = self._ask_to_complete(waiting, shots)
        return run(self._with_transport(partial(self._complete, asked))) if asked else Completions({})

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
        return run(self._with_transport(partial(self._write, asked, shots, None)))

    async def _with_transport(self, work: Callable[[ChatTransport], Coroutine[Any, Any, T]]) -> T:
        """One transport for all that a call asks: its budget is the call's, second passes included."""
        transport = self._connect()
        try:
            return await work(transport)
        finally:
            await transport.close()

    async def _write(
        self, asked: Sequence[Asked], shots: Sequence[Example], count: int | None, transport: ChatTransport
    ) -> TeacherOutput:
        """The pairs of these requests, at most ``count`` of them, each proved before the next ones are asked for: where the
        budget ends, what was paid for is whole."""
        transport.begin([one.request for one in asked])
        pairs: list[WrittenPair] = []
        refused: list[Refusal] = []
        seen: set[tuple[str, str]] = set()
        sums = Sums()
        size = self._wave or max(1, len(asked))
        for first in range(0, len(asked), size):
            wave = await self._ask(transport, asked[first : first + size], first, len(asked))
            if not wave.answers and wave.failures and not sums.answered:
                raise wave.failures[min(wave.failures)]
            sums.add(wave.answers.values())
            fresh: list[WrittenPair] = []
            for number, answer in sorted(wave.answers.items()):
                found, fallen = self._read_pairs(asked[first + number], answer)
                refused += fallen
                share = 0.0 if answer.paid_before else answer.cost_usd / max(1, len(found))
                for pair in found:
                    if (pair.before, pair.after) not in seen and (count is None or len(seen) < count):
                        seen.add((pair.before, pair.after))
                        fresh.append(WrittenPair(pair, share, answer.model))
            refused += [
                refusal_of(error, {"example_id": asked[first + number].example.id})
                for number, error in sorted(wave.failures.items())
            ]
            if self._round_trip and fresh:
                found_again = self._ask_to_complete([unseen(w.pair) for w in fresh], shots)
                proved, fallen = await self._proved([w.pair for w in fresh], found_again, transport, sums)
                fresh = [written for written in fresh if written.pair.id in proved]
                refused += fallen
            pairs += fresh
            if wave.stopped_by is not None:
                break
        return TeacherOutput(tuple(pairs), tuple(refused), sums.sent, sums.paid_usd, sums.journalled_usd)

    async def _complete(self, asked: Sequence[Asked], transport: ChatTransport) -> Completions:
        transport.begin([one.request for one in asked])
        wave = await self._ask(transport, asked, 0, len(asked))
        if not wave.answers and wave.failures:
            raise wave.failures[min(wave.failures)]
        sums = Sums()
        sums.add(wave.answers.values())
        refused = [
            refusal_of(error, {"id": asked[number].example.id}) for number, error in sorted(wave.failures.items())
        ]
        done: dict[str, Completed] = {}
        pairs: dict[str, TrainPair] = {}
        for number, answer in sorted(wave.answers.items()):
            one = asked[number]
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
            done[one.example.id] = Completed(pair.after, reasons, pair.edits)
            pairs[one.example.id] = pair
        if self._round_trip and pairs:
            # Without an example to follow and under another seed: the same request would have the same answer.
            again = ask_to_complete(
                self.templates, [unseen(pair) for pair in pairs.values()], (), model=self.model,
                language=self.reason_language, phrasings=self._phrasings(),
            )  # fmt: skip
            again = [replace(one, request=replace(one.request, seed=1)) for one in again]
            proved, fallen = await self._proved(list(pairs.values()), again, transport, sums)
            refused += fallen
            done = {id: completed for id, completed in done.items() if pairs[id].id in proved}
        return Completions(done, tuple(refused), sums.paid_usd)

    async def _proved(
        self, pairs: Sequence[TrainPair], asked: Sequence[Asked], transport: ChatTransport, sums: Sums
    ) -> tuple[set[str], list[Refusal]]:
        """The ids of the pairs whose correction a second pass finds again without having seen it; refusals of the others."""
        transport.begin([one.request for one in asked])
        wave = await self._ask(transport, asked)
        sums.add(wave.answers.values())
        proved: set[str] = set()
        refused: list[Refusal] = []
        for number, pair in enumerate(pairs):
            if number not in wave.answers:
                # What stopped the others stands for those that were not asked: nobody confirmed them.
                why = wave.failures.get(number) or wave.stopped_by
                assert why is not None
                refused.append(refusal_of(why, as_row(pair)))
                continue
            try:
                second = clean_line(str(self._content(wave.answers[number]).get("after")))
            except ValueError as error:
                refused.append(Refusal("round trip", str(error), as_row(pair)))
                continue
            if agreement(pair.after, second) >= _AGREES:
                proved.add(pair.id)
            else:
                reason = f"A second pass corrected it otherwise: {second!r}."
                refused.append(Refusal("round trip", reason, as_row(pair)))
        return proved, refused

    def _ask_to_complete(self, waiting: Sequence[Example], shots: Sequence[Example]) -> list[Asked]:
        ask = ask_to_complete if self._exemplars is None else partial(ask_to_complete_like, exemplars=self._exemplars)
        return ask(
            self.templates, waiting, shots, model=self.model, language=self.reason_language, phrasings=self._phrasings()
        )

    async def _ask(
        self, transport: ChatTransport, asked: Sequence[Asked], done_before: int = 0, planned: int | None = None
    ) -> Wave:
        """Send these requests, a few at a time; a failure that the next would share stops the rest.

        Args:
            planned: how many requests there are in all, for the progress; it is not told of second passes.
        """
        gate = asyncio.Semaphore(self._concurrency)
        wave = Wave()

        async def one(number: int) -> None:
            async with gate:
                if wave.stopped_by is not None:
                    return
                try:
                    wave.answers[number] = await transport.send(asked[number].request)
                except (RetryableError, PromptTooLongError, RequestRefusedError) as error:
                    wave.failures[number] = error
                except PermanentError as error:
                    wave.failures[number] = error
                    wave.stopped_by = error
                if self._progress is not None and planned is not None:
                    self._progress(done_before + len(wave.answers) + len(wave.failures), planned)

        await asyncio.gather(*(one(number) for number in range(len(asked))))
        return wave

    def _content(self, answer: ChatAnswer) -> dict[str, Json]:
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
