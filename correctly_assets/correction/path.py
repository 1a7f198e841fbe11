"""Correct → diff → explain: the one path to a correction.

Belongs here: asking the model sentence by sentence, applying the guards, extracting the edits, completing a reason for
each. Does not belong here: HTTP and journals (gateway/), what a guard or a check decides (answer_guards.py, reasons.py).
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import uuid4

from correctly_assets.core.correction import (
    Dictionary,
    Mode,
    Piece,
    ProfanityGuard,
    ReasonLanguage,
    RuleReasonWriter,
    Usage,
)
from correctly_assets.core.edits import apply_edits, shifted, touches
from correctly_assets.core.errors import CorrectlyError, RefusedError
from correctly_assets.core.house_style import NO_STYLE, HouseStyle
from correctly_assets.core.ports import Annotator, Completer, Completion, Ranker
from correctly_assets.core.prompts import Prompts
from correctly_assets.core.types import Correction, Edit, Fallback, Skipped
from correctly_assets.correction.alignment import Span, flatten
from correctly_assets.correction.answer_guards import answer_limit, refuse, settle_end
from correctly_assets.correction.bounds import Bounds, ModeBounds
from correctly_assets.correction.confidence import edit_confidences, sure_edits
from correctly_assets.correction.edit_judge import Judge, Score, gains
from correctly_assets.correction.house_wording import allowed, kept_spans, united, with_house_wording, with_kept
from correctly_assets.correction.left_alone import BY_STYLE, NO_SAFE, NO_SENTENCE, UNKNOWN_WORD, UNKNOWN_WORDS
from correctly_assets.correction.points.choose_point import Explanation
from correctly_assets.correction.reasons import check_model_reason, load_rule_reasons
from correctly_assets.correction.rules_first import sparing_names
from correctly_assets.correction.segment import ALONE, Segment, protected_spans, segments
from correctly_assets.correction.spelling_candidates import misspellings, put_right, too_many_unknown
from correctly_assets.correction.style import as_it_was
from correctly_assets.correction.surface_fixes import in_small_letters, is_in_capitals
from correctly_assets.correction.surface_fixes import put_right as surface_put_right
from correctly_assets.correction.vetoes import doubtful, kept_edits, whole

REASON_TOKENS = {"en": 56, "ko": 96}
"""Token limit of a reason: thirty English words, or as many Korean ones, and a little more."""
MOST_MISSPELT = 4
"""Misspelt words of one sentence that are looked up: with more of them it is no English."""
SPELLING_SHARE: dict[Mode, float] = {"careful": 0.5, "fluent": 0.35}
"""Least part of the probability of all candidates together that the best one must have, from 0 to 1."""
LEAST_SPELLING_GAIN = 2.0
"""Nats by which the base model must find a sentence likelier with a word put right, and both models together. Of 69 misspellings of
learners' sentences that had been put right, 67 gained more; of eleven terms and foreign words (cron, stollen, inter alia) one."""
LEFT: dict[Fallback, str] = {"length": "a sentence that is too long"}
"""What is said of a sentence that a guard left as it was, where it is not `NO_SAFE`."""
TAKES_ALL = ModeBounds(careful=Bounds(edit=0, word=0), fluent=Bounds(edit=0, word=0))

Explain = Callable[[str, str, Sequence[Edit], ReasonLanguage], Sequence[Explanation]]
"""(text, corrected text, edits, language) → a reason for each edit, or for edits that belong together; called in a thread."""


@dataclass(frozen=True, slots=True)
class _Ask:
    """What every request of one correction has in common."""

    model: str
    language: ReasonLanguage
    priority: int
    mode: Mode
    bounds: Bounds
    judge: Judge | None = None
    style: HouseStyle = NO_STYLE
    dictionary: Dictionary | None = None


@dataclass(frozen=True, slots=True)
class _Sentence:
    """One sentence's outcome; the edits' offsets count from its own beginning."""

    before: str
    after: str
    edits: tuple[Edit, ...] = ()
    fallback: Fallback | None = None
    shown: tuple[str, str] = ("", "")
    """Before and after as the model sees them, without marks."""
    plain: tuple[str, tuple[Edit, ...]] = ("", ())
    """The sentence without marks and in ordinary letters, and the edits of it: what reasons are found for."""
    why: str | None = None
    """Why it stands as it was although it may be wrong."""


