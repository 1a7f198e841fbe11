"""The Protocols through which sibling rooms meet; they are joined in defs, cli and the gateway.

Belongs here: the smallest interface one room needs of another, and the records that cross it. Does not belong here: any
implementation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from correctly_assets.core.json_shapes import Row
from correctly_assets.core.types import Correction, Edit, Example, Reason, TokenEdit, TrainPair


@dataclass(frozen=True, slots=True)
class Completion:
    """One completion.

    Attributes:
        finish_reason: ``stop`` or ``length`` (ran to the token limit).
        tokens: each token's text and log-probability (nats), where they were asked for.
    """

    text: str
    finish_reason: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    tokens: tuple[tuple[str, float], ...] = ()


@runtime_checkable
class Completer(Protocol):
    """Completes rendered prompts, greedily; vLLM behind HTTP (engine/), or a fake in a test."""

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
        """Complete one prompt with the vLLM model or adapter named ``model``.

        ``priority``: lower is served earlier; chat uses 0, evaluation 10. ``logprobs``: return the tokens too.

        Raises:
            UnreachableError: the engine is away or busy beyond its queue.
            RefusedError: the engine answered with corrupted (NaN) output.
        """
        ...


@runtime_checkable
class Ranker(Completer, Protocol):
    """A completer that says too how probable a model finds given texts (engine/vllm_client.py)."""

    async def text_logprobs(self, model: str, texts: Sequence[str], *, priority: int = 0) -> list[float]:
        """The log-probability of each text, in nats; a lower ``priority`` is answered first."""
        ...


@runtime_checkable
class Annotator(Protocol):
    """Aligns two texts and names the edits (ERRANT; correction/annotate.py)."""

    def prepare(self, texts: Iterable[str]) -> None:
        """Parse many texts at once and keep them: some ten times faster than one by one."""
        ...

    def tokens(self, text: str) -> list[str]:
        """The text's tokens, as every scorer compares them."""
        ...

    def token_edits(self, before: str, after: str) -> tuple[TokenEdit, ...]:
        """ERRANT's edits over token positions, without ``noop`` and ``UNK``; empty when the tokens are equal."""
        ...

    def edits(self, before: str, after: str) -> tuple[Edit, ...]:
        """Edits over code points of ``before``, without reasons; applied to ``before`` they yield ``after`` exactly."""
        ...


class SystemUnderTest(Protocol):
    """Something that corrects texts: identity, base, served, harper, an adapter, a file of predictions."""

    name: str

    def identity(self) -> str:
        """A hash that changes when the system's answers may change; the key of the answer cache."""
        ...

    async def correct_all(self, texts: Sequence[str], *, reasons: bool) -> list[Correction]:
        """One correction per text, in order."""
        ...


@dataclass(frozen=True, slots=True)
class WrittenPair:
    """What a teacher returns for one request: the pair and what it cost."""

    pair: TrainPair
    cost_usd: float = 0.0
    teacher: str = "embedded"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row or pair that was not taken: the rung it fell from and the reason in words."""

    rung: str
    reason: str
    row: Row


@dataclass(frozen=True, slots=True)
class TeacherOutput:
    """Pairs a teacher wrote for a set of examples, and what it refused or could not do.

    Attributes:
        requests, cost_usd: what was asked and paid now.
        journalled_usd: what all its answers cost, those included that an earlier run paid or that were recorded.
    """

    pairs: tuple[WrittenPair, ...]
    refused: tuple[Refusal, ...] = ()
    requests: int = 0
    cost_usd: float = 0.0
    journalled_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Completed:
    """The correction of an example that waited, with its reasons and ERRANT's edits."""

    after: str
    reasons: tuple[Reason, ...] = ()
    edits: tuple[Edit, ...] = ()


@dataclass(frozen=True, slots=True)
class Completions:
    """Corrections by the id of the example that waited, what was refused, and what this call paid."""

    done: Mapping[str, Completed]
    refused: tuple[Refusal, ...] = ()
    cost_usd: float = 0.0


class Teacher(Protocol):
    """Writes train pairs from examples (teachers/)."""

    name: str

    def identity(self) -> str:
        """A hash of what makes its output: kind, model, prompts, rules, version."""
        ...

    def write_pairs(self, examples: Sequence[Example], *, count: int, seed: int) -> TeacherOutput:
        """Up to ``count`` train pairs, each derived or prompted from one of ``examples``; deterministic under ``seed``
        for the embedded teacher.

        Raises:
            RetryableError, PermanentError: the teacher cannot be used now, or at all as configured.
        """
        ...

    def complete_examples(self, examples: Sequence[Example]) -> Completions:
        """Corrections for the examples that wait. The embedded teacher has none to give."""
        ...
