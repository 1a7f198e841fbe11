"""What the command line asks of the trainer: a plan, a run as a child, an adapter from elsewhere.

Belongs here: joining the settings with the training room, and its child processes. Does not belong here: training, the
gate, comparing several runs (comparing.py), exporting (export.py).
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from correctly_assets.artifacts.manifests import Manifest, artefacts_in, read_manifest, written_at
from correctly_assets.core.errors import (
    AdapterRefused,
    CorrectlyError,
    PermanentError,
    RefusedError,
    RetryableError,
    UnreachableError,
    UsageError,
)
from correctly_assets.core.prompts import family_of
from correctly_assets.core.training import TrainResult
from correctly_assets.settings import EMBEDDED_BASE_MODEL, PlatformSettings, ServingSettings, Settings
from correctly_assets.training.adapter import check_foreign
from correctly_assets.training.card import write_card
from correctly_assets.training.child import read_result, start_child, wait_for_child, write_config
from correctly_assets.training.config import TrainConfig, TrainSpec
from correctly_assets.training.estimates import plan_training
from correctly_assets.training.tasks import AdoptedAdapter, AdoptRequest, ConvertRequest
from correctly_assets.workflows.build_train_set import train_config
from correctly_assets.workflows.judge_candidate import judge_candidate
from correctly_assets.workflows.make_corrector import DirectEngine
from correctly_assets.workflows.measured_systems import adapter_named
from correctly_assets.workflows.promote import EngineLike, promote_candidate
from correctly_assets.workflows.wiring import open_platform_store

if TYPE_CHECKING:
    from correctly_assets.store import Store
    from correctly_assets.training.run_history import TrainPlan


def newest_train_set(platform: PlatformSettings) -> str:
    """The ID of the train set that was written last.

    Raises:
        UsageError: there is none yet.
    """
    found = [path for path in artefacts_in(platform.snapshots_dir) if read_manifest(path, Manifest).kind == "train_set"]
    if not found:
        raise UsageError(
            "There is no train set yet: run `correctly up`, or materialize train_set in Dagster, and ask again."
        )
    return max(found, key=written_at).name


def local_base(settings: Settings) -> Path:
    """The base model's directory.

    Raises:
        UsageError: it is none, or not made yet.
    """
    path = Path(settings.base_model_path)
    if not (path / "config.json").is_file():
        if settings.is_hub_base:
            hint = f"`CORRECTLY_BASE_MODEL={settings.training.base_model} correctly prepare` downloads it"
        elif settings.is_embedded_base:
            hint = "run `correctly prepare`"
        else:
            hint = "set CORRECTLY_BASE_MODEL to a model's directory"
        raise UsageError(f"The base model {settings.training.base_model} does not lie in {path}: {hint}.")
    return path


def prepare_gguf(platform: PlatformSettings, gguf: Path, name: str) -> Path:
    """Make a base model's directory below HOME from a GGUF file, in a child process.

    Returns:
        The directory; its name is from then on a value of CORRECTLY_BASE_MODEL.

    Raises:
        UsageError: the name is no plain name or taken, or the file is none.
        PermanentError: it cannot be converted.
    """
    if name == EMBEDDED_BASE_MODEL:
        raise UsageError(f"{name} is the embedded base model's name; choose another --name.")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UsageError(f"{name!r} is no name for a base model: use letters, digits, dots, dashes and underscores.")
    target = platform.models_dir / name
    request = ConvertRequest(
        gguf=gguf.expanduser().resolve(),
        target=target,
        prompts_dir=platform.prompts_dir,
        chat_family=family_of(name),
    )
    return Path(run_task(platform, "convert", request, dict[str, str])["path"])


def plan(settings: Settings) -> tuple[str, TrainPlan]:
    """What the next run would take on this machine, for the newest train set.

    Returns:
        (train set, plan).

    Raises:
        UsageError: there is no train set, or no base model, yet.
    """
    train_set = newest_train_set(settings.platform)
    local_base(settings)
    spec = train_config(settings, train_set=train_set)
    return train_set, plan_training(TrainConfig(**dict(spec), checkpoint_dir=settings.platform.checkpoints_dir))


# ------------------------------------------------------------------ children


def run_child(module: list[str], platform: PlatformSettings) -> int:
    """Run a Python module as a child that steps back for the chat, and return its exit code.

    Its lines go to standard error: standard output is the command's own, and with --json it holds one value and nothing
    else. Ctrl-C reaches the child too, which gets the time to write its checkpoint.
    """
    return wait_for_child(start_child(module, home=platform.home, stdout=sys.stderr))


def run_training(platform: PlatformSettings, spec: TrainSpec, work: Path) -> TrainResult:
    """Train as configured in a child process, or take the result that an earlier call with the same spec left.

    Args:
        spec: what is trained.
        work: the run's own directory; a stopped run resumes from it.

    Raises:
        CorrectlyError: as `failure_of` reads the child's end.
    """
    path = write_config(spec, work)
    return read_result(path, run_child(["correctly_assets.training", str(path)], platform))


T = TypeVar("T")


def run_task(platform: PlatformSettings, name: str, request: BaseModel, kind: type[T]) -> T:
    """Do one of `training.tasks` in a child process.

    Args:
        kind: what the task answers with.

    Raises:
        CorrectlyError: what the child says, in its words and with its exit code.
        PermanentError: it ended without a word.
    """
    with tempfile.TemporaryDirectory(prefix="correctly-task-") as folder:
        asked, answered = Path(folder) / "request.json", Path(folder) / "result.json"
        asked.write_text(request.model_dump_json())
        code = run_child(["correctly_assets.training.tasks", name, str(asked), str(answered)], platform)
        outcome = answered.read_bytes() if answered.exists() else None
    if outcome is None:
        killed = code in (-9, 137)
        raise PermanentError(
            "The process was killed from outside, most likely because memory ran out; stop other programs and try again."
            if killed
            else f"The process ended with exit code {code} and no result; its own words stand above."
        )
    failed = _Outcome.model_validate_json(outcome).error
    if failed is not None:
        raise failed.as_raised()
    return TypeAdapter(kind).validate_json(outcome)


class _Failure(BaseModel):
    """An error as a task writes it; ``rule`` is the one that an adapter broke."""

    message: str
    type: str = ""
    code: str = ""
    rule: str = ""

    def as_raised(self) -> CorrectlyError:
        """The error that the child ended with."""
        if self.rule:
            return AdapterRefused(self.rule, self.message.removeprefix(f"{self.rule}: "))
        kinds: dict[str, type[CorrectlyError]] = {
            kind.__name__: kind for kind in (UsageError, RefusedError, RetryableError, UnreachableError)
        }
        return kinds.get(self.type, PermanentError)(self.message, code=self.code or "permanent")


class _Outcome(BaseModel):
    """What a task wrote: an error, or what it answers with."""

    error: _Failure | None = None


# ------------------------------------------------------------------ adopting


class Adopted(BaseModel):
    """An adapter from elsewhere as it stands here, as ``adopt --json`` prints it.

    Attributes:
        known: it stood here already.
        verdict: ``promoted``, or ``waiting`` for the platform to judge it.
        message: one sentence for whoever adopted it.
    """

    model_config = ConfigDict(frozen=True)

    adapter: str
    path: str
    known: bool
    verdict: str
    message: str = Field(serialization_alias="says")
    release: str | None = None
    reasons: tuple[str, ...] = ()


def adoption_config(settings: Settings, directory: Path) -> TrainConfig:
    """What the training child is told where it takes in an adapter, or makes one of two, and trains nothing."""
    return TrainConfig(
        train_set=directory,  # named by every config; adopting reads none
        base_model=str(local_base(settings)),
        adapters_dir=settings.platform.adapters_dir,
        checkpoint_dir=settings.platform.checkpoints_dir,
        prompts_dir=settings.platform.prompts_dir,
        chat_family=family_of(settings.training.base_model),
    )


def adopt(settings: Settings, directory: Path, log: Callable[[str], object]) -> Adopted:
    """Take in an adapter that was trained elsewhere, and judge it if the platform runs.

    Raises:
        AdapterRefused: with the broken rule's name; nothing was taken.
        RefusedError: the gate refuses it; its files stand here, and the champion keeps serving.
    """
    base = local_base(settings)
    # Also here, where it costs no torch: a bad adapter is refused at once.
    check_foreign(directory, base)
    config = adoption_config(settings, directory)
    request = AdoptRequest(directory=directory.resolve(), config=config)
    made = run_task(settings.platform, "adopt", request, AdoptedAdapter)
    identity = made.adapter
    stands = "stood here already" if made.known else "is adopted"
    log(f"Adapter {identity} {stands}: {made.path}.")
    if asyncio.run(_is_ready(settings.serving)):
        done = judge(settings, identity, log)
        return done.model_copy(update={"path": made.path, "known": made.known})
    message = (
        f"Adapter {identity} {stands}. No engine runs, so it waits to be judged: start the platform, then "
        f"`correctly adopt --judge {identity}`."
    )
    return Adopted(adapter=identity, path=made.path, known=made.known, verdict="waiting", message=message)


def judge(settings: Settings, prefix: str, log: Callable[[str], object]) -> Adopted:
    """Judge an adapter that stands here like any candidate, and promote it if the gate lets it.

    Raises:
        UsageError: no adapter, or several, begin with ``prefix``.
        UnreachableError: no engine runs.
        RefusedError: the gate refuses it.
    """
    identity = adapter_named(settings.platform, prefix)
    if not asyncio.run(_is_ready(settings.serving)):
        raise UnreachableError(
            f"No engine answers at {settings.serving.vllm_url}: start the platform with `correctly up`, then judge {identity}."
        )
    with open_platform_store(settings.platform) as store:
        return asyncio.run(_judge(settings, store, DirectEngine.of(settings), identity, log))


async def _judge(
    settings: Settings, store: Store, engine: EngineLike, identity: str, log: Callable[[str], object]
) -> Adopted:
    directory = settings.platform.adapters_dir / identity
    judged = await judge_candidate(settings, store, engine, adapter=identity, run_id=None, log=log)
    write_card(directory)
    if not judged.decision.promote:
        raise RefusedError(f"The gate refuses adapter {identity}: {' '.join(judged.decision.reasons)}")
    done = await promote_candidate(settings, store, engine, adapter=identity, run_id=None, log=log)
    message = f"{done.release} serves adapter {done.adapter}. {done.why}"
    return Adopted(
        adapter=identity,
        path=str(directory),
        known=True,
        verdict="promoted",
        message=message,
        release=done.release,
        reasons=judged.decision.reasons,
    )


async def _is_ready(serving: ServingSettings) -> bool:
    async with DirectEngine(serving.vllm_url).client() as client:
        return await client.is_ready()
