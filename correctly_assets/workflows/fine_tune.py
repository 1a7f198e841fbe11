"""Fine-tuning jobs: a file's pairs land as examples, a run of Dagster trains on them, and the job tells what became of it.

Belongs here: the life of a job, and its record in HOME/fine_tuning. Does not belong here: HTTP and OpenAI's words for it
(gateway/fine_tuning.py), keeping the files (uploaded_files.py), talking to Dagster (dagster_runs.py).
"""

from __future__ import annotations

import json
import re
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field

from correctly_assets.artifacts.files import write_text_atomically
from correctly_assets.core.errors import UnreachableError, UsageError
from correctly_assets.core.landing import ExampleGuard, LandOutcome
from correctly_assets.core.retrain import WANT_TAG, WHY_TAG
from correctly_assets.curation.land_file import land_file
from correctly_assets.settings import Settings
from correctly_assets.workflows.dagster_runs import DagsterRuns, RunEvent, RunState
from correctly_assets.workflows.retrain_state import wanted
from correctly_assets.workflows.uploaded_files import UploadedFile, UploadedFiles

if TYPE_CHECKING:
    from correctly_assets.store import Store
    from correctly_assets.store.records import Decision

JOB_TAG = "correctly/fine_tuning_job"
"""The run's tag that names the job that asked for it."""
Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]

_ID = re.compile(r"ftjob-[0-9a-f]{24}")
_MOST_BYTES = 1_000_000_000
_NAMED_REFUSALS = 20
_RUNNING = {
    "STARTED": "running",
    "CANCELING": "running",
    "SUCCESS": "succeeded",
    "CANCELED": "cancelled",
    "FAILURE": "failed",
}
_LOOK_BACK = 200


class Ended(BaseModel):
    """How a job ended; kept, because Dagster's runs are deleted some day.

    Attributes:
        adapter: what it made, served or refused by the gate; None where it made none.
        why: why it failed, in sentences.
    """

    status: Literal["succeeded", "failed", "cancelled"]
    at: int
    adapter: str | None = None
    why: str | None = None


class Job(BaseModel):
    """A job's record. Times are seconds since 1970.

    Attributes:
        ignored: fields of the request that have no effect here.
        landed: what became of the file's rows, in one line; ``refusals`` names the first that were refused.
    """

    id: str
    owner: str
    created_at: int
    model: str
    training_file: str
    run_id: str
    landed: str
    refusals: list[str] = Field(default_factory=list)
    ignored: list[str] = Field(default_factory=list)
    validation_file: str | None = None
    suffix: str | None = None
    seed: int = 0
    metadata: dict[str, str] = Field(default_factory=dict)
    ended: Ended | None = None


class Wish(BaseModel):
    """What a client asks a job to be, as far as it is kept."""

    model: str
    validation_file: str | None = None
    suffix: str | None = None
    seed: int = 0
    metadata: dict[str, str] = Field(default_factory=dict)
    ignored: list[str] = Field(default_factory=list)


