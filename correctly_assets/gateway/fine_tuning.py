"""``/v1/files`` and ``/v1/fine_tuning/jobs`` in OpenAI's shapes: a script that trains there can train here.

Belongs here: the routes, their requests and objects. Does not belong here: what a job does (workflows/fine_tune.py), who may ask
(admission.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, TypeVar

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field, JsonValue, model_validator
from starlette.datastructures import UploadFile

from correctly_assets.core.errors import PermanentError, UsageError
from correctly_assets.gateway.access import Client
from correctly_assets.gateway.form_reader import read_form
from correctly_assets.gateway.http_errors import UnsupportedField
from correctly_assets.gateway.model_names import PUBLIC, PUBLIC_BASE, TUNED
from correctly_assets.gateway.routes import ERRORS, ClientOf, ServiceOf
from correctly_assets.gateway.shapes import Asked, refuse_unsupported
from correctly_assets.workflows.dagster_runs import RunEvent
from correctly_assets.workflows.fine_tune import FineTunes, Job, Status, Wish
from correctly_assets.workflows.uploaded_files import UploadedFile

router = APIRouter(prefix="/v1", responses=ERRORS)

_PURPOSE = "fine-tune"
_KEPT_TO: dict[str, tuple[tuple[Any, ...], str]] = {
    "method.type": (("supervised",), "only `supervised` trains here"),
    "integrations": (([],), "what is trained is recorded in the platform's own MLflow"),
}
_FORM = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "properties": {"file": {"type": "string", "format": "binary"}, "purpose": {"const": _PURPOSE}},
            "required": ["file", "purpose"],
        }
    }
}
"""The form of an upload as the page of the API shows it."""
Kept = TypeVar("Kept", UploadedFile, Job)


class Supervised(Asked):
    hyperparameters: dict[str, JsonValue] = Field(default_factory=dict)


class Method(Asked):
    """Its ``type`` is looked at in `JobRequest`."""

    supervised: Supervised = Field(default_factory=Supervised)


class JobRequest(Asked):
    """``POST /v1/fine_tuning/jobs``. ``model`` is `correctly`: training starts from the adapter that serves."""

    model: str
    training_file: str
    validation_file: str | None = None
    hyperparameters: dict[str, JsonValue] = Field(default_factory=dict)
    method: Method = Field(default_factory=Method)
    suffix: Annotated[str, Field(max_length=64)] | None = None
    seed: int | None = None
    metadata: Annotated[dict[str, str], Field(max_length=16)] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _supported(cls, value: Any) -> Any:
        if isinstance(value, dict):
            method = value.get("method")
            asked = method if isinstance(method, dict) else {}
            kind = asked.get("type") or next((name for name in asked if name not in ("type", "supervised")), None)
            refuse_unsupported(value | {"method.type": kind}, _KEPT_TO)
        return value

    def wish(self) -> Wish:
        """What is kept of it, with the names of what has no effect."""
        chosen = self.hyperparameters | self.method.supervised.hyperparameters
        ignored = [f"`{name}`" for name, value in chosen.items() if value not in (None, "auto")]
        ignored += [f"`{name}`" for name in ("validation_file", "seed", "suffix") if getattr(self, name) is not None]
        return Wish(
            model=self.model,
            validation_file=self.validation_file,
            suffix=self.suffix,
            seed=self.seed or 0,
            metadata=self.metadata,
            ignored=ignored,
        )


class FileObject(BaseModel):
    """A file that was uploaded."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: None = None
    filename: str
    purpose: str = _PURPOSE
    status: Literal["processed"] = "processed"
    status_details: None = None


class FileDeleted(BaseModel):
    """A file that is gone."""

    id: str
    object: Literal["file"] = "file"
    deleted: bool = True


class JobError(BaseModel):
    """Why a job failed."""

    code: Literal["failed"] = "failed"
    message: str
    param: None = None


class Hyperparameters(BaseModel):
    """All of them are chosen here."""

    n_epochs: Literal["auto"] = "auto"
    batch_size: Literal["auto"] = "auto"
    learning_rate_multiplier: Literal["auto"] = "auto"


class SupervisedMethod(BaseModel):
    """How a job trains."""

    type: Literal["supervised"] = "supervised"
    supervised: dict[Literal["hyperparameters"], Hyperparameters] = {"hyperparameters": Hyperparameters()}


class JobFacts(BaseModel):
    """Dagster's run, the adapter that it made, and what became of the file's rows."""

    run_id: str
    adapter: str | None
    landed: str


class JobObject(BaseModel):
    """A fine-tuning job as it stands."""

    id: str
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int
    error: JobError | None
    estimated_finish: None = None
    fine_tuned_model: str | None
    finished_at: int | None
    hyperparameters: Hyperparameters = Hyperparameters()
    integrations: list[None] = []
    metadata: dict[str, str]
    method: SupervisedMethod = SupervisedMethod()
    model: str
    organization_id: str = "correctly"
    result_files: list[str] = []
    seed: int
    status: Status
    trained_tokens: None = None
    training_file: str
    validation_file: str | None
    user_provided_suffix: str | None
    correctly: JobFacts


