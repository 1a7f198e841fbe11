"""`correctly why`: the last decision of every sensor, schedule and gate, in a plain sentence each.

Belongs here: gathering what the store and Dagster have written down, and wording it. Does not belong here: deciding anything.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console

from correctly_assets.core.errors import CorrectlyError
from correctly_assets.core.retrain import decide_retrain, rules_of
from correctly_assets.platform.dagster_instance import open_instance
from correctly_assets.platform.status import WhyRow, read_instigators
from correctly_assets.settings import Settings
from correctly_assets.store.records import Decision, Release
from correctly_assets.workflows.retrain_state import policy, read_retrain_state
from correctly_assets.workflows.wiring import read_platform_store

if TYPE_CHECKING:
    from dagster import DagsterInstance


def say_decision(decision: Decision | None) -> str:
    """What the gate decided last."""
    if decision is None:
        return "Nothing has been judged yet."
    what = f"adapter {decision.adapter}" if decision.adapter else "the retraining"
    verb = {"promoted": "Promoted", "refused": "Refused", "failed": "Gave up on"}[decision.verdict]
    return " ".join([f"{verb} {what}:", *decision.reasons] if decision.reasons else [f"{verb} {what}."])


def say_release(release: Release | None) -> str:
    """Which release serves, and why."""
    if release is None:
        return "Nothing is served yet."
    made = {"promotion": "was promoted", "rollback": "was returned to", "override": "was promoted against the gate"}
    return f"{release.id} (adapter {release.adapter}) {made[release.kind]}: {release.why}"


def say_rollback(rollback: Release | None) -> str:
    """Why the last rollback was made."""
    return "Nothing was ever rolled back." if rollback is None else f"{rollback.id} was a rollback: {rollback.why}"


def read_why(settings: Settings) -> dict[str, list[WhyRow]]:
    """``{"sensors", "schedules", "gates", "policy"}``, each a list of ``{"name", "state"?, "at", "says"}``; nothing is written.

    Raises:
        UnreachableError: there is no platform here yet, or its store is of an earlier release.
    """
    with read_platform_store(settings.platform) as store:
        decision, champion = store.last_decision(), store.champion()
        rollback = next((one for one in store.releases(limit=10_000) if one.kind == "rollback"), None)
    gates: list[WhyRow] = [
        {"name": "gate", "at": decision and decision.at, "says": say_decision(decision)},
        {"name": "release", "at": champion and champion.at, "says": say_release(champion)},
        {"name": "rollback", "at": rollback and rollback.at, "says": say_rollback(rollback)},
    ]
    found: dict[str, list[WhyRow]] = {"sensors": [], "schedules": [], "gates": gates, "policy": []}
    instance = open_instance(settings.platform)
    if instance is not None:
        try:
            found["sensors"] = [*read_instigators(instance, "SENSOR")]
            found["schedules"] = [*read_instigators(instance, "SCHEDULE")]
            gates += _checks(instance, settings)
            found["policy"] = _policy(instance, settings)
        finally:
            instance.dispose()
    return found


def _policy(instance: DagsterInstance, settings: Settings) -> list[WhyRow]:
    """The retrain decision as it would be taken now, and how each rule of the policy stands."""
    rules = policy(settings.training)
    try:
        with read_platform_store(settings.platform) as store:
            state = read_retrain_state(store, instance, settings, spending=True)
    except CorrectlyError as error:
        return [{"name": "retrain", "at": None, "says": str(error)}]
    rows = (("retrain", decide_retrain(state, rules).message), *rules_of(state, rules))
    return [{"name": name, "at": None, "says": message} for name, message in rows]


def _checks(instance: DagsterInstance, settings: Settings) -> list[WhyRow]:
    """The last evaluation of every asset check."""
    from correctly_assets.definitions import build_defs

    keys = sorted(build_defs(settings).resolve_asset_graph().asset_check_keys, key=lambda key: key.to_user_string())
    records = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    rows: list[WhyRow] = []
    for key in keys:
        record = records.get(key)
        event = record.event.dagster_event if record and record.event else None
        if record is None or event is None or event.event_type_value != "ASSET_CHECK_EVALUATION":
            rows.append(
                {"name": key.name, "at": None, "says": f"{key.asset_key.to_user_string()} was not checked yet."}
            )
            continue
        evaluation = event.asset_check_evaluation_data
        result = "Passed" if evaluation.passed else f"Failed ({evaluation.severity.value.lower()})"
        message = f"{result}: {evaluation.description}" if evaluation.description else f"{result}."
        rows.append({"name": key.name, "at": at(record.create_timestamp), "says": message})
    return rows


def at(seconds: float) -> str:
    """A timestamp as the store writes times."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def print_why(value: dict[str, list[WhyRow]], console: Console) -> None:
    """One line each, with what it is called and when it was decided."""
    for title, rows in value.items():
        console.print(f"[bold]{title.capitalize()}[/]", highlight=False)
        if not rows:
            console.print("  none yet: no platform has run here; `correctly up` starts one.", highlight=False)
        for row in rows:
            stopped = " (stopped)" if row.get("state") == "stopped" else ""
            when = f", {row['at'][:19]}" if row["at"] else ""
            console.print(
                f"  {row['name']}{stopped}{when}: {row['says']}", highlight=False, markup=False, soft_wrap=True
            )
