"""What a judge said, kept as JSONL, one answer a line, so that nothing is asked twice.

Belongs here: reading such a file and adding to it. Does not belong here: what the answers mean (judge.py, questions.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def read_kept(path: Path, judge: str, field: str) -> dict[str, Any]:
    """One judge's answers by their keys: ``field`` of each of its lines. A torn last line is ignored."""
    found: dict[str, Any] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if row["judge"] == judge:
                found[row["key"]] = row[field]
    return found


def keep(path: Path, row: Mapping[str, Any]) -> None:
    """Add one answer, with ``judge``, ``key`` and what was said."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
