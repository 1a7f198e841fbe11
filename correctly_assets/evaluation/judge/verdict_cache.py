"""What a judge said, kept as JSONL, one answer a line, so that nothing is asked twice.

Belongs here: reading such a file and adding to it. Does not belong here: what the answers mean (judge.py, questions.py).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError


class KeptAnswer(BaseModel):
    """One line of such a file: who was asked, and the key of what was asked; a subclass adds what was said."""

    judge: str
    key: str


K = TypeVar("K", bound=KeptAnswer)


def read_kept(path: Path, judge: str, kind: type[K]) -> dict[str, K]:
    """One judge's answers by their keys. A torn last line is ignored."""
    found: dict[str, K] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                row = kind.model_validate_json(line)
            except ValidationError:
                continue
            if row.judge == judge:
                found[row.key] = row
    return found


def keep(path: Path, row: KeptAnswer) -> None:
    """Add one answer."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row.model_dump()) + "\n")
