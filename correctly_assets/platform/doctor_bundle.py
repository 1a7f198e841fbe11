"""The bundle of `correctly doctor`: what whoever helps needs to know, and nothing that anybody wrote.

Belongs here: what the zip holds. Does not belong here: the checks (doctor_checks.py).
"""

from __future__ import annotations

import json
import os
import re
import sys
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypedDict, get_origin

import psutil

from correctly_assets.core.errors import CorrectlyError
from correctly_assets.platform.doctor_checks import Finding
from correctly_assets.settings import Settings
from correctly_assets.settings.group import SettingsGroup
from correctly_assets.workflows.back_up import versions
from correctly_assets.workflows.wiring import read_platform_store

_LEVEL = re.compile(r"\b(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b", re.IGNORECASE)


def write_bundle(settings: Settings, findings: Sequence[Finding], path: Path) -> None:
    """Write a zip for whoever helps. It holds names, numbers and versions: no text of anybody's, no key, no address."""
    content = {
        "checks": [{"name": one.name, "status": one.status, "fixed": one.fixed} for one in findings],
        "versions": versions(),
        "machine": {
            "cores": os.cpu_count(),
            "memory": psutil.virtual_memory().total,
            "system": sys.platform,
        },
        "settings": _settings(settings),
        "logs": _logs(settings.platform.logs_dir),
        "store": _counts(settings),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, value in content.items():
            file.writestr(f"{name}.json", json.dumps(value, indent=1, default=str) + "\n")


def _settings(settings: Settings) -> dict[str, bool | int | float | str | None]:
    """Numbers and choices as they are; of texts, paths and secrets only that they are set."""
    shown: dict[str, bool | int | float | str | None] = {}
    for group in (getattr(settings, name) for name in type(settings).model_fields):
        assert isinstance(group, SettingsGroup)
        for name, field in type(group).model_fields.items():
            value = getattr(group, name)
            plain = value is None or isinstance(value, bool | int | float) or get_origin(field.annotation) is Literal
            shown[group.variable(name)] = value if plain else "set"
    return shown


class LogFacts(TypedDict):
    """A log's size, and how many of its lines are of which level."""

    bytes: int
    levels: dict[str, int]


class DecisionFacts(TypedDict):
    """A decision, without its reasons, which may quote an example."""

    at: str
    verdict: str
    attempt: int


class StoreFacts(TypedDict, total=False):
    """Counts of the store; nothing where it cannot be opened."""

    landed: int
    accepted: int
    waiting: int
    quarantined: int
    decisions: list[DecisionFacts]


def _logs(folder: Path) -> dict[str, LogFacts]:
    found: dict[str, LogFacts] = {}
    for path in sorted(folder.glob("*.log")) if folder.is_dir() else ():
        levels: Counter[str] = Counter()
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                levels.update(level.upper() for level in _LEVEL.findall(line[:200])[:1])
        found[path.name] = {"bytes": path.stat().st_size, "levels": dict(levels)}
    return found


def _counts(settings: Settings) -> StoreFacts:
    try:
        with read_platform_store(settings.platform) as store:
            counts = store.counts()
            decisions: list[DecisionFacts] = [
                {"at": one.at, "verdict": one.verdict, "attempt": one.attempt} for one in store.decisions(limit=20)
            ]
    except CorrectlyError:
        return {}
    return {
        "landed": counts.landed,
        "accepted": counts.accepted,
        "waiting": counts.waiting,
        "quarantined": counts.quarantined,
        "decisions": decisions,
    }
