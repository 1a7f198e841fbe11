"""The lock files: what production installs has no tool of the tests, and the tests' tools fit on top of it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from correctly_assets.settings import PROJECT_ROOT

DEPLOY = PROJECT_ROOT / "deploy"


def locked(name: str) -> dict[str, str]:
    """The versions of a lock file by package."""
    lines = (DEPLOY / f"requirements-{name}.lock").read_text().splitlines()
    pins = [line.split()[0].split("==") for line in lines if line[:1].isalnum()]
    return {canonicalize_name(package): version for package, version in pins}


def test_every_package_of_every_lock_has_hashes() -> None:
    for path in DEPLOY.glob("requirements-*.lock"):
        for package in re.split(r"\n(?=[a-zA-Z0-9])", path.read_text().partition("\n")[2]):
            assert package.startswith("#") or "--hash=sha256:" in package, f"{path.name}: {package[:80]}"


@pytest.mark.parametrize("build", ["cpu", "gpu"])
def test_production_installs_no_tool_of_the_tests(build: str) -> None:
    assert not locked(build).keys() & locked("test").keys()
    assert {"pytest", "hypothesis", "playwright", "ruff", "schemathesis"} <= locked("test").keys()
    asked = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    pinned = {canonicalize_name(pin.split("==")[0]): pin.split("==")[1] for pin in asked}
    pinned.pop("torch")  # its CPU build is named in install.sh
    assert pinned.items() <= locked(build).items()


def test_the_tests_lock_is_what_their_tools_need_beyond_the_platform() -> None:
    command = [sys.executable, str(DEPLOY / "test_packages.py"), str(PROJECT_ROOT / "pyproject.toml")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert dict(line.split("==") for line in said.split()) == locked("test")


@pytest.mark.parametrize("build", ["cpu", "gpu"])
def test_the_tools_of_the_tests_fit_the_versions_that_production_has(build: str) -> None:
    there = locked(build) | locked("test")
    for tool in locked("test"):
        for asked in map(Requirement, requires(tool) or []):
            if asked.marker is None or asked.marker.evaluate({"extra": ""}):
                version = there[canonicalize_name(asked.name)]
                assert asked.specifier.contains(version, prereleases=True), f"{tool} asks for {asked}, not {version}"


def planned(*words: str) -> str:
    """What make would do on a fresh clone."""
    command = ["make", "-n", "-W", "deploy/requirements-cpu.lock", "-W", "deploy/requirements-test.lock", *words]
    return subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True).stdout


def test_the_tools_come_with_the_tests_and_not_with_the_platform() -> None:
    for words in ("install", "up"):
        assert "install.sh .venv cpu" in planned(words) and "requirements-test" not in planned(words)
    for words in ("test", "test-fast", "lint"):
        said = planned(words)
        tools = said.index("install -q --no-deps --require-hashes -r deploy/requirements-test.lock")
        assert said.index("install.sh .venv cpu") < tools
        assert all(tools < said.index(program) for program in ("-m pytest", "bin/ruff") if program in said)
    assert "requirements-test" not in (DEPLOY / "Dockerfile").read_text() + (DEPLOY / "install.sh").read_text()