class Corrector:
    """Implements `core.correction.CorrectionPath`.

    Args:
        completer: the engine.
        annotator: extracts the edits; called in a thread.
        prompts: the prompts that the model was trained with.
        profanity: vetoes words that the model adds; no veto when None.
        explain: finds the grammar point of each edit (points/choose_point.py); every reason is a general one when None.
        model_reasons: whether the model is asked for a sentence where no grammar point holds; shown if it passes its check.
        rules: writes the general reason of an edit's type; the shipped templates when None.
        dictionary: words that the model may bring in; the annotator's where it knows words.
        concurrency: sentences, and separately reasons, asked for at one time per text.
        bounds: an adapter's bounds by its ID, None for the base model; how sure the model must be of an edit (bounds.py).
        ranker: how probable a model finds each of some texts; ranks what a misspelt word may stand for. Misspellings that the
            model leaves stay where None.
        base_model: the engine's name for the base model, which judges edits (edit_judge.py); nobody does where None.
        first: mends a sentence before the model sees it (rules_first.py); edits are taken over both, from what the user
            wrote. Nothing comes first when None.
        rules_last: edits of what is left in a sentence when the model has answered (rule_proposals.py), those of one rule together.
    """

    def __init__(
        self,
        completer: Completer,
        annotator: Annotator,
        prompts: Prompts,
        *,
        profanity: ProfanityGuard | None = None,
        explain: Explain | None = None,
        model_reasons: bool = False,
        rules: RuleReasonWriter | None = None,
        dictionary: Dictionary | None = None,
        concurrency: int = 8,
        bounds: Callable[[str | None], ModeBounds] | None = None,
        ranker: Ranker | None = None,
        base_model: str | None = None,
        first: Callable[[str], str] | None = None,
        rules_last: Callable[[str], Sequence[Sequence[Edit]]] | None = None,
    ) -> None:
        self.usage = Usage()
        self._completer = completer
        self._annotator = annotator
        self._prompts = prompts
        self._profanity = profanity
        self._points = explain
        self._model_reasons = model_reasons
        self._rules = rules or load_rule_reasons()
        self._concurrency = concurrency
        self._bounds = bounds or (lambda adapter: TAKES_ALL)
        self._ranker = ranker
        self._base_model = base_model
        self._dictionary = dictionary or (annotator if isinstance(annotator, Dictionary) else None)
        self._first = first
        self._rules_last = rules_last
        self._echoes = _fixed_phrases(prompts)

    async def correct(
        self,
        text: str,
        *,
        model: str,
        release: str | None,
        adapter: str | None,
        reasons: bool = True,
        reason_language: ReasonLanguage = "en",
        priority: int = 0,
        mode: Mode = "careful",
        style: HouseStyle = NO_STYLE,
    ) -> Correction:
        """Correct one text.

        Args:
            text: any text; what is not English prose comes back as it is.
            model: the engine's name for the model or adapter.
            release, adapter: who answers for it, as the answer will say.
            mode: how sure the model must be of an edit.
            style: what is left alone, and the spellings and terms that are put in.

        Raises:
            UnreachableError, RefusedError: as the completer does.
        """
        ask = self._ask(model, adapter, reason_language, priority, mode, style)
        parts = await asyncio.to_thread(segments, text)
        async with aclosing(self._run(parts, text, ask, reasons, release, adapter)) as items:
            async for item in items:
                if isinstance(item, Correction):
                    return item
        raise AssertionError("the path ends with a correction")

    async def stream(
        self,
        text: str,
        *,
        model: str,
        release: str | None,
        adapter: str | None,
        reasons: bool = True,
        reason_language: ReasonLanguage = "en",
        priority: int = 0,
        mode: Mode = "careful",
        style: HouseStyle = NO_STYLE,
    ) -> AsyncGenerator[Piece | Correction]:
        """Yield the corrected text piece by piece, in order and as soon as each is ready, then the `Correction`.

        Closing the iterator cancels what is still asked for.

        Raises:
            UnreachableError, RefusedError: as the completer does.
        """
        ask = self._ask(model, adapter, reason_language, priority, mode, style)
        parts = await asyncio.to_thread(segments, text)
        async with aclosing(self._run(parts, text, ask, reasons, release, adapter)) as items:
            async for item in items:
                yield item

    def _ask(
        self, model: str, adapter: str | None, language: ReasonLanguage, priority: int, mode: Mode, style: HouseStyle
    ) -> _Ask:
        bounds = self._bounds(adapter)
        dictionary = with_kept(self._dictionary, style)
        return _Ask(model, language, priority, mode, bounds.of(mode), bounds.judge, style, dictionary)

    async def _run(
        self, parts: Sequence[Segment], text: str, ask: _Ask, reasons: bool, release: str | None, adapter: str | None
    ) -> AsyncGenerator[Piece | Correction]:
        several = sum(part.prose for part in parts) > 1
        skipped: list[Skipped] = []
        window: deque[tuple[Segment, asyncio.Task[_Sentence] | None]] = deque()
        explaining: list[tuple[int, _Sentence, asyncio.Task[tuple[Edit, ...]] | None]] = []
        limit = asyncio.Semaphore(self._concurrency)
        waiting = iter(parts)
        started = 0
        offset = 0
        try:
            while True:
                # A window, not all at once: memory stays flat over a document of any length.
                while started < self._concurrency and (part := next(waiting, None)) is not None:
                    task = asyncio.create_task(self._sentence(part, ask, several)) if part.prose else None
                    window.append((part, task))
                    started += part.prose
                if not window:
                    break
                part, task = window.popleft()
                done = _Sentence(part.text, part.text)
                if task is not None:
                    try:
                        done = await task
                    finally:
                        started -= 1
                if (why := done.why or self._why_apart(part, ask)) is not None:
                    skipped += _skipped(part.text, offset, why)
                if done.edits or done.fallback:
                    explain = asyncio.create_task(self._explain(done, ask, limit)) if reasons and done.edits else None
                    explaining.append((offset, done, explain))
                offset += len(part.text)
                yield Piece(done.after, done.after != part.text, done.fallback)
            edits: list[Edit] = []
            for start, sentence, task in explaining:
                found = await task if task is not None else sentence.edits
                edits += [replace(edit, start=edit.start + start, end=edit.end + start) for edit in found]
        finally:
            pending: list[asyncio.Task[Any]] = [task for _, task in window if task is not None]
            pending += [task for *_, task in explaining if task is not None]
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
        fallbacks: list[Fallback | None] = [sentence.fallback for _, sentence, _ in explaining if sentence.fallback]
        fallback = fallbacks[0] if fallbacks else None
        after = apply_edits(text, edits)
        if not skipped and not any(part.prose for part in parts):
            skipped = _skipped(text, 0, NO_SENTENCE)
        found = tuple(skipped)
        yield Correction(f"c_{uuid4().hex}", text, after, tuple(edits), release, adapter, fallback, found)

    def _why_apart(self, part: Segment, ask: _Ask) -> str | None:
        """Why a stretch is no prose, to be said; None for a word by itself that the dictionary knows, for so it was looked at."""
        words, dictionary = re.findall(r"[^\W\d_]+", part.text), ask.dictionary
        if part.why == ALONE and dictionary is not None and all(dictionary.knows(word) for word in words):
            return None
        return part.why

    async def _sentence(self, part: Segment, ask: _Ask, several: bool) -> _Sentence:
        """Ask for one sentence, apply the guards, extract the edits."""
        raw, view = part.text, part.view
        base, protected = view.shown, united([*view.protected, *kept_spans(view.shown, ask.style)])
        knows = ask.dictionary.knows if ask.dictionary is not None else None
        if capitals := is_in_capitals(base, protected, knows):
            # A model that has seen ordinary writing corrects that; the capitals are put back into what it changes.
            base = in_small_letters(base, protected) or base
        sure, asked, apart = await self._mended(base, protected, ask.dictionary)
        prompt = self._prompts.correct_prompt(asked)
        answered = await self._answer(prompt, asked, ask, part, several and part.fragment)
        kept: Sequence[Edit] = ()
        blocked: Sequence[Edit] = ()
        # What needs no model, and the house style, hold where its answer is refused too.
        fallback = answered if isinstance(answered, str) else None
        if not isinstance(answered, str) and answered[0] != asked:
            answer, completion = answered
            found = trusted = await asyncio.to_thread(self._annotator.edits, asked, answer)
            if not ask.bounds.takes_all:
                trusted = await self._trusted(asked, answer, found, completion, ask, apart)
            kept = whole(found, kept_edits(asked, trusted, apart, ask.dictionary))
            blocked = () if kept else doubtful(asked, trusted, apart, ask.dictionary)
        apart = shifted(apart, kept)
        better = apply_edits(asked, kept) if fallback is None else sure
        spelt, unsure = await self._spelt(prompt, better, ask, apart) if fallback is None else (None, False)
        mended = await self._by_rules(better, spelt or better, ask, apart)
        if asked != base or mended != better:
            # What the user is shown counts from what the user wrote.
            kept = await asyncio.to_thread(self._annotator.edits, base, mended)
        wanted = whole(kept, allowed(kept, ask.style))
        by_style = len(wanted) < len(kept) or bool(blocked)
        kept = with_house_wording(base, wanted, ask.style, protected, ask.language)
        plain = tuple(kept)
        if capitals:
            kept = _in_capitals(view.shown, kept)
        edits = view.to_raw(kept)
        shown = apply_edits(view.shown, kept)
        if fallback is not None:
            why = LEFT.get(fallback, NO_SAFE)
        elif knows is not None and too_many_unknown(apply_edits(base, plain), knows):
            why = UNKNOWN_WORDS if " " in base else UNKNOWN_WORD
        elif edits:
            why = None
        elif unsure:
            why = UNKNOWN_WORD
        else:
            house = kept_spans(asked, ask.style)
            unsafe = bool(kept) or not all(touches(edit, house) for edit in blocked)
            why = NO_SAFE if unsafe else BY_STYLE if by_style else None
        after = apply_edits(raw, edits)
        return _Sentence(raw, after, tuple(edits), fallback, shown=(view.shown, shown), plain=(base, plain), why=why)

    def _base_score(self, ask: _Ask) -> Score | None:
        if self._ranker is None or self._base_model is None:
            return None
        return partial(self._ranker.text_logprobs, self._base_model, priority=ask.priority)

    async def _trusted(
        self, asked: str, answer: str, found: Sequence[Edit], completion: Completion, ask: _Ask, apart: Sequence[Span]
    ) -> Sequence[Edit]:
        """The edits that are likely enough to be right: by the adapter's probability, or by the judge's where it has one."""
        score = self._base_score(ask)
        if ask.judge is None or score is None:
            return sure_edits(answer, found, completion, ask.bounds.least)
        proposed = _proposed(asked, answer, found, completion, apart, ask.dictionary)
        among, sure = len(proposed), dict(proposed)
        least = {edit: ask.bounds.least(edit, among) for edit in sure}
        taken = {edit: ask.judge.settles(edit, sure[edit], among, least[edit]) for edit in sure}
        # The base model reads the sentence once more for each edit, which takes as long as a third of the answer did.
        asked_about = [edit for edit in sure if taken[edit] is None]
        suspect: set[Edit] = set()
        for edit, gain in zip(asked_about, await gains(score, asked, asked_about), strict=True):
            likely = ask.judge.probability(edit, sure[edit], gain, among)
            taken[edit] = likely >= least[edit]
            if taken[edit] and likely < ask.bounds.without_point:
                suspect.add(edit)
        kept = [edit for edit in sure if taken[edit]]
        if not suspect or self._points is None:
            return kept
        told = await asyncio.to_thread(self._points, asked, apply_edits(asked, kept), kept, ask.language)
        explained = {kept[index] for reason in told if reason.point is not None for index in reason.edit_indexes}
        return [edit for edit in kept if edit in explained or edit not in suspect]

    async def _answer(
        self, prompt: str, asked: str, ask: _Ask, part: Segment, fragment: bool
    ) -> tuple[str, Completion] | Fallback:
        """The model's own wording of a sentence with its tokens, or why the sentence stays as it is."""
        sure = not ask.bounds.takes_all
        completion = await self._complete(prompt, answer_limit(asked), ask.model, ask.priority, logprobs=sure)
        if completion is None:
            return "length"
        fallback = refuse(asked, completion, echoes=self._echoes, profanity=self._profanity)
        if fallback is not None:
            return fallback
        answer = settle_end(asked, flatten(completion.text)[0])
        return as_it_was(asked, answer, part, fragment=fragment), completion

    async def proposals(self, sentence: str, *, model: str, priority: int = 10) -> list[tuple[Edit, float, float]]:
        """All edits of one sentence that nothing but their doubtfulness may speak against, each with the model's probability
        of it, from 0 to 1, and what it gains by the base model, in nats: what a judge and bounds are chosen on."""
        flat = flatten(sentence)[0]
        ask = _Ask(model, "en", priority, "careful", Bounds())
        answered = await self._answer(self._prompts.correct_prompt(flat), flat, ask, Segment(flat, True), False)
        if isinstance(answered, str):
            return []
        answer, completion = answered
        found = await asyncio.to_thread(self._annotator.edits, flat, answer)
        proposed = _proposed(flat, answer, found, completion, protected_spans(flat), self._dictionary)
        if (score := self._base_score(ask)) is None:
            return [(edit, sure, 0.0) for edit, sure in proposed]
        gained = await gains(score, flat, [edit for edit, _ in proposed])
        return [(edit, sure, gain) for (edit, sure), gain in zip(proposed, gained, strict=True)]

    async def _mended(
        self, flat: str, protected: Sequence[Span], dictionary: Dictionary | None
    ) -> tuple[str, str, list[Span]]:
        """The sentence mended by what needs no model, then by rules where some come first, under the model's vetoes; the latter is
        what the model is given, with what must stay in it."""
        knows = dictionary.knows if dictionary is not None else None
        right = surface_put_right(flat, protected, knows)
        sure, apart = await self._taken(flat, right, list(protected), False, dictionary)
        if self._first is None:
            return sure, sure, apart
        mended, apart = await self._taken(sure, await asyncio.to_thread(self._first, sure), apart, True, dictionary)
        return sure, mended, apart

    async def _taken(
        self, flat: str, mended: str, apart: list[Span], names: bool, dictionary: Dictionary | None
    ) -> tuple[str, list[Span]]:
        """What of a mended sentence is taken over, and where what must stay stands then."""
        if mended == flat or (self._profanity is not None and self._profanity.added(flat, mended)):
            return flat, apart
        found = await asyncio.to_thread(self._annotator.edits, flat, flatten(mended)[0])
        kept = kept_edits(flat, sparing_names(flat, found) if names else found, apart, dictionary)
        return apply_edits(flat, kept), shifted(apart, kept)

    async def _by_rules(self, answered: str, spelt: str, ask: _Ask, apart: Sequence[Span]) -> str:
        """The sentence with what rules find in it once everything else is done, under the vetoes over the model's edits.

        Args:
            answered: the sentence before misspellings were put right; the offsets of ``apart`` count in it.
        """
        proposed = await asyncio.to_thread(self._rules_last, spelt) if self._rules_last is not None else []
        if proposed and spelt != answered:
            apart = shifted(apart, await asyncio.to_thread(self._annotator.edits, answered, spelt))
        able = [edits for edits in proposed if len(kept_edits(spelt, edits, apart, ask.dictionary)) == len(edits)]
        return apply_edits(spelt, [edit for edits in able for edit in edits])

    async def _spelt(self, prompt: str, text: str, ask: _Ask, apart: Sequence[Span]) -> tuple[str | None, bool]:
        """The sentence with the misspelt words that are still in it put right, None where none is; and whether one is left for
        which no candidate is likely enough.

        Each candidate of the dictionary is put into the sentence, and the model says how probable the sentence then is.
        """
        if self._ranker is None or ask.dictionary is None:
            return None, False
        left = await asyncio.to_thread(misspellings, text, ask.dictionary.knows, apart)
        changed, unsure = text, len(left) > MOST_MISSPELT
        for wrong in reversed(left[:MOST_MISSPELT]):
            options = [put_right(changed, wrong, candidate) for candidate in wrong.candidates]
            # The prompt counts the same for each of them.
            as_it_is, *scores = await self._ranker.text_logprobs(
                ask.model, [prompt + option for option in (changed, *options)], priority=ask.priority
            )
            best = max(range(len(scores)), key=scores.__getitem__)
            share = 1 / sum(math.exp(score - scores[best]) for score in scores)
            if share < SPELLING_SHARE[ask.mode]:
                unsure = True
            elif await self._is_no_term(changed, options[best], scores[best] - as_it_is, ask):
                changed = options[best]
        return (changed if changed != text else None), unsure

    async def _is_no_term(self, text: str, spelt: str, gain: float, ask: _Ask) -> bool:
        """Whether a word that no dictionary knows is misspelt, rather than a term or of another language.

        Args:
            gain: nats by which the adapter finds the sentence likelier with the word put right.
        """
        score = self._base_score(ask)
        if score is None:
            return True
        before, after = await score([text, spelt])
        return min(after - before, after - before + gain) >= LEAST_SPELLING_GAIN

    async def _explain(self, sentence: _Sentence, ask: _Ask, limit: asyncio.Semaphore) -> tuple[Edit, ...]:
        """A reason for each edit: that of its grammar point, else the general one of its type, else the model's if wanted."""
        flat, after = sentence.shown
        edits = await self._by_point(sentence, ask.language)
        if not self._model_reasons:
            return edits

        async def one(edit: Edit) -> Edit:
            if edit.point is not None or edit in sentence.edits:
                return edit
            prompt = self._prompts.explain_prompt(flat, edit.was, edit.now, ask.language)
            async with limit:
                # Behind every sentence that waits: a reader wants the corrected text first.
                completion = await self._complete(prompt, REASON_TOKENS[ask.language], ask.model, ask.priority + 1)
            if completion is not None and completion.finish_reason != "length":
                reason = flatten(completion.text)[0]
                if check_model_reason(edit, reason, flat, after, ask.language) is None:
                    return edit.explained(reason, "model")
            return edit

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(edit)) for edit in edits]
        except ExceptionGroup as failures:
            # The callers know what an engine's failure means, and nothing of groups.
            said = (failure for failure in failures.exceptions if isinstance(failure, CorrectlyError))
            raise next(said, failures.exceptions[0]) from None
        return tuple(task.result() for task in tasks)

    async def _by_point(self, sentence: _Sentence, language: ReasonLanguage) -> tuple[Edit, ...]:
        """The sentence's edits with the reasons of their grammar points, or the general ones of their types."""
        # What the house style put in brings its own reason.
        edits = [
            edit if edit.reason else edit.explained(self._rules.reason(edit, language), "rule")
            for edit in sentence.edits
        ]
        before, plain = sentence.plain
        # An edit of blanks alone falls away when marks are put back; then the two lists do not speak of the same edits.
        if self._points is None or len(plain) != len(edits):
            return tuple(edits)
        after = apply_edits(before, plain)
        for explanation in await asyncio.to_thread(self._points, before, after, plain, language):
            for index in explanation.edit_indexes:
                if sentence.edits[index].reason:
                    continue
                edits[index] = edits[index].explained(explanation.reason, "rule", explanation.point)
        return tuple(edits)

    async def _complete(
        self, prompt: str, max_tokens: int, model: str, priority: int, *, logprobs: bool = False
    ) -> Completion | None:
        """The engine's completion; None where it refuses the request itself, as it does one beyond its context."""
        stop = (self._prompts.end_of_answer, "\n")
        try:
            completion = await self._completer.complete(
                prompt, model=model, max_tokens=max_tokens, stop=stop, priority=priority, logprobs=logprobs
            )
        except RefusedError as error:
            # Digits cost a token each: how long a sentence is in tokens, the engine alone knows. One that is too long for
            # it must not take the others with it.
            if error.code != "engine_refused":
                raise
            return None
        self.usage.requests += 1
        self.usage.prompt_tokens += completion.prompt_tokens
        self.usage.completion_tokens += completion.completion_tokens
        return completion


