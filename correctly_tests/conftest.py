"""What every test shares: a HOME of its own, and no setting of the machine's.

Markers: ``model`` needs the base model and minutes; ``full`` runs only in `make test-full`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from correctly_assets.settings import Settings, get_settings
from correctly_tests import fault_table
from correctly_tests.fault_table import observed as observed  # a fixture

# How fast an example is made or run says nothing here: the machines are shared, and speed is measured in benchmarks/.
hypothesis.settings.register_profile(
    "shared-machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("shared-machine")

# In a shell's background Ctrl-C is ignored, and Dagster takes SIGTERM for it: what a test starts would not stop.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    fault_table.add_option(parser)


def pytest_configure(config: pytest.Config) -> None:
    fault_table.configure(config)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    fault_table.collect(config, items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    made = yield
    fault_table.report(item, made)
    return made


def pytest_sessionfinish(session: pytest.Session) -> None:
    fault_table.write(session.config)


@pytest.fixture(autouse=True)
def _settings_are_the_tests_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in list(os.environ):
        if name.startswith("CORRECTLY_") and name != "CORRECTLY_BENCHMARK_DATA":
            monkeypatch.delenv(name)
    monkeypatch.setenv("CORRECTLY_HOME", str(tmp_path / "home"))
    yield


@pytest.fixture
def settings() -> Settings:
    """Settings with a HOME of the test's own."""
    return get_settings()
