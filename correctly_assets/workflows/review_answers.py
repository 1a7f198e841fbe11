"""`correctly review`: chats to look at, asked of the gateway, rated blind by a person, kept for the report.

Belongs here: which answers are still to be rated, asking for them, keeping grades, showing them on the reports' pages. Does
not belong here: printing and prompting (commands/review_commands.py), the arithmetic (core/review.py).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml
from pydantic import BaseModel

from correctly_assets.artifacts.reports import ReviewedSystem
from correctly_assets.core.errors import PermanentError, UsageError
from correctly_assets.core.review import Review, Scenario, blind_order, parse_scenarios, review_id, summarise
from correctly_assets.settings import PlatformSettings, Settings
from correctly_assets.workflows.find_challenger import shadow_message

if TYPE_CHECKING:
    from correctly_assets.store import Store

FILE = "scenarios.yaml"
_SAME_MODEL = ("correctly-fluent", "correctly-text")
"""Names under which the gateway lists `correctly` in another mode or layout."""

AskGateway = Callable[..., object]
"""(method, path, body, headers) → the gateway's answer; `gateway.gateway_client.ask_gateway` with the settings bound."""


class _Named(BaseModel):
    id: str


class _Listed(BaseModel):
    """What of ``/v1/models`` counts here."""

    data: list[_Named]


class _By(BaseModel):
    """Who answered."""

    release: str | None = None
    adapter: str | None = None


class _Corrected(BaseModel):
    """What of ``/v1/corrections`` counts here."""

    corrections: list[_By]


class _Said(BaseModel):
    content: str


class _Choice(BaseModel):
    message: _Said


class _Completed(BaseModel):
    """What of ``/v1/chat/completions`` counts here; an answer that needed no model ("why?") names nobody: it speaks of the
    answer before it."""

    choices: list[_Choice]
    correctly: _By = _By()


@dataclass(frozen=True, slots=True)
class Answer:
    """What one system answered to a scenario's last message.

    Attributes:
        text: what stands before the table of changes; for "why?" the explanation.
        table: the table ``| Was | Now | Why |`` in Markdown; None where there is none.
    """

    system: str
    release: str | None
    adapter: str | None
    text: str
    table: str | None


@dataclass(frozen=True, slots=True)
class Task:
    """One scenario with the answers that a person has not rated yet, in blind order.

    Attributes:
        answers: lists of equal answers: a person rates each wording once, for everyone who gave it.
        number, of: the scenario's place among all.
    """

    scenario: Scenario
    answers: tuple[tuple[Answer, ...], ...]
    number: int
    of: int


@dataclass(frozen=True, slots=True)
class Grades:
    naturalness: int
    clarity: int
    note: str | None = None


