"""Files and fine-tuning jobs through the official client, over a web server of Dagster that is not real."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from correctly_assets.core.retrain import WANT_TAG, WHY_TAG
from correctly_assets.gateway.access import new_key
from correctly_assets.gateway.options import Options
from correctly_assets.workflows.fine_tune import JOB_TAG
from correctly_tests.dagster_fakes import FakeDagster
from correctly_tests.serving_fakes import Running, fake_engine, running_gateway


def chat(before: str, after: str | None, **more: Any) -> str:
    """One line of chat-format JSONL."""
    messages = [{"role": "system", "content": "Correct the text."}, {"role": "user", "content": before}]
    return json.dumps({"messages": messages + ([{"role": "assistant", "content": after}] if after else []), **more})


PAIRS = [("He have two cat.", "He has two cats."), ("They is late again.", "They are late again.")]
LINES = "\n".join(chat(*pair) for pair in PAIRS).encode()


@pytest.fixture
def dagster() -> Iterator[FakeDagster]:
    made = FakeDagster()
    yield made
    made.close()


@pytest.fixture
def gateway(tmp_path: Path, dagster: FakeDagster) -> Iterator[Running]:
    options = Options(poll_seconds=0.05, max_file_bytes=100_000)
    with fake_engine() as engine, running_gateway(tmp_path, engine, options, dagster=dagster.address) as running:
        yield running


@pytest.fixture
def client(gateway: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0)


def uploaded(client: openai.OpenAI, data: bytes = LINES, name: str = "pairs.jsonl") -> str:
    return client.files.create(file=(name, data), purpose="fine-tune").id


def started(client: openai.OpenAI, data: bytes = LINES, **more: Any) -> Any:
    return client.fine_tuning.jobs.create(model="correctly", training_file=uploaded(client, data), **more)


def run_of(client: openai.OpenAI, job_id: str) -> str:
    return client.fine_tuning.jobs.retrieve(job_id).to_dict()["correctly"]["run_id"]  # pyright: ignore


def test_a_file_is_uploaded_listed_read_back_and_deleted(client: openai.OpenAI) -> None:
    sent = client.files.create(file=("../my pairs.jsonl", LINES), purpose="fine-tune")
    assert (sent.filename, sent.bytes, sent.purpose, sent.status) == (
        "my pairs.jsonl",
        len(LINES),
        "fine-tune",
        "processed",
    )
    assert client.files.wait_for_processing(sent.id).id == sent.id
    assert client.files.content(sent.id).content == LINES
    other = uploaded(client)
    assert {known.id for known in client.files.list()} == {sent.id, other}
    assert [known.id for known in client.files.list(limit=1)] == [known.id for known in client.files.list()]
    assert client.files.delete(sent.id).deleted is True
    assert [known.id for known in client.files.list()] == [other]
    with pytest.raises(openai.NotFoundError, match="There is no file"):
        client.files.retrieve(sent.id)


@pytest.mark.parametrize("data", [b"", b"\n\n", b"before,after\n", b"[1]", b"\xff\xfe{}", b'{"prompt": "a"}'])
def test_a_file_that_cannot_be_trained_on_is_refused_when_it_is_sent(client: openai.OpenAI, data: bytes) -> None:
    with pytest.raises(openai.BadRequestError, match="not one JSON object a line") as refused:
        uploaded(client, data)
    assert refused.value.code == "invalid_file"


@pytest.mark.parametrize(
    "data",
    [
        LINES.decode().encode("utf-16"),
        b"[" + LINES.replace(b"\n", b",") + b"]",
        b'{"prompt": "He have.", "completion": "He has."}\n',
        b'{"conversations": [{"from": "human", "value": "He have."}, {"from": "gpt", "value": "He has."}]}\n',
        b'{"messages": []}\n' + LINES,
    ],
)
def test_a_file_in_any_shape_that_is_read_here_is_kept_and_trains(
    client: openai.OpenAI, gateway: Running, data: bytes
) -> None:
    assert started(client, data).status == "queued"
    assert gateway.store.counts().accepted >= 1


def test_what_a_job_cannot_keep_to_is_refused_before_anything_lands(client: openai.OpenAI, gateway: Running) -> None:
    file = uploaded(client)
    wrong: list[dict[str, Any]] = [{"method": {"dpo": {}}}, {"validation_file": "file-none"}]
    for more in wrong:
        with pytest.raises((openai.BadRequestError, openai.NotFoundError)):
            client.fine_tuning.jobs.create(model="correctly", training_file=file, **more)
    assert gateway.store.counts().landed == 0


def test_jobs_are_found_by_their_metadata(client: openai.OpenAI) -> None:
    named = started(client, metadata={"who": "ann"})
    plain = started(client, chat("It are so.", "It is so.").encode())
    jobs = client.fine_tuning.jobs
    assert [job.id for job in jobs.list(metadata={"who": "ann"})] == [named.id]
    assert [job.id for job in jobs.list(metadata={"who": "bob"})] == []
    assert [job.id for job in jobs.list(extra_query={"metadata": "null"})] == [plain.id]


def test_purposes_that_are_none_and_sizes_that_are_too_large_are_refused(
    client: openai.OpenAI, gateway: Running
) -> None:
    with pytest.raises(openai.BadRequestError, match="purpose"):
        client.files.create(file=("a.jsonl", LINES), purpose="batch")
    with pytest.raises(openai.APIStatusError) as refused:
        uploaded(client, b"x" * 100_001)
    assert refused.value.status_code == 413
    many = b"\n".join(chat(f"It are {n}.", f"It is {n}.").encode() for n in range(600))
    assert len(many) < 100_000 and uploaded(client, many)
    for name in ("file-../../store", "file-" + "0" * 24, "x"):
        assert httpx.get(f"{gateway.url}/v1/files/{name}", trust_env=False).status_code == 404


def test_a_job_lands_the_pairs_and_asks_dagster_for_a_run(
    client: openai.OpenAI, gateway: Running, dagster: FakeDagster
) -> None:
    job = started(client, suffix="mine", metadata={"who": "ann"}, hyperparameters={"n_epochs": 3})
    assert (job.object, job.status, job.model, job.fine_tuned_model) == ("fine_tuning.job", "queued", "correctly", None)
    assert job.metadata == {"who": "ann"} and job.error is None
    assert gateway.store.counts().accepted == 2
    assert {(row.before, row.after) for row in gateway.store.accepted()} == set(PAIRS)
    [run] = dagster.runs.values()
    assert run["tags"][JOB_TAG] == job.id
    assert job.id in run["tags"][WHY_TAG] and "2 new examples of pairs.jsonl" in run["tags"][WHY_TAG]
    assert len(run["tags"][WANT_TAG]) == 64
    assert gateway.store.landing_under_way() is None
    assert [known.file for known in gateway.store.landings()] == ["pairs.jsonl"]
    assert [one.id for one in client.fine_tuning.jobs.list()] == [job.id]


def test_status_and_events_are_those_of_dagsters_run(
    client: openai.OpenAI, gateway: Running, dagster: FakeDagster
) -> None:
    job = started(client, hyperparameters={"n_epochs": 3})
    run_id = run_of(client, job.id)
    dagster.page = 2
    step = ("ExecutionStepStartEvent", "DEBUG", "Started execution of step lora_adapter.")
    noise = ("LogMessageEvent", "DEBUG", "a detail"), ("HandledOutputEvent", "DEBUG", "Dagster's own")
    dagster.becomes(run_id, "STARTED", step, *noise, ("LogMessageEvent", "WARNING", "The disk is nearly full."))
    assert client.fine_tuning.jobs.retrieve(job.id).status == "running"
    events = client.fine_tuning.jobs.list_events(job.id).data
    said = [event.message for event in events]
    assert said[:3] == ["The disk is nearly full.", step[2], "The run waits."]
    assert said[-1] == "Landed pairs.jsonl: 2 landed, 0 duplicates, 0 refused."
    assert any("`n_epochs`" in message for message in said)
    assert events[0].level == "warn" and len({event.id for event in events}) == len(events)
    assert [event.message for event in client.fine_tuning.jobs.list_events(job.id, limit=2)] == said


def test_a_promoted_adapter_is_named_and_answers_under_its_name(
    client: openai.OpenAI, gateway: Running, dagster: FakeDagster
) -> None:
    job = started(client)
    run_id = run_of(client, job.id)
    gateway.serves(gateway.release("aaaaaaaaaaaa"))
    gateway.store.record_decision(
        fingerprint="f", verdict="promoted", reasons=["Better."], adapter="aaaaaaaaaaaa", run_id=run_id
    )
    dagster.becomes(run_id, "SUCCESS", ("RunSuccessEvent", "DEBUG", "Finished."))
    done = client.fine_tuning.jobs.retrieve(job.id)
    assert (done.status, done.fine_tuned_model) == ("succeeded", "ft:correctly:aaaaaaaaaaaa")
    assert done.finished_at is not None and abs(done.finished_at - time.time()) < 60
    assert client.fine_tuning.jobs.list_events(job.id).data[0].message == "Adapter aaaaaaaaaaaa serves."
    answer = client.chat.completions.create(
        model=str(done.fine_tuned_model), messages=[{"role": "user", "content": "It is fine."}]
    )
    assert answer.to_dict()["correctly"]["adapter"] == "aaaaaaaaaaaa"  # pyright: ignore
    assert client.models.retrieve(str(done.fine_tuned_model)).id == done.fine_tuned_model
    del dagster.runs[run_id]  # Dagster's own record may go; how the job ended stays
    assert client.fine_tuning.jobs.retrieve(job.id).status == "succeeded"
    with pytest.raises(openai.NotFoundError, match="not served now"):
        client.chat.completions.create(model="ft:correctly:bbb", messages=[{"role": "user", "content": "It is."}])


def test_what_the_gate_refuses_is_a_job_that_failed_with_its_reasons(
    client: openai.OpenAI, gateway: Running, dagster: FakeDagster
) -> None:
    job = started(client)
    run_id = run_of(client, job.id)
    gateway.store.record_decision(
        fingerprint="f", verdict="refused", reasons=["It changes too much."], adapter="b" * 12, run_id=run_id
    )
    dagster.becomes(run_id, "FAILURE", ("RunFailureEvent", "ERROR", "Execution failed."))
    done = client.fine_tuning.jobs.retrieve(job.id)
    assert (done.status, done.fine_tuned_model) == ("failed", None)
    assert done.error is not None and done.error.message == "It changes too much."


def test_cancelling_ends_the_run_and_what_has_ended_cannot_be_cancelled(
    client: openai.OpenAI, dagster: FakeDagster
) -> None:
    job = started(client)
    assert client.fine_tuning.jobs.cancel(job.id).status == "cancelled"
    assert [run["status"] for run in dagster.runs.values()] == ["CANCELED"]
    with pytest.raises(openai.BadRequestError, match="has ended"):
        client.fine_tuning.jobs.cancel(job.id)


def test_refused_rows_are_named_and_a_file_of_nothing_else_starts_no_job(
    client: openai.OpenAI, gateway: Running, dagster: FakeDagster
) -> None:
    bad = chat("He go.", 5) + "\n" + "{"  # pyright: ignore[reportArgumentType]
    job = started(client, LINES + b"\n" + bad.encode())
    messages = [event.message for event in client.fine_tuning.jobs.list_events(job.id)]
    assert any(message.startswith("Refused: line 3: ") for message in messages)
    assert any(message.startswith("Refused: line 4: The line is not valid JSON") for message in messages)
    with pytest.raises(openai.BadRequestError, match="can be trained on") as refused:
        started(client, bad.encode())
    assert refused.value.code == "no_examples" and "line 1: " in refused.value.message
    assert len(dagster.runs) == 1


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"method": {"type": "dpo"}}, "method.type"),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "x"}}]}, "integrations"),
    ],
)
def test_what_is_not_done_here_is_refused_by_name(client: openai.OpenAI, more: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        started(client, **more)
    assert refused.value.param == param
    with pytest.raises(openai.NotFoundError, match="`correctly` is the model"):
        client.fine_tuning.jobs.create(model="gpt-4o-mini", training_file=uploaded(client))
    with pytest.raises(openai.NotFoundError, match="There is no file"):
        client.fine_tuning.jobs.create(model="correctly", training_file="file-x")


def test_without_dagster_nothing_lands_and_no_job_is_made(
    client: openai.OpenAI, gateway: Running, dagster: FakeDagster
) -> None:
    dagster.refuses = "no such job"
    with pytest.raises(openai.InternalServerError, match="did not start retrain: no such job"):
        started(client)
    dagster.close()
    landed = gateway.store.counts().landed
    with pytest.raises(openai.InternalServerError, match="Dagster does not answer") as away:
        started(client, chat("New it are.", "New it is.").encode())
    assert away.value.status_code == 503 and gateway.store.counts().landed == landed
    assert list(client.fine_tuning.jobs.list()) == []


def test_with_keys_only_one_with_the_right_trains_and_sees_its_own_alone(tmp_path: Path, dagster: FakeDagster) -> None:
    keys = tmp_path / "keys.json"
    plain, ann, ben = new_key(keys, "plain"), *(new_key(keys, name, may_train=True) for name in ("ann", "ben"))
    options = Options(poll_seconds=0.05, keys_file=keys)
    home = tmp_path / "home"
    with fake_engine() as engine, running_gateway(home, engine, options, dagster=dagster.address) as running:
        clients = {
            key: openai.OpenAI(base_url=f"{running.url}/v1", api_key=key, max_retries=0) for key in (plain, ann, ben)
        }
        for ask in (lambda: uploaded(clients[plain]), lambda: list(clients[plain].fine_tuning.jobs.list())):
            with pytest.raises(openai.PermissionDeniedError, match="--may-train"):
                ask()
        assert clients[plain].models.list().data
        job = started(clients[ann])
        assert list(clients[ben].files.list()) == [] and list(clients[ben].fine_tuning.jobs.list()) == []
        for ask in (clients[ben].fine_tuning.jobs.retrieve, clients[ben].fine_tuning.jobs.cancel):
            with pytest.raises(openai.NotFoundError):
                ask(job.id)
        with pytest.raises(openai.NotFoundError):
            clients[ben].fine_tuning.jobs.create(model="correctly", training_file=job.training_file)
        assert clients[ann].fine_tuning.jobs.retrieve(job.id).status == "queued"


def test_the_questions_fit_dagsters_own_schema() -> None:
    from dagster_graphql.schema import create_schema
    from graphql import parse, validate

    from correctly_assets.workflows import dagster_runs

    schema = create_schema().graphql_schema
    for query in (dagster_runs.ALIVE, dagster_runs.START, dagster_runs.STATE, dagster_runs.END, dagster_runs.EVENTS):
        assert validate(schema, parse(query)) == []