class JobEvent(BaseModel):
    """Something that happened to a job."""

    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    id: str
    created_at: int
    level: str
    message: str
    type: Literal["message"] = "message"
    data: None = None


Shown = TypeVar("Shown", FileObject, JobObject, JobEvent)


class Listed(BaseModel, Generic[Shown]):
    """A page of a list."""

    object: Literal["list"] = "list"
    data: list[Shown]
    first_id: str | None
    last_id: str | None
    has_more: bool


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for: so many, behind the one with this id."""

    limit: int
    after: str | None


async def page_of(limit: Annotated[int, Query(ge=1, le=10_000)] = 20, after: str | None = None) -> Page:
    """The part of a list that a request asks for."""
    return Page(limit, after)


async def tuning_of(service: ServiceOf) -> FineTunes:
    """The jobs of this platform.

    Raises:
        PermanentError: the gateway was put together without them.
    """
    if service.parts.tuning is None:
        raise PermanentError("This gateway has no platform to train on.")
    return service.parts.tuning


TuningOf = Annotated[FineTunes, Depends(tuning_of)]
PageOf = Annotated[Page, Depends(page_of)]


# -- files ---------------------------------------------------------------------------------------------------------


@router.post(
    "/files",
    summary="Upload a file to train on",
    openapi_extra={"requestBody": {"required": True, "content": _FORM}},
)
async def upload(request: Request, tuning: TuningOf, client: ClientOf) -> FileObject:
    """A form with ``file``, one chat of a text and its correction a line, and ``purpose`` `fine-tune`."""
    form = await read_form(request, max_files=1, max_fields=10, max_part_size=1024 * 1024)
    file, purpose = form.get("file"), form.get("purpose")
    if purpose != _PURPOSE:
        raise UnsupportedField("purpose", f"`purpose` is `{_PURPOSE}`; files serve no other purpose here.")
    if not isinstance(file, UploadFile):
        raise UsageError("Send the file as the field `file` of a form (multipart/form-data).")
    data = await file.read()
    return _file(await asyncio.to_thread(tuning.files.add, file.filename or "", data, client.name))


@router.get("/files", summary="Uploaded files")
async def list_files(
    tuning: TuningOf,
    client: ClientOf,
    page: PageOf,
    purpose: str | None = None,
    order: Literal["asc", "desc"] = "desc",
) -> Listed[FileObject]:
    """A page of the files that this client has uploaded, newest first unless ``order`` is `asc`."""
    own = _own(await asyncio.to_thread(tuning.files.all), client) if purpose in (None, _PURPOSE) else []
    shown, has_more = _part(own if order == "desc" else own[::-1], page)
    return _list([_file(known) for known in shown], has_more)


@router.get("/files/{file_id}", summary="What is known of a file")
async def get_file(file_id: str, tuning: TuningOf, client: ClientOf) -> FileObject:
    """The file's name, size, date and state."""
    return _file(await _file_of(tuning, client, file_id))


@router.get("/files/{file_id}/content", summary="A file as it was sent")
async def file_content(file_id: str, tuning: TuningOf, client: ClientOf) -> Response:
    """The bytes of the file, as a download."""
    known = await _file_of(tuning, client, file_id)
    data = await asyncio.to_thread(tuning.files.path(known.id).read_bytes)
    # Never shown as a page, whatever somebody has put into it.
    headers = {"Content-Disposition": f'attachment; filename="{known.id}.jsonl"', "X-Content-Type-Options": "nosniff"}
    return Response(data, media_type="application/octet-stream", headers=headers)


@router.delete("/files/{file_id}", summary="Delete a file")
async def delete_file(file_id: str, tuning: TuningOf, client: ClientOf) -> FileDeleted:
    """What has landed of it stays landed; `correctly forget` takes an example back."""
    known = await _file_of(tuning, client, file_id)
    await asyncio.to_thread(tuning.files.delete, known.id)
    return FileDeleted(id=known.id)


# -- jobs ----------------------------------------------------------------------------------------------------------


@router.post("/fine_tuning/jobs", summary="Train on a file")
async def create_job(body: JobRequest, tuning: TuningOf, client: ClientOf) -> JobObject:
    """The file's pairs land as examples, and Dagster trains on all that has landed. An adapter that the gate lets through
    serves as `correctly`; one that it refuses is a job that failed, with the gate's reasons."""
    if body.model not in (PUBLIC, PUBLIC_BASE) and not body.model.startswith(TUNED):
        raise UsageError(
            f"`{PUBLIC}` is the model that is trained here, not {body.model[:60]!r}.", code="model_not_found"
        )
    file = await _file_of(tuning, client, body.training_file)
    if body.validation_file:
        await _file_of(tuning, client, body.validation_file)
    job = await asyncio.to_thread(tuning.create, file, body.wish())
    return _job(job, "queued")


