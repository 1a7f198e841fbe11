"""The models from outside that the platform is measured with: the comparator, live or recorded, and the judge.

Belongs here: choosing them from the settings, recording the comparator, asking the judge, keeping what it was measured
to be worth. Does not belong here: sending requests (teachers/), verdicts and their sums (evaluation/judge/pairwise.py), or the
gate, which needs neither.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from correctly_assets.artifacts.files import sha256_file, write_text_atomically
from correctly_assets.artifacts.reports import JudgeSection
from correctly_assets.core.errors import CorrectlyError, PermanentError, UsageError
from correctly_assets.core.evaluation import EvaluationSet, Judge
from correctly_assets.core.hashing import sha256_of
from correctly_assets.core.ports import Annotator
from correctly_assets.evaluation.evaluation_set import read_evaluation_set
from correctly_assets.evaluation.judge.pairwise import (
    CalibrationFigures,
    EndpointJudge,
    RecordedJudge,
    calibrate,
    judge_all,
    read_comparisons,
    summarise,
)
from correctly_assets.evaluation.systems import ChatSystem, comparator_request
from correctly_assets.llm_api.answer_journal import Journal
from correctly_assets.llm_api.budget import Budget, price_of
from correctly_assets.llm_api.endpoint import Endpoint
from correctly_assets.llm_api.recordings import Replay, record, recording_path
from correctly_assets.llm_api.requests import ChatTransport, Recording
from correctly_assets.settings import PlatformSettings, Settings
from correctly_assets.workflows.ask_judge import ask_questions, judge_endpoint, read_prompt

if TYPE_CHECKING:
    from correctly_assets.evaluation.metrics.score import Evaluation

JUDGED_ROWS = 100
"""Sentences of the loop's own report that a judge is asked about; `report --full` asks about every one."""

NO_JUDGE = "No judge is configured: set CORRECTLY_JUDGE_MODEL and CORRECTLY_JUDGE_BASE_URL."


def recordings_dir(platform: PlatformSettings) -> Path:
    """Where recorded comparators stand."""
    return platform.home / "comparator" / "recordings"


def calibration_path(platform: PlatformSettings) -> Path:
    """What `correctly judge calibrate` measured last."""
    return platform.home / "judge" / "calibration.json"


# ------------------------------------------------------------------ the comparator


@dataclass(frozen=True, slots=True)
class Comparator:
    """The comparator for one set: something to ask, or the sentence that stands in its row.

    Attributes:
        live: it is asked now; its answers are worth keeping.
    """

    system: ChatSystem | None
    message: str
    live: bool = False


def choose_comparator(
    settings: Settings, data: EvaluationSet, annotator: Annotator, *, path: Path | None = None, may_ask: bool = False
) -> Comparator:
    """The configured comparator for a set: its recording where that holds every row, else live where that is allowed.

    Args:
        path: the set's file, for the command in the sentence; None for the frozen set.
        may_ask: whether a live endpoint may be asked, which costs money.

    Raises:
        PermanentError: the prompt file is missing.
    """
    model = settings.comparator.model
    where = "" if path is None else f" --data {path}"
    command = f"`correctly record --model {model or 'MODEL'}{where}`"
    if model is None:
        recordings = sorted(recordings_dir(settings.platform).glob("*.jsonl"))
        known = f" ({', '.join(file.stem for file in recordings)} is recorded)" if recordings else ""
        message = f"not recorded; set CORRECTLY_COMPARATOR_MODEL{known} and run {command} to record its answers once"
        return Comparator(None, message)
    prompt = read_prompt(settings.platform, "comparator.txt")
    file = recording_path(recordings_dir(settings.platform), model)
    if file.exists():
        try:
            recording = Recording.load(file, requested=model)
        except PermanentError as error:
            # Nobody's verdict waits for a comparator: what is wrong with its recording stands in its row.
            return Comparator(None, str(error))
        wanted = [comparator_request(prompt, model, text).key for text in data.sources]
        if all(key in recording.entries for key in wanted):
            name = f"{recording.model}, recorded {str(recording.header['recorded_at'])[:10]}"
            system = ChatSystem(name, Replay(recording), prompt, annotator, source=recording.sha256)
            return Comparator(system, name)
    message = f"{model} is not recorded on {data.name}; run {command}"
    if not may_ask or settings.comparator.base_url is None:
        return Comparator(None, message)
    transport = _endpoint(settings, model, settings.comparator.base_url)
    system = ChatSystem(f"{model}, live", transport, prompt, annotator, source=settings.comparator.base_url)
    return Comparator(system, f"{model}, live", live=True)


def _endpoint(settings: Settings, model: str, base_url: str) -> ChatTransport:
    key = settings.comparator.api_key
    return Endpoint(
        base_url=base_url,
        model=model,
        api_key=key.get_secret_value() if key else None,
        # By address: what a wrong one answered must not stand in for the right one's answer.
        journal=Journal(settings.platform.home / "comparator" / "journal" / sha256_of(base_url)[:12]),
        budget=Budget(None, price_of(model, base_url), model),
    )


