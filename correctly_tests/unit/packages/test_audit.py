"""`make audit`: known vulnerabilities end it with 1, a database that is away is said and ends nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from correctly_assets.settings import PROJECT_ROOT

FOUND = {
    "dependencies": [
        {"name": "fine", "version": "1.0", "vulns": []},
        {"name": "unknown", "skip_reason": "not on PyPI"},
    ]
}
KNOWN = {"name": "old", "version": "0.1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["0.2"]}]}


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """An environment whose pip-audit answers what stands in the file ``answer`` beside it, or fails where there is none."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python").symlink_to(sys.executable)
    stub = programs / "pip-audit"
    stub.write_text(
        f'#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\n[ -f {tmp_path}/answer ] && cp {tmp_path}/answer "$2"\nexit 1\n'
    )
    stub.chmod(0o700)
    return tmp_path


def audit(venv: Path) -> tuple[int, list[str]]:
    command = ["bash", str(PROJECT_ROOT / "deploy" / "audit.sh"), str(venv)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout.splitlines()


def test_a_database_that_is_away_is_said_and_fails_nothing(venv: Path) -> None:
    code, said = audit(venv)
    assert code == 0
    assert any(line.startswith("requirements-cpu.lock was not checked") for line in said)
    assert any(line.startswith("torch was not checked") for line in said)
    assert any(line.startswith("examples/ray/requirements.txt was not checked") for line in said)


def test_what_is_known_is_named_with_its_remedy(venv: Path) -> None:
    (venv / "answer").write_text(json.dumps({"dependencies": [*FOUND["dependencies"], KNOWN]}))
    code, said = audit(venv)
    assert code == 1
    assert "requirements-cpu.lock: old 0.1: PYSEC-1, mended in 0.2" in said
    assert "requirements-cpu.lock: 2 packages checked, 1 known vulnerabilities." in said


def test_nothing_known_ends_well(venv: Path) -> None:
    (venv / "answer").write_text(json.dumps(FOUND))
    assert audit(venv)[0] == 0
