"""What a run was promised to take, what it took, and what the next promise learns from that.

Belongs here: what a plan is, the record that stands in an adapter's manifest, and reading it again. Does not belong here:
estimating (estimates.py) or measuring (produce_adapter.py). Importable without torch.
"""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median, quantiles

from pydantic import BaseModel, ValidationError

from correctly_assets.artifacts.manifests import (
    AdapterManifest,
    Figures,
    ManifestError,
    artefacts_in,
    read_manifest,
    written_at,
)
from correctly_assets.training.models.base_model import base_model_revision

WITHIN = 30.0
"""Per cent within which a run is to end of what was promised."""

_LAST_RUNS = 5
_SHARES = {("fast", "cpu"): 0.5, ("plain", "cpu"): 0.25, ("plain", "cuda"): 0.13}
"""Before a first run has taught better. A GPU's is for batches of 16 turns, the default: an H100 reaches 0.13 of its rate
with those, 0.25 with 64 and 0.34 with 256 (benchmarks/results/train_gpu.json)."""

_FIXED_SECONDS = 25.0
_COMPILE_SECONDS = 60.0  # on a GPU, the first time; inductor keeps what it has made


@dataclass(frozen=True, slots=True)
class Experience:
    """What is assumed of a machine.

    Attributes:
        share: the part of the bf16 matrix rate that a step reaches (benchmarks/train_notes.md).
        fixed_seconds: loading libraries and the base model, the canary and writing.
        memory: what the reckoned memory is multiplied by.
        runs: how many runs it was learned from; with none these are the assumptions that it starts with.
    """

    share: float = 0.5
    fixed_seconds: float = _FIXED_SECONDS
    memory: float = 1.0
    runs: int = 0


@dataclass(frozen=True, slots=True)
class PlanBasis:
    """What a plan was made of, from which the next one learns: the machine's bf16 matrix rate, the work of the held-out
    turns, and the memory as reckoned before anything was learned."""

    matrix_gflops: float
    held_flops: float
    raw_gigabytes: float


@dataclass(frozen=True, slots=True)
class Promised:
    """What a run will take, as the record keeps it.

    Attributes:
        pairs, turns: in the train set; turns count each once.
        tokens: over all steps.
        steps: as planned, or as the time budget will leave.
        minutes: wall-clock time of the whole process; never above ``max_minutes``.
        gigabytes: peak memory, 10⁹ bytes; the GPU's where one trains.
        limited: whether the time budget will cut the plan.
        learned_from: how many earlier runs on this machine the estimate has learned from.
    """

    pairs: int
    turns: int
    tokens: int
    steps: int
    minutes: float
    gigabytes: float
    limited: bool
    learned_from: int


@dataclass(frozen=True, slots=True)
class TrainPlan(Promised):
    """What a run will take, and what that was made of."""

    basis: PlanBasis


class RunKind(BaseModel):
    """What tells the runs apart that may teach each other's plans."""

    machine: str
    engine: str
    device: str
    base_revision: str
    resumed: bool


class Took(BaseModel):
    """What a run took; ``flops`` and ``loop_seconds`` are those of its steps."""

    minutes: float
    gigabytes: float
    tokens: int
    steps: int
    flops: float
    loop_seconds: float


class Basis(RunKind):
    """`PlanBasis` of a run, and what kind of run it was."""

    matrix_gflops: float
    held_flops: float
    raw_gigabytes: float


class PlanRecord(BaseModel):
    """The promise beside what came of it; ``kept`` where nothing is off by more than `WITHIN`."""

    promised: Promised
    took: Took
    minutes_off_percent: float
    gigabytes_off_percent: float
    tokens_off_percent: float
    kept: bool
    basis: Basis


class _Lesson(BaseModel):
    """The part of a record that the next plan learns from."""

    took: Took
    basis: Basis


