"""`correctly status`: one screen that says what there is and why.

Belongs here: gathering and printing it. Does not belong here: deciding anything.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

import httpx
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from correctly_assets.curation.inbox import inbox_trouble
from correctly_assets.platform.code_server import socket_path
from correctly_assets.platform.dagster_instance import open_instance
from correctly_assets.platform.processes import parts
from correctly_assets.settings import Settings
from correctly_assets.workflows.waiting_rows import waits_for
from correctly_assets.workflows.wiring import read_platform_store

if TYPE_CHECKING:
    from dagster import DagsterInstance


class WhyRow(TypedDict):
    """What decided something last: ``says`` is its sentence, ``at`` when that was (ISO 8601 in UTC)."""

    name: str
    state: NotRequired[str]
    at: str | None
    says: str


class SensorStatus(TypedDict):
    """A sensor as Dagster knows it; ``says`` is the sentence of its last tick."""

    name: str
    state: str
    says: str


class ServiceStatus(TypedDict):
    """A part that listens, and whether it answers as ready."""

    url: str
    ready: bool


class EngineStatus(TypedDict):
    """One of the engines that the gateway asks, as it saw it last; ``adapters`` are those that it has loaded."""

    url: str
    up: bool
    corrupted: bool
    adapters: list[str]


class ChampionStatus(TypedDict):
    """The release in service; ``at`` is ISO 8601 in UTC."""

    release: str
    adapter: str
    base_model: str
    train_set: str | None
    scores: dict[str, Any]
    why: str
    at: str


class DecisionStatus(TypedDict):
    """The last decision; ``at`` is ISO 8601 in UTC."""

    fingerprint: str
    adapter: str | None
    verdict: str
    reasons: list[str]
    run_id: str | None
    at: str


class InboxStatus(TypedDict):
    """The inbox's folder, and why nothing can land from it; None where all is well."""

    path: str
    trouble: str | None


class Status(TypedDict):
    """The platform's state in the shape of ``status --json``: counts of examples, champion, last decision, sensors, services."""

    landed: int
    accepted: int
    waiting: int
    waiting_for: str | None
    quarantined: int
    champion: ChampionStatus | None
    last_decision: DecisionStatus | None
    sensors: list[SensorStatus]
    inbox: InboxStatus
    services: dict[str, ServiceStatus]
    engines: list[EngineStatus]


def read_status(settings: Settings) -> Status:
    """The platform's state in the shape of ``status --json``; nothing is written.

    Raises:
        UnreachableError: nothing has landed or run in this HOME yet, or its store is of an earlier release.
    """
    with read_platform_store(settings.platform) as store:
        counts, champion, last = store.counts(), store.champion(), store.last_decision()
    instance = open_instance(settings.platform)
    sensors: list[SensorStatus] = []
    if instance is not None:
        try:
            sensors = [
                {"name": row["name"], "state": row.get("state", ""), "says": row["says"]}
                for row in read_instigators(instance, "SENSOR")
            ]
        finally:
            instance.dispose()
    return {
        "landed": counts.landed,
        "accepted": counts.accepted,
        "waiting": counts.waiting,
        "waiting_for": waits_for(settings.teacher) if counts.waiting else None,
        "quarantined": counts.quarantined,
        "champion": None
        if champion is None
        else {
            "release": champion.id,
            "adapter": champion.adapter,
            "base_model": champion.base_model,
            "train_set": champion.train_set,
            "scores": dict(champion.scores),
            "why": champion.why,
            "at": champion.at,
        },
        "last_decision": None
        if last is None
        else {
            "fingerprint": last.fingerprint,
            "adapter": last.adapter,
            "verdict": last.verdict,
            "reasons": list(last.reasons),
            "run_id": last.run_id,
            "at": last.at,
        },
        "sensors": sensors,
        "inbox": {"path": str(settings.platform.inbox_dir), "trouble": inbox_trouble(settings.platform.inbox_dir)},
        "services": read_services(settings),
        "engines": read_engines(settings),
    }


