"""What a training run hands over: its result, the canary, its exit codes, and what an ended run means.

Belongs here: records and decisions that the trainer, the assets and serving share. Does not belong here: anything that
needs torch, starts a process or reads a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from correctly_assets.core.errors import CorrectlyError, PermanentError, RefusedError, RetryableError, UsageError
from correctly_assets.core.json_shapes import Json

EXIT_INTERRUPTED = 75
"""The trainer stopped on a signal and left a checkpoint: the same config resumes (EX_TEMPFAIL of sysexits.h)."""

EXIT_PERMANENT = 70
"""The trainer stopped on something that trying again unchanged cannot cure (EX_SOFTWARE)."""


ADAPTER_CHECK = "the_adapter_can_be_served"
"""The check of `lora_adapter` that the trainer reports."""


@dataclass(frozen=True, slots=True)
class Canary:
    """A fixed completion and what it costs under the base model and under the adapter.

    Attributes:
        prompt, completion: rendered text as served; the completion is without its end token.
        base_logprob, adapter_logprob: total natural log-probability of the completion's tokens, in bf16 as served.
        tokens: how many tokens the completion has.
    """

    prompt: str
    completion: str
    base_logprob: float
    adapter_logprob: float
    tokens: int


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What one finished training run reports (the JSON at ``result_path``).

    Attributes:
        adapter, path: the adapter's ID and directory.
        loss_first, loss_last: mean loss per completion token over the first and the last tenth of the steps, in nats.
        held_out_loss: the same on held-out items after training; None without held-out items.
        pairs, items, tokens: train pairs known, turns trained on (counted once per pass), tokens of those turns.
        seconds, tokens_per_second: of the optimisation loop alone, over all resumed parts.
        peak_rss_mb: peak resident memory of the process, in MiB.
        steps, resumed: optimiser steps in all; whether a checkpoint was taken up.
        forgetting: per slice (``all``, origin, task, ``type:…``, ``form:…``, ``tone:…``) {"before", "after", "items"}:
            held-out loss of the initial and of the trained adapter.
        plan: what was promised and what it took (training/run_history.py).
        engine, device: what computed it: ``fast`` or ``plain``; ``cpu`` or ``cuda``.
        peak_gpu_mb: peak of the GPU's memory, in MiB; None without one.
        model_tflops: model FLOPs (training/estimates.py) over the loop's time, in 10¹² a second.
    """

    adapter: str
    path: str
    loss_first: float
    loss_last: float
    held_out_loss: float | None
    pairs: int
    items: int
    tokens: int
    seconds: float
    tokens_per_second: float
    peak_rss_mb: float
    steps: int
    resumed: bool
    forgetting: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    mlflow_run_id: str | None = None
    mlflow_url: str | None = None
    model_version: str | None = None
    warnings: tuple[str, ...] = ()
    plan: Mapping[str, Any] = field(default_factory=dict)
    engine: str = ""
    device: str = "cpu"
    peak_gpu_mb: float | None = None
    model_tflops: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As it stands in the file at ``result_path``."""
        return {
            **asdict(self),
            "forgetting": {k: dict(v) for k, v in self.forgetting.items()},
            "warnings": list(self.warnings),
        }

    def metadata(self, *, cores: int) -> dict[str, str | int | float]:
        """What is shown of the result beside the adapter, as plain values.

        Args:
            cores: processor cores of the machine; core minutes are the loop's time on all of them.
        """
        shown: dict[str, str | int | float] = {
            "adapter": self.adapter,
            "path": self.path,
            "loss_first": self.loss_first,
            "loss_last": self.loss_last,
            "pairs": self.pairs,
            "steps": self.steps,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "engine": f"{self.engine} on {self.device}",
            "tokens_per_second": self.tokens_per_second,
            "peak_memory_mb": self.peak_rss_mb,
            "resumed": str(self.resumed),
        }
        if self.device == "cuda":
            shown["gpu_minutes"] = self.seconds / 60
            shown["peak_gpu_memory_mb"] = self.peak_gpu_mb or 0.0
        else:
            shown["core_minutes"] = self.seconds / 60 * cores
        if self.plan:
            for side in ("promised", "took"):
                shown[f"{side}_minutes"] = self.plan[side]["minutes"]
                shown[f"{side}_gigabytes"] = self.plan[side]["gigabytes"]
        worse = got_worse(self.forgetting)
        shown["got_worse"] = ", ".join(f"{name} by {by:.0f} %" for name, by in worse) or "no held-out slice"
        if self.held_out_loss is not None:
            shown["held_out_loss"] = self.held_out_loss
        return shown | {f"warning_{number}": warning for number, warning in enumerate(self.warnings, 1)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TrainResult:
        """The result as written by the trainer; unknown keys are ignored so that readers may be older.

        Raises:
            TypeError: a field that every result has is missing.
        """
        known = {name: value[name] for name in cls.__dataclass_fields__ if name in value}
        known["warnings"] = tuple(known.get("warnings", ()))
        return cls(**known)


WORSE_PERCENT = 1.0
"""A held-out loss that has risen by less is called the same."""

_FEW_ITEMS = 5


def got_worse(forgetting: Mapping[str, Mapping[str, float]]) -> list[tuple[str, float]]:
    """(slice, per cent by which its held-out loss has risen), worst first; slices of a handful of turns say nothing."""
    risen = [
        (name, 100 * (value["after"] - value["before"]) / value["before"])
        for name, value in forgetting.items()
        if value["items"] >= _FEW_ITEMS and value["before"] > 0
    ]
    return sorted(((name, by) for name, by in risen if by >= WORSE_PERCENT), key=lambda item: -item[1])


def failure_of(exit_code: int, outcome: Mapping[str, Json] | None, *, batch_size: int) -> CorrectlyError | None:
    """What a trainer process that ended with ``exit_code`` means for whoever started it.

    Args:
        exit_code: as ``subprocess`` reports it (negative: killed by that signal).
        outcome: the JSON at ``result_path``, if there is one.
        batch_size: the setting to lower when memory ran out.

    Returns:
        None for a finished run; a `PermanentError` that must not be retried unchanged; a `RetryableError` where what
        failed may be back later; a plain `CorrectlyError` where nobody knows, such as a fault of our own.
    """
    if exit_code == 0:
        return None
    error = (outcome or {}).get("error")
    if exit_code == EXIT_INTERRUPTED:
        return RetryableError(
            "Training was stopped and left a checkpoint; the next run resumes from it.", code="interrupted"
        )
    if isinstance(error, Mapping):
        kinds: dict[str, type[CorrectlyError]] = {
            "UsageError": UsageError,
            "RefusedError": RefusedError,
            "RetryableError": RetryableError,
            "UnreachableError": RetryableError,
        }
        permanent = exit_code in (EXIT_PERMANENT, UsageError.exit_code, RefusedError.exit_code)
        kind = kinds.get(str(error.get("type")), PermanentError if permanent else CorrectlyError)
        return kind(str(error.get("message")), code=str(error.get("code") or kind.code))
    if exit_code in (-9, 137):
        return PermanentError(
            "The training process was killed from outside, most likely because memory ran out. Lower "
            f"CORRECTLY_TRAIN_BATCH_SIZE (now {batch_size}) or stop other programs; a checkpoint was kept.",
            code="out_of_memory",
        )
    return CorrectlyError(f"The training process ended with exit code {exit_code} and no message; see its log.")