def record_comparator(settings: Settings, *, model: str | None, data: Path | None, base_url: str | None) -> Recording:
    """`correctly record`: ask a model for every row of a set once, and keep its answers for ever.

    What the model's recording holds already is not asked again; a stopped run goes on from its journal.

    Raises:
        UsageError: no model or address is known, or the set cannot be read.
        RefusedError: the endpoint answers under another name than was asked for; nothing is written.
        RetryableError, PermanentError: a request was not answered.
    """
    name = model or settings.comparator.model
    if not name:
        raise UsageError("Say which model to record: --model NAME, or set CORRECTLY_COMPARATOR_MODEL.")
    address = base_url or settings.comparator.base_url
    if not address:
        raise UsageError("Say where the model answers: --base-url URL, or set CORRECTLY_COMPARATOR_BASE_URL.")
    if data is None:
        chosen = read_evaluation_set(settings.platform.evaluation_path, settings.serving.evaluation_limit)
    else:
        chosen = read_evaluation_set(data)
    prompt = read_prompt(settings.platform, "comparator.txt")
    path = recording_path(recordings_dir(settings.platform), name)
    keep = Recording.load(path, requested=name) if path.exists() else None
    requests = [comparator_request(prompt, name, text) for text in dict.fromkeys(chosen.sources)]
    transport = _endpoint(settings, name, address)
    try:
        return asyncio.run(record(transport, requests, path, kind="comparator", keep=keep))
    except CorrectlyError as error:
        error.args = (with_comparator_settings(str(error)),)
        raise


def with_comparator_settings(message: str) -> str:
    """An endpoint's sentence with the comparator's settings: it serves teachers too and names theirs."""
    return message.replace("CORRECTLY_TEACHER_", "CORRECTLY_COMPARATOR_")


# ------------------------------------------------------------------ the judge


def make_judge(settings: Settings) -> Judge | None:
    """The configured judge, whose verdicts are kept and never asked for twice; None where no model is named.

    Raises:
        PermanentError: the prompt file is missing.
    """
    if settings.judge.model is None:
        return None
    prompt = read_prompt(settings.platform, "judge.txt")
    endpoint = judge_endpoint(settings.judge)
    live = None if endpoint is None else EndpointJudge(endpoint, prompt)
    # Another wording of the question gives other verdicts, so each prompt has its own file.
    file = settings.platform.home / "judge" / f"verdicts-{sha256_of(prompt)[:12]}.jsonl"
    return RecordedJudge(file, settings.judge.model, live)


def calibrate_judge(settings: Settings, data: Path) -> CalibrationFigures:
    """`correctly judge calibrate`: measure the judge against people's labels and keep the figures for the reports.

    Raises:
        UsageError: no judge is configured, or the file holds no labelled pairs.
        RetryableError, PermanentError: the judge cannot be asked.
    """
    judge = make_judge(settings)
    if judge is None:
        raise UsageError(NO_JUDGE)
    pairs = read_comparisons(data)
    figures: CalibrationFigures = {
        **asyncio.run(calibrate(judge, pairs)),
        "prompt_sha256": sha256_of(read_prompt(settings.platform, "judge.txt")),
        "data": data.name,
        "data_sha256": sha256_file(data),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_text_atomically(calibration_path(settings.platform), json.dumps(figures, indent=1) + "\n")
    return figures


def read_calibration(settings: Settings) -> CalibrationFigures | None:
    """The kept figures, if they are of the judge and the prompt that are configured now."""
    try:
        found = json.loads(calibration_path(settings.platform).read_text(encoding="utf-8"))
        of = (found["judge"], found["prompt_sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if of == (settings.judge.model, sha256_of(read_prompt(settings.platform, "judge.txt"))) else None


async def ask_judge(
    settings: Settings,
    candidate: Evaluation,
    opponents: Mapping[str, Evaluation | None],
    *,
    systems: Mapping[str, Evaluation | None] | None = None,
    explained: Evaluation | None = None,
    rows: int | None = JUDGED_ROWS,
    log: Callable[[str], object] = lambda _: None,
) -> JudgeSection | None:
    """The report's judge section: the candidate against each rival, and two questions (asking.py); None where no judge
    is configured.

    The gate needs no judge, so one that cannot be asked is a sentence in the section and no failure.

    Args:
        systems: those whose changed sentences are asked about: do they still mean the same?
        explained: the candidate's answers with reasons: are the reasons true?
        rows: how many sentences, spread over the set; all when None.
    """
    try:
        judge = make_judge(settings)
        if judge is None:
            return None
        calibration = read_calibration(settings)
        outcomes: dict[str, list[int | None]] = {}
        sources = candidate.data.sources
        count = len(sources) if rows is None else min(rows, len(sources))
        chosen = [index * len(sources) // count for index in range(count)]
        for name, opponent in opponents.items():
            if opponent is None:
                continue
            candidate_answers, opponent_answers = (
                [one.answers.corrections[index].after for index in chosen] for one in (candidate, opponent)
            )
            outcomes[name] = await judge_all(
                judge, [sources[index] for index in chosen], candidate_answers, opponent_answers
            )
            log(f"{judge.name} judged {count} answers against {name}.")
    except CorrectlyError as error:
        log(str(error))
        return JudgeSection(name=settings.judge.model, against={}, calibration=None, says=str(error))
    asked = await ask_questions(settings, systems or {}, explained, chosen=chosen, log=log)
    return JudgeSection.model_validate({**summarise(judge.name, outcomes, calibration), **asked})
