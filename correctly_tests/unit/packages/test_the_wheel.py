"""The wheel carries what the platform reads, and an installed one finds it without the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from correctly_assets.settings import PROJECT_ROOT
from correctly_tests.wheel_of_checkout import BESIDE, build_wheel

PACKAGE = PROJECT_ROOT / "correctly_assets"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


def files_below(*roots: Path) -> set[str]:
    """The files of the checkout that ship, relative to it."""
    found = [path for root in roots for path in ([root] if root.is_file() else root.rglob("*")) if path.is_file()]
    return {path.relative_to(PROJECT_ROOT).as_posix() for path in found if "__pycache__" not in path.parts}


def test_the_wheel_holds_every_file_that_the_platform_reads(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    beside = {f"correctly_assets/shipped/{name}" for name in files_below(*(PROJECT_ROOT / name for name in BESIDE))}
    assert beside <= names
    assert len(beside) > 30 and "correctly_assets/shipped/prompts/chat/gemma3.jinja" in beside
    assert files_below(PACKAGE) <= names
    assert {"correctly_assets/starter/adapter/adapter_model.safetensors"} <= names
    assert not [name for name in names if name.startswith(("correctly_tests", "benchmarks"))]


def test_an_installed_wheel_reads_prompts_and_sql_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    program = """
import json, pathlib, yaml
import correctly_assets
from correctly_assets.core.prompts import load_prompts
from correctly_assets.language.points import GRAMMAR_DIR
from correctly_assets.settings import Settings, shipped
from correctly_assets.store.migrations import read_migrations

platform = Settings().platform
print(json.dumps({
    "package": correctly_assets.__file__,
    "chat": load_prompts(platform.prompts_dir, "gemma3").correct_prompt("He go."),
    "migrations": len(read_migrations(platform.sql_dir)),
    "grammar": len(list(GRAMMAR_DIR.glob("*.yaml"))),
    "workspace": yaml.safe_load(shipped("workspace.yaml").read_text())["load_from"][0]["python_module"]["module_name"],
    "home": str(platform.home),
    "missing": [str(path) for path in (*platform.starter_paths, platform.evaluation_path) if not path.is_file()],
}))
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CORRECTLY_")}
    environment |= {"PYTHONPATH": str(site), "HOME": str(tmp_path / "user")}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["package"].startswith(str(site))
    assert "He go." in found["chat"] and found["workspace"] == "correctly_assets.definitions"
    assert found["migrations"] == len(list((PROJECT_ROOT / "sql" / "migrations").glob("*.up.sql")))
    assert found["grammar"] == len(list((PROJECT_ROOT / "prompts" / "grammar").glob("*.yaml")))
    assert found["home"] == str(tmp_path / "user" / ".correctly") and found["missing"] == []