def _proposed(
    text: str,
    answer: str,
    found: Sequence[Edit],
    completion: Completion,
    protected: Sequence[Span],
    dictionary: Dictionary | None,
) -> list[tuple[Edit, float]]:
    """The edits of an answer that no veto speaks against, each with the adapter's probability of it."""
    able = set(kept_edits(text, found, protected, dictionary))
    sure = edit_confidences(answer, found, completion)
    return [(edit, confidence) for edit, confidence in zip(found, sure, strict=True) if edit in able]


def _in_capitals(shown: str, edits: Sequence[Edit]) -> list[Edit]:
    """Edits of a sentence in small letters as edits of the same sentence in capitals."""
    changed = [replace(edit, was=shown[edit.start : edit.end], now=edit.now.upper()) for edit in edits]
    return [edit for edit in changed if edit.was != edit.now]


def _skipped(text: str, offset: int, why: str) -> list[Skipped]:
    """The stretch, without the blanks around it, as it is said to whoever asked."""
    start = offset + len(text) - len(text.lstrip())
    end = offset + len(text.rstrip())
    return [Skipped(start, end, why)] if start < end else []


def _fixed_phrases(prompts: Prompts) -> tuple[str, ...]:
    """The prompt files' own words between their placeholders, which an answer must not echo."""
    phrases = re.split(r"\{\w+\}", f"{prompts.correct}\n{prompts.explain}")
    lines = [line.strip(' :"') for phrase in phrases for line in phrase.splitlines()]
    return tuple(line for line in lines if len(line.split()) >= 3)