class FineTunes:
    """Jobs and their files. Blocks; call it in a thread."""

    def __init__(self, settings: Settings, store: Store, guards: ExampleGuard, runs: DagsterRuns) -> None:
        self.files = UploadedFiles(settings.platform.home / "files", _MOST_BYTES)
        self._settings, self._store, self._guards, self._runs = settings, store, guards, runs
        self._directory = settings.platform.home / "fine_tuning"

    def create(self, file: UploadedFile, wish: Wish) -> Job:
        """Land the file's rows as `correctly add` does, and have Dagster train on all that has landed.

        Raises:
            UsageError: no row of the file can be trained on.
            UnreachableError: Dagster does not answer; where it went away after the rows had landed, the message says so.
        """
        self._runs.check()  # before anything lands
        id = f"ftjob-{secrets.token_hex(12)}"
        refused = self._directory / f"{id}.refused.jsonl"
        # While this is open the retrain sensor waits, and starts no run of its own over the same rows.
        with self._store.landing(f"the file of {id}"):
            outcome = land_file(
                self.files.path(file.id), self._store, self._guards, refused_path=refused, name=file.filename
            )
            refusals = _refusals(refused)
            if not outcome.landed + outcome.duplicates or not self._store.counts().accepted:
                raise UsageError(_none_landed(file.filename, outcome, refusals), code="no_examples")
            run_id = self._start(id, file, outcome)
        job = Job(
            id=id,
            owner=file.owner,
            created_at=int(time.time()),
            training_file=file.id,
            run_id=run_id,
            landed=f"{file.filename}: {outcome.message}",
            refusals=refusals,
            **wish.model_dump(),
        )
        self._write(job)
        return job

    def all(self) -> list[Job]:
        """Every job, the newest first."""
        found = [Job.model_validate_json(path.read_bytes()) for path in self._directory.glob("ftjob-*.json")]
        return sorted(found, key=lambda job: (job.created_at, job.id), reverse=True)

    def get(self, id: str) -> Job | None:
        """A job; None where there is none of this id."""
        path = self._directory / f"{id}.json"
        return Job.model_validate_json(path.read_bytes()) if _ID.fullmatch(id) and path.is_file() else None

    def followed(self, job: Job) -> tuple[Job, Status]:
        """The job as it stands now, which is written down once it has ended.

        Raises:
            UnreachableError: Dagster does not answer.
        """
        if job.ended is not None:
            return job, job.ended.status
        state = self._runs.state(job.run_id)
        status: Status = _RUNNING.get(state.status, "queued") if state else "failed"  # pyright: ignore[reportAssignmentType]
        if status in ("queued", "running"):
            return job, status
        job = job.model_copy(update={"ended": self._end(job, status, state)})
        self._write(job)
        return job, status

    def cancel(self, job: Job) -> None:
        """Ask the job's run to end. Its examples stay landed; nothing trains on them until something else lands.

        Raises:
            UsageError: it has ended.
            UnreachableError: Dagster does not answer.
        """
        if self.followed(job)[0].ended is not None:
            raise UsageError(f"Job {job.id} has ended and cannot be cancelled.", code="not_cancellable")
        self._runs.end(job.run_id)

    def events(self, job: Job) -> list[RunEvent]:
        """What has happened to a job, oldest first.

        Raises:
            UnreachableError: Dagster does not answer.
        """
        own = [RunEvent(job.created_at, "info", f"Landed {job.landed}")]
        own += [RunEvent(job.created_at, "warn", f"Refused: {refusal}") for refusal in job.refusals]
        if job.ignored:
            message = f"Without effect here, where the platform's own recipe trains: {', '.join(job.ignored)}."
            own.append(RunEvent(job.created_at, "warn", message))
        own.append(RunEvent(job.created_at, "info", f"Dagster's run {job.run_id} was asked for."))
        own += self._runs.events(job.run_id)
        ended = self.followed(job)[0].ended
        if ended is not None and ended.status == "succeeded":
            own.append(RunEvent(ended.at, "info", f"Adapter {ended.adapter} serves."))
        elif ended is not None and ended.why:
            own.append(RunEvent(ended.at, "error", ended.why))
        return own

    def _start(self, id: str, file: UploadedFile, outcome: LandOutcome) -> str:
        want, _ = wanted(self._store, self._settings)
        why = f"Retraining: fine-tuning job {id} asked for it, over {outcome.landed} new examples of {file.filename}."
        try:
            return self._runs.start("retrain", {WANT_TAG: want, WHY_TAG: why, JOB_TAG: id})
        except UnreachableError as error:
            raise UnreachableError(
                f"{outcome.message} Dagster went away before a run was started: the retrain sensor starts one over them."
            ) from error

    def _end(self, job: Job, status: str, state: RunState | None) -> Ended:
        at = int(state.ended_at or time.time()) if state else int(time.time())
        decision = self._decision(job.run_id)
        adapter = decision.adapter if decision else None
        if status == "succeeded":
            # A run over nothing new ends with the adapter that serves already.
            champion = self._store.champion()
            return Ended(status="succeeded", at=at, adapter=adapter or (champion.adapter if champion else None))
        if status == "cancelled":
            return Ended(status="cancelled", at=at)
        if decision is not None:
            return Ended(status="failed", at=at, adapter=adapter, why=" ".join(decision.reasons))
        gone = "Dagster does not know the run any more." if state is None else "The run failed; its events say where."
        return Ended(status="failed", at=at, why=gone)

    def _decision(self, run_id: str) -> Decision | None:
        found = (decision for decision in self._store.decisions(_LOOK_BACK) if decision.run_id == run_id)
        return next(found, None)

    def _write(self, job: Job) -> None:
        write_text_atomically(self._directory / f"{job.id}.json", job.model_dump_json() + "\n")


def _refusals(path: Path) -> list[str]:
    """The first refused rows of a file, each with its line and reason."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line, _ in zip(file, range(_NAMED_REFUSALS), strict=False)]
    return [f"line {row['line']}: {row['reason']}" for row in rows]


def _none_landed(filename: str, outcome: LandOutcome, refusals: list[str]) -> str:
    first = f" The first: {refusals[0]}" if refusals else ""
    return f"No row of {filename} can be trained on ({outcome.message.rstrip('.')}).{first}"
