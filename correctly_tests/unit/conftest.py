"""Fixtures that several test files of the unit tests share.

Belongs here: running a command in this process, opening the store of the test's home, an engine and a model from outside
that are not real. Does not belong here: builders (the modules
beside this folder).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from correctly_assets import cli
from correctly_assets.settings import Settings
from correctly_assets.store import Store, open_store
from correctly_tests.commands import Run
from correctly_tests.judging_fakes import reply
from correctly_tests.serving_fakes import FakeEngine, fake_engine
from correctly_tests.teaching_fakes import ChatServer


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `correctly WORDS`: (exit code, standard output, standard error)."""

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["correctly", *words])
        try:
            cli.main()
            code: Any = 0
        except SystemExit as end:
            code = end.code
        said = capsys.readouterr()
        return int(code or 0), said.out, said.err

    return call


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with open_store(settings.platform.store_url, settings.platform.sql_dir) as opened:
        yield opened


@pytest.fixture
def outside() -> Iterator[ChatServer]:
    server = ChatServer()
    server.otherwise = reply
    yield server
    server.close()


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    with fake_engine() as made:
        yield made
