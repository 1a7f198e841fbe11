"""The command line as tests call it.

Belongs here: running a command in this process, and rows that one lands. Does not belong here: assertions on what it says.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from correctly_assets.cli import app

Run = Callable[..., tuple[int, str, str]]
"""Runs `correctly WORDS`: (exit code, standard output, standard error); a fixture of the unit tests."""

ROWS = [
    {"before": "He go to the bus station.", "after": "He goes to the bus station.", "form": "email", "tone": "polite",
     "topic": "Travel by bus", "cefr": "A2", "reasons": [{"was": "go", "now": "goes", "reason": "He is one person."}]},
    {"before": "I am agree with the price.", "after": "I agree with the price.", "form": "email", "tone": "annoyed",
     "topic": "orders", "cefr": "B1"},
    {"before": "The film was bored, 100% of it.", "after": "The film was boring, 100% of it.", "form": "review",
     "tone": "neutral", "topic": "films", "cefr": "B1"},
    {"before": "I wait for correcting.", "form": "diary", "tone": "worried"},
]  # fmt: skip


def invoke(*words: str) -> str:
    """What a command prints; its error is raised as itself."""
    result = CliRunner().invoke(app, list(words))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def landed(run: Run, tmp_path: Path, rows: list[dict[str, Any]] = ROWS) -> dict[str, str]:
    """Land rows by the command; {before: id}."""
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, _, error = run("add", str(file))
    assert code == 0, error
    return {row["before"]: row["id"] for row in json.loads(run("examples", "--json")[1])}