def read_scenarios(platform: PlatformSettings) -> list[Scenario]:
    """The scenarios of prompts/.

    Raises:
        PermanentError: the file is missing or is no YAML.
        UsageError: it holds something else.
    """
    path = platform.prompts_dir / FILE
    try:
        return parse_scenarios(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise PermanentError(f"{path} is missing; restore prompts/ from the repository.") from error
    except yaml.YAMLError as error:
        raise PermanentError(f"{path} is no YAML ({str(error).splitlines()[0]}); repair it.") from error


def review(
    settings: Settings,
    store: Store,
    *,
    systems: Sequence[str],
    reviewer: str,
    rate: Callable[[Task, int], Grades],
    ask: AskGateway,
) -> int:
    """Walk a person through what they have not rated yet; each grade is kept as soon as it is given.

    Args:
        systems: public model names; all that the gateway lists when empty.
        ask: asks the gateway (gateway/gateway_client.py).
        rate: shows ``task.answers[index]`` and asks. An exception from it, Ctrl-C too, ends the walk; nothing is lost.

    Returns:
        How many answers were rated.

    Raises:
        UsageError: a system is not listed by the gateway.
        UnreachableError: the gateway is away or a system cannot answer now.
    """
    rated = 0
    adapters: set[str] = set()
    try:
        for task in _tasks(settings.platform, store, _choose(ask, systems), reviewer, ask):
            for index, group in enumerate(task.answers):
                grades = rate(task, index)
                for answer in group:
                    store.add_review(_review(task.scenario, answer, reviewer, grades))
                    if answer.adapter is not None:
                        adapters.add(answer.adapter)
                rated += len(group)
    finally:
        # A walk that is broken off has said something too.
        if rated:
            show_on_pages(settings.platform, store, adapters)
    return rated


def reviews_so_far(platform: PlatformSettings, store: Store) -> list[ReviewedSystem]:
    """What people's reviews of today's scenarios come to, per who answered (`core.review.summarise`).

    Raises:
        PermanentError, UsageError: as `read_scenarios`; where nobody reviewed anything no scenario is read.
    """
    given = store.reviews()
    if not given:
        return []
    scenarios = read_scenarios(platform)
    known = {(scenario.id, scenario.sha) for scenario in scenarios}
    current = [one for one in given if (one.scenario, one.scenario_sha) in known]
    return [ReviewedSystem.model_validate(row) for row in summarise(current, total=len(scenarios))]


def left_to_review(platform: PlatformSettings, store: Store, reviewer: str) -> dict[str, int]:
    """How many scenarios a person has not rated yet, by adapter (or system, where it has none) that they rated before."""
    scenarios = read_scenarios(platform)
    own_reviews = store.reviews(reviewer=reviewer)
    done = {one.id for one in own_reviews}
    return {
        subject: sum(review_id(reviewer, s.id, s.sha, subject) not in done for s in scenarios)
        for subject in sorted({one.subject for one in own_reviews})
    }


def show_on_pages(platform: PlatformSettings, store: Store, adapters: set[str]) -> None:
    """Write the pages of these adapters' reports anew, with the reviews and the real requests there are now."""
    from correctly_assets.evaluation.report.report import show_reviews

    reviews = reviews_so_far(platform, store)
    for adapter in sorted(adapters):
        show_reviews(platform.adapters_dir / adapter, reviews, shadow_message(store, adapter))


def _review(scenario: Scenario, answer: Answer, reviewer: str, grades: Grades) -> Review:
    return Review(
        reviewer=reviewer,
        scenario=scenario.id,
        scenario_sha=scenario.sha,
        system=answer.system,
        release=answer.release,
        adapter=answer.adapter,
        naturalness=grades.naturalness,
        clarity=grades.clarity,
        note=grades.note,
    )


def _tasks(
    platform: PlatformSettings, store: Store, systems: Sequence[str], reviewer: str, ask: AskGateway
) -> Iterator[Task]:
    """The scenarios with an answer that is still to be rated; only those answers are asked for."""
    scenarios = read_scenarios(platform)
    subjects = {system: _adapter_of(ask, system) or system for system in systems}
    done = {one.id for one in store.reviews(reviewer=reviewer)}
    for number, scenario in enumerate(scenarios, 1):
        groups: dict[tuple[str, str | None], list[Answer]] = {}
        # Two names of one adapter, a candidate that was just promoted, are one system.
        seen: set[str] = set()
        for system in blind_order(systems, reviewer=reviewer, scenario=scenario.id):
            subject = subjects[system]
            if subject in seen or review_id(reviewer, scenario.id, scenario.sha, subject) in done:
                continue
            seen.add(subject)
            answer = _answer(ask, scenario, system)
            subjects[system] = answer.adapter or system
            groups.setdefault((answer.text, answer.table), []).append(answer)
        if groups:
            yield Task(scenario, tuple(tuple(group) for group in groups.values()), number, len(scenarios))


def _choose(ask: AskGateway, wanted: Sequence[str]) -> list[str]:
    """The systems that are wanted, each once; when none is named, all that the gateway lists but other layouts and modes of
    the same model, which would be rated twice."""
    listed = [card.id for card in _Listed.model_validate(ask("GET", "/v1/models")).data]
    unknown = [name for name in wanted if name not in listed]
    if unknown:
        raise UsageError(f"There is no system {unknown[0]!r} now: choose from {', '.join(listed)}.")
    return list(dict.fromkeys(wanted)) or [name for name in listed if name not in _SAME_MODEL]


def _adapter_of(ask: AskGateway, system: str) -> str | None:
    """Which adapter answers under a name now, found by asking it for a word."""
    body = {"text": "Hello.", "model": system, "reasons": False}
    return _Corrected.model_validate(ask("POST", "/v1/corrections", body)).corrections[0].adapter


def _answer(ask: AskGateway, scenario: Scenario, system: str) -> Answer:
    """The answer to a scenario's last message, in a chat of its own."""
    headers = {"X-Chat-Id": f"review-{uuid.uuid4().hex}"}
    messages: list[dict[str, str]] = []
    about = _By()
    content = ""
    for message in scenario.messages:
        messages.append({"role": "user", "content": message})
        body = {"model": system, "messages": messages}
        done = _Completed.model_validate(ask("POST", "/v1/chat/completions", body, headers))
        content = done.choices[0].message.content
        if done.correctly.model_fields_set:
            about = done.correctly
        messages.append({"role": "assistant", "content": content})
    text, table = split_answer(content)
    return Answer(system, about.release, about.adapter, text, table)


def split_answer(content: str) -> tuple[str, str | None]:
    """A chat answer's text and its table of changes, if it has one."""
    from correctly_assets.workflows.read_votes import TABLE

    found = TABLE.search(content)
    if found is None:
        return content.strip(), None
    return content[: found.start()].strip(), content[found.start() :].strip()