def machine() -> str:
    """The processor's model and the cores, by which runs elsewhere are told apart."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return f"{model}, {os.cpu_count()} cores"


def record(plan: TrainPlan, *, kind: RunKind, took: Took) -> PlanRecord:
    """The promise beside what came of it, as it stands in the manifest's figures.

    Args:
        plan: made before the first step.
    """
    took = Took.model_validate({key: round(value, 3) for key, value in took})
    minutes, gigabytes, tokens = (
        _off(plan.minutes, took.minutes),
        _off(plan.gigabytes, took.gigabytes),
        _off(plan.tokens, took.tokens),
    )
    return PlanRecord(
        promised=Promised(*(getattr(plan, field.name) for field in fields(Promised))),
        took=took,
        minutes_off_percent=minutes,
        gigabytes_off_percent=gigabytes,
        tokens_off_percent=tokens,
        kept=all(abs(value) <= WITHIN for value in (minutes, gigabytes, tokens)),
        basis=Basis(**asdict(plan.basis), **dict(kind)),
    )


def plan_summary(plan: PlanRecord) -> str:
    """One sentence on a promise and what came of it, with what is further off than it should be."""
    promised, took = plan.promised, plan.took
    apart = {
        "minutes": plan.minutes_off_percent,
        "gigabytes": plan.gigabytes_off_percent,
        "tokens": plan.tokens_off_percent,
    }
    off = [key for key, percent in apart.items() if abs(percent) > WITHIN]
    return (
        f"Took {took.minutes:.1f} of {promised.minutes:.1f} promised minutes, {took.gigabytes:.1f} of "
        f"{promised.gigabytes:.1f} GB and {took.tokens:,.0f} of {promised.tokens:,} tokens"
        + (f": further off in {' and '.join(off)} than a promise should be." if off else ".")
    )


def _off(promised: float, took: float) -> float:
    return round(100 * (took - promised) / max(promised, 1e-9), 1)


def learned(adapters_dir: Path, *, base_model: str, engine: str, device: str) -> Experience:
    """What the last runs of the same base model and engine on this machine have taught; the assumptions where none has.

    Of the speed the upper quartile, of what does not grow with the work the lower, of the memory the median.

    Resumed runs teach nothing: what a killed process had spent is not known.
    """
    compiles = _COMPILE_SECONDS if device == "cuda" else 0.0
    start = Experience(share=_SHARES.get((engine, device), 0.25), fixed_seconds=_FIXED_SECONDS + compiles)
    like = RunKind(
        machine=machine(),
        engine=engine,
        device=device,
        base_revision=base_model_revision(base_model),
        resumed=False,
    )
    found: list[tuple[float, _Lesson]] = []
    for path in artefacts_in(adapters_dir):
        try:
            figures = read_manifest(path, AdapterManifest).figures or Figures()
            lesson = _Lesson.model_validate(figures.plan)
            if all(getattr(lesson.basis, key) == value for key, value in like):
                found.append((written_at(path), lesson))
        except (OSError, ManifestError, ValidationError):
            continue  # adopted, made by an earlier version, or just being removed
    if not found:
        return start
    shares, fixed, memory = [], [], []
    for _, lesson in sorted(found, key=lambda item: -item[0])[:_LAST_RUNS]:
        basis, took = lesson.basis, lesson.took
        reached = took.flops / max(took.loop_seconds, 1e-9)
        shares.append(reached / (1e9 * basis.matrix_gflops))
        other = 60 * took.minutes - took.loop_seconds - basis.held_flops / reached
        fixed.append(max(0.0, other))
        memory.append(took.gigabytes / basis.raw_gigabytes)
    # What else ran beside a run made it slower, never faster, and is no part of the machine. Not the best run either: its
    # matrix rate may have been measured in a busy moment.
    return Experience(_quartile(shares, 3), _quartile(fixed, 1), median(memory), len(shares))


def _quartile(values: list[float], number: int) -> float:
    return quantiles(values, n=4, method="inclusive")[number - 1] if len(values) > 1 else values[0]
