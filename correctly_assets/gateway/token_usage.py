"""The tokens that an answer asks of the engine, whoever asks on its behalf.

Belongs here: counting in the context of one answer. Does not belong here: what is made of the counts (observe.py, journal.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass

from correctly_assets.core.ports import Completion
from correctly_assets.engine.replicas import Replicas


@dataclass(slots=True)
class Meter:
    """Tokens that one answer asked of the engine."""

    prompt: int = 0
    completion: int = 0


_meter: ContextVar[Meter | None] = ContextVar("meter", default=None)


def start_meter() -> Meter:
    """A meter of this context's own, at nought."""
    meter = Meter()
    _meter.set(meter)
    return meter


class MeteredCompleter:
    """The engines' client as the corrector takes it, adding what each answer uses to the meter of its own context."""

    def __init__(self, inner: Replicas) -> None:
        self._inner = inner

    async def complete(
        self,
        prompt: str,
        *,
        model: str,
        max_tokens: int,
        stop: Sequence[str] = (),
        priority: int = 0,
        logprobs: bool = False,
    ) -> Completion:
        """As `VllmClient.complete`, whose errors pass through; the tokens used are counted."""
        completion = await self._inner.complete(
            prompt, model=model, max_tokens=max_tokens, stop=stop, priority=priority, logprobs=logprobs
        )
        if (meter := _meter.get()) is not None:
            meter.prompt += completion.prompt_tokens
            meter.completion += completion.completion_tokens
        return completion

    async def text_logprobs(self, model: str, texts: Sequence[str], *, priority: int = 0) -> list[float]:
        """As the engine says; nothing is written for it, so that nothing is counted."""
        return await self._inner.text_logprobs(model, texts, priority=priority)
