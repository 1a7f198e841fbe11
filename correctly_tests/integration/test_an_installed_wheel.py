"""The wheel in an environment of its own, outside the checkout: the command starts the platform, which corrects."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from correctly_assets.settings import PROJECT_ROOT
from correctly_tests.integration.conftest import TINY, start, stop
from correctly_tests.unit.packages.test_locks import locked
from correctly_tests.wheel_of_checkout import build_wheel, install_wheel

pytestmark = [pytest.mark.full, pytest.mark.model, pytest.mark.timeout(2400)]

ASKED = """
import json, sys
from importlib.metadata import distributions
import correctly_assets
from correctly_assets.settings import PROJECT_ROOT
from packaging.utils import canonicalize_name
# The first of a name is what is imported.
found = {canonicalize_name(one.name): one.version for one in reversed(list(distributions()))}
print(json.dumps({"package": correctly_assets.__file__, "path": sys.path, "versions": found}))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds the wheel of this checkout, and what its lock names."""
    place = tmp_path_factory.mktemp("installed")
    return install_wheel(build_wheel(place), place / "environment")


def test_it_stands_alone_with_the_versions_of_its_lock(python: Path, tmp_path: Path) -> None:
    done = subprocess.run([python, "-I", "-c", ASKED], cwd=tmp_path, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["package"].startswith(str(python.parents[1]))
    assert str(PROJECT_ROOT) not in found["path"]
    assert {name: found["versions"].get(name) for name in locked("cpu")} == locked("cpu")
    said = subprocess.run([python.with_name("correctly"), "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert said.returncode == 0 and "up" in said.stdout


def test_its_platform_starts_corrects_and_closes_the_loop_once(python: Path, tmp_path: Path) -> None:
    budget = {
        **TINY,
        "CORRECTLY_STARTER": "shipped",
        "CORRECTLY_TRAIN_MINUTES": "1",
        "CORRECTLY_EVALUATION_LIMIT": "40",
    }
    running = start(tmp_path / "home", "up", "--once", budget=budget, python=python)
    try:
        assert running.process.wait(2000) == 0, running.said()
    finally:
        stop(running)
    said = running.said()
    assert "The adapter that ships serves as r0000" in said
    # Three texts are corrected before the loop closes beside them, and three after it.
    assert said.count("\nBefore  ") == said.count("\nAfter   ") == 6 and "\nWhy     " in said
    assert "F0.5" in said