def read_instigators(instance: DagsterInstance, kind: Literal["SENSOR", "SCHEDULE"]) -> list[WhyRow]:
    """Every sensor or schedule that Dagster knows, by name, with its state and its last tick."""
    from dagster._core.definitions.run_request import InstigatorType

    found: list[WhyRow] = []
    for state in instance.all_instigator_state(instigator_type=InstigatorType(kind)):
        ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
        message, at = "It has not ticked yet.", None
        if ticks:
            tick = ticks[0]
            at = datetime.fromtimestamp(tick.timestamp, UTC).isoformat(timespec="milliseconds")
            if tick.skip_reason:
                message = tick.skip_reason
            elif tick.error:
                message = f"Its last tick failed: {tick.error.message.strip().splitlines()[0]}"
            elif tick.run_ids:
                run = instance.get_run_by_id(tick.run_ids[0])
                message = (run.tags.get("correctly/why") if run else None) or f"Started run {tick.run_ids[0][:8]}."
        running = state.status.value in ("RUNNING", "DECLARED_IN_CODE", "AUTOMATICALLY_RUNNING")
        found.append(
            {"name": state.instigator_name, "state": "running" if running else "stopped", "at": at, "says": message}
        )
    return sorted(found, key=lambda row: row["name"])


def read_services(settings: Settings) -> dict[str, ServiceStatus]:
    """Every part that listens: ``{NAME: {"url", "ready"}}``."""
    services: dict[str, ServiceStatus] = {}
    for process in parts():
        if process.answers is not None:
            where = f"unix:{socket_path(settings)}"
            services[process.name] = {"url": where, "ready": process.answers(settings, 2)}
            continue
        url = process.url(settings)
        if url is None:
            continue
        ready = False
        path = "/readyz" if process.name == "gateway" else process.health
        with contextlib.suppress(httpx.HTTPError):
            ready = httpx.get(url + path, timeout=2, trust_env=False).status_code == 200
        services[process.name] = {"url": url, "ready": ready}
    return services


def read_engines(settings: Settings) -> list[EngineStatus]:
    """Each engine that the gateway asks, the platform's own first; none is up while the gateway has seen none."""
    urls, seen = settings.serving.vllm_urls, []
    with contextlib.suppress(httpx.HTTPError, ValueError):
        state = httpx.get(f"{settings.platform.gateway_url}/readyz", timeout=2, trust_env=False).json()
        seen = state.get("engines", [])
    return [
        {
            "url": url,
            "up": one.get("up", False),
            "corrupted": one.get("corrupted", False),
            "adapters": one.get("adapters", []),
        }
        for url, one in zip(urls, [*seen, *({} for _ in urls)], strict=False)
    ]


def print_status(value: Status, console: Console) -> None:
    """The state as one screen."""
    console.print(
        f"[bold]Landed[/]     {value['landed']} examples: {value['accepted']} accepted, {value['waiting']} waiting for a teacher, "
        f"{value['quarantined']} in quarantine",
        highlight=False,
    )
    if value["waiting_for"]:
        console.print(f"           {value['waiting_for']}", highlight=False)
    champion, last = value["champion"], value["last_decision"]
    if champion is None:
        console.print("[bold]Champion[/]   none yet")
    else:
        console.print(
            f"[bold]Champion[/]   {champion['release']}: adapter {champion['adapter']} of {champion['base_model']}",
            highlight=False,
        )
        console.print(
            f"           built from train set {champion['train_set']}; {escape(champion['why'])}", highlight=False
        )
        for name, scores in champion["scores"].get("systems", {}).items():
            gleu, f05 = scores.get("gleu"), scores.get("errant_f05")
            if gleu is not None and f05 is not None:
                console.print(f"           {name}: GLEU {gleu:.1f}, F0.5 {f05:.1f}", highlight=False)
    if last is None:
        console.print("[bold]Decision[/]   none yet")
    else:
        console.print(
            f"[bold]Decision[/]   {last['verdict']} at {last['at'][:19]} (adapter {last['adapter'] or 'none'})",
            highlight=False,
        )
        for reason in last["reasons"]:
            console.print(f"           {reason}", highlight=False, markup=False)
    if value["inbox"]["trouble"]:
        console.print(f"[red]Inbox[/]      {escape(value['inbox']['trouble'])}", highlight=False, soft_wrap=True)
    if not value["sensors"]:
        console.print("[bold]Sensors[/]    none yet: no platform has run here; `correctly up` starts one.")
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for sensor in value["sensors"]:
        table.add_row(f"[bold]{sensor['name']}[/]", sensor["state"], escape(sensor["says"]))
    for name, service in value["services"].items():
        table.add_row(name, "[green]ready[/]" if service["ready"] else "[red]away[/]", service["url"])
    if len(value["engines"]) > 1:
        for place, engine in enumerate(value["engines"], 1):
            state = "[red]NaN[/]" if engine["corrupted"] else "[green]up[/]" if engine["up"] else "[red]away[/]"
            adapters = f"adapters: {', '.join(engine['adapters']) or 'none'}"
            table.add_row(f"engine {place}", state, f"{engine['url']}  {adapters}")
    console.print(table)