@router.get("/fine_tuning/jobs", summary="Fine-tuning jobs")
async def list_jobs(request: Request, tuning: TuningOf, client: ClientOf, page: PageOf) -> Listed[JobObject]:
    """A page of the jobs over this client's files, newest first: all of them, those with ``metadata[KEY]=VALUE``, or with
    ``metadata=null`` those without any."""
    asked = request.query_params
    wanted = {name[9:-1]: value for name, value in asked.items() if name.startswith("metadata[") and name[-1:] == "]"}
    own = [job for job in _own(await asyncio.to_thread(tuning.all), client) if wanted.items() <= job.metadata.items()]
    if asked.get("metadata") == "null":
        own = [job for job in own if not job.metadata]
    shown, has_more = _part(own, page)
    return _list([_job(*await asyncio.to_thread(tuning.followed, job)) for job in shown], has_more)


@router.get("/fine_tuning/jobs/{job_id}", summary="A fine-tuning job as it stands")
async def get_job(job_id: str, tuning: TuningOf, client: ClientOf) -> JobObject:
    """The job with its state; of a finished one, the model that it made or the reasons why not."""
    job = await _job_of(tuning, client, job_id)
    return _job(*await asyncio.to_thread(tuning.followed, job))


@router.post("/fine_tuning/jobs/{job_id}/cancel", summary="End a fine-tuning job")
async def cancel_job(job_id: str, tuning: TuningOf, client: ClientOf) -> JobObject:
    """End the job's run, where it has not ended. The rows that have landed stay landed."""
    job = await _job_of(tuning, client, job_id)
    await asyncio.to_thread(tuning.cancel, job)
    return _job(*await asyncio.to_thread(tuning.followed, job))


@router.get("/fine_tuning/jobs/{job_id}/events", summary="What has happened to a fine-tuning job")
async def job_events(job_id: str, tuning: TuningOf, client: ClientOf, page: PageOf) -> Listed[JobEvent]:
    """Newest first: what became of the file's rows, then Dagster's events of the run."""
    job = await _job_of(tuning, client, job_id)
    events = [_event(job, at, event) for at, event in enumerate(await asyncio.to_thread(tuning.events, job))]
    ids = [event.id for event in events]
    first = ids.index(page.after) if page.after in ids else len(events)
    shown = events[max(0, first - page.limit) : first]
    return _list(shown[::-1], first > page.limit)


# -- within --------------------------------------------------------------------------------------------------------


async def _file_of(tuning: FineTunes, client: Client, id: str) -> UploadedFile:
    known = await asyncio.to_thread(tuning.files.get, id)
    if known is None or not _own([known], client):
        raise UsageError(f"There is no file {id[:60]!r}: upload it to /v1/files first.", code="no_such_file")
    return known


async def _job_of(tuning: FineTunes, client: Client, id: str) -> Job:
    job = await asyncio.to_thread(tuning.get, id)
    if job is None or not _own([job], client):
        raise UsageError(f"There is no fine-tuning job {id[:60]!r}.", code="no_such_job")
    return job


def _own(kept: Sequence[Kept], client: Client) -> list[Kept]:
    """What a client may see: its own, and everything where no keys are in use."""
    return [one for one in kept if not client.shows_key or one.owner == client.name]


def _part(kept: Sequence[Kept], page: Page) -> tuple[Sequence[Kept], bool]:
    """The part of a list that a page shows, and whether more follows."""
    ids = [one.id for one in kept]
    first = ids.index(page.after) + 1 if page.after in ids else 0
    return kept[first : first + page.limit], len(kept) > first + page.limit


def _list(data: list[Shown], has_more: bool) -> Listed[Shown]:
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return Listed(data=data, first_id=first, last_id=last, has_more=has_more)


def _file(known: UploadedFile) -> FileObject:
    return FileObject(id=known.id, bytes=known.bytes, created_at=known.created_at, filename=known.filename)


def _job(job: Job, status: Status) -> JobObject:
    ended = job.ended
    return JobObject(
        id=job.id,
        created_at=job.created_at,
        error=JobError(message=ended.why) if ended and ended.why else None,
        fine_tuned_model=f"{TUNED}{ended.adapter}" if ended and ended.status == "succeeded" and ended.adapter else None,
        finished_at=ended.at if ended else None,
        metadata=job.metadata,
        model=job.model,
        seed=job.seed,
        status=status,
        training_file=job.training_file,
        validation_file=job.validation_file,
        user_provided_suffix=job.suffix,
        correctly=JobFacts(run_id=job.run_id, adapter=ended.adapter if ended else None, landed=job.landed),
    )


def _event(job: Job, number: int, event: RunEvent) -> JobEvent:
    return JobEvent(
        id=f"ftevent-{job.id.removeprefix('ftjob-')}-{number}",
        created_at=int(event.at),
        level=event.level,
        message=event.message,
    )
