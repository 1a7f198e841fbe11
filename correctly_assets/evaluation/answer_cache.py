"""Answers kept by (system, set), so that nothing is generated twice; and answers recorded for ever.

Belongs here: writing and reading answer files. Does not belong here: which system is asked (score.py).

A file is JSONL: one line about the system, the set and the cost, then one correction a line. It is written whole and
renamed, so a killed evaluation leaves no half answers. Recorded answers of a comparator are the same files.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, TypeAdapter

from correctly_assets.artifacts.files import write_text_atomically
from correctly_assets.core.evaluation import Answers, Costs
from correctly_assets.core.types import Correction

FORMAT: Literal[1] = 1
_CORRECTION = TypeAdapter(Correction)


class _Head(BaseModel):
    """The first line of an answer file."""

    format: Literal[1]
    system: str
    identity: str
    data_sha256: str
    costs: Costs


class AnswerCache:
    """Answers under one directory. A file that cannot be read counts as absent and is written anew.

    Args:
        directory: where answers are looked for and kept.
        shipped: where they are looked for too: answers made before, which hold wherever all that decides them is the same.
    """

    def __init__(self, directory: Path, shipped: Path | None = None) -> None:
        self._directory = directory
        self._shipped = shipped

    def path(self, name: str, identity: str, data_sha256: str, *, reasons: bool) -> Path:
        """Where the answers of a system to a set stand."""
        plain = name if name == "*" else re.sub(r"[^\w.-]+", "-", name)[:40]
        with_reasons = "-reasons" if reasons else ""
        return self._directory / f"{plain}-{identity[:16]}-{data_sha256[:16]}{with_reasons}.jsonl"

    def get(self, name: str, identity: str, data_sha256: str, *, reasons: bool) -> Answers | None:
        """Kept answers; those with reasons serve where none are asked for, and those of the same system under another
        name (yesterday's candidate is today's champion) under this one."""
        for with_reasons in (True,) if reasons else (False, True):
            path = self.path(name, identity, data_sha256, reasons=with_reasons)
            pattern = self.path("*", identity, data_sha256, reasons=with_reasons).name
            others = [
                *sorted(self._directory.glob(pattern)),
                *(sorted(self._shipped.glob(pattern)) if self._shipped else ()),
            ]
            for file in dict.fromkeys((path, *others)):
                found = read_answers(file)
                if found is not None and (found.identity, found.data_sha256) == (identity, data_sha256):
                    return replace(found, system=name)
        return None

    def put(self, answers: Answers, *, reasons: bool) -> Path:
        """Keep answers; an equal file is replaced in one step."""
        path = self.path(answers.system, answers.identity, answers.data_sha256, reasons=reasons)
        write_answers(path, answers)
        return path


def write_answers(path: Path, answers: Answers) -> None:
    """Write one answer file, atomically."""
    head = _Head(
        format=FORMAT,
        system=answers.system,
        identity=answers.identity,
        data_sha256=answers.data_sha256,
        costs=answers.costs,
    )
    lines = [head.model_dump(), *(correction.to_json() for correction in answers.corrections)]
    write_text_atomically(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def read_answers(path: Path) -> Answers | None:
    """Read one answer file; None where there is none that this version can read."""
    try:
        first, *lines = path.read_text(encoding="utf-8").splitlines()
        head = _Head.model_validate_json(first)
        corrections = tuple(_CORRECTION.validate_json(line) for line in lines)
    except (OSError, ValueError):
        # Absent, or of an older version, or damaged: the answers are asked for again.
        return None
    return Answers(head.system, head.identity, head.data_sha256, corrections, head.costs, cached=True)
